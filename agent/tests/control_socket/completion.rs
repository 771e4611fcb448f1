//! Tab in a real bash, with names that the running lvsd has.

use crate::daemon::Daemon;
use std::path::Path;
use std::process::Command;

const SERVICES: &str = r#"
[service.web]
vips = ["192.0.2.10", "2001:db8::10"]
port = 80
backends = [{ host = "cp1075", addresses = ["10.64.0.11", "fd00:64::11"] }, { host = "cp1076", addresses = ["10.64.0.12"] }]
checks = []

[service.dns]
vips = ["2001:db8::53"]
port = 53
backends = [{ host = "ns1", addresses = ["fd00:64::53"] }]
checks = []
"#;

/// What readline would be given at the end of a line: each possible word, sorted. `lvsctl` is the one in `programs`.
fn completed(programs: &Path, line: &str) -> Vec<String> {
    // Readline sets COMP_LINE and COMP_POINT, and calls the function.
    let script = "source <(COMPLETE=bash lvsctl) || exit; complete -p lvsctl >/dev/null || exit
        COMP_LINE=$1; COMP_POINT=${#1}; _lvsctl lvsctl '' ''
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash", line]).env("PATH", path).env_remove("BASH_ENV");
    let output = bash.output().expect("bash can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("names are text");
    let mut words: Vec<String> = said.lines().filter(|word| !word.is_empty()).map(Into::into).collect();
    words.sort_unstable();
    words
}

async fn at(daemon: &Daemon, words: &str) -> Vec<String> {
    let line = format!("lvsctl --socket {} {words}", daemon.socket().display());
    let programs = daemon.directory.path().to_owned();
    tokio::task::spawn_blocking(move || completed(&programs, &line)).await.expect("no panic")
}

#[tokio::test]
async fn tab_knows_the_services_backends_and_vips_of_the_running_lvsd() {
    let daemon = Daemon::start_with(SERVICES).await;
    assert_eq!(at(&daemon, "status w").await, ["web"]);
    assert_eq!(at(&daemon, "confirm d").await, ["dns"]);
    for command in ["why", "depool", "drain", "inactive", "pool", "weight"] {
        assert_eq!(at(&daemon, &format!("{command} cp")).await, ["cp1075", "cp1076"], "{command}");
    }
    assert_eq!(at(&daemon, "simulate --down ns1,cp1075").await, ["ns1,cp1075"]);
    assert_eq!(at(&daemon, "vip withdraw 192").await, ["192.0.2.10"]);
    assert_eq!(at(&daemon, "depool --service w").await, ["web"]);
    assert_eq!(at(&daemon, "-o js").await, ["json"]);
}

#[tokio::test]
async fn an_ipv6_vip_is_completed_though_readline_cuts_words_at_colons() {
    let daemon = Daemon::start_with(SERVICES).await;
    // Readline has `2001:db8::` already, and adds what it is given.
    assert_eq!(at(&daemon, "vip announce 2001:db8::5").await, ["53"]);
    assert_eq!(at(&daemon, "vip announce 2001:db8::").await, ["10", "53"]);
}

#[tokio::test]
async fn without_lvsd_there_are_commands_and_no_names() {
    let daemon = Daemon::start_with(SERVICES).await;
    let programs = daemon.directory.path().to_owned();
    let (names, commands) = tokio::task::spawn_blocking(move || {
        let nowhere = "lvsctl --socket=/nowhere/control.sock";
        (completed(&programs, &format!("{nowhere} why ")), completed(&programs, &format!("{nowhere} und")))
    })
    .await
    .expect("no panic");
    assert_eq!(names.iter().filter(|name| !name.starts_with('-')).count(), 0, "{names:?}");
    assert_eq!(commands, ["undrain"]);
}
