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
