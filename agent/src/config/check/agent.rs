//! `type = "agent"`: an agent beside the server says how much it wants.

use super::{Asks, Type, given, keys, payload, taken};
use crate::config::walk::Section;
use health::{AgentParts, AgentQuestion, Kind, Secret, Unanswered};

pub(super) const AGENT: Type =
    Type { name: "agent", keys: keys!["send", "unanswered"], asks: Asks::OwnPort, read };

const UNANSWERED: &str = "\"keep\" or \"fail\"";

fn read(section: &Section<'_>) -> Option<Kind> {
    let send = given(section, "send", Secret::default(), payload::secret);
    let unanswered = given(section, "unanswered", Unanswered::Keep, |node| {
        node.parsed(UNANSWERED, |text| match text {
            "keep" => Some(Unanswered::Keep),
            "fail" => Some(Unanswered::Fail),
            _ => None,
        })
    });
    let parts = AgentParts { send: send?, unanswered: unanswered? };
    taken(section, AgentQuestion::new(parts)).map(Kind::Agent)
}
