//! How a check's connection is secured: for every kind that speaks TLS.

use super::{given, taken};
use crate::config::Problem;
use crate::config::value::boolean;
use crate::config::walk::{Node, Section};
use health::{Identity, PrivateKey, Tls, TlsParts, TlsVersion, Trust};

const NAME: &str = "the DNS name or IP address that the certificate is for";
const CA: &str = "the path of a file with certificates in PEM";
const CERTIFICATE: &str =
    "the path of a file with the client's certificate in PEM, and those that vouch for it";
const KEY: &str = "the path of a file with the client's private key in PEM";
const VERSION: &str = "\"1.2\" or \"1.3\"";

/// The settings, all of them optional.
const KEYS: [&str; 6] = ["server_name", "verify", "ca", "client_certificate", "client_key", "min_version"];

/// Reads the settings of TLS, and the files that they name.
pub(super) fn read(section: &Section<'_>) -> Option<Tls> {
    let server_name = given(section, "server_name", None, |node| server_name(node).map(Some));
    let trust = trust(section);
    let identity = identity(section);
    let min_version = given(section, "min_version", TlsVersion::default(), |node| {
        node.parsed(VERSION, |text| match text {
            "1.2" => Some(TlsVersion::Tls12),
            "1.3" => Some(TlsVersion::Tls13),
            _ => None,
        })
    });
    let parts =
        TlsParts { server_name: server_name?, trust: trust?, identity: identity?, min_version: min_version? };
    taken(section, Tls::new(parts))
}

/// The same where the connection is secured only if the check says so: without that there are no such settings.
pub(super) fn read_if(section: &Section<'_>, is_secured: bool) -> Option<Option<Tls>> {
    let settings = read(section);
    if is_secured {
        return settings.map(Some);
    }
    match KEYS.iter().find_map(|key| section.get(key)) {
        Some(node) => {
            node.report_key(Problem::Conflict("only with tls = true is the connection secured".into()));
            None
        }
        None => Some(None),
    }
}

fn server_name(node: &Node<'_>) -> Option<String> {
    node.parsed(NAME, |text| {
        let parts = TlsParts { server_name: Some(text.to_owned()), ..TlsParts::default() };
        Tls::new(parts).is_ok().then(|| text.to_owned())
    })
}

fn trust(section: &Section<'_>) -> Option<Trust> {
    let verify = given(section, "verify", true, boolean);
    let Some(node) = section.get("ca") else {
        return Some(if verify? { Trust::System } else { Trust::Anyone });
    };
    let authorities = node.certificates(CA)?;
    if !verify? {
        node.report_key(Problem::Conflict("with verify = false no certificate is held against a ca".into()));
        return None;
    }
    let trust = Trust::Authorities(authorities);
    match Tls::new(TlsParts { trust: trust.clone(), ..TlsParts::default() }) {
        Ok(_) => Some(trust),
        Err(error) => {
            node.report(Problem::Conflict(error.to_string()));
            None
        }
    }
}

/// The client's certificate, if there is one; one without its key or the other way round is an error.
fn identity(section: &Section<'_>) -> Option<Option<Identity>> {
    let (certificate, key) = match (section.get("client_certificate"), section.get("client_key")) {
        (None, None) => return Some(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(alone), None) => {
            alone.report_key(Problem::Conflict("a certificate is of no use without its client_key".into()));
            return None;
        }
        (None, Some(alone)) => {
            alone.report_key(Problem::Conflict("a key is of no use without its client_certificate".into()));
            return None;
        }
    };
    let chain = certificate.certificates(CERTIFICATE);
    let made = key.content(KEY, PrivateKey::from_pem);
    match Identity::new(chain?, made?) {
        Ok(identity) => Some(Some(identity)),
        Err(error) => {
            key.report(Problem::Conflict(error.to_string()));
            None
        }
    }
}
