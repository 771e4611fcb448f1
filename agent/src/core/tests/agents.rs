//! What servers' own agents ask for, and how many checks must pass.

use super::{ALL, V4, WEB, World};
use crate::core::Event;
use health::{Advice, Check, Mode, Verdict};
use std::sync::Arc;
use std::time::Duration;

const DRAIN: Advice = Advice { percent: None, mode: Some(Mode::Drain) };
const MAINTENANCE: Advice = Advice { percent: None, mode: Some(Mode::Maintenance) };
const READY: Advice = Advice { percent: None, mode: Some(Mode::Ready) };

fn percent(percent: u16) -> Advice {
    Advice { percent: Some(percent), mode: None }
}

/// `WEB` with a check that an agent answers.
fn with_agent() -> String {
    WEB.replace("{ type = \"tcp\" }", "{ type = \"tcp\" }, { type = \"tcp\", port = 9000 }")
}

fn running() -> World {
    let mut world = World::with(&with_agent());
    world.up(&ALL);
    world.writes.clear();
    world
}

impl World {
    /// The check on this port of a backend's address reports.
    fn reports(&mut self, target: &str, verdict: Verdict, advice: Advice) {
        let is_it = |check: &&Arc<Check>| check.target == target.parse().unwrap();
        let check = Arc::clone(self.checks.iter().find(is_it).unwrap());
        let failure = (verdict != Verdict::Up).then(|| "connection refused".to_string());
        self.event(Event::Checked { check, verdict, failure, advice });
    }

    fn advise(&mut self, address: &str, advice: Advice) {
        self.reports(&format!("{address}:9000"), Verdict::Up, advice);
    }
}

#[test]
fn an_agent_that_asks_for_a_share_of_its_weight_gets_it() {
    let mut world = running();
    world.advise("10.64.0.12", percent(55));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(6));
    assert_eq!(world.backend("rs2").standing, "pooled");
    let reason = world.backend("rs2").reason;
    assert_eq!(reason, "all of its 2 checks pass; its own agent asks for 55% of its weight 10");
    world.advise("10.64.0.12", percent(1));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(1));
    world.advise("10.64.0.12", percent(100));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
}

#[test]
fn an_agent_that_asks_for_more_than_its_weight_gets_it_or_is_told_why_not() {
    let mut world = running();
    world.advise("10.64.0.12", percent(150));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(15));
    let asks = "all of its 2 checks pass; its own agent asks for 150% of its weight 10";
    assert_eq!(world.backend("rs2").reason, asks);
    world.configure(&with_agent().replace("scheduler = \"mh\"", "scheduler = \"sh\""));
    assert_eq!(
        world.weight(V4, "10.64.0.12:80"),
        world.weight(V4, "10.64.0.13:80"),
        "sh has no room for more"
    );
    let reason = world.backend("rs2").reason;
    assert!(
        reason.ends_with("asks for 150% of its weight 1, and gets all of it: sh has no room for more"),
        "{reason}"
    );
}

#[test]
fn an_agent_that_asks_to_be_drained_keeps_its_connections_and_gets_no_new_ones() {
    let mut world = running();
    world.advise("10.64.0.12", DRAIN);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(0));
    let backend = world.backend("rs2");
    assert_eq!((backend.standing.as_str(), backend.health.as_str()), ("agent-drain", "up"));
    assert_eq!(backend.reason, "its own agent asks for no new connections (drain)");
    world.pass(Duration::from_secs(200));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(0), "it stays a destination");
    world.advise("10.64.0.12", READY);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
    world.advise("10.64.0.12", percent(0));
    assert_eq!(world.backend("rs2").standing, "agent-drain");
}

