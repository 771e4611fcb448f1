//! From PyBal to lvsd: a dry run beside what PyBal has written, then the switch, and the way back.
//!
//! PyBal itself does not run here, for it wants Python 2. Its part is played by ipvsadm, with the lines that PyBal gives it,
//! and by a BIRD that announces its VIPs and, like PyBal, asks nobody to keep them over a restart.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::bird::{Bird, Settings};
use lab::host::{Host, Process};
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, SECOND, give, v4, v6};
use lab::site::{BALANCERS, LIMIT, SERVERS, WEIGHT, routes, web};
use lab::table;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::watch::reaction;
use lab::world::World;

/// lvsctl diff's exit status when the kernel is not as it should be.
const DIFFERS: i32 = 9;

/// What BGP is told in pybal.conf, or that there is none, and what `import-pybal` is told beside it.
const GLOBAL: &str = "[global]\nbgp = yes\nbgp-local-asn = 64600\nbgp-peer-address = [ '10.64.0.251', '10.64.0.252' ]\n\
    bgp-nexthop-ipv4 = 10.64.0.1\nbgp-nexthop-ipv6 = fd00:64::1\n";
const PEERS: [&str; 4] = ["--peer-asn", "10.64.0.251=65001", "--peer-asn", "10.64.0.252=65002"];
const WITHOUT_BGP: &str = "[global]\nbgp = no\n";

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
         depool-threshold = .3\nmonitors = [ 'ProxyFetch', 'IdleConnection' ]\n\
         proxyfetch.url = [ 'http://www.example.org/healthz' ]\nproxyfetch.interval = 1\n",
        pool.display()
    ))
}

fn server(vip: IpAddr, last: u16) -> IpAddr {
    if vip.is_ipv4() { v4(last).into() } else { v6(last).into() }
}

/// What PyBal gives `ipvsadm -R` when it has started: each service is deleted and made anew, without the server that is out.
fn write_as_pybal(host: &Host) -> Result<()> {
    let mut lines = String::new();
    for service in web(&FIRST) {
        // It fails at the first start, which PyBal takes no notice of.
        host.output(&["ipvsadm", "-D", "-t", &service.to_string()])?;
        let _ = writeln!(lines, "-A -t {service} -s wrr");
        for last in [SERVERS[0], SERVERS[1]] {
            let server = SocketAddr::new(server(service.ip(), last), 80);
            let _ = writeln!(lines, "-a -t {service} -r {server} -w {WEIGHT}");
        }
    }
    let file = host.files().join("ipvsadm");
    fs::write(&file, lines)?;
    host.run(&["sh", "-ec", &format!("ipvsadm -R <{}", file.display())]).map(drop)
}

/// The configuration that `lvsctl import-pybal` makes of this `[global]`, with this host's own paths before it.
fn imported(host: &Host, global: &str, is_dry: bool) -> Result<String> {
    let sections = [section(host, "text_80", FIRST[0])?, section(host, "text6_80", FIRST[1])?];
    let file = host.files().join("pybal.conf");
    fs::write(&file, global.to_owned() + &sections.concat())?;
    let file = file.to_string_lossy();
    let peers: &[&str] = if global == GLOBAL { &PEERS } else { &[] };
    let text = Lvsd::new(host, Vec::new()).ctl(&[&["import-pybal", &*file], peers].concat())?;
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
    write_as_pybal(host)?;
    let before = table::whole(host)?;
    let mut lvsd = Lvsd::start_with(host, &imported(host, WITHOUT_BGP, true)?)?;
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

    lvsd.configure_with(&imported(host, WITHOUT_BGP, false)?)?;
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

/// PyBal on a balancer, as far as others notice it.
struct Pybal<'a> {
    host: &'a Host,
    speaker: Process,
}

impl<'a> Pybal<'a> {
    fn start(host: &'a Host) -> Result<Self> {
        write_as_pybal(host)?;
        let file = host.files().join("pybal-bird.conf");
        let mut text = String::from("log stderr all;\nrouter id 10.64.0.1;\nprotocol device {}\n");
        let _ = writeln!(text, "protocol static {{ ipv4; route {}/32 blackhole; }}", FIRST[0]);
        for (router, asn) in [(251, 65001), (252, 65002)] {
            let _ = writeln!(
                text,
                "protocol bgp {{ local {} as {}; neighbor {} as {asn}; graceful restart off; connect delay time 1; \
                 ipv4 {{ import none; export all; next hop self; }}; }}",
                v4(1),
                BALANCERS[0],
                v4(router)
            );
        }
        fs::write(&file, text)?;
        let mut command = Command::new("bird");
        command.arg("-f").arg("-c").arg(&file).arg("-s").arg(host.files().join("pybal-bird.ctl"));
        Ok(Self { host, speaker: host.spawn("pybal", command)? })
    }

