//! lvsd: the control daemon of an LVS load balancer.

use anyhow::Context as _;
use clap::Parser as _;
use lvsd::api::control;
use lvsd::arguments::{Arguments, Command, Probes};
use lvsd::probes::{namespace, serve};
use lvsd::record::replay::{ReplayError, replay};
use lvsd::sources::names;
use lvsd::{config, daemon, logging, privileges};
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Write as _};
use std::process::ExitCode;

/// Threads for files (state, configuration, pools) beside those that look-ups of names may hold: a name server that does
/// not answer must not keep the state file from the disk, which the engine waits for.
const FILES: usize = 8;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::CheckConfig { file }) => check(&file.unwrap_or(arguments.config)),
        Some(Command::Schema) => print(&config::schema::schema()),
        Some(Command::Openapi) => print(&control::openapi::document().into()),
        Some(Command::Replay { file }) => go_through(&file),
        Some(Command::Probes { action }) => probes(action, &arguments.config),
        None => run(&arguments.config, arguments.record.as_deref(), arguments.dry_run),
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

fn print(document: &serde_json::Value) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{document:#}") {
        // Who reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

fn probes(action: Probes, path: &std::path::Path) -> anyhow::Result<()> {
    let settings = daemon::load(path)?.probes;
    let settings = settings.ok_or_else(|| anyhow::anyhow!("{} has no [probes]", path.display()))?;
    match action {
        Probes::Up => namespace::up(&settings),
        Probes::Down => namespace::down(&settings),
        Probes::Serve => {
            drop(logging::init()?);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(serve::serve(settings))
        }
    }
}

fn go_through(path: &std::path::Path) -> anyhow::Result<()> {
    let file = File::open(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    let output = BufWriter::new(std::io::stdout().lock());
    let replayed = match replay(path, BufReader::new(file), output) {
        Ok(replayed) => replayed,
        // Who reads has seen enough.
        Err(ReplayError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    eprint!("{}", replayed.report(path));
    match replayed.differs {
        None => Ok(()),
        Some((place, _)) => anyhow::bail!("{}: differs at event {}", path.display(), place.event),
    }
}

fn run(path: &std::path::Path, recording: Option<&std::path::Path>, is_dry: bool) -> anyhow::Result<()> {
    // Before there is another thread, which would have capabilities of its own.
    privileges::keep_from_children().context("give up what commands would inherit")?;
    let config = daemon::load(path)?;
    let log = logging::init()?;
    // Two threads: one can decide while the other probes. With one processor they would only hand it to and fro.
    let threads = std::thread::available_parallelism().map_or(1, |processors| processors.get().min(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(names::CONCURRENT + FILES)
        .enable_all()
        .build()?;
    let result = runtime.block_on(daemon::run(path, config, daemon::Arguments { recording, is_dry, log }));
    // A look-up that hangs in the system's resolver must not hold the exit.
    runtime.shutdown_background();
    result
}
