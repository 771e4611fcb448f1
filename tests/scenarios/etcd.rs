//! Two balancers, one etcd: what is written there is in both kernels, and etcd that dies takes nothing with it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use lab::configuration::{Configuration, Service};
use lab::etcd::Etcd;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, SECOND, v4, v6};
use lab::site::{LIMIT, SERVERS, Site, WEIGHT, both};
use lab::table::{Table, weights_in};
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::watch::{Watcher, reaction};
use lab::world::World;

/// The last part of etcd's address.
const ETCD: u16 = 50;

/// Requests a second: etcd needs the guest's one processor, too.
const RATE: u32 = 40;

/// lvsctl's exit status for what is refused.
const REFUSED: i32 = 5;

/// What the balancers are told: a source for each version of etcd's API, and a fleet. A dead etcd refuses at once; the long timeout
/// is for one on a slow machine.
fn configuration(index: usize, asn: u32) -> Configuration {
    let url = url();
    let source = |name: &str, version: u8| {
        format!(
            "\n[source.{name}]\ntype = \"etcd\"\nversion = {version}\ntimeout = \"30s\"\nendpoints = [\"{url}\"]\n"
        )
    };
    let fleet = format!("\n[fleet]\nsource = \"new\"\nname = \"lb{}\"\n", index + 1);
    let service = |name: &str, vips: &[IpAddr], source| {
        let pool = Some((source, "eqiad/lab/web"));
        Service { pool, ..Service::new(name, vips) }
    };
    Configuration {
        services: vec![service("web", &FIRST, "new"), service("second", &SECOND, "old")],
        sources: source("new", 3) + &source("old", 2) + &fleet,
        ..Configuration::with_web(asn)
    }
}

fn address() -> Ipv4Addr {
    v4(ETCD)
}

fn url() -> String {
    format!("http://{}:2379", address())
}

/// A host's key, as conftool names it.
fn key(host: &str) -> String {
    format!("/conftool/v1/pools/eqiad/lab/web/{host}")
}

/// Writes a host's value in the store of each version, in conftool's words.
fn write(etcd: &Etcd, host: &str, pooled: &str) -> Result<()> {
    let value = format!(r#"{{"pooled": "{pooled}", "weight": {WEIGHT}}}"#);
    etcd.put_v2(&key(host), &value)?;
    etcd.etcdctl(&["put", "--", &key(host), &value]).map(drop)
}

/// Watchers for servers, by the last part of their addresses, to have these weights in both services and families on these balancers;
/// weight 0 and no entry are one here.
fn weights<'a>(lab: &'a Lab, balancers: &[usize], wanted: &'a [(u16, u32)]) -> Vec<Watcher<'a>> {
    let has = |found: &BTreeMap<IpAddr, u32>, is_v4: bool, last: u16| {
        let server: IpAddr = if is_v4 { v4(last).into() } else { v6(last).into() };
        found.get(&server).copied().unwrap_or_default()
    };
    let is_so = move |table: &Table| {
        FIRST.iter().chain(&SECOND).all(|vip| {
            let found = weights_in(table, SocketAddr::new(*vip, 80));
            wanted.iter().all(|(last, wanted)| has(&found, vip.is_ipv4(), *last) == *wanted)
        })
    };
    let what = format!("servers' weights are {wanted:?}");
    balancers.iter().map(|index| Watcher::table(&lab.balancers[*index], &what, is_so)).collect()
}

/// Waits until rs1, rs2 and rs3 have these on both balancers.
fn expect(site: &Site, wanted: [u32; 3]) -> Result<()> {
    let wanted: Vec<_> = SERVERS.into_iter().zip(wanted).collect();
    reaction(LIMIT, weights(&site.lab, &[0, 1], &wanted), || Ok(())).map(drop)
}

/// Each balancer's own `lvsctl fleet` shows both of them, and says this.
fn expect_fleet(site: &Site, words: &str) -> Result<()> {
    for lvsd in &site.balancers {
        let mut said = String::new();
        wait_until(&format!("the fleet is shown: {words}"), LIMIT, || {
            said = lvsd.ctl(&["fleet"]).unwrap_or_default();
            let is_shown = said.contains("lb1") && said.contains("lb2") && said.matches("new@").count() == 2;
            is_shown && said.contains(words)
        })
        .with_context(|| format!("lvsctl fleet on {}: {said}", lvsd.host().name()))?;
    }
    Ok(())
}

/// lvsctl and the metrics say of both sources whether they can be read.
fn expect_state(lvsd: &Lvsd, state: &str, is_live: f64) -> Result<()> {
    wait_until(&format!("both sources are {state} on {}", lvsd.host().name()), LIMIT, || {
        let status = lvsd.ctl_json(&["status"]).unwrap_or_default();
        let sources = status["sources"].as_array();
        let is_said =
            sources.is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["state"] == state));
        is_said
            && ["new", "old"].iter().all(|name| {
                let series = format!("lvsd_source_live{{source=\"{name}\",type=\"etcd\"}}");
                lvsd.metric(&series).is_ok_and(|value| value == is_live)
            })
    })
    .map(drop)
}

