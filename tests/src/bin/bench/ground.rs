//! What is measured, and what is around it: the lab's site with two balancers, of which lb1 is measured.
//!
//! lb1's checks ask the benchmark's own health pages, which can fail without failing a client's request; lb2's ask
//! nginx and go on. So lb2 serves whatever happens to lb1, and the client's requests load both.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Result;
use lab::bird::{Bird, Settings};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4, v6};
use lab::nginx::{HEALTH, Nginx};
use lab::site::{BALANCERS, LIMIT, SERVERS, both, routes};
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::watch::reaction;
use lab::world::World;

use crate::health_page::{self, HealthPage};
use crate::table_watch::TableWatch;
use lab::measure::priority::{self, Rank};

/// Light traffic: the kernel has one processor, and it is lvsd that is measured.
const RATE: u32 = 50;
const KEPT_ALIVE: usize = 4;

/// Results of one kind in a row that make a verdict.
pub(crate) const FALL: usize = 2;
pub(crate) const RISE: usize = 2;

/// The site.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The network.
    pub(crate) lab: Lab,
    /// The pages that lb1's checks ask for, of rs1, rs2, rs3.
    pub(crate) pages: Vec<HealthPage>,
    /// BIRD on both routers.
    pub(crate) routers: [Bird; 2],
    /// lvsd on lb1, which is measured, and on lb2.
    pub(crate) balancers: [Lvsd; 2],
    /// nginx on the servers runs as long as this lives.
    _servers: Vec<Nginx>,
}

impl Ground {
    /// Starts everything and waits until both routers spread over both balancers.
    pub(crate) fn start(world: &World) -> Result<Self> {
        let lab = Lab::build_without_captures(world)?;
        let servers = lab.start_servers()?;
        let pages = lab.servers.iter().map(HealthPage::start).collect::<Result<Vec<_>>>()?;
        let router = |index: usize| Bird::start(&lab.routers[index], &Settings::of_router(index, BALANCERS));
        let routers = [router(0)?, router(1)?];
        let [lb1, lb2] = &lab.balancers;
        let measured = daemon(lb1, BALANCERS[0]) + &web(health_page::PORT, "/");
        let other = daemon(lb2, BALANCERS[1]) + &web(80, HEALTH);
        let balancers = [Lvsd::start_with(lb1, &measured)?, Lvsd::start_with(lb2, &other)?];
        let mut ground = Self { lab, pages, routers, balancers, _servers: servers };
        for balancer in &mut ground.balancers {
            balancer.wait_ready(LIMIT)?;
        }
        ground.wait_sessions(4)?;
        reaction(LIMIT, routes(&ground.routers, &FIRST, &both()), || Ok(()))?;
        Ok(ground)
    }

    /// Waits until each router has so many BGP sessions.
    pub(crate) fn wait_sessions(&self, count: usize) -> Result<()> {
        let up = |bird: &Bird| bird.established().is_ok_and(|up| up.len() == count);
        wait_until(&format!("{count} BGP sessions on each router"), LIMIT, || self.routers.iter().all(up))?;
        Ok(())
    }

    /// The balancer that is measured.
    pub(crate) fn lvsd(&self) -> &Lvsd {
        &self.balancers[0]
    }

    /// Gives it the processor whenever it asks for it, as a machine with a processor to spare does.
    pub(crate) fn put_lvsd_first(&self) -> Result<()> {
        priority::put_first(i32::try_from(self.lvsd().pid()?)?, Rank::Measured)
    }

    /// A watch on its kernel table.
    pub(crate) fn watch(&self) -> Result<TableWatch> {
        TableWatch::start(self.lvsd().host())
    }

    /// The client begins.
    pub(crate) fn traffic(&self) -> Result<Traffic> {
        Traffic::start(&self.lab.client, &Load { rate: RATE, kept_alive: KEPT_ALIVE, ..Load::usual(&FIRST) })
    }
}

/// A server's addresses, IPv4 and IPv6.
pub(crate) fn addresses(index: usize) -> [IpAddr; 2] {
    [v4(SERVERS[index]).into(), v6(SERVERS[index]).into()]
}

/// The part of the configuration that is not about services: defaults, and a session of each family with each
/// router.
pub(crate) fn daemon(host: &Host, asn: u32) -> String {
    let last = if host.name() == "lb1" { 1 } else { 2 };
    let files = host.files();
    let files = files.display();
    let mut text = format!(
        "[lvsd]\nstate_dir = \"{files}/state\"\ncontrol_socket = \"{files}/control.sock\"\nhttp = \"127.0.0.1:9090\"\n\n\
         [bgp]\nlocal_asn = {asn}\nrouter_id = \"{}\"\n",
        v4(last)
    );
    for (name, asn, router) in [("r1", 65001, 251), ("r2", 65002, 252)] {
        let ends: [(&str, IpAddr, IpAddr); 2] =
            [("v4", v4(router).into(), v4(last).into()), ("v6", v6(router).into(), v6(last).into())];
        for (family, peer, own) in ends {
            let _ = write!(
                text,
                "\n[[bgp.peer]]\nname = \"{name}-{family}\"\naddress = \"{peer}\"\nasn = {asn}\n\
                 local_address = \"{own}\"\n"
            );
        }
    }
    text
}

/// The service that the client uses, with checks often enough for a hundred deaths in a minute.
fn web(check_port: u16, path: &str) -> String {
    let vips: Vec<_> = FIRST.iter().map(IpAddr::to_string).collect();
    let mut text = format!(
        "\n[service.web]\nvips = {vips:?}\nport = 80\nscheduler = \"mh\"\ndepool_threshold = 0.3\n\n\
         [[service.web.checks]]\ntype = \"http\"\npath = \"{path}\"\nport = {check_port}\n\
         interval = \"200ms\"\ntimeout = \"1s\"\nfall = {FALL}\nrise = {RISE}\n"
    );
    for index in 0..SERVERS.len() {
        let [v4, v6] = addresses(index);
        let _ = write!(
            text,
            "\n[[service.web.backends]]\nhost = \"rs{}\"\naddresses = [\"{v4}\", \"{v6}\"]\nweight = 10\n",
            index + 1
        );
    }
    text
}
