//! What other codecs read in an UPDATE, in one form that can be compared.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bgp::{
    Path, Prefix,
    wire::{self, AddPath, Context, Framer, Message, Nlri},
};
use netgauze_bgp_pkt::{
    BgpMessage,
    path_attribute::{AsPath, MpReach, MpUnreach, PathAttributeValue},
    wire::deserializer::BgpParsingContext,
};
use netgauze_parse_utils::{reader::SliceReader, traits::ParseFromWithOneInput};

/// The parts of an UPDATE that every codec reads. Prefixes without path identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) withdrawn: BTreeSet<Prefix>,
    pub(crate) announced: BTreeSet<Prefix>,
    /// The AS numbers of `AS_PATH`, segments strung together.
    pub(crate) path: Vec<u32>,
    pub(crate) med: Option<u32>,
    pub(crate) local_pref: Option<u32>,
    pub(crate) communities: Vec<u32>,
    pub(crate) large_communities: Vec<[u32; 3]>,
}

/// What a session agreed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) internal: bool,
    pub(crate) four_octets: bool,
    /// Prefixes have identifiers.
    pub(crate) ids: AddPath,
}

impl Session {
    /// Internal, with four octets and without identifiers.
    pub(crate) const PLAIN: Self =
        Self { internal: true, four_octets: true, ids: AddPath { ipv4: false, ipv6: false } };

    pub(crate) fn has_ids(self) -> bool {
        self.ids != AddPath::default()
    }
}

/// This crate's reading of a message; `None` when it is no well-formed UPDATE of the families that it knows.
pub(crate) fn ours(bytes: &[u8], session: Session) -> Option<View> {
    let mut framer = Framer::new();
    framer.space().get_mut(..bytes.len())?.copy_from_slice(bytes);
    framer.filled(bytes.len());
    let frame = framer.next_frame(false).ok()??;
    let context = Context { add_path: session.ids, ..Context::new(session.four_octets, session.internal) };
    let Ok(Message::Update(update)) = Message::decode(frame, context) else { return None };
    let attributes = update.attributes;
    let other_family = matches!(attributes.mp_reach, Some(wire::MpReach::Other { .. }))
        || matches!(attributes.mp_unreach, Some(wire::MpUnreach::Other { .. }));
    if !update.malformed.is_empty() || other_family {
        return None;
    }
    let path = attributes.as_path.map(Path::from).unwrap_or_default();
    Some(View {
        withdrawn: update.withdrawn().flat_map(Nlri::iter).collect(),
        announced: update.announced().flat_map(Nlri::iter).collect(),
        path: path.segments().iter().flat_map(|segment| segment.asns.clone()).collect(),
        med: attributes.med,
        local_pref: attributes.local_pref,
        communities: attributes
            .communities
            .map(|list| list.iter().map(|c| c.0).collect())
            .unwrap_or_default(),
        large_communities: attributes
            .large_communities
            .map(|list| list.iter().map(|c| [c.global, c.local1, c.local2]).collect())
            .unwrap_or_default(),
    })
}

