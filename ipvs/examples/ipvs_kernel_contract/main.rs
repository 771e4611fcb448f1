//! What this crate takes for granted about a kernel's IPVS, checked against the kernel that it runs on.
//!
//! Needs root, `ipvsadm`, and a network namespace whose IPVS table is empty. Prints a line for each check; exits
//! non-zero when one fails.

mod examples;
mod faults;
mod full_table;
mod hashing;
mod ipvsadm;
mod order;
mod random;
mod settings;
mod statistics;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ipvs::{
    Destination, DestinationKey, Entry, Family, Forward, Ipvs, Op, Options, Persistence, Protocol, Refusal,
    Scheduler, SchedulerFlags, Service, ServiceKey, Table, Tunnel, TunnelKind, Weight, diff,
};

use full_table::full_table;
use order::{a_destination_at_weight_0, a_late_destination, balancers_agree};
use random::random_tables;

type Failure = Box<dyn std::error::Error>;
type Checked = Result<String, Failure>;

/// The kernel may lack schedulers that nobody uses, but not these.
const REQUIRED: [Scheduler; 4] = [Scheduler::Rr, Scheduler::Wrr, Scheduler::Sh, Scheduler::Mh];

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    match runtime.block_on(run()) {
        Ok(0) => {
            println!("ipvs_kernel_contract: all checks passed");
            ExitCode::SUCCESS
        }
        Ok(failed) => {
            println!("ipvs_kernel_contract: {failed} checks FAILED");
            ExitCode::FAILURE
        }
        Err(error) => refuse(&*error),
    }
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    println!("FAILED  start: {error}");
    ExitCode::FAILURE
}

async fn run() -> Result<u32, Failure> {
    let ipvs = Ipvs::open(Options::default())?;
    if !ipvs.dump().await?.table.is_empty() {
        return Err("the IPVS table of this network namespace is not empty: run in a fresh one".into());
    }
    let mut failed = 0;
    let mut report = |name: &str, checked: Checked| match checked {
        Ok(said) => println!("ok      {name}{}{said}", if said.is_empty() { "" } else { ": " }),
        Err(error) => {
            failed += 1;
            println!("FAILED  {name}: {error}");
        }
    };
    report("each scheduler's services and destinations read back as written", schedulers(&ipvs).await);
    report("every kind of service and destination reads back as written", kinds(&ipvs).await);
    report("changes are set in place", changes(&ipvs).await);
    report("refusals are told operation by operation", refusals(&ipvs).await);
    report("every operation of a long failing list gets its result", many_refusals(&ipvs).await);
    report("random tables are the same to ipvsadm, both ways", random_tables(&ipvs).await);
    report("the example `table` prints what ipvsadm does", examples::table_is_ipvsadms(&ipvs).await);
    report("the example `balance` takes away what it added", examples::balance_cleans_up(&ipvs).await);
    report("timeouts are set and read", settings::timeouts(&ipvs).await);
    report("sync daemons are started, changed and stopped", settings::daemons(&ipvs).await);
    report("the version is that of ipvsadm", settings::version(&ipvs).await);
    report("counters are those of ipvsadm, and are set to 0", statistics::counters());
    for scheduler in [Scheduler::Mh, Scheduler::Sh] {
        let agree =
            format!("balancers with different histories give clients the same destinations by {scheduler}");
        report(&agree, balancers_agree(&scheduler));
    }
    report("sh shares clients by divided weights", hashing::shares_of_sh());
    report("without fallback a destination at weight 0 turns its clients away", hashing::fallback());
    report("a late destination makes mh differ until it is sorted", a_late_destination());
    report("a destination that begins at weight 0 can have its slots", a_destination_at_weight_0());
    report("lost answers are a resync, and the next request works", faults::overrun().await);
    report("a foreign service is counted and left alone", faults::foreign_service(&ipvs).await);
    report("a full table reads back as written", full_table(&ipvs).await);
    report("dumps go on while another writer adds and deletes", faults::foreign_writer(&ipvs).await);
    report("writes go on beside another writer's", faults::writing_beside_a_foreign_writer(&ipvs).await);
    report("requests of several tasks are served one by one", concurrent(&ipvs).await);
    report("IPVS may go away and return", faults::unloaded(&ipvs).await);
    drop(ipvs);
    report("the engine's thread ends with its last handle", thread_ends());
    Ok(failed)
}

