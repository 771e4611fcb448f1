//! What this crate reads in UPDATEs, in BIRD's words.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use bgp::{
    Path, Prefix,
    wire::{Attributes, Context, Framer, Message, MpReach, Nlri, Origin, Update},
};

use super::router::REMOTE_ASN;

/// What BIRD's command line cuts a long value with.
const CUT: &str = "...";

/// Attributes by BIRD's name for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Route(BTreeMap<String, String>);

/// Routes by prefix.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(BTreeMap<Prefix, Route>);

impl Route {
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Adds to a value that went over a line's end.
    pub(crate) fn extend(&mut self, name: &str, more: &str) {
        if let Some(value) = self.0.get_mut(name) {
            *value = format!("{value} {more}");
        }
    }

    fn of(attributes: &Attributes<'_>, next_hop: String, internal: bool) -> Self {
        let mut route = Self::default();
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                route.set(name, value);
            }
        };
        set("origin", attributes.origin.map(origin));
        set("as_path", Path::of(attributes).map(|path| path.to_string().replace(',', " ")));
        set("next_hop", Some(next_hop));
        set("med", attributes.med.map(|med| med.to_string()));
        // BIRD gives what external neighbours tell the default.
        let default = (!internal).then_some(100);
        set("local_pref", attributes.local_pref.or(default).map(|value| value.to_string()));
        set("atomic_aggr", attributes.atomic_aggregate.then(String::new));
        let wide =
            attributes.as4_aggregator.filter(|_| attributes.aggregator.is_some_and(|by| by.asn == 23_456));
        set("aggregator", wide.or(attributes.aggregator).map(|by| format!("{} AS{}", by.router_id, by.asn)));
        let communities =
            attributes.communities.map(|all| list(all.iter().map(|one| (one.0 >> 16, one.0 & 0xffff))));
        set("community", communities.map(|all| all.replace(", ", ",")));
        let large = |all: bgp::wire::LargeCommunities<'_>| {
            list(all.iter().map(|one| (one.global, one.local1, one.local2)))
        };
        set("large_community", attributes.large_communities.map(large));
        set("ext_community", attributes.extended_communities.map(|all| join(all.iter().map(extended))));
        set("originator_id", attributes.originator_id.map(|id| id.to_string()));
        set("cluster_list", attributes.cluster_list.map(|all| join(all.iter().map(|id| id.to_string()))));
        for unknown in attributes.unknown() {
            let transitive = if unknown.flags & 0x40 == 0 { "" } else { " [t]" };
            let octets = join(unknown.value.iter().map(|octet| format!("{octet:02x}")));
            set(&format!("{:02x}{transitive}", unknown.kind), Some(octets));
        }
        route
    }
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// Tuples as Rust prints them for debugging are as BIRD prints communities.
fn list<T: std::fmt::Debug>(items: impl Iterator<Item = T>) -> String {
    join(items.map(|item| format!("{item:?}")))
}

fn origin(origin: Origin) -> String {
    match origin {
        Origin::Igp => "IGP",
        Origin::Egp => "EGP",
        Origin::Incomplete => "Incomplete",
    }
    .into()
}

/// An extended community (RFC 4360, RFC 5668): its kind, and two numbers whose widths depend on its type.
fn extended([kind, subtype, a, b, c, d, e, f]: [u8; 8]) -> String {
    let (word, half) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, f]));
    let (short, long) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
    let name = match u16::from_be_bytes([kind & 0xf0, subtype]) {
        0x0002 => "rt".into(),
        0x0003 => "ro".into(),
        _ => format!("unknown 0x{:x}", u16::from_be_bytes([kind, subtype])),
    };
    match kind {
        0x00 | 0x40 => format!("({name}, {short}, {long})"),
        0x01 | 0x41 => format!("({name}, {}, {half})", Ipv4Addr::from_bits(word)),
        0x02 | 0x42 => format!("({name}, {word}, {half})"),
        _ => {
            let high = u32::from_be_bytes([kind, subtype, a, b]);
            format!("(generic, 0x{high:x}, 0x{long:x})")
        }
    }
}

