//! A backend's checks as `lvsctl why` shows them.

use crate::core::member::Member;
use crate::core::state::State;
use crate::core::{Timestamp, advice};
use health::runner::Status;
use health::{Check, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// One check of a backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckView {
    /// What is asked, in words.
    pub check: String,
    /// `up`, `down` or `unknown`.
    pub verdict: String,
    /// Since when; none before its first result.
    pub since: Option<Timestamp>,
    /// What its last probe met, if that failed.
    pub failure: Option<String>,
    /// When its last probe ended.
    pub last: Option<Timestamp>,
    /// How long its last success took.
    pub latency: Option<Duration>,
    /// When the certificate expires that its last success saw.
    pub certificate_expires: Option<Timestamp>,
    /// What an agent asks for.
    pub agent: Option<String>,
    /// Its latest changes, the oldest first.
    pub history: Vec<TransitionView>,
    /// The check itself, for those who know more of it.
    #[serde(skip)]
    made_of: Option<Arc<Check>>,
}

/// A change of a check's verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TransitionView {
    /// What it said from then on.
    pub verdict: String,
    /// When.
    pub at: Timestamp,
    /// What the probe met that decided it, if it failed.
    pub failure: Option<String>,
}

impl CheckView {
    /// The check.
    pub fn check(&self) -> Option<&Check> {
        self.made_of.as_deref()
    }

    /// Fills in what the runner knows.
    pub fn fill(&mut self, status: &Status) {
        if let Some(last) = &status.last {
            self.last = Some(last.at.into());
            self.failure = last.outcome.as_ref().err().map(ToString::to_string);
        }
        self.latency = status.latency;
        self.certificate_expires = status.certificate_expires.map(Timestamp::from);
        let transition = |transition: &health::runner::Transition| TransitionView {
            verdict: transition.verdict.to_string(),
            at: transition.at.into(),
            failure: transition.failure.as_deref().map(ToOwned::to_owned),
        };
        self.history = status.history.iter().map(transition).collect();
    }
}

/// A member's checks, as far as the core knows them.
pub(super) fn checks(state: &State, member: &Member) -> Vec<CheckView> {
    let view = |check: &Arc<Check>| {
        let reported = state.verdicts.get(check);
        CheckView {
            check: check.to_string(),
            verdict: reported.map_or(Verdict::Unknown, |reported| reported.verdict).to_string(),
            since: reported.map(|reported| reported.since),
            failure: reported.and_then(|reported| reported.failure.clone()),
            last: None,
            latency: None,
            certificate_expires: None,
            agent: reported.and_then(|reported| advice::in_words(reported.advice)),
            history: Vec::new(),
            made_of: Some(Arc::clone(check)),
        }
    };
    member.checks.iter().map(|made| view(&made.check)).collect()
}
