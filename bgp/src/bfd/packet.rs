//! The control packet (RFC 5880 §4.1).

use std::{fmt, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Diagnostic, State};

/// The only version (RFC 5880).
const VERSION: u8 = 1;

/// A packet without authentication, all that is sent.
pub const LEN: usize = 24;

/// The shortest packet that says it is authenticated (§6.8.6).
const LEN_AUTHENTICATED: u8 = 26;

const POLL: u8 = 1 << 5;
const FINAL: u8 = 1 << 4;
const CONTROL_PLANE_INDEPENDENT: u8 = 1 << 3;
const AUTHENTICATED: u8 = 1 << 2;
const DEMAND: u8 = 1 << 1;
const MULTIPOINT: u8 = 1;

/// What a system calls a session; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Discriminator(NonZeroU32);

impl Discriminator {
    /// `None` for zero.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Discriminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A control packet. Intervals are whole microseconds up to [`u32::MAX`] of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session last left Up.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// An answer is wanted at once.
    pub poll: bool,
    /// This is the answer.
    pub is_final: bool,
    /// The sender's BFD goes on when its control plane does not.
    pub control_plane_independent: bool,
    /// An authentication section follows, which nothing here reads. Never sent.
    pub authenticated: bool,
    /// The sender wants no packets while both ends are Up.
    pub demand: bool,
    /// How many of the sender's packets in a row have to be missed. Never zero.
    pub multiplier: u8,
    /// What the sender calls the session.
    pub my_discriminator: Discriminator,
    /// What the receiver calls it, once the sender knows.
    pub your_discriminator: Option<Discriminator>,
    /// How often the sender would like to send.
    pub desired_min_tx: Duration,
    /// How often the sender takes packets; zero: it wants none.
    pub required_min_rx: Duration,
    /// How often the sender takes echo packets; zero: it takes none.
    pub required_min_echo_rx: Duration,
}

/// Why something is no control packet that anybody could take, in the order of RFC 5880 §6.8.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not even the fields that every packet has.
    #[error("cut short: {0} octets of at least {LEN}")]
    Short(usize),
    /// Not ours.
    #[error("version {0} instead of {VERSION}")]
    Version(u8),
    /// The length leaves no room for the fields.
    #[error("its length field says {0} octets, too few")]
    LengthShort(u8),
    /// The length goes past the end.
    #[error("its length field says {0} octets, more than came")]
    LengthLong(u8),
    /// A path that would break at once.
    #[error("its multiplier is 0")]
    Multiplier,
    /// Multipoint (RFC 8562) is not spoken.
    #[error("it is multipoint")]
    Multipoint,
    /// It belongs to no session.
    #[error("its own discriminator is 0")]
    MyDiscriminator,
}

impl Packet {
    /// Reads a UDP payload: the first six rules of RFC 5880 §6.8.6. What comes after the length field's end is ignored.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let Some(octets) = payload.first_chunk::<LEN>() else { return Err(Malformed::Short(payload.len())) };
        let [first, flags, multiplier, length, ..] = *octets;
        if first >> 5 != VERSION {
            return Err(Malformed::Version(first >> 5));
        }
        let authenticated = flags & AUTHENTICATED != 0;
        if usize::from(length) < LEN || (authenticated && length < LEN_AUTHENTICATED) {
            return Err(Malformed::LengthShort(length));
        }
        if usize::from(length) > payload.len() {
            return Err(Malformed::LengthLong(length));
        }
        if multiplier == 0 {
            return Err(Malformed::Multiplier);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Malformed::Multipoint);
        }
        let [my, your, desired, required, echo] = words(octets);
        Ok(Self {
            diagnostic: Diagnostic::of_bits(first),
            state: State::of_bits(flags >> 6),
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            authenticated,
            demand: flags & DEMAND != 0,
            multiplier,
            my_discriminator: Discriminator::new(my).ok_or(Malformed::MyDiscriminator)?,
            your_discriminator: Discriminator::new(your),
            desired_min_tx: Duration::from_micros(desired.into()),
            required_min_rx: Duration::from_micros(required.into()),
            required_min_echo_rx: Duration::from_micros(echo.into()),
        })
    }

    /// Writes it, without authentication. An interval past the longest becomes the longest.
    pub fn encode(&self) -> [u8; LEN] {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let flags = self.state.number() << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.demand, DEMAND);
        let mut octets = [0; LEN];
        let head = [VERSION << 5 | self.diagnostic.number(), flags, self.multiplier, 24];
        let words = [
            self.my_discriminator.get(),
            self.your_discriminator.map_or(0, Discriminator::get),
            micros(self.desired_min_tx),
            micros(self.required_min_rx),
            micros(self.required_min_echo_rx),
        ];
        let all = head.into_iter().chain(words.into_iter().flat_map(u32::to_be_bytes));
        octets.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        octets
    }
}

