//! UPDATEs with everything that there is: every attribute, few routes and many, both families, withdrawals.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp::{Prefix, wire::Context};

use super::{
    FEEDER_ASN,
    numbers::Numbers,
    router::REMOTE_ASN,
    wire::{OPTIONAL, PARTIAL, TRANSITIVE, attribute, number, prefix, segment, update},
};

/// Types of attributes that are assigned to nothing (IANA "BGP Path Attributes"); BIRD has a use of its own for 254.
const UNKNOWN: [u8; 4] = [99, 200, 243, 253];

/// Octets that the attributes of a message may take; what is left is for its routes.
const ROOM: usize = 2800;

/// Octets that a message's routes may take.
const ROUTES: usize = 1000;

/// A set or a sequence of AS numbers.
type Hops = (u8, Vec<u32>);

struct Maker {
    numbers: Numbers,
    session: Context,
    told: Vec<Prefix>,
}

/// So many, as a neighbour of such a session tells them.
pub(crate) fn updates(seed: u64, count: usize, session: Context) -> Vec<Vec<u8>> {
    let mut maker = Maker { numbers: Numbers::new(seed), session, told: Vec::new() };
    (0..count).map(|_| maker.update()).collect()
}

impl Maker {
    fn update(&mut self) -> Vec<u8> {
        match self.numbers.below(10) {
            0 => {
                let gone = self.withdrawn(false);
                update(&gone, &[], &[])
            }
            1 => {
                let gone = [&[0, 2, 1][..], &self.withdrawn(true)].concat();
                update(&[], &attribute(OPTIONAL, 15, &gone, self.numbers.once_in(2)), &[])
            }
            2..=4 => {
                let attributes = self.attributes(true);
                update(&[], &attributes, &[])
            }
            5 => {
                // Both at once.
                let (gone, attributes) = (self.withdrawn(false), self.attributes(false));
                let routes = self.announced(false, ROUTES / 2);
                update(&gone[..], &attributes, &routes)
            }
            _ => {
                let attributes = self.attributes(false);
                let routes = self.announced(false, ROUTES);
                update(&[], &attributes, &routes)
            }
        }
    }

    /// Prefixes that were told, mostly, and some that never were.
    fn withdrawn(&mut self, six: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..=self.numbers.few(12) {
            let known: Vec<_> =
                self.told.iter().filter(|prefix| prefix.address().is_ipv6() == six).copied().collect();
            let gone = if known.is_empty() || self.numbers.once_in(8) {
                self.prefix(six)
            } else {
                *self.numbers.one_of(&known)
            };
            out.extend(prefix(gone, self.numbers.octet()));
        }
        out
    }

    fn announced(&mut self, six: bool, room: usize) -> Vec<u8> {
        let count =
            if self.numbers.once_in(20) { 60 + self.numbers.below(100) } else { 1 + self.numbers.few(12) };
        let mut out = Vec::new();
        for _ in 0..count {
            // What is told again is told with other attributes.
            let again = !self.told.is_empty() && self.numbers.once_in(8);
            let known = if again { Some(*self.numbers.one_of(&self.told)) } else { None };
            let known = known.filter(|prefix| prefix.address().is_ipv6() == six);
            let told = known.unwrap_or_else(|| self.prefix(six));
            self.told.push(told);
            out.extend(prefix(told, self.numbers.octet()));
            if out.len() > room - 20 {
                break;
            }
        }
        out
    }

    /// Any prefix of the unicast ranges but those that are for hosts alone.
    fn prefix(&mut self, six: bool) -> Prefix {
        let address: IpAddr = if six {
            let bits = u128::from(self.numbers.next()) << 64 | u128::from(self.numbers.next());
            Ipv6Addr::from_bits(0x2 << 124 | bits >> 4).into()
        } else {
            loop {
                let address = Ipv4Addr::from_bits(self.numbers.word());
                // The marks' network is theirs.
                if !matches!(address.octets(), [0 | 127 | 192 | 224.., ..]) {
                    break address.into();
                }
            }
        };
        let longest = if six { 128 } else { 32 };
        let length = if self.numbers.once_in(10) { longest } else { 8 + self.numbers.below(longest - 7) };
        Prefix::truncating(address, u8::try_from(length).expect("a length"))
    }

