//! `[service.NAME]`, its pool and its backends.

use super::super::{attributes, forwarding, pool, service};
use super::{
    any_of, array, checks, duration, flag, integer, named, port, routers, share, some, table, text, words,
};
use ipvs::Scheduler;
use serde_json::{Value, json};

pub(super) fn service() -> Value {
    table(&["service"], service::KEYS, &["vips", "checks"], |key| {
        Some(match key {
            "vips" => some(text()),
            "port" | "backend_port" => port(),
            "protocol" => words(&["tcp", "udp", "sctp"]),
            "fwmark" => integer(1, u32::MAX),
            "scheduler" => words(&Scheduler::KNOWN.each_ref().map(Scheduler::as_str)),
            "scheduler_flags" => array(words(&["fallback", "port"])),
            "one_packet_scheduling" | "require_on_link" => flag(),
            "persistence_timeout" | "slow_start" => duration(),
            "persistence_prefix_ipv4" => integer(1, 32),
            "persistence_prefix_ipv6" => integer(1, 128),
            "persistence_engine" => words(&["sip"]),
            "forwarding" => words(&["direct", "nat", "tunnel"]),
            "tunnel" => tunnel(),
            "depool_threshold" | "max_change" => share(),
            "require" => any_of([words(&["all", "any"]), integer(1, 64)]),
            "pool" => any_of([pool(), some(pool())]),
            "pool_file" => text(),
            "backends" => some(backend()),
            "checks" => json!({"type": "array", "maxItems": 64, "items": checks::check()}),
            "canary" => checks::canary(),
            "addresses" => named(some(text())),
            "route" => table(&["attributes"], &attributes::KEYS, &[], routers::attribute),
            "pybal_names" => named(words(&["ipv4", "ipv6", "both"])),
            _ => return None,
        })
    })
}

fn tunnel() -> Value {
    table(&["tunnel"], forwarding::KEYS, &["type"], |key| {
        Some(match key {
            "type" => words(&["ipip", "gue", "gre"]),
            "port" => port(),
            "checksum" => words(&["none", "full", "remote"]),
            _ => return None,
        })
    })
}

fn backend() -> Value {
    table(&["backend"], pool::KEYS, &["host"], |key| {
        Some(match key {
            "host" => text(),
            "addresses" => some(text()),
            "weight" => integer(0, 65_535),
            "pooled" => any_of([flag(), words(&["yes", "no", "inactive"])]),
            "upper_threshold" | "lower_threshold" => integer(0, u32::MAX),
            _ => return None,
        })
    })
}

fn pool() -> Value {
    table(&["pool"], pool::REFERENCE_KEYS, &[], |key| {
        Some(match key {
            "file" | "source" | "path" | "service" | "nodes" => text(),
            "port" => any_of([port(), text()]),
            "to" => words(&["nodes", "pods"]),
            _ => return None,
        })
    })
}
