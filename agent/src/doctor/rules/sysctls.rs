//! Kernel parameters that a direct-routing balancer wants (linux Documentation/networking/ipvs-sysctl.rst,
//! ip-sysctl.rst), and connection tracking.

use crate::config::Network;
use crate::doctor::Severity::{Error, Warning};
use crate::doctor::facts::{Conntrack, Interface};
use crate::doctor::{Facts, Finding};

/// The file that sets them at boot.
const FILE: &str = "/etc/sysctl.d/60-lvsd-balancer.conf";

/// A parameter and what it should be.
#[derive(Debug)]
pub struct Sysctl {
    /// Its name with dots.
    pub key: &'static str,
    /// The value to set.
    value: i64,
    /// Which other values are as good.
    accepts: fn(i64) -> bool,
    /// When it matters.
    matters: fn(&Facts) -> bool,
    /// What happens otherwise.
    why: &'static str,
}

/// Every parameter that has one right value, `net.ipv4.ip_forward` left out.
pub const SYSCTLS: [Sysctl; 12] = [
    Sysctl {
        key: "net.ipv4.vs.expire_nodest_conn",
        value: 1,
        accepts: |value| value == 1,
        matters: |_| true,
        why: "packets of connections to a removed server vanish instead of ending the connection, and a new one from a port used \
              before goes to the old server at weight 0: it never drains",
    },
    Sysctl {
        key: "net.ipv4.vs.expire_quiescent_template",
        value: 1,
        accepts: |value| value == 1,
        matters: |facts| facts.table.as_ref().is_some_and(|table| table.is_persistent),
        why: "a persistent client goes on being sent to its server after that has weight 0",
    },
    Sysctl {
        key: "net.ipv4.vs.conn_reuse_mode",
        value: 1,
        accepts: |value| value > 0,
        matters: |_| true,
        why: "a new connection from a port used before goes to the old server instead of being scheduled",
    },
    Sysctl {
        key: "net.ipv4.vs.sloppy_tcp",
        value: 1,
        accepts: |value| value == 1,
        matters: |facts| hashes(facts) == Some(true),
        why: "connections that began at another balancer (mh, sh) are reset when routers move them here",
    },
    Sysctl {
        key: "net.ipv4.vs.schedule_icmp",
        value: 1,
        accepts: |value| value == 1,
        matters: |_| true,
        why: "ICMP errors of connections at another balancer are lost: path MTU discovery fails behind ECMP",
    },
    Sysctl {
        key: "net.ipv4.vs.drop_entry",
        value: 1,
        // Under pressure the kernel itself turns 1 into 2 and back; 3 drops always.
        accepts: |value| value == 1 || value == 2,
        matters: |_| true,
        why: "a flood of connections fills the memory: half-open ones are not dropped when it runs short (3: always)",
    },
    Sysctl {
        key: "net.ipv4.vs.amemthresh",
        value: 131_072,
        accepts: |value| value >= 131_072,
        matters: |_| true,
        why: "pages that must be free before connections are dropped; with the kernel's 4 MiB it is too late",
    },
    Sysctl {
        key: "net.ipv4.vs.conntrack",
        value: 0,
        accepts: |value| value == 0,
        matters: |_| true,
        why: "each connection is tracked a second time by netfilter, which direct routing does not need",
    },
    neighbours("net.ipv4.neigh.default.gc_thresh2", 8192, FORGOTTEN),
    neighbours("net.ipv4.neigh.default.gc_thresh3", 16_384, REFUSED),
    neighbours("net.ipv6.neigh.default.gc_thresh2", 8192, FORGOTTEN),
    neighbours("net.ipv6.neigh.default.gc_thresh3", 16_384, REFUSED),
];

/// Checks from which on the neighbour tables as the kernel has them (512 and 1024) come near to being too small.
const MANY_CHECKS: u64 = 256;

const FORGOTTEN: &str =
    "with more neighbours each that was silent for 5 s is forgotten, and asked for again by ARP or ND";
const REFUSED: &str = "with more neighbours packets to further servers are dropped: \"neighbour: arp_cache: neighbor table overflow\"";

/// A bound of the neighbour table (linux Documentation/networking/ip-sysctl.rst). A network namespace has none of its
/// own.
const fn neighbours(key: &'static str, value: i64, why: &'static str) -> Sysctl {
    let matters = |facts: &Facts| facts.wanted.as_ref().is_some_and(|wanted| wanted.checks > MANY_CHECKS);
    Sysctl { key, value, accepts: |value| value >= 4096, matters, why }
}

pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = SYSCTLS.iter().filter_map(|wanted| sysctl(facts, wanted)).collect();
    findings.extend(sloppy_without_need(facts));
    findings.extend(forwarding(facts));
    findings.extend(rp_filter(facts));
    findings.extend(accept_local(facts));
    findings.extend(facts.conntrack.as_ref().map(conntrack));
    findings
}

fn sysctl(facts: &Facts, wanted: &Sysctl) -> Option<Finding> {
    let value = *facts.sysctls.get(wanted.key)?;
    if !(wanted.matters)(facts) {
        return None;
    }
    Some(if (wanted.accepts)(value) {
        Finding::ok(wanted.key, value.to_string())
    } else {
        set(
            Finding::new(Warning, wanted.key, value.to_string(), wanted.value.to_string(), wanted.why),
            wanted.value,
        )
    })
}

