//! The full example: every setting is read, and none can be wrong without a word.

use super::{errors, good};
use crate::config::{
    Admin, Announce, CheckPath, Config, Distance, Family, Group, Network, Pool, PoolId, Require, Secret, Vip,
};
use health::{
    AgentParts, DnsParts, Idle, Kind, Pattern, Pick, Question, Rcode, Records, Recursion, Reply, TlsVersion,
    Transport, Trust, UdpParts, Unanswered,
};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const FULL: &str = include_str!("full.toml");

#[test]
fn the_daemon_is_read_in_full() {
    let daemon = good(FULL).daemon;
    assert_eq!(daemon.state_dir, PathBuf::from("/srv/lvsd"));
    assert_eq!(daemon.control_socket, PathBuf::from("/run/lvsd/other.sock"));
    assert_eq!(daemon.http, "[::1]:9100".parse().ok());
    assert_eq!(daemon.device, "lvs-vips");
    assert_eq!(daemon.resync_interval, Duration::from_secs(90));
    assert_eq!(daemon.drain_timeout, Duration::from_secs(300));
    assert_eq!(daemon.shutdown_delay, Duration::from_millis(500));
    assert_eq!(daemon.resolve_interval, Duration::from_secs(3600));
    assert_eq!(daemon.control_group.as_deref(), Some("sre"));
    assert_eq!(daemon.netlink_buffer, 65_536);
    assert!(daemon.dry_run);
}

#[test]
fn what_is_beside_the_table_is_read_in_full() {
    let ipvs = good(FULL).ipvs;
    assert_eq!(ipvs.timeouts.to_string(), "tcp 1800 s, tcp-fin 90 s, udp 10 s");
    let daemon = "on eth1, sync id 7, group 224.0.0.99 port 8850 ttl 2, messages up to 1400 bytes";
    assert_eq!(ipvs.master.expect("a master").to_string(), daemon);
    assert_eq!(ipvs.backup.expect("a backup").to_string(), daemon);
}

#[test]
fn canaries_and_their_marks_are_read_in_full() {
    let config = good(FULL);
    assert_eq!(config.first_mark, 0x1_0000);
    let canary = config.services["web"].canary.as_ref().expect("there is a canary");
    let Kind::Http(request) = &canary.kind else { panic!("it is a request") };
    assert_eq!(request.parts().path, "/canary");
}

#[test]
fn bgp_is_read_in_full() {
    let bgp = good(FULL).bgp.expect("there is a [bgp]");
    assert_eq!((bgp.local_asn, bgp.router_id.to_string()), (4_200_000_001, "10.64.0.1".to_owned()));
    assert_eq!((bgp.hold_time, bgp.withdraw_hold), (Duration::from_secs(9), Duration::from_secs(3)));
    assert_eq!((bgp.graceful_restart, bgp.attributes.med), (false, Some(0)));
    let communities = bgp.attributes.communities.expect("there are some");
    assert_eq!(communities.iter().map(ToString::to_string).collect::<Vec<_>>(), ["65535:0", "64600:7"]);
    let bmp = bgp.bmp.as_ref().expect("there is a station");
    assert_eq!(
        (bmp.station.to_string(), bmp.statistics_interval.as_secs(), bmp.pre_policy),
        ("10.64.0.9:11019".to_owned(), 30, true)
    );
    let [one, two] = &bgp.peers[..] else { panic!("there are two peers") };
    assert_eq!(
        (one.name.as_str(), one.address.to_string(), one.asn),
        ("r1-v4", "10.64.0.251".to_owned(), 65001)
    );
    assert_eq!(
        (one.port, one.terms.distance, one.local_address),
        (1179, Distance::Ttl(2), "10.64.0.1".parse().ok())
    );
    assert_eq!(one.terms.families, BTreeSet::from([Family::Ipv4, Family::Ipv6]));
    assert_eq!(
        (one.terms.next_hop_ipv4, one.terms.next_hop_ipv6),
        ("10.64.0.1".parse().ok(), "fd00:64::1".parse().ok())
    );
    assert_eq!((one.terms.extended_next_hop, two.terms.extended_next_hop), (true, false));
    let strict = |role| Some(::bgp::LocalRole { role, strict: true });
    assert_eq!((one.terms.role, two.terms.role), (strict(::bgp::Role::Customer), None));
    assert_eq!(two.terms.families, BTreeSet::from([Family::Ipv6]));
    assert_eq!((two.passive, two.terms.distance), (true, Distance::Within(1)));
    let password = |secret: &Option<Secret>| secret.as_ref().and_then(Secret::password).cloned();
    let is = |text: &str| ::bgp::Password::new(text).ok();
    assert_eq!(
        (password(&one.terms.password), password(&two.terms.password)),
        (is("swordfish"), is("swordfish"))
    );
    let listen: Vec<_> = bgp.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["10.64.0.1:179", "[fd00:64::1]:1179"]);
    let bfd = one.terms.bfd.expect("it is configured");
    assert_eq!((bfd.timing.interval(), bfd.timing.multiplier()), (Duration::from_millis(500), 4));
    assert_eq!((bfd.strict, two.terms.bfd), (true, None));
}

