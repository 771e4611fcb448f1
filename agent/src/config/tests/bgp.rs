//! `[bgp]`.

use super::{error, errors, good};
use crate::config::{Bgp, Distance, Family, Files, Secret, parse_from};
use std::collections::BTreeSet;

const BGP: &str = "[bgp]\nlocal_asn = 64600\nrouter_id = \"10.64.0.1\"\n";

/// `[bgp]` with peers; the first peer's header is line 4.
fn with(peers: &str) -> String {
    format!("{BGP}{peers}")
}

/// A peer in 4 lines, then what is added to it.
fn peer(name: &str, address: &str, more: &str) -> String {
    format!("[[bgp.peer]]\nname = \"{name}\"\naddress = \"{address}\"\nasn = 65001\n{more}")
}

fn bgp(text: &str) -> Bgp {
    good(text).bgp.expect("there is a [bgp]")
}

#[test]
fn a_peer_needs_a_name_an_address_and_an_as_number() {
    let bgp = bgp(&with(&peer("r1", "10.64.0.251", "")));
    assert_eq!((bgp.hold_time.as_secs(), bgp.graceful_restart, bgp.attributes.med), (30, true, None));
    assert_eq!((bgp.peers[0].port, bgp.peers[0].terms.distance), (179, Distance::Usual));
    assert_eq!(bgp.peers[0].terms.families, BTreeSet::from([Family::Ipv4]));
    let errors = errors(&with("[[bgp.peer]]\n"));
    assert_eq!(errors.len(), 3, "{errors:#?}");
    assert!(errors[0].starts_with("4:1: bgp.peer[0].name: missing: expected a name of 1 to 64"));
    assert_eq!(errors[1], "4:1: bgp.peer[0].address: missing: expected the router's IPv4 or IPv6 address");
    assert!(errors[2].starts_with("4:1: bgp.peer[0].asn: missing: expected an AS number"));
}

#[test]
fn routes_are_kept_for_long_only_where_they_are_kept_over_a_restart() {
    let with_time = |more: &str| with(&format!("{more}{}", peer("r1", "10.64.0.251", "")));
    let time = |more: &str| bgp(&with_time(more)).long_lived.map(|time| time.as_secs());
    assert_eq!((time(""), time("long_lived_graceful_restart = \"1h\"\n")), (None, Some(3600)));
    let off = with_time("graceful_restart = false\nlong_lived_graceful_restart = \"1h\"\n");
    assert!(error(&off).contains("goes on where graceful_restart ends"), "{}", error(&off));
    assert!(
        error(&with_time("long_lived_graceful_restart = \"0s\"\n")).contains("long_lived_graceful_restart")
    );
}

#[test]
fn bgp_needs_an_as_number_a_router_id_and_a_router() {
    assert_eq!(
        errors("[bgp]"),
        [
            "1:2: bgp.local_asn: missing: expected an AS number 1-4294967294, neither 23456 nor 65535",
            "1:2: bgp.router_id: missing: expected an IPv4 address, such as \"10.64.0.1\"",
            "1:2: bgp.peer: missing: expected at least one router as [[bgp.peer]]",
        ]
    );
    assert_eq!(
        error(&with("peer = []")),
        "4:8: bgp.peer: expected at least one router as [[bgp.peer]], found an empty array"
    );
}

#[test]
fn reserved_as_numbers_are_refused() {
    for asn in ["0", "23456", "65535", "4294967295", "4294967296", "-1", "\"64600\"", "1.5"] {
        assert_eq!(
            errors(&format!(
                "[bgp]\nlocal_asn = {asn}\nrouter_id = \"10.64.0.1\"\n{}",
                peer("r", "10.0.0.1", "")
            )),
            [format!(
                "2:13: bgp.local_asn: expected an AS number 1-4294967294, neither 23456 nor 65535, found {asn}"
            )]
        );
    }
    let text = with(&peer("r", "10.0.0.1", "")).replace("64600", "4294967294");
    assert_eq!(bgp(&text).local_asn, u32::MAX - 1);
}

