//! A restart costs what it changes, however many services there are: nothing.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use lab::configuration::Configuration;
use lab::many;
use lab::network::Lab;
use lab::site::{LIMIT, SERVERS, Site, WEIGHT, both};
use lab::table;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

const SERVICES: u8 = 100;

/// Connections that are kept, each to a VIP of its own.
const KEPT_ALIVE: usize = 24;

pub(crate) fn a_restart_with_a_hundred_services_breaks_no_connection_and_writes_nothing(
    world: &World,
) -> Result<()> {
    let lab = Lab::build(world)?;
    many::carry(&lab, SERVICES)?;
    let mut site = Site::start_with(lab, |_, asn| {
        let mut configuration = Configuration::with_web(asn);
        configuration.services.extend((0..SERVICES).map(many::service));
        configuration
    })?;
    let vips: Vec<IpAddr> = (0..SERVICES).flat_map(many::vips).collect();
    site.expect_routes(&vips, &both())?;
    let has_all = |entry: &ipvs::Entry| {
        entry.destinations.len() == SERVERS.len()
            && entry.destinations.values().all(|server| server.weight.get() == WEIGHT)
    };
    let is_whole =
        |table: &ipvs::Table| table.len() == vips.len() + 2 && table.iter().all(|(_, entry)| has_all(entry));
    let reader = table::Reader::open(&site.lab.balancers[0])?;
    wait_until("every service has every server", LIMIT, || {
        reader.whole().is_ok_and(|table| is_whole(&table))
    })?;
    let before = reader.whole()?;
    let targets = vips.iter().map(|vip| SocketAddr::new(*vip, 80)).collect();
    let traffic = Traffic::start(&site.lab.client, &Load { targets, rate: 100, kept_alive: KEPT_ALIVE })?;
    traffic.let_pass(600)?;

    traffic.phase("SIGTERM");
    site.balancers[0].stop(LIMIT)?;
    comes_back(&mut site, &vips, &before)?;
    traffic.let_pass(300)?;

    traffic.phase("kill -9");
    site.balancers[0].kill()?;
    traffic.let_pass(300)?;
    comes_back(&mut site, &vips, &before)?;
    traffic.let_pass(600)?;

    let report = traffic.stop()?;
    println!("{report}");
    report.expect_no_failure()?;
    ensure!(report.reconnects == 0, "{} kept connections were closed: {report}", report.reconnects);
    Ok(())
}

/// It starts, announces again and has found its table as it wants it.
fn comes_back(site: &mut Site, vips: &[IpAddr], before: &ipvs::Table) -> Result<()> {
    let lvsd = &mut site.balancers[0];
    lvsd.start_again()?;
    println!("ready after {:?}", lvsd.wait_ready(LIMIT)?);
    wait_until("the routes are fresh", LIMIT, || {
        site.routers.iter().all(|bird| bird.helping().is_ok_and(|kept| kept.is_empty()))
    })?;
    site.expect_routes(vips, &both())?;
    let lvsd = &site.balancers[0];
    for result in ["ok", "refused"] {
        let written = lvsd.metric(&format!("lvsd_ipvs_operations_total{{result=\"{result}\"}}"))?;
        ensure!(written == 0.0, "{written} operations {result} though nothing had changed");
    }
    ensure!(lvsd.metric("lvsd_ipvs_reads_total")? > 0.0, "the kernel was not read");
    ensure!(table::whole(lvsd.host())? == *before, "the table is another than before the restart");
    Ok(())
}
