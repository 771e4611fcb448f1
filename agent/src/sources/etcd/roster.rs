//! What the balancers of a fleet tell one another: keys under a lease, which go when their balancer does.

use super::v3::{client, within};
use crate::config::EtcdSettings;
use etcd_client::{GetOptions, KvClient, LeaseClient, LeaseKeepAliveStream, LeaseKeeper, PutOptions};
use std::time::Duration;

/// The most that is read of all balancers, in bytes: a hundred with the most that etcd takes of each.
const MAX_MESSAGE: usize = 160 << 20;

/// A connection to where the balancers tell.
pub struct Roster {
    kv: KvClient,
    lease: LeaseClient,
    timeout: Duration,
    /// The directory, with a slash at its end.
    directory: String,
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// A lease that is held.
pub struct Held {
    id: i64,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Roster {
    /// Connects to the first server that serves.
    ///
    /// # Errors
    /// What each of them said.
    pub async fn connect(settings: &EtcdSettings, prefix: &str) -> Result<Self, String> {
        let mut errors = Vec::new();
        for endpoint in &settings.endpoints {
            let connected = match client(settings, endpoint).await {
                Ok(client) => Self {
                    kv: client.kv_client().max_decoding_message_size(MAX_MESSAGE),
                    lease: client.lease_client(),
                    timeout: settings.timeout,
                    directory: format!("{prefix}/"),
                },
                Err(why) => {
                    errors.push(format!("{endpoint}: {why}"));
                    continue;
                }
            };
            // Connections are made with the first request.
            let mut probe = connected.kv.clone();
            match within(settings.timeout, probe.get(connected.directory.as_str(), None)).await {
                Ok(_) => return Ok(connected),
                Err(why) => errors.push(format!("{endpoint}: {why}")),
            }
        }
        Err(errors.join("; "))
    }

    /// Takes a lease.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn join(&mut self, ttl: Duration) -> Result<Held, String> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let id = within(self.timeout, self.lease.grant(seconds, None)).await?.id();
        let (keeper, answers) = within(self.timeout, self.lease.keep_alive(id)).await?;
        Ok(Held { id, keeper, answers })
    }

    /// Keeps a lease.
    ///
    /// # Errors
    /// When it is lost.
    pub async fn keep(&mut self, held: &mut Held) -> Result<(), String> {
        within(self.timeout, held.keeper.keep_alive()).await?;
        match within(self.timeout, held.answers.message()).await? {
            Some(answer) if answer.ttl() > 0 => Ok(()),
            Some(_) | None => Err("the lease is lost".to_owned()),
        }
    }

    /// Gives a lease back: what is under it goes at once.
    ///
    /// # Errors
    /// When it could not be; then it goes when its time is over.
    pub async fn leave(&mut self, held: &Held) -> Result<(), String> {
        within(self.timeout, self.lease.revoke(held.id)).await.map(drop)
    }

    /// Tells something under a lease.
    ///
    /// # Errors
    /// Why it could not be told.
    pub async fn tell(&mut self, key: &str, value: String, held: &Held) -> Result<(), String> {
        let key = format!("{}{key}", self.directory);
        let options = PutOptions::new().with_lease(held.id);
        within(self.timeout, self.kv.put(key, value, Some(options))).await.map(drop)
    }

    /// All that is told: keys below the directory, and values.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn all(&mut self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let options = GetOptions::new().with_prefix();
        let found = within(self.timeout, self.kv.get(self.directory.as_str(), Some(options))).await?;
        let below = |pair: &etcd_client::KeyValue| {
            let key = String::from_utf8_lossy(pair.key()).into_owned();
            Some((key.strip_prefix(&self.directory)?.to_owned(), pair.value().to_vec()))
        };
        Ok(found.kvs().iter().filter_map(below).collect())
    }
}
