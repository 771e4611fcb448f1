//! A service's pools, one for each address family: members, what is known of each, and what was decided.

use super::inventory::Addresses;
use super::marks::Bearer;
use super::path::{Paths, Way, is_off_link};
use super::pool::{self, Candidate, Decision, Health, Standing, Wish};
use super::ramp::{Ramp, ramp};
use super::sorted::SortedMap;
use super::verdicts::{MemberCheck, Verdicts};
use super::{Timestamp, advice};
use crate::config::{Admin, CheckPath, ConnectionLimits, Service, Threshold};
use health::{
    Advice, Check, CommandParts, Encapsulation, Grpc, GrpcParts, HttpParts, HttpRequest, Kind, OpenApi,
    OpenApiParts, Program, Route, Tls, TlsParts, Urls, UrlsParts,
};
use ipvs::{DestinationKey, Family, Forward, Scheduler, TunnelKind, Weight};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// One backend at one address.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its address in the pool's family.
    pub address: IpAddr,
    /// What the source says.
    pub by_source: Admin,
    /// What the source and the operator say, the stricter of the two.
    pub admin: Admin,
    /// The weight that it is to have when pooled: the source's, or an operator's.
    pub weight: Weight,
    /// Its checks.
    pub checks: Box<[MemberCheck]>,
    /// When it became a member.
    pub born: Timestamp,
    /// What its checks say together.
    pub health: Health,
    /// What its own agents ask for.
    pub advice: Advice,
    /// The way to its address, once it was looked at.
    pub path: Option<Arc<Way>>,
    /// Whether each of its checks has had a result, if only a first failure.
    pub is_checked: bool,
    /// What was decided.
    pub decision: Decision,
    /// Since when it has this standing.
    pub since: Timestamp,
    /// What few members have.
    rare: Option<Box<Rare>>,
}

/// What few members have, and those not for long: there are a hundred thousand of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rare {
    /// When it has enough connections.
    pub limits: ConnectionLimits,
    /// The weight that it served with before its present checks began, until they have spoken.
    pub adopted: Option<Weight>,
    /// Since when it was down before its present checks began, or before this process did. When the first that they say
    /// is down as well, nothing has happened since: who failed last stays who it was.
    pub was_down: Option<Timestamp>,
    /// Since when its weight rises to the full one, if it does.
    pub rising_since: Option<Timestamp>,
}

impl Member {
    /// A member of which nothing is known yet.
    pub fn new(address: IpAddr, checks: Box<[MemberCheck]>, adopted: Option<Weight>, now: Timestamp) -> Self {
        // The kernel gives no weight to those that were down and not held: they failed before those that it serves.
        let was_down = (adopted == Some(Weight::ZERO)).then(Timestamp::default);
        let mut member = Self {
            address,
            by_source: Admin::Pooled,
            admin: Admin::Pooled,
            weight: Weight::ZERO,
            checks,
            born: now,
            health: Health::Unknown,
            advice: Advice::default(),
            path: None,
            is_checked: false,
            decision: Decision { weight: Weight::ZERO, standing: Standing::AwaitingChecks },
            since: now,
            rare: None,
        };
        member.set_rare(Rare { adopted, was_down, ..Rare::default() });
        member
    }

    /// What few members have.
    pub fn rare(&self) -> Rare {
        self.rare.as_deref().copied().unwrap_or_default()
    }

