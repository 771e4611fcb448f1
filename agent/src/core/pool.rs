//! The pool decision: who gets new connections, with which weight, and why.
//!
//! The rules, in the words of an operator:
//!
//! 1. A backend that an operator or its source has depooled gets no new connections. One that is inactive is
//!    not part of the pool at all: it does not count in the threshold's denominator either.
//! 2. Nobody is pooled before the first result of its checks, save one that the kernel already serves: after a
//!    restart it keeps the weight that it has until its checks have spoken.
//! 3. A healthy backend is pooled with its own weight.
//! 4. The depool threshold holds against health: when fewer backends than `threshold × pool` would be left,
//!    backends that are down stay pooled until the threshold is met or nobody enabled is left. Those that
//!    failed latest stay first; among equals the name decides.
//! 5. The threshold never pools a backend against an operator's or a source's word.
//! 6. A backend that is not on a link of the balancer's own gets nothing and is not held either: direct routing never
//!    reaches it. At start that is waited for as the first result of a check is; later, as long as it is not known, it
//!    changes nothing.
//! 7. A backend whose own agent asks for no new connections, or for maintenance, gets none, as long as the threshold is
//!    met without it. Otherwise it stays pooled before anyone who is down: it can serve. One that asks to be drained
//!    stays before one in maintenance; among equals the name decides.

use super::Timestamp;
use crate::config::{Admin, Threshold};
use ipvs::Weight;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the checks of one backend's address say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Health {
    /// Some check has not given its first verdict.
    Unknown,
    /// Every check passes, or there is none.
    Up {
        /// Since when.
        since: Timestamp,
    },
    /// At least one check fails.
    Down {
        /// Since when.
        since: Timestamp,
    },
}

/// What a backend's own agent asks for. In the order in which the threshold goes against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// No new connections.
    Drain,
    /// To be left alone: it is being worked on.
    Maintenance,
}

/// One backend as the decision sees it.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Host name, unique in the pool; the last word among equals.
    pub host: &'a str,
    /// What the operator and the source say, the stricter of the two.
    pub admin: Admin,
    /// The weight that it is to have when pooled: the share that its agent asks for.
    pub weight: Weight,
    /// What its checks say.
    pub health: Health,
    /// What else its own agent asks for.
    pub wish: Option<Wish>,
    /// The weight that the kernel gave it before this process started.
    pub adopted: Option<Weight>,
    /// Whether it is known not to be on a link of the balancer's own, and has to be.
    pub is_off_link: bool,
}

/// Why a backend has the weight that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Healthy and enabled.
    Pooled,
    /// Served before the restart; its checks have not spoken yet.
    Adopted,
    /// Down, but pooled: without it the pool would fall below its threshold.
    HeldThoughDown,
    /// Its own agent asks for no new connections, or for none of its weight.
    AgentDrain,
    /// Its own agent asks for maintenance.
    AgentMaintenance,
    /// Its own agent asks for no new connections or for maintenance, but without it the pool would fall below its
    /// threshold.
    HeldDespiteAgent,
    /// Down.
    Down,
    /// Its checks have not spoken yet.
    AwaitingChecks,
    /// Drained by an operator: its connections finish.
    Drained,
    /// Depooled by an operator or by its source.
    Depooled,
    /// Inactive by its source.
    Inactive,
    /// Not on a link of the balancer's own, where direct routing would reach it.
    OffLink,
}

impl Standing {
    /// Whether a backend of this standing gets new connections (with a weight above zero).
    pub fn is_pooled(self) -> bool {
        match self {
            Self::Pooled | Self::Adopted | Self::HeldThoughDown | Self::HeldDespiteAgent => true,
            Self::AgentDrain
            | Self::AgentMaintenance
            | Self::Down
            | Self::AwaitingChecks
            | Self::Drained
            | Self::Depooled
            | Self::Inactive
            | Self::OffLink => false,
        }
    }

    /// Whether it is pooled and its checks do not speak against it.
    pub fn can_serve(self) -> bool {
        match self {
            Self::Pooled | Self::Adopted | Self::HeldDespiteAgent => true,
            Self::HeldThoughDown
            | Self::AgentDrain
            | Self::AgentMaintenance
            | Self::Down
            | Self::AwaitingChecks
            | Self::Drained
            | Self::Depooled
            | Self::Inactive
            | Self::OffLink => false,
        }
    }

