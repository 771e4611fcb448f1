//! The messages that every codec gets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp::{
    Community, LargeCommunity, Path, Prefix,
    wire::{Announcement, NextHop, encode_announce, encode_withdraw},
};

/// UPDATEs that are made up: as many as the codecs need some hundredths of a second for.
const MESSAGES: usize = 50_000;

/// A deterministic source of numbers (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        u32::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % u64::from(limit)).unwrap_or(0)
    }

    /// More often small than large, at most `limit`.
    fn few(&mut self, limit: u32) -> usize {
        let limit = self.below(limit) + 1;
        self.below(limit) as usize
    }

    fn prefix(&mut self, six: bool) -> Prefix {
        let text = if six {
            let bits =
                (0x2000_u128 + u128::from(self.below(0x800))) << 112 | u128::from(self.below(1 << 30)) << 80;
            format!("{}/48", Ipv6Addr::from_bits(bits))
        } else {
            let length = 16 + self.below(9);
            let bits = (1 + self.below(220)) << 24 | self.below(1 << 24);
            format!("{}/{length}", Ipv4Addr::from_bits(bits & (u32::MAX << (32 - length))))
        };
        text.parse().expect("a prefix")
    }
}

/// UPDATEs as a border router hears them: mostly a few IPv4 prefixes, paths of two to ten ASes, some communities, one
/// in seven of IPv6, one in ten a withdrawal.
pub(crate) fn made_up() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(0x0123_4567_89ab_cdef);
    (0..MESSAGES)
        .map(|_| {
            let six = numbers.below(7) == 0;
            let count = 1 + numbers.few(12);
            let prefixes: Vec<_> = (0..count).map(|_| numbers.prefix(six)).collect();
            let mut out = Vec::new();
            if numbers.below(10) == 0 {
                encode_withdraw(&mut out, prefixes[0].family(), &prefixes).expect("it fits");
                return out;
            }
            let hops = 2 + numbers.few(9);
            let path = Path::sequence((0..hops).map(|_| 1 + numbers.below(400_000)).collect());
            let next_hop = match prefixes[0].address() {
                IpAddr::V4(_) => NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)),
                IpAddr::V6(_) => NextHop::V6("2001:db8::1".parse().expect("an address")),
            };
            let announcement = Announcement {
                med: (numbers.below(3) == 0).then(|| numbers.below(1000)),
                communities: &(0..numbers.few(16))
                    .map(|_| Community(numbers.below(1 << 31)))
                    .collect::<Vec<_>>(),
                large_communities: &(0..numbers.few(4))
                    .map(|local2| LargeCommunity {
                        global: 64_600,
                        local1: 1,
                        local2: u32::try_from(local2).unwrap_or(0),
                    })
                    .collect::<Vec<_>>(),
                ..Announcement::new(path, next_hop)
            };
            encode_announce(&mut out, &announcement, &prefixes, true).expect("it fits");
            out
        })
        .collect()
}

/// The UPDATEs of an MRT file's `BGP4MP_MESSAGE_AS4` records (RFC 6396 §4.4.3).
pub(crate) fn of_mrt(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let word = |bytes: &[u8], at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    while file.len() >= 12 {
        let length = word(file, 8) << 16 | word(file, 10);
        let (record, rest) = file[12..].split_at(length.min(file.len() - 12));
        // With microseconds in front: BGP4MP_ET.
        let (kind, extra) = (word(file, 4), if word(file, 4) == 17 { 4 } else { 0 });
        if matches!(kind, 16 | 17) && word(file, 6) == 4 {
            let record = &record[extra..];
            let addresses = if word(record, 10) == 1 { 8 } else { 32 };
            let message = &record[12 + addresses..];
            if message.get(18) == Some(&2) {
                messages.push(message.to_vec());
            }
        }
        file = rest;
    }
    messages
}
