//! Servers that are taken out while clients are connected to them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ipvs::{DestinationKey, Protocol, ServiceKey};
use lab::configuration::{Configuration, Routers};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4};
use lab::nginx::Nginx;
use lab::site::{BALANCERS, LIMIT, SERVERS, WEIGHT};
use lab::table::Reader;
use lab::wait::wait_until;
use lab::world::World;
use tokio::net::TcpSocket;

/// How long an answer that is expected may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whoever waits so long for an answer that is not expected gets none. TCP sends a SYN again after 1 s and 3 s.
const NONE: Duration = Duration::from_secs(5);

/// How long a held connection is watched to go on: some readings of the kernel, which are a second apart while a server drains.
const HELD: Duration = Duration::from_secs(4);

/// The longest drain while connections are expected to decide.
const LONG: Duration = Duration::from_secs(60);

/// The longest drain while it is to be cut off, and something is to be looked at before.
const CUT_OFF: Duration = Duration::from_secs(15);

/// The longest drain where nobody waits for its end.
const SHORT: Duration = Duration::from_secs(3);

/// The server of all stories, by name.
const SERVER: &str = "rs1";

/// A balancer with servers behind it and a client before it.
struct Stage {
    client: Host,
    lvsd: Lvsd,
    table: Reader,
    next_port: u16,
    _servers: Vec<Nginx>,
}

impl Stage {
    /// lb1 alone, its connections its own. The kernel forgets one that has ended after `fin_timeout`.
    fn set(world: &World, drain_timeout: Duration, fin_timeout: Duration) -> Result<Self> {
        let lab = Lab::build(world)?;
        let host = &lab.balancers[0];
        for role in ["master", "backup"] {
            host.run(&["ipvsadm", "--stop-daemon", role])?;
        }
        lab.route_over_first_balancer(FIRST)?;
        let servers = lab.start_servers()?;
        let mut lvsd = Lvsd::start_with(host, &configuration(host, drain_timeout, fin_timeout))?;
        lvsd.wait_ready(LIMIT)?;
        let stage = Self {
            client: lab.client.clone(),
            lvsd,
            table: Reader::open(host)?,
            next_port: 20_000,
            _servers: servers,
        };
        stage.expect_weight(Some(WEIGHT))?;
        Ok(stage)
    }

    /// The server's weight in a service, if it is there.
    fn weight(&self, (protocol, port): (Protocol, u16)) -> Result<Option<u32>> {
        let service = ServiceKey::Address { protocol, address: FIRST[0], port };
        let server = DestinationKey { address: v4(SERVERS[0]).into(), port };
        let table = self.table.whole()?;
        let entry = table.get(&service).with_context(|| format!("{service} is not in the kernel"))?;
        Ok(entry.destinations.get(&server).map(|destination| destination.weight.get()))
    }

    fn expect_weight(&self, weight: Option<u32>) -> Result<Duration> {
        let has = || self.weight(WEB).is_ok_and(|found| found == weight);
        wait_until(&format!("{SERVER} has weight {weight:?}"), LIMIT, has)
    }

    /// A connection of the client's from this port, or any.
    fn connect(&self, port: u16, patience: Duration) -> Result<Held> {
        let target = SocketAddr::new(FIRST[0], 80);
        let connected = self.client.enter(|| connect(port, target, patience))?;
        Ok(Held(connected?))
    }

    /// A connection to the server of all stories.
    fn connect_to_server(&self) -> Result<Held> {
        for _ in 0..200 {
            let mut held = self.connect(0, PATIENCE)?;
            if held.ask()? == SERVER {
                return Ok(held);
            }
        }
        bail!("none of 200 connections got to {SERVER}")
    }

    /// One request from this port, on a connection of its own.
    fn ask_from(&self, port: u16, patience: Duration) -> Result<String> {
        self.connect(port, patience)?.ask_and_close()
    }

    /// Nobody new gets there.
    fn expect_only_others(&self) -> Result<()> {
        for _ in 0..50 {
            let answer = self.connect(0, PATIENCE)?.ask()?;
            ensure!(answer != SERVER, "a new connection got to {SERVER}");
        }
        Ok(())
    }
}

const WEB: (Protocol, u16) = (Protocol::Tcp, 80);

/// What is answered there does not matter.
const DATAGRAMS: (Protocol, u16) = (Protocol::Udp, 53);

