//! Writes the state file, one state after the other, beside the engine: a slow disk delays no verdict.

use crate::core::saved::Saved;
use crate::exec::state_file;
use std::path::PathBuf;
use tokio::sync::watch;

/// How far the writing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The last state that was dealt with; those before it are in it, or were overtaken by it.
    pub number: u64,
    /// Why it could not be written, if so.
    pub error: Option<String>,
}

/// The task that writes.
#[derive(Debug)]
pub struct Handle {
    /// The latest state, by its number: one that is overtaken while the disk is busy need not be written.
    states: watch::Sender<(u64, Saved)>,
    written: watch::Receiver<Written>,
    asked: u64,
    task: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Starts a writer of this file; without one, as in a dry run, nothing is kept.
    pub fn spawn(path: Option<PathBuf>) -> Self {
        let (states, states_rx) = watch::channel((0, Saved::default()));
        let (written_tx, written) = watch::channel(Written::default());
        Self { states, written, asked: 0, task: tokio::spawn(run(path, states_rx, written_tx)) }
    }

    /// Has a state written. Gives its number, by which [`Written`] tells that it is.
    pub fn save(&mut self, saved: Saved) -> u64 {
        self.asked += 1;
        if self.states.send((self.asked, saved)).is_err() {
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

async fn run(
    path: Option<PathBuf>,
    mut states: watch::Receiver<(u64, Saved)>,
    written: watch::Sender<Written>,
) {
    // A last state is seen also when who sent it has gone.
    while states.changed().await.is_ok() {
        let ((number, saved), path) = (states.borrow_and_update().clone(), path.clone());
        let Some(path) = path else {
            written.send_replace(Written { number, error: None });
            continue;
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn owning(number: u16) -> Saved {
        let key = format!("tcp 192.0.2.10:{number}").parse().unwrap();
        Saved { owned: Arc::new([key].into()), ..Saved::default() }
    }

    #[tokio::test]
    async fn what_is_overtaken_is_not_written_and_the_last_always_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = state_file::path(directory.path());
        let mut saver = Handle::spawn(Some(path.clone()));
        // The task that writes has not had its turn yet.
        let numbers: Vec<u64> = (1..=1000).map(|number| saver.save(owning(number))).collect();
        assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
        assert_eq!(saver.progress().await, Written { number: 1000, error: None });
        saver.wait(7).await;
        assert_eq!(state_file::load(&path).unwrap(), owning(1000));
        saver.save(owning(1001));
        saver.finish().await;
        assert_eq!(state_file::load(&path).unwrap(), owning(1001));
    }
}
