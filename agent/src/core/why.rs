//! The reason for everything, in words.

use super::member::Member;
use super::operator::source_of;
use super::pool::{Health, Standing};
use super::state::{ServiceState, State};
use health::Verdict;
use ipvs::Family;

/// Why a backend of a service has the standing that it has in one family.
pub fn reason(state: &State, service: &str, family: Family, host: &str) -> String {
    let found = || {
        let service = state.services.get(service)?;
        let pool = service.pools.get(&family)?;
        Some((service, pool, pool.members.get(host)?))
    };
    let Some((service, pool, member)) = found() else { return "it is not a backend of this service".into() };
    let reason = match member.decision.standing {
        Standing::Pooled => healthy(member),
        Standing::Adopted => "it served before its present checks began; they have not spoken yet".into(),
        Standing::AwaitingChecks => awaited(state, member),
        Standing::Down => failed_checks(state, member),
        Standing::HeldThoughDown => {
            let counts = pool.counts(service.config.depool_threshold);
            format!(
                "{}; kept in the pool all the same: the depool threshold asks for {} of {} backends",
                failed_checks(state, member),
                counts.needed,
                counts.total
            )
        }
        Standing::Drained | Standing::Depooled | Standing::Inactive => {
            taken_out(state, service, host, member)
        }
        Standing::OffLink => {
            let needed = "direct routing reaches only servers on a link of the balancer's own";
            return format!("{}, and {needed}; `require_on_link = false` pools it all the same", way(member));
        }
    };
    match &member.path {
        Some(seen) if !seen.path.is_on_link() => format!("{reason}; but {}", way(member)),
        Some(_) | None => reason,
    }
}

/// Where a backend's packets go, in a sentence.
pub fn way(member: &Member) -> String {
    member.path.as_ref().map_or_else(
        || "where its packets go is not known yet".into(),
        |seen| format!("its packets go {seen}"),
    )
}

fn healthy(member: &Member) -> String {
    let passes = match member.checks.len() {
        0 => "it has no checks and is taken for up".into(),
        1 => "its check passes".into(),
        several => format!("all of its {several} checks pass"),
    };
    match member.rising_since {
        Some(since) => format!("{passes}; slow start since {since}, its full weight is {}", member.weight),
        None => passes,
    }
}

/// Who has taken a backend out, and why.
fn taken_out(state: &State, service: &ServiceState, host: &str, member: &Member) -> String {
    if member.admin == member.by_source {
        return format!("{} in {}", member.by_source.as_str(), source_of(&service.config));
    }
    let change = state.saved.admin.get(host).map_or_else(String::new, |change| format!(" {change}"));
    format!("{}{change}", member.admin.as_str())
}

fn failed_checks(state: &State, member: &Member) -> String {
    let failed: Vec<String> = member
        .checks
        .iter()
        .filter_map(|check| Some((check, state.verdicts.get(check)?)))
        .filter(|(_, reported)| reported.verdict == Verdict::Down)
        .map(|(check, reported)| {
            format!("{check}: {}", reported.failure.as_deref().unwrap_or("the check fails"))
        })
        .collect();
    if failed.is_empty() { "a check fails".into() } else { failed.join("; ") }
}

/// What a backend waits for.
fn awaited(state: &State, member: &Member) -> String {
    let silent = silent_checks(state, member);
    if silent.is_empty() { way(member) } else { format!("waiting for the first result of {silent}") }
}

fn silent_checks(state: &State, member: &Member) -> String {
    let silent: Vec<String> = member
        .checks
        .iter()
        .filter(|check| state.verdicts.get(check).is_none_or(|reported| reported.verdict == Verdict::Unknown))
        .map(|check| check.to_string())
        .collect();
    silent.join(", ")
}

/// A health in a word, for tables.
pub fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Up { .. } => "up",
        Health::Down { .. } => "down",
    }
}