#[test]
fn a_hold_time_of_one_or_two_seconds_or_a_fraction_is_refused() {
    for time in ["1s", "2s", "3500ms"] {
        assert_eq!(
            error(&with(&format!("hold_time = \"{time}\"\n{}", peer("r", "10.0.0.1", "")))),
            format!(
                "4:13: bgp.hold_time: expected whole seconds from \"3s\", or \"0s\" for no hold timer, \
                 found \"{time}\""
            )
        );
    }
    for (time, seconds) in [("0s", 0), ("3s", 3), ("65535s", 65535)] {
        let text = with(&format!("hold_time = \"{time}\"\n{}", peer("r", "10.0.0.1", "")));
        assert_eq!(bgp(&text).hold_time.as_secs(), seconds);
    }
}

#[test]
fn peers_of_one_name_or_one_address_are_refused_with_both_places() {
    let one = peer("r1", "10.64.0.251", "");
    assert_eq!(
        error(&with(&format!("{one}{}", peer("r1", "10.64.0.252", "")))),
        "9:8: bgp.peer[1].name: peer r1 for the second time; the first is at lvsd.toml:5:8"
    );
    assert_eq!(
        error(&with(&format!("{one}{}", peer("r2", "10.64.0.251", "")))),
        "10:11: bgp.peer[1].address: peer address 10.64.0.251 for the second time; the first is at lvsd.toml:6:11"
    );
}

#[test]
fn ipv6_over_an_ipv4_session_needs_a_next_hop() {
    let families = "families = [\"ipv4\", \"ipv6\"]\n";
    assert_eq!(
        error(&with(&peer("r1", "10.64.0.251", families))),
        "8:21: bgp.peer[0].families[1]: ipv6 routes over the session with 10.64.0.251 have no next hop: \
         set next_hop_ipv6 to this host's address"
    );
    let named = format!("{families}next_hop_ipv6 = \"fd00::1\"\n");
    assert_eq!(bgp(&with(&peer("r1", "10.64.0.251", &named))).peers[0].terms.families.len(), 2);
}

#[test]
fn ipv4_over_an_ipv6_session_needs_a_next_hop() {
    assert_eq!(
        error(&with(&peer("r1", "fd00::251", "families = [\"ipv4\"]\n"))),
        "8:13: bgp.peer[0].families[0]: ipv4 routes over the session with fd00::251 have no next hop: \
         set next_hop_ipv4 to this host's address, or extended_next_hop where the router takes IPv6 ones"
    );
    let extended = "families = [\"ipv4\", \"ipv6\"]\nextended_next_hop = true\n";
    assert!(bgp(&with(&peer("r1", "fd00::251", extended))).peers[0].terms.extended_next_hop);
}

#[test]
fn a_role_is_one_of_five_and_between_two_ases() {
    let role = |more: &str| bgp(&with(&peer("r1", "10.0.0.1", more))).peers[0].terms.role;
    assert_eq!(role(""), None);
    let found = role("role = \"rs-client\"\n").expect("it has one");
    assert_eq!((found.role, found.strict), (::bgp::Role::RsClient, false));
    let said = |more: &str| error(&with(&peer("r1", "10.0.0.1", more)));
    assert!(
        said("role = \"upstream\"\n").contains("what lvsd's AS is to it"),
        "{}",
        said("role = \"upstream\"\n")
    );
    assert!(said("role_strict = true\n").contains("role_strict is for a router with a role"));
    let internal = with(&peer("r1", "10.0.0.1", "role = \"peer\"\n")).replace("65001", "64600");
    assert!(error(&internal).contains("what one AS is to another"), "{}", error(&internal));
}

#[test]
fn families_are_known_and_named_once() {
    let word = "expected \"ipv4\" or \"ipv6\"";
    assert_eq!(
        errors(&with(&peer("r1", "10.0.0.1", "families = [\"ipv4\", \"ipv4\", \"evpn\", 4]\n"))),
        [
            "8:21: bgp.peer[0].families[1]: ipv4 for the second time; the first is at lvsd.toml:8:13"
                .to_owned(),
            format!("8:29: bgp.peer[0].families[2]: {word}, found \"evpn\""),
            format!("8:37: bgp.peer[0].families[3]: {word}, found 4"),
        ]
    );
    assert_eq!(
        error(&with(&peer("r1", "10.0.0.1", "families = []\n"))),
        "8:12: bgp.peer[0].families: expected an array of \"ipv4\" and \"ipv6\", found an empty array"
    );
}

