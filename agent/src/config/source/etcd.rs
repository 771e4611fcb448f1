//! `[source.NAME]` with `type = "etcd"`: where conftool's pools are, and how they may be read.

use super::{TlsFiles, given, tls};
use crate::config::Problem;
use crate::config::value::duration;
use crate::config::walk::{Node, Section};
use health::{Tls, TlsParts};
use hyper::Uri;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(in crate::config) const KEYS: &[&str] = &[
    "type",
    "version",
    "endpoints",
    "prefix",
    "ca_file",
    "certificate_file",
    "key_file",
    "server_name",
    "username",
    "password_file",
    "timeout",
];

const VERSION: &str = "2 or 3, the version of etcd's API";
const ENDPOINTS: &str = "an array of one or more etcd servers, such as [\"https://etcd1.example.org:2379\"]";
const ENDPOINT: &str =
    "an etcd server: http:// or https://, a host and a port, such as \"https://etcd1.example.org:2379\"";
const PREFIX: &str = "the directory of the pools, such as \"/conftool/v1/pools\"";
const NAME: &str = "the DNS name or IP address that the servers' certificates are for";
const USER: &str = "the name of a user of etcd";
const PASSWORD: &str = "the path of a file with the password, or the name of one of systemd's credentials";

/// Where conftool keeps pools when nobody says otherwise.
const DEFAULT_PREFIX: &str = "/conftool/v1/pools";

/// An etcd cluster that is well answers within milliseconds, and within a second or two while it elects a leader.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Less does not outlast an election; more keeps a balancer with a dead server for minutes.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(60);

/// A cluster has up to nine members.
const MAX_ENDPOINTS: usize = 32;

/// The version of etcd's API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EtcdVersion {
    /// HTTP and JSON, what conftool 3 and before write.
    V2,
    /// gRPC.
    #[default]
    V3,
}

/// An etcd with pools in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdSettings {
    /// The API that is spoken.
    pub version: EtcdVersion,
    /// The servers, all of one scheme; asked in this order, the next when one does not answer.
    pub endpoints: Vec<Endpoint>,
    /// The directory of the pools, with a slash at its beginning and none at its end.
    pub prefix: Arc<str>,
    /// What `https` is secured with.
    pub tls: TlsFiles,
    /// What the servers' certificates are for, when not for the endpoints' hosts.
    pub server_name: Option<String>,
    /// Who reads.
    pub login: Option<Login>,
    /// How long a connection, a request, or a sign of life may take.
    pub timeout: Duration,
}

/// An etcd server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Whether it is https.
    pub is_secured: bool,
    /// The host: a name, or an address without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

/// As it is configured: `https://etcd1.example.org:2379`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secured { "https" } else { "http" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// A user of etcd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The name.
    pub username: String,
    /// The file with the password, read again for each connection.
    pub password_file: PathBuf,
}

pub(super) fn read(node: &Node<'_>) -> Option<EtcdSettings> {
    let section = node.section(KEYS)?;
    let version = given(&section, "version", EtcdVersion::default(), version);
    let endpoints = section.required("endpoints", ENDPOINTS).and_then(|node| endpoints(&node));
    let prefix = given(&section, "prefix", DEFAULT_PREFIX.into(), prefix);
    let timeout = given(&section, "timeout", DEFAULT_TIMEOUT, |node| duration(node, TIMEOUTS));
    let tls = tls::read(&section);
    let server_name = given(&section, "server_name", None, |node| server_name(node).map(Some));
    let login = login(&section);
    let endpoints = endpoints?;
    if !endpoints[0].is_secured {
        check_secured(&section);
    }
    Some(EtcdSettings {
        version: version?,
        endpoints,
        prefix: prefix?,
        tls: tls?,
        server_name: server_name?,
        login: login?,
        timeout: timeout?,
    })
}

fn version(node: &Node<'_>) -> Option<EtcdVersion> {
    match node.integer(VERSION, 2..=3)? {
        2 => Some(EtcdVersion::V2),
        _ => Some(EtcdVersion::V3),
    }
}

