//! lvsctl: asks lvsd, and tells it.

use ::bgp::Prefix;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipvs::Weight;
use lvsd::api::messages::{
    ConfirmRequest, PoolRequest, Problem, ProblemKind, SimulateRequest, TakeOutRequest, WeightRequest,
};
use lvsd::config;
use lvsd::core::action::Done;
use lvsd::core::nodes::bgppeer::{self, Wanted};
use lvsd::core::plan::{Plan, Simulation};
use lvsd::core::saved::SetWeight;
use lvsd::core::view::{Status, Why};
use lvsd::ctl::announcements::{self, Said};
use lvsd::ctl::bgp::{self, Bgp, Direction};
use lvsd::ctl::client::{Client, ClientError};
use lvsd::ctl::render;
use lvsd::doctor;
use lvsd::exec::ipvs::Comparison;
use lvsd::reload::Reloaded;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

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
  4  there is no such host, service or VIP
  5  refused: the depool threshold would be broken, nothing would serve, or the source says otherwise
  6  permission denied
  7  the configuration has errors, the old one goes on
  8  something on this host is to be changed (lvsctl doctor)
  9  the kernel is not as lvsd wants it (lvsctl diff)
  10 packets still came when the wait was over (lvsctl drain --balancer --wait)";

/// `lvsctl doctor` found something that is to be changed.
const SOMETHING_TO_DO: u8 = 8;

/// `lvsctl diff` found the kernel not as it is to be.
const DIFFERS: u8 = 9;

