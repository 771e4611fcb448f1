//! Path attributes (RFC 4271 §5; IANA "BGP Path Attributes").

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{
    AsPath, ClusterList, Communities, Context, DecodeError, ExtendedCommunities, LargeCommunities, MpReach,
    MpUnreach, cursor::Cursor, mp,
};

pub(super) mod code {
    //! The types that this speaker knows.
    pub(in crate::wire) const ORIGIN: u8 = 1;
    pub(in crate::wire) const AS_PATH: u8 = 2;
    pub(in crate::wire) const NEXT_HOP: u8 = 3;
    pub(in crate::wire) const MED: u8 = 4;
    pub(in crate::wire) const LOCAL_PREF: u8 = 5;
    pub(in crate::wire) const ATOMIC_AGGREGATE: u8 = 6;
    pub(in crate::wire) const AGGREGATOR: u8 = 7;
    pub(in crate::wire) const COMMUNITIES: u8 = 8;
    pub(in crate::wire) const ORIGINATOR_ID: u8 = 9;
    pub(in crate::wire) const CLUSTER_LIST: u8 = 10;
    pub(in crate::wire) const MP_REACH: u8 = 14;
    pub(in crate::wire) const MP_UNREACH: u8 = 15;
    pub(in crate::wire) const EXTENDED_COMMUNITIES: u8 = 16;
    pub(in crate::wire) const AS4_PATH: u8 = 17;
    pub(in crate::wire) const AS4_AGGREGATOR: u8 = 18;
    pub(in crate::wire) const LARGE_COMMUNITIES: u8 = 32;
    pub(in crate::wire) const ONLY_TO_CUSTOMER: u8 = 35;
}

pub(super) const OPTIONAL: u8 = 0x80;
pub(super) const TRANSITIVE: u8 = 0x40;
pub(super) const PARTIAL: u8 = 0x20;
pub(super) const EXTENDED_LENGTH: u8 = 0x10;

/// `ORIGIN` (RFC 4271 §5.1.1), the preferred one first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// From within the AS.
    #[default]
    Igp,
    /// From EGP.
    Egp,
    /// From elsewhere.
    Incomplete,
}

impl Origin {
    pub(super) const fn octet(self) -> u8 {
        match self {
            Self::Igp => 0,
            Self::Egp => 1,
            Self::Incomplete => 2,
        }
    }
}

/// Who made one route of several (RFC 4271 §5.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Aggregator {
    /// Its AS.
    pub asn: u32,
    /// Its BGP identifier.
    pub router_id: Ipv4Addr,
}

/// The attributes of one UPDATE. One that was malformed is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `ORIGIN`.
    pub origin: Option<Origin>,
    /// `AS_PATH`.
    pub as_path: Option<AsPath<'a>>,
    /// `NEXT_HOP`, of the IPv4 routes in the message's body.
    pub next_hop: Option<Ipv4Addr>,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// `LOCAL_PREF`, from internal neighbours alone.
    pub local_pref: Option<u32>,
    /// `ATOMIC_AGGREGATE` is there.
    pub atomic_aggregate: bool,
    /// `AGGREGATOR`.
    pub aggregator: Option<Aggregator>,
    /// `COMMUNITIES`.
    pub communities: Option<Communities<'a>>,
    /// `LARGE_COMMUNITY`.
    pub large_communities: Option<LargeCommunities<'a>>,
    /// Extended communities.
    pub extended_communities: Option<ExtendedCommunities<'a>>,
    /// `ORIGINATOR_ID`, from internal neighbours alone (RFC 4456).
    pub originator_id: Option<Ipv4Addr>,
    /// `CLUSTER_LIST`, from internal neighbours alone (RFC 4456).
    pub cluster_list: Option<ClusterList<'a>>,
    /// `ONLY_TO_CUSTOMER`: the AS that marked the route so (RFC 9234).
    pub only_to_customer: Option<u32>,
    /// `AS4_PATH`, from neighbours with two-octet AS numbers alone (RFC 6793).
    pub as4_path: Option<AsPath<'a>>,
    /// `AS4_AGGREGATOR`, from neighbours with two-octet AS numbers alone (RFC 6793).
    pub as4_aggregator: Option<Aggregator>,
    /// `MP_REACH_NLRI`.
    pub mp_reach: Option<MpReach<'a>>,
    /// `MP_UNREACH_NLRI`.
    pub mp_unreach: Option<MpUnreach<'a>>,
    pub(super) block: &'a [u8],
}

