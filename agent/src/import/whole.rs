//! The parts put together, so that lvsd takes the whole.

use super::Finding;
use super::global::Global;
use super::section::Findings;
use super::service::Draft;
use super::written::{Part, comment, commented_out};
use crate::config::{self, ConfigError};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A configuration that lvsd takes.
pub(super) struct Assembled {
    /// Its text.
    pub(super) configuration: String,
    /// How many services are in it.
    pub(super) services: usize,
}

/// A part and whom to name when it is refused.
struct Piece<'a> {
    part: &'a Part,
    line: usize,
    option: String,
    is_service: bool,
}

/// Puts the parts together. One that lvsd would not take is written as a comment and said.
pub(super) fn assemble(
    head: &str,
    global: Global,
    sources: Vec<(String, Part)>,
    drafts: &[Draft],
    findings: &Findings,
) -> Assembled {
    let piece = |part, option: &str| Piece { part, line: 1, option: option.into(), is_service: false };
    let mut pieces: Vec<Piece<'_>> =
        global.listeners.iter().map(|part| piece(part, "global.instrumentation")).collect();
    pieces.extend(sources.iter().map(|(name, part)| piece(part, &format!("source {name}"))));
    pieces.extend(drafts.iter().map(|draft| Piece {
        part: &draft.part,
        line: draft.origin.0,
        option: draft.origin.1.clone(),
        is_service: true,
    }));
    // Last, as it concerns the services' VIPs.
    pieces.extend(global.bgp.iter().filter(|bgp| bgp.is_whole).map(|bgp| piece(&bgp.part, "global.bgp")));
    let (taken, refused) = sieved(head, pieces, findings);
    let services = taken.iter().filter(|piece| piece.is_service).count();
    let mut text = joined(head, &taken);
    for bgp in global.bgp.iter().filter(|bgp| !bgp.is_whole) {
        text +=
            &format!("\n{}{}", comment("Complete it and take the # away:"), commented_out(bgp.part.text()));
    }
    for (piece, why) in &refused {
        text += &format!("\n{}{}", comment(&format!("Refused: {why}")), commented_out(piece.part.text()));
    }
    Assembled { configuration: text, services }
}

/// What lvsd takes, and what it does not.
type Sieved<'a> = (Vec<Piece<'a>>, Vec<(Piece<'a>, String)>);

/// Takes out what lvsd says something of, until it says nothing. What refers to a part that went goes after it.
fn sieved<'a>(head: &str, mut pieces: Vec<Piece<'a>>, findings: &Findings) -> Sieved<'a> {
    let mut refused = Vec::new();
    while let Err(errors) = parsed(&joined(head, &pieces)) {
        let mut wrong: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for error in &errors {
            wrong.entry(piece_at(head, &pieces, error.place.line)).or_default().push(words(error));
        }
        for (index, why) in wrong.into_iter().rev() {
            if index >= pieces.len() {
                return (pieces, refused);
            }
            let piece = pieces.remove(index);
            let why = why.join("; ");
            let what = format!("lvsd would refuse it, so it is written as a comment: {why}");
            findings.add(Finding { line: piece.line, option: piece.option.clone(), what, is_lost: true });
            refused.push((piece, why));
        }
    }
    (pieces, refused)
}

/// The piece that a line of the whole is in; the last for a line that is in none.
fn piece_at(head: &str, pieces: &[Piece<'_>], line: u32) -> usize {
    let mut end = head.lines().count();
    let is_in = |piece: &Piece<'_>| {
        end += 1 + piece.part.text().lines().count();
        usize::try_from(line).is_ok_and(|line| line <= end)
    };
    pieces.iter().position(is_in).unwrap_or(pieces.len().saturating_sub(1))
}

fn words(error: &ConfigError) -> String {
    match error.key.is_empty() {
        true => error.problem.to_string(),
        false => format!("{}: {}", error.key, error.problem),
    }
}

fn joined(head: &str, pieces: &[Piece<'_>]) -> String {
    let parts = pieces.iter().map(|piece| format!("\n{}", piece.part.text()));
    head.to_owned() + &parts.collect::<String>()
}

fn parsed(text: &str) -> Result<config::Config, Vec<ConfigError>> {
    config::parse(&[(PathBuf::from("lvsd.toml"), text.to_owned())])
}
