//! One kind of objects, read for ever: listed in pages, watched, and listed again when the watch has lost the thread.
//!
//! ```text
//! connect ─▶ list (Init … InitDone) ─▶ watch ─┬─ 410: list again, nobody is told
//!    ▲                                        └─ anything else
//!    └───────── wait, longer each time ◀──────────────┘
//! ```
//!
//! Nothing that was listed half is ever said. What breaks is told with the verb and the resource.

use super::client::{self, Access};
use super::index::{Change, Object, Objects, Resource};
use super::names::Names;
use super::objects::Compact;
use crate::config::KubernetesSettings;
use futures_util::{Stream, StreamExt};
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Who reads: one for each resource and namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reader {
    /// What it reads.
    pub(super) resource: Resource,
    /// Where; none is everywhere.
    pub(super) namespace: Option<Arc<str>>,
}

/// What readers say.
#[derive(Debug)]
pub(super) enum Message {
    /// There is something new.
    Changed(Change),
    /// It was listed, and its watch stands.
    Stands(Reader),
    /// It could not be read, so many times in a row.
    Failed(Reader, String, u32),
}

/// The first wait; doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Objects in one answer to a list: as many as other clients ask for.
const PAGE: u32 = 500;

/// How long nothing may break after a list for its watch to stand: the client does not say when a watch has begun, and
/// one that is not allowed is refused at once.
pub(super) const SETTLED: Duration = Duration::from_millis(500);

/// The next event of a watch, which never ends by itself; none when the watch stands now. Cancel-safe: what was not taken
/// is still there.
pub(super) async fn next<S: Stream + Unpin>(
    events: &mut S,
    settles: &mut Option<Instant>,
) -> Option<Option<S::Item>> {
    let Some(at) = *settles else { return Some(events.next().await) };
    match tokio::time::timeout_at(at, events.next()).await {
        Ok(event) => Some(event),
        Err(_) => {
            *settles = None;
            None
        }
    }
}

impl Reader {
    /// Reads for ever.
    pub(super) async fn run<K>(self, settings: Arc<KubernetesSettings>, said: mpsc::Sender<Message>)
    where
        K: Compact + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
        K::Kept: Into<Object>,
        Objects: From<Vec<K::Kept>>,
    {
        let mut failures = 0;
        loop {
            let why = match client::connect(&settings).await {
                Ok(access) => self.follow::<K>(access, &settings, &said, &mut failures).await,
                Err(why) => Some(why),
            };
            // Nobody listens any more.
            let Some(why) = why else { return };
            failures += 1;
            if said.send(Message::Failed(self.clone(), why, failures)).await.is_err() {
                return;
            }
            tokio::time::sleep(wait(failures, settings.max_backoff)).await;
        }
    }

    fn api<K: Compact>(&self, client: kube::Client) -> Api<K> {
        let api: Api<K> = Api::all(client);
        match &self.namespace {
            Some(namespace) => api.constrain(namespace),
            None => api,
        }
    }

    /// Lists and watches until something breaks, and says why; none when nobody listens any more.
    async fn follow<K>(
        &self,
        Access { client, place }: Access,
        settings: &KubernetesSettings,
        said: &mpsc::Sender<Message>,
        failures: &mut u32,
    ) -> Option<String>
    where
        K: Compact + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
        K::Kept: Into<Object>,
        Objects: From<Vec<K::Kept>>,
    {
        let timeout = u32::try_from(settings.watch_timeout.as_secs()).unwrap_or(u32::MAX);
        let config = watcher::Config::default().timeout(timeout).page_size(PAGE);
        let mut events = pin!(watcher(self.api::<K>(client), config));
        let (mut listed, mut names) = (Vec::new(), Names::default());
        let mut settles = None;
        loop {
            let Some(event) = next(&mut events, &mut settles).await else {
                *failures = 0;
                said.send(Message::Stands(self.clone())).await.ok()?;
                continue;
            };
            let Some(event) = event else {
                return Some(format!("watch {}: it ended", self.resource.as_str()));
            };
            let change = match event {
                Ok(event) => self.change(event, (&mut listed, &mut names), &mut settles),
                Err(watcher::Error::WatchError(status)) if status.code == 410 => {
                    tracing::debug!(
                        resource = self.resource.as_str(),
                        "the watch is too old; everything is listed again"
                    );
                    tokio::time::sleep(wait(1, settings.max_backoff)).await;
                    None
                }
                Err(error) => {
                    let namespace = self.namespace.as_deref();
                    return Some(place.watch_words(self.resource.as_str(), namespace, &error));
                }
            };
            if let Some(change) = change {
                said.send(Message::Changed(change)).await.ok()?;
            }
        }
    }

    /// What an event changes; what is listed is gathered until the list is whole.
    fn change<K>(
        &self,
        event: Event<K>,
        (listed, names): (&mut Vec<K::Kept>, &mut Names),
        settles: &mut Option<Instant>,
    ) -> Option<Change>
    where
        K: Compact,
        K::Kept: Into<Object>,
        Objects: From<Vec<K::Kept>>,
    {
        match event {
            Event::Init => {
                listed.clear();
                // Those of nodes that are gone go with them.
                *names = Names::default();
                None
            }
            Event::InitApply(object) => {
                listed.extend(object.compact(names));
                None
            }
            Event::InitDone => {
                *settles = Some(Instant::now() + SETTLED);
                let objects = Objects::from(std::mem::take(listed));
                Some(Change::All { namespace: self.namespace.clone(), objects })
            }
            Event::Apply(object) => object.compact(names).map(|kept| Change::Set(kept.into())),
            Event::Delete(object) => object.compact(names).map(|kept| Change::Gone(kept.into())),
        }
    }
}

/// How long to wait after so many failures in a row: a few tenths of a second, doubled each time, half of it by chance so that
/// balancers do not come back together.
pub(super) fn wait(failures: u32, most: Duration) -> Duration {
    let full = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(most);
    let chance = RandomState::new().hash_one(failures) % 1000;
    full / 2 + full.mul_f64(chance as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_half_of_each_is_by_chance() {
        let most = Duration::from_secs(10);
        let bounds = |failures: u32| {
            (0..200)
                .map(move |_| wait(failures, most))
                .fold((most, Duration::ZERO), |(least, longest), one| (least.min(one), longest.max(one)))
        };
        let mut full = FIRST_WAIT;
        for failures in 1..40 {
            let (least, longest) = bounds(failures);
            assert!(least >= full / 2 && longest <= full, "{failures}: {least:?} to {longest:?} of {full:?}");
            assert!(least < longest, "balancers that lost it together do not come back together");
            full = (full * 2).min(most);
        }
        assert!(wait(u32::MAX, most) <= most);
        assert!(wait(1, Duration::from_millis(1)) <= Duration::from_millis(1));
    }
}
