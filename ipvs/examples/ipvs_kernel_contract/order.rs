//! Balancers with different histories, each a network namespace, are asked which destination their clients get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use ipvs::diff::{keep_slots, reorder};
use ipvs::{
    Control, Destination, DestinationKey, Entry, Ipvs, Op, Options, Refusal, Scheduler, SchedulerFlags,
    Service, ServiceKey, Snapshot, Table, Weight, diff,
};
use nix::sched::{CloneFlags, unshare};

use super::{Checked, Failure};

const VIP: &str = "192.0.2.10:53";
pub(super) const CLIENTS: u32 = 2000;
const DESTINATIONS: u32 = 20;

/// What each client got.
pub(super) type Choices = BTreeMap<SocketAddr, SocketAddr>;

/// A balancer in the network namespace of its thread.
pub(super) struct Balancer {
    ipvs: Ipvs,
    runtime: tokio::runtime::Runtime,
    pub(super) key: ServiceKey,
}

impl Balancer {
    /// In a new namespace that has the VIP, its clients and a way to the destinations.
    fn new() -> Result<Self, Failure> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        // A prefix on lo makes all of its addresses local.
        let script = "ip link set lo up && ip address add 192.0.2.10/32 dev lo && ip address add 10.9.0.1/16 dev lo && \
                      ip link add d0 type dummy && ip link set d0 up && ip address add 10.0.0.254/24 dev d0";
        if !Command::new("sh").args(["-c", script]).status()?.success() {
            return Err("the namespace could not be set up".into());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { ipvs: Ipvs::open(Options::default())?, runtime, key: format!("udp {VIP}").parse()? })
    }

    pub(super) fn apply(&self, ops: Vec<Op>) -> Result<(), Failure> {
        for result in self.runtime.block_on(self.ipvs.apply(ops))? {
            result?;
        }
        Ok(())
    }

    pub(super) fn dump(&self) -> Result<Snapshot, Failure> {
        Ok(self.runtime.block_on(self.ipvs.dump())?)
    }

    /// Gives why it was refused, if it was.
    pub(super) fn control(&self, control: Control) -> Result<Option<Refusal>, Failure> {
        let result = self.runtime.block_on(self.ipvs.control(vec![control]))?.pop().ok_or("no result")?;
        Ok(result.err().map(|error| error.refusal))
    }

    pub(super) fn reach(&self, want: Entry) -> Result<(), Failure> {
        let have = self.dump()?.table;
        self.apply(diff(&have, &Table::from_iter([(self.key, want)]), &BTreeSet::new()))
    }

    /// Brings the destinations into their order; gives the number of operations.
    fn sort(&self) -> Result<usize, Failure> {
        let snapshot = self.dump()?;
        let Some(order) = snapshot.unsorted.get(&self.key) else { return Ok(0) };
        let entry = snapshot.table.get(&self.key).ok_or("the service is gone")?;
        let ops = reorder(self.key, order, entry);
        let count = ops.len();
        self.apply(ops)?;
        match self.dump()?.unsorted.get(&self.key) {
            None => Ok(count),
            Some(order) => Err(format!("after sorting the order is {order:?}").into()),
        }
    }

    /// Lets clients send, from this port on.
    pub(super) fn choices(&self, port: u16) -> Result<Choices, Failure> {
        for number in 0..CLIENTS {
            let client = (Ipv4Addr::from(0x0a09_0100 + number), port);
            // Whether it leaves for the destination is not asked: the kernel has chosen one before.
            let _ = UdpSocket::bind(client)?.send_to(b"?", VIP);
        }
        let mut choices = self.connections()?;
        choices.retain(|client, _| client.port() == port);
        Ok(choices)
    }

    /// Client and destination of each connection.
    fn connections(&self) -> Result<Choices, Failure> {
        let mut connections = Choices::new();
        for line in std::fs::read_to_string("/proc/thread-self/net/ip_vs_conn")?.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            let socket = |at: usize| -> Result<SocketAddr, Failure> {
                let address = u32::from_str_radix(words.get(at).ok_or("a short line")?, 16)?;
                let port = u16::from_str_radix(words.get(at + 1).ok_or("a short line")?, 16)?;
                Ok((Ipv4Addr::from(address), port).into())
            };
            connections.insert(socket(1)?, socket(5)?);
        }
        Ok(connections)
    }
}

/// A balancer's story in a namespace of its own.
pub(super) fn told<T: Send>(
    story: impl FnOnce(&Balancer) -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            Balancer::new().and_then(|balancer| story(&balancer)).map_err(|error| error.to_string())
        });
        thread.join().map_err(|_| "a balancer panicked".to_owned())?.map_err(Into::into)
    })
}

pub(super) fn pool(numbers: impl IntoIterator<Item = u32>, down: Option<u32>) -> Result<Entry, Failure> {
    pool_of(hashing(Scheduler::Mh, true)?, numbers, down)
}

/// By address and port of a client; with fallback it gets another destination where its own is at weight 0.
pub(super) fn hashing(scheduler: Scheduler, fallback: bool) -> Result<Service, Failure> {
    Ok(Service::new(scheduler, SchedulerFlags { fallback, port: true, ..SchedulerFlags::NONE })?)
}

pub(super) fn pool_of(
    service: Service,
    numbers: impl IntoIterator<Item = u32>,
    down: Option<u32>,
) -> Result<Entry, Failure> {
    let mut entry = Entry::new(service);
    for number in numbers {
        let weight = if down == Some(number) { Weight::ZERO } else { Weight::new(1 + number % 3)? };
        entry.destinations.insert(destination(number), Destination::direct_routing(weight));
    }
    Ok(entry)
}

