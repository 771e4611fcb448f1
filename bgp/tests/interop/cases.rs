//! The rows of the matrix: what is planned, what must be seen, and which router cannot do it for what reason.

mod kept;

use bgp::{LocalRole, PeerStatus, Role};

use crate::{
    Cell,
    ground::Ends,
    plan::{Beside, Dials, OURS, Plan, Reach, THEIRS},
    router::{Brand, Shown},
    us, wait_until,
};

type Outcome = Result<(), String>;

/// A row.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) plan: fn(Plan) -> Plan,
    pub(crate) run: fn(&mut Cell<'_>) -> Outcome,
    /// Why a router has no part in it.
    pub(crate) cannot: fn(Brand) -> Option<&'static str>,
}

impl Case {
    const fn new(name: &'static str, plan: fn(Plan) -> Plan, run: fn(&mut Cell<'_>) -> Outcome) -> Self {
        Self { name, plan, run, cannot: |_| None }
    }
}

pub(crate) const CASES: &[Case] = &[
    Case::new("IPv4 and IPv6 on one session, external, AS 64600", |plan| plan, exchange),
    Case::new(
        "a session for each family, over its own addresses",
        |plan| Plan { apart: true, ..plan },
        exchange,
    ),
    Case::new("internal", |plan| Plan { their_asn: plan.our_asn, ..plan }, exchange),
    Case::new(
        "AS numbers of four octets at both ends",
        |plan| Plan { our_asn: 4_200_000_010, their_asn: 4_200_000_001, ..plan },
        exchange,
    ),
    Case::new("the router dials", |plan| Plan { dials: Dials::Router, ..plan }, exchange),
    Case::new("both dial", |plan| Plan { dials: Dials::Both, ..plan }, exchange),
    Case::new("TCP-MD5, we dial", |plan| Plan { password: Some("twelve-words"), ..plan }, exchange),
    Case::new(
        "TCP-MD5, the router dials",
        |plan| Plan { password: Some("twelve-words"), dials: Dials::Router, ..plan },
        exchange,
    ),
    Case {
        cannot: |brand| match brand {
            Brand::Exabgp => Some("ExaBGP's listening socket answers with the system's time to live"),
            Brand::Bird | Brand::Frr | Brand::Gobgp => None,
        },
        ..Case::new("GTSM, we dial", |plan| Plan { reach: Reach::Gtsm, ..plan }, exchange)
    },
    Case::new(
        "GTSM, the router dials",
        |plan| Plan { reach: Reach::Gtsm, dials: Dials::Router, ..plan },
        exchange,
    ),
    Case::new("a hop between, which needs multihop", |plan| Plan { reach: Reach::Far, ..plan }, over_a_hop),
    Case::new(
        "hold time 9: kept by KEEPALIVEs, over when they stop",
        |plan| Plan { hold_time: 9, ..plan },
        hold_time,
    ),
    Case {
        cannot: no_table,
        ..Case::new(
            "graceful restart: our routes stay until our End-of-RIB",
            |plan| plan,
            kept::graceful_restart,
        )
    },
    Case {
        cannot: no_table,
        ..Case::new(
            "graceful restart that never comes: our routes go after our restart time",
            |plan| Plan { restart_time: 15, ..plan },
            kept::never_back,
        )
    },
    Case {
        cannot: |brand| match brand {
            Brand::Gobgp => {
                Some("GoBGP's softresetin applies its policy to what it has and asks for nothing")
            }
            Brand::Bird | Brand::Frr | Brand::Exabgp => None,
        },
        ..Case::new("route refresh: we tell everything again", |plan| plan, route_refresh)
    },
    Case {
        cannot: |brand| match brand {
            Brand::Exabgp => Some("ExaBGP fails to decode a text in a Cease, whoever sends it"),
            Brand::Bird | Brand::Frr | Brand::Gobgp => None,
        },
        ..Case::new("our shutdown's text is shown by the router", |plan| plan, our_text)
    },
    Case {
        cannot: |brand| match brand {
            Brand::Exabgp => Some("ExaBGP's teardown takes a subcode and no text"),
            Brand::Bird | Brand::Frr | Brand::Gobgp => None,
        },
        ..Case::new("the router's shutdown's text is shown by us", |plan| plan, their_text)
    },
    Case::new(
        "both families over IPv6 alone: IPv4 routes by IPv6 next hops",
        |plan| Plan { reach: Reach::NearV6, ..plan },
        over_ipv6_alone,
    ),
    Case {
        cannot: |brand| match brand {
            Brand::Gobgp => Some("GoBGP shows the global next hop alone"),
            Brand::Frr => Some("FRR's bgpd knows interfaces from its zebra alone, which is not run here"),
            Brand::Bird | Brand::Exabgp => None,
        },
        ..Case::new(
            "over IPv6: our link-local next hop beside the global one",
            |plan| Plan { apart: true, beside: Beside::LinkLocal, ..plan },
            link_local,
        )
    },
    Case {
        cannot: no_table,
        ..Case::new(
            "long-lived graceful restart: our routes stay as the last choice",
            |plan| Plan { restart_time: 3, beside: Beside::LongLived, ..plan },
            kept::long_lived,
        )
    },
    Case {
        cannot: |brand| match brand {
            Brand::Gobgp => Some("GoBGP 3.10 knows no roles"),
            Brand::Exabgp => Some("ExaBGP 4.2.21 knows no roles"),
            Brand::Bird | Brand::Frr => None,
        },
        ..Case::new(
            "roles: the router is our provider, marks its routes, and is refused as a peer",
            |plan| Plan { beside: Beside::Roles, ..plan },
            roles,
        )
    },
    Case {
        cannot: |brand| match brand {
            Brand::Bird => Some("BIRD 2.0.12 knows no graceful restart over a NOTIFICATION"),
            Brand::Exabgp => no_table(brand),
            Brand::Frr | Brand::Gobgp => None,
        },
        ..Case::new(
            "graceful restart over a NOTIFICATION, of either end",
            |plan| Plan { beside: Beside::Notification, ..plan },
            kept::over_a_notification,
        )
    },
];

