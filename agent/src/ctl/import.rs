//! `lvsctl import-pybal`: it asks no lvsd.

use super::client::ClientError;
use crate::api::messages::{Problem, ProblemKind};
use crate::import::{Finding, ImportError, Imported, MAX_BYTES, Options, PeerAsns, import};
use clap::Args;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// The name of what is written into a directory.
const NAME: &str = "lvsd.toml";

/// `lvsctl import-pybal …`.
#[derive(Clone, Debug, Args)]
pub struct ImportPybal {
    /// PyBal's configuration.
    #[arg(value_name = "FILE", default_value = "/etc/pybal/pybal.conf")]
    file: PathBuf,
    /// The directory that gets lvsd.toml, which must not be there yet; - for the standard output.
    #[arg(long, value_name = "DIR", default_value = "-")]
    to: PathBuf,
    /// The routers' AS, or ADDRESS=ASN for one of them (several times): PyBal does not say which it is.
    #[arg(long, value_name = "[ADDRESS=]ASN", value_parser = peer_asn)]
    peer_asn: Vec<(Option<IpAddr>, u32)>,
    /// lvsd's BGP identifier; PyBal's bgp-nexthop-ipv4 when not given.
    #[arg(long, value_name = "ADDRESS")]
    router_id: Option<Ipv4Addr>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The configuration, unless a file has it.
    pub configuration: Option<String>,
    /// What is said to people, by line of pybal.conf.
    pub report: String,
    /// The same for programs.
    pub imported: Imported,
}

fn peer_asn(text: &str) -> Result<(Option<IpAddr>, u32), String> {
    let expected = || "expected an AS number, or ADDRESS=ASN".to_owned();
    let (address, asn) = match text.split_once('=') {
        Some((address, asn)) => (Some(address.parse().map_err(|_| expected())?), asn),
        None => (None, text),
    };
    Ok((address, asn.parse().map_err(|_| expected())?))
}

/// Reads the file, and writes what came of it where that was asked for.
///
/// # Errors
/// When the file cannot be read as PyBal does, or nothing can be written.
pub fn run(arguments: &ImportPybal) -> Result<Told, ClientError> {
    let file = &arguments.file;
    let bytes = read(file).map_err(|error| refused(format!("{}: {error}", file.display())))?;
    let mut options = Options { peer_asns: PeerAsns::default(), router_id: arguments.router_id };
    for (address, asn) in &arguments.peer_asn {
        match address {
            Some(address) => {
                options.peer_asns.by_address.insert(*address, *asn);
            }
            None => options.peer_asns.of_others = Some(*asn),
        }
    }
    let imported = import(file, &bytes, &options).map_err(|error| refused(placed(file, &error)))?;
    let is_shown = arguments.to == Path::new("-");
    let target = arguments.to.join(NAME);
    if !is_shown {
        write(&target, &imported.configuration)
            .map_err(|error| refused(format!("{}: {error}", target.display())))?;
    }
    let report = report(file, (!is_shown).then_some(&target), &imported);
    let configuration = is_shown.then(|| imported.configuration.clone());
    Ok(Told { configuration, report, imported })
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than there may be tells that there is more.
    File::open(file)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is there stays there: it may be somebody's work.
fn write(target: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::create_new(target)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn refused(message: String) -> ClientError {
    ClientError::Problem(Problem { kind: ProblemKind::BadConfiguration, message })
}

/// Every line of the error with the file's name.
fn placed(file: &Path, error: &ImportError) -> String {
    let name = file.display();
    let separator = match error {
        ImportError::Lines(_) | ImportError::NotText { .. } => ":",
        ImportError::TooLarge | ImportError::Empty => ": ",
    };
    let lines: Vec<String> =
        error.to_string().lines().map(|line| format!("{name}{separator}{line}")).collect();
    lines.join("\n  ")
}

fn report(file: &Path, target: Option<&PathBuf>, imported: &Imported) -> String {
    let mut text = String::new();
    let mut list = |title: &str, findings: &[Finding]| {
        if !findings.is_empty() {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{title}:");
            for finding in findings {
                let _ = writeln!(text, "  {}:{finding}", file.display());
            }
        }
    };
    list("chosen", &imported.chosen);
    list("not carried over", &imported.lost);
    let (services, lost) = (imported.services, imported.lost.len());
    let s = |number: usize| if number == 1 { "" } else { "s" };
    let _ = write!(text, "{services} service{}, {lost} thing{} not carried over", s(services), s(lost));
    if let Some(target) = target {
        let _ = write!(text, "; look at {0}, then: lvsd check-config {0}", target.display());
    }
    text.push('\n');
    text
}
