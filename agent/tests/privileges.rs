//! Capabilities that commands get of lvsd. Needs root, and setpriv of Debian's package util-linux.
//!
//! This program runs itself as a service manager runs lvsd: as a user with ambient capabilities.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use health::probe::probe;
use health::{Check, CommandParts, Kind, OwnSockets, Program, Timing, User};
use libtest_mimic::{Arguments, Failed, Trial};
use lvsd::privileges::keep_from_children;

/// Says in the environment that this is the program within, and whether it gives up what lvsd gives up.
const WITHIN: &str = "PRIVILEGES_TEST";

const NOTHING: &str = "0000000000000000";

/// CAP_NET_BIND_SERVICE and CAP_NET_ADMIN (linux/capability.h).
const BOTH: &str = "0000000000001400";

fn main() -> ExitCode {
    match std::env::var(WITHIN).as_deref() {
        Ok(what) => within(what == "given up"),
        Err(_) => {
            let trials = vec![
                Trial::test("a_command_gets_none_of_the_capabilities_that_lvsd_has", given_up),
                Trial::test("a_command_would_get_them_if_lvsd_did_not_give_them_up", kept),
            ];
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}

/// Runs a command as a check and prints what capabilities it has, then those of this process.
fn within(gives_up: bool) -> ExitCode {
    if gives_up {
        keep_from_children().expect("given up");
    }
    let script = r#"echo $(sed -n 's/^\(Cap[IPEA][nrfm][hmfb]\):/\1/p' /proc/self/status); exit 1"#;
    let parts = CommandParts {
        program: "/bin/sh".to_owned(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        values: Default::default(),
        user: User::default(),
    };
    let kind = Kind::Command(Program::new(parts).expect("a program"));
    let patience = Duration::from_secs(60);
    let timing = Timing::new(patience, patience, 1, 1).expect("a timing");
    let check = Check::new(SocketAddr::from(([127, 0, 0, 1], 1)), kind, timing);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let outcome =
        runtime.block_on(async { tokio::spawn(async move { probe(&check, &OwnSockets, 0).await }).await });
    println!("{}", outcome.expect("no panic").expect_err("it exits with 1"));
    let own = fs::read_to_string("/proc/self/status").expect("its state");
    println!("{}", own.lines().find(|line| line.starts_with("CapEff:")).expect("its capabilities"));
    ExitCode::SUCCESS
}

/// Runs this program as nobody with both capabilities ambient.
fn as_a_service(what: &str) -> Result<String, Failed> {
    // Where it was built nobody may look.
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let program = directory.path().join("privileges");
    // By a process that has ended: a file that this one had open for writing could not be run while another test forks.
    let copied = Command::new("cp").arg(std::env::current_exe()?).arg(&program).status()?;
    assert!(copied.success(), "cp: {copied}");
    let given = "+net_admin,+net_bind_service";
    let output = Command::new("/usr/bin/setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args(["--inh-caps", given, "--ambient-caps", given])
        .arg(&program)
        .env(WITHIN, what)
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("run as root: this test gives capabilities to another user: {said}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn expect(what: &str, command: &str) -> Result<(), Failed> {
    let said = as_a_service(what)?;
    let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|set| format!("{set} {command}")).join(" ");
    let expected = format!("exit status 1: {sets}\nCapEff:\t{BOTH}\n");
    if said == expected { Ok(()) } else { Err(format!("expected {expected:?}, found {said:?}").into()) }
}

fn given_up() -> Result<(), Failed> {
    expect("given up", NOTHING)
}

fn kept() -> Result<(), Failed> {
    expect("kept", BOTH)
}
