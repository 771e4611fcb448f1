//! What routers are told beside the prefix, and what operators may say of it: VIPs, drains, planned stops.

use super::world::{World, parse};
use super::{ALL, WEB, running};
use crate::core::Event;
use crate::core::action::{Answer, Refusal};
use crate::core::event::{Command, Note};
use crate::core::orders::READ;
use crate::core::plan::plan;
use crate::core::saved::VipWord;
use bgp::{Community, RouteAttributes};
use std::sync::Arc;
use std::time::Duration;

const VIP: &str = "192.0.2.10";
const OTHER: &str = "2001:db8::10";

fn told(world: &World, vip: &str) -> Option<RouteAttributes> {
    let routes = world.routes.as_ref()?;
    routes.iter().find(|(prefix, _)| prefix.address().to_string() == vip).map(|(_, told)| told.clone())
}

fn asks_to_leave(world: &World, vip: &str) -> bool {
    told(world, vip).is_some_and(|told| {
        told.communities.contains(&Community::GRACEFUL_SHUTDOWN) && told.local_pref == Some(0)
    })
}

fn say(world: &mut World, vip: &str, to: Option<VipWord>, force: bool, lasts: Option<u64>) -> Answer {
    let note = Note { reason: Some("T1".into()), force, lasts: lasts.map(Duration::from_secs) };
    world.operate(Command::Vip { vip: vip.into(), to, note })
}

fn withdraw(world: &mut World, vip: &str) -> Answer {
    say(world, vip, Some(VipWord::Withdrawn), false, None)
}

fn drain(world: &mut World) -> Answer {
    let note = Note { reason: Some("kernel".into()), ..Note::default() };
    world.operate(Command::DrainBalancer { note })
}

fn vip_reason(world: &World, vip: &str) -> String {
    let status = world.status();
    status.vips.iter().find(|view| view.address.to_string() == vip).unwrap().reason.clone()
}

#[test]
fn a_vip_is_announced_with_what_it_or_its_service_or_bgp_says_in_this_order() {
    let bgp = WEB.replace("router_id", "med = 100\nlocal_pref = 90\ncommunities = [\"64600:1\"]\nrouter_id");
    let text = format!(
        "{bgp}[service.web.route]\nmed = 50\nlarge_communities = [\"64600:1:2\"]\n\
         [vip.\"{VIP}\"]\nmed = 0\nlocal_pref = 300\nprepend = 2\ncommunities = []\n"
    );
    let mut world = World::with(&text);
    world.up(&ALL);
    let (own, other) = (told(&world, VIP).unwrap(), told(&world, OTHER).unwrap());
    assert_eq!(
        (own.med, own.prepend, own.communities.len(), own.large_communities.len()),
        (Some(0), 2, 0, 1)
    );
    assert_eq!((other.med, other.prepend), (Some(50), 0));
    assert_eq!((own.local_pref, other.local_pref), (Some(300), Some(90)));
    assert_eq!(other.communities, [Community::new(64_600, 1)]);
    world.configure(&bgp);
    assert_eq!(told(&world, VIP).unwrap().med, Some(100), "a reload takes it back");
}

#[test]
fn a_withdrawn_vip_is_gone_at_once_says_who_and_why_and_comes_back_by_itself() {
    let mut world = running();
    let done = say(&mut world, VIP, Some(VipWord::Withdrawn), false, Some(7200)).unwrap();
    assert!(done.message.contains("left to the other balancers"), "{}", done.message);
    assert!(!world.is_announced(VIP) && world.is_announced(OTHER));
    let reason = vip_reason(&world, VIP);
    assert!(reason.starts_with("withdrawn by ada at ") && reason.contains("until"), "{reason}");
    assert!(reason.ends_with("\"T1\"; otherwise web: 3 of 3 backends can serve"), "{reason}");
    world.pass(Duration::from_millis(7_199_999));
    assert!(!world.is_announced(VIP));
    world.pass(Duration::from_millis(1));
    assert!(world.is_announced(VIP));
    assert!(world.saved.vips.is_empty(), "what is over is not kept");
}

