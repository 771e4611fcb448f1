//! `lvsctl depool`, `drain`, `inactive`, `pool` and `weight`: where the truth is, or on this balancer alone.

use super::announcements::Said;
use super::client::{Client, ClientError};
use super::complete::{hosts, services};
use super::render;
use crate::api::messages::{ChangeRequest, PoolRequest, Problem, ProblemKind, TakeOutRequest, WeightRequest};
use crate::config::Admin;
use crate::core::action::Done;
use crate::core::change::{Preview, Selector, Word};
use crate::core::event::TakenOut;
use crate::core::saved::SetWeight;
use crate::ctl::escape;
use crate::exec::fleet::Confirmation;
use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};

/// Where a change is made, and of what.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// On this balancer alone, whatever etcd says; kept over restarts.
    #[arg(long, conflicts_with_all = ["service", "cluster"])]
    pub local: bool,
    /// Only in pools of services of this name, in etcd.
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(services))]
    pub service: Option<String>,
    /// Only in pools of this cluster, in etcd.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Do not ask when several objects match.
    #[arg(short, long)]
    pub yes: bool,
    /// How long to wait for the other balancers of the fleet to follow, with [fleet]; 0s not at all.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = wait_time)]
    pub confirm: u64,
}

fn wait_time(text: &str) -> Result<u64, String> {
    crate::config::duration(text)
        .map(|time| time.as_secs())
        .ok_or_else(|| "expected a time like 5s or 1m".into())
}

/// What was changed, and who has followed.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// What was changed.
    #[serde(flatten)]
    pub done: Done,
    /// Who has followed; none where there is no fleet, or the balancer alone was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
    /// What was not changed, as it is kept elsewhere: for people.
    #[serde(skip)]
    pub elsewhere: Option<String>,
}

impl From<Done> for Changed {
    fn from(done: Done) -> Self {
        Self { done, confirmation: None, elsewhere: None }
    }
}

impl Changed {
    /// Whether some balancer has not followed.
    pub fn is_missed(&self) -> bool {
        self.confirmation.as_ref().is_some_and(|confirmation| !confirmation.missing.is_empty())
    }
}

/// What a change may be told with.
#[derive(Clone, Debug, Default, Args)]
pub struct Note {
    /// Why, for whoever asks later.
    #[command(flatten)]
    pub said: Said,
    /// Also when a pool falls below its depool threshold.
    #[arg(long)]
    pub force: bool,
}

/// `lvsctl depool` and `lvsctl inactive`.
#[derive(Debug, Args)]
pub struct TakeOut {
    /// The backend's host name; in etcd also several by * and ?.
    #[arg(add = ArgValueCandidates::new(hosts))]
    pub host: String,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Why, and whether by force.
    #[command(flatten)]
    pub note: Note,
}

