//! UPDATE (RFC 4271 §4.3), decoded with the consequences of RFC 7606.

use std::fmt;

use super::{
    Attributes, Context, DecodeError, ErrorCode, MpReach, MpUnreach, Nlri,
    attribute::{Fault, OPTIONAL, RawAttribute, TRANSITIVE, code},
    cursor::Cursor,
};
use crate::Family;

/// Routes that are announced and withdrawn, borrowed from the receive buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// IPv4 routes that are withdrawn.
    pub withdrawn: Nlri<'a>,
    /// The attributes; those of the other families' routes included.
    pub attributes: Attributes<'a>,
    /// IPv4 routes that are announced.
    pub nlri: Nlri<'a>,
    /// What was wrong and did not reset the session, in the message's order; nearly always empty, and never more
    /// than three entries for each type of attribute.
    pub malformed: Vec<Malformed>,
}

/// A malformed attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The attribute's type; 0 when it is the list that is malformed.
    pub attribute: u8,
    /// What it does to the message.
    pub handling: Handling,
    /// What is wrong.
    pub what: &'static str,
}

/// What a malformed attribute does to the message (RFC 7606 §2); the session lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// All routes that the message announces count as withdrawn.
    TreatAsWithdraw,
    /// The attribute counts as absent.
    AttributeDiscard,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let consequence = match self.handling {
            Handling::TreatAsWithdraw => "its routes count as withdrawn",
            Handling::AttributeDiscard => "the attribute was discarded",
        };
        write!(f, "{} (attribute {}): {consequence}", self.what, self.attribute)
    }
}

impl<'a> Update<'a> {
    /// The routes in the message count as withdrawn.
    pub fn treat_as_withdraw(&self) -> bool {
        self.malformed.iter().any(|malformed| malformed.handling == Handling::TreatAsWithdraw)
    }

    /// The message is the End-of-RIB of this family (RFC 4724 §2).
    pub fn end_of_rib(&self) -> Option<Family> {
        if !self.withdrawn.is_empty() || !self.nlri.is_empty() || !self.malformed.is_empty() {
            return None;
        }
        if self.attributes.block.is_empty() {
            return Some(Family::Ipv4);
        }
        let mut attributes = Cursor::new(self.attributes.block);
        RawAttribute::next(&mut attributes)?;
        match self.attributes.mp_unreach {
            Some(MpUnreach::Known(nlri)) if nlri.is_empty() && attributes.is_empty() => Some(nlri.family()),
            Some(MpUnreach::Known(_) | MpUnreach::Other { .. }) | None => None,
        }
    }

