//! What two OPENs agree on (RFC 4271 §4.2, §6.2; RFC 5492).

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use crate::{
    Asn, AsnSet, Family, HoldTime, LocalRole, Role,
    wire::{
        AddPath, AddPathFamily, Capability, Context, ErrorCode, GracefulRestart, LongLivedFamily,
        MAX_STALE_TIME, NextHopFamily, Notification, Open, PreservedFamily,
    },
};

/// The longest restart time that fits its field (RFC 4724 §3).
const MAX_RESTART_TIME: u16 = 4095;

/// What we say of ourselves and expect of the neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The own AS.
    pub asn: Asn,
    /// The own BGP identifier.
    pub router_id: Ipv4Addr,
    /// The AS that the neighbour must be in.
    pub remote_asn: Asn,
    /// It may be in one of these as well.
    pub other_asns: AsnSet,
    /// The neighbour is waited for, never dialled.
    pub passive: bool,
    /// The proposed hold time.
    pub hold_time: HoldTime,
    /// How long an attempt to connect may take, and how long after a failed one the next begins.
    pub connect_retry: Duration,
    /// The families that are offered.
    pub families: BTreeSet<Family>,
    /// Graceful restart is offered, with this restart time.
    pub graceful_restart: Option<Duration>,
    /// Routes are kept over a NOTIFICATION and a hold timer that expires, too (RFC 8538).
    pub graceful_notification: bool,
    /// Our routes may be kept for so long once the restart time is over (RFC 9494). `None`: not at all, and with graceful
    /// restart we keep the neighbour's all the same if it wants that.
    pub long_lived: Option<Duration>,
    /// Several paths to one prefix are taken (RFC 7911).
    pub add_path: bool,
    /// IPv4 routes may have IPv6 next hops, in either direction (RFC 8950).
    pub extended_next_hop: bool,
    /// What we are to a neighbour in another AS (RFC 9234).
    pub role: Option<LocalRole>,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The neighbour's AS.
    pub remote_asn: Asn,
    /// The neighbour's BGP identifier.
    pub remote_router_id: Ipv4Addr,
    /// The lower of both proposals.
    pub hold_time: HoldTime,
    /// The families that both offered.
    pub families: BTreeSet<Family>,
    /// AS numbers have four octets.
    pub four_octet_asn: bool,
    /// The neighbour is in the own AS.
    pub internal: bool,
    /// Messages up to 65535 octets may arrive.
    pub extended_messages: bool,
    /// What the neighbour says of its restarts, when both offered graceful restart.
    pub graceful_restart: Option<GracefulRestart>,
    /// Both keep routes over a NOTIFICATION (RFC 8538).
    pub graceful_notification: bool,
    /// The neighbour tells its routes once more when asked (RFC 2918).
    pub route_refresh: bool,
    /// The families that the neighbour wants kept beyond its restart time, when both know of that (RFC 9494).
    pub long_lived: Option<Vec<LongLivedFamily>>,
    /// Both take markers around refreshed routes (RFC 7313).
    pub enhanced_refresh: bool,
    /// The families whose routes the neighbour sends with path identifiers.
    pub add_path: AddPath,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// What we are to the neighbour, in another AS, whether or not it has said what it is (RFC 9234).
    pub role: Option<Role>,
}

impl Negotiated {
    /// How long the neighbour says that its restart may take, of a family that is to be kept over it.
    pub fn restart_time(&self, family: Family) -> Option<Duration> {
        let restart = self.graceful_restart.as_ref()?;
        let is_kept = restart.families.iter().any(|one| one.is(family));
        is_kept.then(|| Duration::from_secs(restart.restart_time.into()))
    }

    /// How long a family is to be kept beyond that (RFC 9494).
    pub fn long_lived_time(&self, family: Family) -> Option<Duration> {
        let families = self.long_lived.iter().flatten();
        let mut found = families.filter(|one| one.is(family) && one.stale_time > 0);
        found.next().map(|one| Duration::from_secs(one.stale_time.into()))
    }

