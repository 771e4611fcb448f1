//! The kernel's table is shared with others, and others make mistakes.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use lab::network::{FIRST, v4};
use lab::site::{LIMIT, SERVERS, Site, WEIGHT, web};
use lab::table;
use lab::wait::wait_until;
use lab::world::World;

/// A service that is not lvsd's.
const FOREIGN: &str = "203.0.113.9:8080";

pub(crate) fn what_was_changed_by_hand_is_repaired_and_foreign_services_are_left_alone(
    world: &World,
) -> Result<()> {
    let mut site = Site::start(world)?;
    let host = site.lab.balancers[0].clone();
    let service = web(&FIRST)[0];
    let ours = service.to_string();
    host.run(&["ipvsadm", "-A", "-t", FOREIGN, "-s", "rr"])?;
    host.run(&["ipvsadm", "-a", "-t", FOREIGN, "-r", "10.64.0.13:8080", "-g", "-w", "7"])?;
    let foreign = || -> Result<()> {
        let weights = table::weights(&host, FOREIGN.parse::<SocketAddr>()?)?;
        ensure!(weights == [(IpAddr::V4(v4(13)), 7)].into(), "the foreign service was changed: {weights:?}");
        Ok(())
    };

    // One destination gone, another's weight changed, then the whole service gone.
    host.run(&["ipvsadm", "-d", "-t", &ours, "-r", "10.64.0.11:80"])?;
    host.run(&["ipvsadm", "-e", "-t", &ours, "-r", "10.64.0.12:80", "-g", "-w", "3"])?;
    let whole: std::collections::BTreeMap<_, _> = SERVERS.map(|last| (IpAddr::V4(v4(last)), WEIGHT)).into();
    let is_whole = || table::weights(&host, service).is_ok_and(|weights| weights == whole);
    wait_until("destinations are repaired", LIMIT, is_whole)?;
    host.run(&["ipvsadm", "-D", "-t", &ours])?;
    wait_until("the service is repaired", LIMIT, is_whole)?;
    foreign()?;

    site.balancers[0].stop(LIMIT)?;
    foreign()?;
    site.balancers[0].start_again()?;
    site.balancers[0].wait_ready(LIMIT)?;
    foreign()?;
    ensure!(is_whole(), "the table is not whole after a restart: {:?}", table::read(&host)?);
    Ok(())
}
