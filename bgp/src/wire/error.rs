//! Error codes, and the error that resets a session.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Notification;

/// A NOTIFICATION's code and subcode (RFC 4271 §4.5; IANA "BGP Error Codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ErrorCode {
    /// The code.
    pub code: u8,
    /// The subcode.
    pub subcode: u8,
}

macro_rules! error_codes {
    ($($name:ident = $code:literal, $subcode:literal, $text:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $text] pub const $name: Self = Self { code: $code, subcode: $subcode };)*

            /// The registry's name, `None` for a code that is not in the list.
            pub const fn name(self) -> Option<&'static str> {
                match (self.code, self.subcode) {
                    $(($code, $subcode) => Some($text),)*
                    (_, _) => None,
                }
            }
        }
    };
}

error_codes! {
    NOT_SYNCHRONIZED = 1, 1, "Message Header Error/Connection Not Synchronized";
    BAD_MESSAGE_LENGTH = 1, 2, "Message Header Error/Bad Message Length";
    BAD_MESSAGE_TYPE = 1, 3, "Message Header Error/Bad Message Type";
    OPEN_UNSPECIFIC = 2, 0, "OPEN Message Error/Unspecific";
    UNSUPPORTED_VERSION = 2, 1, "OPEN Message Error/Unsupported Version Number";
    BAD_PEER_AS = 2, 2, "OPEN Message Error/Bad Peer AS";
    BAD_BGP_IDENTIFIER = 2, 3, "OPEN Message Error/Bad BGP Identifier";
    UNSUPPORTED_PARAMETER = 2, 4, "OPEN Message Error/Unsupported Optional Parameter";
    UNACCEPTABLE_HOLD_TIME = 2, 6, "OPEN Message Error/Unacceptable Hold Time";
    UNSUPPORTED_CAPABILITY = 2, 7, "OPEN Message Error/Unsupported Capability";
    ROLE_MISMATCH = 2, 11, "OPEN Message Error/Role Mismatch";
    MALFORMED_ATTRIBUTE_LIST = 3, 1, "UPDATE Message Error/Malformed Attribute List";
    UNRECOGNIZED_WELL_KNOWN = 3, 2, "UPDATE Message Error/Unrecognized Well-known Attribute";
    MISSING_WELL_KNOWN = 3, 3, "UPDATE Message Error/Missing Well-known Attribute";
    ATTRIBUTE_FLAGS = 3, 4, "UPDATE Message Error/Attribute Flags Error";
    ATTRIBUTE_LENGTH = 3, 5, "UPDATE Message Error/Attribute Length Error";
    INVALID_ORIGIN = 3, 6, "UPDATE Message Error/Invalid ORIGIN Attribute";
    INVALID_NEXT_HOP = 3, 8, "UPDATE Message Error/Invalid NEXT_HOP Attribute";
    OPTIONAL_ATTRIBUTE = 3, 9, "UPDATE Message Error/Optional Attribute Error";
    INVALID_NETWORK_FIELD = 3, 10, "UPDATE Message Error/Invalid Network Field";
    MALFORMED_AS_PATH = 3, 11, "UPDATE Message Error/Malformed AS_PATH";
    HOLD_TIMER_EXPIRED = 4, 0, "Hold Timer Expired";
    FSM_IN_OPEN_SENT = 5, 1, "Finite State Machine Error/Unexpected Message in OpenSent State";
    FSM_IN_OPEN_CONFIRM = 5, 2, "Finite State Machine Error/Unexpected Message in OpenConfirm State";
    FSM_IN_ESTABLISHED = 5, 3, "Finite State Machine Error/Unexpected Message in Established State";
    MAX_PREFIXES = 6, 1, "Cease/Maximum Number of Prefixes Reached";
    ADMINISTRATIVE_SHUTDOWN = 6, 2, "Cease/Administrative Shutdown";
    PEER_DECONFIGURED = 6, 3, "Cease/Peer De-configured";
    ADMINISTRATIVE_RESET = 6, 4, "Cease/Administrative Reset";
    CONNECTION_REJECTED = 6, 5, "Cease/Connection Rejected";
    CONFIGURATION_CHANGE = 6, 6, "Cease/Other Configuration Change";
    COLLISION = 6, 7, "Cease/Connection Collision Resolution";
    OUT_OF_RESOURCES = 6, 8, "Cease/Out of Resources";
    HARD_RESET = 6, 9, "Cease/Hard Reset";
    BFD_DOWN = 6, 10, "Cease/BFD Down";
    ROUTE_REFRESH_LENGTH = 7, 1, "ROUTE-REFRESH Message Error/Invalid Message Length";
    SEND_HOLD_TIMER_EXPIRED = 8, 0, "Send Hold Timer Expired";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "code {}, subcode {}", self.code, self.subcode),
        }
    }
}

/// A message that resets the session, and what the neighbour is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({code})")]
pub struct DecodeError {
    /// What is wrong.
    pub what: &'static str,
    /// Code and subcode of the NOTIFICATION.
    pub code: ErrorCode,
    /// The NOTIFICATION's data.
    pub data: Vec<u8>,
}

impl DecodeError {
    pub(super) fn new(code: ErrorCode, what: &'static str) -> Self {
        Self { what, code, data: Vec::new() }
    }

    pub(super) fn with(code: ErrorCode, what: &'static str, data: impl Into<Vec<u8>>) -> Self {
        Self { what, code, data: data.into() }
    }

    /// What the neighbour is told.
    pub fn notification(&self) -> Notification {
        Notification { code: self.code, data: self.data.clone() }
    }
}
