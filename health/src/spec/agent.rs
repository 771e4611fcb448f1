//! What is asked of an agent beside a server.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::exchange::check_payload;
use super::{Secret, SpecError};

/// What an agent is asked, and what it means when it does not answer. Made from [`AgentParts`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "AgentParts", into = "AgentParts")]
pub struct AgentQuestion(AgentParts);

/// The parts of an [`AgentQuestion`], not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentParts {
    /// What is sent once the connection is established, its end of line included; nothing by default.
    pub send: Secret,
    /// What it means when the agent does not answer.
    pub unanswered: Unanswered,
}

/// What it means when an agent does not answer, or with nothing that can be understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unanswered {
    /// What it said before holds; a server whose agent has never answered counts as up. That is how HAProxy takes it:
    /// whether the server answers is for another check to find out.
    #[default]
    Keep,
    /// The server fails.
    Fail,
}

impl AgentQuestion {
    /// Checks the parts.
    ///
    /// # Errors
    /// [`SpecError::Payload`].
    pub fn new(parts: AgentParts) -> Result<Self, SpecError> {
        check_payload(&parts.send)?;
        Ok(Self(parts))
    }

    /// The parts, all of them valid.
    pub fn parts(&self) -> &AgentParts {
        &self.0
    }
}

/// Empty, or ` (send 5 bytes)`: what follows the target in a check's display.
impl fmt::Display for AgentQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.send.len() {
            0 => Ok(()),
            sent => write!(f, " (send {sent} bytes)"),
        }
    }
}

impl TryFrom<AgentParts> for AgentQuestion {
    type Error = SpecError;

    fn try_from(parts: AgentParts) -> Result<Self, SpecError> {
        Self::new(parts)
    }
}

impl From<AgentQuestion> for AgentParts {
    fn from(question: AgentQuestion) -> Self {
        question.0
    }
}
