//! Services of the cluster that are served whole: what becomes of each, in the terms of the configuration.
//!
//! | a Service is ours | its VIPs | its port |
//! |---|---|---|
//! | of type `LoadBalancer` and of our class | those in its status | `port` |
//! | with `externalIPs` of ours | these | `port` |
//! | with node ports and the annotation `lvsd/vips` | the annotation's | `nodePort` |
//!
//! Whatever asks for it, a VIP is one of an address pool that is there for the Service's namespace: the configuration says what
//! a cluster may have. Annotations become settings of `[service.NAME]` and are read by the same code, with the same errors; what
//! would run a program or read a file of the balancer's is refused.
//!
//! Wrong annotations take nothing away: those that were understood last stay in force. What else a Service says is followed
//! meanwhile, so that VIPs and ports come and go as in the cluster.

use super::model::{Key, Kind, Policy, Port, Service, Texts};
use super::objects::ANNOTATION;
use super::serve::{Arrival, entry};
use crate::config::{
    self, ConfigError, Front, Place, Pool, PoolId, Problem, Query, ServiceQuery, Target, WholeServices,
};
use crate::core::found::{Finding, FoundService, LastGood};
use crate::suggest::suggest;
use ipvs::ServiceKey;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use toml::{Table, Value};

/// Where kube-proxy says how it is (KEP-3836).
const KUBE_PROXY: i64 = 10_256;

/// The service's name while it is read.
const NAME: &str = "x";

/// Annotations that are no settings of a service.
pub(super) const OWN: [&str; 4] = ["class", VIPS, "address-pool", "served"];

/// Asks for addresses; of a Service with node ports, it says them.
const VIPS: &str = "vips";

/// Annotations that are settings of a service, with `-` for `_`.
pub(super) const SETTINGS: [&str; 10] = [
    "scheduler",
    "scheduler-flags",
    "forwarding",
    "tunnel",
    "depool-threshold",
    "max-change",
    "slow-start",
    "require-on-link",
    "require",
    "checks",
];

/// Annotations that are settings of its route.
pub(super) const ROUTE: [&str; 5] = ["med", "local-pref", "prepend", "communities", "large-communities"];

/// What a Service is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Somebody else's, or nobody's.
    Others,
    /// Ours, without an address yet.
    Pending,
    /// Ours.
    Ours {
        /// Its VIPs; at least one.
        vips: Vec<IpAddr>,
        /// Whether packets come to its node ports.
        by_node_port: bool,
    },
    /// Ours, and it cannot be served.
    Refused(String),
    /// Ours, and it says its VIPs in a way that cannot be understood.
    Misread(String),
}

/// Why a port of a Service is not served as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its settings are wrong.
    Wrong {
        /// What is wrong.
        why: String,
        /// Where it listens, as far as that can be understood.
        listens_at: BTreeSet<ServiceKey>,
    },
    /// No node would take its packets.
    Cannot(String),
}

/// What a port of a Service is made into: its name, and the service or why there is none.
type Made = (String, Result<Arc<config::Service>, Refusal>);

/// Whether a Service is of the class that is ours.
pub fn is_of_class(service: &Service, settings: &WholeServices) -> bool {
    // API servers before 1.21 have no such field.
    let class = service.class.as_ref().or_else(|| service.annotations.get("class"));
    service.kind == Kind::LoadBalancer && settings.class.is_some() && class == settings.class.as_ref()
}

/// The pool that an address is of, for Services of a namespace.
pub fn is_allowed(settings: &WholeServices, namespace: &str, address: IpAddr) -> bool {
    settings.pools.iter().any(|pool| {
        let is_for = pool.namespaces.is_empty() || pool.namespaces.contains(namespace);
        is_for && pool.ranges.iter().any(|range| range.contains(address))
    })
}

