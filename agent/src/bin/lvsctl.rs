//! lvsctl: asks lvsd, and tells it.

use clap::Parser;
use lvsd::api::messages::{ConfirmRequest, Problem, ProblemKind, SimulateRequest};
use lvsd::config;
use lvsd::core::action::Done;
use lvsd::core::event::TakenOut;
use lvsd::core::nodes::bgppeer::{self, Wanted};
use lvsd::core::plan::{Plan, Simulation};
use lvsd::core::view::{Status, Why};
use lvsd::ctl::announcements;
use lvsd::ctl::arguments::{Arguments, Calico, Command, Drain};
use lvsd::ctl::bgp::{self, Bgp, Direction};
use lvsd::ctl::change::{self, Changed, TakeOut};
use lvsd::ctl::client::{Client, ClientError};
use lvsd::ctl::complete;
use lvsd::ctl::events;
use lvsd::ctl::import::{self, ImportPybal};
use lvsd::ctl::output::Output;
use lvsd::ctl::render;
use lvsd::ctl::resync;
use lvsd::ctl::top;
use lvsd::ctl::watch;
use lvsd::doctor;
use lvsd::exec::fleet::Member;
use lvsd::host;
use lvsd::reload::Reloaded;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The command line is wrong.
const WRONG: u8 = 2;

/// `lvsctl doctor` found something that is to be changed.
const SOMETHING_TO_DO: u8 = 8;

/// `lvsctl diff` found the kernel not as it is to be.
const DIFFERS: u8 = 9;

/// `lvsctl drain --balancer --wait` has seen packets to the end.
const STILL_BUSY: u8 = 10;

/// `lvsctl import-pybal` could not carry everything over.
const NOT_CARRIED_OVER: u8 = 11;

/// Some balancer does not obey what was changed.
const NOT_FOLLOWED: u8 = 12;

