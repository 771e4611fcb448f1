//! Programs that find out whether a server serves. They run as root does: as nobody.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::spec::{CommandParts, Program, User};

fn target() -> SocketAddr {
    "127.0.0.1:389".parse().expect("an address")
}

fn command(program: &str, arguments: &[&str]) -> Kind {
    let parts = CommandParts {
        program: program.to_owned(),
        arguments: arguments.iter().map(ToString::to_string).collect(),
        values: [("host".to_owned(), "rs1".to_owned())].into(),
        user: User::default(),
    };
    Kind::Command(Program::new(parts).expect("a program"))
}

fn sh(script: &str, argument: &Path) -> Kind {
    command("/bin/sh", &["-c", script, "check", argument.to_str().expect("a path of ASCII")])
}

async fn words(script: &str) -> String {
    run(target(), sh(script, Path::new("")), PATIENCE).await.expect_err("a failure").to_string()
}

/// A file that any user may write.
fn writable() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let everyone = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(directory.path(), everyone(0o755)).expect("permissions");
    let path = directory.path().join("pids");
    fs::write(&path, "").expect("a file");
    fs::set_permissions(&path, everyone(0o666)).expect("permissions");
    (directory, path)
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} in time"));
}

/// The processes that the command has named in its file, itself first.
async fn named(path: &Path) -> Vec<String> {
    let pids = || fs::read_to_string(path).expect("a file");
    until("two processes named", || pids().ends_with('\n')).await;
    pids().split_whitespace().map(str::to_owned).collect()
}

/// The state of a process, as proc(5) has it; none when there is none.
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Waits until the command is gone and waited for, and what it has started is dead at least: whether that is waited for
/// is up to the machine's process 1.
async fn all_end(pids: &[String]) {
    let [command, child] = pids else { panic!("two processes: {pids:?}") };
    until("the command's end", || state(command).is_none()).await;
    until("its child's end", || matches!(state(child), None | Some('Z'))).await;
}

/// Starts a child that lasts, names both in the file, and goes on with this.
fn forking(then: &str) -> String {
    format!("sleep 1000 & echo $$ $! >\"$1\"; {then}")
}

#[tokio::test]
async fn a_program_says_by_its_exit_status_whether_the_server_serves() {
    run(target(), command("/bin/true", &[]), PATIENCE).await.expect("up");
    assert_eq!(
        words("echo binding; echo LDAP bind failed >&2; exit 49").await,
        "exit status 49: LDAP bind failed"
    );
    assert_eq!(words("exit 1").await, "exit status 1");
    assert_eq!(words("echo ouch; kill -TERM $$").await, "killed by signal 15: ouch");
}

#[tokio::test]
async fn a_program_gets_its_arguments_and_names_and_nothing_else_of_this_process() {
    let seen = run(target(), command("/bin/cat", &["/proc/self/environ", "/{host}:{port}"]), PATIENCE);
    let expected = "exit status 1: LVSD_ADDRESS=127.0.0.1 LVSD_HOST=rs1 LVSD_PORT=389 LVSD_RUN=MARK \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /bin/cat: '/rs1:389': No such file or directory";
    let seen = seen.await.expect_err("no such file").to_string();
    let (before, rest) = seen.split_once("LVSD_RUN=").expect("a mark");
    let (mark, after) = rest.split_once(' ').expect("what follows it");
    assert!(mark.len() > 16, "{seen}");
    assert_eq!(format!("{before}LVSD_RUN=MARK {after}"), expected);
    let places = "echo $(readlink /proc/self/fd/0) $(pwd); exit 1";
    assert_eq!(words(places).await, "exit status 1: /dev/null /");
}

