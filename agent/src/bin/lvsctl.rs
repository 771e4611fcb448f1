//! lvsctl: asks lvsd, and tells it.

use clap::{Parser, Subcommand, ValueEnum};
use lvsd::api::messages::{DepoolRequest, PoolRequest, ProblemKind};
use lvsd::core::action::Done;
use lvsd::core::view::{Status, Why};
use lvsd::ctl::client::{Client, ClientError};
use lvsd::ctl::render;
use lvsd::reload::Reloaded;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Ask lvsd, the control daemon of this LVS load balancer, and tell it.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Arguments {
    /// lvsd's control socket.
    #[arg(long, global = true, value_name = "PATH", default_value = "/run/lvsd/control.sock")]
    socket: PathBuf,
    /// How to print the answer.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// Exit codes are an interface: scripts rely on them.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  lvsd answered with something unexpected
  2  the command line is wrong
  3  lvsd does not run, or its socket cannot be reached
  4  there is no such host or service
  5  refused: the depool threshold would be broken, or the source says otherwise
  6  permission denied
  7  the configuration has errors, the old one goes on";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show services, backends, VIPs and BGP peers.
    #[command(
        after_help = "Examples:\n  lvsctl status\n  lvsctl status web\n  lvsctl status -o json | jq '.vips'"
    )]
    Status {
        /// Only this service.
        service: Option<String>,
    },
    /// Take a backend out of every pool: no new connections, those it has finish. Kept over restarts.
    #[command(
        after_help = "Examples:\n  lvsctl depool cp1075 --reason 'disk, T12345'\n  lvsctl depool cp1075 --force"
    )]
    Depool {
        /// The backend's host name.
        host: String,
        /// Why, for whoever asks later.
        #[arg(long)]
        reason: Option<String>,
        /// Also when a pool falls below its depool threshold.
        #[arg(long)]
        force: bool,
    },
    /// Take a depool back; the backend's checks decide from then on.
    #[command(after_help = "Example:\n  lvsctl pool cp1075")]
    Pool {
        /// The backend's host name.
        host: String,
    },
    /// Say why a backend is in or out, and since when.
    #[command(after_help = "Example:\n  lvsctl why cp1075")]
    Why {
        /// The backend's host name.
        host: String,
    },
    /// Have lvsd read its configuration again; one with errors is refused and the old one goes on.
    #[command(after_help = "Example:\n  lvsctl reload")]
    Reload,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}"), 1),
    };
    match runtime.block_on(run(&arguments)) {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            // A reader that has seen enough, as in `lvsctl status | head`, is no failure.
            Ok(()) | Err(_) => ExitCode::SUCCESS,
        },
        Err(error) => fail(&error.to_string(), exit_code(&error)),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("lvsctl: {message}");
    ExitCode::from(code)
}

async fn run(arguments: &Arguments) -> Result<String, ClientError> {
    let client = Client::new(&arguments.socket);
    let is_colored =
        std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let paint = render::Paint::new(is_colored);
    let output = arguments.output;
    match &arguments.command {
        Command::Status { service } => {
            let status: Status = client.status(service.as_deref()).await?;
            show(output, &status, |status| render::status(status, paint))
        }
        Command::Depool { host, reason, force } => {
            let request = DepoolRequest { host: host.clone(), reason: reason.clone(), force: *force };
            let done: Done = client.post("/v1/depool", &request).await?;
            show(output, &done, render::done)
        }
        Command::Pool { host } => {
            let done: Done = client.post("/v1/pool", &PoolRequest { host: host.clone() }).await?;
            show(output, &done, render::done)
        }
        Command::Why { host } => {
            let why: Why = client.why(host).await?;
            show(output, &why, |why| render::why(why, paint))
        }
        Command::Reload => {
            let reloaded: Reloaded = client.post("/v1/reload", &()).await?;
            show(output, &reloaded, render::reloaded)
        }
    }
}

fn show<T: Serialize>(
    output: Output,
    answer: &T,
    table: impl Fn(&T) -> String,
) -> Result<String, ClientError> {
    match output {
        Output::Table => Ok(table(answer)),
        Output::Json => Ok(serde_json::to_string_pretty(answer).map_err(ClientError::Json)? + "\n"),
    }
}

fn exit_code(error: &ClientError) -> u8 {
    match error {
        ClientError::NotRunning { .. } => 3,
        ClientError::Permission { .. } => 6,
        ClientError::Http(_) | ClientError::Json(_) => 1,
        ClientError::Problem(problem) => match problem.kind {
            ProblemKind::BadRequest => 1,
            ProblemKind::NotFound => 4,
            ProblemKind::Refused => 5,
            ProblemKind::Denied => 6,
            ProblemKind::BadConfiguration => 7,
            ProblemKind::Stopping => 3,
        },
    }
}