#[test]
fn maintenance_of_an_agent_is_said_to_be_the_agents_and_stays_until_it_is_ready() {
    let mut world = running();
    world.advise("10.64.0.12", MAINTENANCE);
    assert_eq!(world.backend("rs2").standing, "agent-maintenance");
    assert_eq!(world.backend("rs2").reason, "its own agent asks for maintenance");
    world.down(&["10.64.0.12"]);
    assert_eq!(world.backend("rs2").standing, "down");
    world.reports("10.64.0.12:80", Verdict::Up, Advice::default());
    world.advise("10.64.0.12", MAINTENANCE);
    assert_eq!(world.backend("rs2").standing, "agent-maintenance");
    world.advise("10.64.0.12", READY);
    assert_eq!(world.backend("rs2").standing, "pooled");
}

#[test]
fn agents_that_all_ask_to_be_drained_do_not_empty_the_pool() {
    let mut world = running();
    for address in ["10.64.0.11", "10.64.0.12", "10.64.0.13"] {
        world.advise(address, if address.ends_with('1') { MAINTENANCE } else { DRAIN });
    }
    let weights = ["11", "12", "13"].map(|n| world.weight(V4, &format!("10.64.0.{n}:80")));
    assert_eq!(weights, [Some(0), Some(10), Some(10)]);
    let backend = world.backend("rs2");
    assert_eq!(backend.standing, "held-despite-agent");
    assert!(backend.reason.ends_with("the depool threshold asks for 2 of 3 backends"), "{}", backend.reason);
    assert!(world.is_announced("192.0.2.10"), "they can serve");
    world.advise("10.64.0.13", READY);
    assert_eq!(world.backend("rs2").standing, "held-despite-agent");
    world.advise("10.64.0.11", READY);
    assert_eq!(world.backend("rs2").standing, "agent-drain");
}

#[test]
fn one_that_is_drained_by_its_agent_is_held_before_one_that_is_down() {
    let mut world = running();
    world.down(&["10.64.0.11"]);
    world.advise("10.64.0.12", DRAIN);
    assert_eq!(world.backend("rs1").standing, "down");
    assert_eq!(world.backend("rs2").standing, "held-despite-agent");
}

#[test]
fn one_that_its_agent_gives_back_starts_slowly() {
    let text = with_agent().replace("port = 80\n", "port = 80\nslow_start = \"10s\"\n");
    let mut world = World::with(&text);
    world.up(&ALL);
    world.pass(Duration::from_secs(10));
    world.advise("10.64.0.12", DRAIN);
    world.advise("10.64.0.12", READY);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(1));
    world.advise("10.64.0.12", percent(50));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(3), "half of it, of half its weight");
    world.pass(Duration::from_secs(5));
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(5));
}

#[test]
fn an_operators_word_goes_before_an_agents() {
    let mut world = running();
    world.advise("10.64.0.12", READY);
    world.depool("rs2").unwrap();
    world.advise("10.64.0.12", percent(100));
    assert_eq!(world.backend("rs2").standing, "depooled");
}

#[test]
fn what_an_agent_asked_for_holds_after_a_restart_until_it_takes_it_back() {
    let mut world = running();
    world.advise("10.64.0.12", MAINTENANCE);
    world.writes.clear();
    world.restart(&with_agent());
    world.up(&ALL);
    assert_eq!(world.writes, [], "an agent need not say it again");
    assert_eq!(world.backend("rs2").standing, "agent-maintenance");
    world.advise("10.64.0.12", READY);
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
    assert!(world.saved.agents.is_empty());
}

#[test]
fn what_the_agent_of_a_check_that_is_gone_asked_for_is_forgotten() {
    let mut world = running();
    world.advise("10.64.0.12", DRAIN);
    assert_eq!(world.saved.agents.len(), 1);
    world.configure(WEB);
    assert!(world.saved.agents.is_empty());
    assert_eq!(world.weight(V4, "10.64.0.12:80"), Some(10));
}