/// Whether a service's scheduler finds the server by a hash; `None` when services are not known or there are none.
fn hashes(facts: &Facts) -> Option<bool> {
    let schedulers = &facts.wanted.as_ref()?.schedulers;
    (!schedulers.is_empty()).then(|| schedulers.contains("mh") || schedulers.contains("sh"))
}

fn sloppy_without_need(facts: &Facts) -> Option<Finding> {
    let key = "net.ipv4.vs.sloppy_tcp";
    let is_on = facts.sysctls.get(key).is_some_and(|value| *value > 0);
    let why = "no service hashes (mh, sh), so a stray packet makes a connection to some other server";
    (is_on && hashes(facts) == Some(false)).then(|| set(Finding::new(Warning, key, "1", "0", why), 0))
}

fn forwarding(facts: &Facts) -> Option<Finding> {
    let key = "net.ipv4.ip_forward";
    let is_on = *facts.sysctls.get(key)? > 0;
    let is_direct = facts.table.as_ref().is_some_and(|table| !table.is_masquerading);
    if !is_on || !is_direct {
        return None;
    }
    let why =
        "direct routing needs none, and a packet for what is not served is passed on instead of dropped";
    let should = "0, unless this host routes for others";
    let edit = format!("the file below /etc/sysctl.d that sets {key}");
    Some(Finding::new(Warning, key, "1", should, why).run(format!("sysctl -w {key}=0")).edit(edit))
}

/// The kernel takes the greater of `all` and the interface's own: 1 is strict, 2 is loose.
fn rp_filter(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let all = facts.rp_filter.get("all").copied().unwrap_or_default();
    for (interface, value) in &facts.rp_filter {
        let is_loose = interface != "all" && all > 1;
        if *value != 1 || is_loose || !(carries_clients(facts, interface)) {
            continue;
        }
        let severity = if interface == "default" { Warning } else { Error };
        let why = match interface.as_str() {
            "default" => "interfaces that are made later drop clients whose way back is by another interface",
            _ => "packets of clients whose way back is by another interface are dropped",
        };
        let (key, written) = key_of(interface, "rp_filter");
        let finding = Finding::new(severity, key, "1", "0 (or 2)", why).run(format!("sysctl -w {written}=0"));
        findings.push(finding.edit(format!("{FILE}: {written} = 0")));
    }
    if findings.is_empty() && !facts.rp_filter.is_empty() {
        findings.push(Finding::ok("rp_filter", "not strict where clients come in"));
    }
    findings
}

/// The kernel takes the greater of `all` and the interface's own.
fn accept_local(facts: &Facts) -> Vec<Finding> {
    let set = |name: &str| facts.accept_local.get(name).is_some_and(|value| *value > 0);
    let leads = |interface: &&Interface| {
        let own = interface
            .addresses
            .iter()
            .map(|(address, length)| Network { address: *address, length: *length });
        let own: Vec<Network> = own.filter(|network| network.length > 0).collect();
        let asked = &facts.asked_through_ipvs;
        interface.takes_traffic() && asked.iter().any(|server| own.iter().any(|own| own.contains(*server)))
    };
    let interfaces = facts.interfaces.iter().flatten().filter(leads);
    let why = "checks through IPVS (canary, path = \"ipvs\") are answered from the VIP, which is this host's own address: \
               the kernel drops such answers, and the checks fail";
    let finding = |interface: &Interface| {
        let name = &interface.name;
        let (key, written) = key_of(name, "accept_local");
        if set("all") || set(name) {
            return Finding::ok(key, "1");
        }
        let finding = Finding::new(Error, key, "0", "1", why).run(format!("sysctl -w {written}=1"));
        finding.edit(format!("{FILE}: {written} = 1"))
    };
    interfaces.map(finding).collect()
}

/// An interface's parameter with dots, and as sysctl(8) is to be told: an interface's name may have a dot, which it tells
/// from its own only in names with slashes.
fn key_of(interface: &str, parameter: &str) -> (String, String) {
    let key = format!("net.ipv4.conf.{interface}.{parameter}");
    let written =
        if interface.contains('.') { format!("net/ipv4/conf/{interface}/{parameter}") } else { key.clone() };
    (key, written)
}

fn carries_clients(facts: &Facts, name: &str) -> bool {
    if name == "all" || name == "default" {
        return true;
    }
    let Some(interfaces) = &facts.interfaces else { return name != "lo" && name != facts.device };
    interfaces.iter().any(|interface| interface.name == name && interface.takes_traffic())
}

fn conntrack(found: &Conntrack) -> Finding {
    let subject = "netfilter's connection tracking";
    let is = format!("at {} of {} connections", found.count, found.max);
    let edit = "the host's packet filter: notrack for the VIPs in a chain of hook prerouting, priority raw, and accept \
                them untracked; or no rule that needs nf_conntrack";
    // At four fifths the next flood fills it.
    if found.max > 0 && found.count.saturating_mul(5) >= found.max.saturating_mul(4) {
        let why = "a full table drops new connections, those for the VIPs too";
        return Finding::new(Error, subject, is, "far from full", why).edit(edit);
    }
    match found.tracked {
        None => Finding::ok(subject, is),
        Some(vip) => {
            let is = format!("{is}, among them those for {vip}");
            let why = "it costs time for each packet, sees one direction only, and drops when it is full";
            Finding::new(Warning, subject, is, "without the VIPs", why).edit(edit)
        }
    }
}

fn set(finding: Finding, value: i64) -> Finding {
    let key = finding.subject.clone();
    finding.run(format!("sysctl -w {key}={value}")).edit(format!("{FILE}: {key} = {value}"))
}

#[cfg(test)]
mod tests;
