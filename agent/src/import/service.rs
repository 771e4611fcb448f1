//! A section of a service, or several that differ in their `ip` only, as one `[service.NAME]`.

use super::ini::Section;
use super::monitors::{self, Check, Checks};
use super::pools::Sources;
use super::section::{Findings, Reader};
use super::written::{Part, array, key, quoted};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// PyBal's own.
const THRESHOLD: f64 = 0.5;

/// The schedulers that PyBal takes and those that its successors do.
const SCHEDULERS: [&str; 13] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"];

/// The longest name of a service.
const MAX_NAME: usize = 64;

/// Sections that differ in their `ip` only, in the order of the file.
pub(super) type Group<'a> = Vec<&'a Section>;

/// The services' sections, those that differ in their `ip` only together.
pub(super) fn grouped(sections: &[Section]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known: HashMap<Vec<(&str, &str)>, usize> = HashMap::new();
    for section in sections.iter().filter(|section| section.name != super::global::NAME) {
        let options = section.options.iter().filter(|(key, _)| *key != "ip");
        let options = options.map(|(key, setting)| (key.as_str(), setting.value.as_str())).collect();
        // What has no protocol is no service, and is better told of one by one.
        let same = known.get(&options).filter(|_| section.options.contains_key("protocol"));
        match same.and_then(|index| groups.get_mut(*index)) {
            Some(group) => group.push(section),
            None => {
                known.insert(options, groups.len());
                groups.push(vec![section]);
            }
        }
    }
    groups
}

/// A service as it is written.
#[derive(Debug)]
pub(super) struct Draft {
    /// The line of the first section that it comes from, and that section's name.
    pub(super) origin: (usize, String),
    /// Its VIPs.
    pub(super) vips: Vec<IpAddr>,
    /// Whether PyBal announces them on its account.
    pub(super) is_announced: bool,
    /// What is written.
    pub(super) part: Part,
}

/// What the services have in common while they are read.
#[derive(Debug)]
pub(super) struct Services<'a> {
    findings: &'a Findings,
    names: BTreeSet<String>,
    /// Where their pools are.
    pub(super) sources: Sources,
}

/// What a section says, apart from its pool and its checks.
struct Basics {
    protocol: String,
    port: u16,
    scheduler: String,
    one_packet: bool,
    threshold: Option<f64>,
    med: Option<u32>,
    is_announced: bool,
}

impl<'a> Services<'a> {
    /// Before any was read.
    pub(super) fn new(findings: &'a Findings) -> Self {
        Self { findings, names: BTreeSet::new(), sources: Sources::default() }
    }

    /// A group of sections as a service; nothing when it is left out, which is said.
    pub(super) fn draft(&mut self, group: &Group<'_>) -> Option<Draft> {
        let (first, others) = group.split_first()?;
        let reader = Reader::new(first, self.findings);
        // Each is read, so that everything is said at once.
        let vips: Vec<Option<IpAddr>> = group.iter().map(|section| vip(section, self.findings)).collect();
        let basics = basics(&reader);
        reader.text("ip");
        let pool = self.sources.pool(&reader);
        let checks = monitors::read(&reader, basics.as_ref().map_or(0, |basics| basics.port));
        match &checks {
            Some(checks) => reader.say_rest(|key| checks.of_unread(key)),
            None => return None,
        }
        let (vips, basics, pool, checks) =
            (vips.into_iter().collect::<Option<Vec<_>>>()?, basics?, pool?, checks?);
        let name = self.name(&reader);
        for other in others {
            let reader = Reader::new(other, self.findings);
            reader.note("", format!("differs from [{}] in its ip only: one service, {name}", first.name));
        }
        let is_announced = basics.is_announced;
        let part = written(&name, group, (&vips, &basics), &pool, &checks);
        Some(Draft { origin: (first.line, first.name.clone()), vips, is_announced, part })
    }

    /// A name that lvsd takes and no other service has.
    fn name(&mut self, reader: &Reader<'_>) -> String {
        let plain = |c: char| match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-') => c,
            _ => '-',
        };
        let wanted: String = reader.name().chars().map(plain).take(MAX_NAME).collect();
        let wanted = wanted.trim_start_matches(['_', '.', '-']);
        let wanted = if wanted.is_empty() { "service" } else { wanted };
        let short: String = wanted.chars().take(MAX_NAME - 6).collect();
        let numbered = (2..).map(|number| format!("{short}-{number}"));
        let is_free = |name: &String| !self.names.contains(name);
        let name = std::iter::once(wanted.to_owned()).chain(numbered).find(is_free).unwrap_or_default();
        self.names.insert(name.clone());
        if name != reader.name() {
            reader.note(
                "",
                format!("lvsd's names have a-z, 0-9, \"_\", \".\" and \"-\": the service is {name}"),
            );
        }
        name
    }
}

