//! What a session tells its owner.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::SystemTime,
};

use super::{
    log::{Line, Log},
    task::now,
};
use crate::{
    bmp::Session,
    fsm::{EndReason, Negotiated, Outgoing, StateName},
    rib::AdjRibOut,
    speaker::{Outlet, PeerConfig, PeerStatus, SessionStatus, SpeakerEvent, ToldAt, Withheld},
    wire::{AddPath, Handling, Malformed, Notification, Open, Update},
};

/// The peer's status as it changes, and the way to the owner.
pub(super) struct Report {
    peer: String,
    outlet: Outlet,
    pub(super) status: PeerStatus,
    published: Option<PeerStatus>,
    pub(super) log: Log,
    /// The last OPEN that was sent and the last that came, whole.
    opens: [Vec<u8>; 2],
}

impl Report {
    pub(super) fn new(config: &PeerConfig, outlet: Outlet) -> Self {
        let new = PeerStatus::new(config, SystemTime::now());
        let status = match outlet.known(&config.name) {
            Some(before) => new.after(before),
            None => new,
        };
        Self {
            peer: config.name.clone(),
            outlet,
            status,
            published: None,
            log: Log::new(config.name.clone()),
            opens: Default::default(),
        }
    }

    pub(super) fn open_received(&mut self, open: &Open) {
        self.opens[1] = whole(open);
        self.status.counters.received.open += 1;
        self.status.capabilities_received = open.capabilities.iter().map(ToString::to_string).collect();
        self.status.hold_time_received = Some(open.hold_time);
    }

    /// A message that is no UPDATE was sent.
    pub(super) fn sent_one(&mut self, message: &Outgoing) {
        let counters = &mut self.status.counters;
        counters.messages_out += 1;
        match message {
            Outgoing::Keepalive => counters.sent.keepalive += 1,
            Outgoing::Open(open) => {
                self.opens[0] = whole(open);
                counters.sent.open += 1;
                self.status.capabilities_sent = open.capabilities.iter().map(ToString::to_string).collect();
            }
            // Counted where it is told.
            Outgoing::Notification(_) => {}
        }
    }

    /// UPDATEs were sent, or markers around a refresh.
    pub(super) fn sent(&mut self, messages: u64, are_markers: bool) {
        let counters = &mut self.status.counters;
        counters.messages_out += messages;
        if are_markers {
            counters.sent.refresh += messages;
        } else {
            counters.updates_out += messages;
            counters.sent.update += messages;
        }
    }

    /// Shows the owner the status, if it changed since it was last shown.
    pub(super) fn publish(&mut self) {
        if self.published.as_ref() != Some(&self.status) {
            self.outlet.put(&self.peer, self.status.clone());
            self.published = Some(self.status.clone());
        }
    }

    pub(super) fn state(&mut self, state: StateName) {
        if self.status.state != state {
            self.status.state = state;
            self.status.since = SystemTime::now();
            tracing::debug!(peer = self.peer, %state, "BGP state");
        }
    }

    pub(super) fn session_up(&mut self, session: SessionStatus) {
        let (router_id, hold_time) = (session.remote_router_id, session.hold_time);
        let graceful_restart = session.graceful_restart;
        self.say(Line::Up { router_id, hold_time, graceful_restart });
        self.outlet.event(SpeakerEvent::PeerUp {
            peer: self.peer.clone(),
            router_id: session.remote_router_id,
            hold_time: session.hold_time,
            families: session.families.clone(),
            graceful_restart: session.graceful_restart,
        });
        self.status.counters.established += 1;
        self.status.told = BTreeSet::new();
        self.status.received = session.families.iter().map(|family| (*family, 0)).collect();
        self.status.session = Some(session);
    }

    /// Shows the session to who exports it (BMP), unless its routes come with path identifiers.
    pub(super) fn sighted(&self, negotiated: &Negotiated) {
        let Some(session) =
            self.status.session.as_ref().filter(|_| negotiated.add_path == AddPath::default())
        else {
            return;
        };
        let [sent, received] = self.opens.clone();
        self.outlet.sighted(
            &self.peer,
            Session {
                number: self.status.counters.established,
                since: SystemTime::now(),
                local: session.local,
                remote: session.remote,
                asn: negotiated.remote_asn.get(),
                router_id: session.remote_router_id,
                sent,
                received,
            },
        );
    }