    /// Everything announced, of all families that this speaker knows, whether malformed or not.
    pub fn announced(&self) -> impl Iterator<Item = Nlri<'a>> {
        let mp = match self.attributes.mp_reach {
            Some(MpReach::Known { nlri, .. }) => Some(nlri),
            Some(MpReach::Other { .. }) | None => None,
        };
        [Some(self.nlri), mp].into_iter().flatten().filter(|nlri| !nlri.is_empty())
    }

    /// Everything withdrawn by name, of all families that this speaker knows.
    pub fn withdrawn(&self) -> impl Iterator<Item = Nlri<'a>> {
        let mp = match self.attributes.mp_unreach {
            Some(MpUnreach::Known(nlri)) => Some(nlri),
            Some(MpUnreach::Other { .. }) | None => None,
        };
        [Some(self.withdrawn), mp].into_iter().flatten().filter(|nlri| !nlri.is_empty())
    }

    pub(super) fn decode(body: &'a [u8], context: Context) -> Result<Self, DecodeError> {
        let lengths = || {
            DecodeError::new(
                ErrorCode::MALFORMED_ATTRIBUTE_LIST,
                "UPDATE's lengths disagree with the message's",
            )
        };
        let mut cursor = Cursor::new(body);
        let withdrawn = cursor.block16().ok_or_else(lengths)?;
        let block = cursor.block16().ok_or_else(lengths)?;
        let mut update = Self {
            withdrawn: ipv4(withdrawn, context)?,
            attributes: Attributes { block, ..Attributes::default() },
            nlri: ipv4(cursor.rest(), context)?,
            malformed: Vec::new(),
        };
        update.decode_attributes(context)?;
        update.check_mandatory(context);
        update.check_routes_are_there()?;
        Ok(update)
    }

    fn decode_attributes(&mut self, context: Context) -> Result<(), DecodeError> {
        // By how often a type was seen: once, or more.
        let (mut seen, mut repeated) = ([0_u64; 4], [0_u64; 4]);
        let mut cursor = Cursor::new(self.attributes.block);
        while !cursor.is_empty() {
            let Some(attribute) = RawAttribute::next(&mut cursor) else {
                // RFC 7606 §4: the total length still tells where the routes are.
                self.fault(
                    0,
                    Handling::TreatAsWithdraw,
                    "an attribute runs past the attributes' total length",
                );
                break;
            };
            let (word, bit) = (usize::from(attribute.kind / 64), 1 << (attribute.kind % 64));
            if seen[word] & bit != 0 {
                self.repeated(attribute.kind, repeated[word] & bit != 0)?;
                repeated[word] |= bit;
                continue;
            }
            seen[word] |= bit;
            self.decode_attribute(attribute, context)?;
        }
        Ok(())
    }

    /// RFC 7606 §3 (g). Said once of each type, so that what is kept of a message stays small.
    fn repeated(&mut self, kind: u8, said: bool) -> Result<(), DecodeError> {
        if kind == code::MP_REACH || kind == code::MP_UNREACH {
            return Err(DecodeError::new(
                ErrorCode::MALFORMED_ATTRIBUTE_LIST,
                "UPDATE has MP_REACH_NLRI or MP_UNREACH_NLRI twice",
            ));
        }
        if !said {
            self.fault(kind, Handling::AttributeDiscard, "an attribute is repeated");
        }
        Ok(())
    }

    fn decode_attribute(&mut self, attribute: RawAttribute<'a>, context: Context) -> Result<(), DecodeError> {
        match attribute.expected_flags() {
            Some(flags) if attribute.flags & (OPTIONAL | TRANSITIVE) != flags => {
                self.fault(
                    attribute.kind,
                    Handling::TreatAsWithdraw,
                    "an attribute's flags are not its type's",
                );
            }
            // RFC 4271 §6.3; RFC 7606 leaves it as it is.
            None if attribute.flags & OPTIONAL == 0 => {
                return Err(DecodeError::with(
                    ErrorCode::UNRECOGNIZED_WELL_KNOWN,
                    "UPDATE has an unknown attribute that every speaker must know",
                    [attribute.flags, attribute.kind],
                ));
            }
            Some(_) | None => {}
        }
        match self.attributes.take(attribute, context) {
            Ok(()) => {}
            Err(Fault::Reset(error)) => return Err(error),
            Err(Fault::TreatAsWithdraw(what)) => self.fault(attribute.kind, Handling::TreatAsWithdraw, what),
            Err(Fault::Discard(what)) => self.fault(attribute.kind, Handling::AttributeDiscard, what),
        }
        Ok(())
    }

    /// RFC 7606 §3 (d): what must come with routes. An attribute that was malformed is already accounted for.
    fn check_mandatory(&mut self, context: Context) {
        if self.announced().next().is_none() || self.treat_as_withdraw() {
            return;
        }
        let missing = [
            (code::ORIGIN, self.attributes.origin.is_none()),
            (code::AS_PATH, self.attributes.as_path.is_none()),
            (code::NEXT_HOP, !self.nlri.is_empty() && self.attributes.next_hop.is_none()),
            (code::LOCAL_PREF, context.internal && self.attributes.local_pref.is_none()),
        ];
        for (kind, missing) in missing {
            if missing {
                self.fault(kind, Handling::TreatAsWithdraw, "a mandatory attribute is missing");
            }
        }
    }

    /// RFC 7606 §5.2: an attribute is wrong and there is nothing that could be treated as withdrawn, so perhaps the
    /// routes were not found.
    fn check_routes_are_there(&self) -> Result<(), DecodeError> {
        let reachable = !self.nlri.is_empty() || self.attributes.mp_reach.is_some();
        let doubtful = |malformed: &&Malformed| {
            malformed.handling == Handling::TreatAsWithdraw && malformed.attribute != code::MP_UNREACH
        };
        match self.malformed.iter().find(doubtful).filter(|_| !reachable) {
            Some(malformed) => Err(DecodeError::new(ErrorCode::MALFORMED_ATTRIBUTE_LIST, malformed.what)),
            None => Ok(()),
        }
    }

    fn fault(&mut self, attribute: u8, handling: Handling, what: &'static str) {
        self.malformed.push(Malformed { attribute, handling, what });
    }
}

fn ipv4(bytes: &[u8], context: Context) -> Result<Nlri<'_>, DecodeError> {
    Nlri::parse(Family::Ipv4, context.add_path.ipv4, bytes).ok_or_else(|| {
        DecodeError::new(ErrorCode::INVALID_NETWORK_FIELD, "UPDATE's IPv4 routes are malformed")
    })
}
