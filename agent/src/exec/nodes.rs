//! Tells the core what the speaker knows of nodes: which sessions are up, which routes they brought.

use crate::core::Event;
use crate::core::nodes::{Learned, Seen, SessionSeen, sessions};
use crate::engine::Inbox;
use bgp::rib::LocRib;
use bgp::speaker::{PeerStatus, Statuses};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The least time between two reports: a cluster that comes up tells thousands of routes one after the other, and each
/// report is of all of them. A single change of routes is reported at once. It is also the least time between two looks that
/// statuses alone lead to: every KEEPALIVE of a thousand nodes changes one, and mostly nothing of what is reported.
const GATHER: Duration = Duration::from_millis(100);

/// Begins to report. Aborting the task ends it.
pub fn spawn(
    learned: watch::Receiver<LocRib>,
    statuses: watch::Receiver<Statuses>,
    inbox: Inbox,
) -> JoinHandle<()> {
    tokio::spawn(run(learned, statuses, inbox))
}

async fn run(mut learned: watch::Receiver<LocRib>, mut statuses: watch::Receiver<Statuses>, inbox: Inbox) {
    let mut reported = Seen::default();
    let mut has_routes = true;
    loop {
        // Statuses first: a session that has told everything has its routes in the table.
        let sessions = new_sessions(&statuses.borrow_and_update(), &reported.sessions);
        has_routes |= learned.has_changed().unwrap_or_default();
        let routes = std::mem::take(&mut has_routes).then(|| routes_of(&learned.borrow_and_update()));
        let routes = routes.filter(|routes| *routes != reported.routes);
        let is_news = sessions.is_some() || routes.is_some();
        if is_news {
            reported.sessions = sessions.unwrap_or(reported.sessions);
            reported.routes = routes.unwrap_or(reported.routes);
            inbox.event(Event::NodesSeen(reported.clone())).await;
            tokio::time::sleep(GATHER).await;
        }
        let rest = if is_news { Duration::ZERO } else { GATHER };
        // Both branches can be dropped: what was not looked at is still new the next time.
        let changed = tokio::select! {
            changed = learned.changed() => {
                has_routes = true;
                changed
            }
            changed = async {
                tokio::time::sleep(rest).await;
                statuses.changed().await
            } => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// The sessions with nodes, unless they are as they were reported.
fn new_sessions(
    statuses: &Statuses,
    reported: &BTreeMap<String, SessionSeen>,
) -> Option<BTreeMap<String, SessionSeen>> {
    let nodes = || statuses.iter().filter(|(name, _)| name.starts_with(sessions::PREFIX));
    let now = || nodes().map(|(name, status)| (name, seen(status)));
    let is_new = !now().eq(reported.iter().map(|(name, seen)| (name, *seen)));
    is_new.then(|| now().map(|(name, seen)| (name.clone(), seen)).collect())
}

fn seen(status: &PeerStatus) -> SessionSeen {
    let families = status.session.as_ref().map(|session| &session.families);
    let is_told = families.is_some_and(|families| families.is_subset(&status.told));
    let is_restarting = status.session.as_ref().is_some_and(|session| session.restarting);
    SessionSeen { is_up: families.is_some(), is_told, is_restarting }
}

fn routes_of(table: &LocRib) -> Vec<Learned> {
    let nodes = table.paths().filter(|(_, path)| path.source.peer.starts_with(sessions::PREFIX));
    nodes
        .map(|(prefix, path)| Learned {
            prefix,
            next_hop: path.route.next_hop,
            session: path.source.peer.clone(),
            neighbour: path.source.address,
        })
        .collect()
}
