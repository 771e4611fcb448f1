//! Texts, checked constructors, and what a recording of a table reads back as.

use proptest::prelude::*;

use super::*;
use crate::arbitrary;

#[test]
fn keys_have_one_text_each() {
    for text in [
        "tcp 192.0.2.10:80",
        "udp [2001:db8::1]:53",
        "sctp 192.0.2.1:0",
        "fwmark 7 v6",
        "fwmark 4294967295 v4",
    ] {
        let key: ServiceKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
    }
    assert_eq!("fwmark 7 v6".parse::<ServiceKey>().unwrap().family(), Family::V6);
    assert_eq!("tcp 192.0.2.10:80".parse::<ServiceKey>().unwrap().family(), Family::V4);
}

#[test]
fn texts_that_are_no_key_are_refused_with_an_example() {
    for text in [
        "",
        "tcp",
        "tcp 192.0.2.10",
        "icmp 192.0.2.10:80",
        "tcp 2001:db8::1:80",
        "fwmark 0 v4",
        "fwmark 7",
        "fwmark 7 v5",
    ] {
        let error = text.parse::<ServiceKey>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{text:?} is not a service (like \"tcp 192.0.2.10:80\"")),
            "{error}"
        );
    }
    assert!("[fe80::1%2]:80".parse::<DestinationKey>().is_err());
    assert!("10.0.0.7:65536".parse::<DestinationKey>().is_err());
    assert!("TCP".parse::<Protocol>().is_err());
}

#[test]
fn an_unknown_scheduler_is_refused_with_the_known_ones() {
    assert_eq!(
        "maglev".parse::<Scheduler>().unwrap_err().to_string(),
        "unknown scheduler \"maglev\": expected one of \
         rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, fo, ovf, mh"
    );
    for scheduler in Scheduler::KNOWN {
        assert_eq!(scheduler.as_str().parse(), Ok(scheduler));
    }
}

#[test]
fn only_hashing_schedulers_take_flags() {
    let flags = SchedulerFlags { fallback: true, ..SchedulerFlags::NONE };
    for scheduler in Scheduler::KNOWN {
        assert!(Service::new(scheduler.clone(), SchedulerFlags::NONE).is_ok());
        let hashes = matches!(scheduler, Scheduler::Sh | Scheduler::Mh);
        assert_eq!(Service::new(scheduler, flags).is_ok(), hashes);
    }
    let error = Service::new(Scheduler::Wrr, flags).unwrap_err().to_string();
    assert_eq!(error, "scheduler wrr takes no flags (it was given fallback): only sh and mh do");
    assert!(Service::new(Scheduler::Mh, SchedulerFlags { third: true, ..flags }).is_err());
    assert!(Service::new(Scheduler::Other("twos".to_owned()), SchedulerFlags::NONE).is_err());
}

#[test]
fn weights_end_where_the_kernels_int_ends() {
    assert_eq!(Weight::new(0).unwrap(), Weight::ZERO);
    assert_eq!(Weight::new(2_147_483_647).unwrap(), Weight::MAX);
    let error = Weight::new(2_147_483_648).unwrap_err().to_string();
    assert_eq!(error, "weight 2147483648: expected 0 to 2147483647");
}

#[test]
fn persistence_has_a_time_and_a_prefix_of_its_family() {
    assert!(Persistence::new(1, 32, Family::V4).is_ok());
    assert!(Persistence::new(2_678_400, 128, Family::V6).is_ok());
    let refused =
        |seconds, prefix, family| Persistence::new(seconds, prefix, family).unwrap_err().to_string();
    assert_eq!(refused(0, 32, Family::V4), "persistence of 0 s: expected 1 to 2678400 s");
    assert_eq!(refused(2_678_401, 32, Family::V4), "persistence of 2678401 s: expected 1 to 2678400 s");
    assert_eq!(refused(60, 33, Family::V4), "persistence prefix length 33: expected 1 to 32 for IPv4");
    assert_eq!(refused(60, 0, Family::V6), "persistence prefix length 0: expected 1 to 128 for IPv6");
}

