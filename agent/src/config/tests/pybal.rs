//! `[pybal]` and `pybal_names`.

use super::{SERVICE, error, good};

#[test]
fn one_address_needs_no_array() {
    let config = good("[pybal]\nhttp = \"0.0.0.0:9090\"\n");
    assert_eq!(config.pybal.http, ["0.0.0.0:9090".parse().unwrap()]);
    assert!(!config.pybal.metrics && good("").pybal.http.is_empty(), "off unless it is asked for");
}

#[test]
fn an_address_needs_its_port_and_stands_once() {
    let expected = "expected an address with a port, such as \"127.0.0.1:9090\"";
    assert_eq!(
        error("[pybal]\nhttp = \"127.0.0.1\"\n"),
        format!("2:8: pybal.http: {expected}, found \"127.0.0.1\"")
    );
    assert_eq!(
        error("[pybal]\nhttp = [\"[::1]:1\", \"[::1]:0\"]\n"),
        format!("2:20: pybal.http[1]: {expected}, found \"[::1]:0\"")
    );
    assert_eq!(
        error("[pybal]\nhttp = [\"[::1]:1\", \"[::1]:1\"]\n"),
        "2:20: pybal.http[1]: [::1]:1 for the second time; the first is at lvsd.toml:2:9"
    );
}

#[test]
fn a_pools_name_is_one_services() {
    let names = |names: &str| format!("{SERVICE}pybal_names = {{ {names} }}\n");
    assert_eq!(
        error(&names("text = \"ipv5\"")),
        "6:24: service.web.pybal_names.text: expected \"ipv4\", \"ipv6\" or \"both\", found \"ipv5\""
    );
    assert!(error(&names("\"a/b\" = \"both\"")).contains("expected a name of 1 to 64 letters"));
    let two = format!("{}{}", names("text = \"both\""), SERVICE.replace("web", "text").replace(".10", ".11"));
    assert_eq!(error(&two), "1:10: service.web.pybal_names: text is a name of service text's pool already");
}
