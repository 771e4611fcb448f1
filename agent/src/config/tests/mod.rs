//! What a person who writes a configuration sees.

mod across;
mod arbitrary;
mod bgp;
mod canary;
mod checks;
mod daemon;
mod etcd;
mod files;
mod fleet;
mod full;
mod golden;
mod nodes;
mod policy;
mod probes;
mod pybal;
mod remote;
mod schema;
mod service;
mod sources;

use super::{Config, parse_with};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A service that nothing is wrong with; lines 1 to 5.
const SERVICE: &str =
    "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nchecks = []\nbackends = [{host = \"rs1\"}]\n";

/// A certificate and its key in PEM.
static CERTIFIED: LazyLock<(String, String)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["lvsd.example.org".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.key_pair.serialize_pem())
});

/// The files that the examples name.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("/etc/lvsd/cert.pem") => Ok(CERTIFIED.0.clone().into_bytes()),
        Some("/etc/lvsd/key.pem") => Ok(CERTIFIED.1.clone().into_bytes()),
        Some("/etc/lvsd/other-key.pem") => {
            let key = rcgen::KeyPair::generate().expect("a key");
            Ok(key.serialize_pem().into_bytes())
        }
        Some("r1.password" | "/etc/lvsd/r1.password") => Ok(b"swordfish\r\n".to_vec()),
        Some("/etc/lvsd/nodes.password" | "/run/credentials/nodes") => Ok(b"xyzzy".to_vec()),
        Some("/etc/lvsd/empty.password") => Ok(b"\n".to_vec()),
        Some("/etc/lvsd/long.password") => Ok(vec![b'x'; 81]),
        Some("/etc/lvsd/garbage.pem") => Ok(b"\xff\x00no PEM".to_vec()),
        Some(_) | None => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    }
}

/// Parses files given as names and texts.
fn read(files: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let files: Vec<_> = files.iter().map(|(name, text)| (PathBuf::from(name), text.to_string())).collect();
    let read = parse_with(&files, &read_file);
    if read.is_ok() {
        files.iter().for_each(|(name, text)| schema::check(name, text));
    }
    read.map_err(|errors| errors.iter().map(ToString::to_string).collect())
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