/// What a Service is to us, by the table of the module.
pub fn claim(service: &Service, settings: &WholeServices) -> Claim {
    if service.is_deleting {
        return Claim::Others;
    }
    let namespace = &*service.key.namespace;
    let checked = |vips: Vec<IpAddr>, by_node_port| match vips
        .iter()
        .find(|vip| !is_allowed(settings, namespace, **vip))
    {
        Some(vip) => {
            Claim::Refused(format!("{vip} is in no address pool that Services in {namespace} may have"))
        }
        None => Claim::Ours { vips, by_node_port },
    };
    if is_of_class(service, settings) {
        let vips: Vec<IpAddr> = service.ingress.iter().map(|ingress| ingress.address).collect();
        return if vips.is_empty() { Claim::Pending } else { checked(vips, false) };
    }
    if settings.external_ips {
        let ours = service.external_ips.iter().filter(|vip| is_allowed(settings, namespace, **vip));
        let vips: Vec<IpAddr> = ours.copied().collect();
        if !vips.is_empty() {
            return Claim::Ours { vips, by_node_port: false };
        }
    }
    match service.annotations.get(VIPS).filter(|_| settings.node_ports && service.kind == Kind::NodePort) {
        Some(text) => match addresses(text) {
            Ok(vips) => checked(vips, true),
            Err(why) => Claim::Misread(why),
        },
        None => Claim::Others,
    }
}

/// What whoever looks after the cluster should know of how a Service is served.
pub fn advice(service: &Service, settings: &WholeServices) -> Option<&'static str> {
    let is_ours = matches!(claim(service, settings), Claim::Ours { by_node_port: false, .. });
    (is_ours && !is_of_class(service, settings)).then_some(
        "a Service is served at its externalIPs, which Kubernetes has deprecated (1.36, KEP-5707): make it a LoadBalancer of our class",
    )
}

/// The addresses of the annotation `lvsd/vips`.
///
/// # Errors
/// When it has none, or something else.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let mut vips: Vec<IpAddr> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let vip = part.parse().map_err(|_| {
            let part = config::walk::shortened(part);
            format!(
                "annotation {ANNOTATION}vips: expected addresses with commas between them, found {part:?}"
            )
        })?;
        if !vips.contains(&vip) {
            vips.push(vip);
        }
    }
    Ok(vips)
}

/// Which settings stay in force while those of a Service are wrong.
#[derive(Clone, Debug)]
pub enum Former<'a> {
    /// None: nothing of it was ever understood.
    No,
    /// Those of these annotations.
    Annotations(&'a Texts),
    /// Those that an earlier process has understood, if it has.
    OfAnEarlierProcess,
}

/// The services that follow from a Service, one a port; or the one refusal of all of them.
pub fn found(
    source: &Arc<str>,
    service: &Service,
    former: &Former<'_>,
    settings: &WholeServices,
) -> Vec<FoundService> {
    let refused = |why: String| {
        let name = format!("{source}.{}.{}", service.key.namespace, service.key.name);
        vec![FoundService { name, finding: Finding::Refused(why), created: service.created }]
    };
    let made = match claim(service, settings) {
        Claim::Others => return Vec::new(),
        Claim::Pending => return refused("it has no address yet".into()),
        Claim::Refused(why) => return refused(why),
        Claim::Misread(why) => {
            let wrong = || Err(Refusal::Wrong { why: why.clone(), listens_at: BTreeSet::new() });
            service.ports.iter().map(|port| (name_of(source, service, port), wrong())).collect()
        }
        Claim::Ours { vips, by_node_port } => of_ports(source, service, (&vips, by_node_port), settings),
    };
    let with_former = match former {
        Former::Annotations(former) if made.iter().any(is_wrong) => {
            let service = with_settings(service, former);
            match claim(&service, settings) {
                Claim::Ours { vips, by_node_port } => {
                    of_ports(source, &service, (&vips, by_node_port), settings)
                }
                Claim::Refused(why) => return refused(why),
                Claim::Others | Claim::Pending | Claim::Misread(_) => Vec::new(),
            }
        }
        Former::No | Former::Annotations(_) | Former::OfAnEarlierProcess => Vec::new(),
    };
    let one = |(name, made): Made| {
        let finding = finding((&name, made), &with_former, former);
        FoundService { name, finding, created: service.created }
    };
    made.into_iter().map(one).collect()
}

fn is_wrong((_, made): &Made) -> bool {
    matches!(made, Err(Refusal::Wrong { .. }))
}

/// What becomes of a port, which with the former settings would be one of these.
fn finding(
    (name, made): (&str, Result<Arc<config::Service>, Refusal>),
    with_former: &[Made],
    former: &Former<'_>,
) -> Finding {
    match made {
        Ok(service) => Finding::Served(service),
        Err(Refusal::Cannot(why)) => Finding::Refused(why),
        Err(Refusal::Wrong { why, listens_at }) => {
            let last = with_former.iter().find(|(of, _)| *of == name).map(|(_, made)| made);
            match (last, former) {
                (Some(Ok(service)), _) => Finding::Wrong { why, last: LastGood::Is(Arc::clone(service)) },
                (Some(Err(Refusal::Cannot(why))), _) => Finding::Refused(why.clone()),
                // Nor are the former ones right with what it says by now: what is served goes on where it still listens.
                (_, Former::Annotations(_) | Former::OfAnEarlierProcess) => {
                    Finding::Wrong { why, last: LastGood::ListensAt(listens_at) }
                }
                (_, Former::No) => Finding::Refused(why),
            }
        }
    }
}

