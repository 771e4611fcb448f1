//! The API is away, forgets, or says less than before.

use crate::cluster::Cluster;
use crate::fake::Fake;
use crate::objects::{NODES, node, nodes};
use crate::watched::{self, Watched, settings};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_killed_takes_nothing_away_and_is_followed_again_when_it_is_back() {
    let cluster = Cluster::start();
    nodes(&cluster);
    let query = watched::nodes("role=ingress");
    let mut watched = Watched::new(settings(cluster.kubeconfig()), std::slice::from_ref(&query));
    watched.until("it is read", |w| w.is_live() && w.listed(&query).len() == 3).await;
    cluster.kill("kube-apiserver");
    watched.until("it is said to be away", |w| w.is_stale(&["nodes: connection refused by"])).await;
    watched.is_silent_of_pools(Duration::from_secs(1)).await;
    cluster.up();
    watched.until("it is back", Watched::is_live).await;
    cluster.create(NODES, &node(4));
    watched.until("it is followed again", |w| w.listed(&query).len() == 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_silent_is_noticed_takes_nothing_away_and_is_followed_again() {
    let cluster = Cluster::start();
    nodes(&cluster);
    let query = watched::nodes("role=ingress");
    let mut watched = Watched::new(settings(cluster.kubeconfig()), std::slice::from_ref(&query));
    watched.until("it is read", |w| w.is_live() && w.listed(&query).len() == 3).await;
    // Its connections stay, and the kernel takes new ones for it.
    cluster.signal("kube-apiserver", "STOP");
    watched
        .until("its silence is noticed", |w| w.is_stale(&["nodes: no ", "drops packets on the way"]))
        .await;
    watched.is_silent_of_pools(Duration::from_secs(1)).await;
    assert_eq!(watched.listed(&query).len(), 3);
    cluster.signal("kube-apiserver", "CONT");
    watched.until("it is back", Watched::is_live).await;
    cluster.create(NODES, &node(4));
    watched.until("it is followed again", |w| w.listed(&query).len() == 4).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_kubeconfig_is_said_with_its_name_and_is_read_again() {
    let fake = Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let query = watched::nodes("");
    let mut watched = Watched::new(settings(file.clone()), &[query]);
    watched.until("it is not there", |w| w.is_stale(&[&file.display().to_string(), "No such file"])).await;
    std::fs::write(&file, fake.kubeconfig()).unwrap();
    watched.until("it is read again", Watched::is_live).await;
}

#[tokio::test]
async fn a_watch_that_is_too_old_is_listed_again_and_nobody_is_told() {
    let fake = Fake::start().await;
    fake.nodes(&["n1", "n2", "n3", "n4"]);
    let query = watched::nodes("role=ingress");
    let mut watched = Watched::new(settings(fake.write_kubeconfig()), std::slice::from_ref(&query));
    watched.until("four are there", |w| w.is_live() && w.listed(&query).len() == 4).await;
    fake.nodes(&["n1", "n2", "n3", "n4", "n5"]);
    fake.expire();
    watched.until("it is listed again", |w| w.listed(&query).len() == 5).await;
    assert!(watched.is_live(), "a relist is nothing that anybody has to know");
    assert!(fake.lists() >= 2);
}

#[tokio::test]
async fn a_list_that_misses_half_is_one_change_which_the_core_holds_back() {
    let fake = Fake::start().await;
    fake.nodes(&["n1", "n2", "n3", "n4", "n5", "n6"]);
    let query = watched::nodes("role=ingress");
    let mut watched = Watched::new(settings(fake.write_kubeconfig()), std::slice::from_ref(&query));
    watched.until("six are there", |w| w.listed(&query).len() == 6).await;
    let said = watched.said;
    fake.nodes(&["n1", "n2"]);
    fake.expire();
    watched.until("two are left", |w| w.listed(&query).len() == 2).await;
    assert_eq!(watched.said, said + 1, "it is said whole and once, so that max_change can judge it");
    // Half a list, its second page an error, is never said.
    // It may list again by itself at any moment.
    fake.break_pages(true);
    fake.nodes(&["n1", "n2", "n3"]);
    fake.expire();
    watched.until("the list breaks", |w| w.is_stale(&["list nodes", "500"])).await;
    assert_eq!(watched.listed(&query).len(), 2);
    fake.break_pages(false);
    watched.until("it is whole again", |w| w.is_live() && w.listed(&query).len() == 3).await;
}
