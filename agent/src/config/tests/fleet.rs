//! `[fleet]`.

use super::{errors, good};
use std::time::Duration;

const TEXT: &str = r#"
[source.conftool]
type = "etcd"
endpoints = ["http://127.0.0.1:2379"]

[source.master]
type = "http"
url = "https://config-master.example.org"

[fleet]
source = "conftool"
"#;

#[test]
fn a_fleet_needs_its_source_only() {
    let fleet = good(TEXT).fleet.unwrap();
    assert_eq!((&*fleet.source, &*fleet.prefix, fleet.name), ("conftool", "/lvsd/fleet", None));
    assert_eq!(fleet.ttl, Duration::from_secs(15));
    let more = format!("{TEXT}prefix = \"/x/y\"\nname = \"LB1.eqiad\"\nttl = \"1m\"\n");
    let fleet = good(&more).fleet.unwrap();
    assert_eq!((&*fleet.prefix, fleet.name.as_deref()), ("/x/y", Some("LB1.eqiad")));
    assert_eq!(fleet.ttl, Duration::from_secs(60));
    assert_eq!(good("").fleet, None);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (old, new, expected) in [
        (
            "source = \"conftool\"",
            "source = \"conftol\"",
            "10:2: fleet.source: there is no [source.conftol]; did you mean conftool?",
        ),
        (
            "source = \"conftool\"",
            "source = \"master\"",
            "10:2: fleet.source: [source.master] is of type \"http\", and has no leases",
        ),
        (
            "source = \"conftool\"",
            "name = \"lb1\"",
            "10:2: fleet.source: missing: expected the name of a source of type \"etcd\"",
        ),
        (
            "source = \"conftool\"",
            "source = \"conftool\"\nprefix = \"fleet\"",
            "12:10: fleet.prefix: expected a directory of etcd, such as \"/lvsd/fleet\", found \"fleet\"",
        ),
        (
            "source = \"conftool\"",
            "source = \"conftool\"\nname = \"a/b\"",
            "12:8: fleet.name: expected the balancer's name: 1 to 64 letters, digits, \"_\", \".\" and \"-\", found \"a/b\"",
        ),
    ] {
        assert_eq!(errors(&TEXT.replace(old, new)), [expected], "{new}");
    }
}
