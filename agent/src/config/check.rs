//! `[[service.NAME.checks]]` and `require`: what is common to all checks; each kind has a file of its own.

mod agent;
mod command;
mod dns;
mod grpc;
mod http;
mod idle;
mod openapi;
mod payload;
mod tcp;
mod tls;
mod udp;

use super::Problem;
use super::model::{CheckPath, CheckTemplate, Require};
use super::value::{PORT, address, duration_or, port};
use super::walk::{Node, Section};
use health::spec::{FAST_INTERVAL, MAX_PERIOD, MIN_PERIOD};
use health::{Kind, SpecError, Timing};
use ipvs::Forward;
use std::net::IpAddr;
use std::num::NonZeroU16;

/// The keys of a kind of check: its own after those that all have.
macro_rules! keys {
    ($($own:literal),* $(,)?) => {
        &[
            "type", "port", "path", "source", "interval", "fast_interval", "timeout", "fall", "rise", $($own),*
        ]
    };
}
use keys;

/// A kind of check as the configuration has it.
pub(super) struct Type {
    pub(super) name: &'static str,
    pub(super) keys: &'static [&'static str],
    asks: Asks,
    read: fn(&Section<'_>) -> Option<Kind>,
}

impl Type {
    /// Whether it has to be told which port it asks.
    pub(super) fn needs_port(&self) -> bool {
        self.asks == Asks::OwnPort
    }

    /// Whether it asks what clients ask, as a canary does.
    pub(super) fn asks_as_clients_do(&self) -> bool {
        self.asks == Asks::ServicePort && self.name != idle::IDLE.name
    }
}

/// What a kind of check asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// A port, the service's own unless told otherwise.
    ServicePort,
    /// A port that is never the service's own.
    OwnPort,
    /// The host as a whole.
    Host,
    /// A program on this host, which makes its own way.
    Program,
}

/// Every kind, for those who read them.
const TYPES: &[Type] = &[
    tcp::TCP,
    idle::IDLE,
    http::HTTP,
    http::HTTPS,
    grpc::GRPC,
    openapi::OPENAPI,
    openapi::NODE_PORT,
    dns::DNS,
    udp::UDP,
    command::ICMP,
    command::COMMAND,
    agent::AGENT,
];

/// Every kind.
pub(super) fn types() -> &'static [Type] {
    TYPES
}

const REQUIRE: &str = "\"all\", \"any\", or how many of the checks a backend must pass";
const PATH: &str = "\"direct\", \"vip\" or \"ipvs\" (a request's path is its `url`)";
const SOURCE: &str = "an address of this host, or an array of one of each family";

/// The largest fall or rise: with the default interval a verdict would take more than half an hour.
const MAX_COUNT: u32 = 1000;

/// The most checks of a service: each is one more for every backend of it.
const MAX_CHECKS: usize = 64;

/// Reads the checks, and how many of them a backend must pass; none at all must be meant.
pub(super) fn read(section: &Section<'_>) -> Option<(Vec<CheckTemplate>, Require)> {
    let service = section.node().name();
    let expected =
        format!("one or more checks as [[{service}.checks]], or `checks = []` to take every backend for up");
    let node = section.required("checks", &expected)?;
    let items = node.array(&expected)?;
    if items.len() > MAX_CHECKS {
        node.report(Problem::Conflict(format!("{} checks; {MAX_CHECKS} is the most", items.len())));
    }
    let require = section.get("require").and_then(|node| require(&node, items.len())).unwrap_or_default();
    Some((items.iter().filter_map(check).collect(), require))
}

fn require(node: &Node<'_>, checks: usize) -> Option<Require> {
    let read = match (node.as_string(), node.as_integer()) {
        (Some("all"), _) => Some(Require::All),
        (Some("any"), _) => Some(Require::Any),
        (_, Some(number)) => u16::try_from(number).ok().and_then(NonZeroU16::new).map(Require::AtLeast),
        (_, None) => None,
    };
    let Some(require) = read else {
        node.unexpected(REQUIRE);
        return None;
    };
    match require {
        Require::AtLeast(number) if usize::from(number.get()) > checks => {
            node.report(Problem::Conflict(format!("{number} must pass, but there are {checks} checks")));
            None
        }
        Require::All | Require::Any | Require::AtLeast(_) => Some(require),
    }
}

/// Holds the checks against how packets get to the service's backends.
pub(super) fn fit(
    section: &Section<'_>,
    checks: &[CheckTemplate],
    (forward, backend_port, require_on_link): (Forward, u16, bool),
) {
    let nodes = section.get("checks").and_then(|node| node.array("")).unwrap_or_default();
    // With one missing, which is wrong, the others are not where they stand in the file.
    if nodes.len() != checks.len() {
        return;
    }
    for (node, check) in nodes.iter().zip(checks) {
        let refused = |reason: &str| node.report(Problem::Conflict(reason.to_owned()));
        let has_port = !matches!(check.kind, Kind::Icmp | Kind::Command(_));
        if backend_port == 0 && check.port.is_none() && has_port {
            refused("with a fwmark there is no port to ask: give each check its own");
        }
        match (&check.path, forward) {
            (CheckPath::Vip, Forward::DirectRouting) if !require_on_link => refused(
                "path = \"vip\" hands packets to servers on the balancer's own links: not with require_on_link = false",
            ),
            (CheckPath::Vip, Forward::Masquerade) => {
                refused(
                    "path = \"vip\" asks for the VIP on the server, which has none with forwarding = \"nat\"",
                );
            }
            (CheckPath::Vip | CheckPath::Ipvs | CheckPath::Direct { .. }, _) => {}
        }
    }
}

