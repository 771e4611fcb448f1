//! UPDATEs of every kind, and what another program reads in them: BIRD 2, asked on its control socket.
//!
//! BIRD is fed with UPDATEs; the same octets are decoded here, and both tables have to agree, route by route and attribute
//! by attribute. Then BIRD tells its table to a second neighbour, and what is decoded of that has to agree as well. The
//! UPDATEs are made up, by an encoder that is the test's own. `MRT_UPDATES=FILE` adds those of a file as route collectors
//! publish them (RFC 6396, not compressed).

mod answers;
mod made_up;
mod mrt;
mod numbers;
mod reading;
#[path = "../router/mod.rs"]
mod router;
mod wire;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use bgp::{
    Family,
    wire::{Capability, Context, Framer, Message, Open, encode_keepalive},
};
use reading::{Table, differences};
use router::{Bird, PATIENCE, REMOTE_ASN};
use socket2::{Domain, Socket, Type};

/// Who feeds BIRD, and who hears it.
const FEEDER: Ipv4Addr = Ipv4Addr::LOCALHOST;
const COLLECTOR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// An external feeder's AS.
const FEEDER_ASN: u32 = 65_010;

/// UPDATEs between two looks at BIRD's table: what a later one replaces was seen before.
const AT_ONCE: usize = 1000;

/// UPDATEs of each session.
const UPDATES: usize = 3000;

fn bird(feeder: u32, extra: &str) -> Bird {
    Bird::configured(|port| {
        let neighbour = |name: &str, address, asn, extra: &str, export: &str| {
            let channel = format!("{{ import all; export {export}; next hop keep; }}");
            format!(
                "protocol bgp {name} {{ local 127.0.0.1 port {port} as {REMOTE_ASN}; neighbor {address} as {asn}; \
                 strict bind; passive; multihop; {extra} ipv4 {channel}; ipv6 {channel}; }}\n"
            )
        };
        neighbour("feeder", FEEDER, feeder, extra, "none")
            + &neighbour("collector", COLLECTOR, REMOTE_ASN, "", "where proto = \"feeder\"")
    })
}

/// Our end of a session that is up.
struct Session {
    stream: std::net::TcpStream,
    framer: Framer,
}

impl Session {
    fn establish(from: Ipv4Addr, asn: u32, four_octet_asn: bool, bird: &Bird) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(from.into(), 0).into()).expect("an address of this machine's");
        socket.connect(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), bird.port).into()).expect("BIRD listens");
        let mut stream: std::net::TcpStream = socket.into();
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut capabilities = vec![Capability::family(Family::Ipv4), Capability::family(Family::Ipv6)];
        capabilities.extend(four_octet_asn.then_some(Capability::FourOctetAsn(asn)));
        let my_as = u16::try_from(asn).expect("two octets");
        let open = Open { my_as, hold_time: 0, router_id: Ipv4Addr::new(192, 0, 2, 10), capabilities };
        let mut out = Vec::new();
        open.encode(&mut out).expect("it fits");
        encode_keepalive(&mut out);
        stream.write_all(&out).expect("BIRD reads");
        Self { stream, framer: Framer::new() }
    }

    /// What BIRD tells, until it is so many routes.
    fn whole_table(&mut self, routes: usize) -> Table {
        let mut table = Table::default();
        while table.len() < routes {
            let Some(frame) = self.framer.next_frame(false).expect("a well-formed stream") else {
                let count = self.stream.read(self.framer.space()).expect("more routes");
                assert!(count > 0, "BIRD has closed the session");
                self.framer.filled(count);
                continue;
            };
            let message = Message::decode(frame, Context::new(true, true)).expect("a message");
            if let Message::Update(update) = message {
                assert_eq!(update.malformed, []);
                table.update(&update, true);
            }
        }
        table
    }
}

/// BIRD's whole table, when it has read everything: it was told of a mark at last.
fn table_of(bird: &Bird, mark: &str) -> Table {
    bird.wait_until(&format!("BIRD has read up to {mark}"), || bird.has_route(mark));
    answers::parse(&bird.ask("show route all"))
}

/// BIRD after a feed: its table was compared at every step.
struct Fed {
    bird: Bird,
    theirs: Table,
    /// BIRD forgets the table when it ends.
    _feeder: Session,
}

