//! A fleet: what each balancer tells, what lvsctl makes of it, and who has followed.

use crate::balancer::Balancer;
use crate::changes::configuration;
use crate::server::{Plan, Server};
use crate::watched::{key, value};
use lvsd::exec::fleet::Agreement;
use std::time::{Duration, Instant};

/// Longest that a slow machine may take for a change to arrive.
const LIMIT: Duration = Duration::from_secs(120);

const ALL: &str = "cp1 pooled, cp2 pooled, cp3 pooled, cp4 pooled";

fn named(name: &str, port: u16) -> String {
    let fleet = format!("[fleet]\nsource = \"conftool\"\nname = \"{name}\"\nttl = \"15s\"\n");
    fleet + &configuration(3, &[port])
}

async fn three(server: &Server) -> Vec<Balancer> {
    for host in ["cp1", "cp2", "cp3", "cp4"] {
        server.etcdctl(&["put", "--", &key(host), &value(10, "yes")]);
    }
    let mut all = Vec::new();
    for name in ["lb1", "lb2", "lb3"] {
        all.push(Balancer::start(&named(name, server.plan.client)).await);
    }
    for balancer in &all {
        balancer.until("text", ALL).await;
    }
    until(&all[0], "they all do the same").await;
    all
}

/// Waits until `lvsctl fleet` says something.
async fn until(balancer: &Balancer, words: &str) -> String {
    let begin = Instant::now();
    loop {
        let said = balancer.done(&["fleet"]).await;
        let is_whole = said.matches("conftool@").count() == 3;
        if said.contains(words) && is_whole {
            return said;
        }
        assert!(begin.elapsed() < LIMIT, "waited for {words:?}:\n{said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn balancers_are_shown_side_by_side_and_where_they_differ() {
    let server = Server::start(Plan::alone());
    let all = three(&server).await;
    let said = until(&all[0], "lb1 (this one)").await;
    assert!(said.starts_with("BALANCER"), "{said}");
    assert_eq!(said.matches("conftool@").count(), 3, "each says how far it is: {said}");
    all[2].done(&["depool", "cp2", "--local"]).await;
    let said = until(&all[0], "they differ").await;
    assert!(said.contains("text ipv4: they differ"), "{said}");
    assert!(said.contains("  lb1: 4 of 4 pooled, 2 needed\n"), "{said}");
    assert!(said.contains("  lb3: 3 of 4 pooled, 2 needed; cp2 depooled\n"), "{said}");
    assert!(!said.contains("api ipv4"), "what is alike is not shown: {said}");
    let differing = said.matches(": they differ").count();
    let counted = Agreement { is_told: true, balancers: 3, differing };
    let begin = Instant::now();
    while all[0].agreement() != counted {
        let found = all[0].agreement();
        assert!(begin.elapsed() < LIMIT, "for metrics: {found:?}\n{}", all[0].done(&["fleet"]).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let json = all[1].done(&["fleet", "-o", "json"]).await;
    let members: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(members[1]["name"], "lb2");
    assert_eq!(members[1]["is_self"], true);
}

#[tokio::test]
async fn a_change_is_told_before_all_is_told_again() {
    let server = Server::start(Plan::alone());
    let all = three(&server).await;
    // Now and then the time for everything comes meanwhile.
    for _ in 0..10 {
        let before = all[2].whole_reports();
        all[2].done(&["depool", "cp2", "--local"]).await;
        until(&all[0], "  lb3: 3 of 4 pooled, 2 needed; cp2 depooled\n").await;
        let told_alone = all[2].whole_reports() == before;
        all[2].done(&["pool", "cp2", "--local"]).await;
        until(&all[0], "they all do the same").await;
        if told_alone {
            return;
        }
    }
    panic!("each change was told with everything else");
}

#[tokio::test]
async fn a_depool_is_confirmed_by_all_or_says_who_did_not_follow() {
    let server = Server::start(Plan::alone());
    let all = three(&server).await;
    let said = all[0].done(&["depool", "cp1", "--confirm", "60s"]).await;
    assert!(said.contains("obeyed by lb1, lb2, lb3\n"), "{said}");
    assert_eq!(all[2].backends("text").await, "cp1 depooled, cp2 pooled, cp3 pooled, cp4 pooled");
    all[1].freeze();
    let output = all[0].lvsctl(&["pool", "cp1", "--confirm", "15s"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert!(said.contains("obeyed by lb1, lb3\n"), "{said}");
    assert!(said.contains("not obeyed by lb2: obeys revision "), "{said}");
    let said = all[0].done(&["depool", "cp1", "--confirm", "0s"]).await;
    assert!(!said.contains("obeyed"), "{said}");
}

#[tokio::test]
async fn one_that_stops_leaves_and_one_that_dies_is_missed_when_its_lease_is_over() {
    let server = Server::start(Plan::alone());
    let mut all = three(&server).await;
    all.pop().unwrap().stop().await;
    gone(&all[0], "lb3").await;
    let said = all[0].done(&["depool", "cp1", "--confirm", "60s"]).await;
    assert!(said.contains("obeyed by lb1, lb2\n"), "{said}");
    // Its task ends with it: nobody keeps its lease any more.
    drop(all.pop());
    gone(&all[0], "lb2").await;
}

/// Waits until `lvsctl fleet` does not name a balancer any more.
async fn gone(balancer: &Balancer, name: &str) {
    let begin = Instant::now();
    while balancer.done(&["fleet"]).await.contains(name) {
        assert!(begin.elapsed() < LIMIT, "{name} does not go");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn without_a_fleet_nothing_is_waited_for_and_none_is_shown() {
    let server = Server::start(Plan::alone());
    server.etcdctl(&["put", "--", &key("cp1"), &value(10, "yes")]);
    let balancer = Balancer::start(&configuration(3, &[server.plan.client])).await;
    balancer.until("text", "cp1 pooled").await;
    let said = balancer.done(&["weight", "cp1", "5"]).await;
    assert!(!said.contains("obeyed"), "{said}");
    let output = balancer.lvsctl(&["fleet"]).await;
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8(output.stderr).unwrap().contains("its configuration has no [fleet]"));
}
