//! `lvsctl doctor`: what on this host keeps a balancer from working well, and what to change.
//!
//! ```text
//! /proc, /sys, rtnetlink, files ─┐
//! the control socket (status) ───┼─▶ gather ──Facts──▶ diagnose ──Vec<Finding>──▶ text, JSON
//! the configuration ─────────────┘   (I/O)              (pure)
//! ```
//!
//! Reading order: [`facts`] (plain data), [`rules`] (pure: from facts to findings), [`gather`] (reads the host and
//! tolerates whatever is missing), [`render`]. Nothing here changes anything.

pub mod facts;
pub mod gather;
pub mod render;
pub mod rules;

pub use facts::Facts;
pub use rules::diagnose;

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It works, but worse than it could, or it will hurt some day.
    Warning,
    /// Traffic is lost, or lvsd cannot do its work.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was looked at: a sysctl, a module, an interface, a service, ….
    pub subject: String,
    /// What it is.
    pub is: String,
    /// What it should be; empty when it is that.
    pub should: String,
    /// Why; empty when all is well.
    pub why: String,
    /// The command that mends it now.
    pub run: Option<String>,
    /// The file to change so that it stays so, and how.
    pub edit: Option<String>,
}

impl Finding {
    /// Something that is as it should be.
    pub(crate) fn ok(subject: impl Into<String>, is: impl Into<String>) -> Self {
        let (should, why) = (String::new(), String::new());
        let (subject, is) = (subject.into(), is.into());
        Self { severity: Severity::Ok, subject, is, should, why, run: None, edit: None }
    }

    /// Something that should be otherwise.
    pub(crate) fn new(
        severity: Severity,
        subject: impl Into<String>,
        is: impl Into<String>,
        should: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self { severity, should: should.into(), why: why.into(), ..Self::ok(subject, is) }
    }

    /// With the command that mends it now.
    #[must_use]
    pub(crate) fn run(self, command: impl Into<String>) -> Self {
        Self { run: Some(command.into()), ..self }
    }

    /// With the file to change, and how.
    #[must_use]
    pub(crate) fn edit(self, change: impl Into<String>) -> Self {
        Self { edit: Some(change.into()), ..self }
    }
}

#[cfg(test)]
mod tests;
