//! Rows in which one end keeps the other's routes over the end of a session.

use bgp::PeerStatus;

use super::Outcome;
use crate::{Cell, plan::OURS};

/// Both routes are there, and we are gone.
fn vanished(cell: &mut Cell<'_>) -> Outcome {
    told(cell)?;
    cell.us.vanish();
    cell.wait("it keeps both routes as stale", |router| OURS.iter().all(|prefix| router.is_stale(prefix)))
}

fn told(cell: &mut Cell<'_>) -> Outcome {
    cell.us.start(false);
    cell.us.announce(&OURS);
    cell.us.established()?;
    cell.wait("both routes", |router| OURS.iter().all(|prefix| router.route(prefix).is_some()))
}

pub(super) fn graceful_restart(cell: &mut Cell<'_>) -> Outcome {
    vanished(cell)?;
    // Back, and not knowing yet what to announce: nothing may be taken from the router.
    cell.us.start(true);
    cell.us.established()?;
    cell.us.learned()?;
    for prefix in OURS {
        if cell.router.route(prefix).is_none() {
            return Err(format!("{prefix} went before our End-of-RIB"));
        }
    }
    cell.us.announce(&OURS[..1]);
    cell.wait("what was not told again goes", |router| router.route(OURS[1]).is_none())?;
    cell.wait("what was told again is fresh", |router| {
        router.route(OURS[0]).is_some() && !router.is_stale(OURS[0])
    })
}

pub(super) fn never_back(cell: &mut Cell<'_>) -> Outcome {
    vanished(cell)?;
    cell.wait("it gives up on us", |router| OURS.iter().all(|prefix| router.route(prefix).is_none()))
}

/// When the restart time is over the routes are marked, and stay; when we are back they are as before.
pub(super) fn long_lived(cell: &mut Cell<'_>) -> Outcome {
    told(cell)?;
    cell.us.vanish();
    let is_marked = |communities: &[String]| {
        communities.iter().any(|one| one == "65535:6" || one.eq_ignore_ascii_case("llgr-stale"))
    };
    cell.wait("both routes carry LLGR_STALE", |router| {
        OURS.iter().all(|prefix| router.route(prefix).is_some_and(|route| is_marked(&route.communities)))
    })?;
    cell.us.start(true);
    cell.us.announce(&OURS);
    cell.us.established()?;
    cell.wait("both routes are fresh", |router| {
        OURS.iter().all(|prefix| router.route(prefix).is_some_and(|route| !is_marked(&route.communities)))
    })
}

/// A NOTIFICATION ends the session, of ours or of the router's, and each keeps the other's routes.
pub(super) fn over_a_notification(cell: &mut Cell<'_>) -> Outcome {
    told(cell)?;
    cell.us.learned()?;
    let session = cell.plan.sessions().remove(0);
    let peer = cell.us.peer(&session);
    // Configured to wait for the router, which waits for us: nobody is back before it was looked.
    let mut waiting = peer.clone();
    waiting.passive = true;
    cell.us.speaker().set_peers(vec![waiting]);
    let sent = |status: &PeerStatus| {
        status.notification_sent.as_ref().is_some_and(|told| told.text.contains("Other Configuration Change"))
    };
    cell.us.status(session.name, "a NOTIFICATION is sent", sent)?;
    cell.wait("it keeps both routes as stale", |router| OURS.iter().all(|prefix| router.is_stale(prefix)))?;
    cell.us.speaker().set_peers(vec![peer]);
    cell.us.established()?;
    cell.us.learned()?;
    cell.wait("both routes are fresh", |router| {
        OURS.iter().all(|prefix| router.route(prefix).is_some() && !router.is_stale(prefix))
    })?;
    cell.router.reset();
    let kept = |status: &PeerStatus| {
        let told = status.notification_received.as_ref();
        told.is_some_and(|told| told.text.contains("Cease")) && status.session.is_none() && status.stale == 2
    };
    cell.us.status(session.name, "we keep its routes as stale", kept).map(drop)
}