/// `lvsctl pool`.
#[derive(Debug, Args)]
pub struct Pool {
    /// The backend's host name; in etcd also several by * and ?.
    #[arg(add = ArgValueCandidates::new(hosts))]
    pub host: String,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Why, for whoever asks later.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `lvsctl weight`.
#[derive(Debug, Args)]
pub struct Weight {
    /// The backend's host name; in etcd also several by * and ?.
    #[arg(add = ArgValueCandidates::new(hosts))]
    pub host: String,
    /// A weight of 0 to 65535, or on this balancer alone a share of its source's weight like 10%.
    #[arg(value_parser = set_weight, required_unless_present = "reset")]
    pub weight: Option<SetWeight>,
    /// The weight of its source again, after one of this balancer's own.
    #[arg(long, conflicts_with = "weight")]
    pub reset: bool,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Why, and whether by force.
    #[command(flatten)]
    pub note: Note,
}

fn set_weight(text: &str) -> Result<SetWeight, String> {
    let share = text.strip_suffix('%').map(|share| share.parse().ok().filter(|share| *share <= 100));
    let weight = || text.parse::<u16>().ok().and_then(|weight| ipvs::Weight::new(weight.into()).ok());
    match share {
        Some(share) => share.map(SetWeight::Percent),
        None => weight().map(SetWeight::Absolute),
    }
    .ok_or_else(|| "expected a weight of 0 to 65535, or a share of 0% to 100%".into())
}

/// Takes a backend out.
///
/// # Errors
/// See [`ClientError`].
pub async fn take_out(
    client: &Client,
    host: &str,
    (place, note): (&Place, &Note),
    to: TakenOut,
) -> Result<Changed, ClientError> {
    let (word, path) = match to {
        TakenOut::Drained => (Word::Weight(0), "/v1/drain"),
        TakenOut::Depooled => (Word::Pooled(Admin::Depooled), "/v1/depool"),
        TakenOut::Inactive => (Word::Pooled(Admin::Inactive), "/v1/inactive"),
    };
    if let Some(done) = in_source(client, host, place, Some(word), note).await? {
        return Ok(done);
    }
    let Note { said: Said { reason, lasts }, force } = note.clone();
    let request = TakeOutRequest { host: host.to_owned(), reason, force, lasts };
    client.post::<Done>(path, &request).await.map(Changed::from)
}

/// Takes a taking out back.
///
/// # Errors
/// See [`ClientError`].
pub async fn pool(client: &Client, asked: &Pool) -> Result<Changed, ClientError> {
    let said = Said { reason: asked.reason.clone(), lasts: None };
    let (word, note) = (Word::Pooled(Admin::Pooled), Note { said, force: false });
    if let Some(done) = in_source(client, &asked.host, &asked.place, Some(word), &note).await? {
        return Ok(done);
    }
    client.post::<Done>("/v1/pool", &PoolRequest { host: asked.host.clone() }).await.map(Changed::from)
}

/// Gives a backend another weight.
///
/// # Errors
/// See [`ClientError`].
pub async fn weigh(client: &Client, asked: &Weight) -> Result<Changed, ClientError> {
    let word = match asked.weight {
        Some(SetWeight::Absolute(weight)) => u16::try_from(weight.get()).ok().map(Word::Weight),
        Some(SetWeight::Percent(_)) | None => None,
    };
    if let Some(done) = in_source(client, &asked.host, &asked.place, word, &asked.note).await? {
        return Ok(done);
    }
    let Note { said: Said { reason, lasts }, force } = asked.note.clone();
    let host = asked.host.clone();
    let request = WeightRequest { host, weight: asked.weight, reason, force, lasts };
    client.post::<Done>("/v1/weight", &request).await.map(Changed::from)
}

/// Changes what etcd says, where the host's pools are in etcd; none where they are not, or the balancer alone is meant.
async fn in_source(
    client: &Client,
    host: &str,
    place: &Place,
    to: Option<Word>,
    note: &Note,
) -> Result<Option<Changed>, ClientError> {
    let is_pattern = host.contains(['*', '?']);
    if place.local {
        return match is_pattern {
            true => Err(refused("on this balancer alone one host is taken out at a time: name it".into())),
            false => Ok(None),
        };
    }
    let (service, cluster) = (place.service.clone(), place.cluster.clone());
    let is_narrowed = is_pattern || service.is_some() || cluster.is_some();
    let selector = Selector { hosts: host.to_owned(), service, cluster };
    let preview: Preview = match client.post("/v1/preview", &selector).await {
        Ok(preview) => preview,
        // A host that only this balancer remembers: it says so itself.
        Err(ClientError::Problem(problem)) if problem.kind == ProblemKind::NotFound && !is_narrowed => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if preview.objects.is_empty() && !is_narrowed {
        return Ok(None);
    }
    if preview.objects.is_empty() {
        return Err(refused(format!("nothing that matches is kept in etcd:\n{}", elsewhere(&preview))));
    }
    let Some(to) = to else {
        let message = "etcd has whole weights: say which, or use --local for a share or to take one back";
        return Err(refused(message.into()));
    };
    if preview.objects.len() > 1 && !place.yes {
        ask(&preview, to)?;
    }
    let Note { said: Said { reason, lasts }, force } = note.clone();
    let objects = preview.objects.iter().map(|previewed| previewed.object.clone()).collect();
    let request = ChangeRequest { objects, to, reason, force, lasts };
    let done: Done = client.post("/v1/change", &request).await?;
    let elsewhere = (!preview.elsewhere.is_empty()).then(|| elsewhere(&preview));
    let confirmation = confirmed(client, &done, place.confirm).await?;
    Ok(Some(Changed { done, confirmation, elsewhere }))
}

/// Waits for the fleet, if there is one: for each source until its last revision is obeyed by all.
async fn confirmed(client: &Client, done: &Done, wait: u64) -> Result<Option<Confirmation>, ClientError> {
    let mut revisions: BTreeMap<&str, u64> = BTreeMap::new();
    for written in &done.written {
        if let Ok(stored) = &written.outcome {
            let revision = revisions.entry(&written.object.source).or_default();
            *revision = stored.revision.max(*revision);
        }
    }
    let mut all: Option<Confirmation> = None;
    for (source, revision) in revisions.into_iter().filter(|_| wait > 0) {
        let path = format!("/v1/fleet/confirm?source={}&revision={revision}&wait={wait}", escape(source));
        match client.get::<Confirmation>(&path).await {
            Ok(found) => {
                let all = all.get_or_insert_default();
                all.followed.retain(|name| !found.missing.contains_key(name));
                all.followed.extend(found.followed);
                all.missing.extend(found.missing);
            }
            Err(ClientError::Problem(problem)) if problem.kind == ProblemKind::NotFound => return Ok(None),
            // It was changed: what is not known is who has followed.
            Err(error) => {
                let missing = &mut all.get_or_insert_default().missing;
                missing.insert("the fleet".into(), error.to_string());
            }
        }
    }
    if let Some(all) = &mut all {
        all.followed.retain(|name| !all.missing.contains_key(name));
        all.followed.sort();
        all.followed.dedup();
    }
    Ok(all)
}

/// What is not changed, a line each.
fn elsewhere(preview: &Preview) -> String {
    let line = |other: &crate::core::change::Elsewhere| {
        format!(
            "  {} in {} is kept in {}: --local acts on this balancer",
            other.host, other.service, other.pool
        )
    };
    preview.elsewhere.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Shows what would be changed, and asks.
fn ask(preview: &Preview, to: Word) -> Result<(), ClientError> {
    eprint!("{}", render::change::preview(preview, to));
    let count = preview.objects.len();
    if !std::io::stdin().is_terminal() {
        return Err(refused(format!(
            "{count} objects match: --yes changes them all, --service and --cluster narrow"
        )));
    }
    eprint!("Change all {count}? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(refused("nothing was changed".into())),
    }
}

fn refused(message: String) -> ClientError {
    ClientError::Problem(Problem { kind: ProblemKind::Refused, message })
}
