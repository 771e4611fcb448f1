//! Attributes that are lists.

use std::net::Ipv4Addr;

use super::cursor::Cursor;
use crate::{Community, LargeCommunity};

/// Standard communities, still in the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Communities<'a>(pub(super) &'a [u8]);

/// Large communities, still in the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeCommunities<'a>(pub(super) &'a [u8]);

/// Extended communities (RFC 4360), still in the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedCommunities<'a>(pub(super) &'a [u8]);

/// The clusters that a reflected route went through (RFC 4456 §8), still in the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterList<'a>(pub(super) &'a [u8]);

impl<'a> Communities<'a> {
    /// The communities, in the order received.
    pub fn iter(self) -> impl Iterator<Item = Community> + 'a {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || cursor.u32().map(Community))
    }
}

impl<'a> LargeCommunities<'a> {
    /// The communities, in the order received.
    pub fn iter(self) -> impl Iterator<Item = LargeCommunity> + 'a {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || {
            Some(LargeCommunity { global: cursor.u32()?, local1: cursor.u32()?, local2: cursor.u32()? })
        })
    }
}

impl<'a> ExtendedCommunities<'a> {
    /// The communities as octets, in the order received.
    pub fn iter(self) -> impl Iterator<Item = [u8; 8]> + 'a {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || cursor.array())
    }
}

impl<'a> ClusterList<'a> {
    /// The cluster identifiers, the latest first.
    pub fn iter(self) -> impl Iterator<Item = Ipv4Addr> + 'a {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || cursor.array::<4>().map(Ipv4Addr::from))
    }
}
