use super::*;
use crate::doctor::facts::IpvsTable;
use crate::doctor::tests::{address, expect_one, good, problems};
use std::collections::BTreeMap;

/// What the kernel has unless it is told otherwise; rp_filter as some distributions have it.
const KERNEL: [(&str, i64); 13] = [
    ("net.ipv4.vs.expire_nodest_conn", 0),
    ("net.ipv4.vs.expire_quiescent_template", 0),
    ("net.ipv4.vs.conn_reuse_mode", 0),
    ("net.ipv4.vs.sloppy_tcp", 0),
    ("net.ipv4.vs.schedule_icmp", 0),
    ("net.ipv4.vs.drop_entry", 0),
    ("net.ipv4.vs.amemthresh", 1024),
    ("net.ipv4.vs.conntrack", 0),
    ("net.ipv4.ip_forward", 0),
    ("net.ipv4.neigh.default.gc_thresh2", 512),
    ("net.ipv4.neigh.default.gc_thresh3", 1024),
    ("net.ipv6.neigh.default.gc_thresh2", 512),
    ("net.ipv6.neigh.default.gc_thresh3", 1024),
];

/// A host with what needs every parameter, all of them as the kernel has them.
fn untouched() -> Facts {
    let mut facts = good();
    facts.sysctls = KERNEL.map(|(key, value)| (key.to_owned(), value)).into();
    facts.rp_filter.values_mut().for_each(|value| *value = 1);
    facts.table = Some(IpvsTable { size: 1 << 12, is_persistent: true, is_masquerading: false });
    facts.wanted.as_mut().expect("a configuration").checks = 1000;
    facts
}

fn shipped(file: &str) -> Vec<(String, String)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').unwrap_or((line, "")))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// As systemd-sysctl applies it.
fn apply(facts: &mut Facts, (key, value): &(String, String)) {
    let value = value.parse().expect("a number");
    match key.strip_prefix("net.ipv4.conf.").and_then(|rest| rest.strip_suffix(".rp_filter")) {
        Some("*") => {
            let interfaces =
                facts.rp_filter.iter_mut().filter(|(name, _)| *name != "all" && *name != "default");
            interfaces.for_each(|(_, its)| *its = value);
        }
        Some(interface) => drop(facts.rp_filter.insert(interface.into(), value)),
        None => drop(facts.sysctls.insert(key.clone(), value)),
    }
}

#[test]
fn the_shipped_files_make_every_rule_on_sysctls_and_modules_quiet_and_no_line_is_too_much() {
    let settings = shipped("sysctl.d/60-lvsd-balancer.conf");
    let options = shipped("modprobe.d/lvsd.conf");
    let [(option, bits)] = options.as_slice() else { panic!("{options:?}") };
    assert_eq!(option, "options ip_vs conn_tab_bits");
    let size = 1 << bits.parse::<u32>().expect("a number of bits");
    let with = |left_out: Option<usize>| {
        let mut facts = untouched();
        facts.table.as_mut().expect("a table").size = size;
        facts.modules.loaded =
            shipped("modules-load.d/lvsd.conf").into_iter().map(|(name, _)| name).collect();
        for (index, setting) in settings.iter().enumerate() {
            if Some(index) != left_out {
                apply(&mut facts, setting);
            }
        }
        facts
    };
    assert_eq!(problems(&with(None)), []);
    for (index, (key, value)) in settings.iter().enumerate() {
        let problems = problems(&with(Some(index)));
        // The star stands for both legs.
        let count = if key.contains('*') { 2 } else { 1 };
        assert_eq!(problems.len(), count, "without {key}: {problems:#?}");
        for finding in &problems {
            let star = key.replace('*', if finding.subject.contains("eth0") { "eth0" } else { "eth1" });
            assert_eq!(finding.subject, star);
            assert_eq!(finding.run, Some(format!("sysctl -w {star}={value}")));
        }
    }
}

#[test]
fn each_ipvs_parameter_that_is_wrong_is_one_warning() {
    for (key, wrong) in [
        ("net.ipv4.vs.expire_nodest_conn", 0),
        ("net.ipv4.vs.conn_reuse_mode", 0),
        ("net.ipv4.vs.sloppy_tcp", 0),
        ("net.ipv4.vs.schedule_icmp", 0),
        ("net.ipv4.vs.drop_entry", 0),
        ("net.ipv4.vs.drop_entry", 3),
        ("net.ipv4.vs.amemthresh", 131_071),
        ("net.ipv4.vs.conntrack", 1),
        ("net.ipv4.ip_forward", 1),
    ] {
        let mut facts = good();
        facts.sysctls.insert(key.into(), wrong);
        let finding = expect_one(&facts, Warning, key);
        assert_eq!(finding.is, wrong.to_string());
        assert!(finding.run.expect("a command").starts_with(&format!("sysctl -w {key}=")));
    }
}