/// Brings the kernel to `want` from whatever is there, and checks that it is there then.
async fn reach(ipvs: &Ipvs, want: &Table) -> Result<usize, Failure> {
    let have = ipvs.dump().await?.table;
    let all: BTreeSet<ServiceKey> = have.keys().copied().collect();
    let ops = diff(&have, want, &all);
    let count = ops.len();
    for result in ipvs.apply(ops).await? {
        result?;
    }
    let have = ipvs.dump().await?.table;
    same("the table after the writes", &have, want)?;
    same("the operations that are left", &diff(&have, want, &all), &Vec::new())?;
    Ok(count)
}

fn same<T: PartialEq + Debug>(what: &str, have: &T, want: &T) -> Result<(), Failure> {
    if have == want { Ok(()) } else { Err(format!("{what}: have {have:?}, want {want:?}").into()) }
}

fn service_key(family: Family, protocol: Protocol, number: u32) -> ServiceKey {
    let address = match family {
        Family::V4 => Ipv4Addr::from(0xc612_0000 + number).into(),
        Family::V6 => Ipv6Addr::from(0x2001_0db8_0000_0001_u128 << 64 | u128::from(number)).into(),
    };
    ServiceKey::Address { protocol, address, port: 80 }
}

fn destination_key(family: Family, number: u32) -> DestinationKey {
    let address = match family {
        Family::V4 => Ipv4Addr::from(0x0a00_0000 + number).into(),
        Family::V6 => Ipv6Addr::from(0x2001_0db8_0000_0002_u128 << 64 | u128::from(number)).into(),
    };
    DestinationKey { address, port: 80 }
}

fn entry(service: Service, family: Family, destinations: u32) -> Result<Entry, Failure> {
    let mut entry = Entry::new(service);
    for number in 1..=destinations {
        let weight = Weight::new(number % 7)?;
        entry.destinations.insert(destination_key(family, number), Destination::direct_routing(weight));
    }
    Ok(entry)
}

fn plain(scheduler: Scheduler) -> Result<Service, Failure> {
    Ok(Service::new(scheduler, SchedulerFlags::NONE)?)
}

async fn schedulers(ipvs: &Ipvs) -> Checked {
    let mut missing = Vec::new();
    for scheduler in Scheduler::KNOWN {
        let mut want = Table::new();
        for family in [Family::V4, Family::V6] {
            let key = service_key(family, Protocol::Tcp, 1);
            want.insert(key, entry(plain(scheduler.clone())?, family, 3)?);
        }
        let probe = service_key(Family::V4, Protocol::Tcp, 9);
        let tried = ipvs
            .apply(vec![
                Op::NewService { key: probe, service: plain(scheduler.clone())? },
                Op::DeleteService { key: probe },
            ])
            .await?;
        match tried.into_iter().next() {
            Some(Err(error)) if error.refusal == Refusal::NoScheduler && !REQUIRED.contains(&scheduler) => {
                missing.push(scheduler.to_string());
            }
            Some(Err(error)) => return Err(error.into()),
            _ => drop(reach(ipvs, &want).await?),
        }
    }
    reach(ipvs, &Table::new()).await?;
    let there = Scheduler::KNOWN.len() - missing.len();
    Ok(if missing.is_empty() {
        format!("all {there}")
    } else {
        format!("{there}; not in this kernel: {}", missing.join(", "))
    })
}

