//! What both versions of etcd have in common: a directory that is listed, then watched.

use crate::config::{Endpoint, EtcdSettings};
use std::future::Future;

/// The most keys that a listing may have: a fleet's have some ten thousand.
pub(super) const MAX_KEYS: usize = 1_000_000;

/// What a listing is put into.
pub(super) trait Shelf: Send {
    /// A key has a value.
    fn put(&mut self, key: &str, value: &[u8]);
}

/// A connection to one etcd server.
pub(super) trait Store: Sized + Send {
    /// Connects.
    fn connect(
        settings: &EtcdSettings,
        endpoint: &Endpoint,
    ) -> impl Future<Output = Result<Self, Trouble>> + Send;

    /// Puts all that is in a directory, which has a slash at its end, on the shelf, and remembers as of when. To be
    /// dropped in its midst does no harm: the next listing begins anew.
    fn list(
        &mut self,
        directory: &str,
        shelf: &mut impl Shelf,
    ) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// As of when everything is known that was listed and changed so far.
    fn revision(&self) -> u64;

    /// Waits for what changed in the directory since it was listed, or since the last changes. One that is dropped in
    /// its midst may have taken changes with it: then everything has to be listed again.
    fn changes(&mut self) -> impl Future<Output = Result<Vec<Change>, Trouble>> + Send;
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It has a value.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// It is gone.
    Delete(String),
    /// A directory is gone, with all that was in it.
    DeleteBelow(String),
}

/// Why it does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// What happened meanwhile is not to be had any more: everything has to be listed again.
    Lost(String),
    /// This server does not do what it is there for.
    Away(String),
}

impl Trouble {
    /// What happened.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Lost(why) | Self::Away(why) => why,
        }
    }
}