    /// Whether the neighbour says, of a restart or of what is kept for long, that it went on forwarding a family.
    pub fn has_preserved(&self, family: Family, long_lived: bool) -> bool {
        if long_lived {
            return self.long_lived.iter().flatten().any(|one| one.is(family) && one.forwarding);
        }
        let families = self.graceful_restart.iter().flat_map(|restart| &restart.families);
        families.into_iter().any(|one| one.is(family) && one.forwarding)
    }

    /// What decoding needs to know.
    pub const fn context(&self) -> Context {
        Context {
            four_octet_asn: self.four_octet_asn,
            internal: self.internal,
            add_path: self.add_path,
            extended_next_hop: self.extended_next_hop,
        }
    }
}

impl Settings {
    /// The AS that the neighbour is in, if it may be.
    fn accepted_asn(&self, open: &Open) -> Option<Asn> {
        let number = open.asn();
        let expected = number == self.remote_asn.get() || self.other_asns.contains(number);
        Asn::new(number).ok().filter(|_| expected && open.my_as != 0)
    }

    /// Our OPEN. `restarting` sets the Restart State bit (RFC 4724 §3).
    pub fn open(&self, restarting: bool) -> Open {
        let mut capabilities: Vec<_> = self.families.iter().copied().map(Capability::family).collect();
        capabilities.extend([
            Capability::RouteRefresh,
            Capability::ExtendedMessage,
            Capability::FourOctetAsn(self.asn.get()),
            Capability::EnhancedRefresh,
        ]);
        capabilities.extend(self.role.map(|local| Capability::Role(local.role.octet())));
        if self.extended_next_hop && self.families.contains(&Family::Ipv4) {
            capabilities.push(Capability::ExtendedNextHop(vec![NextHopFamily::IPV4_BY_IPV6]));
        }
        if self.add_path {
            let entry = |family: &Family| AddPathFamily {
                afi: family.afi(),
                safi: family.safi(),
                receive: true,
                // We have one path to everything.
                send: false,
            };
            capabilities.push(Capability::AddPath(self.families.iter().map(entry).collect()));
        }
        if let Some(time) = self.graceful_restart {
            let preserved = |family: &Family| PreservedFamily {
                afi: family.afi(),
                safi: family.safi(),
                // What forwards is the kernel, and it goes on whatever becomes of this process.
                forwarding: true,
            };
            capabilities.push(Capability::GracefulRestart(GracefulRestart {
                restarting,
                notification: self.graceful_notification,
                restart_time: u16::try_from(time.as_secs()).unwrap_or(u16::MAX).min(MAX_RESTART_TIME),
                families: self.families.iter().map(preserved).collect(),
            }));
            capabilities.push(Capability::LongLived(self.long_lived_families()));
        }
        Open {
            my_as: self.asn.two_octets(),
            hold_time: self.hold_time.as_secs(),
            router_id: self.router_id,
            capabilities,
        }
    }