    /// Takes this over; what is as with most takes no room.
    pub(super) fn set_rare(&mut self, rare: Rare) {
        match &mut self.rare {
            Some(own) if rare != Rare::default() => **own = rare,
            own => *own = (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }

    /// Takes a decision over; true when the standing changed. A backend that joins the pool starts slowly.
    fn take(&mut self, decision: Decision, slow_start: Duration, now: Timestamp) -> bool {
        let before = std::mem::replace(&mut self.decision, decision).standing;
        if before != decision.standing {
            self.since = now;
        }
        let mut rare = self.rare();
        match decision.standing {
            Standing::Pooled if !before.is_pooled() => rare.rising_since = Some(now),
            Standing::Pooled => {}
            _ => rare.rising_since = None,
        }
        match rare.rising_since.map(|since| ramp(decision.weight, since, slow_start, now)) {
            Some(Ramp::Rising { weight, .. }) => self.decision.weight = weight,
            Some(Ramp::Done) | None => rare.rising_since = None,
        }
        self.set_rare(rare);
        before != decision.standing
    }

    /// When its weight rises next.
    fn rises_at(&self, slow_start: Duration, now: Timestamp) -> Option<Timestamp> {
        match ramp(self.weight, self.rare().rising_since?, slow_start, now) {
            Ramp::Rising { next, .. } => Some(next),
            Ramp::Done => None,
        }
    }

    /// The same member with these checks. One that serves goes on until checks that are new have spoken: a reload
    /// that changes an interval must not empty a pool.
    pub fn with_checks(mut self, checks: Box<[MemberCheck]>) -> Self {
        if self.checks == checks {
            return self;
        }
        let rare = self.rare();
        let serves = self.decision.weight > Weight::ZERO;
        let was_down = match self.health {
            Health::Down { since } => Some(since),
            Health::Unknown => rare.was_down,
            Health::Up { .. } => None,
        };
        let adopted = serves.then_some(self.decision.weight);
        self.set_rare(Rare { adopted, was_down, ..rare });
        Self { checks, ..self }
    }

    /// The weight that it is to have when pooled, by what its agents ask for, and what else they ask for. sh has 256
    /// buckets, which the whole weights of its backends may fill.
    pub fn heed(&self, service: &Service) -> (Weight, Option<Wish>) {
        advice::heed(self.weight, self.advice, *service.scheduler.scheduler() != Scheduler::Sh)
    }

    /// Takes in what its checks say together; nothing, while the way to it is awaited.
    fn hear(&mut self, said: Health) {
        let mut rare = self.rare();
        self.health = match (said, rare.was_down) {
            (Health::Down { since }, Some(earlier)) => Health::Down { since: since.min(earlier) },
            _ => said,
        };
        if self.health != Health::Unknown {
            rare.adopted = None;
        }
        if matches!(self.health, Health::Up { .. }) {
            rare.was_down = None;
        }
        self.set_rare(rare);
    }

    /// Itself as the pool's decision sees it.
    fn candidate<'a>(&self, host: &'a str, service: &Service) -> Candidate<'a> {
        let (weight, wish) = self.heed(service);
        Candidate {
            host,
            admin: self.admin,
            weight,
            health: self.health,
            wish,
            adopted: self.rare().adopted,
            is_off_link: is_off_link(service, self.path.as_deref()),
        }
    }

    fn has_check(&self, check: &Arc<Check>) -> bool {
        self.checks.iter().any(|made| made.check == *check)
    }

    /// Whether waiting longer would tell more: its checks have spoken, or the kernel speaks for it meanwhile; and
    /// the way to it is known, if that matters to its service.
    pub fn is_settled(&self, service: &Service) -> bool {
        let has_path = self.path.is_some() || !service.require_on_link;
        has_path
            && (self.is_checked
                || self.rare().adopted.is_some()
                || self.decision.standing != Standing::AwaitingChecks)
    }
}

/// A destination that left its pool and keeps its connections until they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draining {
    /// Since when it has weight 0.
    pub since: Timestamp,
}

/// The pool of one service in one address family.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// By host name.
    pub members: SortedMap<Arc<str>, Member>,
    /// Former members that still may have connections.
    pub draining: BTreeMap<DestinationKey, Draining>,
    /// How often one that was down was kept for the threshold.
    pub held: u64,
}

/// A member whose standing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The host.
    pub host: Arc<str>,
    /// Its address in the pool's family.
    pub address: IpAddr,
    /// What it was.
    pub from: Standing,
    /// What it is.
    pub to: Standing,
}