fn configuration(host: &Host, drain_timeout: Duration, fin_timeout: Duration) -> String {
    let plain = Configuration { routers: Routers::None, ..Configuration::with_web(BALANCERS[0]) };
    let drain = format!("drain_timeout = \"{}s\"", drain_timeout.as_secs());
    let text = plain.render(host).replacen("drain_timeout = \"5s\"", &drain, 1);
    let backends: Vec<String> = [("rs1", SERVERS[0]), ("rs2", SERVERS[1]), ("rs3", SERVERS[2])]
        .map(|(name, last)| format!("{{ host = \"{name}\", addresses = [\"{}\"] }}", v4(last)))
        .into();
    format!(
        "{text}\n[ipvs]\ntcp_fin_timeout = \"{}s\"\n\n[service.datagrams]\nvips = [\"{}\"]\nport = 53\nprotocol = \"udp\"\n\
         scheduler = \"rr\"\nbackends = [{}]\nchecks = []\n",
        fin_timeout.as_secs(),
        FIRST[0],
        backends.join(", ")
    )
}

/// From inside the client's namespace.
fn connect(port: u16, target: SocketAddr, patience: Duration) -> Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stream = runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port))?;
        let stream = tokio::time::timeout(patience, socket.connect(target)).await??;
        anyhow::Ok(stream.into_std()?)
    })?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(patience))?;
    Ok(stream)
}

/// A connection that is kept.
struct Held(TcpStream);

impl Held {
    /// Who answers on it.
    fn ask(&mut self) -> Result<String> {
        self.request("keep-alive")?;
        let mut answer = Vec::new();
        let mut part = [0; 1024];
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") || !answer.ends_with(b"\n") {
            match self.0.read(&mut part)? {
                0 => bail!("the connection was closed"),
                count => answer.extend_from_slice(&part[..count]),
            }
        }
        name_in(&answer)
    }

    /// Who answers, for the last time: the server closes first, so that the client's port is free again.
    fn ask_and_close(mut self) -> Result<String> {
        self.request("close")?;
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer)?;
        name_in(&answer)
    }

    fn request(&mut self, connection: &str) -> Result<()> {
        let request = format!("GET / HTTP/1.1\r\nHost: web\r\nConnection: {connection}\r\n\r\n");
        Ok(self.0.write_all(request.as_bytes())?)
    }
}

/// The first word after an answer's head.
fn name_in(answer: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(answer)?;
    let (_, body) = text.split_once("\r\n\r\n").with_context(|| format!("no head in {text:?}"))?;
    Ok(body.trim().to_owned())
}

/// `lvsctl drain`, then `lvsctl inactive`: one connection ends by itself, of another the time is over.
pub(crate) fn a_server_that_drains_keeps_its_connections_until_they_end_or_their_time_is_over(
    world: &World,
) -> Result<()> {
    let stage = Stage::set(world, LONG, Duration::from_secs(1))?;
    let mut held = stage.connect_to_server()?;
    stage.lvsd.ctl(&["drain", SERVER, "--reason", "new disk"])?;
    stage.expect_weight(Some(0))?;
    stage.expect_only_others()?;
    ensure!(held.ask()? == SERVER, "the held connection is elsewhere");

    stage.lvsd.ctl(&["inactive", SERVER, "--reason", "it leaves"])?;
    let begin = Instant::now();
    let is_gone = || stage.weight(DATAGRAMS).is_ok_and(|weight| weight.is_none());
    wait_until("the server is out of the UDP service at once", LIMIT, is_gone)?;
    while begin.elapsed() < HELD {
        ensure!(held.ask()? == SERVER, "the held connection is elsewhere");
        ensure!(stage.weight(WEB)? == Some(0), "{SERVER} is gone, though a connection is held");
    }
    drop(held);
    stage.expect_weight(None)?;
    let drained = begin.elapsed();
    ensure!(drained < LONG, "it left only when its time was over, after {drained:?}");
    println!("gone {:?} after its last connection", drained - HELD);

    // The cap.
    let host = stage.lvsd.host();
    stage.lvsd.configure_with(&configuration(host, CUT_OFF, Duration::from_secs(1)))?;
    stage.lvsd.ctl(&["reload"])?;
    stage.lvsd.ctl(&["pool", SERVER])?;
    stage.expect_weight(Some(WEIGHT))?;
    let mut held = stage.connect_to_server()?;
    let begin = Instant::now();
    stage.lvsd.ctl(&["inactive", SERVER])?;
    stage.expect_weight(Some(0))?;
    ensure!(held.ask()? == SERVER, "the held connection is elsewhere");
    stage.expect_weight(None)?;
    let capped = begin.elapsed();
    ensure!(capped >= CUT_OFF, "it left after {capped:?}, before its time was over");
    println!("gone after {capped:?} with a connection that never ends");
    // expire_nodest_conn: the client learns of it, and does not talk into nowhere.
    let said = held.ask().err().context("the held connection goes on after its server left")?;
    let is_silent = said
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    ensure!(!is_silent, "the client is not told that its connection is gone: {said}");
    Ok(())
}

