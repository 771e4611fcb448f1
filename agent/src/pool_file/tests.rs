use super::{MAX_BYTES, parse};
use crate::config::{Admin, Backend};
use proptest::prelude::*;
use std::path::Path;

fn read(text: impl AsRef<[u8]>) -> Result<Vec<Backend>, String> {
    parse(Path::new("pools/web.json"), text.as_ref()).map_err(|error| error.to_string())
}

fn refused(text: impl AsRef<[u8]>) -> String {
    read(text).expect_err("the file is refused")
}

fn backend(host: &str, weight: u32, pooled: Admin) -> Backend {
    Backend {
        host: host.into(),
        weight: ipvs::Weight::new(weight).expect("a valid weight"),
        pooled,
        limits: Default::default(),
        addresses: None,
    }
}

#[test]
fn a_pool_is_read_and_sorted_by_host() {
    let text = r#"{
        "rs3": {"weight": 65535, "pooled": "no"},
        "RS1.example.org": {"weight": 0, "pooled": true},
        "rs4": {"pooled": "inactive"},
        "rs2": {},
        "FD00:0::11": {"pooled": false},
        "rs5": {"pooled": "yes"}
    }"#;
    let expected = vec![
        backend("fd00::11", 1, Admin::Depooled),
        backend("rs1.example.org", 0, Admin::Pooled),
        backend("rs2", 1, Admin::Pooled),
        backend("rs3", 65535, Admin::Depooled),
        backend("rs4", 1, Admin::Inactive),
        backend("rs5", 1, Admin::Pooled),
    ];
    assert_eq!(read(text), Ok(expected));
}