async fn kinds(ipvs: &Ipvs) -> Checked {
    let mut want = Table::new();
    let both = SchedulerFlags { fallback: true, port: true, ..SchedulerFlags::NONE };
    for family in [Family::V4, Family::V6] {
        let mark = NonZeroU32::new(7).ok_or("mark 0")?;
        want.insert(
            ServiceKey::FwMark { family, mark },
            entry(Service::new(Scheduler::Mh, both)?, family, 2)?,
        );
        let key = |protocol| service_key(family, protocol, 2);
        let persistent = Persistence::new(360, family.max_prefix_len() - 8, family)?;
        want.insert(
            key(Protocol::Tcp),
            entry(plain(Scheduler::Rr)?.with_persistence(persistent), family, 2)?,
        );
        want.insert(key(Protocol::Udp), entry(plain(Scheduler::Wrr)?.with_one_packet(), family, 2)?);
        let mut sctp = Entry::new(Service::new(Scheduler::Sh, both)?);
        for (number, forward) in (1..).zip(forwards()) {
            let weight = Weight::MAX;
            let destination = Destination { forward, weight, upper_threshold: 100, lower_threshold: 50 };
            sctp.destinations.insert(destination_key(family, number), destination);
        }
        want.insert(key(Protocol::Sctp), sctp);
    }
    // A tunnel may change the family.
    let mut mixed = Entry::new(plain(Scheduler::Rr)?);
    let ipip = Tunnel { kind: TunnelKind::Ipip, port: 0, flags: 0 };
    let destination =
        Destination { forward: Forward::Tunnel(ipip), ..Destination::direct_routing(Weight::ZERO) };
    mixed.destinations.insert(destination_key(Family::V6, 1), destination);
    mixed.destinations.insert(destination_key(Family::V4, 1), destination);
    want.insert(service_key(Family::V4, Protocol::Tcp, 3), mixed);
    let count = reach(ipvs, &want).await?;
    reach(ipvs, &Table::new()).await?;
    Ok(format!("{count} operations, {}", persistence_engine(ipvs).await?))
}

/// The only engine that there is lives in a module that not every kernel has.
async fn persistence_engine(ipvs: &Ipvs) -> Checked {
    let service = plain(Scheduler::Rr)?
        .with_persistence(Persistence::default_for(Family::V4))
        .with_persistence_engine("sip")?;
    let want = Table::from_iter([(service_key(Family::V4, Protocol::Udp, 1), Entry::new(service))]);
    let ops = diff(&Table::new(), &want, &BTreeSet::new());
    match ipvs.apply(ops).await?.into_iter().next() {
        Some(Err(error)) if error.refusal == Refusal::NoScheduler => {
            Ok("NOT TRIED: persistence engine sip is not in this kernel".to_owned())
        }
        Some(Err(error)) => Err(error.into()),
        _ => {
            same("a service with an engine", &ipvs.dump().await?.table, &want)?;
            reach(ipvs, &Table::new()).await?;
            Ok("persistence engine sip".to_owned())
        }
    }
}

fn forwards() -> [Forward; 6] {
    let tunnel = |kind, port, flags| Forward::Tunnel(Tunnel { kind, port, flags });
    [
        Forward::Masquerade,
        Forward::Local,
        Forward::DirectRouting,
        tunnel(TunnelKind::Ipip, 0, 0),
        tunnel(TunnelKind::Gue, 6080, 1),
        tunnel(TunnelKind::Gre, 0, 1),
    ]
}

async fn changes(ipvs: &Ipvs) -> Checked {
    let key = service_key(Family::V4, Protocol::Tcp, 1);
    let mut want = Table::from_iter([(key, entry(plain(Scheduler::Wrr)?, Family::V4, 4)?)]);
    reach(ipvs, &want).await?;
    let mut changed = entry(plain(Scheduler::Wrr)?, Family::V4, 4)?;
    changed
        .destinations
        .insert(destination_key(Family::V4, 2), Destination::direct_routing(Weight::new(77)?));
    want.insert(key, changed.clone());
    same("operations of a weight", &reach(ipvs, &want).await?, &1)?;
    changed.service = Service::new(Scheduler::Mh, SchedulerFlags { fallback: true, ..SchedulerFlags::NONE })?
        .with_persistence(Persistence::default_for(Family::V4));
    want.insert(key, changed.clone());
    same("operations of a scheduler", &reach(ipvs, &want).await?, &1)?;
    changed.service = plain(Scheduler::Rr)?;
    let second = changed.destinations.get_mut(&destination_key(Family::V4, 2)).ok_or("no destination")?;
    second.forward = Forward::Masquerade;
    changed.destinations.remove(&destination_key(Family::V4, 1));
    changed.destinations.insert(destination_key(Family::V4, 9), Destination::direct_routing(Weight::ZERO));
    want.insert(key, changed);
    same("operations of everything", &reach(ipvs, &want).await?, &4)?;
    reach(ipvs, &Table::new()).await?;
    Ok(String::new())
}