fn vip(section: &Section, findings: &Findings) -> Option<IpAddr> {
    Reader::new(section, findings).needed("ip", "an IPv4 or IPv6 address", |text| text.parse().ok())
}

fn basics(reader: &Reader<'_>) -> Option<Basics> {
    let one_of = |known: &[&str], text: &str| known.contains(&text).then(|| text.to_owned());
    let protocol = reader.needed("protocol", "tcp or udp", |text| one_of(&["tcp", "udp"], text));
    let port = reader.needed("port", "a port 1-65535", |text| text.parse().ok().filter(|port| *port > 0));
    let schedulers = format!("one of {}", SCHEDULERS.join(", "));
    let scheduler = reader.needed("scheduler", &schedulers, |text| one_of(&SCHEDULERS, text));
    let one_packet = reader.boolean("ops", false);
    if one_packet && protocol.as_deref() == Some("tcp") {
        reader.lost(
            "ops",
            "one-packet scheduling is for UDP only, and PyBal does not start with it; it is left out",
        );
    }
    let threshold = reader.given(
        "depool-threshold",
        ("a share of the servers from 0 to 1", "PyBal's default of .5 is taken"),
        |text| text.parse().ok().filter(|share| (0.0..=1.0).contains(share)),
    );
    let med = reader
        .given("bgp-med", ("a whole number from 0", "that of [global] is taken"), |text| text.parse().ok());
    let is_announced = reader.boolean("bgp", true);
    for key in ["dryrun", "debug"] {
        if reader.text(key).is_some() {
            reader.note(key, "set on PyBal's command line, and overwritten by it; left out");
        }
    }
    let protocol = protocol?;
    let one_packet = one_packet && protocol == "udp";
    Some(Basics { protocol, port: port?, scheduler: scheduler?, one_packet, threshold, med, is_announced })
}

fn written(
    name: &str,
    group: &Group<'_>,
    (vips, basics): (&[IpAddr], &Basics),
    pool: &str,
    checks: &Checks,
) -> Part {
    let table = format!("service.{}", key(name));
    let mut part = Part::table(&table);
    part.comment(&origin(group));
    part.set("vips", &array(vips.iter().map(IpAddr::to_string)));
    part.set("port", &basics.port.to_string());
    if basics.protocol != "tcp" {
        part.set("protocol", &quoted(&basics.protocol));
    }
    part.set("scheduler", &quoted(&basics.scheduler));
    if matches!(basics.scheduler.as_str(), "sh" | "mh") {
        part.set("scheduler_flags", "[] # as PyBal; lvsd's own are [\"fallback\", \"port\"]");
    }
    if basics.one_packet {
        part.set("one_packet_scheduling", "true");
    }
    part.set("depool_threshold", &format!("{:?}", basics.threshold.unwrap_or(THRESHOLD)));
    part.line(pool);
    if let Some(med) = basics.med {
        part.set("route", &format!("{{ med = {med} }}"));
    }
    if let Some(names) = pybal_names(name, group, vips) {
        part.set("pybal_names", &names);
    }
    if checks.checks.is_empty() {
        part.set("checks", "[] # PyBal has no monitors for it: every server counts as up");
    }
    checks.remarks.iter().for_each(|remark| part.comment(remark));
    checks.checks.iter().for_each(|check| checked(&mut part, &table, check));
    part
}

fn checked(part: &mut Part, table: &str, check: &Check) {
    part.element(&format!("{table}.checks"));
    check.iter().for_each(|line| part.line(line));
}

fn origin(group: &Group<'_>) -> String {
    let names: Vec<String> =
        group.iter().map(|section| format!("[{}] (line {})", section.name, section.line)).collect();
    format!("{} of pybal.conf", names.join(", "))
}

/// PyBal's names of the pools, where they are not the service's own.
fn pybal_names(name: &str, group: &Group<'_>, vips: &[IpAddr]) -> Option<String> {
    if let [only] = &group[..] {
        return (only.name != name).then(|| format!("{{ {} = \"both\" }}", key(&only.name)));
    }
    let family = |vip: &IpAddr| if vip.is_ipv4() { "ipv4" } else { "ipv6" };
    let names: Vec<String> = group
        .iter()
        .zip(vips)
        .map(|(section, vip)| format!("{} = \"{}\"", key(&section.name), family(vip)))
        .collect();
    Some(format!("{{ {} }}", names.join(", ")))
}
