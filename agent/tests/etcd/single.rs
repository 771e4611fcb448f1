//! One server: what conftool writes, what it would not write, and a history that is gone.

use crate::server::{Plan, Server, http};
use crate::watched::{TEXT, Watched, key, queries, settings, value};
use lvsd::config::EtcdVersion;

/// Writes as conftool does, in either version.
fn put(server: &Server, version: EtcdVersion, key: &str, value: &str) {
    match version {
        EtcdVersion::V2 => server.put_v2(key, value),
        EtcdVersion::V3 => drop(server.etcdctl(&["put", "--", key, value])),
    }
}

fn delete(server: &Server, version: EtcdVersion, key: &str) {
    match version {
        EtcdVersion::V2 => server.delete_v2(key),
        EtcdVersion::V3 => drop(server.etcdctl(&["del", key])),
    }
}

/// What a day brings.
async fn a_day(version: EtcdVersion) {
    let server = Server::start(Plan::alone());
    let put = |key: &str, value: &str| put(&server, version, key, value);
    put(&key("cp1"), &value(10, "yes"));
    put(&key("cp2"), &value(10, "no"));
    put("/conftool/v1/pools/eqiad/cache/text2/cp9", "rubbish of another pool");
    let mut watched = Watched::new(settings(version, &[server.plan.client]), &[TEXT]);
    watched.until_live().await;
    watched.until_text("cp1*10 cp2*10!").await;
    put(&key("cp2"), &value(20, "yes"));
    watched.until_text("cp1*10 cp2*20").await;
    put(&key("cp1"), &value(10, "inactive"));
    watched.until_text("cp1*10- cp2*20").await;
    put(&key("cp1"), &value(0, "yes"));
    watched.until_text("cp1*0 cp2*20").await;
    put(&key("cp1"), "rubbish");
    watched.until_error("/conftool/v1/pools/eqiad/cache/text/cp1: not JSON").await;
    put(&key("cp3"), &value(1, "yes"));
    watched.until_text("cp1*0 cp2*20 cp3*1").await;
    watched.until_error("/cp1: not JSON").await;
    put(&key("cp1"), &value(5, "yes"));
    watched.until_text("cp1*5 cp2*20 cp3*1").await;
    delete(&server, version, &key("cp3"));
    watched.until_text("cp1*5 cp2*20").await;
    put("/conftool/v1/pools/eqiad/cache/text2/cp8", &value(1, "yes"));
    put(&key("cp2"), &value(20, "yes"));
    watched.is_quiet().await;
    for host in ["cp1", "cp2"] {
        delete(&server, version, &key(host));
    }
    watched.until_error("/conftool/v1/pools/eqiad/cache/text/ holds no host").await;
    watched.until("how far it is", |all| all.listings() > 0).await;
    assert_eq!(watched.listings(), 1, "all of it by one listing and its watch");
    assert!(watched.outages.is_empty());
}

#[tokio::test]
async fn a_day_in_version_3() {
    a_day(EtcdVersion::V3).await;
}

#[tokio::test]
async fn a_day_in_version_2() {
    a_day(EtcdVersion::V2).await;
}

#[tokio::test]
async fn a_directory_that_vanishes_is_an_empty_pool_and_may_come_back() {
    let server = Server::start(Plan::alone());
    let mut watched = Watched::new(settings(EtcdVersion::V2, &[server.plan.client]), &[TEXT]);
    watched.until_error("holds no host").await;
    watched.until_live().await;
    server.put_v2(&key("cp1"), &value(10, "yes"));
    watched.until_text("cp1*10").await;
    server.delete_v2("/conftool/v1/pools/eqiad");
    watched.until_error("holds no host").await;
    server.put_v2(&key("cp2"), &value(10, "yes"));
    watched.until_text("cp2*10").await;
}

#[tokio::test]
async fn a_pool_that_is_wanted_later_is_said_then_and_the_others_are_not_said_again() {
    for version in [EtcdVersion::V2, EtcdVersion::V3] {
        let server = Server::start(Plan::alone());
        let upload = "/conftool/v1/pools/codfw/cache/upload/cp5";
        put(&server, version, &key("cp1"), &value(10, "yes"));
        put(&server, version, upload, &value(7, "yes"));
        let mut watched = Watched::new(settings(version, &[server.plan.client]), &[]);
        watched.is_quiet().await;
        watched.wanted.send_replace(queries(&[TEXT]));
        watched.until_text("cp1*10").await;
        watched.until_live().await;
        watched.wanted.send_replace(queries(&[TEXT, "codfw/cache/upload"]));
        watched.until_pool("codfw/cache/upload", "cp5*7").await;
        watched.is_quiet().await;
        put(&server, version, upload, &value(8, "yes"));
        watched.until_pool("codfw/cache/upload", "cp5*8").await;
    }
}

#[tokio::test]
async fn many_pools_are_read_by_one_listing_in_pages() {
    let server = Server::start(Plan::alone());
    let mut text = String::new();
    for pool in 0..250 {
        for host in 0..10 {
            let value = value(10, "yes").replace('"', "\\\"");
            text += &format!("put /conftool/v1/pools/eqiad/c/s{pool}/cp{host} \"{value}\"\n");
        }
    }
    // As many as a transaction of etcd takes.
    for part in text.lines().collect::<Vec<_>>().chunks(120) {
        server.txn(&part.join("\n"));
    }
    let paths: Vec<_> = (0..250).map(|pool| format!("eqiad/c/s{pool}")).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let mut watched = Watched::new(settings(EtcdVersion::V3, &[server.plan.client]), &paths);
    watched.until_live().await;
    let all: Vec<_> = (0..10).map(|host| format!("cp{host}*10")).collect();
    for path in paths {
        watched.until_pool(path, &all.join(" ")).await;
    }
    watched.until("how far it is", |all| all.listings() > 0).await;
    assert_eq!(watched.listings(), 1);
}

#[tokio::test]
async fn a_history_that_is_gone_is_made_up_for_by_a_listing() {
    let server = Server::start(Plan::alone());
    server.put_v2(&key("cp1"), &value(10, "yes"));
    server.put_v2(&key("cp2"), &value(10, "yes"));
    let mut watched = Watched::new(settings(EtcdVersion::V2, &[server.plan.client]), &[TEXT]);
    watched.until_live().await;
    // etcd keeps a thousand events of everything, and tells none of them to who watches something else.
    for number in 0..1100 {
        let answer = http(server.plan.client, "PUT", "/v2/keys/elsewhere", &format!("value={number}"));
        assert!(answer.unwrap().starts_with("HTTP/1.1 20"));
    }
    server.put_v2(&key("cp1"), &value(11, "yes"));
    watched.until_text("cp1*11 cp2*10").await;
    server.put_v2(&key("cp2"), &value(12, "yes"));
    watched.until_text("cp1*11 cp2*12").await;
    assert!(watched.outages.is_empty(), "{:?}", watched.outages);
}
