//! What is asked on the balancer through IPVS itself: servers one by one, and canaries.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use lab::configuration::{Configuration, Service};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4, v6};
use lab::site::{LIMIT, SERVERS, Site, WEIGHT};
use lab::wait::wait_until;
use lab::world::World;

/// A server without the VIP drops what comes for it: a timeout each time, and two are to be waited for.
const DROPPED: &str = "interval = \"200ms\"\ntimeout = \"5s\"\nfall = 2\nrise = 2";

/// A service that somebody else has by one of the marks that lvsd would take else: the second.
const FOREIGN: &str = "1819738113";

/// Whether answers from the VIP are let in at the interface towards the servers.
fn accept_local(host: &Host, word: &str) -> Result<()> {
    host.sysctl(&[("net.ipv4.conf.eth0.accept_local", word)])
}

/// Takes the first VIPs from a server's `lo`, or gives them back.
fn vips_on_lo(server: &Host, word: &str) -> Result<()> {
    for vip in FIRST {
        let length = if vip.is_ipv4() { 32 } else { 128 };
        server.run(&["ip", "addr", word, &format!("{vip}/{length}"), "dev", "lo"])?;
    }
    Ok(())
}

/// What the canary of a VIP says: 1 or 0, an error while it has said nothing.
fn canary(lvsd: &Lvsd, vip: IpAddr) -> Result<f64> {
    lvsd.metric(&format!("lvsd_canary_up{{service=\"web\",vip=\"{vip}\"}}"))
}

fn expect_canaries(lvsd: &Lvsd, wanted: [f64; 2]) -> Result<()> {
    let all =
        || FIRST.iter().zip(wanted).all(|(vip, wanted)| canary(lvsd, *vip).is_ok_and(|is| is == wanted));
    wait_until(&format!("canaries say {wanted:?}"), LIMIT, all).map(drop)
}

pub(crate) fn checks_and_canaries_through_ipvs_tell_servers_and_the_balancer_apart(
    world: &World,
) -> Result<()> {
    let lab = Lab::build(world)?;
    for balancer in &lab.balancers {
        accept_local(balancer, "1")?;
        balancer.run(&["ipvsadm", "-A", "-f", FOREIGN, "-s", "wlc"])?;
        balancer.run(&["ipvsadm", "-a", "-f", FOREIGN, "-r", "10.64.0.99", "-g", "-w", "7"])?;
    }
    // What is repaired is repaired because a check through IPVS failed.
    let web = Service { by_ipvs: true, canary: true, timing: DROPPED, ..Service::new("web", &FIRST) };
    let mut site = Site::start_with(lab, |_, asn| Configuration {
        resync_interval: "1h",
        services: vec![web.clone()],
        ..Configuration::with_web(asn)
    })?;
    for server in SERVERS {
        site.expect_weight(server, WEIGHT)?;
    }
    for lvsd in &site.balancers {
        expect_canaries(lvsd, [1.0, 1.0])?;
    }
    one_server_loses_the_vip(&site)?;
    let foreign = site.lab.balancers[0].run(&["ipvsadm", "-Sn"])?;
    let foreign: Vec<&str> = foreign.lines().filter(|line| line.contains(FOREIGN)).collect();
    ensure!(
        foreign.len() == 2 && foreign[1].contains("-w 7"),
        "the foreign service was changed: {foreign:?}"
    );
    restart_writes_nothing(&mut site)?;
    answers_are_not_let_in(&site)?;
    the_table_is_cleared(&site)
}

/// It leaves alone, by its checks through IPVS only.
fn one_server_loses_the_vip(site: &Site) -> Result<()> {
    vips_on_lo(&site.lab.servers[0], "del")?;
    let took = site.expect_weight(SERVERS[0], 0)?;
    println!("out {took:?} after the VIPs left its lo");
    for lvsd in &site.balancers {
        let why = lvsd.ctl(&["why", "rs1"])?;
        let own: [IpAddr; 2] = [v4(SERVERS[0]).into(), v6(SERVERS[0]).into()];
        for server in own {
            let is_down = |line: &str| line.contains(&format!(" towards {server}: down since "));
            ensure!(why.lines().any(is_down), "no check through IPVS of {server} fails: {why}");
        }
        let direct: Vec<&str> = why.lines().filter(|line| line.contains("/healthz: ")).collect();
        let is_up = |line: &&str| line.contains("/healthz: up since ");
        ensure!(direct.len() == own.len() && direct.iter().all(is_up), "a direct check fails: {why}");
    }
    // With nobody else to send them to than those that have the VIP, canaries come through.
    for server in &SERVERS[1..] {
        site.expect_weight(*server, WEIGHT)?;
    }
    expect_canaries(&site.balancers[0], [1.0, 1.0])?;
    // Nothing of it is in the pool, and it is asked all the same: it returns by these checks.
    vips_on_lo(&site.lab.servers[0], "add")?;
    site.expect_weight(SERVERS[0], WEIGHT).map(drop)
}

fn restart_writes_nothing(site: &mut Site) -> Result<()> {
    let lvsd = &mut site.balancers[0];
    // What it had still to write would be written by the next one.
    let is_done = || lvsd.ctl_output(&["diff"]).is_ok_and(|output| output.status.code() == Some(0));
    wait_until("the kernel has all that lvsd wants", LIMIT, is_done)?;
    lvsd.kill()?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    expect_canaries(lvsd, [1.0, 1.0])?;
    for result in ["ok", "refused"] {
        let written = lvsd.metric(&format!("lvsd_ipvs_operations_total{{result=\"{result}\"}}"))?;
        ensure!(written == 0.0, "{written} operations {result} though nothing had changed");
    }
    let diff = lvsd.ctl(&["diff"])?;
    ensure!(diff.contains(FOREIGN), "lvsctl diff does not name the foreign service: {diff}");
    Ok(())
}

/// IPv4 only: the other family does not look whose address an answer comes from.
fn answers_are_not_let_in(site: &Site) -> Result<()> {
    let (host, lvsd) = (&site.lab.balancers[0], &site.balancers[0]);
    let key = "net.ipv4.conf.eth0.accept_local";
    let named = || -> Result<bool> {
        let said = lvsd.ctl_output(&["doctor"])?.stdout;
        Ok(String::from_utf8_lossy(&said).contains(&format!("{key} is 0, should be 1")))
    };
    ensure!(!named()?, "doctor names {key} though it is set");
    accept_local(host, "0")?;
    expect_canaries(lvsd, [0.0, 1.0])?;
    let status = lvsd.ctl(&["status"])?;
    let is_told = |line: &str| line.trim_start().starts_with(&format!("canary of {}: down since ", FIRST[0]));
    ensure!(status.lines().any(is_told), "{status}");
    ensure!(named()?, "doctor does not name {key}");
    accept_local(host, "1")?;
    expect_canaries(lvsd, [1.0, 1.0])
}

/// Nobody but a check through IPVS notices: the kernel is read again only because of it.
fn the_table_is_cleared(site: &Site) -> Result<()> {
    let (host, lvsd) = (&site.lab.balancers[0], &site.balancers[0]);
    let written = || lvsd.metric("lvsd_ipvs_operations_total{result=\"ok\"}").unwrap_or_default();
    let before = written();
    host.run(&["ipvsadm", "-C"])?;
    // The log names it as somebody else's change only where no weight had to change at the same moment.
    wait_until("the cleared table is written again", LIMIT, || written() > before)?;
    for server in SERVERS {
        site.expect_weight(server, WEIGHT)?;
    }
    expect_canaries(lvsd, [1.0, 1.0])
}
