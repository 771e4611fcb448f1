//! What is the same for every connection of a specification: made once, shared by its probes.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};

use crate::failure::Failure;
use crate::probe::way::not_at_hand;
use crate::spec::{Certificates, TlsParts, TlsVersion, Trust};

/// The most settings that are kept. A configuration has a few; beyond this all are dropped and made again as they are
/// needed, which costs a fraction of a handshake each.
const MAX_KEPT: usize = 256;

/// How old the system's authorities may be before they are read again: a renewed ca-certificates is obeyed within an
/// hour without a restart, and reading a few hundred kilobytes once an hour is nothing.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// What is spoken over the secured connection, as the client offers it (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::probe) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// Its name in the registry of ALPN.
    pub(super) fn name(self) -> Vec<u8> {
        match self {
            Self::Http1 => b"http/1.1".to_vec(),
            Self::Http2 => b"h2".to_vec(),
        }
    }
}

type Key = (TlsParts, Protocol);

static KEPT: LazyLock<Mutex<HashMap<Key, Arc<ClientConfig>>>> = LazyLock::new(Mutex::default);

static SYSTEM: tokio::sync::Mutex<Option<System>> = tokio::sync::Mutex::const_new(None);

static NEWEST: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// The authorities that the system trusts.
struct System {
    read: Instant,
    roots: Arc<RootCertStore>,
}

/// The settings of these parts. Cancel-safe.
pub(super) async fn settings(parts: &TlsParts, protocol: Protocol) -> Result<Arc<ClientConfig>, Failure> {
    // The name of the server is told for each connection.
    let key = (TlsParts { server_name: None, ..parts.clone() }, protocol);
    // First, because it drops what was made with authorities of old.
    let roots = if parts.trust == Trust::System { Some(system().await?) } else { None };
    if let Some(settings) = kept().get(&key) {
        return Ok(Arc::clone(settings));
    }
    let made = Arc::new(make(parts, protocol, roots)?);
    let mut kept = kept();
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(key, Arc::clone(&made));
    Ok(made)
}

/// What is kept. Nothing panics while it is held, and a map that was left by a panic is as good as any.
fn kept() -> MutexGuard<'static, HashMap<Key, Arc<ClientConfig>>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The system's authorities. When they are read again, what was made with the old ones is dropped.
async fn system() -> Result<Arc<RootCertStore>, Failure> {
    let mut held = SYSTEM.lock().await;
    match &*held {
        Some(system) if system.read.elapsed() < MAX_AGE => return Ok(Arc::clone(&system.roots)),
        Some(_) | None => {}
    }
    let read = tokio::task::spawn_blocking(read_system).await;
    let roots = Arc::new(read.map_err(|error| local(error.to_string()))??);
    kept().retain(|(parts, _), _| parts.trust != Trust::System);
    *held = Some(System { read: Instant::now(), roots: Arc::clone(&roots) });
    Ok(roots)
}

/// Reads the system's authorities. Those that cannot be read or are none are passed over.
fn read_system() -> Result<RootCertStore, Failure> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
    Err(local(format!(
        "this system trusts no authority ({why}): install ca-certificates, or set the check's own"
    )))
}

/// Makes settings; `system`: the authorities of the system, if they are trusted.
fn make(
    parts: &TlsParts,
    protocol: Protocol,
    system: Option<Arc<RootCertStore>>,
) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(ring::default_provider());
    let verifier = match (&parts.trust, system) {
        (Trust::Authorities(certificates), _) => authorities(own(certificates)?, &provider)?,
        (_, Some(system)) => authorities(system, &provider)?,
        (_, None) => Arc::new(Anyone(Arc::clone(&provider))),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(parts.min_version))
        .map_err(|error| local(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &parts.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let certified = identity.certified().ok_or_else(|| not_at_hand("the client's certificate is"))?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![protocol.name()];
    Ok(config)
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        TlsVersion::Tls12 => rustls::ALL_VERSIONS,
        TlsVersion::Tls13 => &NEWEST,
    }
}

fn own(certificates: &Certificates) -> Result<Arc<RootCertStore>, Failure> {
    let certificates = certificates.der().ok_or_else(|| not_at_hand("the authorities' certificates are"))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates.iter() {
        roots.add(certificate.clone()).map_err(|error| local(error.to_string()))?;
    }
    Ok(Arc::new(roots))
}

fn authorities(
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
    let made = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
    made.map(|verifier| verifier as _).map_err(|error| local(error.to_string()))
}

fn local(error: String) -> Failure {
    Failure::Local { error }
}

/// Takes every certificate. That the server holds its key is verified as always.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn settings_are_made_once_for_all_names_of_servers() {
        let parts = TlsParts { min_version: TlsVersion::Tls13, trust: Trust::Anyone, ..TlsParts::default() };
        let named = TlsParts { server_name: Some("www.example.org".to_owned()), ..parts.clone() };
        let made = settings(&parts, Protocol::Http1).await.expect("settings");
        let again = settings(&named, Protocol::Http1).await.expect("settings");
        assert!(Arc::ptr_eq(&made, &again));
        let other = settings(&parts, Protocol::Http2).await.expect("settings");
        assert!(!Arc::ptr_eq(&made, &other));
    }

    #[tokio::test]
    async fn the_authorities_of_the_system_are_read_once_in_a_while() {
        let read = system().await.expect("this system trusts someone (Debian: ca-certificates)");
        assert!(!read.is_empty());
        assert!(Arc::ptr_eq(&read, &system().await.expect("authorities")));
    }
}