#[test]
fn a_persistence_engine_has_a_short_name_and_needs_persistence() {
    let plain = Service::new(Scheduler::Rr, SchedulerFlags::NONE).unwrap();
    assert!(plain.clone().with_persistence_engine("sip").is_err());
    let persistent = plain.with_persistence(Persistence::default_for(Family::V4));
    assert!(persistent.clone().with_persistence_engine("").is_err());
    assert!(persistent.clone().with_persistence_engine("sixteen-is-a-lot").is_err());
    assert!(persistent.clone().with_persistence_engine("a\0b").is_err());
    let text = persistent.with_persistence_engine("sip").unwrap().with_one_packet().to_string();
    assert_eq!(text, "scheduler rr, one packet, persistent 300 s for /32, persistence engine sip");
}

#[test]
fn destinations_say_how_packets_get_there() {
    let text = |forward| Destination { forward, ..Destination::direct_routing(Weight::ZERO) }.to_string();
    assert_eq!(text(Forward::DirectRouting), "weight 0, direct routing");
    let gue = Tunnel { kind: TunnelKind::Gue, port: 6080, flags: 1 };
    assert_eq!(text(Forward::Tunnel(gue)), "weight 0, gue tunnel port 6080 flags 0x1");
    assert_eq!(text(Forward::Other(4)), "weight 0, forwarding method 4");
}

#[test]
fn a_destination_of_the_other_family_is_reached_by_a_tunnel_only() {
    let weight = Weight::new(1).unwrap();
    let port = 6080.try_into().unwrap();
    let tunnels = [Tunnel::IPIP, Tunnel::gue(port, TunnelChecksum::Remote), Tunnel::gre(true)];
    for (service, destination) in [("tcp 192.0.2.10:80", "[2001:db8::7]:80"), ("fwmark 7 v6", "10.0.0.7:80")]
    {
        let (service, key) = (service.parse().unwrap(), destination.parse().unwrap());
        let mut entry = Entry::new(Service::new(Scheduler::Mh, SchedulerFlags::NONE).unwrap());
        for forward in [Forward::Masquerade, Forward::Local, Forward::DirectRouting] {
            let error = entry.add(&service, key, Destination::new(forward, weight)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "{key} is of another family than {service}: only a tunnel gets packets there, not {forward}"
                )
            );
        }
        for tunnel in tunnels {
            entry.add(&service, key, Destination::new(Forward::Tunnel(tunnel), weight)).unwrap();
        }
        assert_eq!(entry.destinations.len(), 1);
    }
}

#[test]
fn limits_and_tunnels_that_a_kernel_would_not_heed_are_refused() {
    let service = "tcp 192.0.2.10:80".parse().unwrap();
    let key = "10.0.0.7:80".parse().unwrap();
    let direct = Destination::direct_routing(Weight::ZERO);
    assert!(direct.with_thresholds(5, 5).is_ok());
    let error = direct.with_thresholds(5, 6).unwrap_err();
    assert_eq!(error.to_string(), "lower threshold 6 above upper threshold 5");
    let crossed = Destination { lower_threshold: 6, ..direct };
    assert_eq!(crossed.check(&service, &key), Err(DestinationError::Thresholds { upper: 0, lower: 6 }));
    let tunnel = |kind, port, flags| {
        Destination { forward: Forward::Tunnel(Tunnel { kind, port, flags }), ..direct }.check(&service, &key)
    };
    for (kind, port, flags, is_taken) in [
        (TunnelKind::Ipip, 0, 0, true),
        (TunnelKind::Ipip, 0, 1, false),
        (TunnelKind::Ipip, 6080, 0, false),
        (TunnelKind::Gue, 6080, 2, true),
        (TunnelKind::Gue, 6080, 3, false),
        (TunnelKind::Gue, 0, 0, false),
        (TunnelKind::Gre, 0, 1, true),
        (TunnelKind::Gre, 0, 2, false),
        (TunnelKind::Gre, 6080, 0, false),
        (TunnelKind::Other(3), 0, 0, false),
    ] {
        assert_eq!(tunnel(kind, port, flags).is_ok(), is_taken, "{kind} {port} {flags}");
    }
    let error = tunnel(TunnelKind::Gue, 0, 0).unwrap_err().to_string();
    assert!(error.starts_with("a gue tunnel: gue has a port"), "{error}");
}

