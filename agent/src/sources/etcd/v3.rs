//! etcd's API of version 3: gRPC, by etcd-client.
//!
//! A listing comes in pages of one revision, and the watch begins with the next revision: nothing falls between the
//! two. A watch is never taken up again by its revision on another connection. A cluster that was restored from a
//! backup has its old revisions again, and soon its later ones too, with another content; only a listing tells.

use super::store::{Change, MAX_KEYS, Shelf, Store, Trouble};
use super::tls;
use super::write::{Problem, Writer};
use crate::config::{Endpoint, EtcdSettings};
use crate::sources::web::in_words;
use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, Error, GetOptions, KvClient, Txn, TxnOp, WatchOptions,
    WatchStream,
};
use futures_util::StreamExt;
use std::time::Duration;

/// Keys of one page: with conftool's values some 200 kB.
const PAGE: i64 = 1_000;

/// The largest page or batch of changes, in bytes: a thousand values of the most that etcd takes would be 1.5 GB.
const MAX_MESSAGE: usize = 64 << 20;

/// A connection to one server.
#[derive(Debug)]
pub(super) struct V3 {
    client: Connected,
    timeout: Duration,
    /// The revision that was listed or seen last.
    revision: i64,
    watch: Option<WatchStream>,
}

/// The library's client has no `Debug`.
struct Connected(Client);

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connected")
    }
}

/// Connects to one server. Dropping the client closes the connection.
///
/// # Errors
/// Why not, in words.
pub(super) async fn client(settings: &EtcdSettings, endpoint: &Endpoint) -> Result<Client, String> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(settings.timeout)
        // A server that is frozen, or a path that swallows packets, is noticed within twice that.
        .with_keep_alive(settings.timeout, settings.timeout)
        .with_keep_alive_while_idle(true)
        // A member that the others cannot be reached from says so, rather than being silent.
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    if endpoint.is_secured {
        options = options.with_tls(tls::options(settings, endpoint)?);
    }
    if let Some(login) = &settings.login {
        options = options.with_user(&login.username, login.password()?);
    }
    let connecting = Client::connect([endpoint.to_string()], Some(options));
    within(settings.timeout, connecting).await
}

/// What the library answers, within a time, or why not in words.
pub(super) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => answer.map_err(|error| words(&error)),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

/// The library hides what its errors come from.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::TransportError(error) => in_words(error),
        Error::GRpcStatus(status) => match std::error::Error::source(status) {
            Some(source) => in_words(source),
            None => status.message().to_owned(),
        },
        other => other.to_string(),
    }
}

impl Store for V3 {
    async fn connect(settings: &EtcdSettings, endpoint: &Endpoint) -> Result<Self, Trouble> {
        let client = client(settings, endpoint).await.map_err(Trouble::Away)?;
        Ok(Self { client: Connected(client), timeout: settings.timeout, revision: 0, watch: None })
    }

    async fn list(&mut self, directory: &str, shelf: &mut impl Shelf) -> Result<(), Trouble> {
        self.watch = None;
        let end = range_end(directory);
        let mut kv = self.client.0.kv_client().max_decoding_message_size(MAX_MESSAGE);
        let (mut from, mut revision, mut keys) = (directory.as_bytes().to_vec(), 0, 0);
        loop {
            let page = self.page(&mut kv, from, &end, revision).await?;
            if revision == 0 {
                revision = page.header().map_or(0, |header| header.revision());
            }
            for pair in page.kvs() {
                shelf.put(&String::from_utf8_lossy(pair.key()), pair.value());
            }
            keys += page.kvs().len();
            let Some(last) = page.kvs().last().filter(|_| page.more()) else { break };
            if keys > MAX_KEYS {
                return Err(Trouble::Away(format!("{directory} holds more than {MAX_KEYS} keys")));
            }
            from = [last.key(), b"\0"].concat();
        }
        self.revision = revision;
        let options = WatchOptions::new()
            .with_range(end)
            .with_start_revision(revision + 1)
            // A transaction that changes thousands of keys comes in parts.
            .with_fragment();
        let mut watch = self.client.0.watch_client().max_decoding_message_size(MAX_MESSAGE);
        let watch = within(self.timeout, watch.watch(directory, Some(options))).await;
        self.watch = Some(watch.map_err(Trouble::Away)?);
        Ok(())
    }

