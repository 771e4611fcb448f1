//! What lvsctl says of the host that it runs on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use lab::configuration::Configuration;
use lab::host::Host;
use lab::network::{FIRST, Lab};
use lab::site::{LIMIT, Site};
use lab::wait::wait_until;
use lab::world::World;
use serde_json::Value;

/// lvsctl's exit status when something is to be changed.
const SOMETHING_TO_DO: i32 = 8;

/// What the lab itself cannot have as production does: it is set when the kernel loads ip_vs.
const OF_THE_LAB: &str = "size of the IPVS connection table";

/// Findings by what they are about.
type Findings = BTreeMap<String, Value>;

pub(crate) fn doctor_names_what_is_wrong_and_its_command_mends_it(world: &World) -> Result<()> {
    // lvsd does not repair meanwhile what is broken here.
    let configuration = |_, asn| Configuration { resync_interval: "1h", ..Configuration::with_web(asn) };
    let mut site = Site::start_with(Lab::build(world)?, configuration)?;
    site.expect_all_servers()?;
    let host = site.lab.balancers[0].clone();
    let before = examine(&site)?;
    ensure!(
        before.contains_key("net.ipv4.vs.amemthresh"),
        "the lab's own sysctls are no balancer's: {before:?}"
    );
    apply_shipped(&host)?;
    expect(&site, &[])?;

    let v4 = format!("ip address del {}/32 dev lvsd0", FIRST[0]);
    let v6 = format!("ip address del {}/128 dev lvsd0", FIRST[1]);
    let stray = format!("ip address add {}/32 dev lo", FIRST[0]);
    for (subject, breaks) in [
        ("net.ipv4.conf.eth0.rp_filter", "echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter"),
        ("net.ipv4.vs.sloppy_tcp", "echo 0 > /proc/sys/net/ipv4/vs/sloppy_tcp"),
        ("net.ipv4.vs.expire_nodest_conn", "echo 0 > /proc/sys/net/ipv4/vs/expire_nodest_conn"),
        ("VIP 192.0.2.10", &v4),
        ("VIP 2001:db8::10", &v6),
        ("VIP 192.0.2.10", &stray),
        ("192.0.2.99", "ip address add 192.0.2.99/32 dev lvsd0"),
        ("device lvsd0", "ip link del lvsd0"),
    ] {
        host.run(&["sh", "-ec", breaks])?;
        let findings = expect(&site, &[subject]).with_context(|| format!("after {breaks}"))?;
        let command = findings[subject]["run"].as_str().context("no command")?;
        println!("{breaks}: {command}");
        let of_lvsctl = format!("lvsctl --socket {} ", host.files().join("control.sock").display());
        match command.strip_prefix(&of_lvsctl) {
            Some(words) => drop(site.balancers[0].ctl(&words.split(' ').collect::<Vec<_>>())?),
            None => drop(host.run(&["sh", "-ec", command])?),
        }
        // What lvsd repairs takes it a moment.
        wait_until(command, LIMIT, || expect(&site, &[]).is_ok())
            .with_context(|| format!("{:?}", examine(&site)))?;
    }
    others_are_named_in_this_namespace_only(&site)?;

    // What is wrong with the host is said without lvsd, too.
    site.balancers[0].stop(LIMIT)?;
    host.sysctl(&[("net.ipv4.vs.conn_reuse_mode", "0")])?;
    expect_with(
        &site,
        &["--config", &site.balancers[0].configuration_file().to_string_lossy()],
        &["lvsd", "net.ipv4.vs.conn_reuse_mode"],
    )?;
    Ok(())
}

/// A program that goes by keepalived's name, on the balancer and on a server.
fn others_are_named_in_this_namespace_only(site: &Site) -> Result<()> {
    let start = |host: &Host| {
        let program = host.files().join("keepalived");
        fs::copy("/bin/sleep", &program)?;
        let mut command = Command::new(program);
        command.arg("600");
        host.spawn("keepalived", command)
    };
    let mut elsewhere = start(&site.lab.servers[0])?;
    expect(site, &[])?;
    let mut here = start(&site.lab.balancers[0])?;
    expect(site, &["keepalived"])?;
    here.kill()?;
    elsewhere.kill()?;
    expect(site, &[]).map(drop)
}

/// Exactly these are found on lb1, besides [`OF_THE_LAB`].
fn expect(site: &Site, subjects: &[&str]) -> Result<Findings> {
    expect_with(site, &[], subjects)
}

fn expect_with(site: &Site, arguments: &[&str], subjects: &[&str]) -> Result<Findings> {
    let findings = examine_with(site, arguments)?;
    let found: Vec<&str> =
        findings.keys().map(String::as_str).filter(|subject| *subject != OF_THE_LAB).collect();
    ensure!(found == subjects, "expected {subjects:?}: {findings:#?}");
    Ok(findings)
}

fn examine(site: &Site) -> Result<Findings> {
    examine_with(site, &[])
}

fn examine_with(site: &Site, arguments: &[&str]) -> Result<Findings> {
    let output = site.balancers[0].ctl_output(&[&["-o", "json", "doctor"], arguments].concat())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let list: Vec<Value> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("not JSON: {said} {}", String::from_utf8_lossy(&output.stderr)))?;
    let expected = if list.is_empty() { 0 } else { SOMETHING_TO_DO };
    ensure!(output.status.code() == Some(expected), "exit status {} of {said}", output.status);
    let mut findings = Findings::new();
    for finding in list {
        let subject = finding["subject"].as_str().context("a finding without a subject")?.to_owned();
        if let Some(other) = findings.insert(subject, finding.clone()) {
            bail!("two findings of one thing: {other} and {finding}");
        }
    }
    Ok(findings)
}

/// systemd/sysctl.d/60-lvsd-balancer.conf, as systemd-sysctl applies it.
fn apply_shipped(host: &Host) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/sysctl.d/60-lvsd-balancer.conf");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let interfaces = host.run(&["ls", "/proc/sys/net/ipv4/conf"])?;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=').with_context(|| format!("no assignment: {line}"))?;
        let (key, value) = (key.trim(), value.trim());
        match key.split_once('*') {
            // These are the kernel's: a network namespace has none of its own.
            None if key.contains(".neigh.") => {
                fs::write(Path::new("/proc/sys").join(key.replace('.', "/")), value)
                    .context("the neighbours' bounds")?;
            }
            None => host.sysctl(&[(key, value)])?,
            Some((before, after)) => {
                let special = ["all", "default"];
                for interface in interfaces.split_whitespace().filter(|name| !special.contains(name)) {
                    host.sysctl(&[(&format!("{before}{interface}{after}"), value)])?;
                }
            }
        }
    }
    Ok(())
}