#[test]
fn few_servers_need_no_larger_neighbour_table() {
    let mut facts = good();
    facts.sysctls.insert("net.ipv4.neigh.default.gc_thresh3".into(), 1024);
    assert_eq!(problems(&facts), []);
    facts.wanted.as_mut().expect("a configuration").checks = 1000;
    let finding = expect_one(&facts, Warning, "net.ipv4.neigh.default.gc_thresh3");
    assert_eq!(finding.run.as_deref(), Some("sysctl -w net.ipv4.neigh.default.gc_thresh3=16384"));
}

#[test]
fn what_only_some_tables_need_is_not_asked_of_others() {
    let mut facts = good();
    facts.sysctls.insert("net.ipv4.vs.expire_quiescent_template".into(), 0);
    assert_eq!(problems(&facts), []);
    facts.table.as_mut().expect("a table").is_persistent = true;
    expect_one(&facts, Warning, "net.ipv4.vs.expire_quiescent_template");

    let mut facts = good();
    facts.sysctls.insert("net.ipv4.ip_forward".into(), 1);
    facts.table.as_mut().expect("a table").is_masquerading = true;
    assert_eq!(problems(&facts), []);
}

#[test]
fn sloppy_tcp_is_wanted_with_a_hash_only() {
    for (schedulers, value, is_right) in [
        (["mh"].as_slice(), 1, true),
        (&["sh"], 0, false),
        (&["wrr", "mh"], 0, false),
        (&["wrr"], 0, true),
        (&["wrr", "lc"], 1, false),
        (&[], 0, true),
        (&[], 1, true),
    ] {
        let mut facts = good();
        let wanted = facts.wanted.as_mut().expect("services");
        wanted.schedulers = schedulers.iter().map(|name| (*name).to_owned()).collect();
        for name in schedulers {
            facts.modules.loaded.insert(format!("ip_vs_{name}"));
        }
        facts.sysctls.insert("net.ipv4.vs.sloppy_tcp".into(), value);
        if is_right {
            assert_eq!(problems(&facts), [], "{schedulers:?} with {value}");
        } else {
            expect_one(&facts, Warning, "net.ipv4.vs.sloppy_tcp");
        }
    }
    let mut facts = good();
    facts.wanted = None;
    facts.sysctls.insert("net.ipv4.vs.sloppy_tcp".into(), 0);
    assert_eq!(problems(&facts), [], "services are not known");
}

#[test]
fn strict_reverse_paths_are_errors_where_clients_come_in() {
    let strict = |values: &[(&str, i64)]| {
        let mut facts = good();
        facts.rp_filter.extend(values.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        facts
    };
    expect_one(&strict(&[("all", 1)]), Error, "net.ipv4.conf.all.rp_filter");
    expect_one(&strict(&[("eth0", 1)]), Error, "net.ipv4.conf.eth0.rp_filter");
    expect_one(&strict(&[("default", 1)]), Warning, "net.ipv4.conf.default.rp_filter");
    for quiet in
        [[("lo", 1), ("lvsd0", 1)].as_slice(), &[("all", 2), ("eth0", 1)], &[("all", 2)], &[("eth0", 2)]]
    {
        assert_eq!(problems(&strict(quiet)), [], "{quiet:?}");
    }
}

#[test]
fn an_interface_with_a_dot_is_written_with_slashes() {
    let mut facts = good();
    facts.interfaces.as_mut().expect("interfaces")[1].name = "eth0.100".into();
    facts.rp_filter.insert("eth0.100".into(), 1);
    let finding = expect_one(&facts, Error, "net.ipv4.conf.eth0.100.rp_filter");
    assert_eq!(finding.run.as_deref(), Some("sysctl -w net/ipv4/conf/eth0.100/rp_filter=0"));
}

#[test]
fn tracking_is_a_warning_when_it_has_vips_and_an_error_when_it_is_nearly_full() {
    let with = |count, tracked| {
        let mut facts = good();
        facts.conntrack = Some(Conntrack { count, max: 1000, tracked });
        facts
    };
    assert_eq!(problems(&with(799, None)), []);
    expect_one(&with(0, Some(address("192.0.2.10"))), Warning, "netfilter's connection tracking");
    expect_one(&with(800, None), Error, "netfilter's connection tracking");
}

#[test]
fn parameters_that_are_not_there_are_not_judged() {
    let mut facts = good();
    facts.sysctls = BTreeMap::new();
    facts.rp_filter = BTreeMap::new();
    assert_eq!(problems(&facts), []);
}

#[test]
fn answers_from_a_vip_are_let_in_where_servers_are_asked_through_ipvs() {
    let mut facts = good();
    facts.accept_local = [("all".to_owned(), 0), ("eth0".to_owned(), 0), ("eth1".to_owned(), 0)].into();
    assert_eq!(problems(&facts), [], "nobody is asked so");
    facts.asked_through_ipvs = [address("10.64.0.11"), address("10.64.0.12")].into();
    let finding = expect_one(&facts, Error, "net.ipv4.conf.eth0.accept_local");
    assert_eq!(finding.run.as_deref(), Some("sysctl -w net.ipv4.conf.eth0.accept_local=1"));
    for name in ["eth0", "all"] {
        let mut mended = facts.clone();
        mended.accept_local.insert(name.to_owned(), 1);
        assert_eq!(problems(&mended), [], "{name}");
    }
}
