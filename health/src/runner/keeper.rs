//! Keeps one connection for a check of the kind [`Kind::Idle`](crate::Kind::Idle), for as long as the check is wanted.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use crate::backoff::Backoff;
use crate::failure::{Failure, Found, Outcome};
use crate::probe::Sockets;
use crate::probe::idle::{Connection, End, connect};
use crate::spec::{Check, Idle};

/// One check's connection.
pub(super) struct Keeper<N> {
    /// What its runner calls it.
    pub(super) number: N,
    pub(super) check: Arc<Check>,
    pub(super) idle: Idle,
    pub(super) sockets: Arc<dyn Sockets>,
    /// One for each connection that may be kept at once.
    pub(super) places: Arc<Semaphore>,
    pub(super) max_kept: usize,
    /// Moves its delays.
    pub(super) seed: u64,
    /// Where its results go. While there is no room it waits.
    pub(super) told: mpsc::Sender<Told<N>>,
}

/// A result.
pub(super) struct Told<N> {
    pub(super) number: N,
    pub(super) outcome: Outcome,
    pub(super) at: SystemTime,
}

impl<N: Copy> Keeper<N> {
    /// Connects, waits for the end, and connects again, until it is dropped or nobody listens any more. The rules are
    /// [`Idle`]'s.
    pub(super) async fn keep(self) {
        let timing = self.check.timing;
        let mut backoff = Backoff::new(timing.fast_interval(), self.idle.max_delay(), self.seed);
        loop {
            let opened = Instant::now();
            let failure = match self.open().await {
                Ok((connection, _place)) => {
                    if !self.tell(Ok(Found { latency: opened.elapsed(), ..Found::default() })).await {
                        return;
                    }
                    let end = connection.end(&self.check).await;
                    if opened.elapsed() >= timing.interval() {
                        backoff.reset();
                    }
                    end
                }
                Err(failure) => End::Broken(failure),
            };
            match failure {
                End::Closed => sleep_until(opened + timing.fast_interval()).await,
                End::Broken(failure) => {
                    if !self.tell(Err(failure)).await {
                        return;
                    }
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    async fn open(&self) -> Result<(Connection, SemaphorePermit<'_>), Failure> {
        let Ok(place) = self.places.try_acquire() else {
            let error = format!("all {} places for idle connections are taken", self.max_kept);
            return Err(Failure::Local { error });
        };
        Ok((connect(&self.check, &*self.sockets).await?, place))
    }

    /// Whether somebody listens.
    async fn tell(&self, outcome: Outcome) -> bool {
        self.told.send(Told { number: self.number, outcome, at: SystemTime::now() }).await.is_ok()
    }
}