#[tokio::test]
async fn a_program_run_by_root_is_nobody_without_groups_and_capabilities() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "run as root: this test is about what a program does not get of it"
    );
    assert_eq!(words("echo $(id -u) $(id -g) $(id -G); exit 1").await, "exit status 1: 65534 65534 65534");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let line = words(&format!("grep {set}: /proc/self/status; exit 1")).await;
        assert_eq!(line.split_whitespace().last(), Some("0000000000000000"), "{line}");
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_at_its_timeout_with_all_that_it_has_started() {
    let (_directory, path) = writable();
    let started = Instant::now();
    // Long enough for the shell to come so far even on a busy machine.
    let timeout = Duration::from_secs(4);
    let failure = run(target(), sh(&forking("trap '' TERM; wait"), &path), timeout).await;
    assert_eq!(failure, Err(Failure::Timeout { after: timeout, stage: Stage::RunningCommand }));
    assert!(started.elapsed() < PATIENCE);
    all_end(&named(&path).await).await;
}

#[tokio::test]
async fn a_dropped_probe_leaves_no_process() {
    let (_directory, path) = writable();
    let kind = sh(&forking("wait"), &path);
    let task = tokio::spawn(run(target(), kind, PATIENCE));
    let pids = named(&path).await;
    task.abort();
    all_end(&pids).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_not_waited_for_and_ends_with_it() {
    let (_directory, path) = writable();
    // The child holds the program's output open.
    run(target(), sh(&forking("exit 0"), &path), PATIENCE).await.expect("up");
    all_end(&named(&path).await).await;
    let failure = run(target(), sh(&forking("echo no; exit 1"), &path), PATIENCE).await.expect_err("down");
    assert_eq!(failure.to_string(), "exit status 1: no");
}

/// Starts a child that lasts, in a session of its own, and goes on with this once the child has named both.
fn leaving(then: &str) -> String {
    let child = r#"echo $1 $$ >"$2"; exec sleep 1000"#;
    format!(
        "setsid sh -c '{child}' child $$ \"$1\" </dev/null >/dev/null 2>&1 &\nwhile ! [ -s \"$1\" ]; do sleep 0.02; done; {then}"
    )
}

#[tokio::test]
async fn what_a_program_leaves_in_a_session_of_its_own_ends_with_it() {
    let (_directory, path) = writable();
    run(target(), sh(&leaving("exit 0"), &path), PATIENCE).await.expect("up");
    all_end(&named(&path).await).await;
    fs::write(&path, "").expect("a file");
    // Long enough for the shell to come so far even on a busy machine.
    let failure = run(target(), sh(&leaving("wait"), &path), Duration::from_secs(4)).await;
    assert!(matches!(failure, Err(Failure::Timeout { .. })), "{failure:?}");
    all_end(&named(&path).await).await;
}

#[tokio::test]
async fn what_a_program_that_still_runs_has_started_goes_on_when_another_ends() {
    let ((_one, running), (_other, ended)) = (writable(), writable());
    let task = tokio::spawn(run(target(), sh(&leaving("wait"), &running), 3 * PATIENCE));
    let lasting = named(&running).await;
    run(target(), sh(&leaving("exit 0"), &ended), PATIENCE).await.expect("up");
    all_end(&named(&ended).await).await;
    assert!(lasting.iter().all(|pid| !matches!(state(pid), None | Some('Z'))), "{lasting:?}");
    task.abort();
    all_end(&lasting).await;
}

#[tokio::test]
async fn a_program_that_writes_without_end_is_ended() {
    let failure = run(target(), command("/usr/bin/yes", &[]), PATIENCE).await.expect_err("too much");
    assert_eq!(failure.to_string(), "ended after more than 65536 bytes of output: y");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_this_hosts_fault_and_moves_no_verdict() {
    let failure = run(target(), command("/nope/check", &[]), PATIENCE).await.expect_err("no such program");
    assert!(failure.is_inconclusive());
    assert_eq!(failure.to_string(), "cannot probe: /nope/check cannot be run: No such file or directory");
}

#[tokio::test]
async fn a_program_is_the_first_to_go_when_memory_runs_out() {
    let script = "until [ $(cat /proc/self/oom_score_adj) = 1000 ]; do sleep 0.01; done";
    run(target(), sh(script, Path::new("")), PATIENCE).await.expect("its standing changes");
}
