//! What a learned route costs.

use std::{fs, net::Ipv4Addr, sync::Arc};

use bgp::{
    Asn, Family, HoldTime, Path, Prefix,
    fsm::Negotiated,
    policy::{Import, Rule, Verdict},
    rib::{AdjRibIn, LocRib, Neighbourhood, Source},
    wire::{
        AddPath, Announcement, Context, Frame, HEADER_LEN, Message, MessageType, NextHop, encode_announce,
    },
};

const ROUTES: u32 = 100_000;

/// Octets of this process that are in memory.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024.0
}

fn neighbourhood() -> Neighbourhood {
    Neighbourhood {
        asn: 64_600,
        router_id: Ipv4Addr::new(192, 0, 2, 1),
        cluster_id: Ipv4Addr::new(192, 0, 2, 1),
        local: Ipv4Addr::new(192, 0, 2, 1).into(),
        remote: Ipv4Addr::new(192, 0, 2, 2).into(),
        negotiated: Negotiated {
            remote_asn: Asn::new(65_001).expect("a private AS"),
            remote_router_id: Ipv4Addr::new(192, 0, 2, 2),
            hold_time: HoldTime::DEFAULT,
            families: Family::ALL.into(),
            four_octet_asn: true,
            internal: false,
            extended_messages: false,
            graceful_restart: None,
            graceful_notification: false,
            route_refresh: true,
            long_lived: None,
            enhanced_refresh: false,
            add_path: AddPath::default(),
            extended_next_hop: false,
            role: None,
        },
    }
}

/// Octets in Adj-RIB-In and Loc-RIB for each of many routes, `sharing` of which have the same attributes; and the two,
/// to be kept, since memory that was given back would count as free for the next measurement.
pub(crate) fn per_route(sharing: u32) -> (f64, (AdjRibIn, LocRib)) {
    let with = neighbourhood();
    let source = Arc::new(Source {
        peer: "r1".into(),
        address: with.remote,
        router_id: with.negotiated.remote_router_id,
        internal: false,
    });
    let mut taken = AdjRibIn::new(Import::new(vec![Rule { verdict: Verdict::ACCEPT, ..Rule::default() }]));
    let mut table = LocRib::default();
    let before = resident();
    for first in (0..ROUTES).step_by(usize::try_from(sharing).unwrap_or(1)) {
        let prefixes: Vec<_> = (first..first + sharing)
            .map(|n| Prefix::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into()))
            .collect();
        let announcement = Announcement::new(
            Path::sequence(vec![65_001, 65_002, 70_000 + first]),
            NextHop::V4(Ipv4Addr::new(192, 0, 2, 2)),
        );
        let mut message = Vec::new();
        encode_announce(&mut message, &announcement, &prefixes, true).expect("it fits");
        let frame = Frame { kind: MessageType::Update, body: &message[HEADER_LEN..] };
        let Ok(Message::Update(update)) = Message::decode(frame, Context::new(true, false)) else { continue };
        table.apply(&source, taken.update(&update, &with));
    }
    let octets = (resident() - before) / f64::from(ROUTES);
    assert_eq!(table.len(), usize::try_from(ROUTES.div_ceil(sharing) * sharing).expect("it fits"));
    (octets, (taken, table))
}
