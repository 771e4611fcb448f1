//! lvsd and keepalived with the same checks of the same servers, one after the other, in the lab's kernel: what each
//! takes of its processor.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ipvs::{Entry, Weight};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::measure::figures::{Report, Required};
use lab::measure::process::{processor, resident};
use lab::nginx::Nginx;
use lab::site::LIMIT;
use lab::table;
use lab::wait::wait_until;

use crate::ground::{LOGS, keepalived};
use crate::picture::Load;
use crate::server::PORT;

/// Each load is looked at for so long, once all first results are there.
const WINDOW: Duration = Duration::from_secs(20);

/// Until then.
const WARM_UP: Duration = Duration::from_secs(12);

/// TCP checks every second, up to what this kernel's one processor can do.
const LADDER: [u32; 4] = [100, 300, 1_000, 2_000];

/// So many it does on any machine.
const SURE: u32 = 300;

/// HTTP checks every ten seconds, and what of keepalived's processor time lvsd may take for them.
const HTTP: u32 = 1_000;
const SHARE: Required = Required::AtMost(1.0 / 3.0);

/// Backends of a service.
const POOL: u32 = 50;

/// What is checked, and how often.
#[derive(Clone, Copy, Debug)]
struct Checks {
    is_http: bool,
    number: u32,
    interval: u64,
}

/// What it took: cores, and resident memory in bytes.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cores: f64,
    memory: f64,
    done: f64,
}

/// Measures it and gives the loads of the ladder.
pub(crate) fn measure(report: &mut Report) -> Result<Vec<Load>> {
    println!("lvsd and keepalived with the same checks, {} s each:", WINDOW.as_secs());
    let checks = Checks { is_http: true, number: HTTP, interval: 10 };
    let [lvsd, other] = both(checks, "http")?;
    let name = format!("{HTTP} HTTP checks every 10 s");
    tell(report, &name, checks, lvsd, other);
    report.value(&format!("{name}: cores, lvsd / keepalived"), lvsd.cores / other.cores, "", SHARE);
    let mut loads = Vec::new();
    for number in LADDER {
        let checks = Checks { is_http: false, number, interval: 1 };
        let [lvsd, other] = match both(checks, &format!("tcp{number}")) {
            Err(error) if number > SURE => {
                println!("  {number} TCP checks every second are more than this kernel does: {error:#}");
                break;
            }
            result => result?,
        };
        let name = format!("{number} TCP checks every second");
        tell(report, &name, checks, lvsd, other);
        for (name, cost) in [("lvsd", lvsd), ("keepalived", other)] {
            loads.push(Load { name: name.into(), wanted: number.into(), done: cost.done, cores: cost.cores });
        }
    }
    Ok(loads)
}

fn tell(report: &mut Report, name: &str, checks: Checks, lvsd: Cost, other: Cost) {
    let mut value =
        |what: &str, value, unit| report.value(&format!("{name}: {what}"), value, unit, Required::Nothing);
    for (who, cost) in [("lvsd", lvsd), ("keepalived", other)] {
        value(&format!("done per second, {who}"), cost.done, "");
        value(&format!("cores, {who}"), cost.cores, "");
        value(&format!("checks per second and core, {who}"), cost.done / cost.cores, "");
        value(&format!("resident memory, {who}"), cost.memory / 1e6, "MB");
        value(&format!("memory for a check, {who}"), cost.memory / f64::from(checks.number), "bytes");
    }
}

fn both(checks: Checks, name: &str) -> Result<[Cost; 2]> {
    Ok([lvsd(checks, name)?, other(checks, name)?])
}

/// A balancer, and a host that has all servers' addresses, with nginx. The kernel has room for all of these as neighbours.
fn ground(name: &str) -> Result<(Host, Host, Nginx)> {
    for bound in ["gc_thresh3", "gc_thresh2", "gc_thresh1"] {
        fs::write(format!("/proc/sys/net/ipv4/neigh/default/{bound}"), "16384").context(bound)?;
    }
    let logs = Path::new(LOGS);
    fs::create_dir_all(logs)?;
    let balancer = Host::create(name, logs)?;
    let servers = Host::create(&format!("{name}-s"), logs)?;
    let script = format!(
        "ip link set lo up; ip link add eth0 type veth peer name eth0 netns {0}; ip addr add 10.1.255.1/16 dev eth0; \
         ip link set eth0 up; ip -n {0} link set lo up; ip -n {0} link set eth0 up; \
         ip -n {0} addr add 10.1.255.2/16 dev eth0; ip -n {0} route add local 10.1.128.0/18 dev lo",
        servers.name()
    );
    balancer.run(&["sh", "-ec", &script])?;
    let mut nginx = Nginx::start(&servers)?;
    nginx.wait_ready(LIMIT)?;
    Ok((balancer, servers, nginx))
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 128, 1)) + number)
}

fn vip(service: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)) + service)
}

