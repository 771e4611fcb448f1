//! Bidirectional Forwarding Detection: whether packets get to a neighbour and back, known within a second.
//!
//! It knows nothing of BGP. Asynchronous mode without echo and without authentication (RFC 5880), over one hop
//! (RFC 5881) or several (RFC 5883).
//!
//! ```text
//! owner ─set(whole)─▶ Service ─ one task ─┬─ Session of each path ─▶ timers, UDP
//!       ◀─watch: Statuses─────┘           └─ UDP 3784, 4784 ─▶ Packet ─▶ the session that it is for
//! ```
//!
//! A [`Session`] is pure: events and `now` go in, what is to be done comes out; timers are outputs too. Its states
//! (RFC 5880 §6.2), with what the neighbour says of its own state on the arrows:
//!
//! ```text
//!               Start               Down               Init, Up
//!  AdminDown ──────────▶ Down ──────────────▶ Init ──────────────▶ Up
//!      ▲                 ▲ ▲ │                  │                 ▲ │
//!      │                 │ │ └─ Init ───────────┼─────────────────┘ │
//!      │                 │ └─ AdminDown, silence┘                   │
//!      │                 └─ AdminDown, Down, silence ───────────────┘
//!      └─ Disable, from any state
//!
//!  Changes nothing: AdminDown and Up while Down; Down while Init; Init and Up while Up.
//! ```
//!
//! `silence` is the detection time without a packet. In AdminDown what comes is ignored.
//!
//! Intervals (§6.8.2-§6.8.4): a packet leaves every max(what we want, what the neighbour takes), less a jitter; the
//! detection time is the neighbour's multiplier times max(what we take, what the neighbour wants). Unless a session
//! is Up we want no less than a second. A change that would make one side too impatient waits for the end of a Poll
//! Sequence (§6.5).
//!
//! Deviations from RFC 5880: a Poll Sequence is made only while Up, since in any other state no interval below a
//! second is in use and every packet says all there is to know; Demand mode is never asked for, but a neighbour
//! that asks for it gets its silence (§6.6).
//!
//! Reading order: `state`, [`packet`], [`timing`], `session`, then the shell: `status`, `demux`, `socket`, `path`,
//! `service`.

mod demux;
pub mod packet;
mod path;
mod service;
mod session;
mod socket;
mod state;
mod status;
pub mod timing;

#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod simulation_tests;

pub use demux::Discard;
pub use packet::{Discriminator, Malformed, Packet};
pub use service::{PathConfig, Service, Wanted};
pub use session::{Event, Output, Session, Timer, Transition};
pub use state::{Diagnostic, State};
pub use status::{Status, Statuses};
pub use timing::{Timing, TimingError};
