//! Tab in real shells, with names that the running lvsd has.

use crate::daemon::{Daemon, World};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest that a slow machine may take.
const LIMIT: Duration = Duration::from_secs(60);

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

/// What fish would show at the end of a line, without what it says of each.
fn completed_by_fish(programs: &Path, line: &str) -> Vec<String> {
    let script = "COMPLETE=fish lvsctl | source; complete --do-complete $argv[1]";
    let mut fish = Command::new("fish");
    fish.args(["--no-config", "-c", script, line]);
    shown(fish, programs, '\t')
}

/// The same by zsh: what its completion hands to `_describe`, which shows it.
fn completed_by_zsh(programs: &Path, line: &str) -> Vec<String> {
    let script = "compdef() { : }; _describe() { print -rl -- ${(P)3} }
        source <(COMPLETE=zsh lvsctl); words=(${(z)1}); [[ $1 == *' ' ]] && words+=('')
        CURRENT=$#words; _clap_dynamic_completer_lvsctl";
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-c", script, "zsh", line]);
    shown(zsh, programs, ':')
}

/// The words of a shell's answer, sorted; what follows `end` in a line is said of the word.
fn shown(mut shell: Command, programs: &Path, end: char) -> Vec<String> {
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let output =
        shell.env("PATH", path).env("HOME", programs).output().expect("fish and zsh are there: make deps");
    // Some say with their status that there is no word.
    let is_well = output.status.success() || output.stderr.is_empty();
    assert!(is_well, "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("names are text");
    // zsh has a colon that is a word's own behind a backslash.
    let word =
        |line: &str| line.replace("\\:", "\0").split(end).next().unwrap_or_default().replace('\0', ":");
    let mut words: Vec<String> = said.lines().map(word).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words
}

#[tokio::test]
async fn fish_and_zsh_complete_as_bash_does() {
    let daemon = Daemon::start_with(SERVICES).await;
    for completed in [completed_by_fish as fn(&Path, &str) -> Vec<String>, completed_by_zsh] {
        for (words, wanted) in [
            ("status w", &["web"][..]),
            ("depool cp", &["cp1075", "cp1076"]),
            ("vip announce 2001:db8::", &["2001:db8::10", "2001:db8::53"]),
            ("und", &["undrain"]),
            ("-o js", &["json"]),
        ] {
            expect_of(completed, &daemon, words, wanted).await;
        }
    }
}

/// Waits until Tab gives these: who presses it does not wait for long, and a busy machine's answer may come later.
async fn expect(daemon: &Daemon, words: &str, wanted: &[&str]) {
    expect_of(completed, daemon, words, wanted).await;
}

/// The same of any shell.
async fn expect_of(completed: fn(&Path, &str) -> Vec<String>, daemon: &Daemon, words: &str, wanted: &[&str]) {
    let line = format!("lvsctl --socket {} {words}", daemon.socket().display());
    let begun = Instant::now();
    loop {
        let (programs, line) = (daemon.directory.path().to_owned(), line.clone());
        let found = tokio::task::spawn_blocking(move || completed(&programs, &line)).await.expect("no panic");
        if found == wanted {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{words}: {found:?}, not {wanted:?}");
    }
}

#[tokio::test]
async fn tab_knows_the_services_backends_and_vips_of_the_running_lvsd() {
    let daemon = Daemon::start_with(SERVICES).await;
    expect(&daemon, "status w", &["web"]).await;
    expect(&daemon, "confirm d", &["dns"]).await;
    for command in ["why", "depool", "drain", "inactive", "pool", "weight"] {
        expect(&daemon, &format!("{command} cp"), &["cp1075", "cp1076"]).await;
    }
    expect(&daemon, "simulate --down ns1,cp1075", &["ns1,cp1075"]).await;
    expect(&daemon, "vip withdraw 192", &["192.0.2.10"]).await;
    expect(&daemon, "depool --service w", &["web"]).await;
    expect(&daemon, "-o js", &["json"]).await;
}

#[tokio::test]
async fn tab_knows_the_peers() {
    let bgp = "[bgp]\nlocal_asn = 64600\nrouter_id = \"10.64.0.1\"\npeer = [\n\
               \x20 { name = \"core1\", address = \"127.0.0.251\", asn = 65001 },\n\
               \x20 { name = \"core2\", address = \"127.0.0.252\", asn = 65001 },\n]\n";
    let daemon = Daemon::start_in(&format!("{bgp}{SERVICES}"), World::Whole).await;
    expect(&daemon, "bgp neighbor c", &["core1", "core2"]).await;
}

#[tokio::test]
async fn an_ipv6_vip_is_completed_though_readline_cuts_words_at_colons() {
    let daemon = Daemon::start_with(SERVICES).await;
    // Readline has `2001:db8::` already, and adds what it is given.
    expect(&daemon, "vip announce 2001:db8::5", &["53"]).await;
    expect(&daemon, "vip announce 2001:db8::", &["10", "53"]).await;
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
