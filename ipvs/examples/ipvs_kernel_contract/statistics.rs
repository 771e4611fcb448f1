//! What the kernel counts is read as `ipvsadm --stats` says it, and can be set to 0.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use ipvs::{Control, DestinationKey, Refusal, ServiceKey, Snapshot, Statistics, Table, diff};

use super::ipvsadm::ipvsadm;
use super::order::{Balancer, CLIENTS, pool, told};
use super::{Checked, Failure, same};

/// A service beside the one that is watched.
const OTHER: &str = "192.0.2.10:54";

/// A datagram of one byte: IPv4 and UDP add 28.
const DATAGRAM: u64 = 29;

/// Connections, packets in and out, bytes in and out.
type Counts = [u64; 5];

/// Of services, and of destinations.
type Counted = BTreeMap<(ServiceKey, Option<DestinationKey>), Counts>;

fn counts(it: &Statistics) -> Counts {
    [it.connections, it.packets_in, it.packets_out, it.bytes_in, it.bytes_out]
}

fn read(snapshot: &Snapshot) -> Counted {
    let services = snapshot.service_statistics.iter().map(|(key, it)| ((*key, None), counts(it)));
    let destinations = snapshot
        .destination_statistics
        .iter()
        .map(|((service, key), it)| ((*service, Some(*key)), counts(it)));
    services.chain(destinations).collect()
}

/// The same in ipvsadm's words.
fn said() -> Result<Counted, Failure> {
    let text = ipvsadm(&["-L", "-n", "--stats", "--exact"])?;
    let (mut counted, mut service) = (Counted::new(), None);
    for line in text.lines().skip(3) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [kind, name, numbers @ ..] = words.as_slice() else { return Err(format!("{line:?}").into()) };
        let numbers = numbers.iter().map(|word| word.parse()).collect::<Result<Vec<u64>, _>>()?;
        let counts = Counts::try_from(numbers).map_err(|_| format!("{line:?}"))?;
        let destination = if *kind == "->" {
            Some(name.parse()?)
        } else {
            service = Some(format!("{} {name}", kind.to_lowercase()).parse::<ServiceKey>()?);
            None
        };
        counted.insert((service.ok_or("a destination before its service")?, destination), counts);
    }
    Ok(counted)
}

/// Waits until the kernel has counted that many datagrams for the service, each a connection; its own reading is up to
/// 2 s old. Then every counter is ipvsadm's, and the destinations' are together their service's.
fn counted(balancer: &Balancer, datagrams: u64) -> Result<Counted, Failure> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let want = [datagrams, datagrams, 0, datagrams * DATAGRAM, 0];
    let read = loop {
        let read = read(&balancer.dump()?);
        let have = read.get(&(balancer.key, None)).copied().ok_or("no counters of the service")?;
        if have == want {
            break read;
        }
        if Instant::now() > deadline {
            return Err(format!("counters of {}: have {have:?}, want {want:?}", balancer.key).into());
        }
        thread::sleep(Duration::from_millis(100));
    };
    same("the counters as ipvsadm says them", &said()?, &read)?;
    let of_destinations: u64 = read
        .iter()
        .filter(|((service, destination), _)| *service == balancer.key && destination.is_some())
        .map(|(_, counts)| counts[0])
        .sum();
    same("connections of all destinations", &of_destinations, &datagrams)?;
    Ok(read)
}

fn zero(balancer: &Balancer, service: Option<ServiceKey>) -> Result<Option<Refusal>, Failure> {
    balancer.control(Control::ZeroStatistics { service })
}

/// Of two services one is set to 0, and counts on from there; then both are.
pub(super) fn counters() -> Checked {
    told(|balancer| {
        let other: ServiceKey = format!("udp {OTHER}").parse()?;
        same(
            "zeroing a service that is not there",
            &zero(balancer, Some(other))?,
            &Some(Refusal::NoService),
        )?;
        let pool = pool(1..=3, None)?;
        let want = Table::from_iter([(balancer.key, pool.clone()), (other, pool)]);
        balancer.apply(diff(&Table::new(), &want, &BTreeSet::new()))?;
        let _ = UdpSocket::bind("10.9.1.1:4000")?.send_to(b"?", OTHER);
        balancer.choices(4000)?;
        balancer.choices(4001)?;
        let first = u64::from(CLIENTS) * 2;
        counted(balancer, first)?;
        same("zeroing one service", &zero(balancer, Some(balancer.key))?, &None)?;
        let read = counted(balancer, 0)?;
        same("the other's counters", &read.get(&(other, None)), &Some(&[1, 1, 0, DATAGRAM, 0]))?;
        balancer.choices(4002)?;
        counted(balancer, CLIENTS.into())?;
        same("zeroing everything", &zero(balancer, None)?, &None)?;
        let left = counted(balancer, 0)?.into_values().flatten().max();
        same("the largest counter that is left", &left, &Some(0))?;
        Ok(format!("{first} connections, {} bytes, and {CLIENTS} after zeroing", first * DATAGRAM))
    })
}