#[test]
fn a_withdrawn_vip_stays_so_over_a_restart_until_it_is_left_to_its_services() {
    let mut world = running();
    withdraw(&mut world, VIP).unwrap();
    world.restart(WEB);
    world.up(&ALL);
    assert!(!world.is_announced(VIP) && world.is_announced(OTHER));
    let done = say(&mut world, VIP, None, false, None).unwrap();
    assert_eq!(done.message, "192.0.2.10 is left to its services again");
    assert!(world.is_announced(VIP));
}

#[test]
fn the_withdrawal_of_the_last_vip_is_told_to_be_that() {
    let mut world = running();
    withdraw(&mut world, OTHER).unwrap();
    let done = withdraw(&mut world, VIP).unwrap();
    assert!(done.message.ends_with("it was the last VIP that this balancer announced"), "{}", done.message);
}

#[test]
fn a_vip_that_nothing_serves_is_announced_by_force_only() {
    let mut world = running();
    world.down(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    assert!(!world.is_announced(VIP));
    let refusal = say(&mut world, VIP, Some(VipWord::Announced), false, None).unwrap_err();
    let words = "nothing can serve on 192.0.2.10: web: none of 3 backends can serve; --force";
    assert!(
        matches!(&refusal, Refusal::NothingServes { message } if message.starts_with(words)),
        "{refusal}"
    );
    say(&mut world, VIP, Some(VipWord::Announced), true, None).unwrap();
    assert!(world.is_announced(VIP));
    say(&mut world, VIP, None, false, None).unwrap();
    assert!(!world.is_announced(VIP));
}

#[test]
fn a_vip_that_is_announced_without_force_waits_for_no_hold_and_goes_when_nothing_serves() {
    let mut world = World::with(&format!("{WEB}[vip.\"{VIP}\"]\nannounce_hold = \"1h\"\n"));
    world.up(&ALL);
    world.down(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    world.up(&ALL);
    assert!(!world.is_announced(VIP), "held");
    say(&mut world, VIP, Some(VipWord::Announced), false, None).unwrap();
    assert!(world.is_announced(VIP));
    world.down(&["10.64.0.11", "10.64.0.12", "10.64.0.13"]);
    assert!(!world.is_announced(VIP));
}

#[test]
fn a_wrong_vip_suggests_the_near_ones() {
    let mut world = running();
    let refusal = withdraw(&mut world, "192.0.2.11").unwrap_err().to_string();
    assert_eq!(refusal, "no service has the VIP 192.0.2.11 (did you mean 192.0.2.10?)");
}

#[test]
fn a_drain_asks_routers_to_prefer_others_then_withdraws_and_the_kernel_goes_on() {
    let mut world = running();
    let kernel = world.kernel.clone();
    drain(&mut world).unwrap();
    assert!(asks_to_leave(&world, VIP) && asks_to_leave(&world, OTHER));
    assert_eq!(world.status().drain.unwrap().stage, "leaving");
    world.pass(Duration::from_millis(1_999));
    assert!(asks_to_leave(&world, VIP));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.routes.as_ref().map(|routes| routes.len()), Some(0));
    assert_eq!(world.status().drain.unwrap().stage, "withdrawn");
    let reason = vip_reason(&world, VIP);
    assert!(reason.starts_with("the balancer is drained by ada at "), "{reason}");
    assert_eq!(world.kernel, kernel);
}

#[test]
fn the_path_to_a_drained_balancer_is_watched_until_routers_have_read_the_withdrawal() {
    let text = [65001, 65002].iter().fold(WEB.to_owned(), |text, asn| {
        text.replace(&format!("asn = {asn} }}"), &format!("asn = {asn}, bfd = true }}"))
    });
    let mut world = World::with(&text);
    world.up(&ALL);
    let watched = |world: &World| {
        let peers = &world.routers.as_ref().unwrap().peers;
        (peers.len(), peers.iter().filter(|peer| peer.terms.bfd.is_some()).count())
    };
    assert_eq!(watched(&world), (2, 2));
    drain(&mut world).unwrap();
    world.pass(Duration::from_secs(2) + READ - Duration::from_millis(1));
    assert!(!world.is_announced(VIP));
    assert_eq!(watched(&world), (2, 2));
    world.pass(Duration::from_millis(1));
    assert_eq!(watched(&world), (2, 0), "the sessions stay");
    world.operate(Command::UndrainBalancer).unwrap();
    assert_eq!(watched(&world), (2, 2));
    assert!(world.is_announced(VIP));
}

#[test]
fn a_drained_balancer_announces_nothing_after_a_restart_until_it_is_undrained() {
    let mut world = running();
    drain(&mut world).unwrap();
    world.pass(Duration::from_secs(2));
    world.restart(WEB);
    world.up(&ALL);
    assert_eq!(
        world.routes.as_ref().map(|routes| routes.len()),
        Some(0),
        "routers are told that there is none"
    );
    world.operate(Command::UndrainBalancer).unwrap();
    assert!(world.is_announced(VIP) && !asks_to_leave(&world, VIP));
    assert_eq!(world.saved.drained, None);
}

#[test]
fn an_undrain_while_leaving_takes_the_community_back() {
    let mut world = running();
    drain(&mut world).unwrap();
    world.operate(Command::UndrainBalancer).unwrap();
    assert!(world.is_announced(VIP) && !asks_to_leave(&world, VIP));
    world.pass(Duration::from_secs(10));
    assert!(world.is_announced(VIP));
}

#[test]
fn a_drain_is_told_in_one_line_of_the_log() {
    let mut world = running();
    world.notices.clear();
    drain(&mut world).unwrap();
    world.pass(Duration::from_secs(2));
    let said: Vec<String> = world.notices.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("the balancer: the balancer is being drained"), "{said:?}");
}