fn words(octets: &[u8; LEN]) -> [u32; 5] {
    let (words, _) = octets[4..].as_chunks::<4>();
    std::array::from_fn(|index| words.get(index).copied().map_or(0, u32::from_be_bytes))
}

fn micros(interval: Duration) -> u32 {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet of a session that is Up and polls, octet by octet.
    const BY_HAND: [u8; LEN] = [
        0x20, 0xe0, 3, 24, 0, 0, 0, 9, 0x12, 0x34, 0x56, 0x78, 0, 4, 0x93, 0xe0, 0, 4, 0x93, 0xe0, 0, 0,
        0xc3, 0x50,
    ];

    fn changed(at: usize, to: u8) -> [u8; LEN] {
        let mut octets = BY_HAND;
        octets[at] = to;
        octets
    }

    #[test]
    fn every_field_is_where_the_rfc_has_it() {
        let packet = Packet::decode(&BY_HAND).unwrap();
        assert_eq!((packet.state, packet.poll, packet.is_final), (State::Up, true, false));
        assert_eq!((packet.my_discriminator.get(), packet.multiplier), (9, 3));
        assert_eq!(packet.your_discriminator, Discriminator::new(0x1234_5678));
        assert_eq!(packet.desired_min_tx, Duration::from_millis(300));
        assert_eq!(packet.required_min_echo_rx, Duration::from_millis(50));
        assert_eq!(packet.encode(), BY_HAND);
    }

    #[test]
    fn each_rule_of_reception_refuses_what_breaks_it() {
        let wrong = [
            (changed(0, 0x40), Malformed::Version(2)),
            (changed(0, 0x00), Malformed::Version(0)),
            (changed(3, 23), Malformed::LengthShort(23)),
            (changed(3, 25), Malformed::LengthLong(25)),
            (changed(3, 255), Malformed::LengthLong(255)),
            (changed(1, 0xe0 | AUTHENTICATED), Malformed::LengthShort(24)),
            (changed(2, 0), Malformed::Multiplier),
            (changed(1, 0xe0 | MULTIPOINT), Malformed::Multipoint),
            (changed(7, 0), Malformed::MyDiscriminator),
        ];
        for (octets, why) in wrong {
            assert_eq!(Packet::decode(&octets), Err(why));
        }
        for length in 0..LEN {
            assert_eq!(Packet::decode(&BY_HAND[..length]), Err(Malformed::Short(length)));
        }
    }

    #[test]
    fn what_follows_the_packet_is_ignored_and_an_authenticated_one_says_so() {
        let mut long = BY_HAND.to_vec();
        long.extend([1, 2, 3]);
        assert_eq!(Packet::decode(&long), Packet::decode(&BY_HAND));
        long[1] |= AUTHENTICATED;
        long[3] = 26;
        assert!(Packet::decode(&long).unwrap().authenticated);
    }

    #[test]
    fn an_interval_that_the_field_does_not_hold_becomes_the_longest() {
        let mut packet = Packet::decode(&BY_HAND).unwrap();
        packet.desired_min_tx = Duration::from_secs(100_000);
        let back = Packet::decode(&packet.encode()).unwrap();
        assert_eq!(back.desired_min_tx, Duration::from_micros(u32::MAX.into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_taken_comes_back_the_same(mut octets: [u8; LEN], tail in proptest::collection::vec(any::<u8>(), 0..8)) {
            // Of any eight octets one is a version that is looked at further.
            octets[0] = octets[0] & 0x1f | VERSION << 5;
            octets[1] &= !AUTHENTICATED;
            octets[3] = octets[3] % 3 + 23;
            let payload = [&octets[..], &tail].concat();
            if let Ok(packet) = Packet::decode(&payload) {
                prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
            }
        }

        #[test]
        fn nothing_that_arrives_breaks_the_reading(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Err(error) = Packet::decode(&payload) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
