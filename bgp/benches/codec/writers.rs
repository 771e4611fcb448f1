//! The codecs, each in its own way to write announcements from values that are ready for it.

use std::{collections::HashMap, hint::black_box, time::Instant};

use bgp::{
    Community, LargeCommunity, Path, Prefix,
    wire::{Announcement, Context, Framer, Message, MpReach, NextHop, Nlri, Segment, encode_announce},
};
use netgauze_bgp_pkt::{BgpMessage, wire::deserializer::BgpParsingContext};
use netgauze_parse_utils::{WritablePdu, reader::SliceReader, traits::ParseFromWithOneInput};

/// Runs over all messages; the fastest counts, since what slows the others down is not the codec.
const RUNS: usize = 7;

/// What one codec did.
pub(crate) struct Written {
    /// Announcements a second.
    pub(crate) rate: f64,
    /// Those that it had values of, and could write.
    pub(crate) messages: usize,
    /// Octets of one run.
    pub(crate) octets: usize,
}

pub(crate) struct Writer {
    pub(crate) name: &'static str,
    /// Writes the announcements among these messages.
    pub(crate) write: fn(&[Vec<u8>]) -> Written,
}

pub(crate) const ALL: [Writer; 5] = [
    Writer { name: "lvsd-bgp", write: ours },
    Writer { name: "rustbgpd-wire", write: rustbgpd },
    Writer { name: "netgauze-bgp-pkt", write: netgauze },
    Writer { name: "routecore", write: routecore },
    Writer { name: "bgp-rs", write: bgp_rs },
];

