//! From the receive buffer to the state machine.

use super::{learned::TooMany, task::Session, transport::Read};
use crate::{
    fsm::{Event, Input, Negotiated, Side, StateName},
    wire::{Context, Message},
};

/// What decoding assumes until OPENs are exchanged; no UPDATE is accepted before.
const BEFORE_OPEN: Context = Context::new(true, false);

impl Session {
    /// Reads once and handles every whole message.
    pub(super) fn read(&mut self, side: Side) {
        let Some(transport) = self.slot(side) else { return };
        let outcome = transport.read();
        while let Some(event) = self.next_event(side) {
            self.input(Input::Connection(side, event));
            if let Some(too_many) = self.too_many.take() {
                self.hold_off(&too_many);
            }
        }
        match outcome {
            Read::Some => {}
            Read::Closed(how) => {
                if self.slot(side).is_some() {
                    self.input(Input::Connection(side, Event::TcpClosed(how)));
                }
            }
        }
    }

    /// The neighbour told more than it may: none of it is kept, and it stays away for a while.
    fn hold_off(&mut self, too_many: &TooMany) {
        let (family, count, hold_off) = (too_many.family, too_many.count, too_many.limits.hold_off);
        let (peer, limit) = (self.report.peer(), too_many.limits.limit);
        tracing::error!(peer, %family, count, limit, ?hold_off, "too many prefixes; the peer is held off");
        self.input(Input::HoldOff(too_many.notification(), hold_off));
        if let Some(learned) = &mut self.learned {
            learned.clear_all();
        }
    }

    /// The next message in the receive buffer, counted.
    fn next_event(&mut self, side: Side) -> Option<Event> {
        let connection = self.fsm.connection(side);
        let (negotiated, established) =
            (connection.negotiated(), connection.state() == StateName::Established);
        let transport = match side {
            Side::Outgoing => self.outgoing.as_mut()?,
            Side::Incoming => self.incoming.as_mut()?,
        };
        let extended = negotiated.is_some_and(|negotiated| negotiated.extended_messages);
        let context = negotiated.map_or(BEFORE_OPEN, Negotiated::context);
        let decoded = match transport.framer.next_frame(extended) {
            Ok(None) => return None,
            Ok(Some(frame)) => Message::decode(frame, context),
            Err(error) => Err(error),
        };
        self.report.status.counters.messages_in += 1;
        Some(match decoded {
            Ok(Message::Open(open)) => {
                self.report.open_received(&open);
                Event::Open(open)
            }
            Ok(Message::Keepalive) => {
                self.report.status.counters.received.keepalive += 1;
                Event::Keepalive
            }
            Ok(Message::RouteRefresh(refresh)) => {
                self.report.status.counters.received.refresh += 1;
                Event::RouteRefresh(refresh)
            }
            Ok(Message::Update(update)) => {
                self.report.status.counters.received.update += 1;
                if let Some(negotiated) = negotiated {
                    self.report.update_received(&update, negotiated);
                    if established {
                        self.heard.update(&update);
                    }
                    if let Some(learned) = self.learned.as_mut().filter(|_| established) {
                        self.too_many = learned.update(&update);
                    }
                }
                Event::Update
            }
            Ok(Message::Notification(notification)) => {
                self.report.notification_received(&notification);
                Event::Notification(notification)
            }
            Err(error) => Event::Malformed(error),
        })
    }
}
