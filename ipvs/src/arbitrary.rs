//! Strategies for generated tests: what a caller can want. The pools are small, so that tables overlap.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::diff::{Control, Op};
use crate::model::{
    Daemon, DaemonRole, Destination, DestinationKey, Entry, Family, Forward, Persistence, Protocol,
    Scheduler, SchedulerFlags, Service, ServiceKey, Settings, SyncGroup, SyncMaxLen, Table, TimeoutSeconds,
    Timeouts, Tunnel, TunnelKind, Weight,
};

pub(crate) fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..4u8).prop_map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))),
        (0..4u16).prop_map(|last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))),
        any::<IpAddr>(),
    ]
}

pub(crate) fn service_key() -> impl Strategy<Value = ServiceKey> {
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let port = prop_oneof![Just(80), Just(443), any::<u16>()];
    prop_oneof![
        4 => (protocol, address(), port)
            .prop_map(|(protocol, address, port)| ServiceKey::Address { protocol, address, port }),
        1 => (select(vec![Family::V4, Family::V6]), 1..=u32::MAX).prop_map(|(family, mark)| {
            ServiceKey::FwMark { family, mark: NonZeroU32::new(mark).expect("the range begins at 1") }
        }),
    ]
}

pub(crate) fn service(family: Family) -> impl Strategy<Value = Service> {
    let flags = (any::<bool>(), any::<bool>()).prop_map(|(fallback, port)| SchedulerFlags {
        fallback,
        port,
        ..SchedulerFlags::NONE
    });
    let persistence = (1..100_000u32, 1..=family.max_prefix_len()).prop_map(move |(seconds, prefix)| {
        Persistence::new(seconds, prefix, family).expect("within the limits")
    });
    let engine = option::of("[a-z]{1,15}");
    (select(Scheduler::KNOWN.to_vec()), flags, any::<bool>(), option::of((persistence, engine))).prop_map(
        |(scheduler, flags, one_packet, persistence)| {
            let flags = if scheduler.takes_flags() { flags } else { SchedulerFlags::NONE };
            let mut service = Service::new(scheduler, flags).expect("flags only where they are taken");
            if one_packet {
                service = service.with_one_packet();
            }
            let Some((persistence, engine)) = persistence else { return service };
            service = service.with_persistence(persistence);
            match engine {
                Some(name) => service.with_persistence_engine(name).expect("a good name"),
                None => service,
            }
        },
    )
}

pub(crate) fn destination_key() -> impl Strategy<Value = DestinationKey> {
    (address(), prop_oneof![Just(80), any::<u16>()])
        .prop_map(|(address, port)| DestinationKey { address, port })
}

pub(crate) fn destination() -> impl Strategy<Value = Destination> {
    let kind = select(vec![TunnelKind::Ipip, TunnelKind::Gue, TunnelKind::Gre]);
    let tunnel = (kind, any::<u16>(), any::<u16>())
        .prop_map(|(kind, port, flags)| Forward::Tunnel(Tunnel { kind, port, flags }));
    let plain = select(vec![Forward::Masquerade, Forward::Local, Forward::DirectRouting]);
    let weight = prop_oneof![0..3u32, 0..=Weight::MAX.get()]
        .prop_map(|weight| Weight::new(weight).expect("within the limit"));
    (prop_oneof![3 => plain, 1 => tunnel], weight, any::<u32>(), any::<u32>()).prop_map(
        |(forward, weight, upper_threshold, lower_threshold)| Destination {
            forward,
            weight,
            upper_threshold,
            lower_threshold,
        },
    )
}

pub(crate) fn entry(family: Family) -> impl Strategy<Value = Entry> {
    (service(family), btree_map(destination_key(), destination(), 0..6))
        .prop_map(|(service, destinations)| Entry { service, destinations })
}

pub(crate) fn table() -> impl Strategy<Value = Table> {
    vec(service_key().prop_flat_map(|key| (Just(key), entry(key.family()))), 0..8)
        .prop_map(|entries| entries.into_iter().collect())
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let with_service = || service_key().prop_flat_map(|key| (Just(key), service(key.family())));
    let with_destination = || (service_key(), destination_key(), destination());
    prop_oneof![
        with_service().prop_map(|(key, service)| Op::NewService { key, service }),
        with_service().prop_map(|(key, service)| Op::SetService { key, service }),
        service_key().prop_map(|key| Op::DeleteService { key }),
        with_destination().prop_map(|(service, key, destination)| Op::NewDestination {
            service,
            key,
            destination
        }),
        with_destination().prop_map(|(service, key, destination)| Op::SetDestination {
            service,
            key,
            destination
        }),
        (service_key(), destination_key()).prop_map(|(service, key)| Op::DeleteDestination { service, key }),
    ]
}

pub(crate) fn timeouts() -> impl Strategy<Value = Timeouts> {
    let timeout = || {
        let seconds = prop_oneof![1..4u32, 1..=TimeoutSeconds::MAX.get()];
        option::of(seconds.prop_map(|seconds| TimeoutSeconds::new(seconds).expect("within the limits")))
    };
    (timeout(), timeout(), timeout()).prop_map(|(tcp, tcp_fin, udp)| Timeouts { tcp, tcp_fin, udp })
}

pub(crate) fn daemon() -> impl Strategy<Value = Daemon> {
    let group = prop_oneof![
        2 => Just(SyncGroup::DEFAULT.address()),
        1 => (224..240u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d).into()),
        1 => any::<u16>().prop_map(|last| Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, last).into()),
    ];
    let max_len = option::of(
        (SyncMaxLen::MIN.get()..=SyncMaxLen::MAX.get())
            .prop_map(|bytes| SyncMaxLen::new(bytes).expect("within the limits")),
    );
    ("[a-z]{1,15}", 0..3u8, group, max_len, any::<NonZeroU16>(), any::<NonZeroU8>()).prop_map(
        |(interface, sync_id, group, max_len, port, ttl)| {
            let interface = interface.parse().expect("letters make a name");
            let group = SyncGroup::new(group).expect("the ranges are multicast");
            let daemon = Daemon::new(interface, sync_id).with_group(group).with_port(port).with_ttl(ttl);
            match max_len {
                Some(max_len) => daemon.with_max_len(max_len),
                None => daemon,
            }
        },
    )
}

pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    // Seldom other than one of two, so that two settings have daemons in common.
    let daemon = || {
        option::of(prop_oneof![3 => (0..2u8).prop_map(|id| {
        Daemon::new("eth0".parse().expect("a name"), id)
    }), 1 => daemon()])
    };
    (timeouts(), daemon(), daemon()).prop_map(|(timeouts, master, backup)| Settings {
        timeouts,
        master,
        backup,
    })
}

pub(crate) fn control() -> impl Strategy<Value = Control> {
    let role = || select(vec![DaemonRole::Master, DaemonRole::Backup]);
    prop_oneof![
        timeouts().prop_map(Control::SetTimeouts),
        (role(), daemon()).prop_map(|(role, daemon)| Control::StartDaemon { role, daemon }),
        role().prop_map(|role| Control::StopDaemon { role }),
        option::of(service_key()).prop_map(|service| Control::ZeroStatistics { service }),
    ]
}
