//! TLS on an established connection.
//!
//! Every handshake is a full one, nothing is resumed: a check is to exercise what a client meets that comes for the
//! first time, the certificate and its key above all. What is shared among probes is what does not depend on the server:
//! the settings of the same specification, made once.

mod certificate;
mod settings;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use rustls::CertificateError;
use rustls::pki_types::{ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection_failure;
use super::way::Way;
use crate::failure::{Failure, Stage, TlsFailure};
use crate::spec::Tls;

pub(super) use settings::Protocol;

/// How many names of a certificate are shown that is for another name than wanted: a certificate may have hundreds.
const SHOWN_NAMES: usize = 4;

/// A connection that is secured.
pub(super) struct Secured {
    pub(super) stream: Box<TlsStream<TcpStream>>,
    /// When the server's certificate expires.
    pub(super) expires: Option<SystemTime>,
}

/// Secures `stream`, which goes to `host` if the request says which, for `protocol`.
pub(super) async fn secure(
    way: &Way<'_>,
    stream: TcpStream,
    tls: &Tls,
    host: Option<&str>,
    protocol: Protocol,
) -> Result<Secured, Failure> {
    let stage = Stage::Securing;
    let settings = way.limit.within(stage, settings::settings(tls.parts(), protocol)).await??;
    let name = server_name(tls, host, way.target)?;
    let connecting = TlsConnector::from(settings).connect(name.clone(), stream);
    let stream = way.limit.within(stage, connecting).await?;
    let stream = stream.map_err(|error| failure(&error, &name.to_str(), stage))?;
    // A server of HTTP/1.1 need not know of ALPN; one of HTTP/2 must (RFC 9113, section 3.3).
    if protocol == Protocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(&protocol.name()[..]) {
        let error = "it does not speak HTTP/2 (ALPN)".to_owned();
        return Err(TlsFailure::Incompatible { error }.into());
    }
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let expires = shown.and_then(|certificate| certificate::expiry(certificate));
    Ok(Secured { stream: Box::new(stream), expires })
}

/// The name that is asked for and verified.
fn server_name(tls: &Tls, host: Option<&str>, target: SocketAddr) -> Result<ServerName<'static>, Failure> {
    let name = match (&tls.parts().server_name, host) {
        (Some(name), _) => name.as_str(),
        (None, Some(host)) => without_port(host),
        (None, None) => return Ok(ServerName::from(target.ip())),
    };
    let wrong = |_| Failure::Local {
        error: format!("{name:?} is no name that a certificate can be for: set server_name"),
    };
    ServerName::try_from(name).map(|name| name.to_owned()).map_err(wrong)
}

/// `www.example.org` of `www.example.org:8443`, `::1` of `[::1]:8443`.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// The failure that an error of a secured connection means, `name` being what the certificate should be for.
pub(super) fn failure(error: &io::Error, name: &str, stage: Stage) -> Failure {
    let Some(error) = inner(error) else { return connection_failure(error, stage) };
    Failure::Tls(match error {
        rustls::Error::InvalidCertificate(error) => certificate_failure(error, name),
        rustls::Error::AlertReceived(alert) => TlsFailure::Alert { alert: spaced(&format!("{alert:?}")) },
        rustls::Error::PeerIncompatible(why) => {
            TlsFailure::Incompatible { error: spaced(&format!("{why:?}")) }
        }
        rustls::Error::NoApplicationProtocol => {
            TlsFailure::Incompatible { error: "it chose another application protocol (ALPN)".to_owned() }
        }
        other => TlsFailure::Malformed { error: other.to_string() },
    })
}

/// The failure that an error of TLS means of which only rustls' words are left.
pub(super) fn failure_in_words(words: &str) -> Failure {
    Failure::Tls(match words.strip_prefix("received fatal alert: ") {
        Some(alert) => TlsFailure::Alert { alert: spaced(alert) },
        None => TlsFailure::Malformed { error: words.to_owned() },
    })
}

/// The error of TLS that an error of the connection carries.
pub(super) fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn certificate_failure(error: &CertificateError, name: &str) -> TlsFailure {
    let at = |time: &UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
    let wrong_name = |presented| TlsFailure::WrongName { wanted: name.to_owned(), presented };
    match error {
        CertificateError::ExpiredContext { not_after, .. } => TlsFailure::Expired { on: at(not_after) },
        CertificateError::NotValidYetContext { not_before, .. } => {
            TlsFailure::NotYetValid { before: at(not_before) }
        }
        CertificateError::NotValidForName => wrong_name(Vec::new()),
        CertificateError::NotValidForNameContext { presented, .. } => {
            wrong_name(presented.iter().take(SHOWN_NAMES).map(|name| readable(name)).collect())
        }
        CertificateError::UnknownIssuer => TlsFailure::UnknownIssuer,
        other => TlsFailure::Certificate { error: other.to_string() },
    }
}

/// `www.example.org` of `DnsName("www.example.org")`.
fn readable(name: &str) -> String {
    name.split('"').nth(1).unwrap_or(name).to_owned()
}

/// `handshake failure` of `HandshakeFailure`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests;
