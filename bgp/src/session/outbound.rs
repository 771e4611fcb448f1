//! From the Adj-RIB-Out to the out queue, and how long it took.

use std::time::Instant;

use super::{report::Report, transport::Transport};
use crate::{
    Family, RouteSet,
    policy::{ExportFilter, Overrides},
    rib::{AdjRibOut, Batch, Reflected, ToldRoute},
    speaker::SpeakerEvent,
    wire::{EncodeError, RouteRefresh, encode_announce, encode_end_of_rib, encode_withdraw},
};

/// The routes of an established session.
#[derive(Debug)]
pub(super) struct Outbound {
    rib: AdjRibOut,
    /// When the session came up: routes cannot be late by more than that.
    up: Instant,
    outstanding: Option<Outstanding>,
    changed: bool,
}

/// What is being told and not all written.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    since: Instant,
    announced: usize,
    withdrawn: usize,
    /// Positions in the stream behind the last of each kind.
    announce_end: Option<u64>,
    withdraw_end: Option<u64>,
}

impl Outbound {
    pub(super) fn new(rib: AdjRibOut, up: Instant) -> Self {
        Self { rib, up, outstanding: None, changed: true }
    }

    /// The neighbour shall hold exactly this, and what is passed on to it; so it is wanted since `at`.
    pub(super) fn set(&mut self, whole: &RouteSet, reflected: &Reflected, at: Instant) {
        self.rib.set_with(whole, reflected);
        self.start(at);
    }

    /// Other rules hold from the next [`set`](Self::set) on.
    pub(super) fn set_rules(&mut self, filter: ExportFilter, overrides: Overrides) {
        self.rib.set_rules(filter, overrides);
    }

    /// What becomes of each route of this set and of what is passed on.
    pub(super) fn in_detail(&self, whole: &RouteSet, reflected: &Reflected) -> Vec<ToldRoute> {
        self.rib.in_detail(whole, reflected)
    }

    /// The neighbour asked for a family once more.
    pub(super) fn refresh(&mut self, family: Family, now: Instant) {
        self.rib.refresh(family);
        self.start(now);
    }

    fn start(&mut self, at: Instant) {
        self.changed = true;
        if self.outstanding.is_none() && !self.rib.is_in_sync() {
            self.outstanding = Some(Outstanding {
                since: at.max(self.up),
                announced: 0,
                withdrawn: 0,
                announce_end: None,
                withdraw_end: None,
            });
        }
    }

    /// Queues batches while there are some and there is room. Returns whether there are more.
    pub(super) fn fill(&mut self, transport: &mut Transport, report: &mut Report) -> bool {
        while transport.has_room() {
            let Some(batch) = self.rib.next_batch() else { return false };
            self.changed = true;
            let messages = match self.queue(&batch, transport) {
                Ok(messages) => u64::try_from(messages).unwrap_or(0),
                Err(error) => {
                    // The export rules admit only what can be encoded.
                    tracing::error!(peer = report.peer(), %error, "routes cannot be sent");
                    0
                }
            };
            report.sent(messages, matches!(batch, Batch::Refresh(..)));
        }
        !self.rib.is_in_sync()
    }

    fn queue(&mut self, batch: &Batch, transport: &mut Transport) -> Result<usize, EncodeError> {
        let messages = match batch {
            Batch::Withdraw { family, prefixes } => {
                transport.queue(|out| encode_withdraw(out, *family, prefixes))?
            }
            Batch::Announce { family, said, prefixes } => {
                let export = self.rib.export();
                let Ok(announcement) = export.announcement(*family, said) else {
                    return Ok(0);
                };
                let four_octet_asn = export.four_octet_asn();
                transport.queue(|out| encode_announce(out, &announcement, prefixes, four_octet_asn))?
            }
            Batch::EndOfRib(family) => {
                transport.queue(|out| encode_end_of_rib(out, *family));
                1
            }
            Batch::Refresh(kind, family) => {
                transport.queue(|out| RouteRefresh::new(*kind, *family).encode(out));
                1
            }
        };
        let end = Some(transport.queued());
        if let Some(outstanding) = &mut self.outstanding {
            match batch {
                Batch::Withdraw { prefixes, .. } => {
                    outstanding.withdrawn += prefixes.len();
                    outstanding.withdraw_end = end;
                }
                Batch::Announce { prefixes, .. } => {
                    outstanding.announced += prefixes.len();
                    outstanding.announce_end = end;
                }
                Batch::EndOfRib(_) | Batch::Refresh(_, _) => {}
            }
        }
        Ok(messages)
    }

    /// Looks at what has been written by now, and reports what is complete. Returns whether everything is.
    pub(super) fn written(&mut self, transport: &Transport, report: &mut Report, now: Instant) -> bool {
        if std::mem::take(&mut self.changed) {
            report.routes(&self.rib);
        }
        let (pending, position) = (self.rib.pending(), transport.written());
        let in_sync = self.rib.is_in_sync() && position == transport.queued();
        report.status.in_sync = in_sync;
        let Some(outstanding) = &mut self.outstanding else { return in_sync };
        let elapsed = now.saturating_duration_since(outstanding.since);
        if pending.withdraw == 0 && outstanding.withdraw_end.take_if(|end| *end <= position).is_some() {
            report.status.last_withdraw_latency = Some(elapsed);
        }
        if pending.announce == 0 && outstanding.announce_end.take_if(|end| *end <= position).is_some() {
            report.status.last_announce_latency = Some(elapsed);
        }
        if in_sync {
            let Outstanding { announced, withdrawn, .. } = *outstanding;
            self.outstanding = None;
            if announced + withdrawn > 0 {
                tracing::info!(peer = report.peer(), announced, withdrawn, ?elapsed, "routes sent");
                let peer = report.peer().to_owned();
                report.routes_sent(SpeakerEvent::RoutesSent { peer, announced, withdrawn, elapsed });
            }
        }
        in_sync
    }
}
