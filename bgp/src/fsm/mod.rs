//! The state machines: a connection, and a peer with up to two of them.
//!
//! Both are pure: events and `now` go in, what is to be done comes out. Timers are outputs too: the shell keeps
//! them and hands an expired one back as an event.
//!
//! A [`Connection`] (RFC 4271 §8):
//!
//! ```text
//!           Start                    TcpConnected            Open, acceptable
//!   Idle ─────────▶ Connect ───────────────────────▶ OpenSent ───────────────▶ OpenConfirm
//!    │ ▲              │  ▲                            ▲   │                     │      │
//!    │ │     TcpFailed│  │Timer(ConnectRetry)         │   │                     │      │ Keepalive
//!    │ │              ▼  │                            │   │                     │      ▼
//!    │ │             Active                           │   │                     │  Established
//!    │ │              │ Stop                          │   │                     │      │
//!    │ └──────────────┴───────────────────────────────┼───┴─────────────────────┴──────┘
//!    │        Stop, Notification, Malformed, unacceptable Open, TcpClosed,
//!    │        Timer(Hold | SendHold), a message that the state does not expect
//!    │                                                │
//!    └────────────────────────────────────────────────┘
//!                 Accepted (the neighbour dialled)
//! ```
//!
//! A [`Peer`] dials through one connection and lets the neighbour dial through the other, resolves their
//! collision (§6.8), and waits between attempts:
//!
//! ```text
//!   Start ─▶ dialling ─▶ Established on one side ─▶ the other side is stopped
//!               ▲                    │
//!               │ idle hold expired  │ ended: idle hold, doubling from 1 s to 60 s, less a jitter,
//!               └────────────────────┘        back to 1 s once a session has lasted 60 s
//! ```
//!
//! A passive peer waits in Active, without a timer, until the neighbour dials.
//!
//! A peer that is held off (`HoldOff`: it sent too many routes) stays down for its time, whoever dials; so does one of
//! which more than three sessions in a row have ended within 60 s, for the idle hold.
//!
//! Deviations from RFC 4271, all towards being up again sooner: OpenSent goes to Idle when TCP is lost, not to
//! Active; a neighbour may dial us during our idle hold (it damps itself, and where it does not, see above); `DelayOpen` does not
//! exist. A ROUTE-REFRESH does not restart the hold timer, as in the RFC.

mod backoff;
mod connection;
mod event;
mod negotiate;
mod peer;
mod state;

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod peer_table_tests;
#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod simulation_tests;

pub use backoff::{Backoff, Jitter};
pub use connection::Connection;
pub use event::{Action, EndReason, Event, Outgoing, Timer};
pub use negotiate::{Negotiated, Settings};
pub use peer::{Input, Output, Peer, Side};
pub use state::StateName;
