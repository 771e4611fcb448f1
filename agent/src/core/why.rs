//! The reason for everything, in words.

use super::member::{Counts, Member, Pool};
use super::operator::source_of;
use super::pool::{Health, Standing};
use super::state::{ServiceState, State};
use super::verdicts::{MemberCheck, Tally};
use crate::config::Require;
use health::{Mode, Verdict};
use ipvs::{Family, Scheduler};

/// What an agent is told that asks for more than the whole.
const NO_MORE: &str = ", and gets all of it: sh has no room for more";

/// Why a backend of a service has the standing that it has in one family.
pub fn reason(state: &State, service: &str, family: Family, host: &str) -> String {
    let found = || {
        let service = state.services.get(service)?;
        let pool = service.pools.get(&family)?;
        Some((service, pool, pool.members.get(host)?))
    };
    let Some((service, pool, member)) = found() else { return "it is not a backend of this service".into() };
    let reason = match member.decision.standing {
        Standing::Pooled => healthy(state, service, member),
        Standing::Adopted => "it served before its present checks began; they have not spoken yet".into(),
        Standing::AwaitingChecks => awaited(state, member),
        Standing::Down => failed_checks(state, service, member),
        Standing::HeldThoughDown => kept(service, pool, &failed_checks(state, service, member)),
        Standing::AgentDrain | Standing::AgentMaintenance => agent_asks(member),
        Standing::HeldDespiteAgent => kept(service, pool, &agent_asks(member)),
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

fn kept(service: &ServiceState, pool: &Pool, reason: &str) -> String {
    let Counts { needed, total, .. } = pool.counts(service.config.depool_threshold);
    format!(
        "{reason}; kept in the pool all the same: the depool threshold asks for {needed} of {total} backends"
    )
}

fn agent_asks(member: &Member) -> String {
    let wish = match member.advice.mode {
        Some(Mode::Maintenance) => "maintenance",
        Some(Mode::Drain) => "no new connections (drain)",
        Some(Mode::Ready) | None => "0% of its weight",
    };
    format!("its own agent asks for {wish}")
}

fn healthy(state: &State, service: &ServiceState, member: &Member) -> String {
    let Tally { passing, needed, total, .. } = state.verdicts.tally(&member.checks, service.config.require);
    let passes = match member.checks.len() {
        0 => "it has no checks and is taken for up".into(),
        1 => "its check passes".into(),
        several if passing == total => format!("all of its {several} checks pass"),
        _ => {
            let failed = failures(state, member);
            let but = if failed.is_empty() { String::new() } else { format!("; {failed}") };
            format!("{passing} of its {total} checks pass, {needed} must{but}")
        }
    };
    let (full, _) = member.heed(&service.config);
    let share = match member.advice.percent {
        Some(percent) if percent != 100 => {
            let is_sh = *service.config.scheduler.scheduler() == Scheduler::Sh;
            let more = if percent > 100 && is_sh { NO_MORE } else { "" };
            format!("; its own agent asks for {percent}% of its weight {}{more}", member.weight)
        }
        Some(_) | None => String::new(),
    };
    match member.rare().rising_since {
        Some(since) => format!("{passes}{share}; slow start since {since}, its full weight is {full}"),
        None => format!("{passes}{share}"),
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

fn failed_checks(state: &State, service: &ServiceState, member: &Member) -> String {
    let failed = failures(state, member);
    let failed = if failed.is_empty() { "a check fails".into() } else { failed };
    match service.config.require {
        Require::All => failed,
        Require::Any | Require::AtLeast(_) => {
            let Tally { failing, needed, total, .. } =
                state.verdicts.tally(&member.checks, service.config.require);
            format!("{failing} of its {total} checks fail, {needed} must pass: {failed}")
        }
    }
}

/// Each check that fails, and what it met.
fn failures(state: &State, member: &Member) -> String {
    let reported = member.checks.iter().filter_map(|made| Some((made, state.verdicts.get(&made.check)?)));
    let failed: Vec<String> = reported
        .filter(|(_, reported)| reported.verdict == Verdict::Down)
        .map(|(MemberCheck { check, .. }, reported)| {
            format!("{check}: {}", reported.failure.as_deref().unwrap_or("the check fails"))
        })
        .collect();
    failed.join("; ")
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
        .map(|made| &made.check)
        .filter(|check| state.verdicts.get(check).is_none_or(|reported| reported.verdict == Verdict::Unknown))
        .map(ToString::to_string)
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
