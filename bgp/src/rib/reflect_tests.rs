//! What clients of a route reflector hear of one another, over the wire's own messages.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
    sync::Arc,
};

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::{
    Asn, Community, Family, HoldTime, Prefix, RouteAttributes, RouteSet,
    fsm::Negotiated,
    policy::{ExportFilter, Import, Rule, Verdict},
    wire::{
        AddPath, Context, Frame, GracefulRestart, HEADER_LEN, Message, MessageType, encode_announce,
        encode_withdraw,
    },
};

const ASN: u32 = 64_600;

fn asn() -> Asn {
    Asn::new(ASN).unwrap()
}

fn id(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 64, 0, last)
}

fn negotiated(with: u8) -> Negotiated {
    Negotiated {
        remote_asn: asn(),
        remote_router_id: id(with),
        hold_time: HoldTime::DEFAULT,
        families: [Family::Ipv4].into(),
        four_octet_asn: true,
        internal: true,
        extended_messages: false,
        graceful_restart: None,
        graceful_notification: false,
        route_refresh: true,
        long_lived: None,
        enhanced_refresh: true,
        add_path: AddPath::default(),
        extended_next_hop: false,
        role: None,
    }
}

/// One end of a session.
struct Link {
    heard: AdjRibIn,
    out: AdjRibOut,
    with: Neighbourhood,
    source: Arc<Source>,
    /// UPDATEs on their way to the other end.
    sent: VecDeque<Vec<u8>>,
}

/// A node, or a reflector when it has a cluster.
struct Speaker {
    cluster: Option<u8>,
    own: RouteSet,
    table: LocRib,
    links: BTreeMap<u8, Link>,
    complete: Complete,
}

impl Speaker {
    fn new(cluster: Option<u8>) -> Self {
        let (own, table, links) = Default::default();
        Self { cluster, own, table, links, complete: Complete::ToAll }
    }

    /// A session with `with` comes up at the end of `own`.
    fn connect(&mut self, own: u8, with: u8) {
        let families = [Family::Ipv4].into();
        let agreed = negotiated(with);
        let mut export = Export::new(asn(), &families, &agreed, id(own).into(), None, None);
        if let Some(cluster) = self.cluster {
            export = export.filtered(ExportFilter::Only(Vec::new())).reflecting(
                id(cluster),
                &agreed,
                id(with).into(),
            );
        }
        let cluster_id = id(self.cluster.unwrap_or(own));
        let (local, remote) = (id(own).into(), id(with).into());
        let with_ =
            Neighbourhood { asn: ASN, router_id: id(own), cluster_id, local, remote, negotiated: agreed };
        let take_all = Import::new(vec![Rule { verdict: Verdict::ACCEPT, ..Rule::default() }]);
        let source = Source { peer: with.to_string(), address: remote, router_id: id(with), internal: true };
        let link = Link {
            heard: AdjRibIn::new(take_all),
            out: AdjRibOut::new(export),
            with: with_,
            source: Arc::new(source),
            sent: VecDeque::new(),
        };
        self.links.insert(with, link);
    }

    /// Everything that the table has may be passed on.
    fn permits(&self) -> Permits {
        let mut permits = Permits { complete: self.complete, ..Permits::default() };
        for (prefix, path) in self.table.paths() {
            let way = Way { peer: path.source.peer.clone(), next_hop: path.route.next_hop };
            permits.ways.entry(prefix).or_default().insert(way);
        }
        permits
    }

    /// Tells every neighbour what there is to be told.
    fn speak(&mut self) {
        let reflected = match self.cluster {
            Some(_) => Reflected::of(&self.table, &self.permits()),
            None => Reflected::default(),
        };
        for link in self.links.values_mut() {
            link.out.set_with(&self.own, &reflected);
            while let Some(batch) = link.out.next_batch() {
                link.sent.extend(message(&link.out, &batch));
            }
        }
    }

    fn hear(&mut self, from: u8, bytes: &[u8]) {
        let link = self.links.get_mut(&from).unwrap();
        let frame = Frame { kind: MessageType::Update, body: &bytes[HEADER_LEN..] };
        let Ok(Message::Update(update)) = Message::decode(frame, Context::new(true, true)) else {
            panic!("an UPDATE")
        };
        assert_eq!(update.malformed, []);
        let changes = link.heard.update(&update, &link.with);
        self.table.apply(&link.source, changes);
    }
}

