//! Which VIPs the routers are to hear of.
//!
//! A VIP is announced while at least one service on it can serve (or all, or whether or not): its pool has a backend with a weight that is
//! there on its own merit, not only held for the threshold's sake. It is withdrawn when no service on it can,
//! after a hold. It is never announced before the kernel has confirmed both the VIP's address and a service on it.

use super::pool::Standing;
use super::state::{Kernel, ServiceState};
use super::unclaimed::Unclaimed;
use crate::config::Announce;
use ipvs::{Family, ServiceKey, Weight};
use std::net::IpAddr;

/// What can be said of a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// A service can serve, and the kernel has all that it takes.
    Serving(String),
    /// A service could serve, but the kernel has not confirmed it yet.
    Unconfirmed(String),
    /// No service can serve.
    Failing(String),
}

/// What may serve on a VIP.
#[derive(Debug)]
pub struct OnVip<'a> {
    /// The services on it, by name.
    pub services: &'a [(&'a str, &'a ServiceState)],
    /// Those that nobody has.
    pub unclaimed: &'a Unclaimed,
}

impl OnVip<'_> {
    /// How each serves, or why it does not, with its name and its key in the kernel.
    fn each(
        &self,
        vip: IpAddr,
        kernel: &Kernel,
        is_trusted: bool,
    ) -> Vec<(String, ServiceKey, Result<String, String>)> {
        let of_service = |(name, service): &(&str, &ServiceState)| {
            let (_, key) = service.keys().find(|(address, _)| *address == vip)?;
            Some(((*name).to_owned(), key, serves(service, Family::of(vip), &key, kernel, is_trusted)))
        };
        let of_nobody = |key: &ServiceKey| {
            (key.to_string(), *key, as_found(key, kernel, self.unclaimed.why(), is_trusted))
        };
        self.services.iter().filter_map(of_service).chain(self.unclaimed.on(vip).map(of_nobody)).collect()
    }
}

/// Judges one VIP by what may serve on it. `is_trusted`: what the kernel served before this process began counts.
pub fn prospect(
    vip: IpAddr,
    on_it: &OnVip<'_>,
    kernel: &Kernel,
    (announce, is_trusted): (Announce, bool),
) -> Prospect {
    let (mut serving, mut unconfirmed, mut failing) = (Vec::new(), Vec::new(), Vec::new());
    for (name, key, how) in on_it.each(vip, kernel, is_trusted) {
        let how = match (how, announce) {
            (Ok(how), _) => how,
            (Err(why), Announce::Always) => format!("announced always, though {why}"),
            (Err(why), Announce::Any | Announce::All) => {
                failing.push(format!("{name}: {why}"));
                continue;
            }
        };
        if !has_address(vip, kernel) {
            unconfirmed.push(format!("{name}: {how}, but the address is not on its device yet"));
        } else if !kernel.services.contains(&key) {
            unconfirmed.push(format!("{name}: {how}, but IPVS does not have the service yet"));
        } else {
            serving.push(format!("{name}: {how}"));
        }
    }
    let needs_all = announce == Announce::All;
    if needs_all && !failing.is_empty() {
        return Prospect::Failing(failing.join("; "));
    }
    match (serving.as_slice(), unconfirmed.is_empty()) {
        ([], true) => Prospect::Failing(failing.join("; ")),
        ([_, ..], true) => Prospect::Serving(serving.swap_remove(0)),
        ([_, ..], false) if !needs_all => Prospect::Serving(serving.swap_remove(0)),
        (_, false) => Prospect::Unconfirmed(unconfirmed.join("; ")),
    }
}

fn has_address(vip: IpAddr, kernel: &Kernel) -> bool {
    kernel.addresses.as_ref().is_some_and(|present| present.contains(&vip))
}

/// How a service serves in a family, or why it does not.
fn serves(
    service: &ServiceState,
    family: Family,
    key: &ServiceKey,
    kernel: &Kernel,
    is_trusted: bool,
) -> Result<String, String> {
    if let Some(reason) = &service.waiting {
        return as_found(key, kernel, reason, is_trusted);
    }
    let Some(pool) = service.pools.get(&family) else { return Err("no pool in this family".into()) };
    let total = pool.counts(service.config.depool_threshold).total;
    let standings = pool.members.values().filter(|member| member.decision.weight > Weight::ZERO);
    let can_serve = standings.map(|member| member.decision.standing).filter(|standing| match standing {
        Standing::Adopted => is_trusted,
        other => other.can_serve(),
    });
    match can_serve.count() {
        0 => Err(format!("none of {total} backends can serve")),
        count => Ok(format!("{count} of {total} backends can serve")),
    }
}

/// How something serves of which only that is known which the kernel has, or why it does not: `reason` is why no more is
/// known.
fn as_found(key: &ServiceKey, kernel: &Kernel, reason: &str, is_trusted: bool) -> Result<String, String> {
    let adopted = kernel.table.get(key).map_or(0, |entry| {
        entry.destinations.values().filter(|destination| destination.weight > Weight::ZERO).count()
    });
    match adopted {
        1.. if is_trusted => Ok(format!("{adopted} backends serve as the kernel has them; {reason}")),
        _ => Err(reason.to_owned()),
    }
}
