//! A table of the size that a busy balancer has: written, read, compared, deleted, and how long each takes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ipvs::{Destination, Family, Ipvs, Op, Protocol, Scheduler, ServiceKey, Table, Weight, diff};

use super::ipvsadm::saved;
use super::{Checked, Failure, destination_key, entry, plain, same, service_key};

const SERVICES: u32 = 1000;
const DESTINATIONS: u32 = 20;

pub(super) fn big_table() -> Result<Table, Failure> {
    let schedulers = [Scheduler::Wrr, Scheduler::Rr, Scheduler::Mh];
    let mut table = Table::new();
    for (number, scheduler) in (0..SERVICES).zip(schedulers.into_iter().cycle()) {
        let family = if number % 4 == 3 { Family::V6 } else { Family::V4 };
        let protocol = if number % 5 == 4 { Protocol::Udp } else { Protocol::Tcp };
        table.insert(service_key(family, protocol, number), entry(plain(scheduler)?, family, DESTINATIONS)?);
    }
    Ok(table)
}

pub(super) async fn full_table(ipvs: &Ipvs) -> Checked {
    let want = big_table()?;
    let (have, none) = (Table::new(), BTreeSet::new());
    let ops = diff(&have, &want, &none);
    let count = ops.len();
    let (results, writing) = timed(ipvs.apply(ops)).await;
    for result in results? {
        result?;
    }
    let (snapshot, reading) = timed(ipvs.dump()).await;
    let have = snapshot?.table;
    same("the table", &have, &want)?;
    let began = Instant::now();
    same("the operations that are left", &diff(&have, &want, &none), &Vec::new())?;
    let comparing = began.elapsed();
    same("the table as ipvsadm says it", &saved()?, &want)?;
    let weight = Op::SetDestination {
        service: service_key(Family::V4, Protocol::Tcp, 0),
        key: destination_key(Family::V4, 1),
        destination: Destination::direct_routing(Weight::new(9)?),
    };
    let mut single = Vec::new();
    for _ in 0..200 {
        let (result, took) = timed(ipvs.apply(vec![weight.clone()])).await;
        result?.into_iter().collect::<Result<Vec<()>, _>>()?;
        single.push(took);
    }
    single.sort();
    let owned: BTreeSet<ServiceKey> = want.keys().copied().collect();
    let (results, deleting) = timed(ipvs.apply(diff(&have, &Table::new(), &owned))).await;
    results?.into_iter().collect::<Result<Vec<()>, _>>()?;
    same("services that are left", &ipvs.dump().await?.table.len(), &0)?;
    let each = |all: Duration, count: usize| all.as_secs_f64() * 1e6 / count as f64;
    Ok(format!(
        "{count} operations in {writing:.1?} ({:.1} µs each), dump {reading:.1?} ({:.1} µs an object), diff {comparing:.1?}, \
         one weight {:.1?} at the median and {:.1?} at p99, {} services deleted in {deleting:.1?}",
        each(writing, count),
        each(reading, count),
        single[100],
        single[198],
        want.len()
    ))
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let done = work.await;
    (done, began.elapsed())
}
