//! The balancer with a thousand nodes: from its start to the last route in the kernel, at rest, and when a block moves.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::configuration::Configuration;
use lab::host::{Host, Process};
use lab::lvsd::Lvsd;
use lab::measure::figures::{Report, Required};
use lab::network::Lab;
use lab::wait::wait_until;
use lab::world::World;

use crate::crowd::{ASN, BLOCKS, NODES, ORDERS, PORT, WORD, address, block};

/// Nothing here takes so long, on the slowest day.
const LIMIT: Duration = Duration::from_secs(300);

/// How long the idle sessions are looked at: KEEPALIVEs of both sides fall into it.
const IDLE: Duration = Duration::from_secs(30);

/// Blocks that move, one after the other.
const MOVES: u32 = 50;

/// How often lvsctl is asked.
const QUESTIONS: usize = 5;

/// Measures it.
pub(crate) fn measure(world: &World, report: &mut Report) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let nodes = lab.add_host(world, "nodes", 21, &[])?;
    let balancer = &lab.balancers[0];
    balancer.run(&["ip", "address", "add", "10.3.0.1/16", "dev", "eth0"])?;
    let _crowd = crowd(&nodes)?;

    println!("{NODES} nodes with {BLOCKS} blocks each:");
    let begin = Instant::now();
    let mut lvsd = Lvsd::start_with(balancer, &configuration(balancer))?;
    lvsd.wait_ready(LIMIT)?;
    let sessions = f64::from(NODES);
    wait_until("all sessions", LIMIT, || {
        lvsd.metric("lvsd_nodes_sessions_established").is_ok_and(|up| up >= sessions)
    })?;
    report.value("start to all sessions", begin.elapsed().as_secs_f64(), "s", Required::Nothing);
    let installed = "lvsd_fib_routes{state=\"installed\"}";
    let routes = f64::from(NODES * BLOCKS);
    wait_until("all routes", LIMIT, || lvsd.metric(installed).is_ok_and(|there| there >= routes))?;
    report.value("start to all routes in the kernel", begin.elapsed().as_secs_f64(), "s", Required::Nothing);
    report.value("its processor time until then", processor(lvsd.pid()?)?, "s", Required::Nothing);

    let (before, since) = (processor(lvsd.pid()?)?, Instant::now());
    std::thread::sleep(IDLE);
    let idle = (processor(lvsd.pid()?)? - before) / since.elapsed().as_secs_f64();
    report.value("at rest, processors", idle, "", Required::Nothing);
    report.value(
        "at rest, resident memory",
        lvsd.resident_kilobytes()? as f64 / 1024.0,
        "MiB",
        Required::Nothing,
    );

    report.latency("a block moves: told to the kernel's route", moves(&lvsd, &nodes)?, Required::Nothing)?;
    for what in ["nodes", "routes"] {
        let asked = (0..QUESTIONS).map(|_| {
            let begin = Instant::now();
            lvsd.ctl(&[what])?;
            Ok(begin.elapsed().as_secs_f64() * 1000.0)
        });
        report.latency(&format!("lvsctl {what}"), asked.collect::<Result<_>>()?, Required::Nothing)?;
    }
    let established = lvsd.metric("lvsd_nodes_sessions_established")?;
    ensure!(established >= sessions, "{established} of {sessions} sessions are left");
    Ok(())
}

/// Starts all nodes on their addresses.
fn crowd(nodes: &Host) -> Result<Process> {
    let mut lines = String::new();
    (0..NODES).try_for_each(|node| writeln!(lines, "address add {}/16 dev eth0", address(node)))?;
    let file = nodes.files().join("addresses");
    fs::write(&file, lines)?;
    nodes.run(&["ip", "-batch", &file.display().to_string()])?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WORD);
    let crowd = nodes.spawn(WORD, command)?;
    wait_until("the nodes answer", LIMIT, || orders(nodes).is_ok())?;
    Ok(crowd)
}

/// Where the nodes take orders.
fn orders(nodes: &Host) -> Result<TcpStream> {
    Ok(nodes.enter(|| TcpStream::connect((Ipv4Addr::LOCALHOST, ORDERS)))??)
}

fn configuration(balancer: &Host) -> String {
    let mut text = Configuration::with_web(64_600).render(balancer);
    text += "\n[nodes]\nmode = \"static\"\nlocal_ipv4 = \"10.3.0.1\"\npool = [{ cidr = \"10.68.0.0/14\" }]\n";
    for node in 0..NODES {
        text += &format!(
            "[[nodes.node]]\nname = \"node{node}\"\nasn = {ASN}\nport = {PORT}\naddresses = [\"{}\"]\n",
            address(node)
        );
    }
    text
}

/// Milliseconds from the order to the kernel's route by the other node, one block after the other.
fn moves(lvsd: &Lvsd, nodes: &Host) -> Result<Vec<f64>> {
    let routes = monitor(lvsd.host())?;
    let mut orders = orders(nodes)?;
    let mut times = Vec::new();
    for number in 0..MOVES {
        // Blocks of different nodes, each to the next but one.
        let (block_number, from) = (number * 16 * BLOCKS, number * 16);
        let to = from + 2;
        let (prefix, way) = (block(block_number)?.to_string(), format!("via {} ", address(to)));
        let begin = Instant::now();
        writeln!(orders, "{block_number} {from} {to}")?;
        loop {
            let (line, at) = routes.recv_timeout(LIMIT).with_context(|| format!("{prefix} did not move"))?;
            if line.contains(&prefix) && line.contains(&way) {
                times.push(at.duration_since(begin).as_secs_f64() * 1000.0);
                break;
            }
        }
        // The next is a change of its own.
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(times)
}

/// What the kernel tells of its routes, with the time of each line. It ends with the lab's kernel.
fn monitor(host: &Host) -> Result<Receiver<(String, Instant)>> {
    let mut command = Command::new("ip");
    command.args(["-4", "monitor", "route"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = host.enter(|| command.spawn())??;
    let output = child.stdout.take().context("no output of ip monitor")?;
    let (lines, heard) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send((line, Instant::now())).is_err() {
                break;
            }
        }
        drop(child.kill());
    });
    Ok(heard)
}

/// Processor seconds that a process has had.
fn processor(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks =
        |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("no time in stat");
    // utime and stime, in hundredths of a second.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