fn no_table(brand: Brand) -> Option<&'static str> {
    match brand {
        Brand::Exabgp => Some("ExaBGP has no table in which routes could stay"),
        Brand::Bird | Brand::Frr | Brand::Gobgp => None,
    }
}

/// Both ends have what the other announced, and what we withdraw goes.
fn exchange(cell: &mut Cell<'_>) -> Outcome {
    cell.us.start(false);
    cell.us.announce(&OURS);
    told_and_withdrawn(cell)
}

/// The same, and the router's IPv4 route has an IPv6 next hop.
fn over_ipv6_alone(cell: &mut Cell<'_>) -> Outcome {
    cell.us.start(false);
    cell.us.announce(&OURS);
    cell.us.established()?;
    cell.us.learned()?;
    let (hop, theirs) = (cell.us.next_hop(THEIRS[0]), Ends::near_v6(cell.plan.cell).theirs);
    if hop != Some(theirs) {
        return Err(format!("{} is by {hop:?}, not by {theirs}", THEIRS[0]));
    }
    told_and_withdrawn(cell)
}

fn link_local(cell: &mut Cell<'_>) -> Outcome {
    cell.us.start(false);
    cell.us.announce(&OURS);
    cell.us.established()?;
    let wanted = expected(cell, OURS[1]);
    cell.wait("a link-local next hop beside the global one", |router| {
        router.route(OURS[1]) == Some(wanted.clone()) && router.has_link_local(OURS[1])
    })
}

/// With the right role a session, over which the router marks what it tells; with a wrong one none, which we say.
fn roles(cell: &mut Cell<'_>) -> Outcome {
    exchange(cell)?;
    let (marked, theirs) = (cell.us.only_to_customer(THEIRS[0]), cell.plan.their_asn);
    if marked != Some(theirs) {
        return Err(format!("{} is marked by {marked:?}, not by {theirs}", THEIRS[0]));
    }
    let session = &cell.plan.sessions()[0];
    let mut peer = cell.us.peer(session);
    peer.role = Some(LocalRole { role: Role::Peer, strict: true });
    cell.us.speaker().set_peers(vec![peer]);
    let refused =
        |status: &PeerStatus| status.last_error.as_ref().is_some_and(|error| error.contains("Role Mismatch"));
    cell.us.status(session.name, "the role is refused", refused).map(drop)
}

fn told_and_withdrawn(cell: &mut Cell<'_>) -> Outcome {
    cell.us.established()?;
    for prefix in OURS {
        let wanted = expected(cell, prefix);
        cell.wait(&format!("{prefix} as {wanted:?}"), |router| router.route(prefix) == Some(wanted.clone()))?;
    }
    cell.us.learned()?;
    cell.us.announce(&OURS[..1]);
    cell.wait("the IPv6 route is gone", |router| router.route(OURS[1]).is_none())?;
    cell.us.announce(&OURS[1..]);
    cell.wait("the IPv4 route is gone, the IPv6 route back", |router| {
        router.route(OURS[0]).is_none() && router.route(OURS[1]).is_some()
    })
}

