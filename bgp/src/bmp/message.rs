//! The messages (RFC 7854 §4).

use std::{
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{BmpConfig, Session, told::View};
use crate::{fsm::EndReason, wire::Notification};

const VERSION: u8 = 3;

/// Octets of the common header: version, length, type.
const COMMON_HEADER: usize = 6;

/// Per-peer flags (RFC 7854 §4.2): the address is IPv6; what is told is what the import rules made of it.
const IPV6: u8 = 0x80;
const POST_POLICY: u8 = 0x40;

/// Types of messages.
const ROUTE_MONITORING: u8 = 0;
const STATISTICS: u8 = 1;
const PEER_DOWN: u8 = 2;
const PEER_UP: u8 = 3;
const INITIATION: u8 = 4;
const TERMINATION: u8 = 5;

/// Types of what Initiation and Termination say (§4.4, §4.5).
const SYS_DESCR: u16 = 1;
const SYS_NAME: u16 = 2;
const REASON: u16 = 1;

/// The session was closed by its operator.
const ADMINISTRATIVELY_CLOSED: u16 = 0;

/// Reasons of Peer Down (§4.9).
const LOCAL_NOTIFICATION: u8 = 1;
const LOCAL_EVENT: u8 = 2;
const REMOTE_NOTIFICATION: u8 = 3;
const REMOTE_SILENT: u8 = 4;
const DECONFIGURED: u8 = 5;

/// Events of the state machine (RFC 4271 §8.1; RFC 9687 §4).
const MANUAL_STOP: u16 = 2;
const SEND_HOLD_TIMER_EXPIRES: u16 = 29;

/// What is counted (§4.8): routes that the import rules refused, routes refused for our own AS in their path, UPDATEs whose
/// routes count as withdrawn; and how many routes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) refused: u64,
    pub(crate) own_as: u64,
    pub(crate) treated_as_withdraw: u64,
    pub(crate) kept: u64,
}

/// Appends a message whose body is what `body` appends.
fn message(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[VERSION, 0, 0, 0, 0, kind]);
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start + 1..start + COMMON_HEADER - 1].copy_from_slice(&length.to_be_bytes());
}

/// Appends what stands before everything that is about a peer.
fn peer(out: &mut Vec<u8>, session: &Session, flags: u8, at: SystemTime) {
    let address = session.remote.ip().to_canonical();
    // A peer of the global instance, without a distinguisher.
    out.extend_from_slice(&[0, flags | if address.is_ipv6() { IPV6 } else { 0 }]);
    out.extend_from_slice(&[0; 8]);
    push_address(out, address);
    out.extend_from_slice(&session.asn.to_be_bytes());
    out.extend_from_slice(&session.router_id.octets());
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    out.extend_from_slice(&u32::try_from(since.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&since.subsec_micros().to_be_bytes());
}

/// Sixteen octets; an IPv4 address is the last four.
fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            out.extend_from_slice(&[0; 12]);
            out.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
}

fn push_information(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&value[..usize::from(length)]);
}

/// The first message of a connection.
pub(crate) fn initiation(out: &mut Vec<u8>, config: &BmpConfig) {
    message(out, INITIATION, |out| {
        push_information(out, SYS_DESCR, config.description.as_bytes());
        push_information(out, SYS_NAME, config.name.as_bytes());
    });
}

/// The last one.
pub(crate) fn termination(out: &mut Vec<u8>) {
    message(out, TERMINATION, |out| push_information(out, REASON, &ADMINISTRATIVELY_CLOSED.to_be_bytes()));
}

/// A session is up, with both OPENs.
pub(crate) fn peer_up(out: &mut Vec<u8>, session: &Session) {
    message(out, PEER_UP, |out| {
        peer(out, session, 0, session.since);
        push_address(out, session.local.ip().to_canonical());
        out.extend_from_slice(&session.local.port().to_be_bytes());
        out.extend_from_slice(&session.remote.port().to_be_bytes());
        out.extend_from_slice(&session.sent);
        out.extend_from_slice(&session.received);
    });
}

/// A session is over; `None`: the peer is no longer configured. Its routes are gone with it.
pub(crate) fn peer_down(out: &mut Vec<u8>, session: &Session, reason: Option<&EndReason>, at: SystemTime) {
    let told = |out: &mut Vec<u8>, reason, notification: &Notification| {
        out.push(reason);
        notification.encode(out);
    };
    let event = |out: &mut Vec<u8>, event: u16| {
        out.push(LOCAL_EVENT);
        out.extend_from_slice(&event.to_be_bytes());
    };
    message(out, PEER_DOWN, |out| {
        peer(out, session, 0, at);
        match reason {
            None => out.push(DECONFIGURED),
            Some(EndReason::Sent { notification, .. }) => told(out, LOCAL_NOTIFICATION, notification),
            Some(EndReason::Received(notification)) => told(out, REMOTE_NOTIFICATION, notification),
            Some(EndReason::TcpClosed(_)) => out.push(REMOTE_SILENT),
            Some(EndReason::SendHold) => event(out, SEND_HOLD_TIMER_EXPIRES),
            Some(EndReason::Stopped) => event(out, MANUAL_STOP),
        }
    });
}

/// An UPDATE, as it came or as the import rules left it.
pub(crate) fn route_monitoring(
    out: &mut Vec<u8>,
    session: &Session,
    view: View,
    update: &[u8],
    at: SystemTime,
) {
    let flags = match view {
        View::PrePolicy => 0,
        View::PostPolicy => POST_POLICY,
    };
    message(out, ROUTE_MONITORING, |out| {
        peer(out, session, flags, at);
        out.extend_from_slice(update);
    });
}

/// A session's counts.
pub(crate) fn statistics(out: &mut Vec<u8>, session: &Session, counts: Counts, at: SystemTime) {
    // Counters are 32 bits wide and go round.
    let counter = |count: u64| u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0).to_be_bytes();
    message(out, STATISTICS, |out| {
        peer(out, session, 0, at);
        out.extend_from_slice(&4_u32.to_be_bytes());
        push_information(out, 0, &counter(counts.refused));
        push_information(out, 4, &counter(counts.own_as));
        push_information(out, 7, &counts.kept.to_be_bytes());
        push_information(out, 11, &counter(counts.treated_as_withdraw));
    });
}
