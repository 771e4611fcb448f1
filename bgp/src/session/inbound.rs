//! From the receive buffer to the state machine.

use super::{task::Session, transport::Read};
use crate::{
    fsm::{Event, Input, Negotiated, Side},
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

    /// The next message in the receive buffer, counted.
    fn next_event(&mut self, side: Side) -> Option<Event> {
        let negotiated = self.fsm.connection(side).negotiated();
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
            Ok(Message::Open(open)) => Event::Open(open),
            Ok(Message::Keepalive) => Event::Keepalive,
            Ok(Message::RouteRefresh(refresh)) => Event::RouteRefresh(refresh),
            Ok(Message::Update(update)) => {
                if let Some(negotiated) = negotiated {
                    self.report.update_received(&update, negotiated);
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
