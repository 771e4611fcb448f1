//! Where sessions put what the owner may see: events and statuses.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{mpsc, watch};

use super::{PeerStatus, Refusal, Refused, SpeakerEvent, Statuses};
use crate::{
    bmp::{Session, Sighting, Sightings},
    fsm::EndReason,
};

/// The sending side of events and statuses. Never blocks.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    events: mpsc::Sender<SpeakerEvent>,
    dropped: Arc<AtomicU64>,
    statuses: Arc<watch::Sender<Statuses>>,
    refused: Arc<watch::Sender<Refused>>,
    sightings: Arc<watch::Sender<Sightings>>,
}

impl Outlet {
    /// An outlet and the owner's end of its events.
    pub(crate) fn new(queue: usize) -> (Self, mpsc::Receiver<SpeakerEvent>) {
        let (events, receiver) = mpsc::channel(queue);
        let (statuses, _) = watch::channel(Statuses::new());
        let (refused, _) = watch::channel(Refusal::ALL.into_iter().map(|reason| (reason, 0)).collect());
        let (statuses, refused) = (Arc::new(statuses), Arc::new(refused));
        let sightings = Arc::new(watch::channel(Sightings::new()).0);
        (Self { events, dropped: Arc::default(), statuses, refused, sightings }, receiver)
    }

    /// Hands an event to the owner; drops and counts it when the owner does not keep up. An owner that has
    /// dropped its end wants none.
    pub(crate) fn event(&self, event: SpeakerEvent) {
        match self.events.try_send(event) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Events dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Replaces a peer's status.
    pub(crate) fn put(&self, peer: &str, status: PeerStatus) {
        self.statuses.send_modify(|statuses| {
            if let Some(entry) = statuses.get_mut(peer) {
                *entry = status;
            } else {
                statuses.insert(peer.to_owned(), status);
            }
        });
    }

    /// What is shown of a peer.
    pub(crate) fn known(&self, peer: &str) -> Option<PeerStatus> {
        self.statuses.borrow().get(peer).cloned()
    }

    /// A session came up.
    pub(crate) fn sighted(&self, peer: &str, session: Session) {
        let sighting = Sighting { session, ended: None };
        self.sightings.send_modify(|sightings| drop(sightings.insert(peer.to_owned(), sighting)));
    }

    /// A session ended.
    pub(crate) fn lost(&self, peer: &str, reason: &EndReason) {
        self.sightings.send_if_modified(|sightings| {
            let sighting = sightings.get_mut(peer).filter(|sighting| sighting.ended.is_none());
            sighting.map(|sighting| sighting.ended = Some(reason.clone())).is_some()
        });
    }

    /// What is seen of sessions.
    pub(crate) fn sightings(&self) -> watch::Receiver<Sightings> {
        self.sightings.subscribe()
    }

    /// Forgets a peer that is no longer configured.
    pub(crate) fn remove(&self, peer: &str) {
        self.sightings.send_if_modified(|sightings| sightings.remove(peer).is_some());
        self.statuses.send_modify(|statuses| {
            statuses.remove(peer);
        });
    }

    /// Counts a connection that nobody takes.
    pub(crate) fn refused(&self, reason: Refusal) {
        self.refused.send_modify(|refused| *refused.entry(reason).or_default() += 1);
    }

    /// The owner's view of connections that nobody took.
    pub(crate) fn all_refused(&self) -> watch::Receiver<Refused> {
        self.refused.subscribe()
    }

    /// The owner's view of all statuses.
    pub(crate) fn status(&self) -> watch::Receiver<Statuses> {
        self.statuses.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_past_the_queue_are_dropped_and_counted() {
        let (outlet, mut events) = Outlet::new(1);
        for peer in ["r1", "r2", "r3"] {
            outlet.event(SpeakerEvent::PeerDown { peer: peer.into(), reason: "x".into() });
        }
        assert_eq!(outlet.dropped(), 2);
        assert!(matches!(events.try_recv(), Ok(SpeakerEvent::PeerDown { peer, .. }) if peer == "r1"));
    }
}
