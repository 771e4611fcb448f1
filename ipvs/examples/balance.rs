//! Balances TCP connections to a port over hosts, by direct routing, until its input ends or it is interrupted; then
//! takes away what it added.
//!
//! ```text
//! balance 192.0.2.10:80 wrr 10.0.0.7:3 10.0.0.8:1
//! balance [2001:db8::10]:80 mh [2001:db8::7]:1 [2001:db8::8]:1
//! ```
//!
//! The hosts' numbers are their weights. The VIP must be an address of this machine (`ip address add 192.0.2.10/32 dev
//! lo` will do) and of each host, where ARP must not tell of it; packets for it must be routed here. Needs root.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use ipvs::{
    Destination, DestinationKey, Entry, Ipvs, Options, Protocol, Scheduler, SchedulerFlags, Service,
    ServiceKey, Table, Weight, diff, sh,
};
use nix::sys::signal::{SigSet, Signal};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = wanted(&arguments).and_then(|(key, entry)| balance(key, entry));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("balance: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The service that the arguments ask for.
fn wanted(arguments: &[String]) -> Result<(ServiceKey, Entry), Failure> {
    let [vip, scheduler, hosts @ ..] = arguments else {
        return Err("usage: balance VIP:PORT SCHEDULER HOST:WEIGHT...".into());
    };
    let vip: SocketAddr = vip.parse().map_err(|_| format!("{vip:?} is no address and port"))?;
    let key = ServiceKey::Address { protocol: Protocol::Tcp, address: vip.ip(), port: vip.port() };
    let scheduler: Scheduler = scheduler.parse()?;
    let mut flags = SchedulerFlags::NONE;
    if scheduler.takes_flags() {
        // Without fallback, the clients of a host at weight 0 get none.
        (flags.fallback, flags.port) = (true, true);
    }
    let (mut addresses, mut weights) = (Vec::new(), Vec::new());
    for host in hosts {
        // An address and a weight look like an address and a port.
        let host: SocketAddr = host.parse().map_err(|_| format!("{host:?} is no address and weight"))?;
        addresses.push(host.ip());
        weights.push(Weight::new(host.port().into())?);
    }
    if scheduler == Scheduler::Sh {
        weights = sh::scaled_weights(&weights)?;
    }
    let mut entry = Entry::new(Service::new(scheduler, flags)?);
    for (address, weight) in addresses.into_iter().zip(weights) {
        // With direct routing the host sees the packet as it came, so the port is the service's.
        let destination = DestinationKey { address, port: vip.port() };
        entry.add(&key, destination, Destination::direct_routing(weight))?;
    }
    Ok((key, entry))
}

fn balance(key: ServiceKey, entry: Entry) -> Result<(), Failure> {
    // Before any thread begins, so that none of them is ended by a signal.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    let ipvs = Ipvs::open(Options::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    if runtime.block_on(ipvs.dump())?.table.contains_key(&key) {
        return Err(format!("{key} is balanced already, by another program").into());
    }
    let want = Table::from_iter([(key, entry)]);
    let result = runtime.block_on(bring(&ipvs, &want, key));
    if result.is_ok() {
        println!(
            "{key} is balanced over {} hosts",
            want.get(&key).map_or(0, |entry| entry.destinations.len())
        );
        wait_for_the_end(signals)?;
    }
    // What was added goes, also when only a part of it could be.
    let removed = runtime.block_on(bring(&ipvs, &Table::new(), key));
    result.and(removed)
}

/// Brings one service to what is wanted of it and leaves all others alone.
async fn bring(ipvs: &Ipvs, want: &Table, key: ServiceKey) -> Result<(), Failure> {
    let have = ipvs.dump().await?.table;
    for result in ipvs.apply(diff(&have, want, &BTreeSet::from([key]))).await? {
        result?;
    }
    Ok(())
}

/// The end of the input, or a signal. The threads that wait end with the program.
fn wait_for_the_end(signals: SigSet) -> Result<(), Failure> {
    let (ended, end) = mpsc::channel();
    let by_signal = ended.clone();
    thread::spawn(move || signals.wait().map(|_| by_signal.send(())));
    thread::spawn(move || {
        let mut nothing = [0; 512];
        while matches!(std::io::stdin().read(&mut nothing), Ok(1..)) {}
        ended.send(())
    });
    Ok(end.recv()?)
}
