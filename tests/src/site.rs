//! The whole site at work: nginx on the servers, BIRD on the routers, lvsd on the balancers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;

use crate::bird::{Bird, Settings};
use crate::configuration::Configuration;
use crate::lvsd::Lvsd;
use crate::network::{FIRST, Lab, v4, v6};
use crate::nginx::Nginx;
use crate::table::{Table, weights_in};
use crate::watch::{Watcher, reaction};
use crate::world::World;

/// Longest wait for anything that lvsd or a router does.
pub const LIMIT: Duration = Duration::from_secs(60);

/// AS numbers of the balancers: one of two bytes and one of four.
pub const BALANCERS: [u32; 2] = [64600, 4_200_000_010];

/// Weight of every backend, as configured.
pub const WEIGHT: u32 = 10;

/// The last parts of the servers' addresses.
pub const SERVERS: [u16; 3] = [11, 12, 13];

/// A site with something running on every host.
#[derive(Debug)]
pub struct Site {
    /// The network.
    pub lab: Lab,
    /// nginx on rs1, rs2, rs3.
    pub servers: Vec<Nginx>,
    /// BIRD on r1, r2.
    pub routers: [Bird; 2],
    /// lvsd on lb1, lb2.
    pub balancers: [Lvsd; 2],
}

impl Site {
    /// Starts everything with the service `web` and waits until both routers spread it over both balancers, and those over all
    /// servers.
    pub fn start(world: &World) -> Result<Self> {
        let site = Self::start_with(Lab::build(world)?, |_, asn| Configuration::with_web(asn))?;
        site.expect_all_servers()?;
        Ok(site)
    }

    /// The same with what `configuration` says for each balancer (0 or 1, and its AS number); the service `web`
    /// must be there. Not every server need be in it yet: [`Site::expect_all_servers`].
    pub fn start_with(lab: Lab, configuration: impl Fn(usize, u32) -> Configuration) -> Result<Self> {
        let servers = lab.start_servers()?;
        let router = |index: usize| Bird::start(&lab.routers[index], &Settings::of_router(index, BALANCERS));
        let routers = [router(0)?, router(1)?];
        let balancer =
            |index: usize| Lvsd::start(&lab.balancers[index], &configuration(index, BALANCERS[index]));
        let balancers = [balancer(0)?, balancer(1)?];
        let mut site = Self { lab, servers, routers, balancers };
        for balancer in &mut site.balancers {
            balancer.wait_ready(LIMIT)?;
        }
        site.expect_routes(&FIRST, &both())?;
        Ok(site)
    }

    /// Runs lvsctl with these words on one balancer after the other.
    pub fn on_each_balancer(&self, command: &[&str]) -> Result<()> {
        self.balancers.iter().try_for_each(|lvsd| lvsd.ctl(command).map(drop))
    }

    /// Waits until [`routes`] holds.
    pub fn expect_routes(&self, vips: &[IpAddr], hops: &[IpAddr]) -> Result<Duration> {
        reaction(LIMIT, routes(&self.routers, vips, hops), || Ok(()))
    }

    /// Waits until every server has its weight on both balancers.
    pub fn expect_all_servers(&self) -> Result<()> {
        SERVERS.iter().try_for_each(|last| self.expect_weight(*last, WEIGHT).map(drop))
    }

    /// Waits until [`weight`] holds on both balancers.
    pub fn expect_weight(&self, last: u16, wanted: u32) -> Result<Duration> {
        reaction(LIMIT, weight(&self.lab, &[0, 1], last, wanted), || Ok(()))
    }
}

/// Watchers for the routers to have exactly `hops` for each of `vips`, of the vip's family.
pub fn routes<'a>(routers: &'a [Bird], vips: &'a [IpAddr], hops: &'a [IpAddr]) -> Vec<Watcher<'a>> {
    routers.iter().map(|bird| Watcher::routes(bird, vips, hops)).collect()
}

/// Watchers for the server with this last part of its address to have the weight in `web`'s tables of both
/// families, on each of these balancers (0, 1); weight 0 and no entry are one here.
pub fn weight<'a>(lab: &'a Lab, balancers: &[usize], last: u16, wanted: u32) -> Vec<Watcher<'a>> {
    let has = move |table: &Table| {
        FIRST.iter().all(|vip| {
            let server = if vip.is_ipv4() { IpAddr::V4(v4(last)) } else { IpAddr::V6(v6(last)) };
            let weights = weights_in(table, SocketAddr::new(*vip, 80));
            weights.get(&server).copied().unwrap_or_default() == wanted
        })
    };
    let what = format!("weight {wanted} of server .{last}");
    balancers.iter().map(|index| Watcher::table(&lab.balancers[*index], &what, has)).collect()
}

/// Both balancers in both families, as routers list them.
pub fn both() -> [IpAddr; 4] {
    [v4(1).into(), v4(2).into(), v6(1).into(), v6(2).into()]
}

/// One balancer (1 or 2) in both families.
pub fn only(balancer: u16) -> [IpAddr; 2] {
    [v4(balancer).into(), v6(balancer).into()]
}

/// These addresses with the web's port.
pub fn web(vips: &[IpAddr]) -> Vec<SocketAddr> {
    vips.iter().map(|vip| SocketAddr::new(*vip, 80)).collect()
}