pub(super) fn destination(number: u32) -> DestinationKey {
    DestinationKey { address: Ipv4Addr::from(0x0a00_0000 + number).into(), port: 53 }
}

/// How many clients get another destination.
fn differ(one: &Choices, other: &Choices) -> Result<usize, Failure> {
    if one.len() != CLIENTS as usize || !one.keys().eq(other.keys()) {
        return Err(
            format!("{} and {} of {CLIENTS} clients got a destination", one.len(), other.len()).into()
        );
    }
    Ok(one.iter().filter(|(client, got)| other.get(client) != Some(got)).count())
}

pub(super) fn equal(what: &str, one: &Choices, other: &Choices) -> Result<(), Failure> {
    match differ(one, other)? {
        0 => Ok(()),
        number => Err(format!("{what}: {number} of {CLIENTS} clients get another destination").into()),
    }
}

/// Programmed at once, or in steps that add at the end, change weights and delete: the same.
pub(super) fn balancers_agree(scheduler: &Scheduler) -> Checked {
    let pool = |numbers: Vec<u32>, down| pool_of(hashing(scheduler.clone(), true)?, numbers, down);
    let all = || pool((1..=DESTINATIONS).collect(), None);
    let at_once = told(|balancer| {
        balancer.reach(all()?)?;
        balancer.choices(4000)
    })?;
    let in_steps = told(|balancer| {
        balancer.reach(pool((1..=7).collect(), None)?)?;
        balancer.reach(pool((1..=DESTINATIONS).chain([100, 101]).collect(), Some(5))?)?;
        balancer.reach(all()?)?;
        balancer.choices(4000)
    })?;
    equal("programmed at once and in steps", &at_once, &in_steps)?;
    let used: BTreeSet<_> = at_once.values().collect();
    if used.len() != DESTINATIONS as usize {
        return Err(format!("only {} of {DESTINATIONS} destinations have clients", used.len()).into());
    }
    Ok(format!("{CLIENTS} clients, {} destinations", used.len()))
}

/// A destination that comes later and sorts before others: the tables differ until they are sorted, which loses nothing.
pub(super) fn a_late_destination() -> Checked {
    let afresh = told(|balancer| {
        balancer.reach(pool(1..=DESTINATIONS, None)?)?;
        balancer.choices(4000)
    })?;
    let mut said = Vec::new();
    for late in [1, DESTINATIONS / 2] {
        let (before, after, count) = told(|balancer| {
            balancer.reach(pool((1..=DESTINATIONS).filter(|number| *number != late), None)?)?;
            balancer.reach(pool(1..=DESTINATIONS, None)?)?;
            let before = balancer.choices(4000)?;
            let mut count = 0;
            for expire in ["0", "1"] {
                std::fs::write("/proc/sys/net/ipv4/vs/expire_nodest_conn", expire)?;
                // Sorted once, there is nothing to sort: the last is made the first again.
                balancer.reach(pool((1..=DESTINATIONS).filter(|number| *number != late), None)?)?;
                balancer.reach(pool(1..=DESTINATIONS, None)?)?;
                let established = balancer.connections()?;
                count = balancer.sort()?;
                // Longer than the kernel takes to end connections without destination (a jiffy, 10 ms).
                thread::sleep(Duration::from_millis(100));
                equal("connections after sorting", &established, &balancer.connections()?)?;
            }
            Ok((before, balancer.choices(4001)?, count))
        })?;
        let others = told(|balancer| {
            balancer.reach(pool(1..=DESTINATIONS, None)?)?;
            balancer.choices(4001)
        })?;
        equal("sorted and afresh", &others, &after)?;
        let share = differ(&afresh, &before)? as f64 * 100.0 / f64::from(CLIENTS);
        if share == 0.0 {
            return Err("the order makes no difference to this kernel".into());
        }
        said.push(format!("number {late} of {DESTINATIONS} late: {share:.1} % of clients differ, sorted in {count} operations"));
    }
    Ok(said.join("; "))
}

/// A destination that begins at weight 0 has no slots, one that is set to 0 has.
pub(super) fn a_destination_at_weight_0() -> Checked {
    const DOWN: u32 = 5;
    let want = || pool(1..=DESTINATIONS, Some(DOWN));
    let set_later = told(|balancer| {
        balancer.reach(pool(1..=DESTINATIONS, None)?)?;
        balancer.reach(want()?)?;
        balancer.choices(4000)
    })?;
    let afresh = told(|balancer| {
        balancer.reach(want()?)?;
        balancer.choices(4000)
    })?;
    let kept = told(|balancer| {
        let table = Table::from_iter([(balancer.key, want()?)]);
        let nominal = pool(1..=DESTINATIONS, None)?.destinations;
        let ops = diff(&Table::new(), &table, &BTreeSet::new());
        balancer.apply(keep_slots(ops, |_, key| nominal.get(key).map(|destination| destination.weight)))?;
        let down = SocketAddr::new(destination(DOWN).address, destination(DOWN).port);
        let choices = balancer.choices(4000)?;
        if choices.values().any(|got| *got == down) {
            return Err("a client got the destination at weight 0".into());
        }
        Ok(choices)
    })?;
    equal("set to 0 later and begun at 0 with its slots", &set_later, &kept)?;
    let share = differ(&set_later, &afresh)? as f64 * 100.0 / f64::from(CLIENTS);
    Ok(format!("without its slots {share:.1} % of clients differ"))
}
