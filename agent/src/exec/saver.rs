//! Writes the state file, one state after the other, beside the engine: a slow disk delays no verdict.

use crate::core::saved::Saved;
use crate::exec::state_file;
use std::path::PathBuf;
use tokio::sync::{mpsc, watch};

/// States that may wait. Each is an operator's command or a reload, so a person or a script waits with it; beyond
/// this many the engine waits for the disk.
const QUEUE: usize = 64;

/// How far the writing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The last state that was dealt with.
    pub number: u64,
    /// Why it could not be written, if so.
    pub error: Option<String>,
}

/// The task that writes.
#[derive(Debug)]
pub struct Handle {
    states: mpsc::Sender<(u64, Saved)>,
    written: watch::Receiver<Written>,
    asked: u64,
    task: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Starts a writer of this file.
    pub fn spawn(path: PathBuf) -> Self {
        let (states, states_rx) = mpsc::channel(QUEUE);
        let (written_tx, written) = watch::channel(Written::default());
        Self { states, written, asked: 0, task: tokio::spawn(run(path, states_rx, written_tx)) }
    }

    /// Has a state written. Gives its number, by which [`Written`] tells that it is.
    pub async fn save(&mut self, saved: Saved) -> u64 {
        self.asked += 1;
        if self.states.send((self.asked, saved)).await.is_err() {
            tracing::error!("the writer of the state file has ended");
        }
        self.asked
    }

    /// Waits until something more was written. Cancel-safe: what was not seen is still to be seen.
    pub async fn progress(&mut self) -> Written {
        match self.written.changed().await {
            Ok(()) => self.written.borrow_and_update().clone(),
            // The writer has ended, which is said where a state is handed to it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until this state was dealt with.
    pub async fn wait(&mut self, number: u64) {
        drop(self.written.wait_for(|written| written.number >= number).await);
    }

    /// Writes what is waiting, then ends.
    pub async fn finish(self) {
        drop(self.states);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the writer of the state file has failed");
        }
    }
}

async fn run(path: PathBuf, mut states: mpsc::Receiver<(u64, Saved)>, written: watch::Sender<Written>) {
    while let Some((number, saved)) = states.recv().await {
        let path = path.clone();
        let result = match tokio::task::spawn_blocking(move || state_file::save(&path, &saved)).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let error = result.err();
        if let Some(error) = &error {
            tracing::error!(error, "the state file could not be written: a restart would forget this change");
        }
        written.send_replace(Written { number, error });
    }
}
