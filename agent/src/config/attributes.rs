//! What is said of an announced VIP: attributes in `[bgp]`, `[service.NAME.route]` and `[vip."ADDRESS"]`.
//!
//! Each attribute is taken from the first place that says it: the VIP's own table, the services on it, `[bgp]`. Services
//! on one VIP that say different things of it are refused, unless the VIP's own table decides.

use super::model::Config;
use super::twice::Seen;
use super::walk::{Node, Run, Section};
use super::{ConfigError, Place, Problem};
use bgp::{Community, LargeCommunity, RouteAttributes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr;

/// The keys, wherever they stand.
pub(super) const KEYS: [&str; 5] = ["med", "local_pref", "prepend", "communities", "large_communities"];

/// More hops than the longest path of the internet has make no difference.
const MOST_PREPENDED: u32 = 32;

/// What fits into a message of 4096 octets beside everything else, with room to spare.
const MOST_COMMUNITIES: usize = 64;

const COMMUNITY: &str = "a community \"HIGH:LOW\", both 0-65535, such as \"65535:0\"";
const COMMUNITIES: &str = "an array of communities, such as [\"65535:0\"]";
const LARGE_COMMUNITY: &str =
    "a large community \"AS:LOCAL:LOCAL\", each 0-4294967295, such as \"4200000001:1:2\"";
const LARGE_COMMUNITIES: &str = "an array of large communities, such as [\"4200000001:1:2\"]";

/// What a service's VIPs are announced with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The attributes.
    pub attributes: Attributes,
    /// Where they are written down.
    pub origin: Place,
}

/// Attributes of announcements, as far as they are said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// `MULTI_EXIT_DISC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// `LOCAL_PREF`, for routers of the own AS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_pref: Option<u32>,
    /// How many more times than once the own AS stands in the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepend: Option<u8>,
    /// Communities (RFC 1997).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub communities: Option<Vec<Community>>,
    /// Large communities (RFC 8092).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub large_communities: Option<Vec<LargeCommunity>>,
}

impl Attributes {
    /// These, and of the others what these do not say.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        Self {
            med: self.med.or(others.med),
            local_pref: self.local_pref.or(others.local_pref),
            prepend: self.prepend.or(others.prepend),
            communities: self.communities.clone().or_else(|| others.communities.clone()),
            large_communities: self.large_communities.clone().or_else(|| others.large_communities.clone()),
        }
    }

    /// What the routers are told.
    pub fn of_route(self) -> RouteAttributes {
        RouteAttributes {
            med: self.med,
            local_pref: self.local_pref,
            prepend: self.prepend.unwrap_or_default(),
            communities: self.communities.unwrap_or_default(),
            large_communities: self.large_communities.unwrap_or_default(),
        }
    }

    /// The attributes of which both say something, and not the same; with what each says.
    fn contradictions(&self, other: &Self) -> Vec<(&'static str, String, String)> {
        fn differ<T: PartialEq>(
            one: Option<&T>,
            other: Option<&T>,
            words: impl Fn(&T) -> String,
        ) -> Option<(String, String)> {
            let (one, other) = (one?, other?);
            (one != other).then(|| (words(one), words(other)))
        }
        let found = [
            differ(self.med.as_ref(), other.med.as_ref(), u32::to_string),
            differ(self.local_pref.as_ref(), other.local_pref.as_ref(), u32::to_string),
            differ(self.prepend.as_ref(), other.prepend.as_ref(), u8::to_string),
            differ(self.communities.as_ref(), other.communities.as_ref(), |all| listed(all)),
            differ(self.large_communities.as_ref(), other.large_communities.as_ref(), |all| listed(all)),
        ];
        let named = KEYS.into_iter().zip(found);
        named.filter_map(|(key, differs)| differs.map(|(one, other)| (key, one, other))).collect()
    }

    /// Whether it says something of the attribute with this key.
    fn says(&self, key: &str) -> bool {
        match key {
            "med" => self.med.is_some(),
            "local_pref" => self.local_pref.is_some(),
            "prepend" => self.prepend.is_some(),
            "communities" => self.communities.is_some(),
            _ => self.large_communities.is_some(),
        }
    }
}

fn listed<T: Display>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    if all.is_empty() { "none".into() } else { all.join(" ") }
}