fn endpoints(node: &Node<'_>) -> Option<Vec<Endpoint>> {
    let items = node.array(ENDPOINTS)?;
    if items.is_empty() || items.len() > MAX_ENDPOINTS {
        node.unexpected(ENDPOINTS);
        return None;
    }
    let found: Vec<_> = items.iter().filter_map(|item| item.parsed(ENDPOINT, endpoint)).collect();
    if found.len() < items.len() {
        return None;
    }
    if found.iter().any(|one| one.is_secured != found[0].is_secured) {
        let reason = "some of them are http and some https: a cluster is secured or it is not";
        node.report(Problem::Conflict(reason.to_owned()));
        return None;
    }
    Some(found)
}

fn endpoint(text: &str) -> Option<Endpoint> {
    let uri: Uri = text.parse().ok()?;
    let is_secured = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri.authority()?;
    let has_more = !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains(['@', '#']);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().filter(|port| *port > 0)?;
    (!has_more && !host.is_empty()).then(|| Endpoint { is_secured, host: host.into(), port })
}

/// A directory of etcd: names between slashes.
fn prefix(node: &Node<'_>) -> Option<Arc<str>> {
    node.parsed(PREFIX, |text| is_directory(text).then(|| text.into()))
}

/// Whether a text is names after slashes, none of which means anything else in a path.
pub(in crate::config) fn is_directory(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '@' | '+');
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && name.chars().all(plain);
    text.len() <= 1024 && text.strip_prefix('/').is_some_and(|text| text.split('/').all(is_name))
}

/// Reports what secures connections where they are not secured.
fn check_secured(section: &Section<'_>) {
    let keys = ["ca_file", "certificate_file", "key_file", "server_name"];
    for node in keys.iter().filter_map(|key| section.get(key)) {
        node.report_key(Problem::Conflict("only https is secured, and the endpoints are http".to_owned()));
    }
}

fn server_name(node: &Node<'_>) -> Option<String> {
    node.parsed(NAME, |text| {
        let parts = TlsParts { server_name: Some(text.to_owned()), ..TlsParts::default() };
        Tls::new(parts).is_ok().then(|| text.to_owned())
    })
}

/// The user, if there is one; a name without a password or the other way round is an error.
fn login(section: &Section<'_>) -> Option<Option<Login>> {
    let (user, password) = match (section.get("username"), section.get("password_file")) {
        (None, None) => return Some(None),
        (Some(user), Some(password)) => (user, password),
        (Some(alone), None) => {
            alone.report_key(Problem::Conflict("a user is of no use without its password_file".into()));
            return None;
        }
        (None, Some(alone)) => {
            alone.report_key(Problem::Conflict("a password is of no use without its username".into()));
            return None;
        }
    };
    let is_name = |text: &str| (1..=256).contains(&text.len()) && !text.contains([':', '\n', '\r', '\0']);
    let username = user.parsed(USER, |text| is_name(text).then(|| text.to_owned()));
    let password_file = password.credential(PASSWORD)?;
    password.content_of(&password_file, password_of)?;
    Some(Some(Login { username: username?, password_file }))
}

impl Login {
    /// The password that the file has now.
    ///
    /// # Errors
    /// What is wrong with it, with its path.
    pub fn password(&self) -> Result<String, String> {
        let said = |error: &dyn fmt::Display| format!("{}: {error}", self.password_file.display());
        let bytes = read_start(&self.password_file).map_err(|error| said(&error))?;
        password_of(&bytes).map_err(|expected| said(&expected))
    }
}

/// As much of a file as any password takes, and more.
fn read_start(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(4096).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The password in a file's content: its first line, which is not empty.
fn password_of(bytes: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a password is text in UTF-8")?;
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    let is_fit = (1..=1024).contains(&line.len()) && !line.contains(['\n', '\0']);
    is_fit.then(|| line.to_owned()).ok_or("expected one line with the password")
}
