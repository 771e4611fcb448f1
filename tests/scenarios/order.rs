//! Servers that come later, and the order in which the kernel has them: what it does to the clients of several balancers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use lab::configuration::{Configuration, Routers};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4};
use lab::site::{BALANCERS, LIMIT};
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// Clients, each an address of its own: what the tables disagree about is less than a percent.
const CLIENTS: u32 = 2_000;

/// Servers of the service that is asked, nobody's addresses: the kernel chooses, and that is looked at.
const SERVERS: u8 = 20;

/// The one that comes later, in the middle of their order.
const LATE: u8 = SERVERS / 2;

/// lvsctl's exit status for what is refused.
const REFUSED: i32 = 5;

/// Which server each client gets.
type Choices = BTreeMap<IpAddr, IpAddr>;

pub(crate) fn balancers_with_different_histories_agree_once_their_servers_are_sorted(
    world: &World,
) -> Result<()> {
    let lab = Lab::build(world)?;
    let _servers = lab.start_servers()?;
    lab.route_over_first_balancer(FIRST)?;
    for host in &lab.balancers {
        for role in ["master", "backup"] {
            host.run(&["ipvsadm", "--stop-daemon", role])?;
        }
        host.run(&["sh", "-ec", "ip addr add 10.77.0.1/16 dev lo"])?;
    }
    // The first has grown, the second begins with all.
    let grown = start(&lab.balancers[0], |server| server != LATE)?;
    let afresh = start(&lab.balancers[1], |_| true)?;
    let traffic = Traffic::start(&lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(100)?;
    grown.configure_with(&configuration(grown.host(), |_| true))?;
    grown.ctl(&["reload"])?;
    expect_servers(grown.host(), usize::from(SERVERS))?;

    let differ = differing(&grown, &afresh, 4000)?;
    println!("{differ} of {CLIENTS} clients get another server on the balancer that has grown");
    ensure!(differ > 0, "the order of servers makes no difference");
    is_said(&grown, true)?;
    is_said(&afresh, false)?;
    grown.ctl(&["resync"])?;
    is_said(&grown, true).context("resync alone sorts nothing")?;
    let refused = grown.ctl_output(&["resync", "--sort"])?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        refused.status.code() == Some(REFUSED),
        "resync --sort with expire_nodest_conn=1: {}",
        refused.status
    );
    ensure!(
        words.contains("sysctl -w net.ipv4.vs.expire_nodest_conn=0"),
        "it does not say what to do: {words}"
    );

    let host = grown.host();
    host.sysctl(&[("net.ipv4.vs.expire_nodest_conn", "0")])?;
    let said = grown.ctl(&["resync", "--sort"])?;
    host.sysctl(&[("net.ipv4.vs.expire_nodest_conn", "1")])?;
    ensure!(said.contains("put in order: udp 192.0.2.10:53"), "resync --sort: {said}");
    is_said(&grown, false)?;
    let differ = differing(&grown, &afresh, 4001)?;
    ensure!(differ == 0, "{differ} of {CLIENTS} clients get another server though both are sorted");
    traffic.let_pass(100)?;
    let report = traffic.stop()?;
    report.expect_no_failure()?;
    ensure!(report.reconnects == 0, "{} kept connections were closed: {report}", report.reconnects);
    Ok(())
}

/// lvsd with the web, whose rs2 comes late where another server does, and with the service that is asked.
fn start(host: &Host, has: impl Fn(u8) -> bool) -> Result<Lvsd> {
    let count = (1..=SERVERS).filter(|server| has(*server)).count();
    let mut lvsd = Lvsd::start_with(host, &configuration(host, has))?;
    lvsd.wait_ready(LIMIT)?;
    expect_servers(host, count)?;
    Ok(lvsd)
}

