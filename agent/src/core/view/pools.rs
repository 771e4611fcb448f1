//! Services as they are seen: their pools and backends.

use super::{BackendView, PoolView, ServiceView, UnusableView, canary, names};
use crate::config::{Family, Service};
use crate::core::member::{Member, Pool};
use crate::core::operator::source_of;
use crate::core::pool::Standing;
use crate::core::state::{ServiceState, State};
use crate::core::{advice, why};
use health::Advice;

/// A service; if `brief` without the backends that serve as they should.
pub(super) fn service_view(state: &State, name: &str, service: &ServiceState, brief: bool) -> ServiceView {
    let trouble = state.inventory.trouble(&service.config);
    ServiceView {
        name: name.into(),
        protocol: service.config.protocol.to_string(),
        port: service.config.port,
        fwmark: service.config.fwmark.map(Into::into),
        vips: service.config.vips.clone(),
        scheduler: service.config.scheduler.scheduler().to_string(),
        settings: settings(&service.config),
        forwarding: service.config.forward.to_string(),
        backend_port: service.config.backend_port,
        source: source_of(&service.config),
        source_error: source_error(state, service),
        source_stale: trouble.is_stale,
        source_held: trouble.is_held,
        source_errors: trouble.errors,
        waiting: service.waiting.clone(),
        unsorted: state.unsorted(&service.config).iter().map(|key| key.to_string()).collect(),
        pools: service
            .pools
            .iter()
            .map(|(family, pool)| pool_view(state, name, service, (*family).into(), pool, brief))
            .collect(),
        unusable: service
            .unusable
            .iter()
            .map(|(host, reason)| UnusableView { host: host.clone(), reason: reason.clone() })
            .collect(),
        stale_names: names::stale(state, service),
        canaries: canary::canaries(service),
    }
}

/// What the kernel is told of a service, each once where families agree.
fn settings(service: &Service) -> String {
    let mut families: Vec<ipvs::Family> = service.vips.iter().map(|vip| ipvs::Family::of(*vip)).collect();
    families.sort_unstable();
    families.dedup();
    let mut texts: Vec<String> = families.into_iter().map(|f| service.settings(f).to_string()).collect();
    texts.dedup();
    texts.join("; IPv6: ")
}

fn pool_view(
    state: &State,
    name: &str,
    service: &ServiceState,
    family: Family,
    pool: &Pool,
    brief: bool,
) -> PoolView {
    let counts = pool.counts(service.config.depool_threshold);
    let shown = pool.members.iter().filter(|(_, member)| !brief || is_odd(member));
    let backends: Vec<BackendView> =
        shown.map(|(host, member)| backend_view(state, name, host, member)).collect();
    PoolView {
        family,
        pooled: counts.pooled,
        serving: counts.serving,
        needed: counts.needed,
        total: counts.total,
        left_out: pool.members.iter().count() - backends.len(),
        backends,
        draining: pool.draining.keys().map(|key| key.address).collect(),
    }
}

/// Whether somebody should look at it: it is not in the pool on its own merit, or there is a word beside that.
fn is_odd(member: &Member) -> bool {
    let is_beside = member.path.as_ref().is_some_and(|seen| !seen.path.is_on_link());
    member.decision.standing != Standing::Pooled || member.advice != Advice::default() || is_beside
}

/// Why a service goes on without what its sources say: its own settings, and its backends.
pub(super) fn source_error(state: &State, service: &ServiceState) -> Option<String> {
    let backends = state.inventory.trouble(&service.config).error.or_else(|| service.refused.clone());
    let settings = state.found.former_of(&service.config.name).map(ToOwned::to_owned);
    let all: Vec<String> = settings.into_iter().chain(backends).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// A backend, without its checks.
pub(super) fn backend_view(state: &State, service: &str, host: &str, member: &Member) -> BackendView {
    BackendView {
        host: host.into(),
        address: member.address,
        weight: member.decision.weight.get(),
        standing: member.decision.standing.as_str().into(),
        health: why::health_word(member.health).into(),
        since: member.since,
        reason: why::reason(state, service, ipvs::Family::of(member.address), host),
        path: why::way(member),
        on_link: member.path.as_ref().map(|seen| seen.path.is_on_link()),
        agent: advice::in_words(member.advice),
        checks: Vec::new(),
    }
}
