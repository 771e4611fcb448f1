//! From the text of all files to one configuration.

use super::compact::Shared;
use super::document::Document;
use super::model::{Config, Daemon};
use super::pieces::split;
use super::service::Listeners;
use super::twice::Seen;
use super::walk::{Files, Node, ReadFile, Run, root};
use super::{
    ConfigError, attributes, bgp, canary, daemon, excerpt, fleet, kernel, nodes, probes, pybal, remote,
    service, source, vip,
};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use toml::de::DeValue;

pub(super) const KEYS: &[&str] =
    &["lvsd", "ipvs", "bgp", "nodes", "probes", "pybal", "remote", "source", "fleet", "service", "vip"];

/// Parses and validates the files' text as one configuration. Each file is given with the name that errors and
/// relative paths are to have; the first is the main one, which only the order of errors shows. Files that settings name
/// are not read: a configuration that names some is refused.
///
/// # Errors
/// Everything that is wrong, in the order of the files and within each of its lines.
pub fn parse(files: &[(PathBuf, String)]) -> Result<Config, Vec<ConfigError>> {
    parse_with(files, &|_| Err(io::Error::new(io::ErrorKind::Unsupported, "no files are read here")))
}

/// The same; the files that settings name (certificates, keys) are read by `read`.
///
/// # Errors
/// As [`parse`], with those of the files that are named.
pub fn parse_with(files: &[(PathBuf, String)], read: ReadFile<'_>) -> Result<Config, Vec<ConfigError>> {
    parse_from(files, Files { read, credentials: None })
}

/// The same, with systemd's credentials.
///
/// # Errors
/// As [`parse_with`].
pub fn parse_from(files: &[(PathBuf, String)], named: Files<'_>) -> Result<Config, Vec<ConfigError>> {
    // What is wrong is best told by who sees all of it.
    in_pieces(files, named).map_or_else(|| whole(files, named), Ok)
}

/// Parses each service by itself; `None` when anything is wrong.
pub(super) fn in_pieces(files: &[(PathBuf, String)], named: Files<'_>) -> Option<Config> {
    let run = Run::new(named);
    let pieces: Vec<_> =
        files.iter().map(|(name, text)| Some((name, split(text)?))).collect::<Option<_>>()?;
    let documents: Vec<_> = pieces.iter().map(|(name, pieces)| Document::new(name, &pieces.rest)).collect();
    let tables = tables(&documents, &run);
    let (mut reader, mut across) = (Reader::default(), Across::default());
    for (document, table) in &tables {
        // A service that is not in a piece of its own could be in one as well.
        if table.get("service").is_some() {
            return None;
        }
        across.file(&mut reader, &root(document, table, &run));
    }
    for (name, piece) in
        pieces.iter().flat_map(|(name, pieces)| pieces.services.iter().map(move |p| (name, p)))
    {
        let document = Document::part(name, piece.text, piece.lines_before);
        let table = DeValue::Table(document.parse(&mut run.errors())?);
        let root = root(&document, &table, &run);
        let entries = root.section(&["service"])?.get("service")?.entries()?;
        let [(name, node)] = &entries[..] else { return None };
        if *name != piece.name {
            return None;
        }
        reader.service(name, node);
        if !run.errors().is_empty() {
            return None;
        }
    }
    across.check(&reader.config, &run);
    run.into_errors().is_empty().then_some(reader.config)
}

/// Parses each file as a whole.
pub(super) fn whole(files: &[(PathBuf, String)], named: Files<'_>) -> Result<Config, Vec<ConfigError>> {
    let run = Run::new(named);
    let documents: Vec<_> = files.iter().map(|(name, text)| Document::new(name, text)).collect();
    let tables = tables(&documents, &run);
    let (mut reader, mut across) = (Reader::default(), Across::default());
    for (document, table) in &tables {
        across.file(&mut reader, &root(document, table, &run));
    }
    across.check(&reader.config, &run);
    let mut errors = run.into_errors();
    if errors.is_empty() {
        return Ok(reader.config);
    }
    errors.sort_by_cached_key(|error| {
        let file = files.iter().position(|(name, _)| *name == error.place.file);
        (file, error.place.line, error.place.column)
    });
    excerpt::attach(&mut errors, &documents);
    Err(errors)
}

