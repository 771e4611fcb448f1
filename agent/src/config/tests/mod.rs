//! What a person who writes a configuration sees.

mod across;
mod arbitrary;
mod bgp;
mod checks;
mod daemon;
mod files;
mod full;
mod golden;
mod probes;
mod service;

use super::{Config, parse};
use std::path::PathBuf;

/// A service that nothing is wrong with; lines 1 to 5.
const SERVICE: &str =
    "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nchecks = []\nbackends = [{host = \"rs1\"}]\n";

/// Parses files given as names and texts.
fn read(files: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let files: Vec<_> = files.iter().map(|(name, text)| (PathBuf::from(name), text.to_string())).collect();
    parse(&files).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// Parses one file that nothing is wrong with.
fn good(text: &str) -> Config {
    read(&[("lvsd.toml", text)]).expect("the configuration is valid")
}

/// The errors of one file, without its name.
fn errors(text: &str) -> Vec<String> {
    let errors = read(&[("lvsd.toml", text)]).expect_err("the configuration is refused");
    errors
        .into_iter()
        .map(|error| error.strip_prefix("lvsd.toml:").map(str::to_owned).unwrap_or(error))
        .collect()
}

/// The one error of one file, without its name.
fn error(text: &str) -> String {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "one error is expected: {errors:#?}");
    errors.concat()
}
