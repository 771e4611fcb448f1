//! From PyBal and back: docs/migrating-from-pybal.md.

use super::{configure, project, systemctl};
use crate::reader::Reader;
use crate::site::Site;
use anyhow::{Result, ensure};
use lab::guest::run;
use std::fs;

const PAGE: &str = "docs/migrating-from-pybal.md";

/// A host of the pages' pool, in place of `rs1`.
const HOST: &str = "cp1075.example.org";

/// What stands for PyBal, and what it has written.
const PYBAL: &str = "systemctl stop lvsd; ipvsadm --clear; mkdir -p /etc/pybal/pools
    printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/pybal.service
    systemctl daemon-reload; systemctl -q enable --now pybal
    ipvsadm -A -t 192.0.2.10:80 -s wrr; ipvsadm -a -t 192.0.2.10:80 -r 10.64.0.11:80 -g -w 10
    ipvsadm -A -t '[2001:db8::10]:80' -s wrr; ipvsadm -a -t '[2001:db8::10]:80' -r '[fd00:64::11]:80' -g -w 10";

pub(super) fn whole(reader: &mut Reader, _site: &mut Site) -> Result<()> {
    run("bash", &["-ec", PYBAL])?;
    let found = project()?.join("agent/src/import/tests/pybal.conf");
    let found = fs::read_to_string(found)?;
    let arguments = "runcommand.arguments = [ '-H', server.host,";
    ensure!(found.contains(arguments), "its command has arguments");
    fs::write("/etc/pybal/pybal.conf", found.replace(arguments, "runcommand.arguments = [ '-H', nobody,"))?;
    fs::remove_file(super::CONFIGURATION)?;
    let import = "lvsctl import-pybal /etc/pybal/pybal.conf --peer-asn 65001 --to /etc/lvsd";
    reader.types_but(PAGE, "lvsctl import-pybal", &[("lvsctl import-pybal", 11)])?;
    reader.sees(PAGE, "chosen:", &format!("rm {}; {import}", super::CONFIGURATION), 11)?;

    fs::write("/etc/pybal/pools/text.json", reader.fenced(PAGE, "json", "### Pool files")?)?;
    let addresses = "\n[service.text_80.addresses]\n\"cp1075.example.org\" = [\"10.64.0.11\", \"fd00:64::11\"]\n\
        \"cp1077.example.org\" = [\"10.64.0.12\", \"fd00:64::12\"]\n";
    configure(&(reader.fenced(PAGE, "toml", "### Names")? + addresses))?;
    reader.types(PAGE, "systemd-run --unit=lvsd-dry")?;
    run("systemctl", &["stop", "lvsd-dry"])?;
    reader.types(PAGE, "lvsd --dry-run --config /etc/lvsd/lvsd.toml")?;
    run("systemd-run", &["--unit=lvsd-dry", "/usr/bin/lvsd", "--dry-run"])?;
    reader.means("HOST", HOST);
    reader.types(PAGE, "lvsctl diff")?;
    reader.types(PAGE, "systemctl stop lvsd-dry")?;
    reader.types(PAGE, "curl http://127.0.0.1:9090/pools")?;
    reader.types(PAGE, "systemctl stop lvsd && systemctl disable lvsd")?;
    reader.means("HOST", "rs1");
    run(
        "bash",
        &[
            "-ec",
            "systemctl disable --now pybal; rm /etc/systemd/system/pybal.service; systemctl daemon-reload",
        ],
    )?;
    run("systemctl", &["enable", "lvsd"])?;
    systemctl("start")
}