/// A prefix as everybody writes it; bits past its length, which not everybody clears, are cleared.
fn prefix(text: impl ToString) -> Prefix {
    let text = text.to_string();
    // routecore puts the path identifier in front.
    let text = text.rsplit(' ').next().unwrap_or_default();
    let (address, length) = text.split_once('/').expect("a length");
    let length: u32 = length.parse().expect("a number");
    let address = match address.parse().expect("an address") {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            IpAddr::from(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            IpAddr::from(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    };
    Prefix::new(address, u8::try_from(length).expect("a short length")).expect("the bits are cleared")
}

/// The reading of rustbgpd-wire.
pub(crate) fn rustbgpd(bytes: &[u8], session: Session) -> Option<View> {
    use rustbgpd_wire::{Afi, AsPathSegment, PathAttribute, Safi};
    let mut buffer = bytes::Bytes::copy_from_slice(bytes);
    let Ok(rustbgpd_wire::Message::Update(update)) = rustbgpd_wire::decode_message(&mut buffer, 4096) else {
        return None;
    };
    let six: &[_] = if session.ids.ipv6 { &[(Afi::Ipv6, Safi::Unicast)] } else { &[] };
    let parsed = update.parse_revised(session.four_octets, session.internal, session.ids.ipv4, six).ok()?;
    if !parsed.malformed.is_empty() {
        return None;
    }
    let four =
        |entry: &rustbgpd_wire::Ipv4NlriEntry| prefix(format!("{}/{}", entry.prefix.addr, entry.prefix.len));
    let any = |entry: &rustbgpd_wire::NlriEntry| match entry.prefix {
        rustbgpd_wire::Prefix::V4(p) => prefix(format!("{}/{}", p.addr, p.len)),
        rustbgpd_wire::Prefix::V6(p) => prefix(format!("{}/{}", p.addr, p.len)),
    };
    let mut view = View {
        withdrawn: parsed.update.withdrawn.iter().map(four).collect(),
        announced: parsed.update.announced.iter().map(four).collect(),
        ..View::default()
    };
    for attribute in &parsed.update.attributes {
        match attribute {
            PathAttribute::AsPath(path) => {
                view.path = path
                    .segments
                    .iter()
                    .flat_map(|segment| match segment {
                        AsPathSegment::AsSet(asns) | AsPathSegment::AsSequence(asns) => asns.clone(),
                    })
                    .collect();
            }
            PathAttribute::Med(med) => view.med = Some(*med),
            PathAttribute::LocalPref(value) => view.local_pref = Some(*value),
            PathAttribute::Communities(list) | PathAttribute::CommunitiesPartial(list) => {
                view.communities.clone_from(list)
            }
            PathAttribute::LargeCommunities(list) | PathAttribute::LargeCommunitiesPartial(list) => {
                let words =
                    |c: &rustbgpd_wire::LargeCommunity| [c.global_admin, c.local_data1, c.local_data2];
                view.large_communities = list.iter().map(words).collect();
            }
            PathAttribute::MpReachNlri(reach) => view.announced.extend(reach.announced.iter().map(any)),
            PathAttribute::MpUnreachNlri(unreach) => view.withdrawn.extend(unreach.withdrawn.iter().map(any)),
            _ => {}
        }
    }
    Some(view)
}

/// The reading of netgauze-bgp-pkt; for sessions without path identifiers, whose type for families is in another crate.
pub(crate) fn netgauze(bytes: &[u8], session: Session) -> Option<View> {
    let four_octets = session.four_octets;
    let mut context =
        BgpParsingContext::new(four_octets, HashMap::new(), HashMap::new(), false, false, true, true);
    let message = BgpMessage::parse(&mut SliceReader::new(bytes), &mut context).ok()?;
    let BgpMessage::Update(update) = message else { return None };
    let mut view = View {
        withdrawn: update.withdraw_routes().iter().map(|route| prefix(route.network().address())).collect(),
        announced: update.nlri().iter().map(|route| prefix(route.network().address())).collect(),
        ..View::default()
    };
    for attribute in update.path_attributes() {
        match attribute.value() {
            PathAttributeValue::AsPath(path @ (AsPath::As2PathSegments(_) | AsPath::As4PathSegments(_))) => {
                view.path = path.clone().into();
            }
            PathAttributeValue::MultiExitDiscriminator(med) => view.med = Some(med.metric()),
            PathAttributeValue::LocalPreference(value) => view.local_pref = Some(value.metric()),
            PathAttributeValue::Communities(list) => {
                view.communities = list.communities().iter().map(|c| c.value()).collect();
            }
            PathAttributeValue::LargeCommunities(list) => {
                let words = |c: &netgauze_bgp_pkt::community::LargeCommunity| {
                    [c.global_admin(), c.local_data1(), c.local_data2()]
                };
                view.large_communities = list.communities().iter().map(words).collect();
            }
            PathAttributeValue::MpReach(MpReach::Ipv6Unicast { nlri, .. }) => {
                view.announced.extend(nlri.iter().map(|route| prefix(route.network().address())));
            }
            PathAttributeValue::MpUnreach(MpUnreach::Ipv6Unicast { nlri }) => {
                view.withdrawn.extend(nlri.iter().map(|route| prefix(route.network().address())));
            }
            _ => {}
        }
    }
    Some(view)
}

/// The reading of routecore.
pub(crate) fn routecore(bytes: &[u8], session: Session) -> Option<View> {
    use routecore::bgp::{
        aspath::Hop,
        message::{SessionConfig, UpdateMessage},
        types::AfiSafiType,
    };
    let mut config = if session.four_octets { SessionConfig::modern() } else { SessionConfig::legacy() };
    let ids = [(session.ids.ipv4, AfiSafiType::Ipv4Unicast), (session.ids.ipv6, AfiSafiType::Ipv6Unicast)];
    ids.into_iter().filter(|(has, _)| *has).for_each(|(_, family)| config.add_addpath_rxtx(family));
    let update = UpdateMessage::from_octets(bytes, &config).ok()?;
    let mut path = Vec::new();
    if let Some(theirs) = update.aspath().ok()? {
        for hop in theirs.hops() {
            match hop {
                Hop::Asn(asn) => path.push(asn.into_u32()),
                Hop::Segment(segment) => path.extend(segment.asns().map(|asn| asn.into_u32())),
            }
        }
    }
    let communities = update.communities().ok()?.map(|list| list.map(|c| c.to_u32()).collect());
    let large = update.large_communities().ok()?.map(|list| {
        list.map(|c| {
            let octets = c.to_raw();
            let word =
                |at: usize| u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
            [word(0), word(4), word(8)]
        })
        .collect()
    });
    Some(View {
        withdrawn: update.withdrawals_vec().ok()?.iter().map(prefix).collect(),
        announced: update.announcements_vec().ok()?.iter().map(prefix).collect(),
        path,
        med: update.multi_exit_disc().ok()?.map(|med| med.0),
        local_pref: update.local_pref().ok()?.map(|value| value.0),
        communities: communities.unwrap_or_default(),
        large_communities: large.unwrap_or_default(),
    })
}
