//! The body of an answer: read in pieces, up to a bound, and held against what is expected of it.

use ring::digest::{Context, SHA256};

use crate::failure::{Failure, HttpFailure};
use crate::spec::{Digest, HttpParts};

/// What is still to be found out about a body. It keeps no more of it than its expectations need.
pub(super) struct Judge<'a> {
    parts: &'a HttpParts,
    read: u64,
    /// None when nothing is looked for or when it has been found.
    search: Option<Search<'a>>,
    kept: Vec<u8>,
    digest: Option<Context>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(parts: &'a HttpParts) -> Self {
        Self {
            parts,
            read: 0,
            search: parts.body_contains.as_deref().map(Search::new),
            kept: Vec::new(),
            digest: parts.body_sha256.map(|_| Context::new(&SHA256)),
        }
    }

    /// Takes in the next piece. True when no more need be read.
    pub(super) fn takes(&mut self, piece: &[u8]) -> Result<bool, Failure> {
        let max = self.parts.max_body;
        let room = usize::try_from(max - self.read).unwrap_or(usize::MAX).min(piece.len());
        if room < piece.len() && self.digest.is_some() {
            return Err(HttpFailure::TooLarge { limit: max }.into());
        }
        let piece = &piece[..room];
        self.read += room as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(piece);
        }
        if self.parts.body_matches.is_some() {
            self.kept.extend_from_slice(piece);
        }
        if self.search.take_if(|search| search.finds_in(piece)).is_some()
            && self.parts.body_matches.is_none()
            && self.digest.is_none()
        {
            return Ok(true);
        }
        // A digest reads on to see whether the body ends there.
        Ok(self.read == max && self.digest.is_none())
    }

    /// Judges what has been read.
    pub(super) fn verdict(self) -> Result<(), Failure> {
        let Self { parts, read, search, kept, digest } = self;
        if let Some(search) = search {
            return Err(Failure::Body { wanted: String::from_utf8_lossy(search.wanted).into_owned(), read });
        }
        match &parts.body_matches {
            Some(regex) if !regex.is_match(&kept) => {
                return Err(HttpFailure::Mismatch { regex: regex.as_str().to_owned(), read }.into());
            }
            Some(_) | None => {}
        }
        match (digest.map(Digest::of_pieces), parts.body_sha256) {
            (Some(found), Some(expected)) if found != expected => {
                Err(HttpFailure::Digest { found, expected }.into())
            }
            _ => Ok(()),
        }
    }
}

/// A search through a body that comes in pieces; it keeps no more than could be the beginning of a match.
struct Search<'a> {
    wanted: &'a [u8],
    kept: Vec<u8>,
}

impl<'a> Search<'a> {
    /// `wanted` is not empty: the specification has checked it.
    fn new(wanted: &'a str) -> Self {
        Self { wanted: wanted.as_bytes(), kept: Vec::new() }
    }

    fn finds_in(&mut self, piece: &[u8]) -> bool {
        self.kept.extend_from_slice(piece);
        let found = self.kept.windows(self.wanted.len()).any(|window| window == self.wanted);
        let beginning = self.wanted.len() - 1;
        self.kept.drain(..self.kept.len().saturating_sub(beginning));
        found
    }
}