#[test]
fn any_check_that_passes_keeps_a_backend_and_why_says_which_fails() {
    let mut world = World::with(&with_agent().replace("port = 80\n", "port = 80\nrequire = \"any\"\n"));
    world.up(&ALL);
    world.reports("10.64.0.12:80", Verdict::Down, Advice::default());
    let backend = world.backend("rs2");
    assert_eq!(backend.standing, "pooled");
    assert_eq!(backend.reason, "1 of its 2 checks pass, 1 must; tcp 10.64.0.12:80: connection refused");
    world.reports("10.64.0.12:9000", Verdict::Down, Advice::default());
    let backend = world.backend("rs2");
    assert_eq!(backend.standing, "down");
    assert!(backend.reason.starts_with("2 of its 2 checks fail, 1 must pass: "), "{}", backend.reason);
}

#[test]
fn a_check_by_the_vips_way_asks_for_each_vip_and_is_handed_to_the_server() {
    let two = WEB.replace("\"192.0.2.10\",", "\"192.0.2.10\", \"192.0.2.20\",");
    let text = two.replace("{ type = \"tcp\" }", "{ type = \"tcp\", path = \"vip\" }, { type = \"tcp\" }");
    let text = text.replace("port = 80\n", "port = 80\nrequire = \"any\"\n");
    let probes = "[[probes.segment]]\ninterface = \"eth0\"\naddresses = [\"10.64.0.201/24\"]\n";
    let mut world = World::with(&format!("{text}\n{probes}"));
    let checks: Vec<String> = world.checks.iter().map(ToString::to_string).collect();
    assert_eq!(checks.len(), 15, "three for each IPv4 backend, two for each IPv6 one: {checks:?}");
    for expected in [
        "tcp 192.0.2.20:80 through 10.64.0.12",
        "tcp [2001:db8::10]:80 through fd00::12",
        "tcp 10.64.0.12:80",
    ] {
        assert!(checks.iter().any(|check| check == expected), "{expected}: {checks:?}");
    }
    for check in world.checks.clone() {
        let verdict = if check.to_string() == "tcp 192.0.2.20:80 through 10.64.0.12" {
            Verdict::Down
        } else {
            Verdict::Up
        };
        let failure = (verdict == Verdict::Down).then(|| "timeout".to_string());
        world.event(Event::Checked { check, verdict, failure, advice: Advice::default() });
    }
    assert_eq!(world.backend("rs2").standing, "pooled");
    assert!(
        world.backend("rs2").reason.starts_with("1 of its 2 checks pass, 1 must"),
        "a VIP it lacks fails it"
    );
}

#[test]
fn what_a_check_has_to_know_of_its_backend_is_filled_in() {
    let text = WEB.replace(
        "{ type = \"tcp\" }",
        "{ type = \"https\" }, { type = \"https\", host = \"a.example\" }, { type = \"icmp\" }, \
         { type = \"command\", command = \"/bin/true\", arguments = [\"{host}\", \"{service}\"] }",
    );
    let world = World::with(&text);
    let checks: Vec<String> = world.checks.iter().map(ToString::to_string).collect();
    for expected in [
        "https GET https://10.64.0.12:80/ (server name rs2)",
        "https GET https://10.64.0.12:80/ (host a.example)",
        "icmp 10.64.0.12",
    ] {
        assert!(checks.iter().any(|check| check == expected), "{expected}: {checks:?}");
    }
    let values = world.checks.iter().filter_map(|check| match &check.kind {
        health::Kind::Command(program) => Some(program.parts().values.clone()),
        _ => None,
    });
    let named =
        |host: &str| [("host".to_owned(), host.to_owned()), ("service".to_owned(), "web".to_owned())].into();
    assert!(values.into_iter().any(|values| values == named("rs2")));
}

#[test]
fn a_check_that_two_services_want_runs_once_and_goes_with_the_last_of_them() {
    let other = WEB.replace("[service.web", "[service.other").replace("db8::10", "db8::11");
    let other = other
        .replace("192.0.2.10", "192.0.2.11")
        .split_once("[service")
        .map(|(_, service)| format!("[service{service}"));
    let mut world = World::with(&format!("{WEB}\n{}", other.expect("a service")));
    let of_both = world.checks.clone();
    world.configure(WEB);
    assert_eq!(world.checks, of_both, "those of the one are those of both");
    assert_eq!(world.checks.len(), ALL.len(), "one for each address");
}