#[test]
fn addresses_of_the_wrong_family_are_refused() {
    assert_eq!(
        error(&with(&peer("r1", "10.0.0.1", "local_address = \"fd00::1\"\n"))),
        "8:17: bgp.peer[0].local_address: expected an address of this host of the same family as the router's, \
         10.0.0.1, found \"fd00::1\""
    );
    assert_eq!(
        error(&with(&peer("r1", "10.0.0.1", "next_hop_ipv6 = \"10.0.0.2\"\n"))),
        "8:17: bgp.peer[0].next_hop_ipv6: expected an IPv6 address of this host, found \"10.0.0.2\""
    );
    assert_eq!(
        error(&with(&peer("r1", "10.0.0.1", "next_hop_ipv4 = \"fd00::1\"\n"))),
        "8:17: bgp.peer[0].next_hop_ipv4: expected an IPv4 address of this host, found \"fd00::1\""
    );
}

#[test]
fn addresses_that_are_no_routers_are_refused() {
    for (address, reason) in [
        ("224.0.0.1", "a multicast address is no host's"),
        ("0.0.0.0", "the unspecified address is no host's"),
        ("255.255.255.255", "the broadcast address is no host's"),
        ("::ffff:10.0.0.1", "an IPv4-mapped address is written as 10.0.0.1"),
        ("fe80::1", "a link-local address means nothing without its interface"),
    ] {
        assert_eq!(
            error(&with(&peer("r1", address, ""))),
            format!(
                "6:11: bgp.peer[0].address: expected the router's IPv4 or IPv6 address, \
                 found \"{address}\" ({reason})"
            )
        );
    }
}

#[test]
fn communities_are_two_numbers_of_16_bits() {
    let text =
        format!("{BGP}communities = [\"65535:0\", \"1:65536\", \"no-export\", \"65535:00\", \"+1:1\", 7]\n");
    let word = "expected a community \"HIGH:LOW\", both 0-65535, such as \"65535:0\"";
    assert_eq!(
        errors(&format!("{text}{}", peer("r1", "10.0.0.1", ""))),
        [
            format!("4:27: bgp.communities[1]: {word}, found \"1:65536\""),
            format!("4:38: bgp.communities[2]: {word}, found \"no-export\""),
            "4:51: bgp.communities[3]: community 65535:0 for the second time; the first is at lvsd.toml:4:16"
                .to_owned(),
            format!("4:63: bgp.communities[4]: {word}, found \"+1:1\""),
            format!("4:71: bgp.communities[5]: {word}, found 7"),
        ]
    );
}

#[test]
fn a_multihop_ttl_and_a_med_have_their_limits() {
    assert_eq!(
        error(&with(&peer("r1", "10.0.0.1", "multihop = 256\n"))),
        "8:12: bgp.peer[0].multihop: expected a TTL 1-255, found 256"
    );
    assert_eq!(
        error(&with(&format!("med = -1\n{}", peer("r1", "10.0.0.1", "")))),
        "4:7: bgp.med: expected a MED 0-4294967295, found -1"
    );
}

#[test]
fn multihop_and_ttl_security_exclude_one_another() {
    let both = "multihop = 2\nttl_security = 2\n";
    assert_eq!(
        error(&with(&peer("r1", "10.64.0.251", both))),
        "9:16: bgp.peer[0].ttl_security: multihop and ttl_security exclude one another: ttl_security alone says how \
         many hops away the neighbour is"
    );
    for hops in ["0", "255", "true"] {
        let said = error(&with(&peer("r1", "10.64.0.251", &format!("ttl_security = {hops}\n"))));
        assert!(said.contains("a number of hops 1-254"), "{said}");
    }
}

