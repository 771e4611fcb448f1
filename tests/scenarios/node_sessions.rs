//! Sessions with nodes that go wrong, and those that nobody has named: passwords, too many routes, a node that never returns.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::calico::{Node, Settings};
use lab::configuration::Configuration;
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{Lab, v4, v6};
use lab::wait::wait_until;
use lab::world::World;
use serde_json::Value;

use crate::cluster::{
    BALANCER_ASN, LIMIT, block, established, expect_way, hosts, last, named, sessions, settings, stale,
    start, taken, view,
};

const PASSWORD: &str = "correct horse";

/// Calico's own AS, in which most nodes are.
const ASN: u32 = 64512;

/// The BGPPeer's `maxRestartTime`: long enough to look at routes that are kept.
const RESTART: u16 = 30;

/// A node in Calico's own AS that signs its sessions.
fn signing(node: u16) -> Settings {
    Settings {
        services: [Vec::new(), Vec::new()],
        password: Some(PASSWORD),
        max_restart_time: Some(RESTART),
        ..settings(node, ASN)
    }
}

/// lvsd's configuration, whose nodes sign their sessions.
fn configuration(host: &Host, nodes: &str) -> Result<String> {
    let file = host.files().join("nodes.password");
    fs::write(&file, PASSWORD)?;
    Ok(Configuration::with_web(BALANCER_ASN).render(host)
        + &format!(
            "\n[nodes]\nhold_time = \"30s\"\nasn = {ASN}\npassword_file = \"{}\"\nlocal_ipv4 = \"{}\"\nlocal_ipv6 = \"{}\"\n\
             pool = [{{ cidr = \"10.67.0.0/16\" }}, {{ cidr = \"fd00:67::/64\" }}]\n{nodes}",
            file.display(),
            v4(1),
            v6(1)
        ))
}

/// A session of a node, by its address.
fn session(lvsd: &Lvsd, address: &str) -> Result<Value> {
    let all = sessions(&view(lvsd)?);
    all.into_iter()
        .find(|session| session["address"] == address)
        .with_context(|| format!("none with {address}"))
}

pub(crate) fn nodes_that_do_not_sign_tell_too_much_or_never_return_lose_their_routes_and_no_other_does(
    world: &World,
) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let hosts = hosts(&lab, world, 3)?;
    // n3 has another password.
    let settings = [signing(1), signing(2), Settings { password: Some("wrong"), ..signing(3) }];
    let mut nodes = start(&hosts, |node| settings[usize::from(node) - 1].clone())?;
    let named = [1, 2, 3].map(|node| named(node, "")).join(", ");
    let balancer = &lab.balancers[0];
    let text = format!("mode = \"static\"\nmax_prefixes = 5\nhold_off = \"10s\"\nnode = [{named}]\n");
    let mut lvsd = Lvsd::start_with(balancer, &configuration(balancer, &text)?)?;
    lvsd.wait_ready(LIMIT)?;
    wait_until("sessions with n1 and n2", LIMIT, || established(&lvsd).is_ok_and(|sessions| sessions == 4))?;
    wait_until("their routes are in the kernel", LIMIT, || {
        taken(&lvsd).is_ok_and(|taken| taken == 4) && expect_way(balancer, &block(1)[0], 21).is_ok()
    })?;

    // n1 dies for ever; its routes are kept for as long as it asked for, and then go.
    nodes[0].kill()?;
    wait_until("the routes of n1 are kept", LIMIT, || stale(&lvsd).is_ok_and(|stale| stale == 2))?;
    expect_way(balancer, &block(1)[0], 21)?;

    tells_too_much(&lvsd, &nodes[1], &settings[1])?;

    wait_until("the routes of n1 are gone, those of n2 are not", LIMIT, || {
        let left = balancer.run(&["ip", "-6", "route", "show", "table", "77"]);
        stale(&lvsd).is_ok_and(|stale| stale == 0)
            && expect_way(balancer, &block(1)[0], 21).is_err()
            && left.is_ok_and(|left| left.contains(&block(2)[1]) && !left.contains(&block(1)[1]))
    })?;
    for address in [v4(23).to_string(), v6(23).to_string()] {
        let other = session(&lvsd, &address)?;
        ensure!(other["state"] != "Established" && other["learned"] == 0, "the wrong password: {other}");
    }
    Ok(())
}

