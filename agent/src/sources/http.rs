//! Pool files on a web server, asked for again and again.
//!
//! A server that does not answer makes the source stale; an answer that is no pool file concerns its pool only. An answer
//! that has not changed since (`304`) costs neither side a body.

use super::web::{self, Answer, Connections, Web};
use super::{Said, Source};
use crate::config::{Backend, HttpSettings, Query};
use crate::pool_file;
use futures_util::{StreamExt, stream};
use http_body_util::Full;
use hyper::header::{ETAG, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use hyper::{Request, StatusCode};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Pools that are asked for at the same time.
const CONCURRENT: usize = 8;

/// Pool files on a web server.
#[derive(Debug)]
pub struct Http {
    settings: HttpSettings,
    wanted: watch::Receiver<BTreeSet<Query>>,
    web: Web,
    /// What was last said of each pool.
    known: BTreeMap<Query, Known>,
    /// What is still to be said.
    queue: VecDeque<Said>,
    due: Instant,
    /// How the source is, as far as that was said.
    said: Option<Result<(), String>>,
}

/// What is known of a pool on the server.
#[derive(Debug, Default)]
struct Known {
    /// What tells the server which content we have.
    tag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
    outcome: Option<Result<Vec<Backend>, String>>,
}

/// What came of asking for a pool.
enum Fetched {
    /// It is as it was.
    Unchanged,
    /// What it is now, or why the answer is refused.
    Said(Known),
    /// There was no answer.
    Away(String),
}

impl Http {
    /// A source that has not asked yet.
    pub fn new(settings: HttpSettings, wanted: watch::Receiver<BTreeSet<Query>>) -> Self {
        let web = Web::new(settings.tls.clone(), None);
        let (known, queue) = (BTreeMap::new(), VecDeque::new());
        Self { settings, wanted, web, known, queue, due: Instant::now(), said: None }
    }

    /// Asks for every pool that is wanted.
    async fn round(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        self.known.retain(|query, _| wanted.contains(query));
        let fetched = self.fetch(&wanted).await;
        // From here on nothing waits: a round that is dropped before has said nothing and is made again.
        let mut away = None;
        for (query, fetched) in fetched {
            match fetched {
                Fetched::Unchanged => {}
                Fetched::Away(why) => away = away.or(Some(why)),
                Fetched::Said(now) => {
                    if self.known.get(&query).is_none_or(|before| before.outcome != now.outcome) {
                        let outcome = now.outcome.clone().unwrap_or_else(|| Err(String::new()));
                        self.queue.push_back(Said::Pool { query: query.clone(), outcome });
                    }
                    self.known.insert(query, now);
                }
            }
        }
        let state = away.map_or(Ok(()), Err);
        if self.said.as_ref() != Some(&state) {
            self.queue.push_back(state.clone().map_or_else(Said::Stale, |()| Said::Live));
            self.said = Some(state);
        }
        self.due = Instant::now() + spread(self.settings.interval);
    }

    async fn fetch(&mut self, wanted: &BTreeSet<Query>) -> Vec<(Query, Fetched)> {
        let connections = match self.web.connections() {
            Ok(connections) => connections,
            Err(why) => {
                return wanted.iter().map(|query| (query.clone(), Fetched::Away(why.clone()))).collect();
            }
        };
        let (settings, known) = (&self.settings, &self.known);
        let asking: Vec<_> = wanted
            .iter()
            .map(|query| fetch(settings, &connections, query.clone(), known.get(query)))
            .collect();
        stream::iter(asking).buffered(CONCURRENT).collect().await
    }
}

/// Asks for one pool.
async fn fetch(
    settings: &HttpSettings,
    connections: &Connections,
    query: Query,
    before: Option<&Known>,
) -> (Query, Fetched) {
    let url = format!("{}/{query}", settings.url);
    let limits = (settings.timeout, settings.max_bytes);
    let answer = match request(&url, before) {
        Ok(request) => web::ask(connections, request, limits).await,
        Err(error) => Err(error.to_string()),
    };
    let fetched = match answer {
        Ok(answer) => take(&url, &answer),
        Err(why) => Fetched::Away(format!("{url}: {why}")),
    };
    (query, fetched)
}

impl Source for Http {
    async fn next(&mut self) -> Said {
        loop {
            if let Some(said) = self.queue.pop_front() {
                return said;
            }
            let is_changed = self.wanted.has_changed().unwrap_or(false);
            if !is_changed && Instant::now() < self.due {
                // Both can be dropped: a change that was not taken and a time that has come are still there.
                tokio::select! {
                    changed = self.wanted.changed() => if changed.is_err() {
                        std::future::pending::<()>().await;
                    },
                    () = tokio::time::sleep_until(self.due) => {}
                }
            }
            self.round().await;
        }
    }
}

fn request(
    url: &str,
    before: Option<&Known>,
) -> Result<Request<Full<hyper::body::Bytes>>, hyper::http::Error> {
    let mut request = Request::get(url).header("accept", "application/json");
    // What was refused is looked at again: it is said for as long as it lasts.
    if let Some(before) = before.filter(|before| matches!(before.outcome, Some(Ok(_)))) {
        if let Some(tag) = &before.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        if let Some(modified) = &before.modified {
            request = request.header(IF_MODIFIED_SINCE, modified);
        }
    }
    request.body(Full::default())
}

fn take(url: &str, answer: &Answer) -> Fetched {
    let outcome = match answer.status {
        StatusCode::NOT_MODIFIED => return Fetched::Unchanged,
        StatusCode::OK => pool_file::parse(Path::new(url), &answer.body).map_err(|error| error.to_string()),
        status if status.is_server_error() => return Fetched::Away(format!("{url}: {status}")),
        status if status.is_redirection() => {
            Err(format!("{url}: {status}: redirects are not followed; set the url to where the pools are"))
        }
        status => Err(format!("{url}: {status}")),
    };
    let header = |name| answer.headers.get(name).cloned();
    Fetched::Said(Known { tag: header(ETAG), modified: header(LAST_MODIFIED), outcome: Some(outcome) })
}

/// The interval, up to a tenth shorter, so that balancers do not ask all at the same time.
fn spread(interval: Duration) -> Duration {
    let share = RandomState::new().hash_one(()) % 100;
    interval.mul_f64(1.0 - f64::from(u8::try_from(share).unwrap_or(0)) / 1000.0)
}

#[cfg(test)]
mod tests;