fn main() -> ExitCode {
    complete::answer();
    let arguments = Arguments::parse();
    if let Some(wrong) = arguments.is_of_this_host() {
        return fail(wrong, WRONG);
    }
    if let Command::Drain(drain) = &arguments.command
        && let Some(missing) = drain.missing()
    {
        return fail(missing, WRONG);
    }
    if matches!(arguments.command, Command::Top) && !std::io::stdout().is_terminal() {
        return fail("top is for a terminal; elsewhere there is `lvsctl status --watch`", WRONG);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}"), 1),
    };
    match runtime.block_on(run_or_watch(&arguments)) {
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

/// Once, or again and again.
async fn run_or_watch(arguments: &Arguments) -> Result<Printed, ClientError> {
    let Some(every) = arguments.command.watch() else { return run(arguments).await };
    let ask = async || run(arguments).await.map(|printed| printed.text);
    watch::run(every, arguments.output, ask).await?;
    Ok(Printed { text: String::new(), code: 0 })
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
    let output = arguments.output;
    if output.is_for_programs() && !verbose {
        findings.retain(|finding| finding.severity > doctor::Severity::Ok);
    }
    // Commands are copied from it, as they are.
    let text =
        output.verbatim(&findings, |findings| doctor::render::text(findings, verbose, output.paint()))?;
    Ok(Printed { text, code: if is_quiet { 0 } else { SOMETHING_TO_DO } })
}

async fn run(arguments: &Arguments) -> Result<Printed, ClientError> {
    let client = arguments.client();
    let output = arguments.output;
    let paint = output.paint();
    match &arguments.command {
        Command::Status { service, .. } => {
            let status: Status = match service {
                None if output == Output::Table => client.brief_status().await?,
                service => client.status(service.as_deref()).await?,
            };
            show(output, &status, |status| render::status(status, paint))
        }
        Command::Depool(TakeOut { host, place, note }) => {
            show_change(output, &change::take_out(&client, host, (place, note), TakenOut::Depooled).await?)
        }
        Command::Inactive(TakeOut { host, place, note }) => {
            show_change(output, &change::take_out(&client, host, (place, note), TakenOut::Inactive).await?)
        }
        Command::Drain(Drain { host: Some(host), place, note, .. }) => {
            show_change(output, &change::take_out(&client, host, (place, note), TakenOut::Drained).await?)
        }
        Command::Drain(drain) => drain_balancer(&client, drain, output).await,
        Command::Undrain => show(output, &announcements::undrain(&client).await?, render::done),
        Command::Vip(command) => show(output, &announcements::vip(&client, command).await?, render::done),
        Command::Weight(asked) => show_change(output, &change::weigh(&client, asked).await?),
        Command::Pool(asked) => show_change(output, &change::pool(&client, asked).await?),
        Command::Fleet { .. } => {
            let members: Vec<Member> = client.get("/v1/fleet").await?;
            show(output, &members, |members| render::fleet(members, paint))
        }
        Command::Bgp { what, .. } => show_bgp(&client, what.as_ref(), output).await,
        Command::Confirm { service } => {
            let request = ConfirmRequest { service: service.clone() };
            let done: Done = client.post("/v1/confirm", &request).await?;
            show(output, &done, render::done)
        }
        Command::Why { host, .. } => {
            let why: Why = client.why(host).await?;
            show(output, &why, |why| render::why(why, paint))
        }
        Command::Events(wanted) => {
            wanted.run(&client, output, paint).await?;
            Ok(Printed { text: String::new(), code: 0 })
        }
        Command::Top => {
            top::run(client).await?;
            Ok(Printed { text: String::new(), code: 0 })
        }
        Command::LogLevel(wanted) => show(output, &wanted.run(&client).await?, events::levels),
        Command::Nodes { .. } => {
            let nodes = client.nodes().await?;
            show(output, &nodes, |nodes| render::nodes(nodes, paint))
        }
        Command::Routes { prefix, .. } => {
            let routes = client.node_routes(prefix.as_ref()).await?;
            show(output, &routes, |routes| render::routes(routes, paint))
        }
        Command::Calico(Calico::PrintBgppeer { name, selector, api }) => {
            let nodes = client.nodes().await?;
            let name = name.clone().unwrap_or_else(host::short_name);
            let wanted = Wanted { name: &name, selector, api, is_reflector: nodes.reflector.is_some() };
            let objects = bgppeer::objects(&wanted, nodes.local_asn, &nodes.local_addresses);
            // Its own YAML says more than one that is made of it: what to think of before.
            let output = if output == Output::Json { output } else { Output::Table };
            let text = output.verbatim(&objects, |objects| bgppeer::yaml(objects))?;
            Ok(Printed { text, code: 0 })
        }
        Command::Plan { file } => {
            let config = config::load(file).map_err(|errors| {
                let message = format!("the configuration has errors:\n  {}", config::listed(&errors));
                ClientError::Problem(Problem { kind: ProblemKind::BadConfiguration, message })
            })?;
            let plan: Plan = client.post("/v1/plan", &config).await?;
            show(output, &plan, render::plan)
        }
        Command::Simulate { down, .. } => {
            let request = SimulateRequest { down: down.clone() };
            let simulation: Simulation = client.post("/v1/simulate", &request).await?;
            show(output, &simulation, |simulation| render::simulation(simulation, paint))
        }
        Command::Diff { .. } => {
            let comparison = client.diff().await?;
            let printed = show(output, &comparison, render::comparison)?;
            Ok(Printed { code: if comparison.differences.is_empty() { 0 } else { DIFFERS }, ..printed })
        }
        Command::Resync(asked) => show(output, &resync::run(&client, *asked).await?, render::comparison),
        Command::Reload => {
            let reloaded: Reloaded = client.post("/v1/reload", &()).await?;
            show(output, &reloaded, render::reloaded)
        }
        Command::ImportPybal(arguments) => import_pybal(arguments, output),
        Command::Doctor { verbose, config, .. } => examine(arguments, *verbose, config.as_deref()).await,
    }
}

/// `lvsctl import-pybal`: the configuration for programs, what is said of it for people.
fn import_pybal(arguments: &ImportPybal, output: Output) -> Result<Printed, ClientError> {
    let told = import::run(arguments)?;
    let code = if told.imported.lost.is_empty() { 0 } else { NOT_CARRIED_OVER };
    let text = output.verbatim(&told.imported, |_| told.configuration.clone().unwrap_or_default())?;
    if !output.is_for_programs() {
        eprint!("{}", told.report);
    }
    Ok(Printed { text, code })
}

async fn show_bgp(client: &Client, what: Option<&Bgp>, output: Output) -> Result<Printed, ClientError> {
    let paint = output.paint();
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

/// What was changed; a balancer that has not followed shows in the exit code.
fn show_change(output: Output, changed: &Changed) -> Result<Printed, ClientError> {
    if let Some(elsewhere) = &changed.elsewhere {
        eprintln!("{elsewhere}");
    }
    let printed = show(output, changed, render::change::changed)?;
    Ok(Printed { code: if changed.is_missed() { NOT_FOLLOWED } else { 0 }, ..printed })
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
    Ok(Printed { text: output.text(answer, table)?, code: 0 })
}

fn exit_code(error: &ClientError) -> u8 {
    match error {
        ClientError::NotRunning { .. } | ClientError::Unreachable { .. } | ClientError::Silent(_) => 3,
        ClientError::Permission { .. } => 6,
        ClientError::Http(_) | ClientError::Json(_) | ClientError::Terminal(_) => 1,
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