#[test]
fn groups_of_neighbours_are_read_in_full() {
    let groups = good(FULL).bgp.expect("there is a [bgp]").groups;
    let [nodes, others] = &groups[..] else { panic!("there are two groups") };
    let prefixes = |group: &Group| group.prefixes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(prefixes(nodes), ["10.64.0.0/16", "10.65.0.0/16"]);
    assert_eq!((nodes.name.as_str(), nodes.asns.to_string().as_str()), ("nodes", "64512, 64520-64530"));
    assert_eq!((nodes.limit, nodes.linger), (64, Duration::from_secs(60)));
    assert_eq!(nodes.terms.families, BTreeSet::from([Family::Ipv4, Family::Ipv6]));
    assert_eq!((nodes.terms.extended_next_hop, others.terms.extended_next_hop), (true, false));
    let role = nodes.terms.role.expect("it has one");
    assert_eq!((role.role, role.strict, others.terms.role), (::bgp::Role::Rs, true, None));
    assert_eq!(
        (nodes.terms.next_hop_ipv4, nodes.terms.next_hop_ipv6),
        ("10.64.0.1".parse().ok(), "fd00:64::1".parse().ok())
    );
    assert_eq!((nodes.terms.distance, others.terms.distance), (Distance::Within(2), Distance::Ttl(3)));
    assert_eq!(
        nodes.terms.password.as_ref().and_then(Secret::password),
        ::bgp::Password::new("xyzzy").ok().as_ref()
    );
    assert_eq!((nodes.terms.overrides.med, nodes.terms.overrides.prepend), (Some(50), Some(2)));
    let import = nodes.terms.import.as_ref().expect("there are rules");
    let limits =
        (import.max_prefixes.warn, import.max_prefixes.limit, import.max_prefixes.hold_off.as_secs());
    assert_eq!((import.rules.len(), limits), (1, (30, 40, 60)));
    let ::bgp::policy::ExportFilter::Rules(export) = &nodes.terms.export else { panic!("there are rules") };
    assert_eq!(export.iter().map(|rule| rule.accept).collect::<Vec<_>>(), [false, true]);
    assert_eq!(nodes.terms.bfd, Some(::bgp::BfdConfig::default()));
    assert_eq!((others.terms.import.clone(), others.terms.bfd), (None, None));
    assert_eq!((others.limit, others.terms.families.clone()), (256, BTreeSet::from([Family::Ipv6])));
    assert_eq!((others.terms.password.is_some(), nodes.terms.tcp_ao.is_some()), (false, false));
    let ao = others.terms.tcp_ao.as_ref().expect("it has one");
    assert_eq!((ao.key_id, ao.algorithm), (7, ::bgp::AoAlgorithm::AesCmac));
    assert_eq!(ao.secret.password(), ::bgp::Password::new("xyzzy").ok().as_ref());
    assert_eq!((nodes.terms.graceful_notification, others.terms.graceful_notification), (false, true));
    assert_eq!((nodes.terms.link_local_next_hop, others.terms.link_local_next_hop), (false, true));
}

#[test]
fn the_probes_are_read_in_full() {
    let probes = good(FULL).probes.expect("there is a [probes]");
    assert_eq!((probes.namespace.as_str(), probes.first_mark), ("checks", 0x1000));
    assert_eq!(probes.socket, PathBuf::from("/run/lvsd-probes/other.sock"));
    let [one, two] = &probes.segments[..] else { panic!("there are two segments") };
    let words = |networks: &[Network]| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((one.interface.as_str(), two.interface.as_str()), ("eth1", "eth2"));
    assert_eq!(words(&one.addresses), ["10.64.0.201/24", "fd00:64::201/64"]);
    let gateways: Vec<_> = one.gateways.iter().map(ToString::to_string).collect();
    assert_eq!(gateways, ["10.64.0.251", "fd00:64::251"]);
    assert_eq!((words(&two.addresses), two.gateways.len()), (vec!["10.65.0.201/24".to_owned()], 0));
}

