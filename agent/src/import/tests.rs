use super::*;
use crate::config::{self, Admin, Config, Family, Pool, PoolId, SourceSettings};
use health::Kind;
use proptest::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

const WHOLE: &str = include_str!("tests/pybal.conf");

/// One section that nothing is wrong with; lines 1 to 7.
const SECTION: &str = "[text_80]\nprotocol = tcp\nip = 192.0.2.10\nport = 80\nscheduler = wrr\n\
                       config = file:///etc/pybal/pools/text\nmonitors = [ 'IdleConnection' ]\n";

fn asns(asn: u32) -> Options {
    Options { peer_asns: PeerAsns { of_others: Some(asn), ..PeerAsns::default() }, router_id: None }
}

fn imported(text: &str) -> Imported {
    import(Path::new("pybal.conf"), text.as_bytes(), &asns(65001)).expect("PyBal would start with it")
}

/// The configuration as lvsd reads it, `lvsd check-config` does the same.
fn read(imported: &Imported) -> Config {
    let files = [(PathBuf::from("lvsd.toml"), imported.configuration.clone())];
    let told = |errors: Vec<config::ConfigError>| errors.iter().map(|e| format!("{e}\n")).collect::<String>();
    config::parse(&files)
        .map_err(told)
        .unwrap_or_else(|errors| panic!("{errors}\n{}", imported.configuration))
}

fn good(text: &str) -> Config {
    let imported = imported(text);
    assert_eq!(lost(&imported), [""; 0]);
    read(&imported)
}

fn lost(imported: &Imported) -> Vec<String> {
    imported.lost.iter().map(ToString::to_string).collect()
}

fn refused(bytes: impl AsRef<[u8]>) -> String {
    let error = import(Path::new("pybal.conf"), bytes.as_ref(), &Options::default());
    error.expect_err("PyBal would not start with it").to_string()
}

#[test]
fn sections_that_differ_in_their_ip_are_one_service_with_both_names() {
    let config = good(WHOLE);
    let names: Vec<&str> = config.services.keys().map(String::as_str).collect();
    assert_eq!(names, ["dns_53", "ldap_389", "text-https_443", "text_80"]);
    let text = &config.services["text_80"];
    let vips: Vec<String> = text.vips.iter().map(ToString::to_string).collect();
    assert_eq!(vips, ["192.0.2.10", "2001:db8::10"]);
    let names: Vec<_> = text.pybal_names.iter().map(|(name, family)| (&**name, *family)).collect();
    assert_eq!(names, [("text6_80", Some(Family::Ipv6)), ("text_80", Some(Family::Ipv4))]);
    let said: Vec<String> = imported(WHOLE).chosen.iter().map(ToString::to_string).collect();
    let expected = "29: text6_80: differs from [text_80] in its ip only: one service, text_80";
    assert!(said.iter().any(|line| line == expected), "{said:#?}");
    let https = &config.services["text-https_443"];
    assert_eq!(https.pybal_names.keys().map(|name| &**name).collect::<Vec<_>>(), ["Text-HTTPS_443"]);
    assert!(config.services["dns_53"].pybal_names.is_empty(), "its name is its own");
}

#[test]
fn what_is_balanced_is_carried_over() {
    let config = good(WHOLE);
    let text = &config.services["text_80"];
    assert_eq!((text.port, text.scheduler.scheduler().to_string().as_str()), (80, "sh"));
    assert_eq!(text.scheduler.to_string(), "scheduler sh", "PyBal gives no flags");
    assert_eq!(text.pool, Pool::Sources(vec![PoolId::File("/etc/pybal/pools/text.json".into())]));
    assert_eq!(text.depool_threshold.needed(10), 5);
    let https = &config.services["text-https_443"];
    assert_eq!((https.port, https.depool_threshold.needed(3)), (443, 3));
    let dns = &config.services["dns_53"];
    assert_eq!(dns.protocol, ipvs::Protocol::Udp);
    assert!(dns.scheduler.to_string().contains("one packet"), "{}", dns.scheduler);
}

