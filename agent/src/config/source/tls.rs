//! The files that a source's connections are secured with.

use crate::config::Problem;
use crate::config::walk::Section;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const CA: &str = "the path of a file with certificates in PEM";
const CERTIFICATE: &str =
    "the path of a file with the client's certificate in PEM, and those that vouch for it";
const KEY: &str =
    "the path of a file with the client's private key in PEM, or the name of one of systemd's credentials";

/// The files, all in PEM. They are read anew for each connection, so that a renewed certificate counts without a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFiles {
    /// Whom servers' certificates must be from; the system's authorities when absent.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Reads `ca_file`, `certificate_file` and `key_file`.
pub(super) fn read(section: &Section<'_>) -> Option<TlsFiles> {
    let ca_file = match section.get("ca_file") {
        Some(node) => Some(node.path(CA)?),
        None => None,
    };
    let identity = match (section.get("certificate_file"), section.get("key_file")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (certificate.path(CERTIFICATE), key.credential(KEY));
            Some((certificate?, key?))
        }
        (Some(alone), None) => {
            let reason = "a certificate is of no use without its key_file";
            alone.report_key(Problem::Conflict(reason.to_owned()));
            return None;
        }
        (None, Some(alone)) => {
            let reason = "a key is of no use without its certificate_file";
            alone.report_key(Problem::Conflict(reason.to_owned()));
            return None;
        }
    };
    Some(TlsFiles { ca_file, identity })
}