#[test]
fn who_waits_for_neighbours_must_listen() {
    let passive = peer("r1", "10.64.0.251", "passive = true\n");
    let nobody = "nobody can dial: set bgp.listen to this host's addresses that neighbours dial";
    assert_eq!(error(&with(&passive)), format!("8:11: bgp.peer[0].passive: {nobody}"));
    assert_eq!(error(&with(&group("10.64.0.0/16", ""))), format!("4:1: bgp.group[0]: {nobody}"));
    let bgp = bgp(&with(&format!("listen = [\"10.64.0.1\"]\n{passive}")));
    assert_eq!((bgp.peers[0].passive, bgp.listen.len()), (true, 1));
    for address in ["10.64.0.1:0", "r1", "10.64.0.0/16"] {
        let said = error(&with(&format!("listen = [\"{address}\"]\n{}", peer("r", "10.0.0.1", ""))));
        assert!(
            said.contains("bgp.listen[0]: expected an address of this host, with a port or without"),
            "{said}"
        );
    }
}

/// A group in 4 lines, then what is added to it.
fn group(prefix: &str, more: &str) -> String {
    format!("[[bgp.group]]\nname = \"nodes\"\nprefixes = [\"{prefix}\"]\nasns = [64512]\n{more}")
}

const LISTEN: &str = "listen = [\"10.64.0.1\"]\n";

#[test]
fn groups_need_no_peers_and_their_errors_name_the_place() {
    let groups = bgp(&with(&format!("{LISTEN}{}", group("10.64.0.0/16", "")))).groups;
    assert_eq!((groups[0].limit, groups[0].linger.as_secs()), (256, 300));
    let wrong = group("10.64.0.1/16", "limit = 0\n").replace("64512", "\"64530-64520\"");
    let said = errors(&with(&format!("{LISTEN}{wrong}")));
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(
        said[0].starts_with("7:13: bgp.group[0].prefixes[0]: expected a prefix without host bits"),
        "{said:#?}"
    );
    assert!(said[1].starts_with("8:9: bgp.group[0].asns[0]: expected an AS number, or a range"), "{said:#?}");
    assert!(
        said[2].starts_with("9:9: bgp.group[0].limit: expected a number of neighbours 1-4096"),
        "{said:#?}"
    );
}

#[test]
fn a_password_comes_from_a_file_and_what_is_wrong_with_it_names_the_file() {
    let said = |file: &str| {
        error(&with(&peer("r1", "10.64.0.251", &format!("password_file = \"/etc/lvsd/{file}\"\n"))))
    };
    assert_eq!(
        said("gone.password"),
        "8:17: bgp.peer[0].password_file: /etc/lvsd/gone.password: cannot be read: no such file"
    );
    assert!(said("empty.password").ends_with("an empty password protects nothing; expected 1 to 80 bytes"));
    let long = said("long.password");
    assert!(
        long.ends_with("a password of 81 bytes is too long for Linux' TCP-MD5; expected 1 to 80 bytes"),
        "{long}"
    );
    assert!(!long.contains("xx"), "{long}");
}

#[test]
fn a_relative_name_of_a_password_is_a_credential_where_systemd_gives_some() {
    let text = with(&peer("r1", "10.64.0.251", "password_file = \"nodes\"\n"));
    let files = [("lvsd.toml".into(), text)];
    let given = |credentials| {
        let credentials: Option<&str> = credentials;
        let named = Files { read: &super::read_file, credentials: credentials.map(std::path::Path::new) };
        parse_from(&files, named)
            .map(|config| config.bgp.expect("there is a [bgp]").peers[0].terms.password.clone())
    };
    let password = given(Some("/run/credentials")).expect("it is read").expect("there is one");
    assert_eq!(password.password(), ::bgp::Password::new("xyzzy").ok().as_ref());
    let errors = given(None).expect_err("there are no credentials");
    assert!(errors[0].to_string().contains("nodes: cannot be read"), "{errors:?}");
}

#[test]
fn what_a_groups_password_would_hold_for_unasked_is_refused() {
    let signed = group("10.64.0.0/16", "password_file = \"/etc/lvsd/nodes.password\"\n");
    let inside = peer("r1", "10.64.0.251", "");
    assert_eq!(
        error(&with(&format!("{LISTEN}{inside}{signed}"))),
        "9:1: bgp.group[0]: peer r1 is inside group nodes, whose key holds for it too: give it a \
         password_file or tcp_ao"
    );
    let own = format!("{inside}password_file = \"/etc/lvsd/r1.password\"\n");
    assert_eq!(bgp(&with(&format!("{LISTEN}{own}{signed}"))).groups.len(), 1);
    let inner = group("10.64.1.0/24", "").replace("nodes", "inner");
    let said = error(&with(&format!("{LISTEN}{signed}{inner}")));
    assert!(said.contains("bgp.group[1]: group inner is inside group nodes"), "{said}");
}

