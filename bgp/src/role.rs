//! Roles of two neighbours of different ASes, and what keeps routes from leaking between them (RFC 9234).
//!
//! A route that came from a provider, a peer or a route server is for customers only. Whoever takes it so, or gives it so,
//! marks it with `ONLY_TO_CUSTOMER`; whoever is told one that is marked by somebody who must not tell it refuses it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What one of two neighbours is to the other (RFC 9234 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It gives the other, a customer, transit.
    Provider,
    /// It is a route server; the other is a client of it.
    Rs,
    /// It is a client of the other, a route server.
    RsClient,
    /// It has transit from the other, a provider.
    Customer,
    /// Each gives the other its own routes and its customers'.
    Peer,
}

/// What we are to a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRole {
    /// The role.
    pub role: Role,
    /// There is no session with a neighbour that does not say its own.
    pub strict: bool,
}

/// A route that its sender had no right to tell, or that we have none to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak;

impl Role {
    /// All of them, by their numbers.
    pub const ALL: [Self; 5] = [Self::Provider, Self::Rs, Self::RsClient, Self::Customer, Self::Peer];

    /// Its number on the wire.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Provider => 0,
            Self::Rs => 1,
            Self::RsClient => 2,
            Self::Customer => 3,
            Self::Peer => 4,
        }
    }

    /// The role of this number.
    pub fn from_octet(octet: u8) -> Option<Self> {
        Self::ALL.get(usize::from(octet)).copied()
    }

    /// Its name, as configurations have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Rs => "rs",
            Self::RsClient => "rs-client",
            Self::Customer => "customer",
            Self::Peer => "peer",
        }
    }

    /// What the other one then is (§4.2).
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Provider => Self::Customer,
            Self::Customer => Self::Provider,
            Self::Rs => Self::RsClient,
            Self::RsClient => Self::Rs,
            Self::Peer => Self::Peer,
        }
    }

    /// `ONLY_TO_CUSTOMER` of a route from the neighbour, to whom we have this role (§5): what it is from now on.
    ///
    /// # Errors
    /// When it is a leak.
    pub fn receive(self, marked: Option<u32>, neighbour: u32) -> Result<Option<u32>, Leak> {
        match (self, marked) {
            (Self::Provider | Self::Rs, Some(_)) => Err(Leak),
            (Self::Provider | Self::Rs, None) => Ok(None),
            (Self::Peer, Some(by)) if by != neighbour => Err(Leak),
            (Self::Customer | Self::RsClient | Self::Peer, marked) => Ok(marked.or(Some(neighbour))),
        }
    }

    /// `ONLY_TO_CUSTOMER` of a route that the neighbour is told, to whom we have this role (§5).
    ///
    /// # Errors
    /// When it would be a leak.
    pub fn send(self, marked: Option<u32>, own: u32) -> Result<Option<u32>, Leak> {
        match (self, marked) {
            (Self::Customer | Self::RsClient | Self::Peer, Some(_)) => Err(Leak),
            (Self::Customer | Self::RsClient, None) => Ok(None),
            (Self::Provider | Self::Rs | Self::Peer, marked) => Ok(marked.or(Some(own))),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// It is not one of the names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role; use provider, customer, peer, rs or rs-client")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 64_600;
    const NEIGHBOUR: u32 = 65_001;
    const OTHER: u32 = 65_002;

    #[test]
    fn every_role_has_its_number_its_name_and_its_other_side() {
        for role in Role::ALL {
            assert_eq!(Role::from_octet(role.octet()), Some(role));
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(role.other().other(), role);
        }
        assert_eq!(Role::from_octet(5), None);
        assert!("upstream".parse::<Role>().unwrap_err().to_string().contains("rs-client"));
    }

    /// RFC 9234 §5, both lists, case by case.
    #[test]
    fn what_is_for_customers_only_is_marked_and_goes_to_nobody_else() {
        let received = [
            (Role::Provider, Some(NEIGHBOUR), Err(Leak)),
            (Role::Provider, Some(OTHER), Err(Leak)),
            (Role::Provider, None, Ok(None)),
            (Role::Rs, Some(OTHER), Err(Leak)),
            (Role::Rs, None, Ok(None)),
            (Role::Peer, Some(NEIGHBOUR), Ok(Some(NEIGHBOUR))),
            (Role::Peer, Some(OTHER), Err(Leak)),
            (Role::Peer, None, Ok(Some(NEIGHBOUR))),
            (Role::Customer, Some(OTHER), Ok(Some(OTHER))),
            (Role::Customer, None, Ok(Some(NEIGHBOUR))),
            (Role::RsClient, Some(OTHER), Ok(Some(OTHER))),
            (Role::RsClient, None, Ok(Some(NEIGHBOUR))),
        ];
        for (role, marked, expected) in received {
            assert_eq!(role.receive(marked, NEIGHBOUR), expected, "{role}, {marked:?}");
        }
        let sent = [
            (Role::Provider, None, Ok(Some(OWN))),
            (Role::Provider, Some(OTHER), Ok(Some(OTHER))),
            (Role::Rs, None, Ok(Some(OWN))),
            (Role::Rs, Some(OTHER), Ok(Some(OTHER))),
            (Role::Peer, None, Ok(Some(OWN))),
            (Role::Peer, Some(OTHER), Err(Leak)),
            (Role::Customer, None, Ok(None)),
            (Role::Customer, Some(OTHER), Err(Leak)),
            (Role::RsClient, None, Ok(None)),
            (Role::RsClient, Some(OTHER), Err(Leak)),
        ];
        for (role, marked, expected) in sent {
            assert_eq!(role.send(marked, OWN), expected, "{role}, {marked:?}");
        }
    }
}
