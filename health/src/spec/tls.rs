//! How a check's connection is secured, and whom it trusts.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::{Digest, SpecError};

/// The parts of [`Tls`], not yet checked. By default: the version and the authorities of the system, no certificate of
/// the check's own, and the name that the request is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsParts {
    /// The name that is asked for (SNI) and that the certificate must be for: a DNS name or an IP address. By default
    /// the host of the request, or else the target's address, which is not sent (RFC 6066, section 3).
    pub server_name: Option<String>,
    /// Whose certificates are accepted.
    pub trust: Trust,
    /// The certificate that is shown to the server if it asks for one.
    pub identity: Option<Identity>,
    /// The oldest version of the protocol that is good enough.
    pub min_version: TlsVersion,
}

/// Whose certificates are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trust {
    /// Those that the authorities vouch for that this system trusts.
    #[default]
    System,
    /// Those that these authorities vouch for, and no others.
    Authorities(Certificates),
    /// Anyone's: expired, for other names, from nowhere. That the server holds the certificate's key is still verified.
    Anyone,
}

/// A version of the protocol. Older ones are not spoken (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Settings of TLS that can be used. Made from [`TlsParts`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "TlsParts", into = "TlsParts")]
pub struct Tls(TlsParts);

impl Tls {
    /// Checks the parts.
    ///
    /// # Errors
    /// [`SpecError::Tls`] when the name is none, or a certificate cannot be an authority's.
    pub fn new(parts: TlsParts) -> Result<Self, SpecError> {
        if let Some(name) = &parts.server_name {
            ServerName::try_from(name.as_str()).map_err(|_| SpecError::Tls {
                what: "server_name",
                why: format!("expected a DNS name or an IP address, found {name:?}"),
            })?;
        }
        if let Trust::Authorities(certificates) = &parts.trust {
            certificates.check_authorities()?;
        }
        Ok(Self(parts))
    }

    /// The parts, all of them valid.
    pub fn parts(&self) -> &TlsParts {
        &self.0
    }
}

impl TryFrom<TlsParts> for Tls {
    type Error = SpecError;

    fn try_from(parts: TlsParts) -> Result<Self, SpecError> {
        Self::new(parts)
    }
}

impl From<Tls> for TlsParts {
    fn from(tls: Tls) -> Self {
        tls.0
    }
}

/// Certificates, known by the digest of what they were read from: two of the same digest are equal. Written down, only
/// the digest is; what is read again from that is good for comparing, not for probing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Digest", into = "Digest")]
pub struct Certificates {
    digest: Digest,
    der: Option<Arc<[CertificateDer<'static>]>>,
}

impl Certificates {
    /// Reads a file's content: one certificate or more in PEM (RFC 7468); other sections are passed over.
    ///
    /// # Errors
    /// [`SpecError::Tls`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, SpecError> {
        let refused = |why: String| SpecError::Tls { what: "certificates", why };
        let der: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let der = der.map_err(|error| refused(format!("not in PEM: {error}")))?;
        if der.is_empty() {
            return Err(refused(
                "expected a certificate in PEM (-----BEGIN CERTIFICATE-----), found none".to_owned(),
            ));
        }
        Ok(Self { digest: Digest::of(pem), der: Some(der.into()) })
    }

    /// The certificates themselves; `None` after they were written down.
    pub(crate) fn der(&self) -> Option<&Arc<[CertificateDer<'static>]>> {
        self.der.as_ref()
    }

    fn check_authorities(&self) -> Result<(), SpecError> {
        let mut store = RootCertStore::empty();
        for (index, der) in self.der.iter().flat_map(|der| der.iter()).enumerate() {
            store.add(der.clone()).map_err(|error| SpecError::Tls {
                what: "trust",
                why: format!("certificate {} cannot be an authority's: {error}", index + 1),
            })?;
        }
        Ok(())
    }
}

/// A private key, known by its digest like [`Certificates`]. It is never shown nor written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Digest", into = "Digest")]
pub struct PrivateKey {
    digest: Digest,
    der: Option<Arc<PrivateKeyDer<'static>>>,
}

impl PrivateKey {
    /// Reads a file's content: the first private key in PEM, in PKCS #8, PKCS #1 or SEC1 form, not encrypted.
    ///
    /// # Errors
    /// [`SpecError::Tls`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, SpecError> {
        let refused = |why: String| SpecError::Tls { what: "key", why };
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
            refused(format!("expected a private key in PEM that is not encrypted: {error}"))
        })?;
        any_supported_type(&der).map_err(|error| refused(format!("not a key that can sign: {error}")))?;
        Ok(Self { digest: Digest::of(der.secret_der()), der: Some(Arc::new(der)) })
    }
}

/// A client's certificate, those that vouch for it, and its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    chain: Certificates,
    key: PrivateKey,
}

impl Identity {
    /// The certificate is the first of `chain`.
    ///
    /// # Errors
    /// [`SpecError::Tls`] when the key is another's.
    pub fn new(chain: Certificates, key: PrivateKey) -> Result<Self, SpecError> {
        let identity = Self { chain, key };
        if let Some(certified) = identity.certified() {
            // A certificate of a form whose key cannot be found in it is not held against it.
            if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) =
                certified.keys_match()
            {
                let why = "it is not the key of the client's certificate".to_owned();
                return Err(SpecError::Tls { what: "key", why });
            }
        }
        Ok(identity)
    }

    /// Certificate and key, ready to sign; `None` after they were written down.
    pub(crate) fn certified(&self) -> Option<CertifiedKey> {
        let (chain, key) = (self.chain.der.as_ref()?, self.key.der.as_ref()?);
        let key = any_supported_type(key).ok()?;
        Some(CertifiedKey::new(chain.to_vec(), key))
    }
}

/// What is known by its digest is compared, shown and written by it.
macro_rules! known_by_digest {
    ($($name:ident),*) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.digest.fmt(f)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.digest == other.digest
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.digest.cmp(&other.digest)
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.digest.hash(state);
            }
        }

        impl From<Digest> for $name {
            fn from(digest: Digest) -> Self {
                Self { digest, der: None }
            }
        }

        impl From<$name> for Digest {
            fn from(known: $name) -> Self {
                known.digest
            }
        }
    )* };
}

known_by_digest!(Certificates, PrivateKey);

#[cfg(test)]
mod tests;
