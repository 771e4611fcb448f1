//! A good host, and what is common to the tables of the rules.

use super::facts::*;
use super::*;
use crate::ctl::render::Paint;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// What is not as it should be.
pub(super) fn problems(facts: &Facts) -> Vec<Finding> {
    diagnose(facts).into_iter().filter(|finding| finding.severity > Severity::Ok).collect()
}

/// The one thing that is not as it should be.
pub(super) fn expect_one(facts: &Facts, severity: Severity, subject: &str) -> Finding {
    let problems = problems(facts);
    let [finding] = problems.as_slice() else { panic!("not one finding: {problems:#?}") };
    assert_eq!((finding.severity, finding.subject.as_str()), (severity, subject), "{finding:#?}");
    assert!(!finding.why.is_empty() && !finding.should.is_empty(), "{finding:#?}");
    assert!(finding.run.is_some() || finding.edit.is_some(), "nothing to do: {finding:#?}");
    finding.clone()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(ToOwned::to_owned).into()
}

fn interface(name: &str, kind: Kind, addresses: &[(&str, u8)]) -> Interface {
    let addresses = addresses.iter().map(|(text, length)| (address(text), *length)).collect();
    Interface { name: name.into(), kind, is_up: true, mtu: 1500, addresses }
}

/// A balancer with two legs, one service of both families and lvsd at work.
pub(super) fn good() -> Facts {
    let sysctls = [
        ("net.ipv4.vs.expire_nodest_conn", 1),
        ("net.ipv4.vs.expire_quiescent_template", 1),
        ("net.ipv4.vs.conn_reuse_mode", 1),
        ("net.ipv4.vs.sloppy_tcp", 1),
        ("net.ipv4.vs.schedule_icmp", 1),
        ("net.ipv4.vs.drop_entry", 1),
        ("net.ipv4.vs.amemthresh", 131_072),
        ("net.ipv4.vs.conntrack", 0),
        ("net.ipv4.ip_forward", 0),
    ];
    let rp_filter = ["all", "default", "lo", "eth0", "eth1", "lvsd0"].map(|name| (name.to_owned(), 0));
    Facts {
        modules: Modules {
            loaded: names(["ip_vs", "ip_vs_mh", "dummy"]),
            builtin: BTreeSet::new(),
            loadable: Some(names(["ip_vs", "ip_vs_mh", "ip_vs_wrr", "dummy"])),
            is_locked: false,
        },
        table: Some(IpvsTable { size: 1 << 20, is_persistent: false, is_masquerading: false }),
        sysctls: sysctls.map(|(key, value)| (key.to_owned(), value)).into(),
        rp_filter: rp_filter.into(),
        accept_local: BTreeMap::new(),
        asked_through_ipvs: BTreeSet::new(),
        conntrack: None,
        interfaces: Some(vec![
            interface("lo", Kind::Loopback, &[("127.0.0.1", 8), ("::1", 128)]),
            interface("eth0", Kind::Wire, &[("10.64.0.1", 24), ("fd00:64::1", 64)]),
            interface("eth1", Kind::Wire, &[("10.65.0.1", 24)]),
            interface("lvsd0", Kind::Dummy, &[("192.0.2.10", 32), ("2001:db8::10", 128)]),
        ]),
        writers: Vec::new(),
        restores: None,
        systemd: Some(Unit::Enabled),
        configuration: Configuration { path: "/etc/lvsd/lvsd.toml".into(), reading: Reading::Good },
        daemon: Daemon::Answers(Answers {
            ready: true,
            phase: "running".into(),
            peers: 2,
            ..Answers::default()
        }),
        process: Some(DaemonProcess { pid: 812, uid: Some(997), open_files: Some(16_384) }),
        state_directory: StateDirectory {
            path: PathBuf::from("/var/lib/lvsd"),
            found: Some(Directory { uid: 997, mode: 0o040_700, is_read_only: false }),
            user: Some(997),
        },
        wanted: Some(Wanted {
            schedulers: names(["mh"]),
            vips: [address("192.0.2.10"), address("2001:db8::10")].into(),
            checks: 6,
        }),
        device: "lvsd0".into(),
        socket: None,
        probes: None,
    }
}

#[test]
fn commands_of_lvsctl_name_the_control_socket_when_it_is_not_the_usual_one() {
    let mut facts = good();
    facts.daemon = Daemon::Denied("permission denied".into());
    let command = |facts: &Facts| expect_one(facts, Severity::Warning, "lvsd").run.expect("a command");
    assert_eq!(command(&facts), "sudo lvsctl doctor");
    facts.socket = Some("/run/other.sock".into());
    assert_eq!(command(&facts), "sudo lvsctl --socket /run/other.sock doctor");
    facts.daemon = Daemon::NotRunning;
    facts.process = None;
    let finding = expect_one(&facts, Severity::Error, "lvsd");
    assert_eq!(finding.run.as_deref(), Some("systemctl start lvsd"));
}

#[test]
fn a_good_host_is_quiet() {
    assert_eq!(problems(&good()), []);
    let text = render::text(&diagnose(&good()), false, Paint::new(false));
    assert!(text.starts_with("nothing to do: ") && text.lines().count() == 1, "{text}");
}

#[test]
fn a_host_of_which_nothing_can_be_read_is_told_only_that_lvsd_does_not_run() {
    let facts = Facts {
        modules: Modules::default(),
        table: Some(IpvsTable { size: 1 << 20, is_persistent: false, is_masquerading: false }),
        sysctls: BTreeMap::new(),
        rp_filter: BTreeMap::new(),
        interfaces: None,
        systemd: None,
        daemon: Daemon::NotRunning,
        process: None,
        state_directory: StateDirectory { path: "/var/lib/lvsd".into(), found: None, user: None },
        wanted: None,
        ..good()
    };
    let finding = expect_one(&facts, Severity::Error, "lvsd");
    assert_eq!(finding.run.as_deref(), Some("lvsd --config /etc/lvsd/lvsd.toml"));
}

#[test]
fn what_is_most_urgent_comes_first_and_each_finding_has_its_lines() {
    let mut facts = good();
    facts.sysctls.insert("net.ipv4.vs.sloppy_tcp".into(), 0);
    facts.rp_filter.insert("all".into(), 1);
    let text = render::text(&diagnose(&facts), false, Paint::new(false));
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("error    net.ipv4.conf.all.rp_filter is 1, should be 0 (or 2): "),
        "{text}"
    );
    assert_eq!(lines[1], "         run  sysctl -w net.ipv4.conf.all.rp_filter=0");
    assert_eq!(
        lines[2],
        "         edit /etc/sysctl.d/60-lvsd-balancer.conf: net.ipv4.conf.all.rp_filter = 0"
    );
    assert!(lines[3].starts_with("warning  net.ipv4.vs.sloppy_tcp is 0, should be 1: "), "{text}");
    assert_eq!(lines[6..], ["1 error, 1 warning"]);
    let all = render::text(&diagnose(&facts), true, Paint::new(false));
    assert!(all.contains("ok       net.ipv4.vs.schedule_icmp is 1\n"), "{all}");
}
