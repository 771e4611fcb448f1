//! `[global]`: the BGP speaker, and where PyBal is asked.

use super::section::{Findings, Reader};
use super::service::Draft;
use super::written::{Part, array, quoted};
use super::{Options, PeerAsns};
use crate::import::ini::Section;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The section's name.
pub(super) const NAME: &str = "global";

/// Where PyBal is asked, when that is switched on and nothing else is said.
const HTTP_PORT: u16 = 9090;

/// The port of BGP.
const BGP_PORT: u16 = 179;

const LEFT_OUT: &str = "it is left out";

/// What `[global]` says.
#[derive(Debug, Default)]
pub(super) struct Global {
    /// `[lvsd]` and `[pybal]`.
    pub(super) listeners: Vec<Part>,
    /// `[bgp]` with its routers; none when PyBal has none.
    pub(super) bgp: Option<Speaker>,
}

/// `[bgp]`.
#[derive(Debug)]
pub(super) struct Speaker {
    /// What is written.
    pub(super) part: Part,
    /// Whether it is whole: what misses a router's AS is written as a comment.
    pub(super) is_whole: bool,
}

/// What a speaker is made of.
struct Settings {
    local_asn: u32,
    router_id: Ipv4Addr,
    med: u32,
    prepend: usize,
    next_hop_ipv4: Option<Ipv4Addr>,
    next_hop_ipv6: Option<Ipv6Addr>,
    peers: Vec<IpAddr>,
    listen: Vec<String>,
}

/// Reads the section.
pub(super) fn read(
    section: &Section,
    findings: &Findings,
    (drafts, options): (&[Draft], &Options),
) -> Global {
    let reader = Reader::new(section, findings);
    let listeners = listeners(&reader);
    let is_wanted = reader.boolean("bgp", false);
    let settings = settings(&reader, options, is_wanted);
    let bgp = settings.filter(|_| is_wanted).map(|settings| speaker(&reader, &settings, (drafts, options)));
    for key in ["dryrun", "debug"] {
        if reader.text(key).is_some() {
            reader.note(key, "set on PyBal's command line, and overwritten by it; left out");
        }
    }
    reader.say_rest(|_| {
        ("not an option that is known here; look what it does, and take it out of pybal.conf".into(), true)
    });
    Global { listeners, bgp }
}

/// Where PyBal's HTTP interface and its metrics go on being served.
fn listeners(reader: &Reader<'_>) -> Vec<Part> {
    let is_on = reader.boolean("instrumentation", false);
    let port = reader.given("instrumentation_port", ("a port 1-65535", "9090 is taken"), |text| {
        text.parse().ok().filter(|port: &u16| *port > 0)
    });
    let hosts = reader.texts("instrumentation_ips", "127.0.0.1 and ::1 are taken");
    if !is_on {
        return Vec::new();
    }
    let hosts = hosts.unwrap_or_else(|| vec!["127.0.0.1".into(), "::1".into()]);
    let mut addresses: Vec<String> = Vec::new();
    for host in &hosts {
        // Twisted takes no address for every address of the host.
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        match host.parse::<IpAddr>() {
            Ok(host) => addresses.push(SocketAddr::new(host, port.unwrap_or(HTTP_PORT)).to_string()),
            Err(_) => {
                reader.lost("instrumentation_ips", format!("expected an address, found {host:?}; {LEFT_OUT}"))
            }
        }
    }
    let Some((first, others)) = addresses.split_first() else { return Vec::new() };
    let mut lvsd = Part::table("lvsd");
    lvsd.set("http", &quoted(first));
    let mut pybal = Part::table("pybal");
    if !others.is_empty() {
        pybal.comment("The same pages at PyBal's other addresses.");
        pybal.set("http", &array(others));
    }
    pybal.set("metrics", "true # beside lvsd's own, until nobody asks for PyBal's any more");
    vec![lvsd, pybal]
}