/// An attribute as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// The flags.
    pub flags: u8,
    /// The type.
    pub kind: u8,
    /// The value.
    pub value: &'a [u8],
}

/// The attributes of a message that this speaker does not know, as octets.
#[derive(Clone, Copy, Debug)]
pub struct Unknown<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes whose type this speaker does not know.
    pub fn unknown(&self) -> Unknown<'a> {
        Unknown(self.block)
    }
}

impl<'a> Iterator for Unknown<'a> {
    type Item = RawAttribute<'a>;

    fn next(&mut self) -> Option<RawAttribute<'a>> {
        let mut cursor = Cursor::new(self.0);
        loop {
            let attribute = RawAttribute::next(&mut cursor)?;
            self.0 = cursor.rest();
            if attribute.expected_flags().is_none() {
                return Some(attribute);
            }
        }
    }
}

impl<'a> RawAttribute<'a> {
    /// The next attribute of a block; `None` when what is left is none.
    pub(super) fn next(cursor: &mut Cursor<'a>) -> Option<Self> {
        let flags = cursor.u8()?;
        let kind = cursor.u8()?;
        let value = if flags & EXTENDED_LENGTH == 0 { cursor.block8()? } else { cursor.block16()? };
        Some(Self { flags, kind, value })
    }

    /// The optional and transitive bits that the type must have; `None` for an unknown type.
    pub(super) const fn expected_flags(&self) -> Option<u8> {
        match self.kind {
            code::ORIGIN | code::AS_PATH | code::NEXT_HOP | code::LOCAL_PREF | code::ATOMIC_AGGREGATE => {
                Some(TRANSITIVE)
            }
            code::MED | code::ORIGINATOR_ID | code::CLUSTER_LIST | code::MP_REACH | code::MP_UNREACH => {
                Some(OPTIONAL)
            }
            code::AGGREGATOR
            | code::COMMUNITIES
            | code::EXTENDED_COMMUNITIES
            | code::AS4_PATH
            | code::AS4_AGGREGATOR
            | code::LARGE_COMMUNITIES
            | code::ONLY_TO_CUSTOMER => Some(OPTIONAL | TRANSITIVE),
            _ => None,
        }
    }
}

