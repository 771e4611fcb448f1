//! From the text of all files to one configuration.

use super::document::Document;
use super::model::{Config, Daemon};
use super::service::Listeners;
use super::twice::Seen;
use super::walk::{Errors, Node, root};
use super::{ConfigError, bgp, daemon, service, vip};
use std::net::IpAddr;
use std::path::PathBuf;
use toml::de::DeValue;

const KEYS: &[&str] = &["lvsd", "bgp", "service", "vip"];

/// Parses and validates the files' text as one configuration. Each file is given with the name that errors and
/// relative paths are to have; the first is the main one, which only the order of errors shows.
///
/// # Errors
/// Everything that is wrong, in the order of the files and within each of its lines.
pub fn parse(files: &[(PathBuf, String)]) -> Result<Config, Vec<ConfigError>> {
    let errors = Errors::default();
    let documents: Vec<_> = files.iter().map(|(name, text)| Document::new(name, text)).collect();
    let tables: Vec<_> = documents
        .iter()
        .filter_map(|document| {
            let table = document.parse(&mut errors.borrow_mut())?;
            Some((document, DeValue::Table(table)))
        })
        .collect();
    let mut reader = Reader::default();
    let mut vips = Vec::new();
    for (document, table) in &tables {
        vips.extend(reader.file(&root(document, table, &errors)));
    }
    vip::check_strangers(&reader.config, &vips);
    drop(vips);
    let mut errors = errors.into_inner();
    if errors.is_empty() {
        return Ok(reader.config);
    }
    errors.sort_by_cached_key(|error| {
        let file = files.iter().position(|(name, _)| *name == error.place.file);
        (file, error.place.line, error.place.column)
    });
    Err(errors)
}

/// What was read so far, and what may not come again.
#[derive(Debug)]
struct Reader {
    config: Config,
    tables: Seen<&'static str>,
    services: Seen<String>,
    listeners: Listeners,
    vips: Seen<IpAddr>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            config: Config {
                daemon: Daemon::default(),
                bgp: None,
                services: Default::default(),
                vips: Default::default(),
            },
            tables: Seen::default(),
            services: Seen::default(),
            listeners: Seen::default(),
            vips: Seen::default(),
        }
    }
}

impl Reader {
    /// Reads a file; gives the tables of VIPs in it, to be held against the services of all files.
    fn file<'a>(&mut self, root: &Node<'a>) -> Vec<(IpAddr, Node<'a>)> {
        let Some(section) = root.section(KEYS) else {
            return Vec::new();
        };
        if let Some(node) = section.get("lvsd").filter(|node| self.alone(node, "lvsd")) {
            self.config.daemon = daemon::read(&node);
        }
        if let Some(node) = section.get("bgp").filter(|node| self.alone(node, "bgp")) {
            self.config.bgp = bgp::read(&node);
        }
        for (name, node) in section.get("service").and_then(|node| node.entries()).unwrap_or_default() {
            if self.services.first_key(&node, &name.to_owned(), || format!("service {name}")) {
                let service = service::read(&node, name, &mut self.listeners);
                self.config.services.extend(service.map(|service| (name.to_owned(), service)));
            }
        }
        let mut vips = Vec::new();
        for (name, node) in section.get("vip").and_then(|node| node.entries()).unwrap_or_default() {
            let Some((address, vip)) = vip::read(&node, name) else { continue };
            if self.vips.first_key(&node, &address, || format!("VIP {address}")) {
                self.config.vips.insert(address, vip);
                vips.push((address, node));
            }
        }
        vips
    }

    fn alone(&mut self, node: &Node<'_>, table: &'static str) -> bool {
        self.tables.first_key(node, &table, || format!("[{table}]"))
    }
}
