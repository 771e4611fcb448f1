//! How fast routes to nodes get into the kernel, beside BIRD and iproute2: needs root, Debian's bird2 and iproute2.
//!
//! `fib_beside_bird FILE` measures in a network namespace of its own and writes what it found to FILE. All are watched
//! in the same way: from the moment that one is told to begin until the kernel has told of the last route. BIRD has its
//! routes from its own configuration, so that no BGP is in it; `ip -batch` does nothing else than write.

use anyhow::{Context, Result, bail, ensure};
use lvsd::engine::Inbox;
use lvsd::exec::fib::Handle;
use lvsd::fib::{FibRoute, Routes, Settings};
use lvsd::metrics::Metrics;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Blocks of a cluster far beyond a thousand nodes.
const ROUTES: u32 = 10_000;

/// The nodes that they are behind.
const NODES: u32 = 100;

/// Rounds of each; the median counts.
const ROUNDS: usize = 11;

/// The table that all write to, one after the other.
const TABLE: u32 = 77;

/// As long as a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// `RTMGRP_IPV4_ROUTE` of linux/rtnetlink.h.
const IPV4_ROUTE: u32 = 0x40;

fn main() -> Result<()> {
    let file = std::env::args().nth(1).context("usage: fib_beside_bird FILE")?;
    unshare(CloneFlags::CLONE_NEWNET).context("a network namespace; it needs root")?;
    for words in [
        "link set lo up",
        "link add eth0 type veth peer name far",
        "link set far up",
        "link set eth0 up",
        "addr add 10.64.0.1/22 dev eth0",
    ] {
        ip(words)?;
    }
    let watch = Watch::start()?;
    let directory = tempfile::tempdir()?;
    let mut found = String::new();
    for (name, all) in [
        ("lvsd", lvsd(&watch)?),
        ("bird", bird(&watch, directory.path())?),
        ("ip -batch", iproute(&watch, directory.path())?),
    ] {
        for (what, mut rounds) in ["install", "withdraw", "move"].into_iter().zip(all) {
            if rounds.is_empty() {
                continue;
            }
            rounds.sort();
            let (least, median) = (millis(rounds[0]), millis(rounds[rounds.len() / 2]));
            let most = millis(rounds[rounds.len() - 1]);
            println!("{name:<10} {what:<9} median {median:>8.1} ms  least {least:>8.1}  most {most:>8.1}");
            let comma = if found.is_empty() { "" } else { ",\n" };
            let _ = write!(
                found,
                "{comma}  {{\"what\": \"{name}, {what}\", \"routes\": {ROUTES}, \"rounds\": {ROUNDS}, \
                 \"min_ms\": {least:.3}, \"p50_ms\": {median:.3}, \"max_ms\": {most:.3}}}"
            );
        }
    }
    std::fs::write(&file, format!("[\n{found}\n]\n")).with_context(|| format!("write {file}"))
}

/// How long it took to install, to withdraw and to move all routes, each round.
type Times = [Vec<Duration>; 3];

fn blocks() -> impl Iterator<Item = (String, u32)> {
    let block = |n| format!("10.{}.{}.{}/26", 128 + n / 1024, n / 4 % 256, n % 4 * 64);
    (0..ROUTES).map(move |n| (block(n), n % NODES))
}

fn node(number: u32) -> String {
    format!("10.64.{}.{}", 1 + number / 200, 1 + number % 200)
}

/// lvsd's executor, told by its handle.
fn lvsd(watch: &Watch) -> Result<Times> {
    let routes = |shift: u32| -> Result<Routes> {
        let route = |(block, number): (String, u32)| {
            let next_hop = node((number + shift) % NODES).parse()?;
            Ok((block.parse()?, FibRoute { next_hop }))
        };
        blocks().map(route).collect()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (inbox, mut events) = Inbox::new();
        let handle = Handle::spawn(Settings::default(), inbox, Arc::new(Metrics::new()?));
        let reports = tokio::spawn(async move { while events.recv().await.is_some() {} });
        let mut times = Times::default();
        for _ in 0..ROUNDS {
            let (here, there) = (routes(0)?, routes(1)?);
            for (wanted, which) in [(here, 0), (there, 2), (Routes::new(), 1)] {
                let begin = watch.begin();
                handle.set(wanted);
                while !watch.is_done() {
                    ensure!(begin.elapsed() < PATIENCE, "lvsd: {} routes are not there", watch.left());
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                times[which].push(watch.end(begin));
            }
        }
        handle.stop();
        reports.abort();
        Ok(times)
    })
}

