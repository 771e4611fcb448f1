//! `[fleet]`: where balancers tell one another what they see and do.

use super::model::Config;
use super::source::{SourceSettings, is_directory};
use super::value::{duration_or, is_name};
use super::walk::{Node, Run};
use super::{ConfigError, Place, Problem};
use crate::suggest::suggest;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

pub(super) const KEYS: &[&str] = &["source", "prefix", "name", "ttl"];

const SOURCE: &str = "the name of a source of type \"etcd\"";
const PREFIX: &str = "a directory of etcd, such as \"/lvsd/fleet\"";
const NAME: &str = "the balancer's name: 1 to 64 letters, digits, \"_\", \".\" and \"-\"";

/// Where nobody else writes.
const DEFAULT_PREFIX: &str = "/lvsd/fleet";

/// A balancer that lost its power is missed after so long.
const DEFAULT_TTL: Duration = Duration::from_secs(15);

/// etcd grants no less than an election takes, and a balancer that is gone is not to be waited for an hour.
const TTLS: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(600);

/// What balancers tell one another, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// The source whose etcd it is.
    pub source: Arc<str>,
    /// The directory, with a slash at its beginning and none at its end.
    pub prefix: Arc<str>,
    /// The name of this balancer; the host's own when absent.
    pub name: Option<String>,
    /// How long what a balancer said outlives it.
    pub ttl: Duration,
    /// Where the section stands.
    pub origin: Place,
}

/// Reads the table; what is wrong with it is reported.
pub(super) fn read(node: &Node<'_>) -> Option<Fleet> {
    let section = node.section(KEYS)?;
    let source = section.required("source", SOURCE).and_then(|node| node.string(SOURCE));
    let prefix = match section.get("prefix") {
        Some(node) => node.parsed(PREFIX, |text| is_directory(text).then(|| text.into())),
        None => Some(DEFAULT_PREFIX.into()),
    };
    let name = match section.get("name") {
        Some(node) => node.parsed(NAME, |text| is_name(text, true).then(|| Some(text.to_owned()))),
        None => Some(None),
    };
    let ttl = duration_or(&section, "ttl", TTLS, DEFAULT_TTL);
    Some(Fleet { source: source?.into(), prefix: prefix?, name: name?, ttl, origin: node.key_place() })
}

/// Reports a source that is not there, or is no etcd.
pub(super) fn check_source(config: &Config, run: &Run<'_>) {
    let Some(fleet) = &config.fleet else { return };
    let problem = match config.sources.get(&fleet.source) {
        Some(SourceSettings::Etcd(_)) => return,
        Some(other) => format!("[source.{}] is of type {:?}, and has no leases", fleet.source, other.kind()),
        None => {
            // What is wrong with a source that is there was said.
            if !run.errors().is_empty() {
                return;
            }
            let names = config.sources.keys().map(|name| &**name);
            let hint = suggest(&fleet.source, names).first().map(|near| format!("; did you mean {near}?"));
            format!("there is no [source.{}]{}", fleet.source, hint.unwrap_or_default())
        }
    };
    run.errors().push(ConfigError::new(
        fleet.origin.clone(),
        "fleet.source".to_owned(),
        Problem::Conflict(problem),
    ));
}