#[test]
fn a_vip_is_read_in_full() {
    let vips = good(FULL).vips;
    let hold = Duration::from_secs;
    let (withdraw_hold, announce_hold) = (Some(hold(7)), hold(60));
    let vip = Vip { announce: Announce::All, withdraw_hold, announce_hold, ..Vip::default() };
    assert_eq!(vips.into_iter().collect::<Vec<_>>(), [("192.0.2.10".parse().unwrap(), vip)]);
}

#[test]
fn a_vip_that_no_service_has_or_that_is_no_address_is_an_error() {
    let text = format!("{FULL}\n[vip.\"192.0.2.77\"]\n[vip.web]\n");
    let said = errors(&text).join("\n");
    assert!(said.contains("no service has the VIP 192.0.2.77"), "{said}");
    assert!(said.contains("expected an IPv4 or IPv6 address, found \"web\""), "{said}");
}

#[test]
fn a_service_is_read_in_full() {
    let web = good(FULL).services.remove("web").expect("there is a service web");
    assert_eq!(web.vips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.10", "2001:db8::10"]);
    assert_eq!((web.port, web.protocol), (80, ipvs::Protocol::Sctp));
    let settings = [ipvs::Family::V4, ipvs::Family::V6].map(|family| web.settings(family).to_string());
    let persistent = |prefix| format!("scheduler mh (fallback), persistent 600 s for /{prefix}");
    assert_eq!(settings, [persistent(24), persistent(64)]);
    assert_eq!(web.forward.to_string(), "gue tunnel port 5555 flags 0x2");
    assert_eq!((web.depool_threshold.permille(), web.max_change.permille()), (667, 250));
    assert_eq!((web.slow_start, web.require_on_link), (Duration::from_secs(30), false));
    let Pool::Inline(list) = &web.pool else { panic!("the backends are inline") };
    let backends: Vec<_> = list.iter().map(|b| (&*b.host, b.weight.get(), b.pooled)).collect();
    assert_eq!(
        backends,
        [
            ("10.64.0.13", 1, Admin::Pooled),
            ("rs1", 10, Admin::Depooled),
            ("rs2.example.org", 0, Admin::Inactive),
        ]
    );
    let limits: Vec<_> = list.iter().map(|b| (b.limits.upper, b.limits.lower)).collect();
    assert_eq!(limits, [(1000, 800), (0, 0), (0, 0)]);
    let words = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    let addresses: Vec<_> = list.iter().map(|b| b.addresses.as_deref().map(words)).collect();
    let (one, two) = (["10.64.0.11".to_owned(), "fd00:64::11".to_owned()], ["fd00:64::12".to_owned()]);
    assert_eq!(addresses, [None, Some(one.into()), Some(two.into())]);
    assert!(web.addresses.is_empty(), "there is one place for each");
}

#[test]
fn services_of_other_kinds_are_read_in_full() {
    let services = good(FULL).services;
    let (sip, marked) = (&services["sip"], &services["marked"]);
    let settings = "scheduler wrr, one packet, persistent 60 s for /32, persistence engine sip";
    assert_eq!(sip.settings(ipvs::Family::V4).to_string(), settings);
    assert_eq!((sip.forward, sip.port, sip.backend_port), (ipvs::Forward::Masquerade, 5060, 5061));
    assert!(!sip.require_on_link, "only direct routing needs it");
    assert_eq!(
        marked.vips.iter().map(|vip| marked.key(*vip).to_string()).collect::<Vec<_>>(),
        ["fwmark 7 v4"; 2]
    );
    assert_eq!((marked.port, marked.backend_port, marked.require_on_link), (0, 0, true));
}

#[test]
fn checks_are_read_in_full() {
    let config = good(FULL);
    let [http, tcp, exchange, regex, ..] = &config.services["web"].checks[..] else {
        panic!("there are more than four checks")
    };
    let health::Kind::Http(request) = &http.kind else { panic!("the first check is of type http") };
    let parts = request.parts();
    assert_eq!((parts.path.as_str(), parts.host.as_deref()), ("/healthz?full=1", Some("www.example.org")));
    assert_eq!(parts.expect.iter().map(ToString::to_string).collect::<Vec<_>>(), ["204", "300-399"]);
    assert_eq!(http.port.map(std::num::NonZeroU16::get), Some(8080));
    let (interval, timeout) = (Duration::from_secs(10), Duration::from_millis(300));
    let timing = health::Timing::new(interval, timeout, 5, 4).unwrap();
    assert_eq!(timing.with_fast_interval(Duration::from_secs(2)), Ok(http.timing));
    let sources = vec!["10.64.0.1".parse().unwrap(), "fd00:64::1".parse().unwrap()];
    assert_eq!(http.path, CheckPath::Direct { sources });
    assert_eq!((&tcp.kind, tcp.port, tcp.timing), (&health::Kind::Tcp, None, health::Timing::default()));
    assert_eq!(config.services["web"].require, Require::AtLeast(2.try_into().unwrap()));
    let health::Kind::TcpExchange(asked) = &exchange.kind else { panic!("the third sends something") };
    let parts = asked.parts();
    assert_eq!((&parts.send, parts.max_read), (&"PING\r\n".into(), 512));
    assert_eq!(parts.expect, Some(health::Pattern::Contains(b"+PONG\r".to_vec())));
    assert_eq!(exchange.path, CheckPath::Vip);
    let health::Kind::TcpExchange(asked) = &regex.kind else { panic!("the fourth is sent something") };
    let expected = health::Pattern::Matches(health::Regex::new("^220 ").unwrap());
    assert_eq!(asked.parts().expect, Some(expected));
    let dns = &config.services["dns"];
    assert!(dns.checks.is_empty());
    assert_eq!(dns.pool, Pool::Sources(vec![PoolId::File(PathBuf::from("pools/dns.json"))]));
}

#[test]
fn requests_over_tls_are_read_in_full() {
    let config = good(FULL);
    let [.., one, all, _, _, _, _, _, _, _, _, _, _] = &config.services["web"].checks[..] else {
        panic!("there are more")
    };
    let Kind::Http(request) = &one.kind else { panic!("it is one request") };
    let parts = request.parts();
    assert_eq!((parts.method.as_str(), parts.host.as_deref()), ("POST", Some("www.example.org:8443")));
    assert_eq!(parts.headers, [("x-probe".to_owned(), "lvsd".into())]);
    assert_eq!(parts.body_contains.as_deref(), Some("fine"));
    assert_eq!(parts.body_matches.as_ref().map(health::Regex::as_str), Some("all (is|are) fine"));
    assert_eq!((parts.body_sha256, parts.max_body), (Some(health::Digest::of(b"abc")), 100_000));
    let tls = parts.tls.as_ref().expect("it is secured").parts();
    assert_eq!((tls.server_name.as_deref(), tls.min_version), (Some("lvsd.example.org"), TlsVersion::Tls13));
    assert_eq!(parts.version, health::spec::HttpVersion::Http2);
    assert!(matches!(tls.trust, Trust::Authorities(_)) && tls.identity.is_some());
    let Kind::Urls(urls) = &all.kind else { panic!("there are several") };
    let paths: Vec<_> = urls.parts().requests.iter().map(|request| request.parts().path.as_str()).collect();
    assert_eq!((paths, urls.parts().pick), (vec!["/a", "/b"], Pick::All { max_failures: 1 }));
    let tls = urls.parts().requests[1].parts().tls.as_ref().expect("they are secured");
    assert_eq!(tls.parts().trust, Trust::Anyone);
}

#[test]
fn questions_and_datagrams_are_read_in_full() {
    let config = good(FULL);
    let [.., dns, idle, grpc, openapi, node_port, icmp, command, udp, answered, agent] =
        &config.services["web"].checks[..]
    else {
        panic!("there are more")
    };
    let Kind::Dns(question) = &dns.kind else { panic!("it is a question") };
    let expected = DnsParts {
        rcodes: [Rcode::NOERROR, Rcode::NXDOMAIN].into(),
        records: Records::Among(["fd00:64::12".to_owned()].into()),
        transport: Transport::Tcp,
        recursion: Recursion::NotDesired,
        ..DnsParts::new("www.example.org", "AAAA".parse().unwrap())
    };
    assert_eq!(Ok(question), Question::new(expected).as_ref());
    assert_eq!(idle.kind, Kind::Idle(Idle::new(Duration::from_secs(30)).unwrap()));
    let Kind::Grpc(asked) = &grpc.kind else { panic!("it is a call") };
    assert_eq!(
        (asked.parts().service.as_str(), asked.parts().host.as_deref()),
        ("routing", Some("grpc.example.org"))
    );
    assert!(asked.parts().tls.is_some());
    let Kind::OpenApi(description) = &openapi.kind else { panic!("it is a description") };
    let parts = description.parts();
    assert_eq!((parts.path.as_str(), parts.base.as_str()), ("/openapi.json", "/api"));
    let tls = parts.tls.as_ref().expect("it is secured").parts();
    assert_eq!(tls.server_name.as_deref(), Some("api.example.org"));
    assert_eq!(node_port.kind, Kind::NodePort(health::NodePort::new(Some("default/web")).unwrap()));
    assert_eq!(icmp.kind, Kind::Icmp);
    let Kind::Command(program) = &command.kind else { panic!("it is a program") };
    let parts = program.parts();
    assert_eq!(parts.program, "/usr/lib/nagios/plugins/check_ldap");
    assert_eq!(parts.arguments, ["-H", "{host}", "-p", "{port}"]);
    assert_eq!((parts.user.uid, parts.user.gid), (990, 991));
    let Kind::Udp(datagram) = &udp.kind else { panic!("it is a datagram") };
    let (wait, hold) = (Duration::from_millis(200), Duration::from_secs(20));
    let expected = UdpParts { payload: "ping\0".into(), reply: Reply::Optional { wait, hold } };
    assert_eq!(datagram.parts(), &expected);
    let Kind::Udp(datagram) = &answered.kind else { panic!("it is a datagram") };
    let pong = Pattern::Matches(health::Regex::new("pong").unwrap());
    assert_eq!(datagram.parts().reply, Reply::Expected(pong));
    let Kind::Agent(agent) = &agent.kind else { panic!("it is an agent") };
    let expected = AgentParts { send: "state\n".into(), unanswered: Unanswered::Fail };
    assert_eq!(agent.parts(), &expected);
}

#[test]
fn what_was_written_for_pybal_is_read_in_full() {
    let config = good(FULL);
    let listeners: Vec<_> = config.pybal.http.iter().map(ToString::to_string).collect();
    assert_eq!((listeners, config.pybal.metrics), (vec!["192.0.2.1:9091".into(), "[::1]:9091".into()], true));
    let dns = &config.services["dns"];
    let names: Vec<_> = dns.pybal_names.iter().map(|(name, family)| (&**name, *family)).collect();
    assert_eq!(names, [("Dns_53", Some(Family::Ipv4)), ("dns", None), ("dns6_53", Some(Family::Ipv6))]);
    assert_eq!(config.services["web"].names_of_pools().collect::<Vec<_>>(), ["web"]);
}

#[test]
fn a_recorded_configuration_is_read_back_the_same() {
    let config = good(FULL);
    let recorded = serde_json::to_string(&config).expect("a configuration can be recorded");
    assert_eq!(serde_json::from_str::<Config>(&recorded).expect("it can be read back"), config);
}

/// The lines with a setting: number, key and value.
fn settings() -> impl Iterator<Item = (usize, &'static str, &'static str)> {
    FULL.lines().enumerate().filter_map(|(index, line)| {
        let (key, value) = line.split_once(" = ")?;
        Some((index + 1, key, value))
    })
}

fn replaced(number: usize, line: &str) -> String {
    let lines: Vec<_> =
        FULL.lines().enumerate().map(|(at, old)| if at + 1 == number { line } else { old }).collect();
    lines.join("\n")
}

#[test]
fn a_value_of_the_wrong_type_is_reported_for_every_setting() {
    let mut seen = 0;
    for (number, key, _) in settings() {
        let found = errors(&replaced(number, &format!("{key} = 1979-05-27")));
        let column = key.chars().count() + 4;
        let place = format!("{number}:{column}: ");
        // What may be a secret is not repeated.
        let shown = if key == "send" { "something else, which is not shown" } else { "1979-05-27" };
        let shown = format!(", found {shown}");
        let told = found.iter().any(|e| e.starts_with(&place) && e.ends_with(&shown));
        assert!(told, "line {number}, {key}: {found:#?}");
        seen += 1;
    }
    assert!(seen > 50, "the example holds every setting");
}

#[test]
fn a_slip_in_the_name_is_reported_for_every_setting() {
    // A host's name is the writer's own, there is none to compare it with.
    for (number, key, value) in settings().filter(|(_, key, _)| !key.starts_with('"')) {
        let found = errors(&replaced(number, &format!("{key}x = {value}")));
        let place = format!("{number}:1: ");
        let told = found.iter().any(|e| e.starts_with(&place) && e.contains("unknown key; did you mean `"));
        assert!(told, "line {number}, {key}: {found:#?}");
    }
}