/// A Service with other settings. Whose it is and which addresses it asks for are no settings, but for addresses that cannot be
/// understood.
fn with_settings(service: &Service, former: &Texts) -> Service {
    let is_misread = |key: &str, text: &str| key == VIPS && addresses(text).is_err();
    let own =
        service.annotations.iter().filter(|(key, text)| OWN.contains(&&***key) && !is_misread(key, text));
    let vips = service.annotations.get(VIPS).filter(|text| is_misread(VIPS, text)).and(former.get(VIPS));
    let settings = former.iter().filter(|(key, _)| !OWN.contains(&&***key));
    let vips = vips.map(|vips| (VIPS.into(), Arc::clone(vips)));
    let others = settings.chain(own).map(|(key, text)| (Arc::clone(key), Arc::clone(text)));
    Service { annotations: others.chain(vips).collect(), ..service.clone() }
}

/// Each port of a Service with VIPs.
fn of_ports(
    source: &Arc<str>,
    service: &Service,
    (vips, by_node_port): (&[IpAddr], bool),
    settings: &WholeServices,
) -> Vec<Made> {
    let extra = extra(&service.annotations);
    let one = |port: &Port| {
        let name = name_of(source, service, port);
        let made = Maker { source, service, port, vips, settings, extra: &extra };
        let service = made.service(&name, by_node_port);
        (name, service)
    };
    service.ports.iter().map(one).collect()
}

fn name_of(source: &str, service: &Service, port: &Port) -> String {
    format!("{source}.{}.{}.{}", service.key.namespace, service.key.name, port_name(port))
}

fn port_name(port: &Port) -> Arc<str> {
    if port.name.is_empty() { port.port.to_string().into() } else { Arc::clone(&port.name) }
}

/// What one port of a Service is made into a service of.
struct Maker<'a> {
    source: &'a Arc<str>,
    service: &'a Service,
    port: &'a Port,
    vips: &'a [IpAddr],
    settings: &'a WholeServices,
    extra: &'a Result<Table, String>,
}

