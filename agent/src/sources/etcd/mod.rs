//! Pools from etcd, as conftool writes them: `PREFIX/DC/CLUSTER/SERVICE/HOST` is `{"weight":10,"pooled":"yes"}`.
//!
//! ```text
//!            ┌────────── another endpoint ◀────────── away (why) ◀───────────┐
//!            ▼                                                               │
//!   connect ───▶ list the directory ───▶ Pool … Live ───▶ watch it ──change──▶ Pool …
//!                    ▲                                       │
//!                    └── compacted, index cleared, ──────────┘
//!                        history went back, others wanted
//! ```
//!
//! There is one listing and one watch for all pools ([`book::Book::directory`]). What is read is said only where it
//! differs from what was said before, so that to list again costs a few megabytes and nothing else: it is what is done
//! after every doubt. While no server answers, everything stays as it is.
//!
//! Reading order: [`value`], [`book`] (both pure), [`store`], [`v3`], [`v2`] on [`http`], the loop here, [`mod@write`] for
//! what operators change, and [`calico`] for the nodes of a cluster.

mod book;
mod calico;
mod http;
pub mod roster;
mod store;
mod tls;
mod v2;
mod v3;
mod value;
mod write;

pub use self::calico::CalicoKeys;
pub(in crate::sources) use self::write::write;

use self::book::Book;
use self::store::{Change, Shelf, Store, Trouble};
use self::v2::V2;
use self::v3::V3;
use super::{Said, Source};
use crate::config::{EtcdSettings, EtcdVersion, Query};
use crate::core::inventory::Progress;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Words that wait to be heard. Whoever hears slowly slows the reading down, and etcd keeps what was not read.
const SAYINGS: usize = 64;

/// The pause after a first failure, doubled for each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause: an etcd that is back is read within so long.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A connection that has lasted for so long was a good one: the next failure is a first one.
const STEADY: Duration = Duration::from_secs(10);

/// The pools of an etcd.
#[derive(Debug)]
pub struct Etcd {
    said: mpsc::Receiver<Said>,
    task: JoinHandle<()>,
}

impl Etcd {
    /// Reads what is wanted, from now on until it is dropped.
    pub fn new(name: Arc<str>, settings: EtcdSettings, wanted: watch::Receiver<BTreeSet<Query>>) -> Self {
        let (sayings, said) = mpsc::channel(SAYINGS);
        let book = Book::new(Arc::clone(&settings.prefix));
        let reader = Reader {
            name,
            wanted,
            sayings,
            book,
            standing: Standing::Unknown,
            progress: Progress::default(),
            errors: Vec::new(),
            failures: 0,
        };
        let task = match settings.version {
            EtcdVersion::V2 => tokio::spawn(reader.run::<V2>(settings)),
            EtcdVersion::V3 => tokio::spawn(reader.run::<V3>(settings)),
        };
        Self { said, task }
    }
}

