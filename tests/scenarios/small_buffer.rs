//! A receive buffer in which answers get lost: what a program on a balancer with little memory for sockets has.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use ipvs::{
    Entry, ErrorKind, Ipvs, Op, Options, Scheduler, SchedulerFlags, Service, ServiceKey, Table, diff,
};
use lab::network::FIRST;
use lab::site::Site;
use lab::table;
use lab::traffic::{Load, Traffic};
use lab::world::World;

/// Services, far more than the buffer has room for refusals.
const SERVICES: u32 = 600;

/// Rounds of dump, diff and apply, each of which gets at least what was sent before the buffer was full done.
const ROUNDS: usize = 50;

/// The library beside lvsd, on the same kernel table under traffic: acknowledgements are lost, the connection is made
/// anew, and the table becomes right; lvsd's services are foreign to it and left alone.
pub(crate) fn a_table_becomes_right_though_answers_are_lost(world: &World) -> Result<()> {
    let site = Site::start(world)?;
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(100)?;
    let host = &site.lab.balancers[0];
    let lvsds = table::whole(host)?;
    let service = Service::new(Scheduler::Rr, SchedulerFlags::NONE)?;
    let key = |mark| {
        Ok(ServiceKey::FwMark {
            family: ipvs::Family::V4,
            mark: std::num::NonZeroU32::new(mark).context("0")?,
        })
    };
    let keys = (1..=SERVICES).map(key).collect::<Result<BTreeSet<_>>>()?;
    let all: Table = keys.iter().map(|key| (*key, Entry::new(service.clone()))).collect();
    let lost = host.enter(|| lose_answers(&keys))??;
    println!("a list of refusals: {lost}");
    for want in [&all, &Table::new()] {
        let rounds = host.enter(|| reach(want, &keys))??;
        println!("{} services wanted: right after {rounds} rounds", want.len());
        let have = table::whole(host)?;
        ensure!(have.len() == lvsds.len() + want.len(), "{} services in the kernel", have.len());
        ensure!(
            lvsds.iter().all(|(key, entry)| have.get(key) == Some(entry)),
            "lvsd's services were changed"
        );
    }
    traffic.let_pass(100)?;
    traffic.stop()?.expect_no_failure()
}

/// The kernel refuses each of a long list, and has more to say about it than there is room for.
fn lose_answers(keys: &BTreeSet<ServiceKey>) -> Result<String> {
    let (ipvs, runtime) = open()?;
    let ops = keys.iter().map(|key| Op::DeleteService { key: *key }).collect();
    let error = runtime.block_on(ipvs.apply(ops)).err().context("no answer was lost")?;
    ensure!(error.kind() == ErrorKind::Resync, "it is not known that answers were lost: {error}");
    Ok(error.to_string())
}

fn reach(want: &Table, owned: &BTreeSet<ServiceKey>) -> Result<usize> {
    let (ipvs, runtime) = open()?;
    for round in 1..=ROUNDS {
        let have = runtime.block_on(ipvs.dump())?.table;
        let ops = diff(&have, want, owned);
        if ops.is_empty() {
            return Ok(round);
        }
        match runtime.block_on(ipvs.apply(ops)) {
            Ok(results) => results.into_iter().collect::<Result<Vec<()>, _>>().map(drop)?,
            Err(error) => ensure!(error.kind() == ErrorKind::Resync, "{error}"),
        }
    }
    anyhow::bail!("the table is not right after {ROUNDS} rounds")
}

/// The smallest buffer that the kernel gives.
fn open() -> Result<(Ipvs, tokio::runtime::Runtime)> {
    let ipvs = Ipvs::open(Options { receive_buffer_bytes: 1, ..Options::default() })?;
    Ok((ipvs, tokio::runtime::Builder::new_current_thread().build()?))
}
