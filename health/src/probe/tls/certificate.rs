//! What a certificate says of its time.

use std::time::{Duration, SystemTime};

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

/// The version of a certificate's form, which may be left out.
const VERSION: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber::N0 };

/// When the certificate expires (RFC 5280, section 4.1.2.5); `None` when it cannot be read.
pub(super) fn expiry(certificate: &[u8]) -> Option<SystemTime> {
    not_after(certificate).ok().map(|since_epoch| SystemTime::UNIX_EPOCH + since_epoch)
}

fn not_after(certificate: &[u8]) -> der::Result<Duration> {
    let certificate = sequence(&mut SliceReader::new(certificate)?)?;
    let to_be_signed = sequence(&mut SliceReader::new(certificate)?)?;
    let mut fields = SliceReader::new(to_be_signed)?;
    if fields.peek_tag()? == VERSION {
        AnyRef::decode(&mut fields)?;
    }
    for _serial_algorithm_issuer in 0..3 {
        AnyRef::decode(&mut fields)?;
    }
    let mut validity = SliceReader::new(sequence(&mut fields)?)?;
    AnyRef::decode(&mut validity)?;
    let not_after = AnyRef::decode(&mut validity)?;
    match not_after.tag() {
        Tag::GeneralizedTime => not_after.decode_as::<GeneralizedTime>().map(|time| time.to_unix_duration()),
        _ => not_after.decode_as::<UtcTime>().map(|time| time.to_unix_duration()),
    }
}

/// What is in the sequence that comes next.
fn sequence<'a>(reader: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    let any = AnyRef::decode(reader)?;
    any.tag().assert_eq(Tag::Sequence)?;
    Ok(any.value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut parts =
            rcgen::CertificateParams::new(vec!["www.example.org".to_owned()]).expect("parameters");
        parts.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parts.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().expect("a key");
        parts.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn the_expiry_is_read_before_and_after_2050() {
        // UTCTime ends in 2049 (RFC 5280, section 4.1.2.5.1).
        for (year, seconds) in [(2026, 1_770_076_800), (2051, 2_558_995_200)] {
            let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(expiry(&certificate(year)), Some(expected));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_certificate_and_no_panic(bytes: Vec<u8>) {
            expiry(&bytes);
        }

        #[test]
        fn a_broken_certificate_is_no_panic(at in 0usize..300, to: u8, cut in 0usize..400) {
            let mut bytes = certificate(2030);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            bytes.truncate(cut.max(1));
            expiry(&bytes);
        }
    }
}