impl Fed {
    fn compared(what: &str, updates: &[Vec<u8>], session: Context, extra: &str) -> Self {
        let start = Instant::now();
        let asn = if session.internal { REMOTE_ASN } else { FEEDER_ASN };
        let bird = bird(asn, extra);
        let mut feeder = Session::establish(FEEDER, asn, session.four_octet_asn, &bird);
        let (mut ours, mut theirs) = (Table::default(), Table::default());
        for (index, some) in updates.chunks(AT_ONCE).enumerate() {
            let (mark, last) = wire::mark(index, session);
            for message in some.iter().chain([&last]) {
                feeder.stream.write_all(message).expect("BIRD reads");
                ours.take(message, session);
            }
            theirs = table_of(&bird, &mark);
            assert_same(what, &ours, &theirs);
        }
        let (count, routes) = (updates.len(), theirs.len());
        println!("{what}: {count} UPDATEs, {routes} routes at the end, {:?}", start.elapsed());
        Self { bird, theirs, _feeder: feeder }
    }

    /// What BIRD tells another neighbour is read as what BIRD says that it has.
    fn compare_what_is_told(self) {
        let mut collector = Session::establish(COLLECTOR, REMOTE_ASN, true, &self.bird);
        // Asking has a side effect as well: this BIRD would sleep for 3 s before it tells anything.
        let is_up = || self.bird.ask("show protocols collector").contains("Established");
        self.bird.wait_until("the second session is up", is_up);
        let told = collector.whole_table(self.theirs.len());
        assert_same("what BIRD tells", &told.in_order(), &self.theirs.told_on().in_order());
    }
}

fn assert_same(what: &str, ours: &Table, theirs: &Table) {
    let wrong = differences(ours, theirs);
    let first = wrong.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{what}: {} routes differ, the first of them:\n{first}", wrong.len());
}

/// How often each attribute is in a table.
fn attributes(table: &Table) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    table.attributes().for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

fn has_enough_of(table: &Table, names: &[&str]) {
    let counts = attributes(table);
    for name in names {
        assert!(
            counts.get(name).is_some_and(|count| *count >= 200),
            "{name} is seldom or not there: {counts:?}"
        );
    }
}

const COMMON: [&str; 10] = [
    "origin",
    "as_path",
    "next_hop",
    "med",
    "atomic_aggr",
    "aggregator",
    "community",
    "ext_community",
    "large_community",
    "unknown",
];

#[test]
fn updates_of_every_kind_are_read_as_bird_reads_them_and_so_is_what_bird_makes_of_them() {
    let session = Context::new(true, false);
    let fed = Fed::compared("external", &made_up::updates(1, UPDATES, session), session, "");
    has_enough_of(&fed.theirs, &COMMON);
    fed.compare_what_is_told();
}

#[test]
fn wide_as_numbers_through_two_octet_routers_are_put_together_as_bird_does_it() {
    let session = Context::new(false, false);
    let updates = made_up::updates(2, UPDATES, session);
    let fed = Fed::compared("two octets", &updates, session, "enable as4 off;");
    has_enough_of(&fed.theirs, &COMMON);
    fed.compare_what_is_told();
}

#[test]
fn updates_from_within_the_as_are_read_as_bird_reads_them() {
    let session = Context::new(true, true);
    let fed = Fed::compared("internal", &made_up::updates(3, UPDATES, session), session, "");
    has_enough_of(&fed.theirs, &COMMON);
    has_enough_of(&fed.theirs, &["local_pref", "originator_id", "cluster_list"]);
}

#[test]
fn updates_of_a_route_collector_are_read_as_bird_reads_them() {
    let session = Context::new(true, false);
    let file = std::env::var_os("MRT_UPDATES").map(|file| std::fs::read(file).expect("the file"));
    // Without one the way to it is tried with records that are made up.
    let file = file.unwrap_or_else(|| mrt::file_of(&made_up::updates(4, 500, session)));
    let updates = mrt::updates(&file);
    assert!(updates.len() >= 500, "{} UPDATEs", updates.len());
    Fed::compared("collected", &updates, session, "").compare_what_is_told();
}