fn settings(reader: &Reader<'_>, options: &Options, is_wanted: bool) -> Option<Settings> {
    let given = |key: &str| reader.text(key).map(|text| text.trim().parse::<u32>());
    let local_asn = match given("bgp-local-asn") {
        Some(Ok(asn)) => Some(asn),
        Some(Err(_)) => {
            reader.lost("bgp-local-asn", "expected an AS number; [bgp] is left out");
            None
        }
        None if is_wanted => {
            reader.lost(
                "bgp",
                "bgp-local-asn is missing, and PyBal does not start without it; [bgp] is left out",
            );
            None
        }
        None => None,
    };
    let as_path = reader.text("bgp-as-path");
    let med = reader.given("bgp-med", ("a whole number from 0", "PyBal's default of 0 is taken"), |text| {
        text.parse().ok()
    });
    let next_hop_ipv4: Option<Ipv4Addr> =
        reader.given("bgp-nexthop-ipv4", ("an IPv4 address", LEFT_OUT), |text| text.parse().ok());
    let next_hop_ipv6 =
        reader.given("bgp-nexthop-ipv6", ("an IPv6 address", LEFT_OUT), |text| text.parse().ok());
    let (peers, listen) = (peers(reader), listen(reader));
    let local_asn = local_asn?;
    let prepend = as_path.map_or(0, |path| prepend(reader, path, local_asn));
    if !is_wanted {
        return None;
    }
    if peers.is_empty() {
        reader.lost("bgp-peer-address", "no router to announce to; [bgp] is left out");
        return None;
    }
    let Some(router_id) = options.router_id.or(next_hop_ipv4) else {
        reader.lost("bgp", "lvsd needs an identifier, for which PyBal takes its end of a session: give --router-id ADDRESS; [bgp] is left out");
        return None;
    };
    Some(Settings {
        local_asn,
        router_id,
        med: med.unwrap_or(0),
        prepend,
        next_hop_ipv4,
        next_hop_ipv6,
        peers,
        listen,
    })
}

/// One address, or a Python list of them.
fn peers(reader: &Reader<'_>) -> Vec<IpAddr> {
    const KEY: &str = "bgp-peer-address";
    let Some(text) = reader.text(KEY).map(str::trim) else { return Vec::new() };
    let texts = match text.starts_with('[') {
        true => reader.texts(KEY, "no router is taken").unwrap_or_default(),
        false => vec![text.to_owned()],
    };
    let mut peers = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        match text.parse() {
            Ok(peer) if !peers.contains(&peer) => peers.push(peer),
            Ok(_) => {}
            Err(_) => reader.lost(KEY, format!("expected a router's address, found {text:?}; {LEFT_OUT}")),
        }
    }
    peers
}

/// Where PyBal takes connections from its routers. By itself lvsd only dials, which is enough unless a router waits to be
/// dialled by nobody; so only what is asked for is carried over.
fn listen(reader: &Reader<'_>) -> Vec<String> {
    let hosts = reader.texts("bgp-local-ips", "lvsd dials only");
    let port = reader.given("bgp-local-port", ("a port 1-65535", "179 is taken"), |text| {
        text.parse().ok().filter(|port: &u16| *port > 0)
    });
    let hosts = match (hosts, port) {
        (Some(hosts), _) => hosts,
        (None, Some(_)) => vec![String::new()],
        (None, None) => return Vec::new(),
    };
    let mut addresses = Vec::new();
    for host in &hosts {
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        match host.parse::<IpAddr>() {
            Ok(host) => addresses.push(SocketAddr::new(host, port.unwrap_or(BGP_PORT)).to_string()),
            Err(_) => {
                reader.lost("bgp-local-ips", format!("expected an address, found {host:?}; {LEFT_OUT}"))
            }
        }
    }
    addresses
}

/// How many more times than once the own AS is in PyBal's path.
fn prepend(reader: &Reader<'_>, path: &str, local_asn: u32) -> usize {
    let numbers: Vec<Option<u32>> = path.split_whitespace().map(|word| word.parse().ok()).collect();
    if !numbers.is_empty() && numbers.iter().all(|number| *number == Some(local_asn)) {
        return numbers.len() - 1;
    }
    reader.lost(
        "bgp-as-path",
        format!("lvsd's paths consist of its own AS, {local_asn}, once or (`prepend`) several times; add the others on the router"),
    );
    0
}

