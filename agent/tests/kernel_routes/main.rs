//! Routes to nodes on this machine's own kernel, in a network namespace. Needs root and Debian's iproute2.

mod ground;

use ground::{Ground, eventually, ip, routes};
use lvsd::fib::{OffLink, Report, Settings};

/// A block of each family behind each of two nodes.
const TWO_NODES: [(&str, &str); 4] = [
    ("10.67.0.0/26", "10.64.0.11"),
    ("10.67.0.64/26", "10.64.0.12"),
    ("fd67::/122", "fd00:64::11"),
    ("fd67::40/122", "fd00:64::12"),
];

fn all_there(count: usize) -> impl Fn(&Report) -> bool {
    move |report| report.installed == count && report.refused.is_empty() && report.failures.is_empty()
}

#[test]
fn routes_are_used_by_their_rule_move_without_a_gap_and_go_with_it() {
    Ground::new("life").run(Settings::default(), async |mut fib, ground| {
        assert_eq!(fib.next().await, Report::default());
        fib.set(&TWO_NODES);
        fib.until(all_there(4)).await;
        assert!(ip("route get 10.67.0.5").contains("via 10.64.0.11 dev eth0"));
        assert!(ip("-6 route get fd67::41").contains("via fd00:64::12 dev eth0"));
        for family in ["-4", "-6"] {
            let rules = ip(&format!("{family} rule show pref 30000"));
            assert_eq!(rules.trim(), "30000:\tfrom all lookup 77 proto 77", "{family}");
        }

        let monitor = ground.monitor();
        let mut moved = TWO_NODES;
        (moved[0].1, moved[2].1) = ("10.64.0.12", "fd00:64::12");
        fib.set(&moved);
        eventually("the packets go to the other node", || {
            ip("route get 10.67.0.5").contains("via 10.64.0.12")
                && ip("-6 route get fd67::5").contains("via fd00:64::12")
        })
        .await;
        let told = monitor.end();
        assert_eq!(told.matches("proto 77").count(), 2, "{told}");
        assert!(!told.contains("Deleted"), "{told}");

        fib.set(&[]);
        fib.until(all_there(0)).await;
        for family in ["-4", "-6"] {
            assert_eq!(ip(&format!("{family} route show table 77")), "");
            assert_eq!(ip(&format!("{family} rule show pref 30000")), "");
        }
    });
}

#[test]
fn what_others_do_to_routes_and_rules_of_ours_is_put_right() {
    Ground::new("repair").run(Settings::default(), async |mut fib, _| {
        fib.set(&TWO_NODES);
        fib.until(all_there(4)).await;
        for wrong in [
            "route del 10.67.0.0/26 table 77",
            "route flush table 77",
            "-6 route flush table 77",
            "route replace 10.67.0.0/26 via 10.64.0.99 dev eth0 onlink table 77 proto 77 metric 64",
            "route add 10.67.0.0/26 via 10.64.0.99 table 77 proto 77 metric 5",
            "route add blackhole 10.67.9.0/26 table 77 proto 77",
            "-6 route append fd67::/122 via fd00:64::99 dev eth0 onlink table 77 proto 77 metric 64",
            "rule del pref 30000",
            "-6 rule del pref 30000",
        ] {
            ip(wrong);
            eventually(wrong, || {
                let (v4, v6) = (ip("route show table 77"), ip("-6 route show table 77"));
                v4.lines().count() == 2
                    && v6.lines().count() == 2
                    && !v4.contains(".99")
                    && !v6.contains("::99")
                    && ip("rule").contains("30000:")
                    && ip("-6 rule").contains("30000:")
                    && ip("route get 10.67.0.5").contains("via 10.64.0.11")
                    && ip("-6 route get fd67::5").contains("via fd00:64::11")
            })
            .await;
        }
        assert!(fib.repairs() >= 7, "{}", fib.repairs());
    });
}

#[test]
fn foreign_routes_of_the_same_table_are_left_alone_and_counted() {
    Ground::new("foreign").run(Settings::default(), async |mut fib, _| {
        let in_our_place = "10.67.0.0/26 via 10.64.0.99 dev eth0 proto static metric 64";
        ip(&format!("route add table 77 {in_our_place}"));
        ip("-6 route add table 77 fd67::/122 via fd00:64::99 dev eth0 proto static metric 64");
        ip("route add table 77 198.51.100.0/24 via 10.64.0.99 proto bird");
        fib.set(&TWO_NODES);
        let report = fib.until(|report| report.installed == 2).await;
        assert_eq!(report.foreign, 3);
        let refused: Vec<String> = report.refused.keys().map(ToString::to_string).collect();
        assert_eq!(refused, ["10.67.0.0/26", "fd67::/122"]);
        let reason = report.refused.values().next().expect("a reason");
        assert_eq!(reason, "table 77 has a route of somebody else's for it");
        assert!(ip("route show table 77").contains(in_our_place));

        ip("route del 10.67.0.0/26 table 77 proto static");
        ip("-6 route del fd67::/122 table 77 proto static");
        fib.until(all_there(4)).await;
        fib.set(&[]);
        fib.until(all_there(0)).await;
        assert_eq!(ip("route show table 77").trim(), "198.51.100.0/24 via 10.64.0.99 dev eth0 proto bird");
    });
}

