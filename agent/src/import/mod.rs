//! From PyBal's configuration to lvsd's.
//!
//! ```text
//! pybal.conf ─▶ ini       sections and options, as Python 2 reads them
//!            ─▶ section   typed options; what is said of each
//!            ─▶ service   sections that differ in their ip only are one service; pools, monitors
//!            ─▶ global    [lvsd], [pybal], [bgp]
//!            ─▶ whole     held against lvsd's own parser, part by part where something is refused
//! ```
//!
//! Pure: text in, text out. What comes out is a configuration that lvsd takes; a part that it would not take is a comment
//! in it, and said.

mod global;
mod ini;
mod monitors;
mod pools;
mod section;
mod service;
mod whole;
mod written;

use ini::Section;
use section::Findings;
use serde::Serialize;
use service::{Draft, Services};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use whole::Assembled;

/// The largest pybal.conf: some ten thousand services.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What pybal.conf does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which AS each router is in.
    pub peer_asns: PeerAsns,
    /// lvsd's BGP identifier; else `bgp-nexthop-ipv4`.
    pub router_id: Option<Ipv4Addr>,
}

/// Which AS each router is in. PyBal takes any.
#[derive(Clone, Debug, Default)]
pub struct PeerAsns {
    /// That of single routers.
    pub by_address: BTreeMap<IpAddr, u32>,
    /// That of all others.
    pub of_others: Option<u32>,
}

/// What came of a pybal.conf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The configuration; lvsd takes it.
    pub configuration: String,
    /// How many services are in it.
    pub services: usize,
    /// What was chosen where there was a choice, by line.
    pub chosen: Vec<Finding>,
    /// What could not be carried over, by line.
    pub lost: Vec<Finding>,
}

/// Something that a reader of the configuration has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The line of pybal.conf.
    pub line: usize,
    /// The option, after its section.
    pub option: String,
    /// What became of it, why, and what to do.
    pub what: String,
    /// Whether it could not be carried over.
    #[serde(skip)]
    pub(crate) is_lost: bool,
}

/// `12: text_80.ops: …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.line, self.option, self.what)
    }
}

/// Why a file is no configuration of PyBal's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Larger than [`MAX_BYTES`].
    #[error("larger than {MAX_BYTES} bytes, which no pybal.conf is")]
    TooLarge,
    /// Bytes that are no text.
    #[error("{line}: a byte that is no UTF-8")]
    NotText {
        /// The line.
        line: usize,
    },
    /// Lines that PyBal would not read either.
    #[error("{}", .0.join("\n"))]
    Lines(Vec<String>),
    /// Nothing in it, or not what PyBal needs.
    #[error("no section of a service in it: expected one with protocol, ip, port, scheduler and config")]
    Empty,
}

/// Makes lvsd's configuration of PyBal's. `name` is the file's, for people.
///
/// # Errors
/// When the file cannot be read as PyBal does. What can be read but not be carried over is in the outcome.
pub fn import(name: &Path, bytes: &[u8], options: &Options) -> Result<Imported, ImportError> {
    if bytes.len() > MAX_BYTES {
        return Err(ImportError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        ImportError::NotText { line }
    })?;
    let sections = ini::read(text).map_err(|mistakes| {
        ImportError::Lines(mistakes.into_iter().map(|m| format!("{}: {}", m.line, m.what)).collect())
    })?;
    if sections.iter().all(|section| section.name == global::NAME) {
        return Err(ImportError::Empty);
    }
    Ok(carried(name, &sections, options))
}

fn carried(name: &Path, sections: &[Section], options: &Options) -> Imported {
    let findings = Findings::default();
    let mut services = Services::new(&findings);
    let groups = service::grouped(sections);
    let drafts: Vec<Draft> = groups.iter().filter_map(|group| services.draft(group)).collect();
    let sources = services.sources.parts();
    let global = sections.iter().find(|section| section.name == global::NAME);
    let global =
        global.map(|section| global::read(section, &findings, (&drafts, options))).unwrap_or_default();
    if global.bgp.is_some() {
        say_mixed(&drafts, &findings);
    }
    let Assembled { configuration, services } =
        whole::assemble(&head(name), global, sources, &drafts, &findings);
    let (lost, chosen) = findings.into_sorted().into_iter().partition(|finding| finding.is_lost);
    Imported { configuration, services, chosen, lost }
}

/// A VIP is announced in PyBal when one service on it is.
fn say_mixed(drafts: &[Draft], findings: &Findings) {
    let announced: BTreeSet<IpAddr> = drafts
        .iter()
        .filter(|draft| draft.is_announced)
        .flat_map(|draft| draft.vips.iter().copied())
        .collect();
    for draft in drafts.iter().filter(|draft| !draft.is_announced) {
        if draft.vips.iter().any(|vip| announced.contains(vip)) {
            let (line, section) = &draft.origin;
            findings.add(Finding {
                line: *line,
                option: format!("{section}.bgp"),
                what: "another service announces the VIP; in lvsd each service on a VIP counts, this one too"
                    .into(),
                is_lost: false,
            });
        }
    }
}

/// What stands at the top.
fn head(name: &Path) -> String {
    let mut head = format!(
        "# lvsd.toml\n{}",
        written::comment(&format!("Made by `lvsctl import-pybal {}`.", name.display()))
    );
    for remark in [
        "Checks have PyBal's times, and one result makes a verdict, as with PyBal. lvsd's own (without interval, timeout, \
         fall and rise) are every 2 s, and three failures or two successes in a row.",
        "What lvsd does that PyBal does not: a change that takes out more than half of a pool at once is held back until \
         `lvsctl confirm` (max_change); servers behind a gateway are not pooled (require_on_link); servers that are out \
         stay in the kernel's table with weight 0, so that their connections end in order.",
    ] {
        head.push_str("#\n");
        head.push_str(&written::comment(remark));
    }
    head
}

#[cfg(test)]
mod tests;
