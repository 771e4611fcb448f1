//! A question to a name server, and the answer that it expects.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::rr::{self, Name, RData};
use serde::{Deserialize, Serialize};

use super::SpecError;

/// The bound on the expected records of a question: more than an answer by UDP holds.
const MAX_RECORDS: usize = 64;

/// The parts of a [`Question`], not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsParts {
    /// The name that is asked for, with or without its last dot: `www.example.org`, `11.0.64.10.in-addr.arpa`.
    pub name: String,
    /// The type of the records that are asked for.
    pub record_type: RecordType,
    /// The answer's codes that mean success. NOERROR alone is the usual one; with NXDOMAIN beside it a name server is
    /// up that answers though the name is gone.
    pub rcodes: BTreeSet<Rcode>,
    /// The records that an answer with NOERROR must hold.
    #[serde(default)]
    pub records: Records,
    /// How the question is sent.
    #[serde(default)]
    pub transport: Transport,
    /// Whether the server may ask others.
    #[serde(default)]
    pub recursion: Recursion,
}

impl DnsParts {
    /// The question for records of this type and name, by UDP, recursion desired, whose answer is NOERROR.
    pub fn new(name: impl Into<String>, record_type: RecordType) -> Self {
        Self {
            name: name.into(),
            record_type,
            rcodes: BTreeSet::from([Rcode::NOERROR]),
            records: Records::default(),
            transport: Transport::default(),
            recursion: Recursion::default(),
        }
    }
}

/// The records that an answer with NOERROR must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// Any or none.
    #[default]
    Unchecked,
    /// At least one of the type asked for.
    Any,
    /// At least one that is one of these, as zone files write them: `10.64.0.11`, `10 mx1.example.org.`; the text of a
    /// TXT without quotes.
    Among(BTreeSet<String>),
}

/// How a question is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// By UDP; again by TCP when the answer says that it is truncated, as resolvers do.
    #[default]
    Udp,
    /// By TCP.
    Tcp,
}

/// Whether a server may ask others for the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recursion {
    /// It may (the bit RD of RFC 1035, section 4.1.1).
    #[default]
    Desired,
    /// It answers from what it has.
    NotDesired,
}

/// A question that can be sent, and the answer that it expects. Made from [`DnsParts`]; in a normal form, so that
/// questions that mean the same are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "DnsParts", into = "DnsParts")]
pub struct Question(DnsParts);

impl Question {
    /// Checks the parts.
    ///
    /// # Errors
    /// [`SpecError::Dns`] for the first part that cannot be asked or can never be answered as expected.
    pub fn new(parts: DnsParts) -> Result<Self, SpecError> {
        let refused = |what, why: String| Err(SpecError::Dns { what, why });
        let name = match name_of(&parts.name) {
            Ok(name) => name.to_ascii().to_lowercase(),
            Err(why) => {
                return refused("name", format!("expected a domain name, found {:?}: {why}", parts.name));
            }
        };
        if parts.rcodes.is_empty() {
            return refused("rcode", "expected at least one code such as NOERROR, found none".to_owned());
        }
        if parts.records != Records::Unchecked && !parts.rcodes.contains(&Rcode::NOERROR) {
            return refused("records", "an answer without NOERROR has none".to_owned());
        }
        if let Records::Among(records) = &parts.records {
            if records.is_empty() || records.len() > MAX_RECORDS {
                let found = records.len();
                return refused("records", format!("expected 1 to {MAX_RECORDS} records, found {found}"));
            }
            for record in records {
                if let Err(why) = expected(parts.record_type, record) {
                    let kind = parts.record_type;
                    return refused(
                        "records",
                        format!("expected the data of a record {kind}, found {record:?}: {why}"),
                    );
                }
            }
        }
        Ok(Self(DnsParts { name, ..parts }))
    }

    /// The parts, all of them valid.
    pub fn parts(&self) -> &DnsParts {
        &self.0
    }

    /// The name as it is sent.
    pub(crate) fn name(&self) -> Name {
        name_of(&self.0.name).unwrap_or_default()
    }
}