/// `lvsctl drain --balancer --wait` has seen packets to the end.
const STILL_BUSY: u8 = 10;

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
        after_help = "Examples:\n  lvsctl depool cp1075 --reason 'disk, T12345'\n  lvsctl depool cp1075 --for 2h\n  lvsctl depool cp1075 --force"
    )]
    Depool(TakeOut),
    /// Drain a backend: weight 0, its connections finish; it stays in the kernel's table. Or the whole balancer.
    #[command(
        after_help = "Examples:\n  lvsctl drain cp1075 --reason 'kernel upgrade' --for 30m\n  lvsctl drain --balancer --reason 'kernel upgrade' --wait 5m"
    )]
    Drain(Drain),
    /// Take a drain of the whole balancer back: its VIPs are announced again.
    #[command(after_help = "Example:\n  lvsctl undrain")]
    Undrain,
    /// Announce or withdraw one VIP whatever its checks say, or leave it to them again.
    #[command(subcommand)]
    Vip(announcements::Vip),
    /// Make a backend no part of its pools: it does not count for the depool threshold, and is deleted once drained.
    #[command(after_help = "Example:\n  lvsctl inactive cp1075 --reason 'decommissioned'")]
    Inactive(TakeOut),
    /// Take a depool, drain or inactive back; the backend's checks decide from then on.
    #[command(after_help = "Example:\n  lvsctl pool cp1075")]
    Pool {
        /// The backend's host name.
        host: String,
    },
    /// Give a backend another weight than its source does, or its source's again.
    #[command(
        after_help = "Examples:\n  lvsctl weight cp1075 1 --reason canary\n  lvsctl weight cp1075 10% --for 1h\n  lvsctl weight cp1075 --reset"
    )]
    Weight {
        /// The backend's host name.
        host: String,
        /// A weight of 0 to 65535, or a share of its source's weight like 10%.
        #[arg(value_parser = set_weight, required_unless_present = "reset")]
        weight: Option<SetWeight>,
        /// The weight of its source again.
        #[arg(long, conflicts_with = "weight")]
        reset: bool,
        #[command(flatten)]
        note: Note,
    },
    /// Show the BGP peers; with a command one of them in full, or the routes.
    #[command(
        after_help = "Examples:\n  lvsctl bgp\n  lvsctl bgp neighbor r1\n  lvsctl bgp rib out 192.0.2.10\n  lvsctl bgp rib in"
    )]
    Bgp {
        #[command(subcommand)]
        what: Option<Bgp>,
    },
    /// Let through a change of a service's source that was held back for taking out too much at once.
    #[command(after_help = "Example:\n  lvsctl confirm web")]
    Confirm {
        /// The service.
        service: String,
    },
    /// Say why a backend is in or out, and since when.
    #[command(after_help = "Example:\n  lvsctl why cp1075")]
    Why {
        /// The backend's host name.
        host: String,
    },
    /// Show the cluster's nodes: sessions, blocks, routes, and what is wrong.
    #[command(after_help = "Examples:\n  lvsctl nodes\n  lvsctl nodes -o json | jq '.alarms'")]
    Nodes,
    /// Show the routes of the cluster's nodes: those in the kernel, and those refused with the reason.
    #[command(
        after_help = "Examples:\n  lvsctl routes\n  lvsctl routes 10.67.1.17\n  lvsctl routes 10.67.0.0/16"
    )]
    Routes {
        /// Only those around and inside this prefix or address.
        prefix: Option<Prefix>,
    },
    /// Print what Calico has to be told of this balancer.
    #[command(subcommand)]
    Calico(Calico),
    /// Show what a new configuration would change in the kernel, addresses, routes and checks; nothing is done.
    #[command(after_help = "Example:\n  lvsctl plan /etc/lvsd/lvsd.toml")]
    Plan {
        /// The configuration; conf.d/*.toml beside it belongs to it.
        file: PathBuf,
    },
    /// Show what the pools would be if backends were down; nothing is done.
    #[command(after_help = "Example:\n  lvsctl simulate --down cp1075,cp1076")]
    Simulate {
        /// Host names, separated by commas.
        #[arg(long, value_name = "HOST,…", value_delimiter = ',', required = true)]
        down: Vec<String>,
    },
    /// Compare the kernel's IPVS table with what lvsd wants; nothing is changed. Exits with 9 when they differ.
    #[command(after_help = "Example:\n  lvsctl diff")]
    Diff,
    /// Have the kernel's IPVS table read and repaired now, rather than at the next resync interval.
    #[command(after_help = "Example:\n  lvsctl resync")]
    Resync,
    /// Have lvsd read its configuration again; one with errors is refused and the old one goes on.
    #[command(after_help = "Example:\n  lvsctl reload")]
    Reload,
    /// Check this host (modules, sysctls, addresses, other programs, lvsd) and say what to change and why.
    #[command(
        after_help = "Examples:\n  sudo lvsctl doctor\n  lvsctl doctor -v\n  lvsctl doctor -o json | jq -r '.[].run // empty'"
    )]
    Doctor {
        /// Show what is as it should be, too.
        #[arg(short, long)]
        verbose: bool,
        /// lvsd's configuration; the running lvsd's own, or /etc/lvsd/lvsd.toml, when not given.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Calico {
    /// Print the BGPPeer of each family and the BGPFilter, to be looked at and applied; nothing is done.
    #[command(
        after_help = "Examples:\n  lvsctl calico print-bgppeer\n  lvsctl calico print-bgppeer --selector 'rack == \"a\"' | kubectl apply -f -"
    )]
    PrintBgppeer {
        /// The balancer's name in the objects' names; this host's own when not given.
        #[arg(long)]
        name: Option<String>,
        /// Which nodes are to talk to this balancer.
        #[arg(long, default_value = "all()")]
        selector: String,
        /// The objects' API: crd.projectcalico.org/v1, or projectcalico.org/v3 for calicoctl and the API server.
        #[arg(long, value_name = "API", default_value = bgppeer::CRD)]
        api: String,
    },
}

#[derive(Debug, Args)]
struct TakeOut {
    /// The backend's host name.
    host: String,
    #[command(flatten)]
    note: Note,
}

#[derive(Debug, Args)]
struct Drain {
    /// The backend's host name.
    #[arg(required_unless_present = "balancer", conflicts_with = "balancer")]
    host: Option<String>,
    /// This balancer instead: routers are asked to prefer others, then all VIPs are withdrawn, until `lvsctl undrain`.
    #[arg(long, conflicts_with = "force")]
    balancer: bool,
    /// With --balancer: watch the traffic go, at most for so long.
    #[arg(long, value_name = "TIME", value_parser = announcements::seconds, requires = "balancer", conflicts_with = "host")]
    wait: Option<u64>,
    #[command(flatten)]
    note: Note,
}

#[derive(Debug, Args)]
struct Note {
    /// Why, for whoever asks later.
    #[command(flatten)]
    said: Said,
    /// Also when a pool falls below its depool threshold.
    #[arg(long)]
    force: bool,
}

