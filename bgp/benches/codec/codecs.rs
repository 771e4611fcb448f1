//! The codecs, each in its own way to read a message down to its last prefix and AS number.

use std::collections::HashMap;

use bgp::wire::{Context, Framer, Message, Nlri, Segment};
use netgauze_bgp_pkt::{
    BgpMessage,
    path_attribute::{MpReach as TheirReach, MpUnreach as TheirUnreach, PathAttributeValue},
    wire::deserializer::BgpParsingContext,
};
use netgauze_parse_utils::{reader::SliceReader, traits::ParseFromWithOneInput};

/// What was found: the same for everybody, or somebody is wrong.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) refused: usize,
    pub(crate) prefixes: usize,
    pub(crate) asns: usize,
}

pub(crate) struct Codec {
    pub(crate) name: &'static str,
    pub(crate) read: fn(&[u8], &mut Tally),
}

pub(crate) const ALL: [Codec; 5] = [
    Codec { name: "lvsd-bgp", read: ours },
    Codec { name: "rustbgpd-wire", read: rustbgpd },
    Codec { name: "netgauze-bgp-pkt", read: netgauze },
    Codec { name: "routecore", read: routecore },
    Codec { name: "bgp-rs", read: bgp_rs },
];

/// From the receive buffer on, as a session reads.
fn ours(bytes: &[u8], tally: &mut Tally) {
    thread_local! {
        static FRAMER: std::cell::RefCell<Framer> = const { std::cell::RefCell::new(Framer::new()) };
    }
    FRAMER.with_borrow_mut(|framer| {
        framer.space()[..bytes.len()].copy_from_slice(bytes);
        framer.filled(bytes.len());
        let Ok(Some(frame)) = framer.next_frame(false) else { return tally.refused += 1 };
        let Ok(Message::Update(update)) = Message::decode(frame, Context::new(true, false)) else {
            return tally.refused += 1;
        };
        tally.prefixes += update.withdrawn().chain(update.announced()).flat_map(Nlri::iter).count();
        let path = update.attributes.as_path;
        tally.asns += path.map_or(0, |path| path.segments().flat_map(Segment::asns).count());
    });
}

fn rustbgpd(bytes: &[u8], tally: &mut Tally) {
    use rustbgpd_wire::PathAttribute;
    let mut buffer = bytes::Bytes::copy_from_slice(bytes);
    let Ok(rustbgpd_wire::Message::Update(update)) = rustbgpd_wire::decode_message(&mut buffer, 4096) else {
        return tally.refused += 1;
    };
    let Ok(parsed) = update.parse_revised(true, false, false, &[]) else { return tally.refused += 1 };
    tally.prefixes += parsed.update.withdrawn.len() + parsed.update.announced.len();
    for attribute in &parsed.update.attributes {
        match attribute {
            PathAttribute::AsPath(path) => tally.asns += path.asns().count(),
            PathAttribute::MpReachNlri(reach) => tally.prefixes += reach.announced.len(),
            PathAttribute::MpUnreachNlri(unreach) => tally.prefixes += unreach.withdrawn.len(),
            _ => {}
        }
    }
}

fn netgauze(bytes: &[u8], tally: &mut Tally) {
    let mut context = BgpParsingContext::new(true, HashMap::new(), HashMap::new(), false, false, true, true);
    let Ok(BgpMessage::Update(update)) = BgpMessage::parse(&mut SliceReader::new(bytes), &mut context) else {
        return tally.refused += 1;
    };
    tally.prefixes += update.withdraw_routes().len() + update.nlri().len();
    for attribute in update.path_attributes() {
        match attribute.value() {
            PathAttributeValue::AsPath(path) => tally.asns += Vec::<u32>::from(path.clone()).len(),
            PathAttributeValue::MpReach(TheirReach::Ipv6Unicast { nlri, .. })
            | PathAttributeValue::MpUnreach(TheirUnreach::Ipv6Unicast { nlri }) => {
                tally.prefixes += nlri.len()
            }
            _ => {}
        }
    }
}

fn routecore(bytes: &[u8], tally: &mut Tally) {
    use routecore::bgp::message::{SessionConfig, UpdateMessage};
    let Ok(update) = UpdateMessage::from_octets(bytes, &SessionConfig::modern()) else {
        return tally.refused += 1;
    };
    let (Ok(announced), Ok(withdrawn), Ok(path)) =
        (update.announcements(), update.withdrawals(), update.aspath())
    else {
        return tally.refused += 1;
    };
    tally.prefixes += announced.filter(Result::is_ok).count() + withdrawn.filter(Result::is_ok).count();
    tally.asns +=
        path.map_or(0, |path| path.segments().flat_map(|segment| segment.asns().collect::<Vec<_>>()).count());
}

fn bgp_rs(bytes: &[u8], tally: &mut Tally) {
    let read = bgp_rs::Reader::new(std::io::Cursor::new(bytes)).read();
    let Ok((_, bgp_rs::Message::Update(mut update))) = read else { return tally.refused += 1 };
    update.normalize();
    tally.prefixes += update.announced_routes.len() + update.withdrawn_routes.len();
    if let Some(bgp_rs::PathAttribute::AS_PATH(path)) = update.get(bgp_rs::Identifier::AS_PATH) {
        tally.asns += path
            .segments
            .iter()
            .map(|segment| match segment {
                bgp_rs::Segment::AS_SEQUENCE(asns) | bgp_rs::Segment::AS_SET(asns) => asns.len(),
            })
            .sum::<usize>();
    }
}
