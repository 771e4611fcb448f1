//! No text whatever makes the parser panic, and none is refused without a reason. What is parsed in pieces is what the
//! whole says.

use super::read;
use crate::config::Files;
use crate::config::parse::{in_pieces, whole};
use proptest::prelude::*;

const FULL: &str = include_str!("full.toml");

/// The reasons, each checked to have a place in its file; a configuration, checked to be that of the whole.
fn checked(text: &str) -> Result<(), TestCaseError> {
    let files = [("lvsd.toml".into(), text.to_owned())];
    let named = Files { read: &super::read_file, credentials: None };
    if let Some(config) = in_pieces(&files, named) {
        prop_assert_eq!(whole(&files, named).ok(), Some(config));
    }
    let Err(errors) = read(&[("lvsd.toml", text)]) else {
        return Ok(());
    };
    prop_assert!(!errors.is_empty());
    for error in &errors {
        let line =
            error.strip_prefix("lvsd.toml:").and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
        let last = text.matches('\n').count() + 1;
        prop_assert!(line.is_some_and(|line| (1..=last).contains(&line)), "{error}");
    }
    Ok(())
}

/// Pieces that come near to a configuration.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "[lvsd]\n",
        "[bgp]\n",
        "[[bgp.peer]]\n",
        "[service.web]\n",
        "[[service.web.backends]]\n",
        "[[service.web.checks]]\n",
        "[service.web.addresses]\n",
        "[service]\n",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\n",
        ",",
        ".",
        "vips",
        "port",
        "host",
        "checks",
        "backends",
        "type",
        "families",
        "peer",
        " = ",
        "[]\n",
        "{}\n",
        "80\n",
        "-1\n",
        "1e999\n",
        "nan\n",
        "true\n",
        "\"rs1\"\n",
        "[\"::1\"]\n",
        "\"http\"\n",
        "\"é",
        "'''",
        "#",
        "0x",
        "99999999999999999999999999999999999999999\n",
        "1979-05-27\n",
        "\"10.0.0.1\"\n",
        "\"2s\"\n",
    ])
}

/// Parts of valid services, some of which look like headers and are none.
fn part() -> impl Strategy<Value = String> {
    let service = |name: &'static str| {
        let vip = name.bytes().map(u32::from).sum::<u32>() % 250;
        prop::sample::select(vec![
            format!(
                "[service.{name}]\nvips = [\"192.0.2.{vip}\"]\nport = 80\nchecks = []\npool_file = \"p\"\n"
            ),
            format!(
                "[service.{name}]\nvips = [\n\"192.0.2.{vip}\"\n]\nport = 80\nchecks = [\n]\npool_file = \"\"\"\n[service.x]\"\"\"\n"
            ),
            format!("[service.{name}.addresses]\nrs1 = [\n\"10.0.0.1\"]\n"),
            format!(
                "[service.\"{name}\"]\nvips = [\"192.0.2.{vip}\"]\nport = 80\nchecks = []\npool_file = \"p\"\n"
            ),
            format!("  [ service.{name} ]\nport = 81\n"),
        ])
    };
    prop_oneof![
        4 => service("a"),
        4 => service("b"),
        4 => service("c-d"),
        1 => Just("[lvsd]\nhttp = \"127.0.0.1:1\"\n".to_owned()),
        1 => Just("[vip.\"192.0.2.97\"]\nannounce = \"all\"\n".to_owned()),
        1 => Just("[service]\n".to_owned()),
    ]
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        checked(&text)?;
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(piece(), 0..20)) {
        checked(&pieces.concat())?;
    }

    #[test]
    fn services_in_any_order_and_in_several_parts(parts in prop::collection::vec(part(), 1..8)) {
        checked(&parts.concat())?;
    }

    #[test]
    fn the_full_example_with_a_hole(start in 0..FULL.len(), length in 0..40usize) {
        let end = (start + length).min(FULL.len());
        checked(&[&FULL[..start], &FULL[end..]].concat())?;
    }

    #[test]
    fn the_full_example_with_a_patch(at in 0..FULL.len(), text in "\\PC{0,3}") {
        checked(&[&FULL[..at], &text, &FULL[at..]].concat())?;
    }
}