#[test]
fn pybals_json_is_read_as_it_is() {
    let text = r#"{
        "cp1.example.org": {"enabled": true, "weight": 5},
        "cp2.example.org": {"enabled": false},
        "cp3.example.org": {}
    }"#;
    let expected = vec![
        backend("cp1.example.org", 5, Admin::Pooled),
        backend("cp2.example.org", 10, Admin::Depooled),
        backend("cp3.example.org", 10, Admin::Pooled),
    ];
    assert_eq!(read(text), Ok(expected));
    assert_eq!(
        refused(r#"{"rs1": {"enabled": "yes"}}"#),
        "pools/web.json:1:21: rs1.enabled: expected true or false, found \"yes\""
    );
    assert_eq!(
        refused(r#"{"rs1": {"enabled": true, "pooled": "no"}}"#),
        "pools/web.json:1:9: rs1: enabled and pooled say the same: give one of them"
    );
}

#[test]
fn a_half_written_file_says_where_it_ends() {
    assert_eq!(
        refused("{\n  \"rs1\": {\"weight\": 10},\n  \"rs2\": {\"wei"),
        "pools/web.json:3:14: half written: the file ends within a string"
    );
    assert_eq!(refused("{\"rs1\":"), "pools/web.json:1:7: half written: the file ends within a value");
    assert_eq!(refused("{"), "pools/web.json:1:1: half written: the file ends within an object");
}

#[test]
fn every_cut_through_a_good_file_is_refused() {
    let text = r#"{"rs1": {"weight": 10, "pooled": "yes"}, "rs2": {"weight": 5}}"#;
    assert!(read(text).is_ok());
    for end in 1..text.len() {
        let error = refused(&text[..end]);
        assert!(error.starts_with("pools/web.json:1:") && error.contains("half written"), "{end}: {error}");
    }
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    for text in ["", " \n\t\r\n"] {
        let error = refused(text);
        assert!(
            error.starts_with("pools/web.json: the file is empty: expected an object of hosts"),
            "{error}"
        );
    }
}

#[test]
fn an_empty_pool_is_refused() {
    assert!(refused("\n {}\n").starts_with("pools/web.json:2:2: an empty pool is refused: "));
}

#[test]
fn what_is_not_json_says_where() {
    assert_eq!(
        refused("{\"rs1\": {\"weight\": 10},\n  rs2}"),
        "pools/web.json:2:3: not JSON: key must be a string"
    );
    assert_eq!(refused("hello"), "pools/web.json:1:1: not JSON: expected value");
    assert_eq!(refused("{\"a\":{}}\n}"), "pools/web.json:2:1: not JSON: trailing characters");
    assert_eq!(refused(b"{\n\"a\xff\": {}}"), "pools/web.json:2: not JSON: a byte that is no UTF-8");
    assert!(refused("\u{feff}{\"a\":{}}").contains("not JSON"));
    assert!(refused([0; 64]).contains("not JSON"));
    assert!(refused(r#"{"\ud800": {}}"#).starts_with("pools/web.json:1:2: not JSON: a key that is no text"));
}

#[test]
fn a_wrong_type_says_what_belongs_there() {
    let object = "expected an object, {\"weight\": 1, \"pooled\": true}";
    assert_eq!(refused("{\n\"rs1\": 10}"), format!("pools/web.json:2:8: rs1: {object}, found 10"));
    assert_eq!(refused(r#"{"rs1": null}"#), format!("pools/web.json:1:9: rs1: {object}, found null"));
    assert_eq!(refused(r#"{"rs1": []}"#), format!("pools/web.json:1:9: rs1: {object}, found an array"));
    let hosts = "expected an object of hosts, {\"HOST\": {\"weight\": 1, \"pooled\": true}}";
    assert_eq!(refused(r#" ["rs1"]"#), format!("pools/web.json:1:2: {hosts}, found an array"));
    assert_eq!(refused("\"rs1\""), format!("pools/web.json:1:1: {hosts}, found \"rs1\""));
}

#[test]
fn a_weight_outside_0_to_65535_is_refused() {
    for weight in
        ["-1", "70000", "65536", "1.5", "1e3", "-0", "\"10\"", "true", "null", "99999999999999999999"]
    {
        let text = format!("{{\n  \"rs1\": {{\"pooled\": true,\n    \"weight\": {weight}}}}}");
        let expected = format!("pools/web.json:3:15: rs1.weight: expected a weight 0-65535, found {weight}");
        assert_eq!(refused(text), expected);
    }
}

#[test]
fn an_unknown_pooled_value_is_refused() {
    let words = "true, false, \"yes\", \"no\" or \"inactive\"";
    for value in ["\"maybe\"", "\"Yes\"", "1", "null"] {
        assert_eq!(
            refused(format!("{{\"rs1\": {{\"pooled\": {value}}}}}")),
            format!("pools/web.json:1:20: rs1.pooled: expected {words}, found {value}")
        );
    }
}

#[test]
fn a_host_that_is_there_twice_is_refused_with_both_places() {
    assert_eq!(
        refused("{\n\"rs1\": {\"weight\": 1},\n\"rs2\": {},\n \"RS1\": {\"weight\": 2}}"),
        "pools/web.json:4:2: host rs1 for the second time; the first is at pools/web.json:2:1"
    );
    assert_eq!(
        refused(r#"{"fd00::1": {}, "fd00:0::1": {}}"#),
        "pools/web.json:1:17: host fd00::1 for the second time; the first is at pools/web.json:1:2"
    );
}

#[test]
fn a_setting_that_is_there_twice_is_refused_with_both_places() {
    assert_eq!(
        refused(r#"{"rs1": {"weight": 1, "weight": 2}}"#),
        "pools/web.json:1:23: rs1.weight: given for the second time; the first is at pools/web.json:1:10"
    );
}

#[test]
fn an_unknown_key_suggests_the_near_one() {
    assert_eq!(
        refused("{\"rs1\":\n {\"wieght\": 1}}"),
        "pools/web.json:2:3: rs1.wieght: unknown key; did you mean \"weight\"?"
    );
    assert_eq!(
        refused(r#"{"rs1": {"colour": 1}}"#),
        "pools/web.json:1:10: rs1.colour: unknown key; known here: [\"weight\", \"pooled\", \"enabled\", \
         \"upper_threshold\", \"lower_threshold\"]"
    );
}

#[test]
fn what_is_no_host_is_refused() {
    assert_eq!(
        refused("{\"rs1\": {},\n \"10.0.0.300\": {}}"),
        "pools/web.json:2:2: expected a host name or an IP address, found \"10.0.0.300\""
    );
}

#[test]
fn a_file_of_the_greatest_size_is_read_and_a_larger_one_is_not() {
    let mut text = b"{\"rs1\": {}}".to_vec();
    text.resize(MAX_BYTES, b' ');
    assert!(read(&text).is_ok());
    text.push(b' ');
    assert_eq!(refused(&text), "pools/web.json: larger than 4194304 bytes, which no pool is");
}

#[test]
fn depth_does_not_exhaust_the_stack() {
    let deep = format!("{{\"rs1\": {}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(refused(deep).starts_with("pools/web.json:1:"));
}

proptest! {
    #[test]
    fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(text);
    }

    #[test]
    fn no_mangled_pool_panics_and_every_error_has_a_place(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("{"), Just("}"), Just("\"rs1\""), Just("\"rs2\""), Just(":"), Just(","), Just("\"weight\""),
                Just("\"pooled\""), Just("\"enabled\""), Just("true"), Just("10"), Just("-1"), Just("\"no\""), Just("[]"), Just("null"), Just("\n"),
                Just("\"é\""),
            ],
            1..12,
        ),
    ) {
        if let Err(error) = read(parts.concat()) {
            prop_assert!(error.starts_with("pools/web.json:"), "{}", error);
        }
    }

    #[test]
    fn a_written_pool_is_read_back(pool in proptest::collection::btree_map("[a-z][a-z0-9]{0,5}", 0..=65535u32, 1..9)) {
        let members: Vec<_> =
            pool.iter().map(|(host, weight)| format!("{host:?}: {{\"weight\": {weight}}}")).collect();
        let expected: Vec<_> = pool.iter().map(|(host, weight)| backend(host, *weight, Admin::Pooled)).collect();
        prop_assert_eq!(read(format!("{{{}}}", members.join(","))), Ok(expected));
    }
}