#[test]
fn a_node_on_no_link_is_refused_until_its_network_is_there() {
    Ground::new("off-link").run(Settings::default(), async |mut fib, _| {
        ip("route add default via 10.64.0.254");
        fib.set(&[("10.67.0.0/26", "10.65.0.5"), ("10.67.0.64/26", "10.64.0.12")]);
        let report = fib.until(|report| report.installed == 1).await;
        let reason = report.refused.values().next().expect("a reason");
        assert_eq!(reason, "its next hop 10.65.0.5 is on no link of this host: it is behind 10.64.0.254");
        ip("addr add 10.65.0.1/24 dev eth0");
        fib.until(all_there(2)).await;
        ip("addr del 10.65.0.1/24 dev eth0");
        fib.until(|report| report.installed == 1 && report.refused.len() == 1).await;
        assert!(!ip("route show table 77").contains("10.65.0.5"));
    });
}

#[test]
fn a_node_behind_a_router_goes_by_it_where_that_is_wanted() {
    let settings = Settings { off_link: OffLink::Resolve, ..Settings::default() };
    Ground::new("resolve").run(settings, async |mut fib, _| {
        ip("route add 10.65.0.0/24 via 10.64.0.254");
        ip("-6 route add fd00:65::/64 via fd00:64::254");
        fib.set(&[("10.67.0.0/26", "10.65.0.5"), ("fd67::/122", "fd00:65::5")]);
        fib.until(all_there(2)).await;
        assert!(ip("route get 10.67.0.5").contains("via 10.64.0.254 dev eth0"));
        ip("route replace 10.65.0.0/24 via 10.64.0.253");
        eventually("it goes by the other router", || {
            ip("route get 10.67.0.5").contains("via 10.64.0.253 dev eth0")
        })
        .await;
    });
}

#[test]
fn an_interface_takes_its_routes_with_it_and_they_are_back_with_it() {
    Ground::new("link").run(Settings::default(), async |mut fib, _| {
        fib.set(&TWO_NODES);
        fib.until(all_there(4)).await;
        ip("link set eth0 down");
        // One family goes after the other.
        fib.until(|report| report.installed == 0 && report.refused.len() == 4).await;
        ip("link set eth0 up");
        ip("-6 addr replace fd00:64::1/64 dev eth0 nodad");
        fib.until(all_there(4)).await;
        ip("link del eth0");
        fib.until(|report| report.installed == 0 && report.refused.len() == 4).await;
    });
}

#[test]
fn a_new_process_is_told_what_is_left_and_writes_nothing_for_the_same() {
    let ground = Ground::new("restart");
    ground.run(Settings::default(), async |mut fib, _| {
        fib.set(&TWO_NODES);
        fib.until(all_there(4)).await;
    });
    ground.run(Settings::default(), async |mut fib, ground| {
        let monitor = ground.monitor();
        let report = fib.next().await;
        assert_eq!(report.installed, 4);
        assert_eq!(report.left, routes(&TWO_NODES));
        fib.set(&TWO_NODES);
        fib.set(&TWO_NODES[..3]);
        fib.until(all_there(3)).await;
        let told = monitor.end();
        assert_eq!(told.matches("proto 77").count(), 1, "{told}");
        assert!(told.contains("Deleted fd67::40/122"), "{told}");
    });
}

#[test]
fn ten_thousand_routes_go_in_move_and_go() {
    Ground::new("many").run(Settings::default(), async |mut fib, _| {
        let blocks: Vec<(String, String)> = (0..10_000_u32)
            .map(|n| (format!("10.{}.{}.{}/26", 128 + n / 1024, n / 4 % 256, n % 4 * 64), n % 100))
            .map(|(block, node)| (block, format!("10.64.0.{}", 100 + node)))
            .collect();
        let mut wanted: Vec<(&str, &str)> = blocks.iter().map(|(b, n)| (b.as_str(), n.as_str())).collect();
        fib.set(&wanted);
        fib.until(all_there(10_000)).await;
        assert_eq!(ip("route show table 77").lines().count(), 10_000);
        wanted.truncate(6_000);
        wanted.iter_mut().for_each(|(_, node)| *node = "10.64.0.11");
        fib.set(&wanted);
        fib.until(all_there(6_000)).await;
        let there = ip("route show table 77");
        assert_eq!(there.lines().count(), 6_000);
        assert_eq!(there.matches("via 10.64.0.11 dev eth0").count(), 6_000);
        assert_eq!(fib.repairs(), 0, "its own writes are no changes of others");
    });
}
