//! Tells the core what the speaker knows of nodes: which sessions are up, which routes they brought.

use crate::core::Event;
use crate::core::nodes::{Learned, Seen, SessionSeen, sessions};
use crate::engine::Inbox;
use bgp::rib::LocRib;
use bgp::speaker::Statuses;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The least time between two reports: a cluster that comes up tells thousands of routes one after the other, and each
/// report is of all of them. A single change is reported at once.
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
    loop {
        // Statuses first: a session that has told everything has its routes in the table.
        let sessions = sessions_of(&statuses.borrow_and_update());
        let seen = Seen { sessions, routes: routes_of(&learned.borrow_and_update()) };
        if seen != reported {
            reported.clone_from(&seen);
            inbox.event(Event::NodesSeen(seen)).await;
            tokio::time::sleep(GATHER).await;
        }
        // Both branches can be dropped: what was not looked at is still new the next time.
        let changed = tokio::select! {
            changed = learned.changed() => changed,
            changed = statuses.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

fn sessions_of(statuses: &Statuses) -> std::collections::BTreeMap<String, SessionSeen> {
    let nodes = statuses.iter().filter(|(name, _)| name.starts_with(sessions::PREFIX));
    nodes
        .map(|(name, status)| {
            let families = status.session.as_ref().map(|session| &session.families);
            let is_told = families.is_some_and(|families| families.is_subset(&status.told));
            let is_restarting = status.session.as_ref().is_some_and(|session| session.restarting);
            (name.clone(), SessionSeen { is_up: families.is_some(), is_told, is_restarting })
        })
        .collect()
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