fn message(rib: &AdjRibOut, batch: &Batch) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match batch {
        Batch::Withdraw { family, prefixes } => encode_withdraw(&mut out, *family, prefixes).unwrap(),
        Batch::Announce { family, said, prefixes } => {
            let announcement = rib.export().announcement(*family, said).unwrap();
            encode_announce(&mut out, &announcement, prefixes, true).unwrap()
        }
        Batch::EndOfRib(_) | Batch::Refresh(..) => return None,
    };
    Some(out)
}

/// Speakers by the last part of their identifiers: nodes from 1, reflectors from 101.
struct Net(BTreeMap<u8, Speaker>);

impl Net {
    fn new(nodes: u8, clusters: &[u8]) -> Self {
        let nodes = (1..=nodes).map(|node| (node, Speaker::new(None)));
        let reflectors = (101..).zip(clusters).map(|(own, cluster)| (own, Speaker::new(Some(*cluster))));
        Self(nodes.chain(reflectors).collect())
    }

    fn connect(&mut self, one: u8, other: u8) {
        self.0.get_mut(&one).unwrap().connect(one, other);
        self.0.get_mut(&other).unwrap().connect(other, one);
    }

    fn node(&mut self, node: u8) -> &mut Speaker {
        self.0.get_mut(&node).unwrap()
    }

    fn announce(&mut self, node: u8, prefix: Prefix, attributes: RouteAttributes) {
        self.node(node).own.insert(prefix, attributes);
        self.node(node).speak();
    }

    fn withdraw(&mut self, node: u8, prefix: Prefix) {
        let own = std::mem::take(&mut self.node(node).own);
        let rest = own.iter().filter(|(other, _)| **other != prefix);
        self.node(node).own = rest.map(|(prefix, attributes)| (*prefix, attributes.clone())).collect();
        self.node(node).speak();
    }

