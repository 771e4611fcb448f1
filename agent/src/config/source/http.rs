//! `[source.NAME]` with `type = "http"`: pool files on a web server.

use super::{TlsFiles, given, tls};
use crate::config::Problem;
use crate::config::value::duration;
use crate::config::walk::{Node, Section};
use hyper::Uri;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub(in crate::config) const KEYS: &[&str] =
    &["type", "url", "interval", "timeout", "max_bytes", "ca_file", "certificate_file", "key_file"];

const URL: &str = "the URL that pools' paths are below, such as \"https://config-master.example.org/pybal\"";
const MAX_BYTES: &str = "a number of bytes 1-67108864";

/// Who asks more often wants a source that tells by itself.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
const MOST_INTERVAL: Duration = Duration::from_secs(3600);

/// What an answer may take.
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
const MOST_TIMEOUT: Duration = Duration::from_secs(60);

/// Pool files on a web server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSettings {
    /// What pools' paths are below: `http` or `https`, without a slash at its end, a query or a user.
    pub url: String,
    /// How often each is asked for.
    pub interval: Duration,
    /// How long an answer may take, whole.
    pub timeout: Duration,
    /// Answers that are longer are refused.
    pub max_bytes: u32,
    /// What `https` is secured with.
    pub tls: TlsFiles,
}

pub(super) fn read(node: &Node<'_>) -> Option<HttpSettings> {
    let section = node.section(KEYS)?;
    let url = section.required("url", URL).and_then(|node| url(&node));
    let interval = given(&section, "interval", Duration::from_secs(10), |node| {
        duration(node, LEAST_INTERVAL..=MOST_INTERVAL)
    });
    let timeout = given(&section, "timeout", Duration::from_secs(5), |node| {
        duration(node, LEAST_TIMEOUT..=MOST_TIMEOUT)
    });
    let most = u32::try_from(crate::pool_file::MAX_BYTES).unwrap_or(u32::MAX);
    let max_bytes = given(&section, "max_bytes", most, |node| node.integer(MAX_BYTES, 1..=64 * 1024 * 1024));
    let tls = tls::read(&section);
    let (url, tls) = (url?, tls?);
    check_secured(&section, &url);
    Some(HttpSettings { url, interval: interval?, timeout: timeout?, max_bytes: max_bytes?, tls })
}

/// Reports files for TLS where none is spoken.
fn check_secured(section: &Section<'_>, url: &str) {
    if url.starts_with("https://") {
        return;
    }
    for node in ["ca_file", "certificate_file", "key_file"].iter().filter_map(|key| section.get(key)) {
        node.report_key(Problem::Conflict("only https is secured, and the url is http".to_owned()));
    }
}

fn url(node: &Node<'_>) -> Option<String> {
    node.parsed(URL, |text| {
        let uri: Uri = text.parse().ok()?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_user = uri.authority().is_none_or(|authority| authority.as_str().contains('@'));
        (is_web && !has_user && uri.query().is_none() && !text.contains('#'))
            .then(|| text.trim_end_matches('/').to_owned())
    })
}
