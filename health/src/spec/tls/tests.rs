use rcgen::{CertificateParams, KeyPair};
use serde::de::value::{Error, MapDeserializer};

use super::*;

/// A certificate of its own authority and its key, in PEM.
fn pair() -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let parts = CertificateParams::new(vec!["www.example.org".to_owned()]).expect("a name");
    (parts.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

fn certificates(pem: &str) -> Certificates {
    Certificates::from_pem(pem.as_bytes()).expect("certificates")
}

fn key(pem: &str) -> PrivateKey {
    PrivateKey::from_pem(pem.as_bytes()).expect("a key")
}

#[test]
fn certificates_of_the_same_file_are_equal_and_others_are_not() {
    let (one, _) = pair();
    let (other, _) = pair();
    assert_eq!(certificates(&one), certificates(&one));
    assert_ne!(certificates(&one), certificates(&other));
    assert_ne!(certificates(&one), certificates(&format!("{one}{other}")));
}

#[test]
fn what_is_written_down_is_equal_to_what_it_was_but_holds_no_key() {
    let (certificate, secret) = pair();
    let identity = Identity::new(certificates(&certificate), key(&secret)).expect("a pair");
    assert!(identity.certified().is_some());
    let written = Digest::from(identity.key.clone()).to_string();
    let read = Identity {
        chain: Digest::from(identity.chain.clone()).into(),
        key: Digest::from(identity.key.clone()).into(),
    };
    assert_eq!(read, identity);
    assert!(read.certified().is_none());
    assert!(!secret.contains(&written) && written.len() == 64);
    let shown = format!("{identity:?}");
    assert!(shown.contains(&format!("sha256:{written}")), "{shown}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let ((certificate, _), (_, secret)) = (pair(), pair());
    let refused = Identity::new(certificates(&certificate), key(&secret)).expect_err("refused");
    assert_eq!(refused.to_string(), "key: it is not the key of the client's certificate");
}

#[test]
fn files_that_hold_something_else_are_refused_with_what_was_expected() {
    let (certificate, secret) = pair();
    for text in ["", "hello", &secret] {
        let refused = Certificates::from_pem(text.as_bytes()).expect_err("refused").to_string();
        assert!(refused.starts_with("certificates: expected a certificate in PEM"), "{refused}");
    }
    for text in ["", "hello", &certificate] {
        let refused = PrivateKey::from_pem(text.as_bytes()).expect_err("refused").to_string();
        assert!(refused.starts_with("key: expected a private key in PEM"), "{refused}");
    }
    let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let trust = Trust::Authorities(certificates(broken));
    let refused = Tls::new(TlsParts { trust, ..TlsParts::default() }).expect_err("refused").to_string();
    assert!(refused.starts_with("trust: certificate 1 cannot be an authority's"), "{refused}");
}

#[test]
fn names_are_checked_also_when_they_are_read() {
    let named = |name: &str| {
        let parts = TlsParts { server_name: Some(name.to_owned()), ..TlsParts::default() };
        Tls::new(parts).map_err(|error| error.to_string())
    };
    assert!(named("www.example.org").is_ok() && named("192.0.2.1").is_ok() && named("2001:db8::1").is_ok());
    let refused = "server_name: expected a DNS name or an IP address, found \"www.example.org:443\"";
    assert_eq!(named("www.example.org:443"), Err(refused.to_owned()));
    let read =
        |name: &str| Tls::deserialize(MapDeserializer::<_, Error>::new([("min_version", name)].into_iter()));
    assert!(read("tls13").is_ok() && read("tls11").is_err());
}
