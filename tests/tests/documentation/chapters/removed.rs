//! The package's end, and a balancer without it: docs/installation.md.

use super::{of_the_site, project, start_with};
use crate::reader::Reader;
use crate::site::Site;
use anyhow::{Result, ensure};
use lab::guest::run;

const PAGE: &str = "docs/installation.md";

pub(super) fn whole(reader: &mut Reader, _site: &mut Site) -> Result<()> {
    start_with(&of_the_site(reader)?)?;
    reader.means("lvsd_VERSION_ARCHITECTURE.deb", "/host/lvsd_later.deb");
    reader.means("./lvsd_VERSION_ARCHITECTURE.deb", "/host/lvsd_later.deb");
    reader.types(PAGE, "lvsctl drain --balancer --reason upgrade")?;
    reader.types(PAGE, "lvsctl drain --balancer --wait 5m")?;
    reader.types(PAGE, "ipvsadm --save --numeric")?;
    let table = run("ipvsadm", &["--list", "--numeric"])?;
    ensure!(!table.contains("192.0.2.10"), "what was cleared: {table}");
    without_the_package(reader)
}

/// A copy of the project in which the programs are built.
fn without_the_package(reader: &mut Reader) -> Result<()> {
    let (project, programs) = (project()?.display().to_string(), crate::programs()?);
    let copy = format!(
        "mkdir -p /root/copy/target && cd /root/copy && ln -s {project}/systemd systemd && ln -s {programs} target/release"
    );
    run("bash", &["-ec", &copy])?;
    reader.go_to(None, "/root/copy");
    reader.types(PAGE, "cargo build --release -p lvsd")?;
    let state = run("systemctl", &["show", "--value", "--property", "ActiveState", "lvsd"])?;
    ensure!(state.trim() == "active", "lvsd is {state}");
    Ok(())
}
