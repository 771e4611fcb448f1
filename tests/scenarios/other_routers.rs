//! The routers are FRR or GoBGP, with their routes in their kernels, instead of BIRD.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::bird::{Settings, next_hops};
use lab::configuration::Configuration;
use lab::frr::Frr;
use lab::gobgp::Gobgp;
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4, v6};
use lab::site::BALANCERS;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// They dial again after seconds, in a slow kernel.
const LIMIT: Duration = Duration::from_secs(60);

/// The addresses of the balancer that is killed.
fn first_balancer() -> [IpAddr; 2] {
    [v4(1).into(), v6(1).into()]
}

/// What is asked of a router.
trait Router: Sized {
    fn start(host: &Host, settings: &Settings) -> Result<Self>;

    fn host(&self) -> &Host;

    /// Whether it has missed the first balancer and keeps what that had told.
    fn keeps(&self) -> bool;

    /// Whether the first balancer has come back and told it everything again.
    fn is_fresh(&self) -> bool;

    /// What it knows, for who has to look.
    fn shown(&self) -> String;
}

impl Router for Frr {
    fn start(host: &Host, settings: &Settings) -> Result<Self> {
        Self::start(host, settings)
    }

    fn host(&self) -> &Host {
        self.host()
    }

    fn keeps(&self) -> bool {
        self.stale(&FIRST).is_ok_and(|stale| stale == FIRST.len())
    }

    fn is_fresh(&self) -> bool {
        self.stale(&FIRST).is_ok_and(|stale| stale == 0)
    }

    fn shown(&self) -> String {
        let families = ["ipv4", "ipv6"];
        families.map(|family| self.ask(&format!("show bgp {family} unicast")).unwrap_or_default()).concat()
    }
}

impl Router for Gobgp {
    fn start(host: &Host, settings: &Settings) -> Result<Self> {
        Self::start(host, settings)
    }

    fn host(&self) -> &Host {
        self.host()
    }

    fn keeps(&self) -> bool {
        first_balancer().iter().all(|balancer| self.sessions(*balancer) == [1, 1])
    }

    fn is_fresh(&self) -> bool {
        first_balancer().iter().all(|balancer| self.sessions(*balancer) == [2, 1])
    }

    fn shown(&self) -> String {
        format!("sessions with the first balancer: {:?}", first_balancer().map(|one| self.sessions(one)))
    }
}

pub(crate) fn frr_keeps_the_routes_of_an_lvsd_that_is_killed_and_no_request_fails(
    world: &World,
) -> Result<()> {
    keeps_the_routes::<Frr>(world)
}

pub(crate) fn gobgp_keeps_the_routes_of_an_lvsd_that_is_killed_and_no_request_fails(
    world: &World,
) -> Result<()> {
    keeps_the_routes::<Gobgp>(world)
}

/// `kill -9` and a start under traffic: the routers help, as BIRD does.
fn keeps_the_routes<R: Router>(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    let _servers = lab.start_servers()?;
    let mut routers = Vec::new();
    for (index, host) in lab.routers.iter().enumerate() {
        routers.push(R::start(host, &Settings::of_router(index, BALANCERS))?);
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
    expect(&routers, "the routers keep the paths", R::keeps)?;
    traffic.let_pass(300)?;
    expect_both(&routers)?;

    balancers[0].start_again()?;
    balancers[0].wait_ready(LIMIT)?;
    expect(&routers, "the paths are fresh", R::is_fresh)?;
    expect_both(&routers)?;
    traffic.let_pass(300)?;
    traffic.stop()?.expect_no_failure()
}

/// The kernels of both routers send each VIP to both balancers.
fn expect_both(routers: &[impl Router]) -> Result<()> {
    let wanted = |vip: &IpAddr| -> Vec<IpAddr> {
        if vip.is_ipv4() { vec![v4(1).into(), v4(2).into()] } else { vec![v6(1).into(), v6(2).into()] }
    };
    expect(routers, "the routers' kernels have both ways", |router| {
        FIRST.iter().all(|vip| next_hops(router.host(), *vip).is_ok_and(|hops| hops == wanted(vip)))
    })
}

fn expect<R: Router>(routers: &[R], what: &str, is_so: impl Fn(&R) -> bool) -> Result<()> {
    wait_until(what, LIMIT, || routers.iter().all(&is_so)).map(drop).with_context(|| {
        let of = |router: &R| {
            let [v4, v6] = FIRST.map(|vip| next_hops(router.host(), vip).unwrap_or_default());
            format!("{}: kernel {v4:?} {v6:?}\n{}", router.host().name(), router.shown())
        };
        routers.iter().map(of).collect::<String>()
    })
}
