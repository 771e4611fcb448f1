//! The reason for everything, in words.

use super::member::Member;
use super::operator::source_of;
use super::pool::{Health, Standing};
use super::state::{ServiceState, State};
use crate::config::Admin;
use health::Verdict;

/// Why a backend of a service has the standing that it has.
pub fn reason(state: &State, service: &str, host: &str) -> String {
    let Some(service) = state.services.get(service) else { return "there is no such service".into() };
    if let Some(why) = service.unusable.get(host) {
        return why.clone();
    }
    let members: Vec<_> = service
        .pools
        .iter()
        .filter_map(|(family, pool)| Some((family, pool, pool.members.get(host)?)))
        .collect();
    let mut reasons: Vec<(String, String)> = members
        .into_iter()
        .map(|(family, pool, member)| {
            let counts = pool.counts(service.config.depool_threshold);
            (family.to_string(), member_reason(state, service, host, member, counts.needed, counts.total))
        })
        .collect();
    match reasons.as_slice() {
        [] => "it is not a backend of this service".into(),
        [(_, one), others @ ..] if others.iter().all(|(_, other)| other == one) => reasons.swap_remove(0).1,
        several => {
            several.iter().map(|(family, why)| format!("{family}: {why}")).collect::<Vec<_>>().join("; ")
        }
    }
}

/// Why one member has its standing.
pub fn member_reason(
    state: &State,
    service: &ServiceState,
    host: &str,
    member: &Member,
    needed: usize,
    total: usize,
) -> String {
    match member.decision.standing {
        Standing::Pooled => match member.checks.len() {
            0 => "it has no checks and is taken for up".into(),
            1 => "its check passes".into(),
            several => format!("all of its {several} checks pass"),
        },
        Standing::Adopted => "it served before its present checks began; they have not spoken yet".into(),
        Standing::AwaitingChecks => {
            format!("waiting for the first result of {}", silent_checks(state, member))
        }
        Standing::Down => failed_checks(state, member),
        Standing::HeldThoughDown => format!(
            "{}; kept in the pool all the same: the depool threshold asks for {needed} of {total} backends",
            failed_checks(state, member)
        ),
        Standing::Depooled => depooled(state, service, host, member),
        Standing::Inactive => format!("inactive in {}", source_of(&service.config)),
    }
}

fn depooled(state: &State, service: &ServiceState, host: &str, member: &Member) -> String {
    if member.admin == Admin::Depooled {
        return format!("depooled in {}", source_of(&service.config));
    }
    match state.saved.depools.get(host) {
        Some(depool) => {
            let why =
                depool.reason.as_deref().map_or_else(|| "no reason was given".into(), |r| format!("\"{r}\""));
            format!("depooled by {} at {}: {why}", depool.who, depool.at)
        }
        None => "depooled".into(),
    }
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
