//! Address families and prefixes.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// An address family, always unicast (SAFI 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4 unicast.
    Ipv4,
    /// IPv6 unicast.
    Ipv6,
}

/// The text names no family.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address family; expected ipv4 or ipv6")]
pub struct FamilyError(String);

impl Family {
    /// Every family that this speaker knows.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The address family identifier (IANA; RFC 4760).
    pub const fn afi(self) -> u16 {
        match self {
            Self::Ipv4 => 1,
            Self::Ipv6 => 2,
        }
    }

    /// The subsequent address family identifier: unicast.
    pub const fn safi(self) -> u8 {
        1
    }

    /// The family of a pair of identifiers, `None` for one that this speaker does not know.
    pub const fn from_afi_safi(afi: u16, safi: u8) -> Option<Self> {
        match (afi, safi) {
            (1, 1) => Some(Self::Ipv4),
            (2, 1) => Some(Self::Ipv6),
            (_, _) => None,
        }
    }

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// Bits in an address: 32 or 128.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        })
    }
}

impl FromStr for Family {
    type Err = FamilyError;

    fn from_str(text: &str) -> Result<Self, FamilyError> {
        match text {
            "ipv4" => Ok(Self::Ipv4),
            "ipv6" => Ok(Self::Ipv6),
            other => Err(FamilyError(other.into())),
        }
    }
}

/// A prefix with no bits set past its length. Ordered by family, then address, then length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why something is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The length is past the family's 32 or 128.
    #[error("prefix length {length} is too long for {address}")]
    Length {
        /// The address.
        address: IpAddr,
        /// The length that was asked for.
        length: u8,
    },
    /// Bits are set past the length.
    #[error("{address}/{length} has bits set past its length")]
    HostBits {
        /// The address.
        address: IpAddr,
        /// The length that was asked for.
        length: u8,
    },
    /// The text is no prefix.
    #[error("{0:?} is not a prefix; expected ADDRESS/LENGTH or an address")]
    Text(String),
}

impl Prefix {
    /// Checks that the length fits the family and that no bit is set past it.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        if length > Family::of(address).bits() {
            return Err(PrefixError::Length { address, length });
        }
        let prefix = Self::truncating(address, length);
        if prefix.address == address { Ok(prefix) } else { Err(PrefixError::HostBits { address, length }) }
    }

    /// The prefix that holds one address: /32 or /128.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: Family::of(address).bits() }
    }

    /// Clears the bits past `length`, which is cut to the family's.
    pub fn truncating(address: IpAddr, length: u8) -> Self {
        let length = length.min(Family::of(address).bits());
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Self { address, length }
    }

    /// The prefix of this length that it is inside of; itself when it is no longer than that.
    #[must_use]
    pub fn shortened(self, length: u8) -> Self {
        Self::truncating(self.address, length.min(self.length))
    }

    /// The network address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The length in bits.
    #[expect(clippy::len_without_is_empty, reason = "a prefix length is no container's size")]
    pub const fn len(self) -> u8 {
        self.length
    }

    /// Whether the other prefix is this one or inside it.
    pub fn contains(self, other: Self) -> bool {
        self.family() == other.family()
            && self.length <= other.length
            && Self::truncating(other.address, self.length).address == self.address
    }

    /// The family.
    pub const fn family(self) -> Family {
        Family::of(self.address)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let refused = || PrefixError::Text(text.into());
        match text.split_once('/') {
            None => text.parse().map(Self::host).map_err(|_| refused()),
            Some((address, length)) => {
                Self::new(address.parse().map_err(|_| refused())?, length.parse().map_err(|_| refused())?)
            }
        }
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self::host(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_prints_as_it_reads() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "::/0", "2001:db8::/32", "2001:db8::1/128"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.1".parse::<Prefix>().unwrap().len(), 32);
    }

    #[test]
    fn a_prefix_shortened_holds_what_it_was() {
        let prefix: Prefix = "10.67.1.64/26".parse().unwrap();
        for (length, text) in
            [(26, "10.67.1.64/26"), (32, "10.67.1.64/26"), (24, "10.67.1.0/24"), (0, "0.0.0.0/0")]
        {
            assert_eq!(prefix.shortened(length).to_string(), text);
            assert!(prefix.shortened(length).contains(prefix));
        }
    }

    #[test]
    fn bits_past_the_length_are_refused() {
        assert!(matches!("10.0.0.1/8".parse::<Prefix>(), Err(PrefixError::HostBits { .. })));
        assert!(matches!("2001:db8::1/64".parse::<Prefix>(), Err(PrefixError::HostBits { .. })));
        assert!(matches!("10.0.0.0/33".parse::<Prefix>(), Err(PrefixError::Length { .. })));
        for text in ["", "10.0.0.0/", "/8", "10.0.0/8", "10.0.0.0/8/8", "10.0.0.0/-1"] {
            assert!(matches!(text.parse::<Prefix>(), Err(PrefixError::Text(_))), "{text}");
        }
    }
}
