//! A cluster whose members die and part, a history that is compacted, and one that goes back.

use crate::proxy::Path;
use crate::server::{Plan, Server, etcdctl};
use crate::watched::{TEXT, Watched, key, quick, settings, value};
use lvsd::config::{EtcdSettings, EtcdVersion};
use nix::sys::signal::Signal;
use std::time::Duration;

fn three() -> Vec<Server> {
    launched(Plan::cluster(3))
}

fn launched(plans: Vec<Plan>) -> Vec<Server> {
    let launch = |plan| Server::launch(plan, tempfile::tempdir().unwrap());
    let servers: Vec<_> = plans.into_iter().map(launch).collect();
    servers.iter().for_each(Server::wait);
    servers
}

fn ports(servers: &[Server]) -> Vec<u16> {
    servers.iter().map(|server| server.plan.client).collect()
}

/// Settings for those that count outages: no machine stands still for so long.
fn silent_for_seconds(version: EtcdVersion, ports: &[u16]) -> EtcdSettings {
    EtcdSettings { timeout: Duration::from_secs(6), ..settings(version, ports) }
}

fn put(server: &Server, version: EtcdVersion, host: &str, weight: u32) {
    match version {
        EtcdVersion::V2 => server.put_v2(&key(host), &value(weight, "yes")),
        EtcdVersion::V3 => drop(server.etcdctl(&["put", "--", &key(host), &value(weight, "yes")])),
    }
}

#[tokio::test]
async fn a_member_that_is_killed_is_not_missed() {
    for version in [EtcdVersion::V2, EtcdVersion::V3] {
        let mut servers = three();
        put(&servers[2], version, "cp1", 10);
        let mut watched = Watched::new(settings(version, &ports(&servers)), &[TEXT]);
        watched.until_live().await;
        watched.until_text("cp1*10").await;
        drop(servers.remove(0).kill());
        // The others elect a leader if it was the one.
        servers[1].wait();
        put(&servers[1], version, "cp1", 11);
        watched.until_text("cp1*11").await;
        assert!(watched.outages.is_empty(), "{version:?}: {:?}", watched.outages);
    }
}