    fn revision(&self) -> u64 {
        u64::try_from(self.revision).unwrap_or(0)
    }

    async fn changes(&mut self) -> Result<Vec<Change>, Trouble> {
        let away = |why: &str| Trouble::Away(why.to_owned());
        loop {
            let Some(watch) = &mut self.watch else { return Err(away("nothing is watched")) };
            let answer = match watch.next().await {
                Some(Ok(answer)) => answer,
                Some(Err(error)) => return Err(Trouble::Away(words(&error))),
                None => return Err(away("the server ended the watch")),
            };
            if answer.canceled() {
                self.watch = None;
                return Err(match (answer.compact_revision(), answer.cancel_reason()) {
                    (0, "") => away("the server cancelled the watch"),
                    (0, reason) => Trouble::Away(format!("the server cancelled the watch: {reason}")),
                    (compacted, _) => Trouble::Lost(format!("compacted up to revision {compacted}")),
                });
            }
            let revision = answer.header().map_or(self.revision, |header| header.revision());
            if revision < self.revision {
                return Err(Trouble::Lost(format!("revision {} became {revision}", self.revision)));
            }
            self.revision = revision;
            if !answer.events().is_empty() {
                return Ok(answer.events().iter().filter_map(change).collect());
            }
        }
    }
}

impl V3 {
    /// A page of the listing, of the newest revision when none is given.
    async fn page(
        &self,
        kv: &mut KvClient,
        from: Vec<u8>,
        end: &[u8],
        revision: i64,
    ) -> Result<etcd_client::GetResponse, Trouble> {
        let options = GetOptions::new().with_range(end).with_limit(PAGE).with_revision(revision);
        let page = within(self.timeout, kv.get(from, Some(options))).await;
        page.map_err(|why| match why.contains("required revision has been compacted") {
            true => Trouble::Lost(why),
            false => Trouble::Away(why),
        })
    }
}

/// What an event says. A key that is gone has no version; the library's own reading of the kind panics on kinds that it
/// does not know.
fn change(event: &etcd_client::Event) -> Option<Change> {
    let pair = event.kv()?;
    let key = String::from_utf8_lossy(pair.key()).into_owned();
    Some(match pair.version() {
        0 => Change::Delete(key),
        _ => Change::Put { key, value: pair.value().to_vec() },
    })
}

/// The first key after all that begin with the directory, which ends with a slash: `0` follows `/`.
fn range_end(directory: &str) -> Vec<u8> {
    let mut end = directory.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

/// Keys that are changed.
pub(super) struct Keys {
    kv: KvClient,
    timeout: Duration,
}

impl Writer for Keys {
    async fn connect(settings: &EtcdSettings, endpoint: &Endpoint) -> Result<Self, String> {
        let client = client(settings, endpoint).await?;
        Ok(Self { kv: client.kv_client(), timeout: settings.timeout })
    }

    async fn read(&mut self, key: &str) -> Result<Option<(Vec<u8>, u64)>, Problem> {
        let found = within(self.timeout, self.kv.get(key, None)).await.map_err(problem)?;
        let pair = found.kvs().first();
        Ok(pair.map(|pair| (pair.value().to_vec(), u64::try_from(pair.mod_revision()).unwrap_or(0))))
    }

    async fn swap(&mut self, key: &str, value: &str, revision: u64) -> Result<Option<u64>, Problem> {
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        let swap = Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, revision)])
            .and_then([TxnOp::put(key, value, None)]);
        let answer = within(self.timeout, self.kv.txn(swap)).await.map_err(problem)?;
        let now = answer.header().map_or(0, |header| header.revision());
        Ok(answer.succeeded().then(|| u64::try_from(now).unwrap_or(0)))
    }
}

/// What every server would say alike is a refusal.
fn problem(why: String) -> Problem {
    let is_final =
        ["permission denied", "user name is empty", "authentication failed", "database space exceeded"];
    match is_final.iter().any(|words| why.contains(words)) {
        true => Problem::Refused(why),
        false => Problem::Away(why),
    }
}