    /// Links on which something is on its way.
    fn busy(&self) -> Vec<(u8, u8)> {
        let of = |(from, speaker): (&u8, &Speaker)| {
            let busy = speaker.links.iter().filter(|(_, link)| !link.sent.is_empty());
            busy.map(|(to, _)| (*from, *to)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    fn deliver(&mut self, from: u8, to: u8) {
        let bytes = self.node(from).links.get_mut(&to).unwrap().sent.pop_front().unwrap();
        self.check(from, to, &bytes);
        self.node(to).hear(from, &bytes);
        if self.node(to).cluster.is_some() {
            self.node(to).speak();
        }
    }

    /// Nobody is told what it told or brought itself, and no route goes through a cluster twice.
    fn check(&self, from: u8, to: u8, bytes: &[u8]) {
        let frame = Frame { kind: MessageType::Update, body: &bytes[HEADER_LEN..] };
        let Ok(Message::Update(update)) = Message::decode(frame, Context::new(true, true)) else {
            panic!("an UPDATE")
        };
        assert_ne!(update.attributes.originator_id, Some(id(to)), "{from} sends {to} its own route back");
        let clusters: Vec<_> = update.attributes.cluster_list.iter().flat_map(|all| all.iter()).collect();
        let distinct: BTreeSet<_> = clusters.iter().collect();
        assert_eq!(distinct.len(), clusters.len(), "a route was in a cluster twice: {clusters:?}");
    }

    /// Lets everything that is on its way arrive.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let Some((from, to)) = self.busy().first().copied() else { return };
            self.deliver(from, to);
        }
        panic!("the reflectors talk for ever: {:?}", self.busy());
    }

    /// The next hop by which a node reaches a prefix.
    fn way(&self, node: u8, prefix: Prefix) -> Option<std::net::IpAddr> {
        self.0[&node].table.best(prefix).map(|path| path.route.next_hop)
    }
}

fn prefix(n: u8) -> Prefix {
    Prefix::new(Ipv4Addr::new(10, 67, n, 0).into(), 26).unwrap()
}

fn plain() -> RouteAttributes {
    RouteAttributes::default()
}

/// Three nodes, each with a session with one reflector.
fn star() -> Net {
    let mut net = Net::new(3, &[101]);
    (1..=3).for_each(|node| net.connect(node, 101));
    net
}

#[test]
fn a_client_hears_the_others_routes_by_their_own_next_hops_and_its_own_never() {
    let mut net = star();
    (1..=3).for_each(|node| net.announce(node, prefix(node), plain()));
    net.settle();
    for node in 1..=3 {
        for other in 1..=3 {
            let expected = (node != other).then(|| id(other).into());
            assert_eq!(net.way(node, prefix(other)), expected, "{node} to {other}");
        }
    }
    let path = net.0[&1].table.best(prefix(2)).unwrap();
    assert_eq!((path.route.originator_id, &path.route.cluster_list), (Some(id(2)), &vec![id(101)]));
    net.withdraw(2, prefix(2));
    net.settle();
    assert_eq!((net.way(1, prefix(2)), net.way(3, prefix(2))), (None, None));
    assert_eq!(net.way(1, prefix(3)), Some(id(3).into()));
}

#[test]
fn a_block_that_moves_is_one_announcement_and_no_withdrawal() {
    let mut net = star();
    net.announce(1, prefix(7), plain());
    net.settle();
    // The new owner tells it before the old one withdraws it, and goes before: it has the higher LOCAL_PREF.
    net.announce(2, prefix(7), RouteAttributes { local_pref: Some(200), ..plain() });
    net.settle();
    assert_eq!(net.way(3, prefix(7)), Some(id(2).into()));
    net.withdraw(1, prefix(7));
    net.deliver(1, 101);
    assert_eq!(net.busy(), [], "nobody has anything new to hear");
    assert_eq!((net.way(1, prefix(7)), net.way(3, prefix(7))), (Some(id(2).into()), Some(id(2).into())));
}

#[test]
fn only_what_is_permitted_is_passed_on_and_nothing_that_is_for_nobody_else() {
    let mut net = star();
    net.announce(1, prefix(1), plain());
    net.announce(2, prefix(2), RouteAttributes { communities: vec![Community::NO_ADVERTISE], ..plain() });
    net.settle();
    assert_eq!(net.way(3, prefix(2)), None);
    let reflector = net.node(101);
    let mut permits = reflector.permits();
    assert_eq!(Reflected::of(&reflector.table, &permits).routes().len(), 1);
    permits.ways.insert(prefix(1), [Way { peer: "1".into(), next_hop: id(9).into() }].into());
    let changed = Reflected::of(&reflector.table, &permits);
    assert_eq!(changed.routes().len(), 0, "it is another way by now");
}

#[test]
fn clients_hear_no_end_of_rib_before_everything_was_told_that_they_could_have_kept() {
    let mut net = star();
    // 3 restarts itself, and tells nothing before it has heard the end from us.
    let restart = GracefulRestart { restarting: true, ..GracefulRestart::default() };
    let restarting = Negotiated { graceful_restart: Some(restart), ..negotiated(3) };
    let families = [Family::Ipv4].into();
    let export = Export::new(asn(), &families, &restarting, id(101).into(), None, None);
    let export = export.filtered(ExportFilter::Only(Vec::new()));
    let reflector = net.node(101);
    reflector.links.get_mut(&3).unwrap().out =
        AdjRibOut::new(export.reflecting(id(101), &restarting, id(3).into()));
    let hear_it = |net: &mut Net, complete| {
        let reflector = net.node(101);
        reflector.complete = complete;
        reflector.speak();
        [1, 3].map(|node| net.0[&101].links[&node].out.is_in_sync())
    };
    assert_eq!(hear_it(&mut net, Complete::No), [false, false]);
    net.announce(2, prefix(2), plain());
    net.settle();
    assert_eq!(net.way(1, prefix(2)), Some(id(2).into()), "routes are told meanwhile");
    assert_eq!(hear_it(&mut net, Complete::No), [false, false]);
    assert_eq!(hear_it(&mut net, Complete::ToRestarting), [false, true]);
    assert_eq!(hear_it(&mut net, Complete::ToAll), [true, true]);
}

#[test]
fn routes_of_a_client_that_restarts_stay_with_the_others_until_its_time_is_over() {
    let mut net = star();
    net.announce(2, prefix(2), plain());
    net.settle();
    let reflector = net.node(101);
    let link = reflector.links.get_mut(&2).unwrap();
    let marked = link.heard.mark_stale(Family::Ipv4);
    reflector.table.apply(&link.source, marked);
    reflector.speak();
    assert_eq!(net.busy(), [], "nobody hears of it");
    let reflector = net.node(101);
    let link = reflector.links.get_mut(&2).unwrap();
    let gone = link.heard.purge_stale(Family::Ipv4);
    reflector.table.apply(&link.source, gone);
    reflector.speak();
    net.settle();
    assert_eq!((net.way(1, prefix(2)), net.way(3, prefix(2))), (None, None));
}

#[test]
fn what_is_kept_beyond_a_restart_is_passed_on_only_to_clients_that_know_what_that_is() {
    let mut net = star();
    net.announce(2, prefix(2), plain());
    net.settle();
    // 1 knows of it, 3 does not.
    let reflector = net.node(101);
    let knows = Negotiated { long_lived: Some(Vec::new()), ..negotiated(1) };
    let families = [Family::Ipv4].into();
    let export = Export::new(asn(), &families, &knows, id(101).into(), None, None);
    let export = export.filtered(ExportFilter::Only(Vec::new())).reflecting(id(101), &knows, id(1).into());
    reflector.links.get_mut(&1).unwrap().out = AdjRibOut::new(export);
    let link = reflector.links.get_mut(&2).unwrap();
    link.heard.mark_stale(Family::Ipv4);
    let marked = link.heard.mark_long_lived(Family::Ipv4);
    reflector.table.apply(&link.source, marked);
    reflector.speak();
    net.settle();
    assert_eq!((net.way(1, prefix(2)), net.way(3, prefix(2))), (Some(id(2).into()), None));
    assert!(net.0[&1].table.best(prefix(2)).unwrap().route.is_long_lived_stale());
}

/// What happens in a net: a node announces or withdraws a prefix, or something arrives.
#[derive(Clone, Debug)]
enum Step {
    Announce(u8, u8, Option<u32>),
    Withdraw(u8, u8),
    Deliver(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let announce = (1_u8..=4, 0_u8..3, proptest::option::of(0_u32..3));
    prop_oneof![
        announce.prop_map(|(node, n, med)| Step::Announce(node, n, med)),
        (1_u8..=4, 0_u8..3).prop_map(|(node, n)| Step::Withdraw(node, n)),
        any::<Index>().prop_map(Step::Deliver),
        any::<Index>().prop_map(Step::Deliver),
    ]
}

/// Four nodes and two reflectors: of one cluster, each with every node; or of two, clients of each other, and a node has one
/// of them or both.
fn net(is_one_cluster: bool, homes: [u8; 4]) -> Net {
    let mut net = Net::new(4, if is_one_cluster { &[100, 100] } else { &[101, 102] });
    for (node, home) in (1_u8..).zip(homes) {
        for (reflector, other) in [(101, 1), (102, 0)] {
            if is_one_cluster || home != other {
                net.connect(node, reflector);
            }
        }
    }
    if !is_one_cluster {
        net.connect(101, 102);
    }
    net
}

proptest! {
    /// However messages and changes interleave: nobody hears its own route, no route is in a cluster twice, all comes to
    /// rest, what nobody announces is left nowhere, and what somebody else announces everybody has.
    #[test]
    fn two_reflectors_leave_no_withdrawn_route_and_loop_none(
        is_one_cluster: bool, homes in proptest::array::uniform4(0_u8..3),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut net = net(is_one_cluster, homes);
        for step in steps {
            match step {
                Step::Announce(node, n, med) => {
                    net.announce(node, prefix(n), RouteAttributes { med, ..RouteAttributes::default() });
                }
                Step::Withdraw(node, n) => net.withdraw(node, prefix(n)),
                Step::Deliver(index) => {
                    let busy = net.busy();
                    if !busy.is_empty() {
                        let (from, to) = *index.get(&busy);
                        net.deliver(from, to);
                    }
                }
            }
        }
        net.settle();
        for n in 0..3 {
            let owners: BTreeSet<u8> =
                (1..=4).filter(|node| net.0[node].own.contains_key(&prefix(n))).collect();
            for (node, speaker) in &net.0 {
                let way = net.way(*node, prefix(n));
                let is_owner = |way: std::net::IpAddr| owners.iter().any(|owner| way == id(*owner));
                prop_assert!(way.is_none_or(is_owner), "{node} has {way:?}, announced by {owners:?}");
                let lacks = way.is_none() && !owners.is_empty() && !owners.contains(node);
                prop_assert!(!lacks, "{node} has no way to what {owners:?} announce; cluster {:?}", speaker.cluster);
            }
        }
    }
}
