//! States and diagnostics.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A session's state (RFC 5880 §4.1), as either end says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// Held down by an operator; says nothing about the path.
    AdminDown,
    /// The neighbour is not heard, or has not heard us.
    Down,
    /// The neighbour is heard and does not know it yet.
    Init,
    /// Both hear each other.
    Up,
}

impl State {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::AdminDown, Self::Down, Self::Init, Self::Up];

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    /// The state of the two lowest bits.
    pub(super) const fn of_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// Why a session last left Up (RFC 5880 §4.1), five bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Nothing to say.
    pub const NONE: Self = Self(0);
    /// The detection time passed without a packet.
    pub const TIME_EXPIRED: Self = Self(1);
    /// The neighbour said that its end is down.
    pub const NEIGHBOR_DOWN: Self = Self(3);
    /// An operator, or the end of the program.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);

    /// The diagnostic of the five lowest bits.
    pub(super) const fn of_bits(bits: u8) -> Self {
        Self(bits & 0x1f)
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            other => return write!(f, "diagnostic {other}"),
        })
    }
}