fn speaker(reader: &Reader<'_>, settings: &Settings, (drafts, options): (&[Draft], &Options)) -> Speaker {
    let mut part = Part::table("bgp");
    part.set("local_asn", &settings.local_asn.to_string());
    part.set("router_id", &quoted(&settings.router_id.to_string()));
    part.set("med", &settings.med.to_string());
    if settings.prepend > 0 {
        part.set("prepend", &settings.prepend.to_string());
    }
    if !settings.listen.is_empty() {
        part.set("listen", &array(&settings.listen));
    }
    part.comment("PyBal announces its VIPs whatever its servers do; lvsd while a service on them can serve.");
    if options.router_id.is_none() {
        reader.note(
            "bgp-nexthop-ipv4",
            "lvsd's router_id, too, as PyBal takes its end of a session for that; --router-id gives another",
        );
    }
    let families: BTreeSet<&str> = drafts
        .iter()
        .flat_map(|draft| &draft.vips)
        .map(|vip| if vip.is_ipv4() { "ipv4" } else { "ipv6" })
        .collect();
    let kept = silent(drafts);
    let mut is_whole = true;
    for (number, peer) in settings.peers.iter().enumerate() {
        let asn = options.peer_asns.of(*peer);
        is_whole &= asn.is_some();
        router(&mut part, settings, (number, *peer, asn), &families);
        not_announced(&mut part, &kept);
    }
    if !is_whole {
        reader.lost("bgp-peer-address", "PyBal does not say which AS its routers are in, and takes any; give --peer-asn ASN, or --peer-asn ADDRESS=ASN for each; [bgp] is written as a comment");
    }
    Speaker { part, is_whole }
}

fn router(
    part: &mut Part,
    settings: &Settings,
    (number, peer, asn): (usize, IpAddr, Option<u32>),
    families: &BTreeSet<&str>,
) {
    part.element("bgp.peer");
    part.set("name", &format!("\"router{}\"", number + 1));
    part.set("address", &quoted(&peer.to_string()));
    part.set("asn", &asn.map_or_else(|| "0 # the router's AS".to_owned(), |asn| asn.to_string()));
    if !families.is_empty() {
        part.set("families", &array(families));
    }
    if let Some(next_hop) = settings.next_hop_ipv4.filter(|_| families.contains("ipv4")) {
        part.set("next_hop_ipv4", &quoted(&next_hop.to_string()));
    }
    if let Some(next_hop) = settings.next_hop_ipv6.filter(|_| families.contains("ipv6")) {
        part.set("next_hop_ipv6", &quoted(&next_hop.to_string()));
    }
}

/// VIPs of which no service is announced.
fn silent(drafts: &[Draft]) -> Vec<String> {
    let of = |is_announced: bool| -> BTreeSet<IpAddr> {
        drafts
            .iter()
            .filter(|draft| draft.is_announced == is_announced)
            .flat_map(|draft| draft.vips.iter().copied())
            .collect()
    };
    let (announced, others) = (of(true), of(false));
    others
        .difference(&announced)
        .map(|vip| format!("{vip}/{}", if vip.is_ipv4() { 32 } else { 128 }))
        .collect()
}

/// The rules by which a router does not hear of these.
fn not_announced(part: &mut Part, vips: &[String]) {
    if vips.is_empty() {
        return;
    }
    part.element("bgp.peer.export");
    part.comment("`bgp = no` in all of their sections.");
    part.set("action", "\"reject\"");
    part.set("prefixes", &array(vips));
    part.element("bgp.peer.export");
    part.set("action", "\"accept\"");
}

impl PeerAsns {
    /// The AS that a router is in, if that was said.
    fn of(&self, peer: IpAddr) -> Option<u32> {
        self.by_address.get(&peer).copied().or(self.of_others)
    }
}