/// Whether `data` is the record that `wanted` writes.
pub(crate) fn is_record(data: &RData, record_type: RecordType, wanted: &str) -> bool {
    match data {
        RData::TXT(text) => text.txt_data.concat() == wanted.as_bytes(),
        data => expected(record_type, wanted).is_ok_and(|wanted| wanted == *data),
    }
}

/// A name as the root sees it, its last dot written or not.
fn name_of(text: &str) -> Result<Name, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut name = Name::from_ascii(text).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    Ok(name)
}

/// The data of a record as zone files write it; names in it are absolute, their last dot written or not.
fn expected(record_type: RecordType, text: &str) -> Result<RData, String> {
    let other = || format!("records of type {record_type} cannot be compared");
    match record_type.0.into() {
        rr::RecordType::A => Ipv4Addr::from_str(text).map(|a| RData::A(a.into())).map_err(|e| e.to_string()),
        rr::RecordType::AAAA => {
            Ipv6Addr::from_str(text).map(|a| RData::AAAA(a.into())).map_err(|e| e.to_string())
        }
        rr::RecordType::TXT => Ok(RData::TXT(rr::rdata::TXT::from_bytes(vec![text.as_bytes()]))),
        rr::RecordType::ANY => Err(other()),
        named @ (rr::RecordType::CNAME
        | rr::RecordType::NS
        | rr::RecordType::PTR
        | rr::RecordType::MX
        | rr::RecordType::SRV) => {
            let dot = if text.ends_with('.') { "" } else { "." };
            RData::try_from_str(named, &format!("{text}{dot}")).map_err(|error| error.to_string())
        }
        known => RData::try_from_str(known, text).map_err(|error| error.to_string()),
    }
}

/// `www.example.org A` or `www.example.org A over tcp`: what follows the target in a check's display.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DnsParts { name, record_type, transport, .. } = &self.0;
        let over = if *transport == Transport::Tcp { " over tcp" } else { "" };
        write!(f, "{name} {record_type}{over}")
    }
}

impl TryFrom<DnsParts> for Question {
    type Error = SpecError;

    fn try_from(parts: DnsParts) -> Result<Self, SpecError> {
        Self::new(parts)
    }
}

impl From<Question> for DnsParts {
    fn from(question: Question) -> Self {
        question.0
    }
}

/// A type of records, by its name: `A`, `AAAA`, `SOA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordType(u16);

impl RecordType {
    /// The type's number (RFC 6895, section 3.1).
    pub fn number(self) -> u16 {
        self.0
    }
}

impl FromStr for RecordType {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        use rr::RecordType::{AXFR, TSIG};
        match text.to_ascii_uppercase().parse::<rr::RecordType>() {
            // Neither is a type that an ordinary question may ask for.
            Ok(known) if !matches!(known, AXFR | TSIG) => Ok(Self(known.into())),
            _ => Err(SpecError::Dns {
                what: "record_type",
                why: format!("expected a type of records such as A, AAAA, SOA or TXT, found {text:?}"),
            }),
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        rr::RecordType::from(self.0).fmt(f)
    }
}

impl TryFrom<String> for RecordType {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        text.parse()
    }
}

impl From<RecordType> for String {
    fn from(record_type: RecordType) -> Self {
        record_type.to_string()
    }
}

/// An answer's code, by its name: `NOERROR`, `NXDOMAIN`, `SERVFAIL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rcode(u16);

/// The codes' names in the order of their numbers (RFC 6895, section 2.3).
const RCODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
    "NOTAUTH", "NOTZONE",
];

impl Rcode {
    /// The question was answered.
    pub const NOERROR: Self = Self(0);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);

    /// The code of this number.
    pub fn new(number: u16) -> Self {
        Self(number)
    }
}

impl FromStr for Rcode {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let number = RCODES.iter().position(|name| name.eq_ignore_ascii_case(text));
        number.and_then(|number| u16::try_from(number).ok()).map(Self).ok_or_else(|| SpecError::Dns {
            what: "rcode",
            why: format!("expected one of {}, found {text:?}", RCODES.join(", ")),
        })
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match RCODES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}

impl TryFrom<String> for Rcode {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        text.strip_prefix("RCODE")
            .and_then(|number| number.parse().ok())
            .map(Self)
            .map_or_else(|| text.parse(), Ok)
    }
}

