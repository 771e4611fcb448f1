//! Several HTTP requests in one check.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{HttpRequest, SpecError};

/// The most requests of one check: they share its timeout.
pub const MAX_URLS: usize = 16;

/// Which of the requests are sent by one probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Pick {
    /// One of them, another as chance has it each time; which one is decided by the probe's number and the requests,
    /// so that it can be foretold and is not the same for all checks.
    #[default]
    One,
    /// All of them, one after the other within the check's timeout, each on a connection of its own.
    All {
        /// How many may fail without failing the check.
        max_failures: u32,
    },
}

/// The parts of [`Urls`], not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlsParts {
    /// The requests.
    pub requests: Vec<HttpRequest>,
    /// Which of them a probe sends.
    #[serde(default)]
    pub pick: Pick,
}

/// Several requests to one target, of which a probe sends one or all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "UrlsParts", into = "UrlsParts")]
pub struct Urls(UrlsParts);

impl Urls {
    /// Checks the parts.
    ///
    /// # Errors
    /// [`SpecError::Urls`] when there is none or there are more than [`MAX_URLS`], or all may fail.
    pub fn new(parts: UrlsParts) -> Result<Self, SpecError> {
        let count = parts.requests.len();
        if !(1..=MAX_URLS).contains(&count) {
            return Err(SpecError::Urls { why: format!("expected 1 to {MAX_URLS} of them, found {count}") });
        }
        match parts.pick {
            Pick::All { max_failures } if max_failures as usize >= count => {
                let why =
                    format!("max_failures: expected fewer than the {count} there are, found {max_failures}");
                Err(SpecError::Urls { why })
            }
            Pick::All { .. } | Pick::One => Ok(Self(parts)),
        }
    }

    /// The parts, all of them valid.
    pub fn parts(&self) -> &UrlsParts {
        &self.0
    }

    /// Writes `one of 2: GET http://10.0.0.11:80/a, …`.
    pub(super) fn write(&self, target: SocketAddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UrlsParts { requests, pick } = &self.0;
        let count = requests.len();
        match pick {
            Pick::One => write!(f, "one of {count}: ")?,
            Pick::All { max_failures: 0 } => write!(f, "all of {count}: ")?,
            Pick::All { max_failures } => write!(f, "all but {max_failures} of {count}: ")?,
        }
        requests[0].write(target, f)?;
        f.write_str(if count > 1 { ", …" } else { "" })
    }

    /// `http` or `https`, as the first.
    pub(super) fn scheme(&self) -> &'static str {
        self.0.requests[0].scheme()
    }

    /// The one that the probe of this number sends when it sends only one.
    pub fn drawn(&self, turn: u64) -> &HttpRequest {
        let mut hasher = DefaultHasher::new();
        (turn, &self.0.requests).hash(&mut hasher);
        let requests = &self.0.requests;
        // At most MAX_URLS, so the remainder fits; `new` saw to it that there is one.
        &requests[(hasher.finish() % requests.len() as u64) as usize]
    }
}

impl TryFrom<UrlsParts> for Urls {
    type Error = SpecError;

    fn try_from(parts: UrlsParts) -> Result<Self, SpecError> {
        Self::new(parts)
    }
}

impl From<Urls> for UrlsParts {
    fn from(urls: Urls) -> Self {
        urls.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(paths: &[&str], pick: Pick) -> Result<Urls, SpecError> {
        let requests = paths.iter().map(|path| HttpRequest::get(*path).expect("a path")).collect();
        Urls::new(UrlsParts { requests, pick })
    }

    #[test]
    fn every_url_is_drawn_about_as_often_as_the_others_and_the_same_for_the_same_turn() {
        let urls = urls(&["/a", "/b", "/c"], Pick::One).expect("urls");
        let drawn = |path: &str| (0..3000).filter(|turn| urls.drawn(*turn).parts().path == path).count();
        for path in ["/a", "/b", "/c"] {
            assert!((800..1200).contains(&drawn(path)), "{path}: {}", drawn(path));
        }
        assert_eq!(urls.drawn(7), urls.clone().drawn(7));
    }

    #[test]
    fn no_url_too_many_or_as_many_failures_as_urls_are_refused() {
        assert!(urls(&[], Pick::One).is_err());
        assert!(urls(&["/"; MAX_URLS], Pick::One).is_ok());
        assert!(urls(&["/"; MAX_URLS + 1], Pick::One).is_err());
        assert!(urls(&["/a", "/b"], Pick::All { max_failures: 1 }).is_ok());
        let refused = urls(&["/a", "/b"], Pick::All { max_failures: 2 }).expect_err("refused");
        assert!(refused.to_string().contains("max_failures"), "{refused}");
    }
}
