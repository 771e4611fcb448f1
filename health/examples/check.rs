//! Checks servers and prints what becomes of them:
//!
//! ```sh
//! cargo run --example check -- 10.0.0.11:22 http://www.example.org/healthz
//! ```
//!
//! An argument is `HOST:PORT` for a TCP check or `http://HOST[:PORT][/PATH]` for an HTTP check. Every address of
//! a name is checked. Runs until it is interrupted.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use health::{Check, HttpParts, HttpRequest, Kind, Options, Report, Runner, Timing};

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("check: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let mut checks = BTreeSet::new();
    for argument in std::env::args().skip(1) {
        checks.extend(parse(&argument).await.map_err(|error| format!("{argument}: {error}"))?);
    }
    if checks.is_empty() {
        return Err("expected HOST:PORT or http://HOST[:PORT][/PATH], one or more".into());
    }
    let seed = u64::from(std::process::id());
    let (runner, mut reports) = Runner::spawn(Options::new(seed));
    runner.set(checks);
    while let Some(report) = reports.recv().await {
        println!("{}", line(&report));
    }
    Ok(())
}

/// `up      http GET http://10.0.0.11:80/ (host www.example.org)  3.2 ms`
fn line(report: &Report) -> String {
    let outcome = match &report.outcome {
        Ok(found) => format!("{:.1} ms", found.latency.as_secs_f64() * 1000.0),
        Err(failure) => failure.to_string(),
    };
    format!("{:<7} {}  {outcome}", report.verdict.to_string(), report.check)
}

/// The checks that an argument asks for, one for each address.
async fn parse(argument: &str) -> Result<Vec<Arc<Check>>, Error> {
    let (authority, kind) = match argument.strip_prefix("http://") {
        None => (argument.to_owned(), Kind::Tcp),
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let path = if path.is_empty() { "/" } else { path }.to_owned();
            let parts = HttpParts { path, host: Some(host.to_owned()), ..HttpParts::default() };
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let authority = if has_port { host.to_owned() } else { format!("{host}:80") };
            (authority, Kind::Http(HttpRequest::new(parts)?))
        }
    };
    let addresses = tokio::net::lookup_host(authority).await?;
    Ok(addresses.map(|address| Arc::new(Check::new(address, kind.clone(), Timing::default()))).collect())
}