/// What the router is to show of a route of ours.
fn expected(cell: &Cell<'_>, prefix: &str) -> Shown {
    let plan = &cell.plan;
    let is_v6 = prefix.contains(':') || plan.reach == Reach::NearV6;
    let near = if is_v6 { Ends::near_v6(plan.cell) } else { Ends::near(plan.cell) };
    Shown {
        as_path: if plan.internal() { Vec::new() } else { vec![plan.our_asn.into()] },
        next_hop: Some(near.ours),
        med: Some(us::MED.into()),
        communities: vec![us::COMMUNITY.into()],
        large_communities: vec![us::LARGE_COMMUNITY.into()],
    }
}

/// Without multihop our packets do not get there.
fn over_a_hop(cell: &mut Cell<'_>) -> Outcome {
    let sessions = cell.plan.sessions();
    let mut peer = cell.us.peer(&sessions[0]);
    peer.multihop = None;
    cell.us.start_with(vec![peer], false);
    cell.us.announce(&OURS);
    let failed = |status: &PeerStatus| status.last_error.is_some();
    let status = cell.us.status(sessions[0].name, "an attempt fails", failed)?;
    if status.counters.connects > 0 {
        return Err(format!("a connection was made over a hop without multihop: {status:?}"));
    }
    cell.us.speaker().set_peers(vec![cell.us.peer(&sessions[0])]);
    told_and_withdrawn(cell)
}

fn hold_time(cell: &mut Cell<'_>) -> Outcome {
    cell.us.start(false);
    cell.us.announce(&OURS);
    cell.us.established()?;
    cell.us.learned()?;
    let name = cell.plan.sessions()[0].name;
    let before = cell.us.status(name, "a status", |_| true)?.counters.messages_in;
    // One in a third of the hold time: longer than it.
    let kept = |status: &PeerStatus| status.counters.messages_in > before + 4;
    let status = cell.us.status(name, "KEEPALIVEs come", kept)?;
    if status.counters.established != 1 || status.session.is_none() {
        return Err(format!("the session did not stay: {status:?}"));
    }
    cell.router.program().freeze();
    let expired = |status: &PeerStatus| {
        status.last_error.as_ref().is_some_and(|error| error.contains("Hold Timer Expired"))
    };
    cell.us.status(name, "the hold timer expires", expired).map(drop)
}

fn route_refresh(cell: &mut Cell<'_>) -> Outcome {
    cell.us.start(false);
    cell.us.announce(&OURS);
    cell.us.established()?;
    let name = cell.plan.sessions()[0].name;
    let before = cell.us.status(name, "all is told", |status| status.in_sync)?.counters.updates_out;
    cell.wait("both routes", |router| OURS.iter().all(|prefix| router.route(prefix).is_some()))?;
    cell.router.ask_again();
    let again = |status: &PeerStatus| status.in_sync && status.counters.updates_out >= before + 2;
    cell.us.status(name, "both families are told again", again)?;
    cell.wait("both routes are there", |router| OURS.iter().all(|prefix| router.route(prefix).is_some()))
}

fn our_text(cell: &mut Cell<'_>) -> Outcome {
    cell.us.start(false);
    cell.us.announce(&OURS);
    cell.us.established()?;
    cell.us.learned()?;
    cell.us.goodbye("rack 4 moves, ticket 17");
    cell.wait("the text is told", |router| router.told().contains("rack 4 moves, ticket 17"))?;
    cell.wait("the routes are gone", |router| OURS.iter().all(|prefix| router.route(prefix).is_none()))
}

fn their_text(cell: &mut Cell<'_>) -> Outcome {
    cell.us.start(false);
    cell.us.announce(&OURS);
    cell.us.established()?;
    cell.us.learned()?;
    cell.router.goodbye("router upgrade, ticket 18");
    let told = |status: &PeerStatus| {
        status.last_error.as_ref().is_some_and(|error| {
            error.contains("Administrative Shutdown") && error.contains("router upgrade, ticket 18")
        })
    };
    cell.us.status(cell.plan.sessions()[0].name, "the text", told).map(drop)
}

/// Waits as the cell's router sees it.
impl Cell<'_> {
    pub(super) fn wait(&self, what: &str, wanted: impl Fn(&dyn crate::router::Router) -> bool) -> Outcome {
        let shown = || {
            let routes: Vec<_> = OURS.iter().map(|prefix| self.router.route(prefix)).collect();
            let told = self.router.told();
            let tail = told.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
            format!("{routes:#?}\n{}", &told[tail..])
        };
        wait_until(what, || wanted(&*self.router), shown)
    }
}
