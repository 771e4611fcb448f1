//! An authority that issues certificates.

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};

/// An authority of the tests' own.
pub(crate) struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

/// A certificate and its key, both in PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut parts = CertificateParams::default();
        parts.distinguished_name.push(DnType::CommonName, name);
        parts.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = parts.self_signed(&key).expect("a certificate");
        Self { certificate, key }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for `name`, valid until the end of the year.
    pub(crate) fn issues(&self, name: &str, until: i32) -> Issued {
        let mut parts = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        parts.not_before = date_time_ymd(2020, 1, 1);
        parts.not_after = date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let issued = parts.signed_by(&key, &self.certificate, &self.key).expect("a certificate");
        Issued { certificate: issued.pem(), key: key.serialize_pem() }
    }
}