fn set_weight(text: &str) -> Result<SetWeight, String> {
    let share = text.strip_suffix('%').map(|share| share.parse().ok().filter(|share| *share <= 100));
    let weight = || text.parse::<u16>().ok().and_then(|weight| Weight::new(weight.into()).ok());
    match share {
        Some(share) => share.map(SetWeight::Percent),
        None => weight().map(SetWeight::Absolute),
    }
    .ok_or_else(|| "expected a weight of 0 to 65535, or a share of 0% to 100%".into())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}"), 1),
    };
    match runtime.block_on(run(&arguments)) {
        Ok(Printed { text, code }) => match std::io::stdout().write_all(text.as_bytes()) {
            // A reader that has seen enough, as in `lvsctl status | head`, is no failure.
            Ok(()) | Err(_) => ExitCode::from(code),
        },
        Err(error) => fail(&error.to_string(), exit_code(&error)),
    }
}

/// What is printed, and how it ends.
struct Printed {
    text: String,
    code: u8,
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("lvsctl: {message}");
    ExitCode::from(code)
}

fn paint() -> render::Paint {
    let is_colored =
        std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    render::Paint::new(is_colored)
}

/// `lvsctl doctor`: it answers also when lvsd does not.
async fn examine(
    arguments: &Arguments,
    verbose: bool,
    config: Option<&Path>,
) -> Result<Printed, ClientError> {
    let facts = doctor::gather::gather(&arguments.socket, config).await;
    let mut findings = doctor::diagnose(&facts);
    let is_quiet = findings.iter().all(|finding| finding.severity == doctor::Severity::Ok);
    if matches!(arguments.output, Output::Json) && !verbose {
        findings.retain(|finding| finding.severity > doctor::Severity::Ok);
    }
    let printed =
        show(arguments.output, &findings, |findings| doctor::render::text(findings, verbose, paint()))?;
    Ok(Printed { code: if is_quiet { 0 } else { SOMETHING_TO_DO }, ..printed })
}

async fn run(arguments: &Arguments) -> Result<Printed, ClientError> {
    let client = Client::new(&arguments.socket);
    let paint = paint();
    let output = arguments.output;
    match &arguments.command {
        Command::Status { service } => {
            let status: Status = client.status(service.as_deref()).await?;
            show(output, &status, |status| render::status(status, paint))
        }
        Command::Depool(out) => take_out(&client, "/v1/depool", (&out.host, &out.note), output).await,
        Command::Inactive(out) => take_out(&client, "/v1/inactive", (&out.host, &out.note), output).await,
        Command::Drain(drain) => match &drain.host {
            Some(host) => take_out(&client, "/v1/drain", (host, &drain.note), output).await,
            None => drain_balancer(&client, drain, output).await,
        },
        Command::Undrain => show(output, &announcements::undrain(&client).await?, render::done),
        Command::Vip(command) => show(output, &announcements::vip(&client, command).await?, render::done),
        Command::Weight { host, weight, note, .. } => {
            let Note { said: Said { reason, lasts }, force } = note;
            let (host, reason) = (host.clone(), reason.clone());
            let request = WeightRequest { host, weight: *weight, reason, force: *force, lasts: *lasts };
            let done: Done = client.post("/v1/weight", &request).await?;
            show(output, &done, render::done)
        }
        Command::Pool { host } => {
            let done: Done = client.post("/v1/pool", &PoolRequest { host: host.clone() }).await?;
            show(output, &done, render::done)
        }
        Command::Bgp { what } => show_bgp(&client, what.as_ref(), output).await,
        Command::Confirm { service } => {
            let request = ConfirmRequest { service: service.clone() };
            let done: Done = client.post("/v1/confirm", &request).await?;
            show(output, &done, render::done)
        }
        Command::Why { host } => {
            let why: Why = client.why(host).await?;
            show(output, &why, |why| render::why(why, paint))
        }
        Command::Nodes => {
            let nodes = client.nodes().await?;
            show(output, &nodes, |nodes| render::nodes(nodes, paint))
        }
        Command::Routes { prefix } => {
            let routes = client.node_routes(prefix.as_ref()).await?;
            show(output, &routes, |routes| render::routes(routes, paint))
        }
        Command::Calico(Calico::PrintBgppeer { name, selector, api }) => {
            let nodes = client.nodes().await?;
            let name = name.clone().unwrap_or_else(host_name);
            let wanted = Wanted { name: &name, selector, api };
            let objects = bgppeer::objects(&wanted, nodes.local_asn, &nodes.local_addresses);
            show(output, &objects, |objects| bgppeer::yaml(objects))
        }
        Command::Plan { file } => {
            let config = config::load(file).map_err(|errors| {
                let message = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
                let message = format!("the configuration has errors:\n  {message}");
                ClientError::Problem(Problem { kind: ProblemKind::BadConfiguration, message })
            })?;
            let plan: Plan = client.post("/v1/plan", &config).await?;
            show(output, &plan, render::plan)
        }
        Command::Simulate { down } => {
            let request = SimulateRequest { down: down.clone() };
            let simulation: Simulation = client.post("/v1/simulate", &request).await?;
            show(output, &simulation, |simulation| render::simulation(simulation, paint))
        }
        Command::Diff => {
            let comparison = client.diff().await?;
            let printed = show(output, &comparison, render::comparison)?;
            Ok(Printed { code: if comparison.differences.is_empty() { 0 } else { DIFFERS }, ..printed })
        }
        Command::Resync => {
            let comparison: Comparison = client.post("/v1/resync", &()).await?;
            show(output, &comparison, render::comparison)
        }
        Command::Reload => {
            let reloaded: Reloaded = client.post("/v1/reload", &()).await?;
            show(output, &reloaded, render::reloaded)
        }
        Command::Doctor { verbose, config } => examine(arguments, *verbose, config.as_deref()).await,
    }
}