pub(crate) fn a_depool_in_etcd_is_one_on_both_balancers_and_a_dead_etcd_changes_nothing(
    world: &World,
) -> Result<()> {
    let lab = Lab::build(world)?;
    let store = lab.add_host(world, "etcd1", ETCD, &[])?;
    let mut etcd = Etcd::start(&store, address())?;
    ["rs1", "rs2", "rs3"].iter().try_for_each(|host| write(&etcd, host, "yes"))?;
    etcd.kill()?;
    etcd.save()?;
    etcd.start_again()?;
    let mut site = Site::start_with(lab, configuration)?;
    expect(&site, [WEIGHT; 3])?;
    site.expect_routes(&SECOND, &both())?;
    expect_fleet(&site, "they all do the same")?;
    let load = Load { rate: RATE, kept_alive: 0, ..Load::usual(&[FIRST, SECOND].concat()) };
    let traffic = Traffic::start(&site.lab.client, &load)?;
    traffic.let_pass(100)?;

    let said = site.balancers[0].ctl(&["depool", "rs2", "--yes", "--reason", "new disk"])?;
    for pool in ["new", "old"] {
        let line = format!("rs2 in {pool}:eqiad/lab/web: pooled yes became pooled no at revision ");
        ensure!(said.contains(&line), "the pool of each version is changed: {said}");
    }
    ensure!(said.contains("obeyed by lb1, lb2"), "both obey: {said}");
    expect(&site, [WEIGHT, 0, WEIGHT])?;
    traffic.let_those_under_way_end()?;
    traffic.phase("depooled");
    traffic.let_pass(100)?;
    expect_fleet(&site, "they all do the same")?;

    traffic.phase("dead");
    etcd.kill()?;
    a_dead_etcd_changes_nothing(&mut site, &traffic)?;

    // From a backup of the time before the depool: its revisions go back.
    etcd.restore()?;
    etcd.start_again()?;
    expect(&site, [WEIGHT; 3])?;
    for lvsd in &site.balancers {
        expect_state(lvsd, "live", 1.0)?;
    }
    expect_fleet(&site, "they all do the same")?;
    traffic.phase("written by conftool");
    write(&etcd, "rs3", "no")?;
    expect(&site, [WEIGHT, WEIGHT, 0])?;
    write(&etcd, "rs1", "inactive")?;
    expect(&site, [0, WEIGHT, 0])?;
    traffic.let_pass(100)?;
    let report = traffic.stop()?;
    report.expect_no_failure()?;
    let depooled = &report.phase("depooled").context("a phase is missing")?.totals.servers;
    ensure!(depooled.keys().eq(["rs1", "rs3"]), "who answers while rs2 is out: {report}");
    Ok(())
}

/// The last state stays, also that of a balancer that starts now, and what operators do is done on one balancer or refused.
fn a_dead_etcd_changes_nothing(site: &mut Site, traffic: &Traffic) -> Result<()> {
    for lvsd in &site.balancers {
        expect_state(lvsd, "away", 0.0)?;
    }
    let refused = site.balancers[0].ctl_output(&["depool", "rs3", "--yes"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        refused.status.code() == Some(REFUSED) && said.contains(&url()),
        "what etcd does not take: {said}"
    );

    site.balancers[1].ctl(&["depool", "rs3", "--local"])?;
    reaction(LIMIT, weights(&site.lab, &[1], &[(SERVERS[2], 0)]), || Ok(()))?;
    reaction(LIMIT, weights(&site.lab, &[0], &[(SERVERS[2], WEIGHT)]), || Ok(()))?;
    traffic.let_pass(100)?;
    site.balancers[1].ctl(&["pool", "rs3", "--local"])?;
    expect(site, [WEIGHT, 0, WEIGHT])?;

    let lvsd = &mut site.balancers[0];
    lvsd.kill()?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    let metric = || lvsd.metric("lvsd_source_stale{service=\"web\"}").is_ok_and(|value| value == 1.0);
    wait_until("a balancer that starts says that it goes on with what was there before", LIMIT, metric)?;
    expect(site, [WEIGHT, 0, WEIGHT])?;
    site.expect_routes(&FIRST, &both())?;
    traffic.let_pass(100)
}
