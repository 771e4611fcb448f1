//! How soon an effect follows its cause: watchers look before the cause happens, and note when they first see it.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::bird::Bird;
use crate::host::Host;
use crate::table::{self, Table};

/// Shortest time between two looks; a look at the kernel's table takes some 50 µs.
const PAUSE: Duration = Duration::from_micros(500);

/// A watcher rests so many times as long as it looks: the guest has one processor, and what is watched needs it.
const REST: u32 = 8;

/// Looks until a deadline; it is given the words for what it looks for.
type Look<'a> = Box<dyn FnOnce(&str, Instant) -> Result<Instant> + Send + 'a>;

/// What is waited for, and where; it tells when it was first seen.
pub struct Watcher<'a> {
    what: String,
    look: Look<'a>,
}

impl<'a> Watcher<'a> {
    /// The IPVS table of `host` is as `wanted`.
    pub fn table(host: &'a Host, what: &str, mut wanted: impl FnMut(&Table) -> bool + Send + 'a) -> Self {
        let look = move |what: &str, deadline| {
            host.enter(|| poll(what, deadline, || table::here().is_ok_and(|table| wanted(&table))))?
        };
        Self { what: format!("{what} on {}", host.name()), look: Box::new(look) }
    }

    /// The router has exactly `hops` for each of `vips`, of the vip's family.
    pub fn routes(bird: &'a Bird, vips: &'a [IpAddr], hops: &'a [IpAddr]) -> Self {
        let has = move |vip: &IpAddr| {
            let wanted: Vec<_> = hops.iter().copied().filter(|hop| hop.is_ipv4() == vip.is_ipv4()).collect();
            bird.paths(*vip).is_ok_and(|paths| paths == wanted)
        };
        let look = move |what: &str, deadline| poll(what, deadline, || vips.iter().all(has));
        Self { what: format!("{} has {hops:?} for {vips:?}", bird.host().name()), look: Box::new(look) }
    }

    /// Any other condition.
    pub fn condition(what: &str, mut holds: impl FnMut() -> bool + Send + 'a) -> Self {
        let look = move |what: &str, deadline| poll(what, deadline, &mut holds);
        Self { what: what.to_owned(), look: Box::new(look) }
    }
}

/// Lets `cause` happen and returns the time from its beginning until the last watcher has seen its effect.
pub fn reaction(
    limit: Duration,
    watchers: Vec<Watcher<'_>>,
    cause: impl FnOnce() -> Result<()>,
) -> Result<Duration> {
    thread::scope(|scope| -> Result<Duration> {
        let deadline = Instant::now() + limit;
        let looking: Vec<_> = watchers
            .into_iter()
            .map(|watcher| scope.spawn(move || (watcher.look)(&watcher.what, deadline)))
            .collect();
        let begin = Instant::now();
        cause()?;
        let mut last = begin;
        for thread in looking {
            last = last.max(thread.join().map_err(|_| anyhow!("a watcher panicked"))??);
        }
        Ok(last - begin)
    })
}

fn poll(what: &str, deadline: Instant, mut holds: impl FnMut() -> bool) -> Result<Instant> {
    loop {
        let begin = Instant::now();
        if holds() {
            return Ok(Instant::now());
        }
        if Instant::now() > deadline {
            bail!("waited in vain for: {what}");
        }
        thread::sleep(PAUSE.max(begin.elapsed() * REST));
    }
}