#[test]
fn monitors_become_checks_with_pybals_times() {
    let config = good(WHOLE);
    let [fetch, idle] = &config.services["text_80"].checks[..] else { panic!("two monitors") };
    let Kind::Urls(urls) = &fetch.kind else { panic!("two URLs") };
    let paths: Vec<_> = urls.parts().requests.iter().map(|request| request.parts().path.as_str()).collect();
    assert_eq!(paths, ["/wiki/Main_Page", "/wiki/Special:BlankPage"]);
    assert_eq!(urls.parts().requests[0].parts().host.as_deref(), Some("en.wikipedia.org"));
    assert_eq!(urls.parts().pick, health::Pick::One);
    let seconds = Duration::from_secs;
    let times = |check: &config::CheckTemplate| {
        let timing = &check.timing;
        (timing.interval(), timing.timeout(), timing.fall(), timing.rise())
    };
    assert_eq!(times(fetch), (seconds(10), seconds(5), 1, 1));
    assert_eq!(
        (idle.timing.interval(), idle.timing.timeout(), idle.timing.fall()),
        (seconds(10), seconds(3), 3)
    );
    let [fetch] = &config.services["text-https_443"].checks[..] else { panic!("one monitor") };
    assert_eq!(times(fetch), (seconds(5), seconds(3), 1, 1));
    let Kind::Urls(urls) = &fetch.kind else { panic!("two URLs") };
    assert_eq!(urls.parts().pick, health::Pick::All { max_failures: 1 });
    assert_eq!(urls.parts().requests[1].parts().path, "/w/index.php?x=%20");
    let [questions @ .., udp] = &config.services["dns_53"].checks[..] else { panic!("five checks") };
    let of = |check: &config::CheckTemplate| check.kind.name();
    assert_eq!(questions.iter().map(of).collect::<Vec<_>>(), ["dns"; 4]);
    let Kind::Udp(datagram) = &udp.kind else { panic!("a datagram") };
    let wait = health::spec::DEFAULT_WAIT;
    assert_eq!(datagram.parts().reply, health::Reply::Optional { wait, hold: seconds(30) });
    let [command] = &config.services["ldap_389"].checks[..] else { panic!("one command") };
    let Kind::Command(program) = &command.kind else { panic!("a program") };
    assert_eq!(program.parts().program, "/usr/local/bin/check-ldap");
    assert_eq!(program.parts().arguments, ["-H", "{host}", "{port}", "it's"]);
    assert_eq!(times(command), (seconds(30), seconds(10), 1, 1));
}

#[test]
fn the_answers_that_pybal_takes_are_taken() {
    let config = good(WHOLE);
    for (service, codes) in [("text_80", "200-202"), ("text-https_443", "301-303")] {
        let Kind::Urls(urls) = &config.services[service].checks[0].kind else { panic!("two URLs") };
        for request in &urls.parts().requests {
            assert_eq!(request.parts().expect, [codes.parse().unwrap()], "{service}");
        }
    }
}

#[test]
fn what_a_section_leaves_out_is_as_in_pybal() {
    let text = &good(SECTION).services["text_80"];
    assert_eq!((text.depool_threshold.needed(10), text.depool_threshold.needed(3)), (5, 2));
    assert!(text.route.is_none(), "the MED is that of [global]");
    let config = good(&format!(
        "[global]\nbgp = yes\nbgp-local-asn = 64600\nbgp-peer-address = 10.64.0.251\nbgp-nexthop-ipv4 = 10.64.0.1\n{SECTION}"
    ));
    let bgp = config.bgp.expect("PyBal speaks BGP");
    let [router] = &bgp.peers[..] else { panic!("one router, not in a list: {:?}", bgp.peers) };
    assert_eq!(router.address.to_string(), "10.64.0.251");
    assert_eq!((bgp.attributes.med, bgp.attributes.prepend, bgp.listen.len()), (Some(0), None, 0));
    assert_eq!(router.terms.export, ::bgp::policy::ExportFilter::All, "VIPs are announced");
}