fn configuration(host: &Host, has: impl Fn(u8) -> bool) -> String {
    let mut plain = Configuration { routers: Routers::None, ..Configuration::with_web(BALANCERS[0]) };
    for service in &mut plain.services {
        // The client's connections go through a service that is put in order as well.
        service.servers.retain(|(name, _)| *name != "rs2" || has(LATE));
    }
    let server = |number: u8| format!("{{ host = \"{}\", weight = {} }}", address(number), 1 + number % 3);
    let servers: Vec<String> = (1..=SERVERS).filter(|number| has(*number)).map(server).collect();
    format!(
        "{}\n[service.asked]\nvips = [\"{}\"]\nport = 53\nprotocol = \"udp\"\nscheduler = \"mh\"\nchecks = []\nbackends = [{}]\n",
        plain.render(host),
        FIRST[0],
        servers.join(", ")
    )
}

fn address(server: u8) -> IpAddr {
    v4(100 + u16::from(server)).into()
}

/// Waits until the kernel has so many servers of the service that is asked.
fn expect_servers(host: &Host, count: usize) -> Result<()> {
    let key = ipvs::ServiceKey::Address { protocol: ipvs::Protocol::Udp, address: FIRST[0], port: 53 };
    let reader = lab::table::Reader::open(host)?;
    let has_all = || {
        reader
            .whole()
            .is_ok_and(|table| table.get(&key).is_some_and(|entry| entry.destinations.len() == count))
    };
    wait_until(&format!("{count} servers on {}", host.name()), LIMIT, has_all).map(drop)
}

/// How many clients, from this port, get another server on one balancer than on the other.
fn differing(one: &Lvsd, other: &Lvsd, port: u16) -> Result<usize> {
    let [one, other] = [one, other].map(|lvsd| lvsd.host().enter(|| choices(port)));
    let (one, other) = (one??, other??);
    ensure!(
        one.len() == CLIENTS as usize && one.keys().eq(other.keys()),
        "{} clients were served",
        one.len()
    );
    Ok(one.iter().filter(|(client, server)| other.get(*client) != Some(*server)).count())
}

/// Lets clients ask on the balancer itself, and looks which servers the kernel has chosen.
fn choices(port: u16) -> Result<Choices> {
    let clients = (0..CLIENTS).map(|number| IpAddr::from((0x0a4d_0100 + number).to_be_bytes()));
    for client in clients {
        // Whether it leaves for the server is not asked: the kernel has chosen before.
        let _ = UdpSocket::bind((client, port))?.send_to(b"?", (FIRST[0], 53));
    }
    // The kernel finds the place between two pieces by counting: where a connection has gone meanwhile another is left out.
    let mut chosen = Choices::new();
    wait_until("every client was seen", LIMIT, || {
        chosen.extend(shown(port).unwrap_or_default());
        chosen.len() >= CLIENTS as usize
    })?;
    Ok(chosen)
}

/// What the kernel shows of clients from this port.
fn shown(port: u16) -> Result<Choices> {
    let text = std::fs::read_to_string("/proc/thread-self/net/ip_vs_conn")?;
    let socket = |address: &str, port: &str| -> Option<SocketAddr> {
        let address = u32::from_str_radix(address, 16).ok()?;
        Some(SocketAddr::new(IpAddr::from(address.to_be_bytes()), u16::from_str_radix(port, 16).ok()?))
    };
    let chosen = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let client = socket(words.get(1)?, words.get(2)?)?;
        let server = socket(words.get(5)?, words.get(6)?)?;
        (client.port() == port).then_some((client.ip(), server.ip()))
    };
    Ok(text.lines().skip(1).filter_map(chosen).collect())
}

/// Whether diff, status and metric say that servers are out of order.
fn is_said(lvsd: &Lvsd, wanted: bool) -> Result<()> {
    let diff = lvsd.ctl(&["diff"])?;
    ensure!(diff.contains("resync --sort") == wanted, "lvsctl diff: {diff}");
    // What the core knows it knows from the last reading.
    let is_so = || -> Result<bool> {
        let status = lvsd.ctl(&["status", "asked"])?;
        let metric = lvsd.metric("lvsd_service_unsorted{service=\"asked\"}")?;
        Ok(status.contains("resync --sort") == wanted && (metric == 1.0) == wanted)
    };
    wait_until(&format!("status and metric say that it is out of order: {wanted}"), LIMIT, || {
        is_so().is_ok_and(|so| so)
    })?;
    Ok(())
}
