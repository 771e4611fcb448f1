//! lvsd: the control daemon of an LVS load balancer.

use clap::{Parser, Subcommand};
use lvsd::{daemon, logging};
use std::path::PathBuf;
use std::process::ExitCode;

/// The control daemon of an LVS load balancer: health-checked pools, IPVS direct routing, BGP.
#[derive(Debug, Parser)]
#[command(version, after_help = "LVSD_LOG sets log levels: LVSD_LOG=debug, or LVSD_LOG=info,bgp=debug")]
struct Arguments {
    /// The configuration; conf.d/*.toml beside it belongs to it.
    #[arg(long, value_name = "FILE", default_value = "/etc/lvsd/lvsd.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration, print every error with file and line, and exit: 0 without errors, 1 with some.
    CheckConfig {
        /// The configuration; as --config when absent.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::CheckConfig { file }) => check(&file.unwrap_or(arguments.config)),
        None => run(&arguments.config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lvsd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(path: &std::path::Path) -> anyhow::Result<()> {
    let config = daemon::load(path)?;
    let count = config.services.len();
    println!("{}: {count} service{}, no errors", path.display(), if count == 1 { "" } else { "s" });
    Ok(())
}

fn run(path: &std::path::Path) -> anyhow::Result<()> {
    let config = daemon::load(path)?;
    logging::init()?;
    // Two threads: one can decide while the other probes. The blocking pool serves look-ups and the state file.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .enable_all()
        .build()?;
    let result = runtime.block_on(daemon::run(path, config));
    // A look-up that hangs in the system's resolver must not hold the exit.
    runtime.shutdown_background();
    result
}