/// This host's name, without its domain.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().split('.').next().unwrap_or_default().to_owned()
}

async fn take_out(
    client: &Client,
    path: &str,
    (host, note): (&str, &Note),
    output: Output,
) -> Result<Printed, ClientError> {
    let Note { said: Said { reason, lasts }, force } = note;
    let request =
        TakeOutRequest { host: host.to_owned(), reason: reason.clone(), force: *force, lasts: *lasts };
    let done: Done = client.post(path, &request).await?;
    show(output, &done, render::done)
}

async fn show_bgp(client: &Client, what: Option<&Bgp>, output: Output) -> Result<Printed, ClientError> {
    let paint = paint();
    match what {
        None => {
            let view = bgp::neighbors(client, None).await?;
            show(output, &view, |view| render::bgp::summary(view, paint))
        }
        Some(Bgp::Neighbor { peer }) => {
            let view = bgp::neighbors(client, peer.as_deref()).await?;
            show(output, &view, |view| render::bgp::neighbors(view, paint))
        }
        Some(Bgp::Rib { direction: Direction::Out, prefix }) => {
            let views = bgp::rib_out(client, prefix.as_deref()).await?;
            show(output, &views, |views| render::bgp::rib_out(views, paint))
        }
        Some(Bgp::Rib { direction: Direction::In, prefix }) => {
            let paths = bgp::rib_in(client, prefix.as_deref()).await?;
            show(output, &paths, |paths| render::bgp::rib_in(paths, paint))
        }
    }
}

/// `lvsctl drain --balancer`: with --wait it is watched until its traffic has moved.
async fn drain_balancer(client: &Client, drain: &Drain, output: Output) -> Result<Printed, ClientError> {
    let done = announcements::drain(client, &drain.note.said).await?;
    let printed = show(output, &done, render::done)?;
    let Some(longest) = drain.wait else { return Ok(printed) };
    let has_moved = announcements::watch(client, Duration::from_secs(longest)).await?;
    Ok(Printed { code: if has_moved { 0 } else { STILL_BUSY }, ..printed })
}

fn show<T: Serialize>(
    output: Output,
    answer: &T,
    table: impl Fn(&T) -> String,
) -> Result<Printed, ClientError> {
    let text = match output {
        Output::Table => table(answer),
        Output::Json => serde_json::to_string_pretty(answer).map_err(ClientError::Json)? + "\n",
    };
    Ok(Printed { text, code: 0 })
}

fn exit_code(error: &ClientError) -> u8 {
    match error {
        ClientError::NotRunning { .. } => 3,
        ClientError::Permission { .. } => 6,
        ClientError::Http(_) | ClientError::Json(_) => 1,
        ClientError::Problem(problem) => match problem.kind {
            ProblemKind::BadRequest | ProblemKind::Kernel => 1,
            ProblemKind::NotFound => 4,
            ProblemKind::Refused => 5,
            ProblemKind::Denied => 6,
            ProblemKind::BadConfiguration => 7,
            ProblemKind::Stopping => 3,
        },
    }
}
