//! What sources say becomes what the core hears.

use super::{Said, Source};
use crate::config::PoolId;
use crate::core::Event;
use crate::engine::Inbox;
use futures_util::FutureExt;
use std::sync::Arc;

/// Words that are reported together at most: what follows from thousands of pools is done a few times, not once for each.
const TOGETHER: usize = 1024;

/// Reports what a source of this name says, for ever. What it has ready is reported together.
pub(super) async fn report(mut source: impl Source, name: Arc<str>, inbox: Inbox) {
    loop {
        let mut events = vec![event(source.next().await, &name)];
        while events.len() < TOGETHER {
            // A source that has nothing ready loses nothing.
            let Some(said) = source.next().now_or_never() else { break };
            events.push(event(said, &name));
        }
        let together = match events.pop() {
            Some(only) if events.is_empty() => only,
            last => Event::Several(events.into_iter().chain(last).collect()),
        };
        inbox.event(together).await;
    }
}

fn event(said: Said, name: &Arc<str>) -> Event {
    let source = Arc::clone(name);
    match said {
        Said::Pool { query, outcome } => Event::PoolRead { pool: PoolId::Remote { source, query }, outcome },
        Said::File { path, outcome } => Event::PoolRead { pool: PoolId::File(path), outcome },
        Said::Services { services, whole } => Event::ServicesSaid { source, services, whole },
        Said::Cluster(outcome) => Event::ClusterRead(outcome),
        Said::Seen(progress) => Event::SourceSeen { source, progress },
        Said::Live => Event::SourceSaid { source, outcome: Ok(()) },
        Said::Stale(why) => Event::SourceSaid { source, outcome: Err(why) },
    }
}