    /// All attributes of a message, in any order.
    fn attributes(&mut self, six: bool) -> Vec<u8> {
        let mut all = vec![self.one(TRANSITIVE, 1, |numbers| vec![numbers.octet() % 3])];
        all.extend(self.path());
        if six {
            let reach = self.reach();
            let extended = self.numbers.once_in(2);
            all.push(attribute(OPTIONAL, 14, &reach, extended));
        } else {
            let hop = self.next_hop();
            all.push(attribute(TRANSITIVE, 3, &hop, false));
        }
        self.numbers_and_marks(&mut all);
        self.lists(&mut all);
        for index in (1..all.len()).rev() {
            all.swap(index, self.numbers.below(index + 1));
        }
        let all = all.concat();
        assert!(all.len() <= ROOM + ROUTES, "{} octets", all.len());
        all
    }

    fn one(&mut self, flags: u8, kind: u8, value: impl FnOnce(&mut Numbers) -> Vec<u8>) -> Vec<u8> {
        let value = value(&mut self.numbers);
        attribute(flags, kind, &value, self.numbers.once_in(6))
    }

    fn next_hop(&mut self) -> Vec<u8> {
        let first = 1 + u8::try_from(self.numbers.below(126)).expect("an octet");
        vec![first, self.numbers.octet(), self.numbers.octet(), 1 + self.numbers.octet() % 254]
    }

    /// `MP_REACH_NLRI` of IPv6: a global next hop, and a link-local one beside it every other time.
    fn reach(&mut self) -> Vec<u8> {
        let global = [&[0x20, 0x01, 0x0d, 0xb8][..], &self.numbers.octets(12)].concat();
        let mut hops = global;
        if self.numbers.once_in(2) {
            hops.extend([&[0xfe, 0x80, 0, 0, 0, 0, 0, 0][..], &self.numbers.octets(8)].concat());
        }
        let length = u8::try_from(hops.len()).expect("a next hop");
        [&[0, 2, 1, length][..], &hops, &[0], &self.announced(true, ROUTES)].concat()
    }

    /// An AS number of either width, never BIRD's.
    fn asn(&mut self) -> u32 {
        let asn = match self.numbers.below(4) {
            0 => 65_536 + self.numbers.word() % 4_200_000_000,
            1 => 64_512 + self.numbers.word() % 400,
            2 => 23_455 + self.numbers.word() % 3,
            _ => 1 + self.numbers.word() % 60_000,
        };
        if asn == REMOTE_ASN { asn + 1 } else { asn }
    }

    /// A path: a sequence, an aggregate's set in one of eight, a second sequence in one of sixteen.
    fn hops(&mut self) -> Vec<Hops> {
        let length = if self.numbers.once_in(40) { 60 } else { self.numbers.few(12) };
        let mut first: Vec<_> = (0..length).map(|_| self.asn()).collect();
        if !self.session.internal {
            first.insert(0, FEEDER_ASN);
        }
        if let (true, Some(last)) = (self.numbers.once_in(4), first.last().copied()) {
            first.extend(vec![last; self.numbers.below(4)]);
        }
        let mut hops = vec![(2, first)];
        if self.numbers.once_in(8) {
            hops.push((1, (0..=self.numbers.few(6)).map(|_| self.asn()).collect()));
            if self.numbers.once_in(2) {
                hops.push((2, vec![self.asn(), self.asn()]));
            }
        }
        hops.retain(|(_, asns)| !asns.is_empty());
        hops
    }