async fn refusals(ipvs: &Ipvs) -> Checked {
    let service = plain(Scheduler::Rr)?;
    let (there, absent) =
        (service_key(Family::V4, Protocol::Tcp, 1), service_key(Family::V4, Protocol::Tcp, 2));
    let (first, second) = (destination_key(Family::V4, 1), destination_key(Family::V4, 2));
    let destination = Destination::direct_routing(Weight::new(1)?);
    let crossed = Destination { upper_threshold: 1, lower_threshold: 2, ..destination };
    let multicast = DestinationKey { address: Ipv4Addr::new(224, 0, 0, 1).into(), port: 80 };
    let no_engine = service
        .clone()
        .with_persistence(Persistence::default_for(Family::V4))
        .with_persistence_engine("none-such")?;
    let add = |service, key, destination| Op::NewDestination { service, key, destination };
    let cases = [
        (Op::NewService { key: there, service: service.clone() }, None),
        (Op::NewService { key: there, service: service.clone() }, Some(Refusal::Exists)),
        (Op::SetService { key: absent, service: service.clone() }, Some(Refusal::NoService)),
        (Op::DeleteService { key: absent }, Some(Refusal::NoService)),
        (add(absent, first, destination), Some(Refusal::NoService)),
        (add(there, first, destination), None),
        (add(there, first, destination), Some(Refusal::Exists)),
        (Op::SetDestination { service: there, key: second, destination }, Some(Refusal::NoDestination)),
        (Op::DeleteDestination { service: there, key: second }, Some(Refusal::NoDestination)),
        (Op::SetDestination { service: there, key: first, destination: crossed }, Some(Refusal::Range)),
        (add(there, multicast, destination), Some(Refusal::Invalid)),
        (add(there, destination_key(Family::V6, 1), destination), Some(Refusal::Invalid)),
        (add(there, second, destination), None),
        (Op::DeleteService { key: there }, None),
        (Op::NewService { key: absent, service: no_engine }, Some(Refusal::NoScheduler)),
    ];
    let results = ipvs.apply(cases.iter().map(|(op, _)| op.clone()).collect()).await?;
    same("results", &results.len(), &cases.len())?;
    for ((op, want), result) in cases.into_iter().zip(results) {
        if let Err(error) = &result {
            same("the operation of an error", &*error.op, &op)?;
        }
        same(&op.to_string(), &result.err().map(|error| error.refusal), &want)?;
    }
    Ok(String::new())
}

async fn many_refusals(ipvs: &Ipvs) -> Checked {
    let ops: Vec<Op> = (0..5000)
        .map(|number| Op::DeleteService { key: service_key(Family::V6, Protocol::Udp, number) })
        .collect();
    let results = ipvs.apply(ops.clone()).await?;
    same("results", &results.len(), &ops.len())?;
    for (op, result) in ops.into_iter().zip(results) {
        let error = result.err().ok_or("a service that is not there was deleted")?;
        same("the operation of an error", &*error.op, &op)?;
    }
    Ok(String::new())
}

async fn concurrent(ipvs: &Ipvs) -> Checked {
    let mut tasks = Vec::new();
    for number in 0..40 {
        let ipvs = ipvs.clone();
        let key = service_key(Family::V4, Protocol::Tcp, number);
        let service = plain(Scheduler::Rr)?;
        tasks.push(tokio::spawn(async move {
            let added = ipvs.apply(vec![Op::NewService { key, service }]).await?;
            let seen = ipvs.dump().await?.table.contains_key(&key);
            Ok::<_, ipvs::Error>(added.iter().all(Result::is_ok) && seen)
        }));
    }
    for task in tasks {
        same("a task sees what it wrote", &task.await??, &true)?;
    }
    reach(ipvs, &Table::new()).await?;
    Ok(String::new())
}

fn thread_ends() -> Checked {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mut engines = 0;
        for task in std::fs::read_dir("/proc/self/task")? {
            let name = std::fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
            engines += usize::from(name.trim() == "ipvs");
        }
        if engines == 0 {
            return Ok(String::new());
        }
        if Instant::now() > deadline {
            return Err(format!("{engines} threads named ipvs are still there").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
