//! `config`: where PyBal has a service's servers from, as a pool of lvsd's and the source that it names.

use super::section::Reader;
use super::written::{Part, array, key, quoted};
use std::collections::BTreeMap;

/// Below it conftool keeps its pools.
const CONFTOOL: &str = "/conftool/v1/pools";

/// Where etcd is asked when nothing is said.
const ETCD_PORT: u16 = 2379;

/// The sources that pools name, by what makes two the same.
#[derive(Debug, Default)]
pub(super) struct Sources {
    made: BTreeMap<Source, String>,
}

/// What makes a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// An etcd, by endpoint and by what precedes its keys.
    Etcd(String, String),
    /// A server of pool files, by the URL that precedes their names.
    Http(String),
    /// A cluster's API, by its URL.
    Kubernetes(String),
}

impl Sources {
    /// The line that says where a service's pool is; nothing when it cannot be said.
    pub(super) fn pool(&mut self, reader: &Reader<'_>) -> Option<String> {
        let url = reader.required("config")?.trim();
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let pool = match scheme {
            "file" => rest.starts_with('/').then(|| format!("pool_file = {}", quoted(rest))),
            "http" | "https" => self.http(url),
            "etcd" => self.etcd(reader, rest),
            "k8s" => self.kubernetes(reader, rest),
            _ => None,
        };
        if pool.is_none() {
            let found = crate::config::walk::shortened(url);
            reader.lost("config", format!("expected file:///PATH, http://…, etcd://HOST/KEY or k8s://HOST, found {found:?}; the section is left out"));
        }
        pool
    }

    fn http(&mut self, url: &str) -> Option<String> {
        let (_, rest) = url.split_once("://")?;
        let (base, name) = url.rsplit_once('/').filter(|(_, name)| rest.contains('/') && !name.is_empty())?;
        let source = self.name(Source::Http(base.to_owned()), "pools");
        Some(from(&source, &format!("path = {}", quoted(name))))
    }

    /// PyBal speaks TLS with etcd and verifies nobody; lvsd verifies.
    fn etcd(&mut self, reader: &Reader<'_>, rest: &str) -> Option<String> {
        let (authority, path) = rest.split_once('/')?;
        let path = format!("/{}", path.trim_matches('/'));
        let endpoint = format!("https://{}", with_port(authority, ETCD_PORT)?);
        let below = path.strip_prefix(CONFTOOL).and_then(|rest| rest.strip_prefix('/'));
        let (prefix, path) = match below {
            Some(below) => (CONFTOOL, below),
            None => path.rsplit_once('/').filter(|(folder, _)| !folder.is_empty())?,
        };
        if path.is_empty() {
            return None;
        }
        let before = self.made.len();
        let source = self.name(Source::Etcd(endpoint, prefix.to_owned()), "conftool");
        if self.made.len() > before {
            reader.note("config", format!("[source.{source}] verifies etcd's certificate, which PyBal does not; give it `ca_file` if the system does not know who signed it"));
        }
        Some(from(&source, &format!("path = {}", quoted(path))))
    }

    /// PyBal takes every node, by an address and a token; lvsd finds both in a kubeconfig.
    fn kubernetes(&mut self, reader: &Reader<'_>, rest: &str) -> Option<String> {
        let authority = rest.split('/').next()?;
        let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let api = format!("https://{}", with_port(host, 443)?);
        let before = self.made.len();
        let source = self.name(Source::Kubernetes(api.clone()), "kubernetes");
        if self.made.len() > before {
            let file = kubeconfig(&source);
            reader.lost(
                "config",
                format!("[source.{source}] reads address and token from {file}, which is to be written: server {api}, and the token that stands here"),
            );
        }
        Some(from(&source, "nodes = \"\""))
    }

    /// The name of a source, which is made when it is not there.
    fn name(&mut self, source: Source, wanted: &str) -> String {
        if let Some(known) = self.made.get(&source) {
            return known.clone();
        }
        let is_free = |name: &String| !self.made.values().any(|known| known == name);
        let numbered = (2..).map(|number| format!("{wanted}{number}"));
        let name = std::iter::once(wanted.to_owned()).chain(numbered).find(is_free).unwrap_or_default();
        self.made.insert(source, name.clone());
        name
    }

    /// The sources as they are written.
    pub(super) fn parts(&self) -> Vec<(String, Part)> {
        let part = |(source, name): (&Source, &String)| {
            let mut part = Part::table(&format!("source.{}", key(name)));
            match source {
                Source::Etcd(endpoint, prefix) => {
                    part.set("type", "\"etcd\"");
                    part.set("version", "2");
                    part.set("endpoints", &array([endpoint]));
                    part.set("prefix", &quoted(prefix));
                }
                Source::Http(base) => {
                    part.set("type", "\"http\"");
                    part.set("url", &quoted(base));
                }
                Source::Kubernetes(api) => {
                    part.set("type", "\"kubernetes\"");
                    part.comment(&format!("To be written: {api} with its token."));
                    part.set("kubeconfig", &quoted(&kubeconfig(name)));
                    part.set("cordon", "\"remove\" # as PyBal");
                }
            }
            (name.clone(), part)
        };
        self.made.iter().map(part).collect()
    }
}

/// Where a source's kubeconfig is to be.
fn kubeconfig(source: &str) -> String {
    format!("/etc/lvsd/{source}.kubeconfig")
}

fn from(source: &str, what: &str) -> String {
    format!("pool = {{ source = {}, {what} }}", quoted(source))
}

/// A host with a port, its own or this one.
fn with_port(authority: &str, port: u16) -> Option<String> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, last)| !last.ends_with(']'));
    let is_host = !authority.is_empty() && authority.chars().all(|c| c.is_ascii_graphic());
    is_host.then(|| if has_port { authority.to_owned() } else { format!("{authority}:{port}") })
}
