//! What the two ends of a cell are to do.

use std::{collections::BTreeSet, net::IpAddr};

use bgp::Family;

use crate::ground::Ends;

/// What we announce, and what the routers do.
pub(crate) const OURS: [&str; 2] = ["198.51.100.1/32", "2001:db8:1::1/128"];
pub(crate) const THEIRS: [&str; 2] = ["203.0.113.0/24", "2001:db8:ffff::/48"];

/// Who opens the TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dials {
    /// We do; the router is passive.
    Us,
    /// The router does; we wait for it.
    Router,
    /// Both do.
    Both,
}

/// How far the two ends are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// On one link.
    Near,
    /// The same over IPv6 alone: IPv4 routes have IPv6 next hops (RFC 8950).
    NearV6,
    /// On one link, with GTSM at both ends.
    Gtsm,
    /// With a hop between.
    Far,
}

/// The plan of one cell; [`Plan::of`] is the plainest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) cell: u8,
    pub(crate) our_asn: u32,
    pub(crate) their_asn: u32,
    /// One session for each family, over an address of that family.
    pub(crate) apart: bool,
    pub(crate) hold_time: u16,
    pub(crate) dials: Dials,
    pub(crate) reach: Reach,
    /// With this both ends sign (TCP-MD5).
    pub(crate) password: Option<&'static str>,
    /// How long the router is to keep our routes when we are gone, seconds.
    pub(crate) restart_time: u64,
    /// What both ends do beside.
    pub(crate) beside: Beside,
}

/// What both ends are configured for beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// Long-lived graceful restart (RFC 9494).
    LongLived,
    /// The router is our provider (RFC 9234).
    Roles,
    /// Routes are kept over a NOTIFICATION (RFC 8538).
    Notification,
    /// We tell a link-local next hop (RFC 2545).
    LinkLocal,
}

/// For how long our routes are to be kept as the last choice, seconds.
pub(crate) const LONG_LIVED: u64 = 600;

/// One session of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) name: &'static str,
    pub(crate) ends: Ends,
    pub(crate) families: BTreeSet<Family>,
    /// The router's own addresses, for next hops.
    pub(crate) their_v4: IpAddr,
    pub(crate) their_v6: IpAddr,
}

impl Plan {
    /// Both families on one external session that we dial: the AS number is `PyBal`'s.
    pub(crate) const fn of(cell: u8) -> Self {
        Self {
            cell,
            our_asn: 64_600,
            their_asn: 65_001,
            apart: false,
            hold_time: 30,
            dials: Dials::Us,
            reach: Reach::Near,
            password: None,
            restart_time: 120,
            beside: Beside::Nothing,
        }
    }

    /// The sessions, by name.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        let (near, six) = (Ends::near(self.cell), Ends::near_v6(self.cell));
        let session = |name, ends, families| Session {
            name,
            ends,
            families,
            their_v4: if self.reach == Reach::NearV6 { six.theirs } else { near.theirs },
            their_v6: six.theirs,
        };
        if self.apart {
            return vec![
                session("v4", near, [Family::Ipv4].into()),
                session("v6", six, [Family::Ipv6].into()),
            ];
        }
        let ends = match self.reach {
            Reach::Near | Reach::Gtsm => near,
            Reach::NearV6 => six,
            Reach::Far => Ends::far(self.cell),
        };
        vec![session("both", ends, Family::ALL.into())]
    }

    pub(crate) const fn internal(&self) -> bool {
        self.our_asn == self.their_asn
    }
}
