//! What can go wrong between this program and the kernel.

use std::fmt;
use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::diff::Op;
use crate::wire::{DecodeError, EncodeError};

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Nothing was lost: try the same again in a while.
    Retry,
    /// It does not pass by itself: a person has to do something.
    Fatal,
    /// What the kernel has is not known any more. The connection is made anew with the next request: dump, diff and
    /// apply again.
    Resync,
}

/// Why a request got no answer from the kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The module is not loaded and could not be.
    #[error("the kernel has no IPVS (generic netlink family IPVS): load it with `modprobe ip_vs`")]
    NoIpvs,
    /// The process may not.
    #[error("cannot {doing}: IPVS needs CAP_NET_ADMIN in the network namespace's user namespace")]
    Permission {
        /// What was being done.
        doing: &'static str,
    },
    /// A call on the socket failed.
    #[error("cannot {doing}")]
    Socket {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// No answer.
    #[error("cannot {doing}: the kernel did not answer within {after:?}")]
    Timeout {
        /// What was being done.
        doing: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The kernel had more to say than the receive buffer holds.
    #[error("cannot {doing}: answers were lost because the socket's receive buffer was full")]
    Overrun {
        /// What was being done.
        doing: &'static str,
    },
    /// An answer to something else.
    #[error("cannot {doing}: the kernel answered request {got} instead of {expected}")]
    Sequence {
        /// What was being done.
        doing: &'static str,
        /// The number of the (first) request.
        expected: u32,
        /// The number in the answer.
        got: u32,
    },
    /// An answer that makes no sense.
    #[error("cannot {doing}: the kernel's answer cannot be read")]
    Decode {
        /// What was being done.
        doing: &'static str,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// The kernel refused.
    #[error("cannot {doing}: the kernel refuses")]
    Kernel {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The engine's thread could not be started.
    #[error("cannot start the thread that talks to IPVS")]
    Thread(#[source] io::Error),
    /// The engine's thread is gone.
    #[error("the thread that talks to IPVS has ended")]
    Stopped,
}

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoIpvs | Self::Permission { .. } | Self::Thread(_) | Self::Stopped => ErrorKind::Fatal,
            Self::Kernel { source, .. } if errno(source) == Errno::EBUSY => ErrorKind::Retry,
            Self::Socket { .. }
            | Self::Timeout { .. }
            | Self::Overrun { .. }
            | Self::Sequence { .. }
            | Self::Decode { .. }
            | Self::Kernel { .. } => ErrorKind::Resync,
        }
    }

    /// From what a call on the socket returned.
    pub(super) fn socket(doing: &'static str, errno: Errno, timeout: Duration) -> Self {
        match errno {
            Errno::EAGAIN => Self::Timeout { doing, after: timeout },
            Errno::ENOBUFS => Self::Overrun { doing },
            Errno::EPERM => Self::Permission { doing },
            _ => Self::Socket { doing, source: errno.into() },
        }
    }

    /// From the errno of an acknowledgement of something that is no [`Op`].
    pub(super) fn kernel(doing: &'static str, errno: Errno) -> Self {
        match errno {
            Errno::EPERM => Self::Permission { doing },
            _ => Self::Kernel { doing, source: errno.into() },
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

/// Why the kernel did not do what an operation asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// EEXIST.
    #[error("it is there already (EEXIST)")]
    Exists,
    /// ESRCH.
    #[error("there is no such service (ESRCH)")]
    NoService,
    /// ENOENT on a destination.
    #[error("there is no such destination (ENOENT)")]
    NoDestination,
    /// ENOENT on a service.
    #[error(
        "the kernel has no such scheduler or persistence engine, or its module cannot be loaded (ENOENT)"
    )]
    NoScheduler,
    /// ERANGE.
    #[error("the lower threshold is above the upper one, or the weight is too large (ERANGE)")]
    Range,
    /// EINVAL.
    #[error(
        "the kernel finds it invalid: an address that is neither unicast nor local, a family other than the \
         service's without a tunnel, or a tunnel without its port (EINVAL)"
    )]
    Invalid,
    /// ENODEV on a sync daemon.
    #[error("there is no such interface (ENODEV)")]
    NoInterface,
    /// ESRCH on a sync daemon.
    #[error("no such sync daemon is running (ESRCH)")]
    NoDaemon,
    /// EINVAL on a sync daemon.
    #[error(
        "the kernel finds it invalid: the sync protocol cannot carry services with destinations of both families, \
         or a group is not multicast (EINVAL)"
    )]
    MixedFamilies,
    /// EINVAL on timeouts.
    #[error("a timeout is longer than this kernel can count (EINVAL)")]
    Timeout,
    /// EAFNOSUPPORT.
    #[error("the kernel does not balance this address family (EAFNOSUPPORT)")]
    Family,
    /// EPERM.
    #[error("IPVS needs CAP_NET_ADMIN (EPERM)")]
    Permission,
    /// It was not sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Any other.
    #[error("{}", .0.desc())]
    Other(Errno),
}

impl Refusal {
    /// What an errno means whatever was being done.
    pub(super) fn of_anything(errno: Errno) -> Self {
        match errno {
            Errno::EAFNOSUPPORT => Self::Family,
            Errno::EPERM => Self::Permission,
            other => Self::Other(other),
        }
    }
}

/// A write that was not done, and why. `O` is [`Op`] for a write to the table, [`crate::Control`] for one beside it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {op}: {refusal}")]
pub struct OpError<O: fmt::Debug + fmt::Display = Op> {
    /// What was to be done.
    pub op: Box<O>,
    /// Why it was not.
    pub refusal: Refusal,
}
