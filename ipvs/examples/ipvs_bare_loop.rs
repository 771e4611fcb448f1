//! What writing to IPVS costs at least: the bytes of a whole table, made beforehand, sent in batches over a bare socket
//! whose acknowledgements are read; once with every message acknowledged and once, as the engine has it, with the last of
//! each batch; then the same table by the engine, from operations to results.
//!
//! Each is measured in a network namespace of its own, because a destination that was deleted lies in the kernel's
//! trash for minutes, and each one that is added is first looked for there, one by one (`ip_vs_trash_get_dest`).
//!
//! Needs root. Prints one line of JSON for each scheduler.
//!
//! ```text
//! ipvs_bare_loop [SERVICES DESTINATIONS ROUNDS]
//! ```
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made ends with what was in its way")]

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ipvs::wire::{Body, Messages, Request, family_id, without_acknowledgement};
use ipvs::{
    Destination, DestinationKey, Entry, Family, Ipvs, Options, Protocol, Scheduler, SchedulerFlags, Service,
    ServiceKey, Table, Weight, diff,
};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket,
};

/// As the engine has it.
const BATCH: usize = 128;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<u32>().unwrap());
    let mut next = |default| numbers.next().unwrap_or(default);
    let (services, destinations, rounds) = (next(1000), next(20), next(3));
    let mut kept = Vec::new();
    for scheduler in [Scheduler::Wrr, Scheduler::Mh] {
        let table = table(services, destinations, &scheduler);
        let (mut acknowledged, mut bare, mut engine) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let every = |table: &Table| by_bare_loop(table, true);
            acknowledged.push(in_fresh_namespace(&table, every, &mut kept));
            bare.push(in_fresh_namespace(&table, |table| by_bare_loop(table, false), &mut kept));
            engine.push(in_fresh_namespace(&table, by_engine, &mut kept));
        }
        let ops = diff(&Table::new(), &table, &BTreeSet::new()).len();
        let each = |times: &[Duration]| best(times) * 1e6 / ops as f64;
        println!(
            "{{\"scheduler\":\"{scheduler}\",\"operations\":{ops},\"all_acknowledged_us\":{:.2},\"bare_us\":{:.2},\
             \"engine_us\":{:.2},\"engine_seconds\":{:.4},\"ratio\":{:.3},\"ratio_to_all_acknowledged\":{:.3}}}",
            each(&acknowledged),
            each(&bare),
            each(&engine),
            best(&engine),
            best(&engine) / best(&bare),
            best(&engine) / best(&acknowledged),
        );
    }
}

/// The namespace is kept, so that the kernel does not take it apart while the next one is measured.
fn in_fresh_namespace(table: &Table, measure: fn(&Table) -> Duration, kept: &mut Vec<File>) -> Duration {
    let (took, namespace) = thread::scope(|scope| {
        let measured = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            // A namespace that never had an IPv4 address takes every one for broadcast, and IPVS refuses it (EINVAL).
            assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
            let namespace = File::open("/proc/thread-self/ns/net").unwrap();
            (measure(table), namespace)
        });
        measured.join().unwrap()
    });
    kept.push(namespace);
    took
}

fn best(times: &[Duration]) -> f64 {
    times.iter().min().unwrap().as_secs_f64()
}

fn table(services: u32, destinations: u32, scheduler: &Scheduler) -> Table {
    let flags = SchedulerFlags { fallback: true, port: true, third: false };
    let flags = if scheduler.takes_flags() { flags } else { SchedulerFlags::NONE };
    let service = Service::new(scheduler.clone(), flags).unwrap();
    let addresses = |number: u32| -> ServiceKey {
        let address = match number % 2 {
            0 => Ipv4Addr::from(0xc612_0000 + number).into(),
            _ => Ipv6Addr::from(0x2001_0db8_0000_0001_u128 << 64 | u128::from(number)).into(),
        };
        ServiceKey::Address { protocol: Protocol::Tcp, address, port: 80 }
    };
    (0..services)
        .map(|number| {
            let key = addresses(number);
            let mut entry = Entry::new(service.clone());
            for number in 1..=destinations {
                let address = match key.family() {
                    Family::V4 => Ipv4Addr::from(0x0a00_0000 + number).into(),
                    Family::V6 => {
                        Ipv6Addr::from(0x2001_0db8_0000_0002_u128 << 64 | u128::from(number)).into()
                    }
                };
                let destination = Destination::direct_routing(Weight::new(10).unwrap());
                entry.add(&key, DestinationKey { address, port: 80 }, destination).unwrap();
            }
            (key, entry)
        })
        .collect()
}

fn by_engine(table: &Table) -> Duration {
    let ipvs = Ipvs::open(Options::default()).unwrap();
    let ops = diff(&Table::new(), table, &BTreeSet::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let began = Instant::now();
    let results = runtime.block_on(ipvs.apply(ops)).unwrap();
    let took = began.elapsed();
    assert!(results.iter().all(Result::is_ok));
    took
}

fn by_bare_loop(table: &Table, every_one_is_acknowledged: bool) -> Duration {
    let socket = open();
    let family = resolve(&socket);
    let ops = diff(&Table::new(), table, &BTreeSet::new());
    let batches: Vec<(usize, Vec<u8>)> = ops
        .chunks(BATCH)
        .map(|chunk| {
            let mut bytes = Vec::new();
            let mut last = 0;
            for (sequence, op) in (1..).zip(chunk) {
                let begin = bytes.len();
                Request::Write(op).encode(family, sequence, &mut bytes).unwrap();
                if !every_one_is_acknowledged {
                    without_acknowledgement(&mut bytes[last..begin]);
                }
                last = begin;
            }
            (if every_one_is_acknowledged { chunk.len() } else { 1 }, bytes)
        })
        .collect();
    let mut buffer = vec![0; 64 * 1024];
    let began = Instant::now();
    for (count, bytes) in &batches {
        send(socket.as_raw_fd(), bytes, MsgFlags::empty()).unwrap();
        for _ in 0..*count {
            let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
            // struct nlmsgerr: the errno comes after the header.
            assert!(length >= 20 && buffer[16..20] == [0; 4]);
        }
    }
    began.elapsed()
}

fn open() -> OwnedFd {
    let protocol = SockProtocol::NetlinkGeneric;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    setsockopt(&socket, RcvBufForce, &(4 * 1024 * 1024)).unwrap();
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
    socket
}

fn resolve(socket: &OwnedFd) -> u16 {
    let mut bytes = Vec::new();
    Request::ResolveFamily.encode(0, 1, &mut bytes).unwrap();
    send(socket.as_raw_fd(), &bytes, MsgFlags::empty()).unwrap();
    let mut family = None;
    loop {
        let mut buffer = vec![0; 64 * 1024];
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
        for message in Messages::new(&buffer[..length]) {
            match message.unwrap().body {
                Body::Attributes { attributes, .. } => family = Some(family_id(attributes).unwrap()),
                _ => return family.unwrap(),
            }
        }
    }
}