    /// `AS_PATH`, `AGGREGATOR`, and in a session of two octets what carries the wide numbers beside them.
    fn path(&mut self) -> Vec<Vec<u8>> {
        let wide = self.session.four_octet_asn;
        let encoded = |hops: &[Hops], wide| {
            hops.iter().flat_map(|(kind, asns)| segment(*kind, asns, wide)).collect::<Vec<_>>()
        };
        let hops = self.hops();
        let extended = self.numbers.once_in(6);
        let mut all = vec![attribute(TRANSITIVE, 2, &encoded(&hops, wide), extended)];
        let aggregator = self.numbers.once_in(3).then(|| (self.asn(), self.numbers.word().to_be_bytes()));
        if let Some((asn, id)) = aggregator {
            let partial = if self.numbers.once_in(4) { PARTIAL } else { 0 };
            let value = [number(asn, wide), id.to_vec()].concat();
            all.push(attribute(OPTIONAL | TRANSITIVE | partial, 7, &value, false));
            if !wide && asn > 65_535 {
                all.push(attribute(
                    OPTIONAL | TRANSITIVE,
                    18,
                    &[number(asn, true), id.to_vec()].concat(),
                    false,
                ));
            }
        }
        if !wide && hops.iter().flat_map(|(_, asns)| asns).any(|asn| *asn > 65_535) {
            let beyond = self.beyond(hops);
            if !beyond.is_empty() {
                all.push(attribute(OPTIONAL | TRANSITIVE | PARTIAL, 17, &encoded(&beyond, true), extended));
            }
        }
        all
    }

    /// What routers with two octets have not put in front of a path.
    fn beyond(&mut self, mut hops: Vec<Hops>) -> Vec<Hops> {
        let (_, first) = &mut hops[0];
        let narrow = self.numbers.few(4).min(first.len());
        first.drain(..narrow);
        hops.retain(|(_, asns)| !asns.is_empty());
        hops
    }

    fn numbers_and_marks(&mut self, all: &mut Vec<Vec<u8>>) {
        let word = |numbers: &mut Numbers| numbers.word().to_be_bytes().to_vec();
        if self.numbers.once_in(3) {
            all.push(self.one(OPTIONAL, 4, word));
        }
        if self.session.internal {
            all.push(self.one(TRANSITIVE, 5, word));
            if self.numbers.once_in(3) {
                all.push(self.one(OPTIONAL, 9, |numbers| [&[10][..], &numbers.octets(3)].concat()));
                let clusters = 1 + self.numbers.few(5);
                all.push(self.one(OPTIONAL, 10, |numbers| numbers.octets(4 * clusters)));
            }
        }
        if self.numbers.once_in(5) {
            all.push(self.one(TRANSITIVE, 6, |_| Vec::new()));
        }
    }

    fn lists(&mut self, all: &mut Vec<Vec<u8>>) {
        let transitive = OPTIONAL | TRANSITIVE;
        if self.numbers.once_in(2) {
            let count = if self.numbers.once_in(20) { 100 } else { 1 + self.numbers.few(24) };
            // Not NO_ADVERTISE and its like: BIRD would tell nobody.
            let one = |numbers: &mut Numbers| match numbers.once_in(12) {
                true => vec![0xff, 0xff, 0, 0],
                false => number(numbers.word() >> 1, true),
            };
            all.push(self.one(transitive, 8, |numbers| (0..count).flat_map(|_| one(numbers)).collect()));
        }
        if self.numbers.once_in(3) {
            let count = 1 + self.numbers.few(12);
            all.push(self.one(transitive, 32, |numbers| numbers.octets(12 * count)));
        }
        if self.numbers.once_in(3) {
            let (count, kinds) = (1 + self.numbers.few(12), [0, 1, 2, 3, 6, 0x40, 0x41, 0x42, 0x43, 0x80]);
            let one = |numbers: &mut Numbers| {
                let subtype = 2 + numbers.octet() % 6;
                [&[*numbers.one_of(&kinds), subtype][..], &numbers.octets(6)].concat()
            };
            all.push(self.one(transitive, 16, |numbers| (0..count).flat_map(|_| one(numbers)).collect()));
        }
        if self.numbers.once_in(4) {
            let kind = *self.numbers.one_of(&UNKNOWN);
            let flags = *self.numbers.one_of(&[OPTIONAL, transitive, transitive | PARTIAL]);
            let count = self.numbers.few(130);
            all.push(self.one(flags, kind, |numbers| numbers.octets(count)));
        }
    }
}