#[test]
fn routers_get_what_pybal_told_them() {
    let config = good(WHOLE);
    let bgp = config.bgp.as_ref().expect("PyBal speaks BGP");
    assert_eq!((bgp.local_asn, bgp.router_id.to_string()), (64600, "10.64.0.1".to_owned()));
    assert_eq!((bgp.attributes.med, bgp.attributes.prepend), (Some(100), Some(1)));
    assert_eq!(bgp.listen, ["10.64.0.1:1179".parse().unwrap()]);
    let [one, two] = &bgp.peers[..] else { panic!("two routers") };
    assert_eq!((one.address.to_string(), one.asn), ("10.64.0.251".into(), 65001));
    assert_eq!((two.address.to_string(), two.terms.families.len()), ("10.64.0.252".into(), 2));
    assert_eq!(one.terms.next_hop_ipv4, "10.64.0.1".parse().ok());
    assert_eq!(one.terms.next_hop_ipv6, "fd00:64::1".parse().ok());
    let silent = "192.0.2.53/32".parse().unwrap();
    let other = "192.0.2.10/32".parse().unwrap();
    for peer in &bgp.peers {
        let tells = |prefix| peer.terms.export.permits(prefix, &::bgp::RouteAttributes::default());
        assert!(!tells(silent) && tells(other), "bgp = no in the only section of 192.0.2.53");
    }
    let route = config.services["text-https_443"].route.as_ref().expect("a MED of its own");
    assert_eq!(route.attributes.med, Some(0));
}

#[test]
fn a_vip_that_one_of_its_sections_keeps_to_itself_is_announced_as_in_pybal() {
    let global = WHOLE.split_once("[text_80]").expect("[global] is before it").0;
    let silent = SECTION.replace("[text_80]", "[silent_81]").replace("port = 80", "port = 81") + "bgp = no\n";
    let imported = imported(&format!("{global}{SECTION}{silent}"));
    assert_eq!(lost(&imported), [""; 0]);
    let bgp = read(&imported).bgp.expect("PyBal speaks BGP");
    assert_eq!(bgp.peers[0].terms.export, ::bgp::policy::ExportFilter::All);
    let said = imported.chosen.iter().find(|finding| finding.option == "silent_81.bgp").expect("it is said");
    assert!(said.what.starts_with("another service announces the VIP"), "{said}");
}

#[test]
fn a_page_over_tls_is_asked_for_as_pybal_does_and_that_is_said() {
    let text = SECTION.replace("'IdleConnection'", "'ProxyFetch'")
        + "proxyfetch.url = [ 'https://en.wikipedia.org/' ]\n";
    let Kind::Http(request) = &good(&text).services["text_80"].checks[0].kind else { panic!("a request") };
    let tls = request.parts().tls.as_ref().expect("it is secured");
    assert_eq!(tls.parts().trust, health::Trust::Anyone);
    let imported = imported(&text);
    assert!(
        imported.chosen.iter().any(|finding| finding.line == 8 && finding.what.contains("verify = false"))
    );
}

