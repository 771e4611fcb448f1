//! Services whose tables are watched: where they are, and when a host in one of them has a weight.

use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ipvs::{Protocol, ServiceKey};
use lab::host::Host;
use lab::measure::bare::Bare;
use lab::measure::priority::{self, Rank};

/// Between two looks at a service; a look takes some 50 µs.
const LOOK: Duration = Duration::from_micros(500);

/// Nothing here takes so long, on the slowest day.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// The VIP of a service.
pub(crate) fn vip(service: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + service)
}

/// A host behind services.
pub(crate) fn backend(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 0, 1)) + number)
}

/// A service as the kernel knows it.
pub(crate) fn key(service: u32) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: vip(service).into(), port: 80 }
}

/// What is waited for: the host of this address has this weight in the service.
pub(crate) type Wanted = (u32, Ipv4Addr, u32);

/// Looks at one service until a host has a weight, on a thread of its own that gets the processor on time.
#[derive(Debug)]
pub(crate) struct Watch {
    wanted: Sender<Wanted>,
    seen: Receiver<Instant>,
}

impl Watch {
    /// One at the table of `host`.
    pub(crate) fn start(host: &Host) -> Result<Self> {
        let mut bare = Bare::open(host)?;
        let (wanted, wishes) = channel::<Wanted>();
        let (tell, seen) = channel();
        std::thread::Builder::new().name("watch".into()).spawn(move || -> Result<()> {
            priority::put_first(nix::unistd::gettid().as_raw(), Rank::Watch)?;
            for (service, host, weight) in wishes {
                let is_so = |(at, its): &(ipvs::DestinationKey, u32)| at.address == host && *its == weight;
                while !bare.weights(&key(service))?.iter().any(is_so) {
                    std::thread::sleep(LOOK);
                }
                tell.send(Instant::now())?;
            }
            Ok(())
        })?;
        Ok(Self { wanted, seen })
    }

    /// Begins to look.
    pub(crate) fn look(&self, wanted: Wanted) -> Result<()> {
        Ok(self.wanted.send(wanted)?)
    }

    /// When it was first seen to be so.
    pub(crate) fn seen(&self) -> Result<Instant> {
        self.seen.recv_timeout(LIMIT).context("a table was not changed")
    }
}
