//! A receive buffer in which answers get lost: what a program on a balancer with little memory for sockets has.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use ipvs::{
    Entry, ErrorKind, Ipvs, Op, Options, Protocol, Scheduler, SchedulerFlags, Service, ServiceKey, Table,
    diff,
};
use lab::configuration::Configuration;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, v4};
use lab::site::{BALANCERS, LIMIT, SERVERS, Site};
use lab::table;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// Services, far more than the buffer has room for refusals.
const SERVICES: u32 = 600;

/// Rounds of dump, diff and apply, each of which gets at least what was sent before the buffer was full done.
const ROUNDS: usize = 50;

/// lvsd's own services in this scenario, beside the one that traffic goes through.
const OWN: u16 = 300;

/// Under traffic: the library beside lvsd, then lvsd itself. Answers are lost, the connection to the kernel is made anew, and
/// the table becomes right.
pub(crate) fn a_table_becomes_right_though_answers_are_lost(world: &World) -> Result<()> {
    let mut site = Site::start(world)?;
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(100)?;
    the_library_gets_there(&site)?;
    traffic.let_pass(100)?;
    lvsd_gets_there(&mut site.balancers[0])?;
    traffic.let_pass(100)?;
    let report = traffic.stop()?;
    report.expect_no_failure()?;
    ensure!(report.reconnects == 0, "{} kept connections were closed: {report}", report.reconnects);
    Ok(())
}

/// lvsd believes that hundreds of services are there, which somebody has deleted, and changes them all: the kernel has more
/// to say against it than there is room for. It is read only for that: the next time by itself is in an hour.
fn lvsd_gets_there(lvsd: &mut Lvsd) -> Result<()> {
    let host = lvsd.host().clone();
    lvsd.configure_with(&with_small_buffer(lvsd))?;
    lvsd.stop(LIMIT)?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    let is_right = || lvsd.ctl_output(&["diff"]).is_ok_and(|output| output.status.code() == Some(0));
    wait_until("lvsd's services are there", LIMIT, is_right)?;
    for command in [["depool", "rs1"], ["pool", "rs1"]] {
        let deleted = host.enter(delete_own)??;
        ensure!(deleted == usize::from(OWN), "{deleted} services were there to be deleted");
        let before = lost_answers(lvsd)?;
        lvsd.ctl(&command)?;
        wait_until("answers are lost", LIMIT, || lost_answers(lvsd).is_ok_and(|lost| lost > before))?;
        let took = wait_until("the table is right", LIMIT, is_right)?;
        println!("lvsctl {}: right {took:?} after answers were lost", command.join(" "));
        let table = table::whole(&host)?;
        let gone = (1..=OWN).find(|number| !has_all(&table, *number));
        ensure!(gone.is_none(), "the service {gone:?} has not all of its servers");
    }
    Ok(())
}

/// Its configuration, hundreds of services more, and next to no room for answers.
fn with_small_buffer(lvsd: &Lvsd) -> String {
    let plain = Configuration { resync_interval: "1h", ..Configuration::with_web(BALANCERS[0]) };
    let small = "[lvsd]\nnetlink_buffer = 1024\n";
    let mut text = plain.render(lvsd.host()).replacen("[lvsd]\n", small, 1);
    for number in 1..=OWN {
        let _ = write!(text, "\n[service.own{number}]\nvips = [\"{}\"]\nport = {}\n", FIRST[0], port(number));
        let backend =
            |(name, last): (usize, u16)| format!("{{ host = \"rs{name}\", addresses = [\"{}\"] }}", v4(last));
        let backends: Vec<String> = (1..).zip(SERVERS).map(backend).collect();
        let _ = writeln!(text, "scheduler = \"rr\"\nbackends = [{}]\nchecks = []", backends.join(", "));
    }
    text
}

fn port(number: u16) -> u16 {
    1000 + number
}

fn key(number: u16) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: FIRST[0], port: port(number) }
}

fn has_all(table: &Table, number: u16) -> bool {
    table.get(&key(number)).is_some_and(|entry| entry.destinations.len() == SERVERS.len())
}

/// Somebody deletes lvsd's services, as `ipvsadm -D` would one by one.
fn delete_own() -> Result<usize> {
    let (ipvs, runtime) = open(Options::default())?;
    let ops = (1..=OWN).map(|number| Op::DeleteService { key: key(number) }).collect();
    Ok(runtime.block_on(ipvs.apply(ops))?.into_iter().filter(Result::is_ok).count())
}

/// How often lvsd has said that answers were lost.
fn lost_answers(lvsd: &Lvsd) -> Result<usize> {
    let log = fs::read_to_string(lvsd.host().log("lvsd"))?;
    Ok(log.matches("answers were lost").count())
}

/// On the same table; lvsd's services are foreign to it and left alone.
fn the_library_gets_there(site: &Site) -> Result<()> {
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
    Ok(())
}

/// The kernel refuses each of a long list, and has more to say about it than there is room for.
fn lose_answers(keys: &BTreeSet<ServiceKey>) -> Result<String> {
    let (ipvs, runtime) = open(smallest())?;
    let ops = keys.iter().map(|key| Op::DeleteService { key: *key }).collect();
    let error = runtime.block_on(ipvs.apply(ops)).err().context("no answer was lost")?;
    ensure!(error.kind() == ErrorKind::Resync, "it is not known that answers were lost: {error}");
    Ok(error.to_string())
}

fn reach(want: &Table, owned: &BTreeSet<ServiceKey>) -> Result<usize> {
    let (ipvs, runtime) = open(smallest())?;
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
fn smallest() -> Options {
    Options { receive_buffer_bytes: 1, ..Options::default() }
}

fn open(options: Options) -> Result<(Ipvs, tokio::runtime::Runtime)> {
    Ok((Ipvs::open(options)?, tokio::runtime::Builder::new_current_thread().build()?))
}