/// Its type, as far as it is known. That decides which keys there are, so it is looked at before them.
fn type_of(node: &Node<'_>) -> Option<&'static Type> {
    let name = node.peek("type").as_ref().and_then(Node::as_string);
    TYPES.iter().find(|known| Some(known.name) == name)
}

/// What it asks.
fn kind(section: &Section<'_>, known: Option<&Type>) -> Option<Kind> {
    let expected = type_names();
    section.required("type", &expected).and_then(|node| match known {
        Some(known) => (known.read)(section),
        None => {
            node.unexpected(expected);
            None
        }
    })
}

/// What a service's canary asks, and when: it is a check of the service's own port by a way of its own.
pub(super) fn canary(node: &Node<'_>) -> Option<(Kind, Timing)> {
    let known = type_of(node);
    let section = node.section(known.unwrap_or(&http::HTTP).keys)?;
    let kind = kind(&section, known);
    for node in ["port", "path", "source"].iter().filter_map(|key| section.get(key)) {
        let reason = "a canary asks the service's own port, and goes through IPVS";
        node.report_key(Problem::Conflict(reason.to_owned()));
    }
    if known.is_some_and(|known| !known.asks_as_clients_do()) {
        let reason = "a canary asks as clients do: tcp, http, https, grpc, openapi, dns or udp";
        node.report_key(Problem::Conflict(reason.to_owned()));
        return None;
    }
    let timing = timing(&section);
    Some((kind?, timing?))
}

fn check(node: &Node<'_>) -> Option<CheckTemplate> {
    let known = type_of(node);
    let section = node.section(known.unwrap_or(&http::HTTP).keys)?;
    let kind = kind(&section, known);
    let asks = known.map_or(Asks::ServicePort, |known| known.asks);
    let port = match section.get("port") {
        None if asks == Asks::OwnPort => section.required("port", PORT).map(|_| None),
        Some(node) if asks == Asks::Host => {
            node.report_key(Problem::Conflict("what asks a host as a whole has no port".into()));
            None
        }
        Some(node) => port(&node).and_then(NonZeroU16::new).map(Some),
        None => Some(None),
    };
    let path = path(&section, asks);
    let timing = timing(&section);
    Some(CheckTemplate { kind: kind?, port: port?, path: path?, timing: timing? })
}

/// `"tcp", "http" or "dns"`.
fn type_names() -> String {
    let names: Vec<String> = TYPES.iter().map(|known| format!("{:?}", known.name)).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        Some(_) | None => names.concat(),
    }
}

fn path(section: &Section<'_>, asks: Asks) -> Option<CheckPath> {
    if asks == Asks::Program
        && let Some(node) = section.get("path").or(section.get("source"))
    {
        node.report_key(Problem::Conflict(
            "a program makes its own way: give it what it needs as arguments".into(),
        ));
        return None;
    }
    let path = match section.get("path") {
        None => CheckPath::default(),
        Some(node) => node.parsed(PATH, |text| match text {
            "direct" => Some(CheckPath::default()),
            "vip" => Some(CheckPath::Vip),
            "ipvs" => Some(CheckPath::Ipvs),
            _ => None,
        })?,
    };
    if let (CheckPath::Ipvs, Asks::Host, Some(node)) = (&path, asks, section.get("path")) {
        node.report(Problem::Conflict(NO_ECHO.to_owned()));
        return None;
    }
    let Some(source) = section.get("source") else { return Some(path) };
    let reason = match path {
        CheckPath::Direct { .. } => {
            return sources(&source).map(|sources| CheckPath::Direct { sources });
        }
        CheckPath::Vip => "with path = \"vip\" the probes have an address of their own",
        CheckPath::Ipvs => "with path = \"ipvs\" the probes have the address that leads to the server",
    };
    source.report(Problem::Conflict(reason.to_owned()));
    None
}

const NO_ECHO: &str =
    "IPVS takes no echo for a client's: the balancer itself, which has the VIP, would answer it";

fn sources(node: &Node<'_>) -> Option<Vec<IpAddr>> {
    let sources: Vec<IpAddr> = match node.as_string() {
        Some(_) => vec![address(node, SOURCE)?],
        None => node.array(SOURCE)?.iter().filter_map(|item| address(item, SOURCE)).collect(),
    };
    let of_family = |is_v4| sources.iter().filter(|source| source.is_ipv4() == is_v4).count();
    if sources.is_empty() || of_family(true) > 1 || of_family(false) > 1 {
        node.unexpected(SOURCE);
        return None;
    }
    Some(sources)
}

fn timing(section: &Section<'_>) -> Option<Timing> {
    let default = Timing::default();
    let period = |key, default| duration_or(section, key, MIN_PERIOD..=MAX_PERIOD, default);
    let count = |key, default| {
        section.get(key).and_then(|node| node.integer("a count 1-1000", 1..=MAX_COUNT)).unwrap_or(default)
    };
    let interval = period("interval", default.interval());
    let timeout = period("timeout", default.timeout());
    let fast = duration_or(section, "fast_interval", MIN_PERIOD..=interval, interval.min(FAST_INTERVAL));
    let counts = (count("fall", default.fall()), count("rise", default.rise()));
    let timing =
        Timing::new(interval, timeout, counts.0, counts.1).and_then(|timing| timing.with_fast_interval(fast));
    taken(section, timing)
}

/// A setting's value, or its default; nothing when what is there is wrong.
fn given<T>(
    section: &Section<'_>,
    key: &str,
    default: T,
    read: impl FnOnce(&Node<'_>) -> Option<T>,
) -> Option<T> {
    section.get(key).map_or(Some(default), |node| read(&node))
}

/// What was made, or nothing once it is reported why not.
fn taken<T>(section: &Section<'_>, made: Result<T, SpecError>) -> Option<T> {
    made.map_err(|error| section.node().report(Problem::Conflict(error.to_string()))).ok()
}
