//! From PyBal to lvsd: a dry run beside what PyBal has written, then the switch.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4, v6};
use lab::site::{LIMIT, SERVERS, WEIGHT, web};
use lab::table;
use lab::wait::wait_until;
use lab::world::World;

/// lvsctl diff's exit status when the kernel is not as it should be.
const DIFFERS: i32 = 9;

/// A section of pybal.conf, and its servers as PyBal has them: the last is taken out.
fn section(host: &Host, name: &str, vip: IpAddr) -> Result<String> {
    let pool = host.files().join(name);
    let line = |last: u16| {
        let enabled = if last == SERVERS[2] { "False" } else { "True" };
        format!("{{ 'host': '{}', 'weight': {WEIGHT}, 'enabled': {enabled} }}\n", server(vip, last))
    };
    fs::write(&pool, format!("# {name}\n{}", SERVERS.map(line).concat()))?;
    Ok(format!(
        "[{name}]\nprotocol = tcp\nip = {vip}\nport = 80\nscheduler = wrr\nconfig = file://{}\n\
         depool-threshold = .3\nbgp = no\nmonitors = [ 'ProxyFetch', 'IdleConnection' ]\n\
         proxyfetch.url = [ 'http://www.example.org/healthz' ]\nproxyfetch.interval = 1\n",
        pool.display()
    ))
}

fn server(vip: IpAddr, last: u16) -> IpAddr {
    if vip.is_ipv4() { v4(last).into() } else { v6(last).into() }
}

/// What PyBal writes: no server that is out.
fn write_as_pybal(host: &Host, vip: IpAddr) -> Result<()> {
    let service = SocketAddr::new(vip, 80).to_string();
    host.run(&["ipvsadm", "-A", "-t", &service, "-s", "wrr"])?;
    for last in [SERVERS[0], SERVERS[1]] {
        let server = SocketAddr::new(server(vip, last), 80).to_string();
        host.run(&["ipvsadm", "-a", "-t", &service, "-r", &server, "-w", &WEIGHT.to_string()])?;
    }
    Ok(())
}

/// The configuration that `lvsctl import-pybal` makes, with this host's own paths before it.
fn imported(host: &Host, is_dry: bool) -> Result<String> {
    let sections = [section(host, "text_80", FIRST[0])?, section(host, "text6_80", FIRST[1])?];
    let file = host.files().join("pybal.conf");
    fs::write(&file, sections.concat())?;
    let text = Lvsd::new(host, Vec::new()).ctl(&["import-pybal", &file.to_string_lossy()])?;
    let files = host.files();
    let files = files.display();
    Ok(format!(
        "[lvsd]\nstate_dir = \"{files}/state\"\ncontrol_socket = \"{files}/control.sock\"\nresync_interval = \"1s\"\n\
         dry_run = {is_dry}\n{text}"
    ))
}

pub(crate) fn a_dry_run_agrees_with_pybals_table_and_the_switch_changes_no_server(
    world: &World,
) -> Result<()> {
    let lab = Lab::build(world)?;
    let mut servers = lab.start_servers()?;
    let host = &lab.balancers[0];
    FIRST.iter().try_for_each(|vip| write_as_pybal(host, *vip))?;
    let before = table::whole(host)?;
    let mut lvsd = Lvsd::start_with(host, &imported(host, true)?)?;
    lvsd.wait_ready(LIMIT)?;

    wait_until("what PyBal has written is what lvsd wants", LIMIT, || {
        diff(&lvsd, 0, "no difference: 2 servers")
    })?;
    ensure!(lvsd.ctl(&["status"])?.contains("dry run"), "the status does not say that nothing is written");
    ensure!(lvsd.metric("lvsd_dry_run")? == 1.0, "no metric says that nothing is written");
    let resync = lvsd.ctl_output(&["resync"])?;
    ensure!(!resync.status.success(), "a dry run repairs: {resync:?}");

    servers[0].kill()?;
    let out = v4(SERVERS[0]).to_string();
    wait_until("lvsd would take the dead server out", LIMIT, || diff(&lvsd, DIFFERS, &out))?;
    servers[0].start_again()?;
    wait_until("both agree again", LIMIT, || diff(&lvsd, 0, ""))?;
    lvsd.ctl(&["depool", &v4(SERVERS[1]).to_string(), "--force"])?;
    lvsd.stop(LIMIT)?;
    ensure!(table::whole(host)? == before, "the dry run has changed the kernel's table");
    ensure!(host.run(&["ip", "link", "show", "lvsd0"]).is_err(), "the dry run has made a device");
    ensure!(!host.files().join("state").exists(), "the dry run has kept a state");

    lvsd.configure_with(&imported(host, false)?)?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    wait_until("lvsd has taken the table over", LIMIT, || diff(&lvsd, 0, "as lvsd wants it"))?;
    for service in web(&FIRST) {
        let wanted = SERVERS
            .map(|last| (server(service.ip(), last), if last == SERVERS[2] { 0 } else { WEIGHT }))
            .into();
        let has = || table::weights(host, service).is_ok_and(|weights| weights == wanted);
        wait_until(&format!("after the switch {service} has {wanted:?}"), LIMIT, has)
            .with_context(|| format!("{:?}", table::weights(host, service)))?;
    }
    let page = || lvsd.http("/pools/text6_80").is_ok_and(|page| page.contains("enabled/up/pooled"));
    wait_until("PyBal's page says what is pooled", LIMIT, page).map(drop)
}

fn diff(lvsd: &Lvsd, status: i32, named: &str) -> bool {
    lvsd.ctl_output(&["diff"]).is_ok_and(|output| {
        output.status.code() == Some(status) && String::from_utf8_lossy(&output.stdout).contains(named)
    })
}