    /// A connection ended; a session with it if there was one.
    pub(super) fn ended(&mut self, reason: &EndReason, was_established: bool) {
        if was_established {
            self.outlet.lost(&self.peer, reason);
            self.status.session = None;
            self.status.announced = BTreeMap::new();
            self.status.received = BTreeMap::new();
            self.status.told = BTreeSet::new();
            self.status.withheld = Vec::new();
            self.status.in_sync = false;
            self.say(Line::Down(reason.to_string()));
            self.status.last_error = Some(reason.to_string());
            self.outlet.event(SpeakerEvent::PeerDown { peer: self.peer.clone(), reason: reason.to_string() });
        } else if *reason != EndReason::Stopped && !reason.is_collision() {
            self.failed(reason.to_string());
        }
    }

    /// An attempt failed. The owner hears of the same reason again and again once.
    pub(super) fn failed(&mut self, reason: String) {
        self.say(Line::Failed(reason.clone()));
        if self.status.last_error.as_ref() == Some(&reason) {
            return;
        }
        self.status.last_error = Some(reason.clone());
        self.outlet.event(SpeakerEvent::PeerFailed { peer: self.peer.clone(), reason });
    }

    pub(super) fn notification_sent(&mut self, notification: &Notification) {
        self.status.counters.notifications_out += 1;
        self.status.counters.sent.notification += 1;
        self.status.notification_sent = Some(ToldAt::now(notification));
        self.say(Line::Sent(notification.to_string()));
        self.outlet.event(SpeakerEvent::NotificationSent {
            peer: self.peer.clone(),
            notification: notification.to_string(),
        });
    }

    pub(super) fn notification_received(&mut self, notification: &Notification) {
        self.status.counters.notifications_in += 1;
        self.status.counters.received.notification += 1;
        self.status.notification_received = Some(ToldAt::now(notification));
        self.say(Line::Received(notification.to_string()));
        self.outlet.event(SpeakerEvent::NotificationReceived {
            peer: self.peer.clone(),
            notification: notification.to_string(),
        });
    }

    /// Counts what a router sends; nothing of it is kept (RFC 8212).
    pub(super) fn update_received(&mut self, update: &Update<'_>, negotiated: &Negotiated) {
        self.status.counters.updates_in += 1;
        self.status.told.extend(update.end_of_rib());
        let discarded = |handling| handling == Handling::AttributeDiscard;
        let count = update.malformed.iter().filter(|malformed| discarded(malformed.handling)).count();
        self.status.counters.attributes_discarded += u64::try_from(count).unwrap_or(0);
        if let Some(malformed) = update.malformed.first() {
            self.malformed(malformed);
        }
        if update.treat_as_withdraw() {
            self.status.counters.treated_as_withdraw += 1;
            return;
        }
        for nlri in update.announced().filter(|nlri| negotiated.families.contains(&nlri.family())) {
            *self.status.received.entry(nlri.family()).or_default() +=
                u64::try_from(nlri.iter().count()).unwrap_or(0);
        }
    }

    /// Something was wrong with an UPDATE and the session lives on.
    fn malformed(&mut self, malformed: &Malformed) {
        let text = malformed.to_string();
        self.say(Line::Malformed(text.clone()));
        self.status.last_malformed = Some(text);
    }

    /// A connection that the neighbour dialled could not be used.
    pub(super) fn dropped(&mut self, error: &io::Error) {
        self.say(Line::Dropped(error.to_string()));
    }

    fn say(&mut self, line: Line) {
        self.log.note(line, now());
    }

    /// What the neighbour holds of us and what is kept from it.
    pub(super) fn routes(&mut self, rib: &AdjRibOut) {
        self.status.announced = rib.told();
        self.status.withheld = rib
            .withheld()
            .map(|(family, reason, routes)| Withheld { family, routes, reason: reason.to_string() })
            .collect();
    }

    pub(super) fn routes_sent(&mut self, sent: SpeakerEvent) {
        self.outlet.event(sent);
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }
}

/// The message, header and all.
fn whole(open: &Open) -> Vec<u8> {
    let mut out = Vec::new();
    match open.encode(&mut out) {
        Ok(()) => out,
        // It came as a message, or has gone out as one.
        Err(_) => Vec::new(),
    }
}