    /// The state in a word or two, as `lvsctl status` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pooled => "pooled",
            Self::Adopted => "adopted",
            Self::HeldThoughDown => "held-though-down",
            Self::AgentDrain => "agent-drain",
            Self::AgentMaintenance => "agent-maintenance",
            Self::HeldDespiteAgent => "held-despite-agent",
            Self::Down => "down",
            Self::AwaitingChecks => "awaiting-checks",
            Self::Drained => "drained",
            Self::Depooled => "depooled",
            Self::Inactive => "inactive",
            Self::OffLink => "off-link",
        }
    }
}

/// The decision for one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The weight that the kernel is to have.
    pub weight: Weight,
    /// Why.
    pub standing: Standing,
}

/// Decides a whole pool. The answer has one decision for each candidate, in the candidates' order, and does not
/// depend on that order.
pub fn decide(candidates: &[Candidate<'_>], threshold: Threshold) -> Vec<Decision> {
    let mut decisions: Vec<Decision> = candidates.iter().map(on_own_merit).collect();
    let total = candidates.iter().filter(|c| c.admin != Admin::Inactive).count();
    let pooled = decisions.iter().filter(|d| d.standing.is_pooled() && d.weight > Weight::ZERO).count();
    let missing = threshold.needed(total).saturating_sub(pooled);
    let held = wishing(candidates).into_iter().chain(latest_to_fail(candidates));
    for (index, decision) in held.take(missing) {
        decisions[index] = decision;
    }
    decisions
}

/// The decision for one backend when the threshold asks for nothing.
fn on_own_merit(candidate: &Candidate<'_>) -> Decision {
    let refused = |standing| Decision { weight: Weight::ZERO, standing };
    match (candidate.admin, candidate.health) {
        (Admin::Inactive, _) => refused(Standing::Inactive),
        (Admin::Depooled, _) => refused(Standing::Depooled),
        (Admin::Drained, _) => refused(Standing::Drained),
        (Admin::Pooled, _) if candidate.is_off_link => refused(Standing::OffLink),
        (Admin::Pooled, Health::Down { .. }) => refused(Standing::Down),
        (Admin::Pooled, _) if served(candidate).is_some() && candidate.wish.is_some() => {
            refused(match candidate.wish {
                Some(Wish::Maintenance) => Standing::AgentMaintenance,
                Some(Wish::Drain) | None => Standing::AgentDrain,
            })
        }
        (Admin::Pooled, Health::Up { .. }) => {
            Decision { weight: candidate.weight, standing: Standing::Pooled }
        }
        (Admin::Pooled, Health::Unknown) => match candidate.adopted {
            Some(weight) if weight > Weight::ZERO => Decision { weight, standing: Standing::Adopted },
            Some(_) | None => refused(Standing::AwaitingChecks),
        },
    }
}

/// The weight with which a backend serves, as far as its checks go.
fn served(candidate: &Candidate<'_>) -> Option<Weight> {
    match candidate.health {
        Health::Up { .. } => Some(candidate.weight),
        Health::Unknown => candidate.adopted.filter(|weight| *weight > Weight::ZERO),
        Health::Down { .. } => None,
    }
}

/// The enabled backends that could serve but for what their agents ask for, those that are held for the threshold first.
fn wishing(candidates: &[Candidate<'_>]) -> Vec<(usize, Decision)> {
    let mut wishing: Vec<(Wish, &str, usize, Weight)> = candidates
        .iter()
        .enumerate()
        .filter(|(_, c)| c.admin == Admin::Pooled && !c.is_off_link)
        .filter_map(|(index, c)| Some((c.wish?, c.host, index, served(c)?)))
        .filter(|(.., weight)| *weight > Weight::ZERO)
        .collect();
    wishing.sort_unstable();
    let held = |weight| Decision { weight, standing: Standing::HeldDespiteAgent };
    wishing.into_iter().map(|(.., index, weight)| (index, held(weight))).collect()
}

/// The enabled backends that are down and could hold the threshold, best first.
fn latest_to_fail(candidates: &[Candidate<'_>]) -> Vec<(usize, Decision)> {
    let mut down: Vec<(std::cmp::Reverse<Timestamp>, &str, usize)> = candidates
        .iter()
        .enumerate()
        .filter(|(_, c)| c.admin == Admin::Pooled && c.weight > Weight::ZERO && !c.is_off_link)
        .filter_map(|(index, c)| match c.health {
            Health::Down { since } => Some((std::cmp::Reverse(since), c.host, index)),
            Health::Unknown | Health::Up { .. } => None,
        })
        .collect();
    down.sort_unstable();
    let held =
        |index: usize| Decision { weight: candidates[index].weight, standing: Standing::HeldThoughDown };
    down.into_iter().map(|(_, _, index)| (index, held(index))).collect()
}

#[cfg(test)]
mod tests;
