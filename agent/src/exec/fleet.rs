//! Tells the other balancers of this one, and reads what they tell.
//!
//! Two keys under a lease: `PREFIX/NAME/seen`, up to which revision each source is obeyed, and `PREFIX/NAME/report`, what
//! the balancer does. etcd that is away stops nothing: then nobody is told, which the others see when the lease is over.

use crate::config::{EtcdSettings, Fleet};
use crate::core::fleet::{Report, Seen, differing};
use crate::engine::Inbox;
use crate::host;
use crate::sources::etcd::roster::{Held, Roster};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often it is looked whether there is news: a depool is confirmed within so long.
const LOOK: Duration = Duration::from_millis(200);

/// How often a whole report is made: the engine makes it, and goes over every service for that.
const WHOLE: Duration = Duration::from_secs(5);

/// How soon after another report a change is told: with [`LOOK`] within a second.
const SOON: Duration = Duration::from_millis(700);

/// Bytes of reports in a second, which etcd has to write to each of its disks: long ones come less often, though not less than
/// whole ones.
const RATE: f64 = 256_000.0;

/// The pause after etcd could not be told.
const PAUSE: Duration = Duration::from_secs(2);

/// How long a stop waits for its lease to be given back.
const FAREWELL: Duration = Duration::from_secs(3);

/// The task that tells.
#[derive(Debug)]
pub struct Handle {
    fleet: Fleet,
    settings: EtcdSettings,
    stop: watch::Sender<bool>,
    agreement: watch::Receiver<Agreement>,
    /// One task; it ends with this.
    task: Mutex<JoinSet<()>>,
}

/// What is known of a balancer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether it is the one that was asked.
    pub is_self: bool,
    /// Up to which revision it obeys each source.
    pub seen: Seen,
    /// What it says of itself; none when it has not said anything, or in words of another version.
    pub report: Option<Report>,
}

/// How far the balancers do the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Whether they hear of this one, and it of them.
    pub is_told: bool,
    /// Those that live, this one among them, as of the last comparison.
    pub balancers: usize,
    /// Pools in which another that runs does otherwise.
    pub differing: usize,
}

/// Who has followed a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confirmation {
    /// Those that obey it.
    pub followed: Vec<String>,
    /// Those that do not, each with what it says.
    pub missing: BTreeMap<String, String>,
}

impl Handle {
    /// Tells from now on.
    pub fn spawn(fleet: Fleet, settings: EtcdSettings, inbox: Inbox) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (compared, agreement) = watch::channel(Agreement::default());
        let teller =
            Teller { name: name(&fleet), fleet: fleet.clone(), settings: settings.clone(), inbox, compared };
        let mut task = JoinSet::new();
        task.spawn(teller.run(stopped));
        Self { fleet, settings, stop, agreement, task: Mutex::new(task) }
    }

    /// How far the balancers do the same, as it was seen last.
    pub fn agreement(&self) -> Agreement {
        *self.agreement.borrow()
    }

    /// All balancers that live, by name.
    ///
    /// # Errors
    /// Why etcd cannot be read.
    pub async fn members(&self) -> Result<Vec<Member>, String> {
        let mut roster = Roster::connect(&self.settings, &self.fleet.prefix).await?;
        members(&mut roster, &name(&self.fleet)).await
    }

    /// Waits until every balancer that lives obeys a source up to a revision, for so long at most.
    ///
    /// # Errors
    /// Why etcd cannot be read.
    pub async fn confirm(
        &self,
        source: &str,
        revision: u64,
        longest: Duration,
    ) -> Result<Confirmation, String> {
        let end = Instant::now() + longest;
        let mut roster = Roster::connect(&self.settings, &self.fleet.prefix).await?;
        let own = name(&self.fleet);
        loop {
            let confirmation = confirmation(members(&mut roster, &own).await?, source, revision);
            if confirmation.missing.is_empty() || Instant::now() >= end {
                return Ok(confirmation);
            }
            tokio::time::sleep(LOOK / 2).await;
        }
    }

    /// Takes leave of the others.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let mut task = self.task.lock().await;
        drop(tokio::time::timeout(FAREWELL, task.join_next()).await);
        task.abort_all();
    }
}

/// What all of them say, by name.
async fn members(roster: &mut Roster, own: &str) -> Result<Vec<Member>, String> {
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    for (key, value) in roster.all().await? {
        let Some((name, what)) = key.rsplit_once('/') else { continue };
        let member = members.entry(name.to_owned()).or_default();
        match what {
            "seen" => member.seen = serde_json::from_slice(&value).unwrap_or_default(),
            "report" => member.report = serde_json::from_slice(&value).ok(),
            _ => {}
        }
    }
    let named = |(name, member): (String, Member)| Member { is_self: name == own, name, ..member };
    Ok(members.into_iter().map(named).collect())
}

fn confirmation(members: Vec<Member>, source: &str, revision: u64) -> Confirmation {
    let mut confirmation = Confirmation::default();
    for Member { name, seen, report, .. } in members {
        let seen = seen.get(source).copied();
        if seen.is_some_and(|seen| seen >= revision) {
            confirmation.followed.push(name);
            continue;
        }
        let state = report.and_then(|report| report.sources.get(source).cloned());
        let state = state.unwrap_or_else(|| "does not have this source".to_owned());
        let why = match seen {
            Some(seen) => format!("obeys revision {seen}, {revision} is wanted; {source} there: {state}"),
            None => format!("obeys no revision yet; {source} there: {state}"),
        };
        confirmation.missing.insert(name, why);
    }
    confirmation
}

/// The balancer's name: as configured, or the host's own without its domain.
fn name(fleet: &Fleet) -> String {
    let own = || Some(host::short_name()).filter(|name| !name.is_empty());
    fleet.name.clone().or_else(own).unwrap_or_else(|| "unnamed".into())
}