#[test]
fn thousands_of_sections_take_seconds_at_most() {
    let section = |n: usize| {
        SECTION
            .replace("text_80", &format!("s{n}"))
            .replace("port = 80", &format!("port = {}", n % 60_000 + 1))
    };
    let text: String = (0..3_000).map(section).collect();
    let begin = std::time::Instant::now();
    assert_eq!(imported(&text).services, 3_000);
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[test]
fn pybals_own_pages_stay_where_they_were() {
    let config = good(WHOLE);
    assert_eq!(config.daemon.http, "127.0.0.1:9091".parse().ok());
    let others: Vec<String> = config.pybal.http.iter().map(ToString::to_string).collect();
    assert_eq!(others, ["[::1]:9091", "10.64.0.1:9091"]);
    assert!(config.pybal.metrics);
    let config = good(&format!("[global]\ninstrumentation = no\ninstrumentation_port = 9091\n{SECTION}"));
    assert_eq!(config.daemon.http, "127.0.0.1:9090".parse().ok());
    assert!(config.pybal.http.is_empty() && !config.pybal.metrics);
}

#[test]
fn without_a_routers_as_bgp_is_a_comment_that_says_what_to_do() {
    let imported = import(Path::new("pybal.conf"), WHOLE.as_bytes(), &Options::default()).unwrap();
    let [said] = &lost(&imported)[..] else { panic!("{:?}", imported.lost) };
    assert!(said.starts_with("5: global.bgp-peer-address: ") && said.contains("--peer-asn"), "{said}");
    assert!(read(&imported).bgp.is_none());
    assert!(imported.configuration.contains("\n# asn = 0 # the router's AS\n"), "{}", imported.configuration);
}

#[test]
fn each_router_can_have_an_as_of_its_own() {
    let mut options = asns(65001);
    options.peer_asns.by_address.insert("10.64.0.252".parse().unwrap(), 65002);
    options.router_id = Some("10.64.0.9".parse().unwrap());
    let imported = import(Path::new("pybal.conf"), WHOLE.as_bytes(), &options).unwrap();
    let bgp = read(&imported).bgp.expect("it is whole");
    assert_eq!(bgp.peers.iter().map(|peer| peer.asn).collect::<Vec<_>>(), [65001, 65002]);
    assert_eq!(bgp.router_id.to_string(), "10.64.0.9");
}

#[test]
fn what_cannot_be_carried_over_is_named_line_by_line() {
    let text = format!(
        "[global]\nbgp = yes\nbgp-local-asn = 64600\nbgp-peer-address = 10.64.0.251\nbgp-as-path = 64600 64700\n\
         bgp-nexthop-ipv4 = 10.64.0.1\nanycast = yes\n{SECTION}\
         idleconnection.keepalive-interval = 20\nipip = yes\nproxyfetch.url = ['http://a/']\ndepool-threshold = 2\n"
    );
    let imported = imported(&text);
    let said = lost(&imported);
    let begins = [
        "5: global.bgp-as-path: lvsd's paths consist of its own AS, 64600,",
        "7: global.anycast: not an option that is known here",
        "15: text_80.idleconnection.keepalive-interval: lvsd sends keepalives every `timeout`",
        "16: text_80.ipip: not an option that is known here",
        "18: text_80.depool-threshold: expected a share of the servers from 0 to 1, found \"2\"",
    ];
    assert_eq!(said.len(), begins.len(), "{said:#?}");
    for (said, begin) in said.iter().zip(begins) {
        assert!(said.starts_with(begin), "{said}");
    }
    let chosen = imported.chosen.iter().find(|finding| finding.line == 17).expect("it is said");
    assert!(chosen.what.starts_with("the monitor is not in `monitors`"), "{}", chosen.what);
    assert_eq!(read(&imported).services.len(), 1);
}

#[test]
fn a_section_that_cannot_be_a_service_is_left_out_and_the_others_are_not() {
    for (from, to, said) in [
        ("protocol = tcp", "protocol = sctp", "2: text_80.protocol: expected tcp or udp, found \"sctp\""),
        ("protocol = tcp\n", "", "1: text_80.protocol: missing, and PyBal does not start without it"),
        ("ip = 192.0.2.10", "ip = text-lb.example.org", "3: text_80.ip: expected an IPv4 or IPv6 address"),
        (
            "ip = 192.0.2.10",
            "ip = 127.0.0.1",
            "1: text_80: lvsd would refuse it, so it is written as a comment: ",
        ),
        ("port = 80", "port = 80 # http", "4: text_80.port: expected a port 1-65535, found \"80 # http\""),
        ("scheduler = wrr", "scheduler = fair", "5: text_80.scheduler: expected one of rr, wrr,"),
        ("file:///etc", "ftp://etc", "6: text_80.config: expected file:///PATH"),
        (
            "'IdleConnection'",
            "'KubernetesNode'",
            "7: text_80.monitors: PyBal has no monitor \"KubernetesNode\"",
        ),
        ("[ 'IdleConnection' ]", "IdleConnection", "7: text_80.monitors: expected a list of texts in quotes"),
        (
            "[ 'IdleConnection' ]",
            "[ 'ProxyFetch' ]",
            "7: text_80.monitors: ProxyFetch without proxyfetch.url",
        ),
    ] {
        let other = SECTION.replace("text_80", "other").replace("80\n", "81\n");
        let imported = imported(&(SECTION.replace(from, to) + &other));
        let lost = lost(&imported);
        assert!(lost.iter().any(|line| line.starts_with(said)), "{lost:#?}");
        let config = read(&imported);
        assert_eq!(config.services.keys().collect::<Vec<_>>(), ["other"], "{to}");
        assert_eq!(imported.services, 1);
    }
}

#[test]
fn a_service_that_pybal_does_not_check_takes_everyone_for_up_as_there() {
    let text = SECTION.replace("monitors = [ 'IdleConnection' ]\n", "");
    assert!(good(&text).services["text_80"].checks.is_empty());
    assert!(good(&SECTION.replace("'IdleConnection'", "")).services["text_80"].checks.is_empty());
}

#[test]
fn a_vip_of_two_sections_with_the_same_port_is_one_and_said() {
    let twice = SECTION.replace("text_80", "again").replace("wrr", "wlc");
    let imported = imported(&format!("{SECTION}{twice}"));
    let [said] = &lost(&imported)[..] else { panic!("{:?}", imported.lost) };
    assert!(said.starts_with("8: again: lvsd would refuse it") && said.contains("second time"), "{said}");
    assert_eq!(read(&imported).services.len(), 1);
}

#[test]
fn pools_of_etcd_http_and_kubernetes_name_their_sources() {
    for (url, pool, source) in [
        (
            "etcd://conf1001.eqiad.wmnet:4001/conftool/v1/pools/eqiad/cache/text/nginx/",
            "pool = { source = \"conftool\", path = \"eqiad/cache/text/nginx\" }",
            "[source.conftool]\ntype = \"etcd\"\nversion = 2\nendpoints = [\"https://conf1001.eqiad.wmnet:4001\"]\n\
             prefix = \"/conftool/v1/pools\"\n",
        ),
        (
            "etcd://[2001:db8::1]/pybal/text",
            "pool = { source = \"conftool\", path = \"text\" }",
            "endpoints = [\"https://[2001:db8::1]:2379\"]\nprefix = \"/pybal\"\n",
        ),
        (
            "http://config-master.example.org/pybal/eqiad/text",
            "pool = { source = \"pools\", path = \"text\" }",
            "[source.pools]\ntype = \"http\"\nurl = \"http://config-master.example.org/pybal/eqiad\"\n",
        ),
        (
            "k8s://secret@kubemaster.example.org:6443",
            "pool = { source = \"kubernetes\", nodes = \"\" }",
            "kubeconfig = \"/etc/lvsd/kubernetes.kubeconfig\"\ncordon = \"remove\"",
        ),
    ] {
        let imported = imported(&SECTION.replace("file:///etc/pybal/pools/text", url));
        // Where lvsd does not take it yet, it is there as a comment.
        let text = imported.configuration.replace("\n# ", "\n").replace("\n#", "\n");
        assert!(text.contains(pool) && text.contains(source), "{}", imported.configuration);
        assert!(!imported.configuration.contains("secret@"), "a token is not for a configuration");
        read(&imported);
    }
}

#[test]
fn a_pool_on_a_web_server_is_carried_over() {
    let url = "http://config-master.example.org/pybal/eqiad/text";
    let config = good(&SECTION.replace("file:///etc/pybal/pools/text", url));
    let query = config::Query::Path("text".into());
    let pool = PoolId::Remote { source: "pools".into(), query };
    assert_eq!(config.services["text_80"].pool, Pool::Sources(vec![pool]));
    let settings = format!("{:?}", config.sources["pools"]);
    assert!(settings.contains("url: \"http://config-master.example.org/pybal/eqiad\""), "{settings}");
}

#[test]
fn a_pool_in_etcd_is_carried_over_with_the_version_that_pybal_speaks() {
    let url = "etcd://conf1001.eqiad.wmnet:4001/conftool/v1/pools/eqiad/cache/text/nginx/";
    let config = good(&SECTION.replace("file:///etc/pybal/pools/text", url));
    let query = config::Query::Path("eqiad/cache/text/nginx".into());
    let pool = PoolId::Remote { source: "conftool".into(), query };
    assert_eq!(config.services["text_80"].pool, Pool::Sources(vec![pool]));
    let SourceSettings::Etcd(settings) = &config.sources["conftool"] else { panic!("an etcd") };
    assert_eq!((settings.version, &*settings.prefix), (config::EtcdVersion::V2, "/conftool/v1/pools"));
    let [endpoint] = &settings.endpoints[..] else { panic!("one server") };
    assert_eq!((endpoint.is_secured, &*endpoint.host, endpoint.port), (true, "conf1001.eqiad.wmnet", 4001));
}

#[test]
fn a_file_that_pybal_would_not_start_with_is_refused_with_every_line() {
    assert_eq!(
        refused(""),
        "no section of a service in it: expected one with protocol, ip, port, scheduler and config"
    );
    assert!(refused("[global]\nbgp = no\n").starts_with("no section of a service"));
    assert_eq!(refused(b"[a]\nip = \xff\n"), "2: a byte that is no UTF-8");
    let said = refused("ip = 1\n[text_80]\nport\n");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("3: expected `option = value` or [section], found \"port\""), "{said}");
    assert!(refused(vec![b'a'; MAX_BYTES + 1]).starts_with("larger than"));
    for end in (0..WHOLE.len()).step_by(41) {
        // Half a file is an error, or a configuration that lvsd takes.
        if let Ok(imported) = import(Path::new("pybal.conf"), &WHOLE.as_bytes()[..end], &asns(65001)) {
            read(&imported);
        }
    }
}