/// What is wrong with an attribute, by its consequence (RFC 7606 §2).
#[derive(Debug)]
pub(super) enum Fault {
    Reset(DecodeError),
    TreatAsWithdraw(&'static str),
    Discard(&'static str),
}

impl<'a> Attributes<'a> {
    /// Takes one attribute's value, by the rules of RFC 7606 §7 and RFC 8092 §6.
    pub(super) fn take(&mut self, attribute: RawAttribute<'a>, context: Context) -> Result<(), Fault> {
        let value = attribute.value;
        match attribute.kind {
            code::ORIGIN => self.origin = Some(origin(value)?),
            code::AS_PATH => {
                let path = AsPath::parse(value, context.four_octet_asn);
                self.as_path = Some(path.ok_or(Fault::TreatAsWithdraw("AS_PATH is malformed"))?);
            }
            code::NEXT_HOP => self.next_hop = Some(next_hop(value)?),
            code::MED => self.med = Some(word(value, "MULTI_EXIT_DISC has not four octets")?),
            code::LOCAL_PREF if context.internal => {
                self.local_pref = Some(word(value, "LOCAL_PREF has not four octets")?);
            }
            code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST if !context.internal => {
                return Err(Fault::Discard(
                    "an attribute of internal sessions came from an external neighbour",
                ));
            }
            code::ATOMIC_AGGREGATE => {
                self.atomic_aggregate = value.is_empty();
                aggregation(self.atomic_aggregate)?;
            }
            code::AGGREGATOR => self.aggregator = Some(aggregator(value, context.four_octet_asn)?),
            code::COMMUNITIES => self.communities = Some(Communities(words(value, 4)?)),
            code::EXTENDED_COMMUNITIES => {
                self.extended_communities = Some(ExtendedCommunities(words(value, 8)?));
            }
            code::LARGE_COMMUNITIES => self.large_communities = Some(LargeCommunities(words(value, 12)?)),
            code::ONLY_TO_CUSTOMER => {
                self.only_to_customer = Some(word(value, "ONLY_TO_CUSTOMER has not four octets")?);
            }
            code::ORIGINATOR_ID => {
                self.originator_id = Some(word(value, "ORIGINATOR_ID has not four octets")?.into());
            }
            code::CLUSTER_LIST => self.cluster_list = Some(ClusterList(words(value, 4)?)),
            code::AS4_PATH | code::AS4_AGGREGATOR if context.four_octet_asn => {
                return Err(Fault::Discard("an attribute of two-octet sessions came on a four-octet one"));
            }
            code::AS4_PATH => {
                let path = AsPath::parse(value, true);
                self.as4_path = Some(path.ok_or(Fault::Discard("AS4_PATH is malformed"))?);
            }
            code::AS4_AGGREGATOR => self.as4_aggregator = Some(aggregator(value, true)?),
            code::MP_REACH => {
                let reach = mp::reach(value, context).map_err(Fault::Reset)?;
                self.mp_reach = Some(reach);
                if !reach.has_usable_next_hop() {
                    return Err(Fault::TreatAsWithdraw("MP_REACH_NLRI's next hop is no host's address"));
                }
            }
            code::MP_UNREACH => {
                self.mp_unreach = Some(mp::unreach(value, context.add_path).map_err(Fault::Reset)?);
            }
            _ => {}
        }
        Ok(())
    }
}

fn origin(value: &[u8]) -> Result<Origin, Fault> {
    match value {
        [0] => Ok(Origin::Igp),
        [1] => Ok(Origin::Egp),
        [2] => Ok(Origin::Incomplete),
        _ => Err(Fault::TreatAsWithdraw("ORIGIN is malformed")),
    }
}

fn next_hop(value: &[u8]) -> Result<Ipv4Addr, Fault> {
    let octets: [u8; 4] =
        value.try_into().map_err(|_| Fault::TreatAsWithdraw("NEXT_HOP has not four octets"))?;
    let address = Ipv4Addr::from(octets);
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
        return Err(Fault::TreatAsWithdraw("NEXT_HOP is no host's address"));
    }
    Ok(address)
}

fn word(value: &[u8], what: &'static str) -> Result<u32, Fault> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| Fault::TreatAsWithdraw(what))
}

fn words(value: &[u8], width: usize) -> Result<&[u8], Fault> {
    if value.is_empty() || !value.len().is_multiple_of(width) {
        return Err(Fault::TreatAsWithdraw("a list attribute's length is no multiple of its items'"));
    }
    Ok(value)
}

fn aggregation(well_formed: bool) -> Result<(), Fault> {
    if well_formed { Ok(()) } else { Err(Fault::Discard("an aggregation attribute is malformed")) }
}

/// AS 0 makes it malformed (RFC 7607 §2).
fn aggregator(value: &[u8], four_octet_asn: bool) -> Result<Aggregator, Fault> {
    let mut cursor = Cursor::new(value);
    let asn = if four_octet_asn { cursor.u32() } else { cursor.u16().map(u32::from) };
    let router_id = cursor.array::<4>().map(Ipv4Addr::from);
    aggregation(cursor.is_empty())?;
    match (asn, router_id) {
        (Some(asn), Some(router_id)) if asn != 0 => Ok(Aggregator { asn, router_id }),
        (_, _) => Err(Fault::Discard("an aggregation attribute is malformed")),
    }
}
