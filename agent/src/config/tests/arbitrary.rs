//! No text whatever makes the parser panic, and none is refused without a reason.

use super::read;
use proptest::prelude::*;

const FULL: &str = include_str!("full.toml");

/// The reasons, each checked to have a place in its file.
fn checked(text: &str) -> Result<(), TestCaseError> {
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
    fn the_full_example_with_a_hole(start in 0..FULL.len(), length in 0..40usize) {
        let end = (start + length).min(FULL.len());
        checked(&[&FULL[..start], &FULL[end..]].concat())?;
    }

    #[test]
    fn the_full_example_with_a_patch(at in 0..FULL.len(), text in "\\PC{0,3}") {
        checked(&[&FULL[..at], &text, &FULL[at..]].concat())?;
    }
}