impl Source for Etcd {
    async fn next(&mut self) -> Said {
        match self.said.recv().await {
            Some(said) => said,
            // The task ends when nobody can want anything any more.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was said last of the source as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unknown,
    Live,
    Stale,
}

/// The task that reads.
#[derive(Debug)]
struct Reader {
    name: Arc<str>,
    wanted: watch::Receiver<BTreeSet<Query>>,
    sayings: mpsc::Sender<Said>,
    book: Book,
    standing: Standing,
    /// What was said last of how far it is heard.
    progress: Progress,
    /// What went wrong since the last listing, by endpoint.
    errors: Vec<String>,
    /// Failures one soon after another.
    failures: u32,
}

/// Nobody listens any more.
#[derive(Debug)]
struct Over;

impl Reader {
    async fn run<S: Store>(mut self, settings: EtcdSettings) {
        for endpoint in settings.endpoints.iter().cycle() {
            if self.until_wanted().await.is_err() {
                return;
            }
            let begin = Instant::now();
            let trouble = match S::connect(&settings, endpoint).await {
                Ok(store) => match self.follow(store).await {
                    Ok(Some(trouble)) => trouble,
                    Ok(None) => continue,
                    Err(Over) => return,
                },
                Err(trouble) => trouble,
            };
            if begin.elapsed() >= STEADY {
                self.failures = 0;
            }
            let errors = self.progress.errors + 1;
            if self.seen(Progress { errors, ..self.progress }).await.is_err() {
                return;
            }
            let why = hinted(trouble.why(), endpoint.is_secured && settings.tls.identity.is_none());
            tracing::warn!(source = %self.name, %endpoint, why, "etcd cannot be read here");
            self.errors.push(format!("{endpoint}: {why}"));
            if self.errors.len() >= settings.endpoints.len() && self.stale().await.is_err() {
                return;
            }
            // Another server is asked at once, unless all of them were.
            self.failures = self.failures.saturating_add(1);
            if self.failures as usize >= settings.endpoints.len() {
                tokio::time::sleep(pause(self.failures - settings.endpoints.len() as u32)).await;
            }
        }
    }

    /// Waits until something is wanted.
    async fn until_wanted(&mut self) -> Result<(), Over> {
        self.wanted.wait_for(|wanted| !wanted.is_empty()).await.map(drop).map_err(|_| Over)
    }

    /// Lists and watches until there is trouble with the server; none when nothing is wanted any more.
    async fn follow(&mut self, mut store: impl Store) -> Result<Option<Trouble>, Over> {
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            self.book.want(&wanted);
            let Some(directory) = self.book.directory() else { return Ok(None) };
            self.book.begin();
            // A listing that is dropped is begun anew.
            let listed = tokio::select! {
                listed = store.list(&directory, &mut self.book) => listed,
                changed = self.wanted.changed() => { changed.map_err(|_| Over)?; continue }
            };
            let lost = match listed {
                Ok(()) => {
                    self.book.end();
                    self.say().await?;
                    self.live().await?;
                    let listings = self.progress.listings + 1;
                    self.seen(Progress { revision: store.revision(), listings, ..self.progress }).await?;
                    self.watch(&mut store).await?
                }
                Err(trouble) => Some(trouble),
            };
            match lost {
                Some(Trouble::Lost(why)) => {
                    tracing::info!(source = %self.name, why, "etcd is listed again");
                    tokio::time::sleep(pause(0)).await;
                }
                Some(away) => return Ok(Some(away)),
                None => {}
            }
        }
    }

    /// Says what changes, until that does not go on; none when something else is wanted.
    async fn watch(&mut self, store: &mut impl Store) -> Result<Option<Trouble>, Over> {
        loop {
            // Changes that are dropped are found by the listing that follows.
            let changes = tokio::select! {
                changes = store.changes() => changes,
                changed = self.wanted.changed() => { changed.map_err(|_| Over)?; return Ok(None) }
            };
            match changes {
                Ok(changes) => changes.into_iter().for_each(|change| match change {
                    Change::Put { key, value } => self.book.put(&key, &value),
                    Change::Delete(key) => self.book.delete(&key),
                    Change::DeleteBelow(directory) => self.book.delete_below(&directory),
                }),
                Err(trouble) => return Ok(Some(trouble)),
            }
            self.say().await?;
            self.seen(Progress { revision: store.revision(), ..self.progress }).await?;
        }
    }

    async fn say(&mut self) -> Result<(), Over> {
        for said in self.book.say() {
            self.sayings.send(said).await.map_err(|_| Over)?;
        }
        Ok(())
    }

    /// Says how far everything was said; the revision may have gone back.
    async fn seen(&mut self, progress: Progress) -> Result<(), Over> {
        if std::mem::replace(&mut self.progress, progress) == progress {
            return Ok(());
        }
        self.sayings.send(Said::Seen(progress)).await.map_err(|_| Over)
    }

    async fn live(&mut self) -> Result<(), Over> {
        self.errors.clear();
        if self.standing == Standing::Live {
            return Ok(());
        }
        self.standing = Standing::Live;
        self.sayings.send(Said::Live).await.map_err(|_| Over)
    }

    async fn stale(&mut self) -> Result<(), Over> {
        let errors = std::mem::take(&mut self.errors);
        if self.standing == Standing::Stale {
            return Ok(());
        }
        self.standing = Standing::Stale;
        self.sayings.send(Said::Stale(errors.join("; "))).await.map_err(|_| Over)
    }
}

/// Why, with what may be behind it: a server that misses our certificate may close the connection before its alert is read
/// (TLS 1.3 has it after the handshake).
fn hinted(why: &str, is_without_certificate: bool) -> String {
    let is_closed = ["closed", "reset by peer", "roken pipe"].iter().any(|word| why.contains(word));
    match is_without_certificate && is_closed && !why.contains("ertificate") {
        true => {
            format!("{why}; perhaps it asks for a client's certificate: set certificate_file and key_file")
        }
        false => why.to_owned(),
    }
}

/// The pause after so many failures: doubled each time, up to a half shorter by chance, so that a fleet does not come
/// back at once.
fn pause(failures: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE);
    let chance = RandomState::new().hash_one(failures) % 512;
    whole - whole.mul_f64(chance as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_closed_without_a_certificate_of_ours_is_explained() {
        let closed = "transport error: operation was canceled: connection closed";
        assert!(hinted(closed, true).ends_with("set certificate_file and key_file"));
        assert_eq!(hinted(closed, false), closed);
        assert_eq!(hinted("connection refused", true), "connection refused");
        assert_eq!(
            hinted("received fatal alert: CertificateRequired; closed", true),
            "received fatal alert: CertificateRequired; closed"
        );
    }

    #[test]
    fn pauses_grow_to_the_longest_and_differ() {
        let pauses: Vec<_> = (0..20).map(pause).collect();
        assert!(pauses[0] <= FIRST_PAUSE && pauses[0] > FIRST_PAUSE / 4, "{pauses:?}");
        assert!(pauses[19] <= LONGEST_PAUSE && pauses[19] > LONGEST_PAUSE / 4, "{pauses:?}");
        let again: Vec<_> = (0..20).map(|_| pause(5)).collect();
        assert!(again.iter().any(|one| *one != again[0]), "{again:?}");
    }
}
