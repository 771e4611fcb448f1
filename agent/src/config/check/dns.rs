//! `type = "dns"`: a question to a name server.

use super::{Asks, Type, given, keys, taken};
use crate::config::value::boolean;
use crate::config::walk::{Node, Section};
use health::{DnsParts, Kind, Question, Rcode, RecordType, Records, Recursion, Transport};
use std::collections::BTreeSet;

pub(super) const DNS: Type = Type {
    name: "dns",
    keys: keys!["name", "record_type", "rcodes", "records", "transport", "recursion"],
    asks: Asks::ServicePort,
    read,
};

const NAME: &str = "a domain name such as \"www.example.org\"";
const TYPE: &str = "a type of records such as \"A\", \"AAAA\", \"SOA\" or \"TXT\"";
const RCODES: &str = "an array of one or more codes such as \"NOERROR\" or \"NXDOMAIN\"";
const RECORDS: &str = "\"any\", or an array of records as zone files write them";
const TRANSPORT: &str = "\"udp\" or \"tcp\"";

fn read(section: &Section<'_>) -> Option<Kind> {
    let name = section.required("name", NAME).and_then(|node| name(&node));
    let record_type = given(section, "record_type", "A".parse().ok()?, |node| {
        node.parsed(TYPE, |text| text.parse::<RecordType>().ok())
    });
    let rcodes = given(section, "rcodes", BTreeSet::from([Rcode::NOERROR]), rcodes);
    let records = given(section, "records", Records::Unchecked, records);
    let transport = given(section, "transport", Transport::Udp, |node| {
        node.parsed(TRANSPORT, |text| match text {
            "udp" => Some(Transport::Udp),
            "tcp" => Some(Transport::Tcp),
            _ => None,
        })
    });
    let recursion = given(section, "recursion", true, boolean);
    let parts = DnsParts {
        name: name?,
        record_type: record_type?,
        rcodes: rcodes?,
        records: records?,
        transport: transport?,
        recursion: if recursion? { Recursion::Desired } else { Recursion::NotDesired },
    };
    taken(section, Question::new(parts)).map(Kind::Dns)
}

fn name(node: &Node<'_>) -> Option<String> {
    node.parsed(NAME, |text| {
        let parts = DnsParts::new(text, "A".parse().ok()?);
        Question::new(parts).is_ok().then(|| text.to_owned())
    })
}

fn rcodes(node: &Node<'_>) -> Option<BTreeSet<Rcode>> {
    let items = node.array(RCODES)?;
    if items.is_empty() {
        node.unexpected(RCODES);
        return None;
    }
    items.iter().map(|item| item.parsed(RCODES, |text| text.parse::<Rcode>().ok())).collect()
}

fn records(node: &Node<'_>) -> Option<Records> {
    if node.as_string() == Some("any") {
        return Some(Records::Any);
    }
    let items = node.array(RECORDS)?;
    if items.is_empty() {
        node.unexpected(RECORDS);
        return None;
    }
    let records = items.iter().map(|item| item.string(RECORDS).map(ToOwned::to_owned));
    records.collect::<Option<_>>().map(Records::Among)
}
