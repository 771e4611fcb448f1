//! What goes into a connection's state machine and what comes out.

use std::{fmt, time::Instant};

use super::Negotiated;
use crate::{
    Family,
    wire::{DecodeError, ErrorCode, Notification, Open, RefreshKind, RouteRefresh},
};

/// Something that happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Dial.
    Start,
    /// The neighbour dialled.
    Accepted,
    /// The dialled connection is up.
    TcpConnected,
    /// The dialled connection could not be opened, and why.
    TcpFailed(String),
    /// The connection was closed or broke, and how.
    TcpClosed(String),
    /// An OPEN came.
    Open(Open),
    /// A KEEPALIVE came.
    Keepalive,
    /// An UPDATE came that does not reset the session.
    Update,
    /// A ROUTE-REFRESH came.
    RouteRefresh(RouteRefresh),
    /// A NOTIFICATION came.
    Notification(Notification),
    /// Something came that resets the session.
    Malformed(DecodeError),
    /// A timer expired.
    Timer(Timer),
    /// Something waits to be written; again whenever some of it was.
    SendBlocked,
    /// Nothing waits to be written any more.
    SendDrained,
    /// End the connection, saying this to the neighbour when there is a session to end.
    Stop(Notification),
}

/// A connection's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Dial again.
    ConnectRetry,
    /// The neighbour was silent for too long.
    Hold,
    /// Send a KEEPALIVE.
    Keepalive,
    /// The neighbour did not read for too long (RFC 9687).
    SendHold,
}

impl Timer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ConnectRetry, Self::Hold, Self::Keepalive, Self::SendHold];
}

/// A message that the state machine sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// OPEN.
    Open(Open),
    /// KEEPALIVE.
    Keepalive,
    /// NOTIFICATION; the connection is closed after it.
    Notification(Notification),
}

/// Something that is to be done for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a TCP connection; an attempt under way is given up.
    Connect,
    /// Send this.
    Send(Outgoing),
    /// Close TCP (after what was sent has left), give up an attempt, and stop all timers of the connection.
    Close,
    /// Set a timer; one that is running is replaced.
    SetTimer(Timer, Instant),
    /// Stop a timer.
    StopTimer(Timer),
    /// An attempt to connect failed; it will be repeated.
    AttemptFailed(String),
    /// Established.
    SessionUp(Negotiated),
    /// The neighbour asks for a family's routes once more, or marks its own.
    Refresh(RefreshKind, Family),
    /// The connection is over.
    Ended(EndReason),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// We ended it.
    Sent {
        /// What the neighbour was told.
        notification: Notification,
        /// What was wrong, when the code does not say it all.
        what: Option<String>,
    },
    /// The neighbour ended it.
    Received(Notification),
    /// TCP was closed or broke.
    TcpClosed(String),
    /// The neighbour did not read.
    SendHold,
    /// It was stopped before there was a session to end.
    Stopped,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent { notification, what: None } => write!(f, "we sent {notification}"),
            Self::Sent { notification, what: Some(what) } => write!(f, "we sent {notification}: {what}"),
            Self::Received(notification) => write!(f, "the neighbour sent {notification}"),
            Self::TcpClosed(how) => write!(f, "TCP connection lost: {how}"),
            Self::SendHold => write!(
                f,
                "the neighbour did not read for the hold time ({})",
                ErrorCode::SEND_HOLD_TIMER_EXPIRED
            ),
            Self::Stopped => f.write_str("stopped before it was up"),
        }
    }
}

impl EndReason {
    /// It ended because the same two speakers had another connection.
    pub fn is_collision(&self) -> bool {
        match self {
            Self::Sent { notification, .. } | Self::Received(notification) => {
                notification.code == ErrorCode::COLLISION
            }
            Self::TcpClosed(_) | Self::SendHold | Self::Stopped => false,
        }
    }
}