    /// Judges the neighbour's OPEN: what is agreed on, or what the neighbour is told (RFC 4271 §6.2).
    ///
    /// A neighbour with our own identifier is refused within the AS alone (RFC 6286 §2.2).
    pub fn negotiate(&self, open: &Open) -> Result<Negotiated, Notification> {
        let Some(remote_asn) = self.accepted_asn(open) else {
            return Err(Notification::new(ErrorCode::BAD_PEER_AS));
        };
        let internal = remote_asn == self.asn;
        if open.router_id.is_unspecified() || (internal && open.router_id == self.router_id) {
            return Err(Notification::new(ErrorCode::BAD_BGP_IDENTIFIER));
        }
        let Ok(remote_hold_time) = HoldTime::from_secs(open.hold_time) else {
            return Err(Notification::new(ErrorCode::UNACCEPTABLE_HOLD_TIME));
        };
        let role = self.role.filter(|_| !internal);
        if role.is_some_and(|local| !fits(local, &open.roles())) {
            return Err(Notification::new(ErrorCode::ROLE_MISMATCH));
        }
        let families: BTreeSet<_> = self.families.intersection(&offered(open)).copied().collect();
        if families.is_empty() {
            return Err(self.no_common_family());
        }
        let restart = open.graceful_restart().filter(|_| self.graceful_restart.is_some());
        // Without the other capability this one means nothing (RFC 9494 §3.1).
        let long_lived = restart.and(open.long_lived()).map(<[LongLivedFamily]>::to_vec);
        Ok(Negotiated {
            remote_asn,
            remote_router_id: open.router_id,
            hold_time: self.hold_time.min(remote_hold_time),
            families,
            four_octet_asn: open.four_octet_asn().is_some(),
            internal,
            extended_messages: open.capabilities.contains(&Capability::ExtendedMessage),
            graceful_restart: restart.cloned(),
            graceful_notification: self.graceful_notification && restart.is_some_and(|its| its.notification),
            route_refresh: open.capabilities.contains(&Capability::RouteRefresh),
            long_lived,
            enhanced_refresh: open.capabilities.contains(&Capability::EnhancedRefresh),
            add_path: self.negotiated_add_path(open),
            extended_next_hop: self.extended_next_hop && open.takes_ipv4_by_ipv6(),
            role: role.map(|local| local.role),
        })
    }

    /// What we want kept beyond our restart time.
    fn long_lived_families(&self) -> Vec<LongLivedFamily> {
        let Some(time) = self.long_lived else { return Vec::new() };
        let stale_time = u32::try_from(time.as_secs()).unwrap_or(MAX_STALE_TIME).min(MAX_STALE_TIME);
        let family = |family: &Family| LongLivedFamily {
            afi: family.afi(),
            safi: family.safi(),
            // As with graceful restart: what forwards is the kernel.
            forwarding: true,
            stale_time,
        };
        self.families.iter().map(family).collect()
    }

    /// The families of which we take path identifiers and the neighbour says that it sends them (RFC 7911 §4).
    fn negotiated_add_path(&self, open: &Open) -> AddPath {
        let agreed = |family| {
            let offered = self.add_path && self.families.contains(&family);
            offered && open.add_path(family).is_some_and(|entry| entry.send)
        };
        AddPath { ipv4: agreed(Family::Ipv4), ipv6: agreed(Family::Ipv6) }
    }

    /// Unsupported Capability, with the capabilities that the neighbour lacks (RFC 5492 §5).
    fn no_common_family(&self) -> Notification {
        let capability = |family: &Family| {
            let [high, low] = family.afi().to_be_bytes();
            [1, 4, high, low, 0, family.safi()]
        };
        Notification {
            code: ErrorCode::UNSUPPORTED_CAPABILITY,
            data: self.families.iter().flat_map(capability).collect(),
        }
    }
}

/// Whether the roles that the neighbour says it has go with ours: the one that is ours seen from there, or, unless we insist,
/// none (RFC 9234 §4.2).
fn fits(local: LocalRole, said: &BTreeSet<u8>) -> bool {
    match said.first() {
        None => !local.strict,
        Some(role) => said.len() == 1 && *role == local.role.other().octet(),
    }
}

/// The families that an OPEN offers; IPv4 unicast when it names none (RFC 4760 §8).
fn offered(open: &Open) -> BTreeSet<Family> {
    let mut named = open
        .capabilities
        .iter()
        .filter_map(|capability| {
            if let Capability::Multiprotocol { afi, safi } = capability { Some((*afi, *safi)) } else { None }
        })
        .peekable();
    if named.peek().is_none() {
        return BTreeSet::from([Family::Ipv4]);
    }
    named.filter_map(|(afi, safi)| Family::from_afi_safi(afi, safi)).collect()
}
