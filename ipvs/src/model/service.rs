//! What a service is set to.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Family, Scheduler, SchedulerFlags};

/// The kernel's names for schedulers and persistence engines have at most 15 bytes (`IP_VS_SCHEDNAME_MAXLEN`,
/// `IP_VS_PENAME_MAXLEN`: 16 with the NUL).
pub(crate) const NAME_MAX: usize = 15;

/// The default of `ipvsadm -p` when no time is given.
const DEFAULT_PERSISTENCE_SECONDS: u32 = 300;

/// The longest persistence: the kernel multiplies by HZ into an `unsigned int`; a day times HZ=1000 is far from its
/// end, and is also where `ipvsadm` stops (`MAX_TIMEOUT`, 31 days).
const MAX_PERSISTENCE_SECONDS: u32 = 31 * 86_400;

/// Why a service cannot be as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Flags for a scheduler that has none.
    #[error("scheduler {scheduler} takes no flags (it was given {flags}): only sh and mh do")]
    FlagsNotTaken {
        /// The scheduler.
        scheduler: Scheduler,
        /// What it was given.
        flags: SchedulerFlags,
    },
    /// A flag that no scheduler has.
    #[error("scheduler {scheduler} has the flags fallback and port, no third")]
    UnknownFlag {
        /// The scheduler.
        scheduler: Scheduler,
    },
    /// A scheduler that can be read but not chosen.
    #[error("scheduler {name:?} cannot be chosen: it is not one of the known ones")]
    SchedulerNotKnown {
        /// The kernel's name for it.
        name: String,
    },
    /// A persistence time of 0 or beyond what the kernel takes.
    #[error("persistence of {seconds} s: expected 1 to {MAX_PERSISTENCE_SECONDS} s")]
    PersistenceTime {
        /// What was asked for.
        seconds: u32,
    },
    /// A prefix that the family does not have.
    #[error("persistence prefix length {prefix_len}: expected 1 to {} for IP{family}", family.max_prefix_len())]
    PersistencePrefix {
        /// What was asked for.
        prefix_len: u8,
        /// The family that it was to be for.
        family: Family,
    },
    /// A persistence engine name that the kernel cannot hold.
    #[error("persistence engine {name:?}: expected a name of 1 to {NAME_MAX} bytes without NUL")]
    EngineName {
        /// What was asked for.
        name: String,
    },
    /// A persistence engine without persistence.
    #[error("persistence engine {name:?} on a service without persistence: set its time too")]
    EngineWithoutPersistence {
        /// The engine.
        name: String,
    },
}

/// Connections of one client (or client network) stay with one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Persistence {
    /// Seconds since the client's last connection.
    pub timeout_seconds: u32,
    /// How many leading bits of the client's address make the client: 32 or 128 for single addresses. 0 only when
    /// read: another program set a netmask that is no prefix.
    pub prefix_len: u8,
}

impl Persistence {
    /// Checked persistence.
    ///
    /// # Errors
    /// A time of 0 or above 31 days; a prefix length that `family` does not have, or 0.
    pub fn new(timeout_seconds: u32, prefix_len: u8, family: Family) -> Result<Self, ServiceError> {
        if !(1..=MAX_PERSISTENCE_SECONDS).contains(&timeout_seconds) {
            return Err(ServiceError::PersistenceTime { seconds: timeout_seconds });
        }
        if !(1..=family.max_prefix_len()).contains(&prefix_len) {
            return Err(ServiceError::PersistencePrefix { prefix_len, family });
        }
        Ok(Self { timeout_seconds, prefix_len })
    }

    /// Single clients, for 300 s as `ipvsadm` has it.
    pub fn default_for(family: Family) -> Self {
        Self { timeout_seconds: DEFAULT_PERSISTENCE_SECONDS, prefix_len: family.max_prefix_len() }
    }
}

/// What a service is set to. Build it with [`Service::new`] and the `with_` methods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Service {
    pub(crate) scheduler: Scheduler,
    pub(crate) scheduler_flags: SchedulerFlags,
    pub(crate) one_packet: bool,
    pub(crate) persistence: Option<Persistence>,
    pub(crate) persistence_engine: Option<String>,
}

impl Service {
    /// A service without persistence.
    ///
    /// # Errors
    /// Flags for a scheduler other than sh and mh, an unknown flag, [`Scheduler::Other`].
    pub fn new(scheduler: Scheduler, scheduler_flags: SchedulerFlags) -> Result<Self, ServiceError> {
        if let Scheduler::Other(name) = scheduler {
            return Err(ServiceError::SchedulerNotKnown { name });
        }
        if scheduler_flags != SchedulerFlags::NONE && !scheduler.takes_flags() {
            return Err(ServiceError::FlagsNotTaken { scheduler, flags: scheduler_flags });
        }
        if scheduler_flags.third {
            return Err(ServiceError::UnknownFlag { scheduler });
        }
        Ok(Self {
            scheduler,
            scheduler_flags,
            one_packet: false,
            persistence: None,
            persistence_engine: None,
        })
    }

    /// Each datagram is scheduled by itself and leaves no connection behind. The kernel heeds it for UDP only.
    #[must_use]
    pub fn with_one_packet(mut self) -> Self {
        self.one_packet = true;
        self
    }

    /// Connections of one client stay with one destination.
    #[must_use]
    pub fn with_persistence(mut self, persistence: Persistence) -> Self {
        self.persistence = Some(persistence);
        self
    }

    /// The same without a scheduler and its flags: new connections get no destination.
    #[must_use]
    pub fn without_scheduler(mut self) -> Self {
        self.scheduler = Scheduler::None;
        self.scheduler_flags = SchedulerFlags::NONE;
        self
    }

    /// What tells clients apart instead of their addresses (`sip` is the kernel's only one).
    ///
    /// # Errors
    /// A name that is empty, longer than 15 bytes or has a NUL in it; a service without persistence.
    pub fn with_persistence_engine(mut self, name: impl Into<String>) -> Result<Self, ServiceError> {
        let name = name.into();
        if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
            return Err(ServiceError::EngineName { name });
        }
        if self.persistence.is_none() {
            return Err(ServiceError::EngineWithoutPersistence { name });
        }
        self.persistence_engine = Some(name);
        Ok(self)
    }

    /// How destinations are chosen.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// The scheduler's flags.
    pub fn scheduler_flags(&self) -> SchedulerFlags {
        self.scheduler_flags
    }

    /// Whether each datagram is scheduled by itself.
    pub fn one_packet(&self) -> bool {
        self.one_packet
    }

    /// How clients stay with their destination, if they do.
    pub fn persistence(&self) -> Option<Persistence> {
        self.persistence
    }

    /// What tells clients apart, if not their addresses.
    pub fn persistence_engine(&self) -> Option<&str> {
        self.persistence_engine.as_deref()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scheduler {}", self.scheduler)?;
        if self.scheduler_flags != SchedulerFlags::NONE {
            write!(f, " ({})", self.scheduler_flags)?;
        }
        if self.one_packet {
            f.write_str(", one packet")?;
        }
        if let Some(persistence) = self.persistence {
            write!(f, ", persistent {} s for /{}", persistence.timeout_seconds, persistence.prefix_len)?;
        }
        if let Some(engine) = &self.persistence_engine {
            write!(f, ", persistence engine {engine}")?;
        }
        Ok(())
    }
}
