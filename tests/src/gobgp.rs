//! GoBGP on a router, in BIRD's place. It has no way into the kernel but FRR's zebra, and Debian's GoBGP 3.10 panics on the
//! first words of Debian's zebra 8.4; so the lab itself carries its table into the router's kernel, as such a way would.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bird::Settings;
use crate::host::{Host, Process};
use crate::network::{v4, v6};
use crate::wait::wait_until;

/// The rest between two looks at its table. Its command line takes a good part of a second in the lab's kernel.
const REST: Duration = Duration::from_secs(1);

/// The address families, as gobgp calls them.
const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

/// Next hops by prefix.
type Ways = BTreeMap<String, BTreeSet<IpAddr>>;

/// What gobgp said last of each family.
type Tables = Arc<Mutex<[Value; 2]>>;

/// GoBGP on one router; it runs as long as the lab.
#[derive(Debug)]
pub struct Gobgp {
    host: Host,
    _daemon: Process,
    tables: Tables,
    mirror: Option<JoinHandle<()>>,
    done: Arc<AtomicBool>,
}

impl Gobgp {
    /// Starts gobgpd, waits until it can be asked, and begins to carry its table into the kernel.
    pub fn start(host: &Host, settings: &Settings) -> Result<Self> {
        let file = host.files().join("gobgpd.toml");
        fs::write(&file, configuration(settings)).with_context(|| format!("write {}", file.display()))?;
        let mut command = Command::new("gobgpd");
        command.arg("-f").arg(&file).args(["--pprof-disable", "--api-hosts=127.0.0.1:50051"]);
        let daemon = host.spawn("gobgpd", command)?;
        let what = format!("gobgpd runs on {}", host.name());
        wait_until(&what, Duration::from_secs(30), || host.run(&["gobgp", "neighbor"]).is_ok())?;
        let (done, tables) = (Arc::new(AtomicBool::new(false)), Tables::default());
        let (stop, router, seen) = (Arc::clone(&done), host.clone(), Arc::clone(&tables));
        let mirror = std::thread::spawn(move || carry(&router, &seen, &stop));
        Ok(Self { host: host.clone(), _daemon: daemon, tables, mirror: Some(mirror), done })
    }

    /// The router it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// How many paths to these VIPs are kept of sessions that are down, for the other end is expected back; at the last
    /// look.
    pub fn stale(&self, vips: &[IpAddr]) -> usize {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = |vip: &IpAddr| {
            let paths = tables[usize::from(vip.is_ipv6())].get(prefix(*vip));
            paths.and_then(Value::as_array).cloned().unwrap_or_default()
        };
        vips.iter().flat_map(paths).filter(|path| path["stale"] == true).count()
    }

    /// What gobgp shows.
    pub fn shown(&self) -> String {
        let show = |family| self.host.run(&["gobgp", "global", "rib", "-a", family]).unwrap_or_default();
        FAMILIES.map(show).concat()
    }
}

impl Drop for Gobgp {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        // It panics at nothing; there is nobody to tell.
        drop(self.mirror.take().map(JoinHandle::join));
    }
}

fn prefix(vip: IpAddr) -> String {
    format!("{vip}/{}", if vip.is_ipv4() { 32 } else { 128 })
}

fn table(host: &Host, family: &str) -> Result<Value> {
    let text = host.run(&["gobgp", "-j", "global", "rib", "-a", family])?;
    serde_json::from_str(&text).with_context(|| format!("gobgp's table: {text}"))
}

/// What the table has, by prefix: every path is a way, as with ECMP.
fn ways(table: &Value) -> Ways {
    let hop = |path: &Value| {
        let attributes = path["attrs"].as_array()?;
        let named = |attribute: &Value| attribute["nexthop"].as_str()?.parse().ok();
        attributes.iter().find_map(named)
    };
    let of = |paths: &Value| paths.as_array().into_iter().flatten().filter_map(hop).collect();
    let all = table.as_object().into_iter().flatten();
    all.map(|(prefix, paths)| (prefix.clone(), of(paths))).collect()
}

/// Has the kernel follow the table. A look that fails changes nothing.
fn carry(host: &Host, seen: &Tables, done: &AtomicBool) {
    let mut have = [Ways::new(), Ways::new()];
    while !done.load(Ordering::Relaxed) {
        for (index, have) in have.iter_mut().enumerate() {
            let Ok(table) = table(host, FAMILIES[index]) else { continue };
            let wanted = ways(&table);
            seen.lock().unwrap_or_else(PoisonError::into_inner)[index] = table;
            let gone = have.keys().filter(|prefix| !wanted.contains_key(*prefix));
            let changed = wanted.iter().filter(|(prefix, hops)| have.get(*prefix) != Some(*hops));
            let changed = changed.map(|(prefix, hops)| (prefix, Some(hops)));
            let changes: Vec<_> = gone.map(|prefix| (prefix, None)).chain(changed).collect();
            if changes.iter().all(|(prefix, hops)| write(host, FAMILIES[index], prefix, *hops).is_ok()) {
                *have = wanted;
            }
        }
        std::thread::sleep(REST);
    }
}

fn write(host: &Host, family: &str, prefix: &str, hops: Option<&BTreeSet<IpAddr>>) -> Result<()> {
    let family = if family == "ipv4" { "-4" } else { "-6" };
    let hops: Vec<_> = hops.into_iter().flatten().map(ToString::to_string).collect();
    let mut words = vec!["ip", family, "route", if hops.is_empty() { "del" } else { "replace" }, prefix];
    words.extend(hops.iter().flat_map(|hop| ["nexthop", "via", hop]));
    host.run(&words).map(drop)
}

/// Sessions with both balancers in both families, which it helps over a restart.
fn configuration(settings: &Settings) -> String {
    let mut text = format!(
        "[global.config]\nas = {}\nrouter-id = \"{}\"\nport = 179\n",
        settings.asn,
        v4(settings.last)
    );
    for (last, asn) in [1, 2].into_iter().zip(settings.balancers) {
        for (family, peer) in [("ipv4", IpAddr::V4(v4(last))), ("ipv6", IpAddr::V6(v6(last)))] {
            let _ = write!(
                text,
                "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{peer}\"\npeer-as = {asn}\n\
                 [neighbors.timers.config]\nhold-time = 30\nkeepalive-interval = 10\nconnect-retry = 2\n\
                 idle-hold-time-after-reset = 1\n\
                 [neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n\
                 [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}-unicast\"\n\
                 [neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_table_is_a_way() {
        let table = serde_json::json!({
            "192.0.2.10/32": [
                {"attrs": [{"type": 1, "value": 0}, {"type": 3, "nexthop": "10.64.0.1"}]},
                {"attrs": [{"type": 3, "nexthop": "10.64.0.2"}], "stale": true},
            ],
            "2001:db8::10/128": [{"attrs": [{"type": 14, "nexthop": "fd00:64::1"}]}],
        });
        let found = ways(&table);
        let hops = |prefix: &str| found[prefix].iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(hops("192.0.2.10/32"), ["10.64.0.1", "10.64.0.2"]);
        assert_eq!(hops("2001:db8::10/128"), ["fd00:64::1"]);
    }
}
