//! `[remote]`: the control interface over TLS, for whom its clients' certificates name.

use super::value::port_address;
use super::walk::{Node, Section};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) const KEYS: &[&str] = &["listen", "certificate_file", "key_file", "ca_file", "read", "write"];

const LISTEN: &str = "an address with a port, such as \"[::]:7391\"";
const CERTIFICATE: &str =
    "the path of a file with this balancer's certificate in PEM, and those that vouch for it";
const KEY: &str = "the path of a file with the certificate's private key in PEM, or the name of one of systemd's credentials";
const CA: &str = "the path of a file with the certificates in PEM that clients' certificates must be from";
const NAMES: &str = "an array of names in clients' certificates, or [\"*\"] for all";
const NAME: &str = "a name in a client's certificate of 1 to 255 characters, or \"*\" for all";

/// The longest name, in bytes: that of a host, RFC 1035 §2.3.4.
const LONGEST: usize = 255;

/// The control interface over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Where clients are listened for.
    pub listen: SocketAddr,
    /// This balancer's certificate and its key, in PEM. All files are read anew for each connection.
    pub identity: (PathBuf, PathBuf),
    /// Whom clients' certificates must be from, in PEM.
    pub ca_file: PathBuf,
    /// Who may look.
    pub read: Names,
    /// Who may look and change.
    pub write: Names,
}

/// Names in clients' certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names(pub BTreeSet<Arc<str>>);

/// Stands for every name.
const ALL: &str = "*";

impl Names {
    /// Every name.
    pub fn all() -> Self {
        Self(BTreeSet::from([Arc::from(ALL)]))
    }

    /// The first of a certificate's names that is among these.
    pub fn first_of<'a>(&self, certified: &'a [String]) -> Option<&'a String> {
        certified.iter().find(|name| self.0.contains(name.as_str()) || self.0.contains(ALL))
    }
}

/// Reads the table; `None` when something is missing or wrong, which is then reported.
pub(super) fn read(node: &Node<'_>) -> Option<Remote> {
    let section = node.section(KEYS)?;
    let listen = section.required("listen", LISTEN).and_then(|node| port_address(&node, LISTEN));
    let certificate =
        section.required("certificate_file", CERTIFICATE).and_then(|node| node.path(CERTIFICATE));
    let key = section.required("key_file", KEY).and_then(|node| node.credential(KEY));
    let ca_file = section.required("ca_file", CA).and_then(|node| node.path(CA));
    let (read, write) = (names(&section, "read"), names(&section, "write"));
    Some(Remote {
        listen: listen?,
        identity: (certificate?, key?),
        ca_file: ca_file?,
        read: read.unwrap_or_else(Names::all),
        write: write.unwrap_or_default(),
    })
}

fn names(section: &Section<'_>, key: &str) -> Option<Names> {
    let fits = |text: &&str| (1..=LONGEST).contains(&text.len()) && !text.contains(char::is_control);
    let name = |item: &Node<'_>| item.parsed(NAME, |text| Some(text).filter(fits).map(Arc::from));
    let items = section.get(key)?.array(NAMES)?;
    Some(Names(items.iter().filter_map(name).collect()))
}
