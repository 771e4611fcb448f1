//! Many nodes at once.

use anyhow::{Context, Result, ensure};
use lab::configuration::Configuration;
use lab::crowd::{ASN, BALANCER, Crowd, POOL, address};
use lab::lvsd::Lvsd;
use lab::network::Lab;
use lab::wait::wait_until;
use lab::world::World;

use crate::cluster::{BALANCER_ASN, LIMIT};

const NODES: u32 = 100;
const BLOCKS: u32 = 2;

/// The configuration with so many of the nodes, and with or without a second service.
fn configuration(lvsd: &Lvsd, crowd: &Crowd, count: u32, has_second: bool) -> String {
    let services = Configuration::with_web(BALANCER_ASN);
    let services = if has_second { services.and_second() } else { services };
    services.render(lvsd.host())
        + &format!(
            "\n[nodes]\nmode = \"static\"\nasn = {ASN}\nlocal_ipv4 = \"{BALANCER}\"\npool = [{{ cidr = \"{POOL}\" }}]\n{}",
            crowd.named(count)
        )
}

fn established(lvsd: &Lvsd) -> Result<f64> {
    lvsd.metric("lvsd_nodes_sessions_established")
}

fn installed(lvsd: &Lvsd) -> Result<f64> {
    lvsd.metric("lvsd_fib_routes{state=\"installed\"}")
}

/// Waits until lvsd has so many sessions with nodes, and so many of their routes in the kernel.
fn expect(lvsd: &Lvsd, sessions: u32, routes: u32) -> Result<()> {
    let is_so = || {
        established(lvsd).is_ok_and(|up| up == f64::from(sessions))
            && installed(lvsd).is_ok_and(|there| there == f64::from(routes))
    };
    let waited = wait_until(&format!("{sessions} sessions and {routes} routes"), LIMIT, is_so);
    waited.map(drop).with_context(|| lvsd.ctl(&["nodes"]).unwrap_or_default())
}

pub(crate) fn a_hundred_nodes_keep_their_sessions_over_reloads_and_each_is_followed(
    world: &World,
) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let host = lab.add_host(world, "nodes", 21, &[])?;
    let balancer = &lab.balancers[0];
    let crowd = Crowd::start(&host, balancer, NODES, BLOCKS)?;
    let mut lvsd = Lvsd::new(balancer, Vec::new());
    lvsd.configure_with(&configuration(&lvsd, &crowd, NODES, false))?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    expect(&lvsd, NODES, NODES * BLOCKS)?;

    // Another service is nothing to them; a node that is taken out is something to itself alone.
    lvsd.configure_with(&configuration(&lvsd, &crowd, NODES, true))?;
    lvsd.ctl(&["reload"])?;
    expect(&lvsd, NODES, NODES * BLOCKS)?;
    lvsd.configure_with(&configuration(&lvsd, &crowd, NODES - 1, true))?;
    lvsd.ctl(&["reload"])?;
    expect(&lvsd, NODES - 1, (NODES - 1) * BLOCKS)?;

    crowd.move_first_block(7, 3)?;
    let block = crowd.first_block(7)?.to_string();
    let way = format!("via {} ", address(3));
    wait_until("the block of node 7 is followed to node 3", LIMIT, || {
        let shown = balancer.run(&["ip", "route", "show", "table", "77", &block]);
        shown.is_ok_and(|shown| shown.contains(&way))
    })?;
    expect(&lvsd, NODES - 1, (NODES - 1) * BLOCKS)?;
    // A node hears that its session is up after lvsd knows it.
    wait_until("every node has had a session", LIMIT, || crowd.confirmed() >= NODES as usize)?;
    ensure!(crowd.confirmed() == NODES as usize, "{} sessions for {NODES} nodes", crowd.confirmed());
    ensure!(crowd.told() == 0, "nodes were told {} routes", crowd.told());
    Ok(())
}
