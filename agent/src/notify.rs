//! What systemd is told: ready, stopping, and that the engine still turns.

use crate::engine::Inbox;
use sd_notify::NotifyState;
use std::time::Duration;

/// How often readiness is looked at until it is there.
const LOOK: Duration = Duration::from_millis(20);

/// Tells systemd that the daemon is ready once it is, then keeps its watchdog content for as long as the engine
/// answers. Without systemd it does nothing.
pub async fn run(inbox: Inbox) {
    loop {
        match inbox.ready().await {
            Ok(true) => break,
            Ok(false) => tokio::time::sleep(LOOK).await,
            Err(_) => return,
        }
    }
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    // Half of the limit, as sd_watchdog_enabled(3) recommends.
    let mut turns = tokio::time::interval(limit / 2);
    loop {
        turns.tick().await;
        match inbox.ready().await {
            Ok(_) => tell(&[NotifyState::Watchdog]),
            Err(_) => return,
        }
    }
}

/// Tells systemd that the daemon stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("withdrawn, draining")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}
