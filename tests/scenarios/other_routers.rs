//! The routers are FRR or GoBGP, with their routes in the routers' kernels, instead of BIRD.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::bird::{Settings, next_hops};
use lab::configuration::Configuration;
use lab::frr::Frr;
use lab::gobgp::Gobgp;
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, SECOND, v4, v6};
use lab::site::BALANCERS;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// Both dial again after seconds, in a slow kernel.
const LIMIT: Duration = Duration::from_secs(120);

/// A router that helps over a restart.
trait Router {
    fn host(&self) -> &Host;
    /// How many paths to these VIPs are kept of sessions that are down.
    fn stale(&self, vips: &[IpAddr]) -> Result<usize>;
    /// Its table, for people.
    fn shown(&self) -> String;
}

impl Router for Frr {
    fn host(&self) -> &Host {
        self.host()
    }

    fn stale(&self, vips: &[IpAddr]) -> Result<usize> {
        self.stale(vips)
    }

    fn shown(&self) -> String {
        let [four, six] = ["ipv4", "ipv6"]
            .map(|family| self.ask(&format!("show bgp {family} unicast")).unwrap_or_default());
        format!("{four}\n{six}")
    }
}

impl Router for Gobgp {
    fn host(&self) -> &Host {
        self.host()
    }

    fn stale(&self, vips: &[IpAddr]) -> Result<usize> {
        Ok(self.stale(vips))
    }

    fn shown(&self) -> String {
        self.shown()
    }
}

/// `kill -9` and a start under traffic: FRR helps, as BIRD does.
pub(crate) fn frr_keeps_the_routes_of_an_lvsd_that_is_killed_and_no_request_fails(
    world: &World,
) -> Result<()> {
    killed_and_started_again(world, Frr::start)
}

/// The same with GoBGP.
pub(crate) fn gobgp_keeps_the_routes_of_an_lvsd_that_is_killed_and_no_request_fails(
    world: &World,
) -> Result<()> {
    killed_and_started_again(world, Gobgp::start)
}

/// The one that is killed comes back without its second service, which it then no longer announces.
fn killed_and_started_again<R: Router>(
    world: &World,
    start: impl Fn(&Host, &Settings) -> Result<R>,
) -> Result<()> {
    let lab = Lab::build(world)?;
    let _servers = lab.start_servers()?;
    let mut routers = Vec::new();
    for (index, host) in lab.routers.iter().enumerate() {
        routers.push(start(host, &Settings::of_router(index, BALANCERS))?);
    }
    let mut balancers = Vec::new();
    for (host, asn) in lab.balancers.iter().zip(BALANCERS) {
        let mut lvsd = Lvsd::start(host, &Configuration::with_web(asn).and_second())?;
        lvsd.wait_ready(LIMIT)?;
        balancers.push(lvsd);
    }
    let all = [FIRST, SECOND].concat();
    expect_ways(&routers, &all, &[1, 2])?;
    let traffic = Traffic::start(&lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(300)?;

    balancers[0].kill()?;
    expect_stale(&routers, "the routers keep the paths", all.len())?;
    traffic.let_pass(300)?;
    expect_ways(&routers, &all, &[1, 2])?;

    balancers[0].configure(&Configuration::with_web(BALANCERS[0]))?;
    balancers[0].start_again()?;
    balancers[0].wait_ready(LIMIT)?;
    expect_stale(&routers, "the paths are fresh", 0)?;
    expect_ways(&routers, &FIRST, &[1, 2])?;
    expect_ways(&routers, &SECOND, &[2])?;
    traffic.let_pass(300)?;
    traffic.stop()?.expect_no_failure()
}

/// The kernels of both routers send what goes to each of these VIPs to these balancers.
fn expect_ways(routers: &[impl Router], vips: &[IpAddr], balancers: &[u16]) -> Result<()> {
    let wanted = |vip: &IpAddr| -> Vec<IpAddr> {
        let way = |last: &u16| if vip.is_ipv4() { v4(*last).into() } else { v6(*last).into() };
        balancers.iter().map(way).collect()
    };
    let right =
        |host: &Host| vips.iter().all(|vip| next_hops(host, *vip).is_ok_and(|hops| hops == wanted(vip)));
    let what = format!("the routers' kernels have ways to the balancers {balancers:?}");
    wait_until(&what, LIMIT, || routers.iter().all(|router| right(router.host())))
        .map(drop)
        .with_context(|| shown(routers, vips))
}

/// So many paths of both services are kept of sessions that are down.
fn expect_stale(routers: &[impl Router], what: &str, wanted: usize) -> Result<()> {
    let all = [FIRST, SECOND].concat();
    let right = |router: &_| Router::stale(router, &all).is_ok_and(|stale| stale == wanted);
    wait_until(what, LIMIT, || routers.iter().all(right)).map(drop).with_context(|| shown(routers, &all))
}

/// What the daemon and the kernel of each router have.
fn shown(routers: &[impl Router], vips: &[IpAddr]) -> String {
    let of = |router: &_| {
        let host = Router::host(router);
        let kernel: Vec<_> = vips.iter().map(|vip| next_hops(host, *vip).unwrap_or_default()).collect();
        format!("{}: kernel {kernel:?}\n{}\n", host.name(), Router::shown(router))
    };
    routers.iter().map(of).collect()
}