#[test]
fn names_that_lvsd_does_not_take_are_changed_and_stay_apart() {
    let section = |name: &str, port: u16| {
        SECTION.replace("[text_80]", &format!("[{name}]")).replace("port = 80", &format!("port = {port}"))
    };
    let text = section("A", 1) + &section("a", 2) + &section("_a", 3) + &section("x".repeat(80).as_str(), 4);
    let imported = imported(&text);
    let config = read(&imported);
    let names: Vec<_> = config.services.keys().map(String::as_str).collect();
    assert_eq!(names, ["a", "a-2"], "the others' names are none for a label either: {:?}", lost(&imported));
    assert_eq!(config.services["a"].names_of_pools().collect::<Vec<_>>(), ["A"]);
    assert_eq!(config.services["a-2"].names_of_pools().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn pools_of_the_example_are_as_pybal_reads_them() {
    let lines =
        "{ 'host': 'cp1', 'weight':10, 'enabled': True }\n{ 'host': 'cp2', 'weight':1, 'enabled': False }\n";
    let pool = crate::pool_file::parse(Path::new("/etc/pybal/pools/text"), lines.as_bytes()).unwrap();
    assert_eq!(
        pool.iter().map(|backend| backend.pooled).collect::<Vec<_>>(),
        [Admin::Pooled, Admin::Depooled]
    );
}

/// Pieces that come near to a pybal.conf.
fn piece() -> impl Strategy<Value = String> {
    let lines = WHOLE.lines().map(|line| format!("{line}\n")).collect::<Vec<_>>();
    prop_oneof![
        8 => prop::sample::select(lines),
        1 => "[ -~\u{e9}]{0,20}\n",
        1 => prop::sample::select(vec!["[", "]", "=", "%", "%(ip)s", "'", "\n ", "[DEFAULT]\n", "[global]\n", "[a]b\"\n", "\u{0}", "\r"])
            .prop_map(ToOwned::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = import(Path::new("pybal.conf"), &bytes, &Options::default());
    }

    #[test]
    fn what_comes_out_is_taken_by_lvsd_whatever_goes_in(pieces in proptest::collection::vec(piece(), 0..60)) {
        let text = pieces.concat();
        if let Ok(imported) = import(Path::new("pybal.conf"), text.as_bytes(), &asns(65001)) {
            let files = [(PathBuf::from("lvsd.toml"), imported.configuration.clone())];
            let errors = config::parse(&files).err();
            prop_assert!(errors.is_none(), "{errors:?}\n{}", imported.configuration);
            let lines = text.matches('\n').count() + 1;
            for finding in imported.lost.iter().chain(&imported.chosen) {
                prop_assert!((1..=lines).contains(&finding.line), "{finding}");
                prop_assert!(!finding.what.is_empty());
            }
        }
    }
}
