//! Who of a fleet writes to the cluster: the one that has the Lease, and nobody else at any moment.

use crate::fake::{Asked, Fake};
use crate::watched::Watched;
use crate::whole::{service, whole};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const WEB: &str = "k8s.prod.web.https";

/// A Lease of somebody else.
fn of_another(seconds: u32, renewed: &str) -> Value {
    json!({"spec": {"holderIdentity": "another", "leaseDurationSeconds": seconds, "renewTime": renewed,
        "acquireTime": renewed, "leaseTransitions": 3}})
}

fn holder(fake: &Fake) -> Value {
    fake.get("leases", "lvsd").map(|lease| lease["spec"]["holderIdentity"].clone()).unwrap_or_default()
}

#[tokio::test]
async fn who_is_refused_the_lease_because_another_was_faster_writes_nothing_more() {
    let fake = Fake::start().await;
    let mut watched = Watched::new(whole(fake.write_kubeconfig()), &[]);
    watched.until("it has the Lease", |_| holder(&fake).is_string()).await;
    // There is always something to be written: nothing ever succeeds.
    fake.refuse_patches(true);
    fake.create("services", &service("web", json!({})));
    watched.until("it tries to write", |w| w.refusal("k8s.prod.web").contains("patch services/status")).await;
    fake.before_replacing("leases", "lvsd", of_another(3600, "2026-02-03T04:05:06.000000Z"));
    watched.until("another has the Lease", |_| fake.is_replaced()).await;
    watched.until("it knows", |w| w.refusal("k8s.prod.web").contains("who has the Lease gives it one")).await;
    let asked = fake.asked();
    let refused = asked.iter().position(|asked| asked.code == 409).unwrap();
    assert!(asked[refused].path.ends_with("/leases/lvsd"), "{asked:#?}");
    let after: Vec<_> = asked[refused + 1..].iter().filter(|asked| !asked.path.contains("leases")).collect();
    assert!(after.is_empty(), "{after:#?}");
    assert_eq!(holder(&fake), "another");
}

#[tokio::test]
async fn clocks_of_others_do_not_matter_only_whether_they_are_silent() {
    let fake = Fake::start().await;
    // By its own clock it has the Lease for years; it is silent, and never comes back.
    let mut lease = of_another(1, "2099-01-01T00:00:00.000000Z");
    lease["metadata"] = json!({"name": "lvsd"});
    fake.create("leases", &lease);
    let mut watched = Watched::new(whole(fake.write_kubeconfig()), &[]);
    fake.create("services", &service("web", json!({})));
    watched.until("it is taken over", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    let now = fake.get("leases", "lvsd").unwrap();
    assert_ne!(now["spec"]["holderIdentity"], "another");
    assert_eq!(now["spec"]["leaseTransitions"], 4);
}

#[tokio::test]
async fn without_a_lease_nothing_is_written_and_a_refusal_is_said_here() {
    let fake = Fake::start().await;
    let mut settings = whole(fake.write_kubeconfig());
    settings.services.as_mut().unwrap().lease = None;
    let mut watched = Watched::new(settings, &[]);
    fake.create("services", &service("web", json!({})));
    let mut bad = service("bad", json!({"lvsd/scheduler": "fastest"}));
    bad["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.11"}]}});
    fake.create("services", &bad);
    watched
        .until("both are refused", |w| {
            w.refusal("k8s.prod.web").contains("nobody gives it one: set lease")
                && w.refusal("k8s.prod.bad.https").contains("annotation lvsd/scheduler")
        })
        .await;
    // Somebody who has the Lease of this cluster would have written by now.
    let mut holder = Watched::new(whole(fake.write_kubeconfig_of("holder")), &[]);
    holder.until("the other writes", |w| w.vips(WEB) == ["192.0.2.10"]).await;
    holder.until("and tells", |_| fake.asked().iter().any(|asked| asked.path.ends_with("/events"))).await;
    let own: Vec<_> = fake.asked().into_iter().filter(|asked| asked.who == "lvsd").collect();
    assert!(own.is_empty(), "{own:#?}");
    watched.until("it serves what the other gave", |w| w.vips(WEB) == ["192.0.2.10"]).await;
}

#[tokio::test]
async fn only_who_has_the_lease_writes_and_makes_events() {
    let fake = Fake::start().await;
    let mut first = Watched::new(whole(fake.write_kubeconfig_of("first")), &[]);
    let mut second = Watched::new(whole(fake.write_kubeconfig_of("second")), &[]);
    fake.create("services", &service("bad", json!({"lvsd/scheduler": "fastest"})));
    let bad = "k8s.prod.bad.https";
    let refuses = |w: &Watched| w.refusal(bad).contains("annotation lvsd/scheduler");
    // Who has the Lease gives it an address, and is whoever came first.
    tokio::join!(first.until("one refuses it", refuses), second.until("the other does", refuses));
    let is_told = |_: &Watched| !fake.all("events").is_empty();
    tokio::join!(first.until("an Event says so", is_told), second.until("an Event says so", is_told));
    let asked = fake.asked();
    let is_of_lease = |asked: &&Asked| asked.path.contains("/leases");
    let tellers: BTreeSet<_> =
        asked.iter().filter(|asked| !is_of_lease(asked)).map(|asked| &*asked.who).collect();
    let holders: BTreeSet<_> =
        asked.iter().filter(is_of_lease).filter(|asked| asked.code == 200).map(|asked| &*asked.who).collect();
    assert_eq!(tellers, holders, "{asked:#?}");
    assert_eq!(holders.len(), 1, "{asked:#?}");
    let event = &fake.all("events")[0];
    assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("NotServed")));
    assert_eq!(event["involvedObject"]["uid"], fake.get("services", "bad").unwrap()["metadata"]["uid"]);
}
