//! What is shown, asked for over the control socket.

use crate::api::traffic::Through;
use crate::chronicle::Line;
use crate::core::view::Status;
use crate::ctl::client::{Client, ClientError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

/// How often lvsd is asked.
const PERIOD: Duration = Duration::from_secs(1);

/// The share of time that an answer may take: with thousands of services it is asked less often.
const SHARE: u32 = 20;

/// How long lvsd may take for an answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything at one time.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) status: Status,
    /// What goes through each service that the kernel has, by name.
    pub(super) traffic: BTreeMap<String, Through>,
    /// The lines of the log after those that were seen before, the oldest first.
    pub(super) events: Vec<Line>,
}

/// Asks once; of the log for what came after the line with this place.
pub(super) async fn look(client: &Client, after: u64) -> Result<Seen, ClientError> {
    let status = client.status(None).await?;
    let traffic = client.get("/v1/traffic").await?;
    let mut events: Vec<Line> = client.get(&format!("/v1/events?after={after}&wait=0")).await?;
    // An lvsd that was started since counts anew.
    if events.is_empty() && after > 0 {
        events = client.get("/v1/events?after=0&wait=0").await?;
        events.retain(|line| line.id < after);
    }
    Ok(Seen { status, traffic, events })
}

/// Asks again and again, and at once when it is told to, until nobody wants to hear of it.
pub(super) async fn looks(client: Arc<Client>, tell: mpsc::Sender<Result<Seen, String>>, again: Arc<Notify>) {
    let mut pause = PERIOD;
    let mut after = 0;
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = again.notified() => {}
        }
        let begin = Instant::now();
        let seen =
            timeout(PATIENCE, look(&client, after)).await.unwrap_or(Err(ClientError::Silent(PATIENCE)));
        pause = PERIOD.max(begin.elapsed() * SHARE);
        after = seen.as_ref().ok().and_then(|seen| seen.events.last()).map_or(after, |line| line.id);
        if tell.send(seen.map_err(|error| error.to_string())).await.is_err() {
            return;
        }
    }
}