#[test]
fn a_stop_asks_routers_to_prefer_others_first_and_a_second_one_does_not_wait() {
    let mut world = running();
    world.event(Event::Stop);
    assert!(asks_to_leave(&world, VIP) && !world.has_exited);
    world.event(Event::Stop);
    assert!(world.has_exited && !world.is_announced(VIP));
}

#[test]
fn without_graceful_shutdown_a_stop_and_a_drain_withdraw_at_once() {
    let text = WEB.replace("router_id", "graceful_shutdown = \"0s\"\nrouter_id");
    let mut world = World::with(&text);
    world.up(&ALL);
    drain(&mut world).unwrap();
    assert!(!world.is_announced(VIP));
    world.operate(Command::UndrainBalancer).unwrap();
    assert!(world.is_announced(VIP));
    world.event(Event::Stop);
    assert!(!world.is_announced(VIP) && !world.has_exited);
}

#[test]
fn a_drained_balancer_stops_without_waiting() {
    let mut world = running();
    drain(&mut world).unwrap();
    world.pass(Duration::from_secs(2));
    world.event(Event::Stop);
    assert!(world.has_exited);
}

#[test]
fn a_plan_tells_which_routes_get_other_attributes_and_which_sessions_are_reset() {
    let world = running();
    let plan = |text: &str| plan(&world.state, Arc::new(parse(text)), world.now);
    let changed = plan(&format!("{WEB}[vip.\"{VIP}\"]\nmed = 7\n"));
    assert_eq!((changed.routes_changed, changed.notes), (vec!["192.0.2.10/32".to_owned()], vec![]));
    let of_r1 = |more: &str| plan(&WEB.replace("name = \"r1\"", &format!("name = \"r1\", {more}")));
    let changed = of_r1("multihop = 2");
    assert_eq!(changed.routes_changed, [""; 0]);
    assert_eq!(changed.notes, ["the BGP session with r1 is reset"]);
    for kept in
        ["bfd = true", "med = 7", "export = [{ action = \"reject\" }]", "import = [{ action = \"accept\" }]"]
    {
        assert_eq!(of_r1(kept).notes, [""; 0], "{kept}");
    }
}
