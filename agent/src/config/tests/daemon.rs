//! `[lvsd]`.

use super::{error, errors, good};
use crate::config::Daemon;
use std::path::Path;

#[test]
fn an_empty_file_is_the_defaults() {
    let config = good("");
    assert_eq!(config.daemon, Daemon::default());
    assert_eq!(config.daemon.http.map(|http| http.to_string()).as_deref(), Some("127.0.0.1:9090"));
    assert_eq!(config.daemon.control_socket, Path::new("/run/lvsd/control.sock"));
    assert!(config.bgp.is_none() && config.services.is_empty());
}

#[test]
fn off_switches_the_status_page_off() {
    assert_eq!(good("[lvsd]\nhttp = \"off\"").daemon.http, None);
}

#[test]
fn an_unknown_key_suggests_the_near_one() {
    assert_eq!(
        error("[lvsd]\nresync_intervall = \"1s\"\n"),
        "2:1: lvsd.resync_intervall: unknown key; did you mean `resync_interval`?"
    );
    assert_eq!(error("[services]\n"), "1:2: services: unknown key; did you mean `service`?");
    assert_eq!(
        error("colour = 1"),
        "1:1: colour: unknown key; known here: `lvsd`, `ipvs`, `bgp`, `nodes`, `probes`, `pybal`, `remote`, `source`, `fleet`, `service`, `vip`"
    );
}

#[test]
fn a_duration_needs_its_unit_and_its_limits() {
    let words = "such as \"200ms\", \"2s\", \"1m\" or \"1h\"";
    assert_eq!(
        error("[lvsd]\nresync_interval = 60"),
        format!("2:19: lvsd.resync_interval: expected a duration from 1s to 1h, {words}, found 60")
    );
    assert_eq!(
        error("[lvsd]\nresync_interval = \"61m\""),
        format!("2:19: lvsd.resync_interval: expected a duration from 1s to 1h, {words}, found \"61m\"")
    );
    assert_eq!(
        error("[lvsd]\ndrain_timeout = \"1.5s\""),
        format!("2:17: lvsd.drain_timeout: expected a duration from 0s to 24h, {words}, found \"1.5s\"")
    );
    assert_eq!(good("[lvsd]\nresync_interval = \"1h\"").daemon.resync_interval.as_secs(), 3600);
}

#[test]
fn a_device_name_must_fit_the_kernel() {
    assert_eq!(good("[lvsd]\ndevice = \"exactly15chars_\"").daemon.device, "exactly15chars_");
    for name in ["sixteen_chars_it", "", ".", "..", "a/b", "a b", "ä"] {
        assert_eq!(
            error(&format!("[lvsd]\ndevice = \"{name}\"")),
            format!(
                "2:10: lvsd.device: expected a device name of 1 to 15 letters, digits, \"_\", \"-\" or \".\", \
                 found \"{name}\""
            )
        );
    }
}

#[test]
fn paths_are_absolute_and_a_socket_fits_its_address() {
    assert_eq!(
        error("[lvsd]\nstate_dir = \"state\""),
        "2:13: lvsd.state_dir: expected an absolute path, found \"state\""
    );
    let longest = format!("/{}", "a".repeat(106));
    good(&format!("[lvsd]\ncontrol_socket = \"{longest}\""));
    let error = error(&format!("[lvsd]\ncontrol_socket = \"{longest}a\""));
    assert!(error.starts_with("2:18: lvsd.control_socket: expected an absolute path of at most 107 bytes"));
}

#[test]
fn a_listener_needs_an_address_and_a_port() {
    for value in ["\"localhost\"", "\"127.0.0.1\"", "\"127.0.0.1:0\"", "\"OFF\"", "9090", "false"] {
        assert_eq!(
            error(&format!("[lvsd]\nhttp = {value}")),
            format!(
                "2:8: lvsd.http: expected an address with a port, such as \"127.0.0.1:9090\", or \"off\", found {value}"
            )
        );
    }
}

#[test]
fn a_netlink_buffer_is_what_the_kernel_can_set_aside() {
    assert_eq!(good("").daemon.netlink_buffer, 4 * 1024 * 1024);
    assert_eq!(good("[lvsd]\nnetlink_buffer = 1024").daemon.netlink_buffer, 1024);
    for value in ["1023", "1073741824", "\"4MiB\"", "-1"] {
        assert_eq!(
            error(&format!("[lvsd]\nnetlink_buffer = {value}")),
            format!("2:18: lvsd.netlink_buffer: expected 1024-1073741823 bytes, found {value}")
        );
    }
}

#[test]
fn every_error_is_reported_at_once_and_in_the_order_of_the_file() {
    let errors =
        errors("[lvsd]\nstate_dir = 1\nhttp = true\nnonsense = 1\ndevice = \"\"\ncontrol_group = \"a b\"\n");
    let lines: Vec<_> = errors.iter().filter_map(|error| error.split(':').next()).collect();
    assert_eq!(lines, ["2", "3", "4", "5", "6"], "{errors:#?}");
}

#[test]
fn what_should_be_a_table_is_said_to_be_one() {
    assert_eq!(error("lvsd = 3"), "1:8: lvsd: expected a table, [lvsd], found 3");
    assert_eq!(error("[[lvsd]]"), "1:1: lvsd: expected a table, [lvsd], found an array");
    assert_eq!(error("service = []"), "1:11: service: expected a table, [service], found an empty array");
}