#[test]
fn timeouts_begin_at_a_second_and_end_where_the_kernels_int_does() {
    assert!(TimeoutSeconds::new(1).is_ok());
    assert!(TimeoutSeconds::new(2_147_483).is_ok());
    for seconds in [0, 2_147_484] {
        let error = TimeoutSeconds::new(seconds).unwrap_err().to_string();
        assert_eq!(error, format!("timeout of {seconds} s: expected 1 to 2147483 s"));
    }
    assert!(serde_json::from_str::<Timeouts>(r#"{"tcp":0,"tcp_fin":null,"udp":null}"#).is_err());
}

#[test]
fn a_sync_daemon_is_on_an_interface_and_in_a_group() {
    for name in ["", ".", "..", "a/b", "a b", "a:1", "sixteen-is-a-lot", "a\0"] {
        assert!(InterfaceName::new(name).is_err(), "{name:?}");
    }
    assert!(InterfaceName::new("fifteen-is-fine").is_ok());
    let group = |text: &str| SyncGroup::new(text.parse().unwrap());
    assert!(group("239.1.2.3").is_ok() && group("ff02::81").is_ok());
    assert_eq!(
        group("10.0.0.1").unwrap_err().to_string(),
        "sync group 10.0.0.1: expected a multicast address (like 224.0.0.81 or ff02::81)"
    );
    for (bytes, is_taken) in [(1023, false), (1024, true), (65_487, true), (65_488, false)] {
        assert_eq!(SyncMaxLen::new(bytes).is_ok(), is_taken, "{bytes}");
    }
    let daemon = Daemon::new("eth0".parse().unwrap(), 7).with_max_len(SyncMaxLen::MIN);
    assert_eq!(
        daemon.to_string(),
        "on eth0, sync id 7, group 224.0.0.81 port 8848 ttl 1, messages up to 1024 bytes"
    );
}

#[test]
fn a_recorded_weight_beyond_the_limit_is_refused() {
    assert!(serde_json::from_str::<Weight>("2147483647").is_ok());
    let error = serde_json::from_str::<Weight>("2147483648").unwrap_err().to_string();
    assert!(error.contains("expected 0 to 2147483647"), "{error}");
}

proptest! {
    #[test]
    fn keys_read_back_from_their_texts(service in arbitrary::service_key(), destination in arbitrary::destination_key()) {
        prop_assert_eq!(service.to_string().parse::<ServiceKey>(), Ok(service));
        prop_assert_eq!(destination.to_string().parse::<DestinationKey>(), Ok(destination));
    }

    #[test]
    fn settings_read_back_from_json(settings in arbitrary::settings()) {
        let json = serde_json::to_string(&settings).unwrap();
        prop_assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    }

    #[test]
    fn a_snapshot_reads_back_from_json(table in arbitrary::table(), active: u32, bytes: u64) {
        let mut snapshot = Snapshot { table, unsupported: 3, ..Snapshot::default() };
        let counted = Statistics { bytes_in: bytes, ..Statistics::default() };
        for (service, entry) in snapshot.table.iter() {
            snapshot.service_statistics.insert(*service, counted);
            for destination in entry.destinations.keys() {
                let connections = Connections { active, ..Connections::default() };
                snapshot.connections.insert((*service, *destination), connections);
                snapshot.destination_statistics.insert((*service, *destination), counted);
            }
        }
        let json = serde_json::to_string(&snapshot).unwrap();
        prop_assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), snapshot);
    }
}