impl Pool {
    /// Decides the pool anew from what is known; with `heard`, only what these checks say can have changed since.
    pub fn decide(
        &mut self,
        service: &Service,
        (verdicts, paths): (&Verdicts, &Paths),
        heard: Option<&[Arc<Check>]>,
        now: Timestamp,
    ) -> Vec<Change> {
        let concerns =
            |member: &Member| heard.is_none_or(|checks| checks.iter().any(|check| member.has_check(check)));
        for member in self.members.values_mut().filter(|member| concerns(member)) {
            let is_awaited = paths.is_awaited(service, member.address, now);
            let said = verdicts.together(&member.checks, service.require, member.born);
            member.advice = verdicts.advice(&member.checks);
            member.hear(if is_awaited { Health::Unknown } else { said });
            let path = paths.get(member.address);
            if member.path.as_ref() != path {
                member.path = path.cloned();
            }
            member.is_checked = member.checks.iter().all(|made| verdicts.get(&made.check).is_some());
        }
        let candidates = self.candidates(service);
        let decisions = pool::decide(&candidates, service.depool_threshold);
        let mut changes = Vec::new();
        for ((host, member), decision) in self.members.iter_mut().zip(decisions) {
            let from = member.decision.standing;
            if member.take(decision, service.slow_start, now) {
                let (host, address) = (host.clone(), member.address);
                self.held += u64::from(decision.standing == Standing::HeldThoughDown);
                changes.push(Change { host, address, from, to: decision.standing });
            }
        }
        changes
    }

    /// The decisions as they would be if these hosts had just gone down, in the order of the members.
    pub fn decide_as_if(&self, service: &Service, down: &BTreeSet<String>, now: Timestamp) -> Vec<Decision> {
        let mut candidates = self.candidates(service);
        for candidate in candidates.iter_mut().filter(|candidate| down.contains(candidate.host)) {
            candidate.health = Health::Down { since: now };
        }
        pool::decide(&candidates, service.depool_threshold)
    }

    /// When a weight rises next.
    pub fn rises_at(&self, slow_start: Duration, now: Timestamp) -> Option<Timestamp> {
        self.members.values().filter_map(|member| member.rises_at(slow_start, now)).min()
    }

    /// The members as candidates, in the order of their names.
    fn candidates(&self, service: &Service) -> Vec<Candidate<'_>> {
        self.members.iter().map(|(host, member)| member.candidate(host, service)).collect()
    }

    /// Counts for the threshold: (pooled, pooled on their own merit, needed, all but the inactive).
    pub fn counts(&self, threshold: Threshold) -> Counts {
        let total = self.members.values().filter(|m| m.admin != Admin::Inactive).count();
        let with_weight = || self.members.values().filter(|m| m.decision.weight > Weight::ZERO);
        Counts {
            pooled: with_weight().count(),
            serving: with_weight().filter(|m| m.decision.standing.can_serve()).count(),
            needed: threshold.needed(total),
            total,
        }
    }
}

/// The numbers of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Members with a weight, those held though down among them.
    pub pooled: usize,
    /// Members with a weight on their own merit.
    pub serving: usize,
    /// What the threshold asks for.
    pub needed: usize,
    /// Members that count in the denominator.
    pub total: usize,
}

/// The checks of a service's backend `host` at `address`.
/// `mark` gives each server that is asked through IPVS its mark.
pub fn checks_for(
    service: &Service,
    host: &str,
    address: IpAddr,
    mark: &mut dyn FnMut(&Bearer) -> Option<NonZeroU32>,
) -> Box<[MemberCheck]> {
    let mut checks = Vec::with_capacity(service.checks.len());
    let encapsulation = encapsulation(service.forward);
    for (template, of) in service.checks.iter().zip(0..) {
        let mut add = |ip, route, port| {
            // An echo has no port, and equal checks are to be equal.
            let port = if template.kind == Kind::Icmp { 0 } else { template.port.map_or(port, u16::from) };
            let check = Check::new(
                SocketAddr::new(ip, port),
                kind_for(&template.kind, host, &service.name),
                template.timing,
            );
            checks.push(MemberCheck { check: Arc::new(check.by(route)), of });
        };
        match &template.path {
            CheckPath::Direct { sources } => {
                let source = sources.iter().copied().find(|source| source.is_ipv4() == address.is_ipv4());
                add(address, Route::Own { source }, service.backend_port);
            }
            CheckPath::Vip => {
                for vip in service.vips.iter().filter(|vip| vip.is_ipv4() == address.is_ipv4()) {
                    add(*vip, Route::Through { server: address, encapsulation }, service.port);
                }
            }
            CheckPath::Ipvs => {
                let mark = mark(&Bearer::server(service, template, address));
                for vip in service.vips.iter().filter(|vip| vip.is_ipv4() == address.is_ipv4()) {
                    add(*vip, Route::Marked { mark, toward: address }, service.port);
                }
            }
        }
    }
    checks.into()
}