impl Config {
    /// What is said of single VIPs, by themselves or by a service on them, beyond what `[bgp]` says of all.
    pub fn attributes_of_vips(&self) -> BTreeMap<IpAddr, Attributes> {
        let mut said: BTreeMap<IpAddr, Attributes> = BTreeMap::new();
        for (address, vip) in &self.vips {
            if vip.attributes != Attributes::default() {
                said.insert(*address, vip.attributes.clone());
            }
        }
        for service in self.services.values() {
            let Some(route) = &service.route else { continue };
            for vip in &service.vips {
                let entry = said.entry(*vip).or_default();
                *entry = entry.or(&route.attributes);
            }
        }
        said
    }
}

/// Reads the attributes in a table that may have other keys as well.
pub(super) fn read(section: &Section<'_>) -> Attributes {
    Attributes {
        med: med(section),
        local_pref: local_pref(section),
        prepend: prepend(section),
        communities: communities(section),
        large_communities: large_communities(section),
    }
}

/// `med` of a table, where it is there.
pub(super) fn med(section: &Section<'_>) -> Option<u32> {
    section.get("med")?.integer("a MED 0-4294967295", 0..=u32::MAX)
}

/// `local_pref` of a table, where it is there.
pub(super) fn local_pref(section: &Section<'_>) -> Option<u32> {
    section.get("local_pref")?.integer("a LOCAL_PREF 0-4294967295", 0..=u32::MAX)
}

/// `prepend` of a table, where it is there.
pub(super) fn prepend(section: &Section<'_>) -> Option<u8> {
    let expected = format!("a number of times 0-{MOST_PREPENDED}");
    let times = section.get("prepend")?.integer(&expected, 0..=MOST_PREPENDED)?;
    u8::try_from(times).ok()
}

/// `communities` of a table, where there are some.
pub(super) fn communities(section: &Section<'_>) -> Option<Vec<Community>> {
    let node = section.get("communities")?;
    list(&node, (COMMUNITIES, COMMUNITY), "community")
}

/// `large_communities` of a table, where there are some.
pub(super) fn large_communities(section: &Section<'_>) -> Option<Vec<LargeCommunity>> {
    let node = section.get("large_communities")?;
    list(&node, (LARGE_COMMUNITIES, LARGE_COMMUNITY), "large community")
}

fn list<T: FromStr + Ord + Clone + Display>(
    node: &Node<'_>,
    (all, one): (&str, &str),
    what: &str,
) -> Option<Vec<T>> {
    let mut seen = Seen::default();
    let items = node.array(all)?;
    if items.len() > MOST_COMMUNITIES {
        node.unexpected(format!("at most {MOST_COMMUNITIES} communities"));
        return None;
    }
    let read = |item: Node<'_>| {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        let found: T = item.parsed(one, |text| Some(text).filter(|text| plain(text))?.parse().ok())?;
        seen.first(&item, &found, || format!("{what} {found}")).then_some(found)
    };
    Some(items.into_iter().filter_map(read).collect())
}

/// Reads `[service.NAME.route]`.
pub(super) fn route(section: &Section<'_>) -> Option<Box<Route>> {
    let node = section.get("route")?;
    let table = node.section(&KEYS)?;
    Some(Box::new(Route { attributes: read(&table), origin: node.key_place() }))
}

/// Reports services that contradict each other about a VIP of which its own table does not decide.
pub(super) fn check_contradictions(config: &Config, run: &Run<'_>) {
    let mut first: BTreeMap<IpAddr, Vec<(&str, &Route)>> = BTreeMap::new();
    for service in config.services.values() {
        let Some(route) = &service.route else { continue };
        for vip in &service.vips {
            let before = first.entry(*vip).or_default();
            let decides = |key: &str| config.vips.get(vip).is_some_and(|own| own.attributes.says(key));
            let mut found = before.iter().flat_map(|(name, other)| {
                let differ = route.attributes.contradictions(&other.attributes).into_iter();
                differ.map(move |differs| (*name, *other, differs))
            });
            if let Some((other, its, (key, here, there))) = found.find(|(_, _, (key, ..))| !decides(key)) {
                let problem = Contradiction { vip: *vip, key, here, there, other, origin: its }.to_string();
                run.errors().push(ConfigError::new(
                    route.origin.clone(),
                    format!("service.{}.route.{key}", service.name),
                    Problem::Conflict(problem),
                ));
            }
            before.push((&*service.name, route));
        }
    }
}

/// Two services that say different things of one VIP.
struct Contradiction<'a> {
    vip: IpAddr,
    key: &'static str,
    here: String,
    there: String,
    other: &'a str,
    origin: &'a Route,
}

impl Display for Contradiction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vip, key, here, there, other, origin } = self;
        write!(
            f,
            "{here} for the VIP {vip}, of which service {other} says {there} at {}; \
             say it once, or decide with {key} in [vip.\"{vip}\"]",
            origin.origin
        )
    }
}
