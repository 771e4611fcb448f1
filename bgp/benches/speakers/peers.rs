//! A thousand neighbours at once: one process is all of them.

use std::{
    fs,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bgp::{
    Family, Path, Prefix,
    wire::{Announcement, Framer, Message, NextHop, encode_announce, encode_end_of_rib, encode_keepalive},
};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    child::{Process, VIPS, answer},
    daemons::resident,
    neighbour::{CONTEXT, heard, open},
};

const NEIGHBOURS: u32 = 1000;
pub(crate) const ASN: u32 = 65_030;
pub(crate) const PORT: u16 = 1791;

/// What each neighbour announces: as many blocks as a node of a cluster has.
const BLOCKS: u32 = 4;

/// Hold time that the neighbours propose, and how often they say that they live.
const HOLD_TIME: u16 = 90;
const ALIVE: Duration = Duration::from_secs(30);

/// How long the idle sessions are looked at: every KEEPALIVE of both sides falls into it.
const IDLE: Duration = Duration::from_secs(30);

/// The address of a neighbour.
pub(crate) const fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a61_0001 + number)
}

/// The process that is all neighbours: they are dialled.
pub(crate) fn neighbours(number: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let known = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&known);
    runtime.spawn(async move {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await.expect("the port is free");
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(neighbour(stream, Arc::clone(&counted)));
        }
    });
    // How many VIPs all of them have, together.
    answer(|_| vec![known.load(Ordering::SeqCst), usize::try_from(number).unwrap_or(0)]);
}

/// One neighbour, for as long as the connection lasts.
async fn neighbour(mut stream: TcpStream, known: Arc<AtomicUsize>) {
    let Ok(std::net::IpAddr::V4(own)) = stream.local_addr().map(|address| address.ip()) else { return };
    let mut out = Vec::new();
    open(ASN, own, HOLD_TIME).encode(&mut out).expect("it fits");
    encode_keepalive(&mut out);
    let number = own.to_bits() - address(0).to_bits();
    let block = |n| {
        let bits = 0x0a43_0000_u32 + ((number * BLOCKS + n) << 6);
        Prefix::new(Ipv4Addr::from_bits(bits).into(), 26).expect("a prefix")
    };
    let announcement = Announcement::new(Path::sequence(vec![ASN]), NextHop::V4(own));
    encode_announce(&mut out, &announcement, &(0..BLOCKS).map(block).collect::<Vec<_>>(), true)
        .expect("it fits");
    encode_end_of_rib(&mut out, Family::Ipv4);
    let mut framer = Framer::new();
    loop {
        if stream.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
        // Whatever comes, and however long nothing does, it is answered with a sign of life.
        encode_keepalive(&mut out);
        let Ok(read) = timeout(ALIVE, stream.read(framer.space())).await else { continue };
        let Ok(count @ 1..) = read else { return };
        framer.filled(count);
        while let Ok(Some(frame)) = framer.next_frame(false) {
            let Ok(message) = Message::decode(frame, CONTEXT) else { return };
            if let Some(update) = heard(&message) {
                known.fetch_add(update.announced, Ordering::SeqCst);
                known.fetch_sub(update.withdrawn, Ordering::SeqCst);
            }
        }
    }
}

/// What a thousand neighbours cost.
#[derive(Debug, Serialize)]
pub(crate) struct Many {
    neighbours: u32,
    routes: u32,
    established_s: f64,
    learned_s: f64,
    processor_s: f64,
    resident_mb: f64,
    told_ms: f64,
    withdrawn_ms: f64,
    idle_cores: f64,
    sessions_lost: usize,
}

/// Processor seconds that a process has had.
fn processor(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    // utime and stime, in hundredths of a second.
    (ticks(11) + ticks(12)) / 100.0
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn many() -> Many {
    let number = NEIGHBOURS.to_string();
    let count = usize::try_from(NEIGHBOURS).expect("it fits");
    let mut them = Process::start(&["neighbours", &number]);
    them.ask("ready?");
    let start = Instant::now();
    let mut us = Process::start(&["speaker", &number]);
    wait("all sessions", || us.ask("sessions").first() == Some(&count));
    let established_s = start.elapsed().as_secs_f64();
    let routes = NEIGHBOURS * BLOCKS;
    wait("all routes", || us.ask("learned").first() == usize::try_from(routes).ok().as_ref());
    let (learned_s, processor_s) = (start.elapsed().as_secs_f64(), processor(us.id()));
    let told = count * usize::try_from(VIPS).expect("it fits");
    let mut timed = |word: &str, wanted: usize| {
        let start = Instant::now();
        us.ask(word);
        wait(word, || them.ask("known").first() == Some(&wanted));
        start.elapsed().as_secs_f64() * 1000.0
    };
    let (told_ms, withdrawn_ms) = (timed("announce", told), timed("withdraw", 0));
    let (before, since) = (processor(us.id()), Instant::now());
    std::thread::sleep(IDLE);
    let idle_cores = (processor(us.id()) - before) / since.elapsed().as_secs_f64();
    let ever = us.ask("sessions").get(1).copied().unwrap_or(0);
    let many = Many {
        neighbours: NEIGHBOURS,
        routes,
        established_s,
        learned_s,
        processor_s,
        resident_mb: resident(us.id()) / 1e6,
        told_ms,
        withdrawn_ms,
        idle_cores,
        sessions_lost: ever - count,
    };
    println!("\n{many:#?}");
    many
}