/// n2 tells ten more IPv4 routes than it may: that session ends and all its routes go, those of its other session stay. Once it
/// tells fewer again it is back, when it has been left alone for a while.
fn tells_too_much(lvsd: &Lvsd, node: &Node, settings: &Settings) -> Result<()> {
    let balancer = lvsd.host();
    let mut many = settings.clone();
    many.blocks[0].extend((100..110).map(|third| format!("10.67.{third}.0/26")));
    node.reconfigure(&many)?;
    let address = v4(22).to_string();
    wait_until("n2 is left alone", LIMIT, || {
        session(lvsd, &address).is_ok_and(|session| {
            session["last_error"].as_str().is_some_and(|why| why.contains("Maximum Number of Prefixes"))
        })
    })?;
    wait_until("its routes are gone", LIMIT, || expect_way(balancer, &block(2)[0], 22).is_err())?;
    let v6 = session(lvsd, &v6(22).to_string())?;
    ensure!(v6["state"] == "Established" && v6["learned"] == 1, "n2's other session: {v6}");
    node.reconfigure(settings)?;
    wait_until("n2 is back", LIMIT, || expect_way(balancer, &block(2)[0], 22).is_ok())?;
    Ok(())
}

pub(crate) fn nodes_that_connect_from_a_known_prefix_are_taken_without_being_named(
    world: &World,
) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let hosts = hosts(&lab, world, 3)?;
    let balancer = &lab.balancers[0];
    let text = format!(
        "mode = \"listen\"\nlisten = [{{ prefix = \"10.64.0.16/28\", asn = {ASN} }}, {{ prefix = \"fd00:64::20/124\", asn = {ASN} }}]\n"
    );
    let mut lvsd = Lvsd::start_with(balancer, &configuration(balancer, &text)?)?;
    lvsd.wait_ready(LIMIT)?;
    ensure!(sessions(&view(&lvsd)?).is_empty(), "nobody has connected yet");
    // n3 is in another AS than those that may connect.
    let settings = [signing(1), signing(2), Settings { asn: ASN + 1, ..signing(3) }];
    let mut nodes = start(&hosts, |node| settings[usize::from(node) - 1].clone())?;
    wait_until("n1 and n2 have connected", LIMIT, || {
        established(&lvsd).is_ok_and(|sessions| sessions == 4) && taken(&lvsd).is_ok_and(|taken| taken == 4)
    })?;
    for node in 1..=2 {
        wait_until("the kernel has their blocks", LIMIT, || {
            expect_way(balancer, &block(node)[0], last(node)).is_ok()
        })?;
    }
    ensure!(expect_way(balancer, &block(3)[0], 23).is_err(), "n3 is in another AS and was taken");
    nodes.iter().take(2).try_for_each(|node| {
        ensure!(node.told_by_peer()? == 0, "the balancer has told a node of routes");
        Ok(())
    })?;
    // One that comes back is itself again.
    nodes[0].kill()?;
    wait_until("the routes of n1 are kept", LIMIT, || stale(&lvsd).is_ok_and(|stale| stale == 2))?;
    nodes[0].start_again()?;
    wait_until("n1 has told its routes again", LIMIT, || {
        stale(&lvsd).is_ok_and(|stale| stale == 0)
            && established(&lvsd).is_ok_and(|sessions| sessions == 4)
            && taken(&lvsd).is_ok_and(|taken| taken == 4)
    })
    .map(drop)
}
