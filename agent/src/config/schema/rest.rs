//! The daemon, the kernel, nodes, probes, the fleet, remote control, and what was written for PyBal.

use super::super::nodes;
use super::{any_of, array, asn, duration, families, flag, integer, port, some, table, text, words};
use serde_json::Value;

pub(super) fn daemon(keys: &[&'static str]) -> Value {
    table(&["lvsd"], keys, &[], |key| {
        Some(match key {
            "state_dir" | "control_socket" | "control_group" | "http" | "device" => text(),
            "resync_interval" | "drain_timeout" | "shutdown_delay" | "resolve_interval" => duration(),
            "netlink_buffer" => integer(1024, 1_073_741_823),
            "dry_run" => flag(),
            _ => return None,
        })
    })
}

pub(super) fn kernel(keys: &[&'static str], of_sync: &[&'static str]) -> Value {
    let sync = |key| {
        Some(match key {
            "role" => words(&["master", "backup", "both"]),
            "interface" | "group" => text(),
            "sync_id" => integer(0, 255),
            "port" => port(),
            "ttl" => integer(1, 255),
            "max_length" => integer(1024, 65_487),
            _ => return None,
        })
    };
    table(&["ipvs"], keys, &[], |key| {
        Some(match key {
            "tcp_timeout" | "tcp_fin_timeout" | "udp_timeout" => duration(),
            "first_mark" => integer(1, 4_294_901_759),
            "sync" => table(&["ipvs.sync"], of_sync, &["role", "interface"], sync),
            _ => return None,
        })
    })
}

pub(super) fn probes(keys: &[&'static str], of_segment: &[&'static str]) -> Value {
    let segment = |key| {
        Some(match key {
            "interface" => text(),
            "addresses" => some(text()),
            "gateways" => array(text()),
            _ => return None,
        })
    };
    table(&["probes"], keys, &["segment"], |key| {
        Some(match key {
            "namespace" | "socket" => text(),
            "first_mark" => integer(256, 4_294_963_199),
            "segment" => some(table(&["probes.segment"], of_segment, &["interface", "addresses"], segment)),
            _ => return None,
        })
    })
}

pub(super) fn pybal(keys: &[&'static str]) -> Value {
    table(&["pybal"], keys, &[], |key| {
        Some(match key {
            "http" => any_of([text(), array(text())]),
            "metrics" => flag(),
            _ => return None,
        })
    })
}

pub(super) fn remote(keys: &[&'static str]) -> Value {
    table(&["remote"], keys, &["listen", "certificate_file", "key_file", "ca_file"], |key| {
        Some(match key {
            "listen" | "certificate_file" | "key_file" | "ca_file" => text(),
            "read" | "write" => array(text()),
            _ => return None,
        })
    })
}

pub(super) fn fleet(keys: &[&'static str]) -> Value {
    table(&["fleet"], keys, &["source"], |key| {
        Some(match key {
            "source" | "prefix" | "name" => text(),
            "ttl" => duration(),
            _ => return None,
        })
    })
}

pub(super) fn nodes() -> Value {
    table(&["nodes"], nodes::KEYS, &["mode"], |key| {
        Some(match key {
            "mode" => words(&["discover", "static", "listen"]),
            "routes" => words(&["bgp", "datastore"]),
            "blocks" => words(&["off", "warn", "enforce"]),
            "asn" => asn(),
            "hold_time" | "hold_off" => duration(),
            "families" => families(),
            "local_ipv4" | "local_ipv6" | "password_file" | "cluster_file" | "cluster_id" => text(),
            "cluster" => table(&[], nodes::CLUSTER_KEYS, &["source"], |_| Some(text())),
            "multihop" => integer(1, 255),
            "max_prefixes" => integer(1, 100_000),
            "service_cidrs" => array(text()),
            "reflector" => flag(),
            "pool" => array(ip_pool()),
            "node" => array(node()),
            "listen" => array(listen()),
            "fib" => fib(),
            _ => return None,
        })
    })
}

fn ip_pool() -> Value {
    table(&["nodes.pool"], nodes::POOL_KEYS, &["cidr"], |key| {
        Some(match key {
            "cidr" => text(),
            "block_size" => integer(0, 128),
            _ => return None,
        })
    })
}

fn node() -> Value {
    table(&["nodes.node"], nodes::NODE_KEYS, &["name", "addresses"], |key| {
        Some(match key {
            "name" => text(),
            "addresses" => some(text()),
            "asn" => asn(),
            "port" => port(),
            "reflector" => flag(),
            _ => return None,
        })
    })
}

fn listen() -> Value {
    table(&["nodes.listen"], nodes::LISTEN_KEYS, &["prefix", "asn"], |key| {
        Some(match key {
            "prefix" => text(),
            "asn" => asn(),
            _ => return None,
        })
    })
}

fn fib() -> Value {
    table(&["nodes.fib"], nodes::FIB_KEYS, &[], |key| {
        Some(match key {
            "table" | "metric" => integer(1, u32::MAX),
            "protocol" => integer(1, 255),
            "rule_priority" => integer(1, 32_765),
            "off_link" => words(&["refuse", "resolve"]),
            _ => return None,
        })
    })
}