impl Maker<'_> {
    fn service(&self, name: &str, by_node_port: bool) -> Result<Arc<config::Service>, Refusal> {
        let (protocol, listens) = self.listener(by_node_port).map_err(Refusal::Cannot)?;
        let key = |address: &IpAddr| ServiceKey::Address { protocol, address: *address, port: listens };
        let wrong = |why| Refusal::Wrong { why, listens_at: self.vips.iter().map(key).collect() };
        self.read(name, protocol, listens).map_err(wrong)
    }

    /// Where nodes take its packets.
    fn listener(&self, by_node_port: bool) -> Result<(ipvs::Protocol, u16), String> {
        let port = match (by_node_port, self.port.node_port) {
            (true, Some(node_port)) => node_port,
            (true, None) => return Err(format!("port {} has no node port", self.port)),
            (false, _) => self.port.port,
        };
        let is_on_nodes = self.settings.vips_on_nodes;
        for vip in self.vips {
            let arrival = Arrival { vip: *vip, port, is_on_nodes };
            entry(self.service, self.port, arrival).map_err(|why| why.to_string())?;
        }
        let protocol = self.port.protocol.ok_or_else(|| format!("port {}: no such protocol", self.port))?;
        Ok((protocol, port))
    }

    /// Reads its settings.
    fn read(
        &self,
        name: &str,
        protocol: ipvs::Protocol,
        listens: u16,
    ) -> Result<Arc<config::Service>, String> {
        let text = self.text(protocol, listens)?;
        let origin = PathBuf::from(format!("{}:{}", self.source, self.service.key));
        let parsed = config::parse(&[(origin.clone(), text)]).map_err(|errors| words(&errors))?;
        let read = parsed.services.get(NAME).ok_or("it cannot be read")?;
        if read.checks.iter().any(|check| matches!(check.kind, health::Kind::Command(_))) {
            return Err(format!(
                "annotation {ANNOTATION}checks: only the balancer's own configuration runs commands"
            ));
        }
        let Key { namespace, name: of } = self.service.key.clone();
        let front = Front { vips: self.vips.into(), protocol, backend_port: listens, to: Target::Nodes };
        let port = Some(port_name(self.port));
        let query = Query::Service(ServiceQuery { namespace, name: of, port, front }.into());
        let pool = Pool::Sources(vec![PoolId::Remote { source: Arc::clone(self.source), query }]);
        let (name, origin) = (name.into(), Place::whole(&origin));
        Ok(Arc::new(config::Service { name, pool, origin, ..config::Service::clone(read) }))
    }

    /// The service as the configuration would have it.
    fn text(&self, protocol: ipvs::Protocol, listens: u16) -> Result<String, String> {
        let mut table = self.extra.clone()?;
        let vips = self.vips.iter().map(|vip| Value::String(vip.to_string())).collect();
        table.insert("vips".into(), Value::Array(vips));
        table.insert("port".into(), Value::Integer(listens.into()));
        table.insert("protocol".into(), Value::String(protocol.to_string()));
        // In the place of the pool, which no text can name before it is known.
        let backend = Table::from_iter([("host".to_owned(), Value::String("192.0.2.1".into()))]);
        table.insert("backends".into(), Value::Array(vec![Value::Table(backend)]));
        table.entry("checks").or_insert_with(|| Value::Array(vec![Value::Table(self.check())]));
        if let Some(timeout) = self.service.affinity {
            table.insert("persistence_timeout".into(), Value::String(format!("{}s", timeout.as_secs())));
        }
        let services = Table::from_iter([(NAME.to_owned(), Value::Table(table))]);
        Ok(Table::from_iter([("service".to_owned(), Value::Table(services))]).to_string())
    }

    /// How a node says that it takes packets for the Service.
    fn check(&self) -> Table {
        let text = |text: &str| Value::String(text.to_owned());
        match (self.service.policy, self.service.health_check_port) {
            (Policy::Local, Some(port)) => Table::from_iter([
                ("type".to_owned(), text("node-port")),
                ("port".to_owned(), Value::Integer(port.into())),
                ("service".to_owned(), Value::String(self.service.key.to_string())),
            ]),
            (Policy::Local, None) | (Policy::Cluster, _) => Table::from_iter([
                ("type".to_owned(), text("http")),
                ("port".to_owned(), Value::Integer(KUBE_PROXY)),
                ("url".to_owned(), text("/healthz")),
            ]),
        }
    }
}

/// The settings that annotations give.
fn extra(annotations: &Texts) -> Result<Table, String> {
    let (mut table, mut route) = (Table::new(), Table::new());
    for (key, text) in annotations.iter().filter(|(key, _)| !OWN.contains(&&***key)) {
        let into = match &**key {
            key if SETTINGS.contains(&key) => &mut table,
            key if ROUTE.contains(&key) => &mut route,
            key => {
                let known = SETTINGS.into_iter().chain(ROUTE).chain(OWN);
                let hint =
                    suggest(key, known).first().map(|near| format!("; did you mean {ANNOTATION}{near}?"));
                let key = config::walk::shortened(key);
                return Err(format!(
                    "annotation {ANNOTATION}{key}: there is no such setting{}",
                    hint.unwrap_or_default()
                ));
            }
        };
        into.insert(key.replace('-', "_"), value(text));
    }
    if table.get("forwarding").is_some_and(|forwarding| forwarding.as_str() == Some("nat")) {
        return Err(format!("annotation {ANNOTATION}forwarding: packets must arrive at nodes as they are"));
    }
    if !route.is_empty() {
        table.insert("route".into(), Value::Table(route));
    }
    Ok(table)
}

/// The value that an annotation stands for: one of TOML, or else the text itself.
fn value(text: &str) -> Value {
    let read = toml::from_str::<Table>(&format!("v = {text}"));
    // A text with a line's end could hold more than the one value.
    let only = read.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("v"));
    only.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Errors of the configuration in the words of annotations.
fn words(errors: &[ConfigError]) -> String {
    let one = |error: &ConfigError| {
        let key = error.key.strip_prefix("service.x.").unwrap_or(&error.key).replace('_', "-");
        let key = key.strip_prefix("route.").unwrap_or(&key).to_owned();
        match &error.problem {
            Problem::Twice { what, .. } => format!("{key}: {what} for the second time"),
            problem => format!("annotation {ANNOTATION}{key}: {problem}"),
        }
    };
    errors.iter().take(3).map(one).collect::<Vec<_>>().join("; ")
}
