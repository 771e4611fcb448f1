//! What connections are secured with, read from files.

use crate::config::TlsFiles;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What tells one content of the files from another without reading them: inode, size and time of the last change.
pub(crate) type Stamps = Vec<Option<(u64, u64, i64, i64)>>;

/// The stamps of the files that are there.
pub(crate) fn stamps(files: &TlsFiles) -> Stamps {
    let identity = files.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
    let stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
    };
    files.ca_file.iter().chain(identity).map(stamp).collect()
}

/// The settings of connections. Servers' certificates are always verified.
///
/// # Errors
/// What is wrong with a file, with its path.
pub(crate) fn settings(files: &TlsFiles) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(files.ca_file.as_deref())?);
    let Some(identity) = &files.identity else { return Ok(settings.with_no_client_auth()) };
    let (chain, key) = pair(identity)?;
    settings.with_client_auth_cert(chain, key).map_err(|error| no_pair(identity, &error))
}

/// The settings of a server whose clients must have a certificate from `ca_file`.
///
/// # Errors
/// As [`settings`].
pub(crate) fn server(ca_file: &Path, identity: &(PathBuf, PathBuf)) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = Arc::new(roots(Some(ca_file))?);
    let verifier = WebPkiClientVerifier::builder_with_provider(clients, Arc::clone(&provider))
        .build()
        .map_err(|error| format!("{}: {error}", ca_file.display()))?;
    let (chain, key) = pair(identity)?;
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| no_pair(identity, &error))
}

/// A certificate with those that vouch for it, and its key.
type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn pair((certificate, key): &(PathBuf, PathBuf)) -> Result<Pair, String> {
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    Ok((certificates(certificate)?, private))
}

fn no_pair((certificate, key): &(PathBuf, PathBuf), error: &rustls::Error) -> String {
    format!("{} and {} do not go together: {error}", certificate.display(), key.display())
}

/// Whom servers' certificates must be from.
///
/// # Errors
/// As [`settings`].
pub(crate) fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() {
        return Err("the system has no authorities to hold a certificate against: set ca_file".to_owned());
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| said(&error))?.collect();
    let found = found.map_err(|error| said(&error))?;
    if found.is_empty() { Err(said(&"there is no certificate in it")) } else { Ok(found) }
}