impl From<Rcode> for String {
    fn from(rcode: Rcode) -> Self {
        rcode.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(record_type: &str) -> DnsParts {
        DnsParts::new("www.example.org", record_type.parse().expect("a type"))
    }

    fn among(record_type: &str, records: &[&str]) -> Result<Question, SpecError> {
        let records = Records::Among(records.iter().map(ToString::to_string).collect());
        Question::new(DnsParts { records, ..parts(record_type) })
    }

    #[test]
    fn questions_that_mean_the_same_are_equal_and_read_as_an_operator_would_say_them() {
        let plain = Question::new(parts("a")).expect("a question");
        let other = Question::new(DnsParts { name: "WWW.example.org.".to_owned(), ..parts("A") });
        assert_eq!(Ok(plain.clone()), other);
        assert_eq!(plain.to_string(), "www.example.org. A");
        let tcp = Question::new(DnsParts { transport: Transport::Tcp, ..parts("SOA") }).expect("a question");
        assert_eq!(tcp.to_string(), "www.example.org. SOA over tcp");
    }

    #[test]
    fn names_types_codes_and_records_that_are_none_are_refused() {
        for name in ["", "a..b", &"a.".repeat(128), &"a".repeat(64)] {
            let refused = Question::new(DnsParts { name: name.to_owned(), ..parts("A") });
            assert!(matches!(refused, Err(SpecError::Dns { what: "name", .. })), "{name:?}: {refused:?}");
        }
        for text in ["", "AXFR", "TSIG", "HOST", "A "] {
            assert!(text.parse::<RecordType>().is_err(), "{text:?}");
        }
        assert!("NOPE".parse::<Rcode>().is_err());
        let none = Question::new(DnsParts { rcodes: BTreeSet::new(), ..parts("A") });
        assert!(matches!(none, Err(SpecError::Dns { what: "rcode", .. })));
        let never =
            DnsParts { rcodes: BTreeSet::from([Rcode::NXDOMAIN]), records: Records::Any, ..parts("A") };
        assert!(matches!(Question::new(never), Err(SpecError::Dns { what: "records", .. })));
        for (kind, record) in
            [("A", "::1"), ("AAAA", "10.0.0.1"), ("MX", "mx1.example.org"), ("ANY", "x"), ("A", "10.0.0.1 ")]
        {
            let refused = among(kind, &[record]);
            assert!(
                matches!(refused, Err(SpecError::Dns { what: "records", .. })),
                "{kind} {record}: {refused:?}"
            );
        }
        assert!(among("A", &[]).is_err());
    }

    #[test]
    fn records_are_compared_by_what_they_mean() {
        for (kind, wanted, data) in [
            ("A", "10.64.0.11", "10.64.0.11"),
            ("AAAA", "FD00:0::11", "fd00::11"),
            ("MX", "10 MX1.example.org", "10 mx1.example.org."),
            ("SRV", "0 5 5060 sip.example.org.", "0 5 5060 sip.example.org."),
            ("PTR", "rs1.example.org", "rs1.example.org."),
            ("CNAME", "a.example.org", "A.example.org."),
        ] {
            assert!(among(kind, &[wanted]).is_ok(), "{kind} {wanted}");
            let kind: RecordType = kind.parse().expect("a type");
            let data = RData::try_from_str(kind.number().into(), data).expect("a record");
            assert!(is_record(&data, kind, wanted), "{wanted} is {data}");
            assert!(!is_record(&data, kind, "10.64.0.99"));
        }
        let text = rr::rdata::TXT::new(vec!["v=spf1 ".to_owned(), "-all".to_owned()]);
        let kind = "TXT".parse().expect("a type");
        assert!(is_record(&RData::TXT(text.clone()), kind, "v=spf1 -all"));
        assert!(!is_record(&RData::TXT(text), kind, "v=spf1 -ALL"));
    }

    #[test]
    fn codes_are_read_as_they_are_written() {
        for text in ["NOERROR", "NXDOMAIN", "NOTZONE"] {
            assert_eq!(text.parse::<Rcode>().map(|rcode| rcode.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("servfail".parse(), Ok(Rcode::new(2)));
        assert_eq!(Rcode::try_from(Rcode::new(16).to_string()), Ok(Rcode::new(16)));
    }
}
