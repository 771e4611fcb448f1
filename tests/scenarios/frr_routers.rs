//! The routers are FRR, with its routes in their kernels, instead of BIRD.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::bird::{Settings, next_hops};
use lab::configuration::Configuration;
use lab::frr::Frr;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4, v6};
use lab::site::BALANCERS;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// FRR dials again after seconds, in a slow kernel.
const LIMIT: Duration = Duration::from_secs(120);

/// `kill -9` and a start under traffic: FRR helps, as BIRD does.
pub(crate) fn frr_keeps_the_routes_of_an_lvsd_that_is_killed_and_no_request_fails(
    world: &World,
) -> Result<()> {
    let lab = Lab::build(world)?;
    let _servers = lab.start_servers()?;
    let mut routers = Vec::new();
    for (index, host) in lab.routers.iter().enumerate() {
        routers.push(Frr::start(host, &Settings::of_router(index, BALANCERS))?);
    }
    let mut balancers = Vec::new();
    for (host, asn) in lab.balancers.iter().zip(BALANCERS) {
        let mut lvsd = Lvsd::start(host, &Configuration::with_web(asn))?;
        lvsd.wait_ready(LIMIT)?;
        balancers.push(lvsd);
    }
    expect_both(&routers)?;
    let traffic = Traffic::start(&lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(300)?;

    balancers[0].kill()?;
    expect_stale(&routers, "the routers keep the paths", FIRST.len())?;
    traffic.let_pass(300)?;
    expect_both(&routers)?;

    balancers[0].start_again()?;
    balancers[0].wait_ready(LIMIT)?;
    expect_stale(&routers, "the paths are fresh", 0)?;
    expect_both(&routers)?;
    traffic.let_pass(300)?;
    traffic.stop()?.expect_no_failure()
}

/// The kernels of both routers send each VIP to both balancers.
fn expect_both(routers: &[Frr]) -> Result<()> {
    let wanted = |vip: &IpAddr| -> Vec<IpAddr> {
        if vip.is_ipv4() { vec![v4(1).into(), v4(2).into()] } else { vec![v6(1).into(), v6(2).into()] }
    };
    let right = |router: &Frr| {
        FIRST.iter().all(|vip| next_hops(router.host(), *vip).is_ok_and(|hops| hops == wanted(vip)))
    };
    wait_until("the routers' kernels have both ways", LIMIT, || routers.iter().all(right))
        .map(drop)
        .with_context(|| shown(routers))
}

fn expect_stale(routers: &[Frr], what: &str, wanted: usize) -> Result<()> {
    let right = |router: &Frr| router.stale(&FIRST).is_ok_and(|stale| stale == wanted);
    wait_until(what, LIMIT, || routers.iter().all(right)).map(drop).with_context(|| shown(routers))
}

/// What bgpd and the kernel of each router have.
fn shown(routers: &[Frr]) -> String {
    let of = |router: &Frr| {
        let [v4, v6] = FIRST.map(|vip| next_hops(router.host(), vip).unwrap_or_default());
        let [four, six] = ["ipv4", "ipv6"]
            .map(|family| router.ask(&format!("show bgp {family} unicast")).unwrap_or_default());
        format!("{}: kernel {v4:?} {v6:?}\n{four}\n{six}", router.host().name())
    };
    routers.iter().map(of).collect()
}
