//! Where routes go, and how lvsd tells its own from others'.

use super::OffLink;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// What cannot be used, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The kernel's own tables: everything is in them.
    #[error("table {0} is one of the kernel's own; expected 1 to 252, or 256 and more")]
    Table(u32),
    /// The kernel's own protocol numbers, and those of other daemons.
    #[error(
        "protocol number {0} means another program (rt_protos of iproute2); expected a free one, such as 77"
    )]
    Protocol(u8),
    /// A rule before the local table takes what is for this host; one after the main table gets what that has no way for.
    #[error(
        "a rule of priority {0} is not between the local table's and the main table's; expected 1 to 32765"
    )]
    Priority(u32),
}

/// Where routes go, and how they are known as lvsd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The routing table.
    pub table: TableNumber,
    /// The protocol number of routes and rules.
    pub protocol: ProtocolNumber,
    /// The metric of every route: others may have the same prefix with another.
    pub metric: NonZeroU32,
    /// The priority of the rule by which the table is used.
    pub priority: RulePriority,
    /// What becomes of a route whose next hop is on no link of this host.
    pub off_link: OffLink,
}

/// Table 77, protocol 77, metric 64, a rule of priority 30000.
impl Default for Settings {
    fn default() -> Self {
        Self {
            table: TableNumber(77),
            protocol: ProtocolNumber(77),
            metric: METRIC,
            priority: RulePriority(30_000),
            off_link: OffLink::default(),
        }
    }
}

/// None that a program takes by default, so that a route that somebody adds by hand does not meet ours.
const METRIC: NonZeroU32 = NonZeroU32::MIN.saturating_add(63);

/// The number of a routing table that may be lvsd's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct TableNumber(u32);

impl TableNumber {
    /// Every number but those of the tables that a kernel begins with: 0 for none, 253 to 255 (linux/rtnetlink.h).
    ///
    /// # Errors
    /// For those.
    pub fn new(number: u32) -> Result<Self, SettingError> {
        if matches!(number, 0 | 253..=255) { Err(SettingError::Table(number)) } else { Ok(Self(number)) }
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for TableNumber {
    type Error = SettingError;

    fn try_from(number: u32) -> Result<Self, SettingError> {
        Self::new(number)
    }
}

impl From<TableNumber> for u32 {
    fn from(table: TableNumber) -> Self {
        table.0
    }
}

/// Who made a route or a rule: a number that may be lvsd's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct ProtocolNumber(u8);

/// Numbers above the kernel's own that programs have, linux/rtnetlink.h: routing daemons flush what carries theirs.
const TAKEN: [u8; 20] = [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 42, 84, 99, 186, 187, 188, 189, 192, 196];

impl ProtocolNumber {
    /// Every number but 0 to 4, the kernel's and the administrator's, and those of routing daemons.
    ///
    /// # Errors
    /// For those.
    pub fn new(number: u8) -> Result<Self, SettingError> {
        let is_taken = number <= 4 || TAKEN.contains(&number);
        if is_taken { Err(SettingError::Protocol(number)) } else { Ok(Self(number)) }
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for ProtocolNumber {
    type Error = SettingError;

    fn try_from(number: u8) -> Result<Self, SettingError> {
        Self::new(number)
    }
}

impl From<ProtocolNumber> for u8 {
    fn from(protocol: ProtocolNumber) -> Self {
        protocol.0
    }
}

/// The priority of a rule after the local table's (0) and before the main table's (32766).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct RulePriority(u32);

impl RulePriority {
    /// 1 to 32765.
    ///
    /// # Errors
    /// For all others.
    pub fn new(priority: u32) -> Result<Self, SettingError> {
        if (1..=32_765).contains(&priority) {
            Ok(Self(priority))
        } else {
            Err(SettingError::Priority(priority))
        }
    }

    /// The priority.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for RulePriority {
    type Error = SettingError;

    fn try_from(priority: u32) -> Result<Self, SettingError> {
        Self::new(priority)
    }
}

impl From<RulePriority> for u32 {
    fn from(priority: RulePriority) -> Self {
        priority.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_and_other_daemons_have_is_refused() {
        let defaults = Settings::default();
        assert_eq!(TableNumber::new(defaults.table.get()), Ok(defaults.table));
        assert_eq!(ProtocolNumber::new(defaults.protocol.get()), Ok(defaults.protocol));
        assert_eq!(RulePriority::new(defaults.priority.get()), Ok(defaults.priority));
        for table in [0, 253, 254, 255] {
            assert_eq!(TableNumber::new(table), Err(SettingError::Table(table)));
        }
        for table in [1, 252, 256, u32::MAX] {
            assert_eq!(TableNumber::new(table).map(TableNumber::get), Ok(table));
        }
        for protocol in [0, 2, 3, 4, 12, 186] {
            assert_eq!(ProtocolNumber::new(protocol), Err(SettingError::Protocol(protocol)));
        }
        for priority in [0, 32_766, 32_767] {
            assert_eq!(RulePriority::new(priority), Err(SettingError::Priority(priority)));
        }
        for priority in [1, 32_765] {
            assert_eq!(RulePriority::new(priority).map(RulePriority::get), Ok(priority));
        }
    }
}
