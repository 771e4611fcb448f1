//! `[source.NAME]`.

use super::super::source::kubernetes::{KEYS as KUBERNETES_KEYS, POOL_KEYS};
use super::super::source::{ETCD_KEYS, HTTP_KEYS};
use super::{array, by_type, duration, flag, integer, some, table, text, words};
use serde_json::{Value, json};

pub(super) fn source() -> Value {
    by_type(vec![etcd(), http(), kubernetes()])
}

fn etcd() -> Value {
    table(&["source.etcd", "source.files"], ETCD_KEYS, &["type", "endpoints"], |key| {
        Some(match key {
            "type" => json!({"const": "etcd"}),
            "version" => integer(2, 3),
            "endpoints" => some(text()),
            "timeout" => duration(),
            "prefix" | "server_name" | "username" | "password_file" => text(),
            other => return files(other),
        })
    })
}

fn http() -> Value {
    table(&["source.http", "source.files"], HTTP_KEYS, &["type", "url"], |key| {
        Some(match key {
            "type" => json!({"const": "http"}),
            "url" => text(),
            "interval" | "timeout" => duration(),
            "max_bytes" => integer(1, 64 * 1024 * 1024),
            other => return files(other),
        })
    })
}

fn files(key: &str) -> Option<Value> {
    matches!(key, "ca_file" | "certificate_file" | "key_file").then(text)
}

fn kubernetes() -> Value {
    table(&["source.kubernetes", "source.services"], KUBERNETES_KEYS, &["type"], |key| {
        Some(match key {
            "type" => json!({"const": "kubernetes"}),
            "kubeconfig" | "context" | "class" | "lease" => text(),
            "namespaces" => some(text()),
            "cordon" => words(&["ignore", "drain", "remove"]),
            "connect_timeout" | "watch_timeout" | "max_backoff" => duration(),
            "external_ips" | "node_ports" | "vips_on_nodes" => flag(),
            "address_pool" => array(address_pool()),
            _ => return None,
        })
    })
}

fn address_pool() -> Value {
    table(&["source.address_pool"], POOL_KEYS, &["name", "addresses"], |key| {
        Some(match key {
            "name" => text(),
            "addresses" | "namespaces" => some(text()),
            "auto" => flag(),
            _ => return None,
        })
    })
}