/// What the kernel is set to: net.ipv4.vs.expire_nodest_conn, net.ipv4.vs.conn_reuse_mode.
type Sysctls = (&'static str, &'static str);

/// Whom a client gets to, asking again from a port whose last connection went to a server that was taken out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gets {
    /// The very server.
    Same,
    /// One that serves.
    Other,
    Nothing,
}

/// What follows from the sysctls while the server drains, and when it is gone. Both are as systemd/sysctl.d has them and
/// `lvsctl doctor` asks for in the last line. It is expire_nodest_conn that decides: a SYN on a connection whose server has
/// weight 0, or no place in the table, gets another server with it alone (ip_vs_in_hook in Linux'
/// net/netfilter/ipvs/ip_vs_core.c). conn_reuse_mode lets go of what has ended at a server that serves.
const OUTCOMES: [(Sysctls, Gets, Gets); 4] = [
    (("0", "0"), Gets::Same, Gets::Nothing),
    (("0", "1"), Gets::Same, Gets::Nothing),
    (("1", "0"), Gets::Other, Gets::Other),
    (("1", "1"), Gets::Other, Gets::Other),
];

/// The traps: kubernetes #81775 (a server at weight 0 never drains), #76664 (packets to one that is gone vanish).
pub(crate) fn a_client_that_uses_its_port_again_is_not_sent_to_a_server_that_drains_or_is_gone(
    world: &World,
) -> Result<()> {
    let mut stage = Stage::set(world, SHORT, Duration::from_secs(120))?;
    for (sysctls, drains, gone) in OUTCOMES {
        let words = "expire_nodest_conn, conn_reuse_mode";
        for (take_out, weight, expected) in [("drain", Some(0), drains), ("inactive", None, gone)] {
            let patience = if expected == Gets::Nothing { NONE } else { PATIENCE };
            let answer = stage.answer_from_used_port(sysctls, (take_out, weight), patience)?;
            println!("{words} = {sysctls:?}, lvsctl {take_out} {SERVER}: {answer:?}");
            let gets = match &answer {
                Ok(server) if server == SERVER => Gets::Same,
                Ok(_) => Gets::Other,
                Err(_) => Gets::Nothing,
            };
            ensure!(
                gets == expected,
                "{words} = {sysctls:?}, lvsctl {take_out} {SERVER}: the client gets {gets:?} ({answer:?}), not {expected:?}"
            );
        }
    }
    Ok(())
}

impl Stage {
    /// What a client gets that connects from a port whose last connection went to the server, once that was taken out by
    /// this command and has the weight that follows.
    fn answer_from_used_port(
        &mut self,
        (expire, reuse): Sysctls,
        (take_out, weight): (&str, Option<u32>),
        patience: Duration,
    ) -> Result<Result<String>> {
        self.lvsd
            .host()
            .sysctl(&[("net.ipv4.vs.expire_nodest_conn", expire), ("net.ipv4.vs.conn_reuse_mode", reuse)])?;
        self.lvsd.ctl(&["pool", SERVER])?;
        self.expect_weight(Some(WEIGHT))?;
        // One that was tried before is remembered by the kernel.
        let port = loop {
            self.next_port += 1;
            if self.ask_from(self.next_port, PATIENCE)? == SERVER {
                break self.next_port;
            }
        };
        self.lvsd.ctl(&[take_out, SERVER])?;
        self.expect_weight(weight)?;
        Ok(self.ask_from(port, patience))
    }
}
