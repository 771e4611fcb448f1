//! Has a router's kernel follow GoBGP's table: every path is a way, as with ECMP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Builder;

use super::table::{Client, Table, Way};
use crate::host::Host;

/// The rest between two looks at the table.
const REST: Duration = Duration::from_millis(100);

/// The families: ip(8)'s word, and their number.
const FAMILIES: [(&str, i32); 2] = [("-4", 1), ("-6", 2)];

/// Next hops of each prefix.
type Given = BTreeMap<String, BTreeSet<IpAddr>>;

/// What was seen at the latest look.
#[derive(Debug, Default)]
struct Seen {
    looks: usize,
    tables: [Table; 2],
    /// Why the latest look or write failed.
    trouble: Option<String>,
}

/// The thread that follows, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Fib {
    seen: Arc<Mutex<Seen>>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fib {
    /// Follows the table of the gobgpd on this host.
    pub(super) fn follow(host: &Host) -> Self {
        let (seen, done) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let (host, shared, end) = (host.clone(), Arc::clone(&seen), Arc::clone(&done));
        let thread = std::thread::spawn(move || {
            let ended = host.enter(|| follow(&host, &shared, &end)).and_then(|ended| ended);
            lock(&shared).trouble = ended.err().map(|error| format!("nobody follows: {error:#}"));
        });
        Self { seen, done, thread: Some(thread) }
    }

    /// How often the table was looked at.
    pub(super) fn looks(&self) -> usize {
        lock(&self.seen).looks
    }

    /// How many paths to these addresses were stale.
    pub(super) fn stale(&self, vips: &[IpAddr]) -> usize {
        let seen = lock(&self.seen);
        let ways = |vip: &IpAddr| {
            let prefix = format!("{vip}/{}", if vip.is_ipv4() { 32 } else { 128 });
            seen.tables[usize::from(vip.is_ipv6())].get(&prefix)
        };
        vips.iter().filter_map(ways).flatten().filter(|way| way.is_stale).count()
    }
}

impl Drop for Fib {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        // It panics at nothing; there is nobody to tell.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until it is done, or cannot begin. A look or a write that fails changes nothing and is tried again.
fn follow(host: &Host, seen: &Mutex<Seen>, done: &AtomicBool) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut client, mut given) = (Client::new()?, [Given::new(), Given::new()]);
        while !done.load(Ordering::Relaxed) {
            let looked = look(&mut client, host, seen, &mut given).await;
            lock(seen).trouble = looked.err().map(|error| format!("{error:#}"));
            tokio::time::sleep(REST).await;
        }
        Ok(())
    })
}

async fn look(client: &mut Client, host: &Host, seen: &Mutex<Seen>, given: &mut [Given; 2]) -> Result<()> {
    for (index, (family, afi)) in FAMILIES.into_iter().enumerate() {
        let table = client.table(afi).await?;
        lock(seen).tables[index].clone_from(&table);
        give(host, family, &mut given[index], &table)?;
    }
    lock(seen).looks += 1;
    Ok(())
}

/// Gives the kernel what it has not, and keeps in mind what it was given.
fn give(host: &Host, family: &str, given: &mut Given, table: &Table) -> Result<()> {
    let hops = |ways: &Vec<Way>| ways.iter().map(|way| way.hop).collect::<BTreeSet<_>>();
    for (prefix, ways) in table.iter().filter(|(_, ways)| !ways.is_empty()) {
        let wanted = hops(ways);
        if given.get(prefix) != Some(&wanted) {
            write(host, family, "replace", prefix, &wanted)?;
            given.insert(prefix.clone(), wanted);
        }
    }
    let is_gone = |prefix: &&String| table.get(*prefix).is_none_or(Vec::is_empty);
    for prefix in given.keys().filter(is_gone).cloned().collect::<Vec<_>>() {
        write(host, family, "del", &prefix, &BTreeSet::new())?;
        given.remove(&prefix);
    }
    Ok(())
}

fn write(host: &Host, family: &str, verb: &str, prefix: &str, hops: &BTreeSet<IpAddr>) -> Result<()> {
    let hops: Vec<_> = hops.iter().map(ToString::to_string).collect();
    let mut words = vec!["ip", family, "route", verb, prefix];
    words.extend(hops.iter().flat_map(|hop| ["nexthop", "via", hop]));
    host.run(&words).map(drop)
}
