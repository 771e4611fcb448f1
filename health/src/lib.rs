//! Health checks of network servers.
//!
//! A [`Check`] says what to ask of which address, how often, and how many answers make a verdict. A
//! [`Runner`] is given the whole set of checks that are wanted, probes them on one schedule, and sends a
//! [`Report`] whenever a verdict or a target's advice changes and once for each check's first result:
//!
//! ```text
//! Runner::set(checks) ─▶ schedule ─due─▶ probe ─outcome─▶ verdict ─transition or first result─▶ Report
//!                           ▲                               │
//!                           └────────── next deadline ──────┘
//! ```
//!
//! ```no_run
//! # async fn watch() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{collections::BTreeSet, sync::Arc};
//! use health::{Check, HttpRequest, Kind, Options, Runner, Timing};
//!
//! let kind = Kind::Http(HttpRequest::get("/healthz")?);
//! let check = Arc::new(Check::new("10.0.0.11:80".parse()?, kind, Timing::default()));
//! let (runner, mut reports) = Runner::spawn(Options::new(1));
//! runner.set(BTreeSet::from([check]));
//! while let Some(report) = reports.recv().await {
//!     println!("{} is {}: {:?}", report.check, report.verdict, report.outcome);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The library knows nothing of load balancers: it takes socket addresses and hands back verdicts. Names are
//! resolved by its caller. The pure half (no clock, no socket, no task, no randomness) can be driven on a
//! virtual clock; the shell does the I/O.
//!
//! Reading order:
//! - [`spec`] (pure): [`Check`], [`Kind`] with what each kind asks ([`HttpRequest`], [`Tls`], [`Question`] and so on),
//!   [`Timing`], [`Route`], and [`Secret`] for what is sent and not shown;
//! - [`failure`] (pure): the reasons for which a probe fails;
//! - [`verdict`] (pure): the state machine from outcomes to up and down;
//! - [`schedule`] (pure): when each check is due;
//! - [`probe`]: one file for each kind, the only place that opens sockets;
//! - [`runner`]: the task that owns it all.

mod backoff;
pub mod failure;
mod hold;
pub mod probe;
pub mod runner;
pub mod schedule;
pub mod spec;
pub mod verdict;

#[cfg(test)]
mod servers;

pub use failure::{Advice, Evidence, Failure, Found, Mode, Outcome, Stage};
pub use failure::{HttpFailure, TlsFailure};
pub use probe::{OwnSockets, Sockets};
pub use runner::{Options, Report, Runner, Snapshot};
pub use spec::{
    AgentParts, AgentQuestion, CommandParts, Datagram, DnsParts, Program, Question, Rcode, RecordType,
    Records, Recursion, Reply, Transport, UdpParts, Unanswered, User,
};
pub use spec::{Certificates, Identity, PrivateKey, Tls, TlsParts, TlsVersion, Trust};
pub use spec::{
    Check, Encapsulation, Exchange, ExchangeParts, HttpParts, HttpRequest, Kind, Pattern, Regex, Route,
    Secret, SpecError, StatusRange, Timing,
};
pub use spec::{Digest, Idle, Pick, Urls, UrlsParts};
pub use spec::{Grpc, GrpcParts, HttpVersion, NodePort, OpenApi, OpenApiParts};
pub use verdict::{State, Verdict};