struct Teller {
    name: String,
    fleet: Fleet,
    settings: EtcdSettings,
    inbox: Inbox,
    compared: watch::Sender<Agreement>,
}

impl Teller {
    async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut last = String::new();
        while let Err(why) = self.tell(stopped.clone()).await {
            self.compared.send_modify(|agreement| agreement.is_told = false);
            if why != last {
                tracing::warn!(why, "the fleet cannot be told of this balancer");
                last = why;
            }
            if tokio::time::timeout(PAUSE, wait(&mut stopped)).await.is_ok() {
                return;
            }
        }
    }

    /// Tells until that does not go on, or it is told to stop.
    async fn tell(&self, mut stopped: watch::Receiver<bool>) -> Result<(), String> {
        let mut roster = Roster::connect(&self.settings, &self.fleet.prefix).await?;
        let mut held = roster.join(self.fleet.ttl).await?;
        let (mut seen, mut told, mut kept) = (None, Told::default(), Instant::now());
        let mut compared = None::<Instant>;
        while !*stopped.borrow_and_update() {
            let now = Instant::now();
            // An engine that has ended has nothing more to tell.
            let Ok(news) = self.inbox.news().await else { break };
            if seen.as_ref() != Some(&news.seen) {
                seen = Some(news.seen);
                self.put(&mut roster, "seen", &seen, &held).await?;
            }
            if let Some(since) = told.due(news.decisions, now) {
                let Ok(report) = self.inbox.report(since).await else { break };
                if told.follow(report, since, news.decisions, now) {
                    told.bytes = self.put(&mut roster, "report", &told.report, &held).await?;
                }
            }
            if compared.is_none_or(|at| now.duration_since(at) >= self.fleet.ttl) {
                compared = Some(now);
                self.compare(&mut roster, told.report.as_ref()).await?;
            }
            if now.duration_since(kept) >= self.fleet.ttl / 3 {
                kept = now;
                roster.keep(&mut held).await?;
            }
            // A stop that comes meanwhile is seen at once.
            drop(tokio::time::timeout(LOOK, wait(&mut stopped)).await);
        }
        roster.leave(&held).await
    }

    /// Compares what the others say they do with what this one does.
    async fn compare(&self, roster: &mut Roster, own: Option<&Report>) -> Result<(), String> {
        let members = members(roster, &self.name).await?;
        let others = members.iter().filter(|member| !member.is_self);
        let reports = others.filter_map(|member| member.report.as_ref());
        let differing = own.map_or(0, |own| differing(own, reports));
        let agreement = Agreement { is_told: true, balancers: members.len(), differing };
        self.compared.send_replace(agreement);
        Ok(())
    }

    async fn put(
        &self,
        roster: &mut Roster,
        what: &str,
        value: &impl Serialize,
        held: &Held,
    ) -> Result<usize, String> {
        let value = serde_json::to_string(value).map_err(|error| error.to_string())?;
        let bytes = value.len();
        roster.tell(&format!("{}/{what}", self.name), value, held).await?;
        Ok(bytes)
    }
}

/// What was told last of what the balancer does.
#[derive(Default)]
struct Told {
    report: Option<Report>,
    /// As of which of the core's decisions it is.
    decisions: u64,
    /// When all of it was made, and when some of it was.
    whole: Option<Instant>,
    some: Option<Instant>,
    /// How long it is.
    bytes: usize,
}

impl Told {
    /// Whether the engine is to be asked, and after which decisions: all, or those that are news.
    fn due(&self, decisions: u64, now: Instant) -> Option<Option<u64>> {
        let has_passed = |at: Option<Instant>, time| at.is_none_or(|at| now.duration_since(at) >= time);
        let pace = SOON.max(Duration::from_secs_f64(self.bytes as f64 / RATE));
        match has_passed(self.whole, WHOLE) {
            true => Some(None),
            false => {
                (self.decisions != decisions && has_passed(self.some, pace)).then_some(Some(self.decisions))
            }
        }
    }

    /// Takes over what the engine says. Whether it is something else than was told.
    fn follow(&mut self, news: Report, since: Option<u64>, decisions: u64, now: Instant) -> bool {
        let mut report = self.report.clone().filter(|_| since.is_some()).unwrap_or_default();
        report.follow(news);
        (self.decisions, self.some) = (decisions, Some(now));
        if since.is_none() {
            self.whole = Some(now);
        }
        let is_news = self.report.as_ref() != Some(&report);
        self.report = Some(report);
        is_news
    }
}

/// Waits until it is told to stop.
async fn wait(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_told_again_every_five_seconds_and_a_change_soon_unless_that_is_much() {
        let begin = Instant::now();
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let mut told = Told::default();
        assert_eq!(told.due(7, begin), Some(None), "nothing was told yet");
        assert!(told.follow(Report::default(), None, 7, begin));
        assert_eq!(told.due(7, at(4_999)), None, "nothing has changed");
        assert_eq!(told.due(7, at(5_000)), Some(None));
        assert_eq!(told.due(8, at(699)), None);
        assert_eq!(told.due(8, at(700)), Some(Some(7)));
        assert!(!told.follow(Report::default(), Some(7), 8, at(700)), "it is what was told");
        assert_eq!(told.due(9, at(1_399)), None);
        assert_eq!(told.due(9, at(1_400)), Some(Some(8)));
        told.bytes = 512_000;
        assert_eq!(told.due(9, at(2_699)), None, "as much as etcd is to write in two seconds");
        assert_eq!(told.due(9, at(2_700)), Some(Some(8)));
        assert_eq!(told.due(9, at(5_000)), Some(None), "the time for all goes by when all was told");
    }
}