/// What a backend is asked. Commands learn its name and the service's. Where a certificate has to be for a name and the service does not say which, it is the
/// backend's own.
fn kind_for(kind: &Kind, host: &str, service: &str) -> Kind {
    let secured = |tls: Option<&Tls>, its_host: Option<&String>| {
        let parts = tls?.parts();
        let is_named = its_host.is_some() || parts.server_name.is_some() || host.parse::<IpAddr>().is_ok();
        let named = || Tls::new(TlsParts { server_name: Some(host.into()), ..parts.clone() }).ok();
        if is_named { None } else { named() }
    };
    let named = |request: &HttpRequest| {
        let parts = request.parts();
        let tls = Some(secured(parts.tls.as_ref(), parts.host.as_ref())?);
        HttpRequest::new(HttpParts { tls, ..parts.clone() }).ok()
    };
    match kind {
        Kind::Http(request) => named(request).map_or_else(|| kind.clone(), Kind::Http),
        Kind::Urls(urls) => {
            let UrlsParts { requests, pick } = urls.parts();
            let requests: Option<Vec<_>> = requests.iter().map(named).collect();
            let named = requests.and_then(|requests| Urls::new(UrlsParts { requests, pick: *pick }).ok());
            named.map_or_else(|| kind.clone(), Kind::Urls)
        }
        Kind::Grpc(grpc) => {
            let parts = grpc.parts();
            let tls = secured(parts.tls.as_ref(), parts.host.as_ref());
            let named = tls.and_then(|tls| Grpc::new(GrpcParts { tls: Some(tls), ..parts.clone() }).ok());
            named.map_or_else(|| kind.clone(), Kind::Grpc)
        }
        Kind::OpenApi(description) => {
            let parts = description.parts();
            let tls = secured(parts.tls.as_ref(), parts.host.as_ref());
            let named =
                tls.and_then(|tls| OpenApi::new(OpenApiParts { tls: Some(tls), ..parts.clone() }).ok());
            named.map_or_else(|| kind.clone(), Kind::OpenApi)
        }
        Kind::Command(program) => {
            let values = [("host", host), ("service", service)];
            let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let named = Program::new(CommandParts { values, ..program.parts().clone() });
            named.map_or_else(|_| kind.clone(), Kind::Command)
        }
        other => other.clone(),
    }
}

/// What packets that are forwarded so are wrapped in.
fn encapsulation(forward: Forward) -> Option<Encapsulation> {
    let Forward::Tunnel(tunnel) = forward else { return None };
    match tunnel.kind {
        TunnelKind::Ipip => Some(Encapsulation::Ipip),
        TunnelKind::Gre => Some(Encapsulation::Gre),
        TunnelKind::Gue => Some(Encapsulation::Gue { port: tunnel.port }),
        // No configuration has it.
        TunnelKind::Other(_) => None,
    }
}

/// The address that a pool of `family` uses for a host: the one it uses already if it still has it, else the lowest.
pub fn address_in(family: Family, addresses: &Addresses<'_>, current: Option<IpAddr>) -> Option<IpAddr> {
    match current.filter(|current| addresses.iter().any(|address| address == *current)) {
        Some(address) => Some(address),
        None => addresses.iter().filter(|address| Family::of(*address) == family).min(),
    }
}