/// What of each file is held against the services of all files.
#[derive(Default)]
struct Across<'a> {
    vips: Vec<(IpAddr, Node<'a>)>,
    nodes: Vec<Node<'a>>,
}

impl<'a> Across<'a> {
    /// Has a file read.
    fn file(&mut self, reader: &mut Reader, root: &Node<'a>) {
        self.nodes.extend(root.peek("nodes"));
        self.vips.extend(reader.file(root));
    }

    /// Holds everything that was read against each other.
    fn check(self, config: &Config, run: &Run<'_>) {
        vip::check_strangers(config, &self.vips);
        probes::check_missing(config, run);
        attributes::check_contradictions(config, run);
        canary::check_marks(config, run);
        source::check_strangers(config, run);
        fleet::check_source(config, run);
        pybal::check_names(config, run);
        self.nodes.iter().for_each(|node| nodes::check_speaker(config, node));
    }
}

/// The documents that are TOML, with their tables.
fn tables<'d, 't>(documents: &'d [Document<'t>], run: &Run<'_>) -> Vec<(&'d Document<'t>, DeValue<'t>)> {
    let table = |document: &'d Document<'t>| {
        let table = document.parse(&mut run.errors())?;
        Some((document, DeValue::Table(table)))
    };
    documents.iter().filter_map(table).collect()
}

/// What was read so far, and what may not come again.
#[derive(Debug)]
struct Reader {
    config: Config,
    tables: Seen<&'static str>,
    services: Seen<String>,
    sources: Seen<String>,
    listeners: Listeners,
    vips: Seen<IpAddr>,
    shared: Shared,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            config: Config {
                daemon: Daemon::default(),
                ipvs: Default::default(),
                bgp: None,
                probes: None,
                pybal: Default::default(),
                remote: None,
                first_mark: canary::default_first_mark(),
                nodes: None,
                fleet: None,
                services: Default::default(),
                sources: Default::default(),
                vips: Default::default(),
            },
            tables: Seen::default(),
            services: Seen::default(),
            sources: Seen::default(),
            listeners: Seen::default(),
            vips: Seen::default(),
            shared: Shared::default(),
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
        if let Some(node) = section.get("ipvs").filter(|node| self.alone(node, "ipvs")) {
            (self.config.ipvs, self.config.first_mark) = kernel::read(&node);
        }
        if let Some(node) = section.get("bgp").filter(|node| self.alone(node, "bgp")) {
            self.config.bgp = bgp::read(&node);
        }
        if let Some(node) = section.get("nodes").filter(|node| self.alone(node, "nodes")) {
            self.config.nodes = nodes::read(&node);
        }
        if let Some(node) = section.get("probes").filter(|node| self.alone(node, "probes")) {
            self.config.probes = probes::read(&node);
        }
        if let Some(node) = section.get("pybal").filter(|node| self.alone(node, "pybal")) {
            self.config.pybal = pybal::read(&node);
        }
        if let Some(node) = section.get("remote").filter(|node| self.alone(node, "remote")) {
            self.config.remote = remote::read(&node);
        }
        if let Some(node) = section.get("fleet").filter(|node| self.alone(node, "fleet")) {
            self.config.fleet = fleet::read(&node);
        }
        for (name, node) in section.get("source").and_then(|node| node.entries()).unwrap_or_default() {
            if self.sources.first_key(&node, &name.to_owned(), || format!("source {name}")) {
                self.config.sources.extend(source::read(&node, name));
            }
        }
        for (name, node) in section.get("service").and_then(|node| node.entries()).unwrap_or_default() {
            self.service(name, &node);
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

    fn service(&mut self, name: &str, node: &Node<'_>) {
        if self.services.first_key(node, &name.to_owned(), || format!("service {name}")) {
            let service = service::read(node, name, &mut self.listeners).map(|s| self.shared.service(s));
            self.config.services.extend(service.map(|service| (name.to_owned(), Arc::new(service))));
        }
    }

    fn alone(&mut self, node: &Node<'_>, table: &'static str) -> bool {
        self.tables.first_key(node, &table, || format!("[{table}]"))
    }
}
