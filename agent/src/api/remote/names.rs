//! The names in a certificate.

use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The names that a certificate is for: host names, mail addresses and URIs of its subjectAltName (RFC 5280 §4.2.1.6), then the
/// common names of its subject. None in what cannot be read.
pub(super) fn of(certificate: &[u8]) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let certified = certificate.tbs_certificate;
    let extensions = certified.extensions.unwrap_or_default();
    let alternative = extensions.iter().filter(|extension| extension.extn_id == SubjectAltName::OID);
    let mut names: Vec<String> = alternative
        .filter_map(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes()).ok())
        .flat_map(|names| names.0)
        .filter_map(text)
        .collect();
    let subject = certified.subject.0.iter().flat_map(|part| part.0.iter());
    names.extend(
        subject.filter(|part| part.oid == COMMON_NAME).filter_map(|part| common((&part.value).into())),
    );
    names
}

fn text(name: GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => Some(name.to_string()),
        GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
        _ => None,
    }
}

/// The text of an attribute in the kinds of string that authorities use (RFC 5280 §4.1.2.4).
fn common(value: AnyRef<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().map(|text| text.to_string()),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().map(|text| text.to_string()),
        Tag::TeletexString => value.decode_as::<TeletexStringRef<'_>>().map(|text| text.to_string()),
        _ => return None,
    }
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    fn certificate() -> Vec<u8> {
        let mut parts = CertificateParams::new(vec!["ops1.example.org".to_owned()]).unwrap();
        parts.subject_alt_names.push(SanType::Rfc822Name("alice@example.org".try_into().unwrap()));
        parts.subject_alt_names.push(SanType::URI("spiffe://example.org/alice".try_into().unwrap()));
        parts.distinguished_name = rcgen::DistinguishedName::new();
        parts.distinguished_name.push(DnType::CommonName, "älice");
        parts.distinguished_name.push(DnType::OrganizationName, "root");
        parts.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn alternative_names_come_first_and_an_organization_is_nobodys_name() {
        let names = ["ops1.example.org", "alice@example.org", "spiffe://example.org/alice", "älice"];
        assert_eq!(of(&certificate()), names);
    }

    #[test]
    fn a_printable_common_name_is_read_as_well() {
        let mut parts = CertificateParams::new(Vec::new()).unwrap();
        parts.distinguished_name = rcgen::DistinguishedName::new();
        let bob = DnValue::PrintableString("bob".try_into().unwrap());
        parts.distinguished_name.push(DnType::CommonName, bob);
        let certificate = parts.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(of(certificate.der()), ["bob"]);
    }

    proptest! {
        #[test]
        fn a_broken_certificate_is_no_panic(at in 0usize..400, to: u8, cut in 0usize..500) {
            let mut bytes = certificate();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            bytes.truncate(cut);
            of(&bytes);
        }
    }
}