/// The numbers of each service's backends.
fn services(checks: Checks) -> impl Iterator<Item = (u32, std::ops::Range<u32>)> {
    (0..checks.number.div_ceil(POOL))
        .map(move |service| (service, service * POOL..checks.number.min((service + 1) * POOL)))
}

fn lvsd(checks: Checks, name: &str) -> Result<Cost> {
    let (host, _servers, mut nginx) = ground(&format!("l{name}"))?;
    let mut lvsd = Lvsd::new(&host, vec![("LVSD_LOG".to_owned(), "warn".to_owned())]);
    lvsd.configure_with(&lvsd_configuration(&host, checks))?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT * 4)?;
    wait_serving(&host, checks)?;
    let cost = watch(&host, &[lvsd.pid()?])?;
    lvsd.kill()?;
    nginx.kill()?;
    Ok(cost)
}

fn other(checks: Checks, name: &str) -> Result<Cost> {
    let (host, _servers, mut nginx) = ground(&format!("k{name}"))?;
    let mut process = keepalived(&host, &keepalived_configuration(checks))?;
    wait_serving(&host, checks)?;
    let cost = watch(&host, &family(process.pid())?)?;
    process.terminate(LIMIT)?;
    nginx.kill()?;
    Ok(cost)
}

/// Waits until every server passes, and has done so for a while: checks that fail cost something else.
fn wait_serving(host: &Host, checks: Checks) -> Result<()> {
    wait_until("every server is in the table with a weight", LIMIT * 4, || {
        let serving = |entry: &Entry| {
            entry.destinations.values().filter(|server| server.weight != Weight::ZERO).count()
        };
        table::whole(host).is_ok_and(|table| {
            table.iter().map(|(_, entry)| serving(entry)).sum::<usize>() == checks.number as usize
        })
    })?;
    thread::sleep(WARM_UP);
    Ok(())
}

/// A process and its children.
fn family(process: u32) -> Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    let children = children.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    ensure!(!children.is_empty(), "keepalived has no checker");
    Ok([process].into_iter().chain(children).collect())
}

/// What these processes of `host` take within the window; what they do is counted in the connections that it opens.
fn watch(host: &Host, processes: &[u32]) -> Result<Cost> {
    let (before, opened) = (used_by(processes)?, connections(host)?);
    let start = Instant::now();
    thread::sleep(WINDOW);
    let took = start.elapsed().as_secs_f64();
    let used = used_by(processes)? - before;
    let done = (connections(host)? - opened) / took;
    let memory = processes.iter().map(|process| resident(*process)).sum::<Result<f64>>()?;
    Ok(Cost { cores: used / took, memory, done })
}

/// Processor seconds of these processes so far.
fn used_by(processes: &[u32]) -> Result<f64> {
    processes.iter().map(|process| processor(*process)).sum()
}

/// TCP connections that the host has opened so far.
fn connections(host: &Host) -> Result<f64> {
    let text = host.run(&["cat", "/proc/net/snmp"])?;
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = lines.next().zip(lines.next()).context("no Tcp in /proc/net/snmp")?;
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let (_, opened) = pairs.find(|(name, _)| *name == "ActiveOpens").context("no ActiveOpens")?;
    Ok(opened.parse()?)
}

fn lvsd_configuration(host: &Host, checks: Checks) -> String {
    let files = host.files();
    let files = files.display();
    let mut text = format!(
        "[lvsd]\nstate_dir = \"{files}/state\"\ncontrol_socket = \"{files}/control.sock\"\nhttp = \"127.0.0.1:9090\"\n"
    );
    let Checks { is_http, interval, .. } = checks;
    let kind = if is_http { "http" } else { "tcp" };
    for (service, backends) in services(checks) {
        let _ = write!(
            text,
            "\n[service.s{service}]\nvips = [\"{}\"]\nport = {PORT}\n[[service.s{service}.checks]]\n\
             type = \"{kind}\"\ninterval = \"{interval}s\"\n",
            vip(service)
        );
        for backend in backends {
            let _ = write!(
                text,
                "[[service.s{service}.backends]]\nhost = \"b{backend}\"\naddresses = [\"{}\"]\n",
                address(backend)
            );
        }
    }
    text
}

fn keepalived_configuration(checks: Checks) -> String {
    let check = if checks.is_http {
        "    HTTP_GET {\n      url {\n        path /\n        status_code 200\n      }\n      connect_timeout 1\n    }\n"
    } else {
        "    TCP_CHECK {\n      connect_timeout 1\n    }\n"
    };
    let mut text = String::from("global_defs {\n  router_id bench\n}\n");
    for (service, backends) in services(checks) {
        let _ = writeln!(
            text,
            "virtual_server {} {PORT} {{\n  delay_loop {}\n  lvs_sched wrr\n  lvs_method DR\n  protocol TCP",
            vip(service),
            checks.interval
        );
        for backend in backends {
            let _ = writeln!(text, "  real_server {} {PORT} {{\n    weight 1\n{check}  }}", address(backend));
        }
        text += "}\n";
    }
    text
}