#[test]
fn a_key_of_tcp_ao_has_a_number_and_a_secret_and_no_password_beside_it() {
    let with_key = |more: &str| with(&peer("r1", "10.64.0.251", more));
    let key = |more: &str| bgp(&with_key(more)).peers[0].terms.tcp_ao.clone().expect("it has one");
    let plain = key("tcp_ao = { key_id = 0, secret_file = \"/etc/lvsd/r1.password\" }\n");
    assert_eq!((plain.key_id, plain.algorithm), (0, ::bgp::AoAlgorithm::HmacSha1));
    let said = error(&with_key("tcp_ao = { key_id = 256, secret_file = \"/etc/lvsd/r1.password\" }\n"));
    assert!(said.contains("bgp.peer[0].tcp_ao.key_id: expected a key's number 0-255"), "{said}");
    let said =
        error(&with_key("tcp_ao = { key_id = 1, algorithm = \"md5\", secret_file = \"r1.password\" }\n"));
    assert!(said.contains("expected \"hmac-sha-1-96\" or \"aes-128-cmac-96\""), "{said}");
    assert!(error(&with_key("tcp_ao = { key_id = 1 }\n")).contains("tcp_ao.secret_file: missing"));
    let both = "password_file = \"r1.password\"\ntcp_ao = { key_id = 1, secret_file = \"r1.password\" }\n";
    let said = error(&with_key(both));
    assert!(said.contains("password_file and tcp_ao exclude one another"), "{said}");
}

#[test]
fn a_recording_of_passwords_holds_none() {
    let password = "password_file = \"/etc/lvsd/nodes.password\"\n";
    let bgp = bgp(&with(&peer("r1", "10.64.0.251", password)));
    let recorded = serde_json::to_string(&bgp).expect("it can be recorded");
    assert!(!recorded.contains("xyzzy") && !format!("{bgp:?}").contains("xyzzy"), "{recorded}");
    let back: Bgp = serde_json::from_str(&recorded).expect("it can be read back");
    assert_eq!((&back, back.peers[0].terms.password.as_ref().and_then(Secret::password)), (&bgp, None));
}

#[test]
fn bfd_is_on_off_or_a_table_with_limits() {
    let of = |more: &str| bgp(&with(&peer("r1", "10.0.0.1", more))).peers[0].terms.bfd;
    assert_eq!((of(""), of("bfd = false\n")), (None, None));
    let on = of("bfd = true\n").expect("it is on");
    assert_eq!((on.timing.interval().as_millis(), on.timing.multiplier(), on.strict), (300, 3, false));
    assert_eq!(of("bfd = {}\n"), Some(on));
    for least_and_most in
        ["{ interval = \"50ms\", multiplier = 2 }", "{ interval = \"10s\", multiplier = 50 }"]
    {
        assert!(of(&format!("bfd = {least_and_most}\n")).is_some());
    }
    let wrong = [
        ("\"on\"", "8:7: bgp.peer[0].bfd: expected true, false or a table, found \"on\""),
        (
            "{ interval = \"49ms\" }",
            "8:20: bgp.peer[0].bfd.interval: expected a duration from 50ms to 10s, such as \"200ms\", \"2s\", \"1m\" or \"1h\", found \"49ms\"",
        ),
        (
            "{ multiplier = 1 }",
            "8:22: bgp.peer[0].bfd.multiplier: expected a number of packets 2-50, found 1",
        ),
        ("{ strict = 1 }", "8:18: bgp.peer[0].bfd.strict: expected true or false, found 1"),
        ("{ strickt = true }", "8:9: bgp.peer[0].bfd.strickt: unknown key; did you mean `strict`?"),
    ];
    for (value, expected) in wrong {
        assert_eq!(error(&with(&peer("r1", "10.0.0.1", &format!("bfd = {value}\n")))), expected);
    }
}