/// BIRD with the routes in its configuration, let into the kernel and out of it by its client.
fn bird(watch: &Watch, directory: &Path) -> Result<Times> {
    let mut text = format!(
        "router id 10.64.0.1;\nprotocol device {{ scan time 10; }}\nipv4 table pods;\nprotocol kernel {{ learn off; \
         kernel table {TABLE}; scan time 600; ipv4 {{ table pods; import none; export all; }}; }}\n\
         protocol direct {{ ipv4; }}\nprotocol static blocks {{ disabled; ipv4 {{ table pods; }};\n"
    );
    for (block, number) in blocks() {
        let _ = writeln!(text, "route {block} via {}%eth0 onlink;", node(number));
    }
    text.push_str("}\n");
    let (file, socket) = (directory.join("bird.conf"), directory.join("bird.ctl"));
    std::fs::write(&file, text)?;
    let child = Command::new("bird").arg("-f").arg("-c").arg(&file).arg("-s").arg(&socket).spawn();
    let _bird = Killed(child.context("bird, of Debian's bird2")?);
    let begin = Instant::now();
    while !socket.exists() {
        ensure!(begin.elapsed() < PATIENCE, "bird does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        for (word, which) in [("enable", 0), ("disable", 1)] {
            let begin = watch.begin();
            let mut client = Command::new("birdc");
            let asked =
                client.arg("-s").arg(&socket).args([word, "blocks"]).stdout(Stdio::null()).status()?;
            ensure!(asked.success(), "birdc {word}: {asked}");
            times[which].push(watch.wait(begin, "bird")?);
        }
    }
    Ok(times)
}

/// iproute2, which has one file of writes and does nothing else.
fn iproute(watch: &Watch, directory: &Path) -> Result<Times> {
    let (add, remove) = (directory.join("add"), directory.join("remove"));
    let mut files = [std::fs::File::create(&add)?, std::fs::File::create(&remove)?];
    for (block, number) in blocks() {
        writeln!(files[0], "route add {block} via {} dev eth0 onlink table {TABLE}", node(number))?;
        writeln!(files[1], "route del {block} table {TABLE}")?;
    }
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        for (file, which) in [(&add, 0), (&remove, 1)] {
            let begin = watch.begin();
            let done = Command::new("ip").arg("-batch").arg(file).status()?;
            ensure!(done.success(), "ip -batch: {done}");
            times[which].push(watch.wait(begin, "ip")?);
        }
    }
    Ok(times)
}

/// Counts what the kernel tells of the table, on a thread of its own.
struct Watch {
    told: Arc<AtomicUsize>,
    last: Arc<std::sync::Mutex<Instant>>,
}

impl Watch {
    fn start() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_rx_buf_sz(64 * 1024 * 1024)?;
        socket.bind(&SocketAddr::new(0, IPV4_ROUTE))?;
        let watch = Self { told: Arc::default(), last: Arc::new(std::sync::Mutex::new(Instant::now())) };
        let (told, last) = (Arc::clone(&watch.told), Arc::clone(&watch.last));
        std::thread::spawn(move || {
            let mut buffer = Vec::with_capacity(64 * 1024);
            loop {
                buffer.clear();
                if socket.recv(&mut buffer, 0).is_err() {
                    continue;
                }
                let now = Instant::now();
                let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&buffer) else {
                    continue;
                };
                let NetlinkPayload::InnerMessage(
                    RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
                ) = message.payload
                else {
                    continue;
                };
                if is_in_table(&route) {
                    *last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = now;
                    told.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Ok(watch)
    }

    fn begin(&self) -> Instant {
        self.told.store(0, Ordering::SeqCst);
        Instant::now()
    }

    fn left(&self) -> usize {
        (ROUTES as usize).saturating_sub(self.told.load(Ordering::SeqCst))
    }

    fn is_done(&self) -> bool {
        self.left() == 0
    }

    /// From the beginning to the last route.
    fn end(&self, begin: Instant) -> Duration {
        *self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) - begin
    }

    fn wait(&self, begin: Instant, who: &str) -> Result<Duration> {
        while !self.is_done() {
            ensure!(begin.elapsed() < PATIENCE, "{who}: {} routes are not there", self.left());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(self.end(begin))
    }
}

fn is_in_table(route: &RouteMessage) -> bool {
    route.header.table == TABLE as u8 || route.attributes.contains(&RouteAttribute::Table(TABLE))
}

/// A process that ends with its owner.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn ip(words: &str) -> Result<()> {
    let output = Command::new("ip").args(words.split(' ')).output().context("ip, of Debian's iproute2")?;
    if !output.status.success() {
        bail!("ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