/// Has each value written, `write` giving the octets, or `None` when it cannot be.
fn timed<T>(values: &[T], mut write: impl FnMut(&T) -> Option<usize>) -> Written {
    let mut best = f64::MAX;
    let (mut messages, mut octets) = (0, 0);
    for _ in 0..RUNS {
        (messages, octets) = (0, 0);
        let start = Instant::now();
        for value in values {
            if let Some(length) = write(value) {
                messages += 1;
                octets += length;
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    Written { rate: values.len() as f64 / best, messages, octets }
}

struct Said {
    path: Vec<u32>,
    next_hop: NextHop,
    med: Option<u32>,
    communities: Vec<Community>,
    large_communities: Vec<LargeCommunity>,
    prefixes: Vec<Prefix>,
}

fn said(bytes: &[u8]) -> Option<Said> {
    let mut framer = Framer::new();
    framer.space().get_mut(..bytes.len())?.copy_from_slice(bytes);
    framer.filled(bytes.len());
    let Ok(Message::Update(update)) =
        Message::decode(framer.next_frame(false).ok()??, Context::new(true, false))
    else {
        return None;
    };
    let next_hop = match update.attributes.mp_reach {
        Some(MpReach::Known { next_hop: std::net::IpAddr::V6(address), .. }) => NextHop::V6(address),
        _ => NextHop::V4(update.attributes.next_hop?),
    };
    let of_family = update.announced().filter(|nlri| nlri.family() == next_hop.family());
    Some(Said {
        path: update.attributes.as_path?.segments().flat_map(Segment::asns).collect(),
        next_hop,
        med: update.attributes.med,
        communities: update.attributes.communities.map(|all| all.iter().collect()).unwrap_or_default(),
        large_communities: update
            .attributes
            .large_communities
            .map(|all| all.iter().collect())
            .unwrap_or_default(),
        prefixes: of_family.flat_map(Nlri::iter).collect(),
    })
}

fn ours(messages: &[Vec<u8>]) -> Written {
    let said: Vec<_> = messages.iter().filter_map(|message| said(message)).collect();
    let announcement = |one: &'_ Said| -> Path { Path::sequence(one.path.clone()) };
    let ready: Vec<_> = said
        .iter()
        .map(|one| {
            let announcement = Announcement {
                med: one.med,
                communities: &one.communities,
                large_communities: &one.large_communities,
                ..Announcement::new(announcement(one), one.next_hop)
            };
            (announcement, &one.prefixes)
        })
        .collect();
    let mut out = Vec::with_capacity(1 << 16);
    timed(&ready, |(announcement, prefixes)| {
        out.clear();
        encode_announce(&mut out, announcement, prefixes, true).ok()?;
        Some(black_box(&out).len())
    })
}

fn rustbgpd(messages: &[Vec<u8>]) -> Written {
    use rustbgpd_wire::{Ipv4UnicastMode, Message, UpdateMessage};
    let values = |message: &Vec<u8>| {
        said(message)?;
        let mut buffer = bytes::Bytes::copy_from_slice(message);
        let Ok(Message::Update(update)) = rustbgpd_wire::decode_message(&mut buffer, 4096) else {
            return None;
        };
        let parsed = update.parse_revised(true, false, false, &[]).ok()?;
        Some((parsed.update.announced, parsed.update.attributes))
    };
    let ready: Vec<_> = messages.iter().filter_map(values).collect();
    timed(&ready, |(announced, attributes)| {
        let update =
            UpdateMessage::try_build(announced, &[], attributes, true, false, Ipv4UnicastMode::Body).ok()?;
        let octets = rustbgpd_wire::encode_message(&Message::Update(update)).ok()?;
        Some(black_box(octets).len())
    })
}

fn netgauze(messages: &[Vec<u8>]) -> Written {
    let values = |message: &Vec<u8>| {
        said(message)?;
        let mut context =
            BgpParsingContext::new(true, HashMap::new(), HashMap::new(), false, false, true, true);
        BgpMessage::parse(&mut SliceReader::new(message), &mut context).ok()
    };
    let ready: Vec<_> = messages.iter().filter_map(values).collect();
    let mut out = Vec::with_capacity(1 << 16);
    timed(&ready, |message| {
        out.clear();
        message.write(&mut out).ok()?;
        Some(black_box(&out).len())
    })
}

/// It writes prefixes of IPv4 in `MP_REACH_NLRI` only, and reads what it has written.
fn routecore(messages: &[Vec<u8>]) -> Written {
    use routecore::bgp::{
        message::{SessionConfig, UpdateMessage, update_builder::UpdateBuilder},
        nlri::{
            afisafi::{Ipv4UnicastNlri, Ipv6UnicastNlri},
            nexthop::NextHop as Hop,
        },
        path_attributes::PaMap,
    };
    enum Routes {
        Four(Vec<Ipv4UnicastNlri>),
        Six(Vec<Ipv6UnicastNlri>),
    }
    macro_rules! written {
        ($attributes:expr, $hop:expr, $routes:expr) => {{
            let mut builder =
                UpdateBuilder::<bytes::BytesMut, _>::from_attributes_builder($attributes.clone());
            builder.announcements_from_iter($routes.iter().cloned()).ok()?;
            builder.set_nexthop($hop).ok()?;
            let message = builder.into_message(&SessionConfig::modern()).ok()?;
            Some(black_box(message.as_ref().len()))
        }};
    }
    let values = |message: &Vec<u8>| {
        let said = said(message)?;
        let update = UpdateMessage::from_octets(message.as_slice(), &SessionConfig::modern()).ok()?;
        let mut attributes = PaMap::from_update_pdu(&update).ok()?;
        // NEXT_HOP and MP_REACH_NLRI, which its builder adds.
        attributes.attributes_mut().retain(|code, _| !matches!(*code, 3 | 14));
        let texts = said.prefixes.iter().map(ToString::to_string);
        let (hop, routes) = match said.next_hop {
            NextHop::V4(hop) => {
                (hop.into(), Routes::Four(texts.map(|text| text.parse().expect("a prefix")).collect()))
            }
            NextHop::V6(hop) => {
                (hop.into(), Routes::Six(texts.map(|text| text.parse().expect("a prefix")).collect()))
            }
            _ => return None,
        };
        Some((attributes, Hop::Unicast(hop), routes))
    };
    let ready: Vec<_> = messages.iter().filter_map(values).collect();
    timed(&ready, |(attributes, hop, routes)| match routes {
        Routes::Four(routes) => written!(attributes, *hop, routes),
        Routes::Six(routes) => written!(attributes, *hop, routes),
    })
}

fn bgp_rs(messages: &[Vec<u8>]) -> Written {
    let values = |message: &Vec<u8>| {
        // It panics on large communities: `not implemented`.
        said(message).filter(|said| said.large_communities.is_empty())?;
        let read = bgp_rs::Reader::new(std::io::Cursor::new(message)).read();
        let Ok((_, message @ bgp_rs::Message::Update(_))) = read else { return None };
        Some(message)
    };
    let ready: Vec<_> = messages.iter().filter_map(values).collect();
    let mut out = Vec::with_capacity(1 << 16);
    timed(&ready, |message| {
        out.clear();
        message.encode(&mut out).ok()?;
        Some(black_box(&out).len())
    })
}
