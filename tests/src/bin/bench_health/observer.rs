//! Looks at a balancer's IPVS table and remembers when each server came and went.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ipvs::{DestinationKey, Ipvs, Options, Protocol, ServiceKey};
use lab::host::Host;
use lab::measure::priority::{self, Rank};

use crate::ground::{Checker, address};
use crate::server::PORT;

/// Between two looks: two per mille of the shortest interval between checks.
const LOOK: Duration = Duration::from_millis(4);

/// Whether a server is in, and since when.
type Seen = BTreeMap<(Checker, usize), (bool, Instant)>;

/// What all observers have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observations(Arc<(Mutex<Seen>, Condvar)>);

impl Observations {
    /// Looks at these services of `host` until the lab ends, on a thread of its own that gets the processor on time.
    pub(crate) fn observe(&self, host: &Host, checkers: Vec<Checker>, servers: usize) -> Result<()> {
        let (its, host) = (self.clone(), host.clone());
        std::thread::Builder::new().name("observer".into()).spawn(move || {
            let looked = host.enter(|| its.look(&checkers, servers));
            eprintln!("the observer of {} has ended: {looked:?}", host.name());
        })?;
        Ok(())
    }

    fn look(&self, checkers: &[Checker], servers: usize) -> Result<()> {
        priority::put_first(nix::unistd::gettid().as_raw(), Rank::Watch)?;
        let ipvs = Ipvs::open(Options::default())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        loop {
            let table = runtime.block_on(ipvs.dump())?.table;
            let now = Instant::now();
            let (seen, changed) = &*self.0;
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            for checker in checkers {
                let key = ServiceKey::Address {
                    protocol: Protocol::Tcp,
                    address: checker.vip().into(),
                    port: PORT,
                };
                for server in 0..servers {
                    let at = DestinationKey { address: address(server).into(), port: PORT };
                    let found = table.get(&key).and_then(|entry| entry.destinations.get(&at));
                    let is_in = found.is_some_and(|destination| destination.weight.get() > 0);
                    let before = seen.entry((*checker, server)).or_insert((is_in, now));
                    if before.0 != is_in {
                        *before = (is_in, now);
                        changed.notify_all();
                    }
                }
            }
            drop(seen);
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until the server is in, or out, and gives since when.
    pub(crate) fn wait(
        &self,
        checker: Checker,
        server: usize,
        is_in: bool,
        limit: Duration,
    ) -> Result<Instant> {
        let (seen, changed) = &*self.0;
        let is_waiting =
            |seen: &mut Seen| seen.get(&(checker, server)).is_none_or(|(found, _)| *found != is_in);
        let guard = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, timeout) =
            changed.wait_timeout_while(guard, limit, is_waiting).unwrap_or_else(PoisonError::into_inner);
        match guard.get(&(checker, server)) {
            Some((_, since)) if !timeout.timed_out() => Ok(*since),
            _ => bail!(
                "{}: server {server} is not {} after {limit:?}",
                checker.name(),
                if is_in { "in" } else { "out" }
            ),
        }
    }
}