#[tokio::test]
async fn a_member_without_the_others_is_left_and_without_any_the_source_is_stale() {
    for version in [EtcdVersion::V2, EtcdVersion::V3] {
        let servers = three();
        put(&servers[0], version, "cp1", 10);
        // Only the first is known: it has nowhere to go.
        let mut watched = Watched::new(silent_for_seconds(version, &ports(&servers[..1])), &[TEXT]);
        watched.until_live().await;
        for server in &servers[1..] {
            server.signal(Signal::SIGSTOP);
        }
        let why = watched.until_stale().await;
        assert!(why.contains("http://127.0.0.1:"), "{version:?}: {why}");
        for server in &servers[1..] {
            server.signal(Signal::SIGCONT);
        }
        watched.until_live().await;
        servers[0].wait();
        put(&servers[0], version, "cp1", 11);
        watched.until_text("cp1*11").await;
        assert_eq!(watched.outages.len(), 1, "{version:?}: {:?}", watched.outages);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_parted_from_the_others_is_left_for_them() {
    for version in [EtcdVersion::V2, EtcdVersion::V3] {
        let (plans, paths) = Plan::cluster_on_paths(3).await;
        let servers = launched(plans);
        put(&servers[0], version, "cp1", 10);
        let mut watched = Watched::new(silent_for_seconds(version, &ports(&servers)), &[TEXT]);
        watched.until_live().await;
        watched.until_text("cp1*10").await;
        // The first goes on serving its clients what it knew, and no other member hears of it or is heard by it.
        let its_own = format!("X-Server-From: {}\r\n", servers[0].id());
        paths[0].cut();
        paths[1..].iter().for_each(|path| path.cut_for(&its_own));
        assert!(!servers[0].is_healthy(), "{version:?}: it is alone");
        servers[1].wait();
        put(&servers[1], version, "cp1", 11);
        watched.until_text("cp1*11").await;
        assert!(watched.outages.is_empty(), "{version:?}: {:?}", watched.outages);
        assert!(!servers[0].is_healthy(), "{version:?}: it is still alone");
    }
}

#[tokio::test]
async fn a_path_that_swallows_packets_is_noticed_and_what_was_missed_is_read() {
    for version in [EtcdVersion::V2, EtcdVersion::V3] {
        let server = Server::start(Plan::alone());
        put(&server, version, "cp1", 10);
        put(&server, version, "cp2", 10);
        let path = Path::to(server.plan.client).await;
        let mut watched = Watched::new(quick(version, &[path.port]), &[TEXT]);
        watched.until_live().await;
        path.cut();
        put(&server, version, "cp1", 11);
        watched.until_stale().await;
        path.mend();
        watched.until_text("cp1*11 cp2*10").await;
        watched.until_live().await;
        put(&server, version, "cp2", 12);
        watched.until_text("cp1*11 cp2*12").await;
    }
}

#[tokio::test]
async fn a_frozen_server_is_left_for_another() {
    for version in [EtcdVersion::V2, EtcdVersion::V3] {
        let servers = three();
        put(&servers[0], version, "cp1", 10);
        let mut watched = Watched::new(silent_for_seconds(version, &ports(&servers)), &[TEXT]);
        watched.until_live().await;
        servers[0].signal(Signal::SIGSTOP);
        servers[1].wait();
        put(&servers[1], version, "cp1", 11);
        watched.until_text("cp1*11").await;
        assert!(watched.outages.is_empty(), "{version:?}: {:?}", watched.outages);
        servers[0].signal(Signal::SIGCONT);
    }
}

#[tokio::test]
async fn a_compaction_while_the_watch_is_away_loses_nothing() {
    let server = Server::start(Plan::alone());
    put(&server, EtcdVersion::V3, "cp1", 10);
    put(&server, EtcdVersion::V3, "cp2", 10);
    let path = Path::to(server.plan.client).await;
    let mut watched = Watched::new(quick(EtcdVersion::V3, &[path.port]), &[TEXT]);
    watched.until_live().await;
    path.cut();
    watched.until_stale().await;
    for weight in 11..20 {
        put(&server, EtcdVersion::V3, "cp1", weight);
    }
    server.etcdctl(&["del", &key("cp2")]);
    let status = server.etcdctl(&["get", "nothing", "--write-out", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    server.etcdctl(&["compact", &status["header"]["revision"].to_string()]);
    path.mend();
    watched.until_text("cp1*19").await;
    watched.until_live().await;
}

#[tokio::test]
async fn a_backup_that_is_restored_is_believed_although_its_revision_goes_back() {
    let server = Server::start(Plan::alone());
    put(&server, EtcdVersion::V3, "cp1", 10);
    put(&server, EtcdVersion::V3, "cp2", 10);
    server.etcdctl(&["snapshot", "save", "backup"]);
    for weight in 11..30 {
        put(&server, EtcdVersion::V3, "cp1", weight);
    }
    let mut watched = Watched::new(settings(EtcdVersion::V3, &[server.plan.client]), &[TEXT]);
    watched.until_live().await;
    watched.until_text("cp1*29 cp2*10").await;
    let (plan, directory) = server.kill();
    std::fs::remove_dir_all(directory.path().join("data")).unwrap();
    etcdctl(
        &[
            "snapshot",
            "restore",
            "backup",
            "--data-dir",
            "data",
            "--name",
            &plan.name,
            "--initial-cluster",
            &plan.cluster,
            "--initial-advertise-peer-urls",
            &plan.peer_url(),
        ],
        directory.path(),
    );
    let server = Server::launch(plan, directory);
    server.wait();
    watched.until_text("cp1*10 cp2*10").await;
    watched.until_live().await;
    put(&server, EtcdVersion::V3, "cp2", 11);
    watched.until_text("cp1*10 cp2*11").await;
}