impl Table {
    /// Adds a route to a prefix that is written out.
    pub(crate) fn insert_text(&mut self, (prefix, route): (String, Route)) {
        let prefix: Prefix = prefix.parse().expect("a prefix");
        let old = self.0.insert(prefix, route);
        assert!(old.is_none(), "{prefix} is there twice");
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The names of all attributes of all routes; those that nobody knows have one.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &str> {
        let name = |name: &str| name.trim_end_matches(" [t]").len() == 2;
        self.0
            .values()
            .flat_map(|route| route.0.keys())
            .map(move |key| if name(key) { "unknown" } else { key })
    }

    /// Takes a message's octets.
    pub(crate) fn take(&mut self, message: &[u8], session: Context) {
        let mut framer = Framer::new();
        framer.space()[..message.len()].copy_from_slice(message);
        framer.filled(message.len());
        let frame = framer.next_frame(false).expect("a well-formed header").expect("a whole message");
        let Message::Update(update) = Message::decode(frame, session).expect("a message that resets nothing")
        else {
            panic!("no UPDATE");
        };
        self.update(&update, session.internal);
    }

    pub(crate) fn update(&mut self, update: &Update<'_>, internal: bool) {
        for prefix in update.withdrawn().flat_map(Nlri::iter) {
            self.0.remove(&prefix);
        }
        for nlri in update.announced() {
            let next_hop = next_hop(update, nlri);
            let is_taken = !update.treat_as_withdraw() && !is_refused_by_bird(update, nlri);
            let route = Route::of(&update.attributes, next_hop, internal);
            for prefix in nlri.iter() {
                if is_taken {
                    self.0.insert(prefix, route.clone());
                } else {
                    self.0.remove(&prefix);
                }
            }
        }
    }

    /// What BIRD tells a neighbour of its own AS of these routes: attributes that nobody knows go on only when they are
    /// transitive.
    pub(crate) fn told_on(mut self) -> Self {
        self.0.values_mut().for_each(|route| route.0.retain(|name, _| name.len() != 2));
        self
    }

    /// The same with its lists of communities in order: BIRD sorts what it tells.
    pub(crate) fn in_order(mut self) -> Self {
        let attributes = self.0.values_mut().flat_map(|route| &mut route.0);
        for (_, value) in attributes.filter(|(name, _)| name.ends_with("community")) {
            let mut communities: Vec<_> = value.split_inclusive(')').map(str::trim).collect();
            communities.sort_unstable();
            *value = communities.join(" ");
        }
        self
    }
}

fn next_hop(update: &Update<'_>, nlri: Nlri<'_>) -> String {
    match update.attributes.mp_reach {
        Some(MpReach::Known { next_hop, link_local, nlri: mp }) if mp.family() == nlri.family() => {
            join([next_hop.to_string()].into_iter().chain(link_local.map(|address| address.to_string())))
        }
        _ => update.attributes.next_hop.map(|address| address.to_string()).unwrap_or_default(),
    }
}

/// What BIRD does not take and the decoder has no word on: a path through its own AS, and an IPv4 address in the guise of
/// IPv6 as next hop.
fn is_refused_by_bird(update: &Update<'_>, nlri: Nlri<'_>) -> bool {
    let path = Path::of(&update.attributes).unwrap_or_default();
    let guised = match update.attributes.mp_reach {
        Some(MpReach::Known { next_hop: IpAddr::V6(address), nlri: mp, .. }) => {
            mp.family() == nlri.family() && address.to_ipv4_mapped().is_some()
        }
        _ => false,
    };
    path.contains(REMOTE_ASN) || guised
}

/// Each route of which the tables do not say the same.
pub(crate) fn differences(ours: &Table, theirs: &Table) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = ours.0.keys().chain(theirs.0.keys()).collect();
    let differs = |prefix: &&Prefix| match (ours.0.get(prefix), theirs.0.get(prefix)) {
        (Some(ours), Some(theirs)) => !agree(ours, theirs),
        (_, _) => true,
    };
    let line = |prefix: &Prefix| {
        format!("{prefix}\n  ours  {:?}\n  BIRD's {:?}", ours.0.get(prefix), theirs.0.get(prefix))
    };
    keys.into_iter().filter(differs).map(line).collect()
}

fn agree(ours: &Route, theirs: &Route) -> bool {
    let same = |name: &String, value: &String| match (theirs.0.get(name), value) {
        (Some(theirs), ours) if theirs.ends_with(CUT) => ours.starts_with(theirs.trim_end_matches(CUT)),
        (theirs, ours) => theirs == Some(ours),
    };
    ours.0.len() == theirs.0.len() && ours.0.iter().all(|(name, value)| same(name, value))
}
