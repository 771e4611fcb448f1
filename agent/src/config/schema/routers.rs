//! `[bgp]`, its neighbours and their rules; `[vip."ADDRESS"]`.

use super::super::{bfd, bgp, policy, vip};
use super::{any_of, array, asn, duration, families, flag, integer, port, some, table, text, words};
use serde_json::Value;

pub(super) fn bgp() -> Value {
    table(&["bgp", "attributes"], bgp::KEYS, &["local_asn", "router_id"], |key| {
        Some(match key {
            "local_asn" => asn(),
            "router_id" => text(),
            "hold_time" | "long_lived_graceful_restart" | "withdraw_hold" | "graceful_shutdown" => duration(),
            "graceful_restart" | "strict_export" => flag(),
            "listen" => array(text()),
            "peer" => some(peer()),
            "group" => array(group()),
            "bmp" => bmp(),
            other => return attribute(other),
        })
    })
}

pub(super) fn vip() -> Value {
    table(&["vip"], vip::KEYS, &[], |key| {
        Some(match key {
            "announce" => words(&["any", "all", "always"]),
            "withdraw_hold" | "announce_hold" => duration(),
            other => return attribute(other),
        })
    })
}

/// What a VIP is announced with.
pub(super) fn attribute(key: &str) -> Option<Value> {
    Some(match key {
        "med" | "local_pref" => integer(0, u32::MAX),
        "prepend" => integer(0, 32),
        "communities" | "large_communities" => array(text()),
        _ => return None,
    })
}

fn peer() -> Value {
    table(&["bgp.peer"], bgp::PEER_KEYS, &["name", "address", "asn"], |key| {
        Some(match key {
            "address" | "local_address" => text(),
            "asn" => asn(),
            "port" => port(),
            "passive" => flag(),
            other => return neighbour(other),
        })
    })
}

fn group() -> Value {
    table(&["bgp.group", "bgp.peer"], bgp::GROUP_KEYS, &["name", "prefixes", "asns"], |key| {
        Some(match key {
            "prefixes" => some(text()),
            "asns" => some(any_of([asn(), text()])),
            "limit" => integer(1, 4096),
            "linger" => duration(),
            other => return neighbour(other),
        })
    })
}

/// What routers and groups of them have in common.
fn neighbour(key: &str) -> Option<Value> {
    Some(match key {
        "name" | "next_hop_ipv4" | "next_hop_ipv6" | "password_file" => text(),
        "families" => families(),
        "extended_next_hop" | "link_local_next_hop" | "graceful_restart_notification" | "role_strict" => {
            flag()
        }
        "role" => words(&["customer", "provider", "peer", "rs", "rs-client"]),
        "multihop" => integer(1, 255),
        "ttl_security" => integer(1, 254),
        "tcp_ao" => tcp_ao(),
        "bfd" => any_of([flag(), bfd()]),
        "import" => array(rule(policy::IMPORT_KEYS)),
        "export" => array(rule(policy::EXPORT_KEYS)),
        "max_prefixes" | "max_prefixes_warn" => integer(1, 2_000_000),
        "max_prefixes_hold_off" => duration(),
        other => return attribute(other),
    })
}

fn rule(keys: &[&'static str]) -> Value {
    table(&["rule"], keys, &["action"], |key| {
        Some(match key {
            "action" => words(&["accept", "reject"]),
            "prefixes" => some(text()),
            "longest_path" => integer(0, 255),
            "next_hop" => any_of([words(&["peer"]), some(text())]),
            other => return attribute(other),
        })
    })
}

fn tcp_ao() -> Value {
    table(&["tcp_ao"], bgp::KEY_KEYS, &["key_id", "secret_file"], |key| {
        Some(match key {
            "key_id" => integer(0, 255),
            "algorithm" => words(&["hmac-sha-1-96", "aes-128-cmac-96"]),
            "secret_file" => text(),
            _ => return None,
        })
    })
}

fn bfd() -> Value {
    table(&["bfd"], bfd::KEYS, &[], |key| {
        Some(match key {
            "interval" => duration(),
            "multiplier" => integer(2, 50),
            "strict" => flag(),
            _ => return None,
        })
    })
}

fn bmp() -> Value {
    table(&["bgp.bmp"], bgp::BMP_KEYS, &["station"], |key| {
        Some(match key {
            "station" => text(),
            "statistics_interval" => duration(),
            "pre_policy" => flag(),
            _ => return None,
        })
    })
}
