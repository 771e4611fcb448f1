//! How long whoever tells or asks the engine something waits for its turn.

use super::Inbox;
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// How often it is asked. An engine that is stuck for longer is seen by the watchdog, too.
const INTERVAL: Duration = Duration::from_secs(1);

/// Asks the engine something small again and again and counts the time that its answers take, until it has ended.
pub async fn run(inbox: Inbox, metrics: Arc<Metrics>) {
    let mut turns = tokio::time::interval(INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let begin = Instant::now();
        if inbox.ready().await.is_err() {
            return;
        }
        metrics.answered(begin.elapsed());
    }
}
