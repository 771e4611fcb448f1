//! Writes the core's notices to the log, on a thread of its own: a log that takes its time, be it a journal that is
//! busy or a terminal that was stopped, holds up no verdict, and a hundred lines do not stand before the kernel.

use crate::core::action::{Level, Notice};
use crate::metrics::Metrics;
use crate::privileges;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Notices that may wait for the log, some 2 MB. A rack that fails at once is a few hundred; a start of thousands of
/// services fills it and waits for the log, which nobody's traffic does.
const QUEUE: usize = 8192;

/// How long the engine waits for room, once: a log that took nothing for so long is stuck, and is not waited for
/// again until it takes something.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a stop waits for the last lines. A log that hangs must not hold the exit.
const FINISH: Duration = Duration::from_secs(2);

/// A notice, and which of the engine's events since start it came of.
pub(super) type Told = (u64, Notice);

/// The engine's end.
#[derive(Debug)]
pub(super) struct Teller {
    notices: mpsc::Sender<Told>,
    finished: oneshot::Receiver<()>,
    metrics: Arc<Metrics>,
    /// Lines that were lost since the log took one.
    lost: u64,
}

impl Teller {
    /// Starts the thread, which has each notice written by `tell`.
    ///
    /// # Errors
    /// When no thread is to be had.
    pub(super) fn start(
        metrics: Arc<Metrics>,
        tell: impl Fn(&Told) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (notices, mut receiver) = mpsc::channel(QUEUE);
        let (done, finished) = oneshot::channel();
        thread::Builder::new().name("log".into()).spawn(move || {
            privileges::give_way();
            while let Some(told) = receiver.blocking_recv() {
                tell(&told);
            }
            // Who waits for it may have gone.
            let _gone = done.send(());
        })?;
        Ok(Self { notices, finished, metrics, lost: 0 })
    }

    /// Has a notice written after those before it. A log that is stuck loses it, which is counted, and said once it
    /// takes lines again.
    ///
    /// Not cancel-safe: a notice that waits for room is lost and not counted.
    pub(super) async fn tell(&mut self, event: u64, notice: Notice) {
        self.metrics.notice(&notice);
        if self.lost > 0 && !self.confess(event) {
            self.lose();
            return;
        }
        match self.notices.try_send((event, notice)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(told)) => {
                if self.notices.send_timeout(told, PATIENCE).await.is_err() {
                    self.lose();
                }
            }
            Err(mpsc::error::TrySendError::Closed(_)) => self.lose(),
        }
    }

    fn lose(&mut self) {
        self.lost += 1;
        self.metrics.notice_lost();
    }

    /// Says how many lines were lost, if there is room for that.
    fn confess(&mut self, event: u64) -> bool {
        let notice = Notice {
            level: Level::Error,
            service: None,
            subject: None,
            what: format!("{} lines of this log were lost", self.lost),
            reason: format!("it took none for {} s", PATIENCE.as_secs()),
        };
        let is_told = self.notices.try_send((event, notice)).is_ok();
        if is_told {
            self.lost = 0;
        }
        is_told
    }

    /// Waits until what was told is written, for two seconds at most.
    pub(super) async fn finish(self) {
        drop(self.notices);
        // Nobody can be told of a log that takes nothing.
        drop(tokio::time::timeout(FINISH, self.finished).await);
    }
}

/// Writes it to the process's log.
pub(super) fn log((event, notice): &Told) {
    let (service, subject) = (notice.service.as_deref(), notice.subject.as_deref());
    let reason = notice.reason.as_str();
    match notice.level {
        Level::Info => tracing::info!(service, subject, reason, event, "{notice}"),
        Level::Warn => tracing::warn!(service, subject, reason, event, "{notice}"),
        Level::Error => tracing::error!(service, subject, reason, event, "{notice}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    fn notice(number: usize) -> Notice {
        Notice {
            level: Level::Info,
            service: Some("web".into()),
            subject: None,
            what: number.to_string(),
            reason: "a test".into(),
        }
    }

    /// A log that takes a line for each permit, and what it took.
    fn log_with_permits(permits: Receiver<()>) -> (impl Fn(&Told) + Send, Arc<Mutex<Vec<String>>>) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&taken);
        let tell = move |(_, notice): &Told| {
            // Without permits to come everything is taken.
            let _none = permits.recv();
            log.lock().unwrap().push(notice.what.clone());
        };
        (tell, taken)
    }

    #[tokio::test]
    async fn notices_are_written_in_order_and_all_of_them_before_the_end() {
        let (permits, receiver) = channel();
        drop(permits);
        let (tell, taken) = log_with_permits(receiver);
        let mut teller = Teller::start(Arc::new(Metrics::new().unwrap()), tell).unwrap();
        for number in 0..2 * QUEUE {
            teller.tell(0, notice(number)).await;
        }
        teller.finish().await;
        assert_eq!(*taken.lock().unwrap(), (0..2 * QUEUE).map(|n| n.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_log_that_is_stuck_is_waited_for_once_and_its_losses_are_counted_and_said() {
        let (permits, receiver) = channel();
        let (tell, taken) = log_with_permits(receiver);
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut teller = Teller::start(Arc::clone(&metrics), tell).unwrap();
        let begin = tokio::time::Instant::now();
        // One more may be in the log's hands.
        for number in 0..QUEUE + 51 {
            teller.tell(0, notice(number)).await;
        }
        // Each of fifty would wait as long.
        assert!(begin.elapsed() < 10 * PATIENCE, "waited {:?}", begin.elapsed());
        let lost = metrics.notices_lost();
        assert!((50..=51).contains(&lost), "{lost}");
        drop(permits);
        while teller.notices.capacity() < QUEUE {
            thread::sleep(Duration::from_millis(1));
        }
        teller.tell(0, notice(7)).await;
        teller.finish().await;
        let taken = taken.lock().unwrap();
        let [.., confession, last] = &taken[..] else { panic!("{taken:?}") };
        assert_eq!((&**confession, &**last), (&*format!("{lost} lines of this log were lost"), "7"));
    }
}