    /// It withdraws its VIPs, and leaves the kernel's table.
    fn stop(mut self) -> Result<()> {
        self.speaker.terminate(LIMIT).with_context(|| format!("PyBal on {}", self.host.name()))
    }
}

/// All packets go over this balancer the whole time, also while its VIPs are withdrawn and another one would have them.
pub(crate) fn from_pybal_to_lvsd_and_back_no_request_fails(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    let _servers = lab.start_servers()?;
    lab.route_over_first_balancer(FIRST)?;
    let host = &lab.balancers[0];
    let router = |index: usize| Bird::start(&lab.routers[index], &Settings::of_router(index, BALANCERS));
    let routers = [router(0)?, router(1)?];
    let expect_routes = |hops: &[IpAddr]| reaction(LIMIT, routes(&routers, &FIRST[..1], hops), || Ok(()));
    FIRST.iter().try_for_each(|vip| give(host, *vip))?;
    let pybal = Pybal::start(host)?;
    expect_routes(&[v4(1).into()])?;
    let as_pybal_has_it = table::whole(host)?;
    let traffic = Traffic::start(&lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(200)?;

    traffic.phase("beside PyBal");
    let mut lvsd = Lvsd::start_with(host, &imported(host, GLOBAL, true)?)?;
    lvsd.wait_ready(LIMIT)?;
    wait_until("what PyBal has written is what lvsd wants", LIMIT, || {
        diff(&lvsd, 0, "no difference: 2 servers")
    })?;
    let first = v4(SERVERS[0]).to_string();
    ensure!(lvsd.ctl(&["why", &first])?.contains("text_80"), "lvsctl why does not know {first}");
    lvsd.stop(LIMIT)?;
    ensure!(table::whole(host)? == as_pybal_has_it, "the dry run has changed the kernel's table");

    traffic.phase("the switch");
    pybal.stop()?;
    expect_routes(&[])?;
    ensure!(table::whole(host)? == as_pybal_has_it, "PyBal has not left its table");
    let configuration = imported(host, GLOBAL, false)?;
    lvsd.configure_with(&configuration)?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    expect_routes(&[v4(1).into()])?;
    wait_until("lvsd has taken the table over", LIMIT, || diff(&lvsd, 0, "as lvsd wants it"))?;
    let written = lvsd.metric("lvsd_ipvs_operations_total{result=\"ok\"}")?;
    ensure!(written == 2.0, "two servers with weight 0 were to be written, and {written} operations were");
    let page = || lvsd.http("/pools/text_80").is_ok_and(|page| page.contains("enabled/up/pooled"));
    wait_until("PyBal's page says what is pooled", LIMIT, page)?;
    traffic.let_pass(200)?;
    // What PyBal has never known of.
    let second = web(&SECOND)[0];
    let own = format!(
        "[service.later]\nvips = [\"{}\"]\nport = 80\nchecks = []\n\
        backends = [{{ host = \"rs1\", addresses = [\"{}\"] }}]\n",
        second.ip(),
        v4(SERVERS[0])
    );
    lvsd.configure_with(&(configuration + "\n" + &own))?;
    lvsd.reload()?;
    let is_there = || table::weights(host, second).is_ok_and(|weights| !weights.is_empty());
    wait_until("a service is added after the switch", LIMIT, is_there)?;

    traffic.phase("the way back");
    let before = table::whole(host)?;
    lvsd.stop(LIMIT)?;
    expect_routes(&[])?;
    ensure!(table::whole(host)? == before, "lvsd has not left its table");
    traffic.let_pass(200)?;
    let report = traffic.stop()?;
    report.expect_no_failure()?;
    ensure!(report.reconnects == 0, "{} kept connections were closed: {report}", report.reconnects);

    // PyBal makes its services anew: meanwhile another balancer serves.
    let _pybal = Pybal::start(host)?;
    expect_routes(&[v4(1).into()])?;
    ensure!(!table::weights(host, second)?.is_empty(), "what only lvsd had has gone by itself");
    host.run(&["ipvsadm", "-D", "-t", &second.to_string()])?;
    let left = table::whole(host)?;
    ensure!(left == as_pybal_has_it, "PyBal's table is another after its return: {left:?}");
    let traffic = Traffic::start(&lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(100)?;
    host.run(&["ip", "link", "delete", "lvsd0"])?;
    traffic.let_pass(200)?;
    traffic.stop()?.expect_no_failure()
}
