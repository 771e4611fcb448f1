//! lvsd and lvsctl as they are typed: what they print and how they exit.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use clap::CommandFactory;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

const LVSD: &str = env!("CARGO_BIN_EXE_lvsd");
const LVSCTL: &str = env!("CARGO_BIN_EXE_lvsctl");

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().expect("the program can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("programs print text")
}

const GOOD: &str = r#"
[service.web]
vips = ["192.0.2.10"]
port = 80
backends = [{ host = "10.64.0.11" }]
checks = [{ type = "tcp" }]
"#;

fn written(directory: &Path, content: &str) -> String {
    let file = directory.join("lvsd.toml");
    fs::write(&file, content).unwrap();
    file.display().to_string()
}

#[test]
fn a_good_configuration_is_said_to_be_good() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), GOOD);
    for arguments in [vec!["check-config", &file], vec!["--config", &file, "check-config"]] {
        let output = run(LVSD, &arguments);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout), format!("{file}: 1 service, no errors\n"));
    }
}

#[test]
fn every_error_of_a_configuration_is_printed_with_its_line_and_the_exit_is_1() {
    let directory = tempfile::tempdir().unwrap();
    let bad = GOOD.replace("port = 80", "prot = 80").replace("\"tcp\"", "\"tpc\"");
    let file = written(directory.path(), &bad);
    let output = run(LVSD, &["check-config", &file]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains(&format!("{file}:4:")) && said.contains("did you mean `port` or `pool`?"),
        "{said}"
    );
    assert!(said.contains(&format!("{file}:6:")) && said.contains("tpc"), "{said}");
    assert!(said.ends_with("errors\n"), "{said}");
}

#[test]
fn lvsd_does_not_start_with_a_bad_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "[service.web]\n");
    let output = run(LVSD, &["--config", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("vips"), "{}", text(&output.stderr));
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let output = run(LVSD, &["check-config", "/nowhere/lvsd.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nowhere/lvsd.toml"), "{}", text(&output.stderr));
}

#[test]
fn lvsd_not_running_is_one_clear_line_and_exit_3() {
    for arguments in
        [vec!["status"], vec!["depool", "rs1"], vec!["pool", "rs1"], vec!["why", "rs1"], vec!["reload"]]
    {
        let output = run(LVSCTL, &[&["--socket", "/nowhere/control.sock"], arguments.as_slice()].concat());
        assert_eq!(output.status.code(), Some(3));
        let said = text(&output.stderr);
        assert!(said.starts_with("lvsctl: lvsd is not running: /nowhere/control.sock: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    assert_eq!(run(LVSCTL, &["depol", "rs1"]).status.code(), Some(2));
    assert_eq!(run(LVSD, &["--confg", "x"]).status.code(), Some(2));
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = text(&run(LVSCTL, &["--help"]).stdout);
    for word in ["status", "depool", "pool", "why", "reload", "Exit codes:", "  3  lvsd does not run"] {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
}

/// Every command below this one that does something, as it is typed.
fn commands(of: &clap::Command, typed: &str, found: &mut Vec<String>) {
    for command in of.get_subcommands() {
        let typed = format!("{typed} {}", command.get_name());
        commands(command, &typed, found);
        if !command.is_subcommand_required_set() {
            found.push(typed);
        }
    }
}

#[test]
fn the_help_of_every_command_has_an_example_of_it() {
    let mut found = Vec::new();
    commands(&lvsd::ctl::arguments::Arguments::command(), "lvsctl", &mut found);
    assert!(found.len() > 20, "{found:?}");
    for typed in found {
        let words: Vec<&str> = typed.split(' ').skip(1).chain(["--help"]).collect();
        let help = text(&run(LVSCTL, &words).stdout);
        let (_, examples) = help.split_once("Example").unwrap_or_default();
        let starts = |line: &str| line.trim_start().trim_start_matches("sudo ").starts_with(&typed);
        assert!(examples.lines().any(starts), "{typed} has no example of itself:\n{help}");
    }
}

#[test]
fn doctor_is_of_use_while_lvsd_does_not_run_and_exits_with_8() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), &GOOD.replace("port = 80", "prot = 80"));
    let socket = directory.path().join("control.sock").display().to_string();
    let doctor = ["--socket", &socket, "doctor", "--config", &file];
    let output = run(LVSCTL, &doctor);
    assert_eq!(output.status.code(), Some(8));
    let said = text(&output.stdout);
    assert!(said.starts_with("error    lvsd is not running, should be running: "), "{said}");
    assert!(said.contains(&format!("run  lvsd check-config {file}\n")), "{said}");
    let output = run(LVSCTL, &[&doctor[..], &["-o", "json"]].concat());
    assert_eq!(output.status.code(), Some(8));
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(findings[0]["subject"], "lvsd");
    assert_eq!(findings[0]["severity"], "error");
}

const RECORDING: &str = r#"{"begin":{"format":2,"lvsd":"0.1.0"}}
{"event":{"number":1,"at":1700000000000000,"what":{"restored":{"saved":{},"snapshots":{"pools":[]}}}}}
{"event":{"number":2,"at":1700000000000001,"what":"stop"}}
"#;

#[test]
fn a_replay_prints_the_same_actions_each_time_and_leaves_out_what_was_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lvsd.rec");
    let name = file.display().to_string();
    fs::write(&file, format!("{RECORDING}{{\"event\":{{\"numb")).unwrap();
    let output = run(LVSD, &["replay", &name]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.ends_with("\"event\":2,\"at\":1700000000000001,\"action\":\"exit\"}\n"), "{said}");
    assert!(text(&output.stderr).contains(&format!("{name}:4: the line ends in the middle")));
    assert_eq!(text(&run(LVSD, &["replay", &name]).stdout), said);
}

#[test]
fn a_replay_that_differs_or_cannot_be_read_says_where_and_exits_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lvsd.rec");
    let name = file.display().to_string();
    fs::write(&file, format!("{RECORDING}{{\"did\":{{\"number\":2,\"digest\":\"0\"}}}}\n")).unwrap();
    let output = run(LVSD, &["replay", &name]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("differs at event 2"), "{}", text(&output.stderr));
    fs::write(&file, RECORDING.replace("\"stop\"", "\"stopp\"")).unwrap();
    let output = run(LVSD, &["replay", &name]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("{name}:3:")), "{}", text(&output.stderr));
}

#[test]
fn a_drain_without_a_host_does_not_drain_the_balancer() {
    let socket = "/nonexistent/control.sock";
    for arguments in [&["drain"][..], &["drain", "rs1", "--balancer"], &["drain", "rs1", "--wait", "5s"]] {
        let output = run(LVSCTL, &[&["--socket", socket], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    }
    let said = run(LVSCTL, &["drain"]);
    let said = text(&said.stderr);
    assert!(said.starts_with("lvsctl: drain what? Nothing was done.\n"), "{said}");
    for command in ["lvsctl drain HOST ", "lvsctl drain --balancer ", "`lvsctl undrain`"] {
        assert!(said.contains(command), "{command}: {said}");
    }
    let asked = run(LVSCTL, &["--socket", socket, "drain", "--balancer"]);
    assert_eq!(asked.status.code(), Some(3), "{}", text(&asked.stderr));
}

const PYBAL: &str = "[global]\nbgp = yes\nbgp-local-asn = 64600\nbgp-peer-address = 10.64.0.251\n\
                     bgp-nexthop-ipv4 = 10.64.0.1\n[web_80]\nprotocol = tcp\nip = 192.0.2.10\nport = 80\n\
                     scheduler = wrr\nconfig = file:///etc/pybal/pools/web\nmonitors = ['IdleConnection']\n";

#[test]
fn a_configuration_of_pybals_becomes_one_that_check_config_takes() {
    let directory = tempfile::tempdir().unwrap();
    let pybal = directory.path().join("pybal.conf").display().to_string();
    fs::write(&pybal, PYBAL).unwrap();
    let to = directory.path().display().to_string();
    let output = run(LVSCTL, &["import-pybal", &pybal, "--peer-asn", "65001", "--to", &to]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    let file = format!("{to}/lvsd.toml");
    let end =
        format!("1 service, 0 things not carried over; look at {file}, then: lvsd check-config {file}\n");
    assert!(text(&output.stderr).ends_with(&end), "{}", text(&output.stderr));
    let checked = run(LVSD, &["check-config", &file]);
    assert_eq!(text(&checked.stdout), format!("{file}: 1 service, no errors\n"));
    let again = run(LVSCTL, &["import-pybal", &pybal, "--to", &to]);
    assert_eq!(again.status.code(), Some(7), "what is there is not written over");
    assert!(text(&again.stderr).contains(&file), "{}", text(&again.stderr));
}

#[test]
fn what_pybals_configuration_loses_is_told_with_file_and_line_and_exit_11() {
    let directory = tempfile::tempdir().unwrap();
    let pybal = directory.path().join("pybal.conf").display().to_string();
    fs::write(&pybal, PYBAL).unwrap();
    let output = run(LVSCTL, &["import-pybal", &pybal]);
    assert_eq!(output.status.code(), Some(11));
    let told = text(&output.stderr);
    assert!(told.contains(&format!("not carried over:\n  {pybal}:4: global.bgp-peer-address: ")), "{told}");
    assert!(text(&output.stdout).starts_with("# lvsd.toml\n"), "the configuration is there all the same");
    let output = run(LVSCTL, &["import-pybal", &pybal, "-o", "json"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(11), ""));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["lost"][0]["line"].as_u64(), report["services"].as_u64()), (Some(4), Some(1)));
}

#[test]
fn a_file_that_is_none_of_pybals_is_refused_line_by_line_with_exit_7() {
    let directory = tempfile::tempdir().unwrap();
    let pybal = directory.path().join("pybal.conf").display().to_string();
    for (content, said) in [
        ("port\n[web]\n= 1\n", format!("lvsctl: {pybal}:1: expected a [section] first")),
        ("", format!("lvsctl: {pybal}: no section of a service in it")),
    ] {
        fs::write(&pybal, content).unwrap();
        let output = run(LVSCTL, &["import-pybal", &pybal]);
        assert_eq!(output.status.code(), Some(7));
        assert!(text(&output.stderr).starts_with(&said), "{}", text(&output.stderr));
    }
    let missing = run(LVSCTL, &["import-pybal", "/nowhere/pybal.conf", "--peer-asn", "65001"]);
    assert_eq!(missing.status.code(), Some(7));
    assert_eq!(run(LVSCTL, &["import-pybal", &pybal, "--peer-asn", "r1"]).status.code(), Some(2));
}

/// Asks a running lvsd until its answer is as wanted; what it was.
fn until(socket: &str, words: &[&str], what: &str, is_so: impl Fn(&str) -> bool) -> String {
    let begun = std::time::Instant::now();
    loop {
        let output = run(LVSCTL, &[&["--socket", socket], words].concat());
        let said = text(&output.stdout) + &text(&output.stderr);
        if is_so(&said) {
            return said;
        }
        assert!(begun.elapsed().as_secs() < 60, "waited for {what}: {said}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// lvsd until the test ends.
struct Running {
    child: std::process::Child,
    socket: String,
}

impl Running {
    /// A dry run in a directory, with these words; what it logs goes to `log` there.
    fn start(directory: &Path, configuration: &str, levels: &str, words: &[&str]) -> Self {
        let path = directory.display();
        let socket = format!("{path}/control.sock");
        let daemon =
            format!("[lvsd]\nhttp = \"off\"\nstate_dir = \"{path}/state\"\ncontrol_socket = \"{socket}\"\n");
        let file = written(directory, &(daemon + configuration));
        let mut command = Command::new(LVSD);
        command.env("LVSD_LOG", levels).args(["--dry-run", "--config", &file]).args(words);
        let child = command.stderr(fs::File::create(directory.join("log")).unwrap()).spawn().unwrap();
        Self { child, socket }
    }

    fn lvsctl(&self, words: &[&str]) -> Output {
        run(LVSCTL, &[&["--socket", &self.socket], words].concat())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The kernel of who tries it may have no IPVS, as this test's may not.
#[test]
fn a_dry_run_checks_servers_whether_the_kernel_has_ipvs_or_not() {
    let listener = std::net::TcpListener::bind("127.0.0.3:0").unwrap();
    let server = listener.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let content = GOOD
        .replace("10.64.0.11", "127.0.0.3")
        .replace("\"tcp\"", &format!("\"tcp\", port = {}", server.port()));
    let lvsd = Running::start(directory.path(), &content, "error", &[]);
    let up = format!("  tcp {server}: up since ");
    until(&lvsd.socket, &["why", "127.0.0.3"], "a check that passes", |said| said.contains(&up));
    let status = text(&lvsd.lvsctl(&["status"]).stdout);
    assert!(status.contains("dry run: nothing is written to the kernel"), "{status}");
}

/// Waits until a file has a line with these words; the line.
fn line_with(file: &Path, words: &str) -> String {
    let begun = std::time::Instant::now();
    loop {
        let written = fs::read_to_string(file).unwrap();
        if let Some(line) = written.lines().find(|line| line.contains(words)) {
            return line.to_owned();
        }
        assert!(begun.elapsed().as_secs() < 60, "waited for {words}: {written}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_level_is_logged_from_the_moment_that_it_is_asked_for_until_it_is_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let lvsd = Running::start(directory.path(), GOOD, "error", &[]);
    until(&lvsd.socket, &["log-level"], "lvsd", |said| said == "lvsd logs error\n");
    let is_done = |words: &[&str]| {
        let output = lvsd.lvsctl(words);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    // What is told is written a moment later, by a thread of its own; then it is among the events as well, at any level.
    let change = |word: &str, reason: &str| {
        is_done(&[word, "10.64.0.11", "--force", "--reason", reason]);
        until(&lvsd.socket, &["events"], reason, |said| said.contains(reason));
    };
    change("depool", "quiet at first");
    is_done(&["log-level", "info"]);
    change("drain", "now it is told");
    let line = line_with(&log, "now it is told");
    let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
    assert_eq!((&line["level"], &line["service"]), (&"INFO".into(), &"web".into()), "{line}");
    assert!(line["subject"].as_str().is_some_and(|subject| subject.starts_with("10.64.0.11")), "{line}");
    assert!(line["event"].is_u64() && line["reason"].is_string(), "{line}");
    is_done(&["log-level", "--reset"]);
    change("depool", "quiet again");
    is_done(&["log-level", "info"]);
    change("drain", "told once more");
    line_with(&log, "told once more");
    let written = fs::read_to_string(&log).unwrap();
    // Later lines quote what was said before of a change.
    assert!(!written.contains("): depooled ("), "{written}");
    assert!(written.contains("): drained ("), "{written}");
}

/// Lets nobody in who asks by HTTP; what it was asked.
fn refuses() -> (std::net::SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let heard = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut question = vec![0; 16384];
            let count = stream.read(&mut question).unwrap_or(0);
            heard.lock().unwrap().extend(&question[..count]);
            let answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            // Who does not wait for the answer has gone.
            let _ = stream.write_all(answer);
        }
    });
    (address, asked)
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|some| some == text.as_bytes())
}

/// Each secret that a configuration can name, in a file of its own; the sources are at `server`.
fn with_secrets(directory: &Path, server: std::net::SocketAddr) -> (String, [&'static str; 4]) {
    let secrets = ["hunter2-router", "hunter3-nodes", "hunter4-etcd", "hunter5-cluster"];
    for secret in &secrets[..3] {
        fs::write(directory.join(secret.split_once('-').unwrap().1), format!("{secret}\n")).unwrap();
    }
    let path = directory.display();
    let kubeconfig = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
         clusters: [{{name: c, cluster: {{server: \"http://{server}\"}}}}], users: [{{name: u, user: {{token: {}}}}}]}}\n",
        secrets[3]
    );
    fs::write(directory.join("kubeconfig"), kubeconfig).unwrap();
    let configuration = format!(
        r#"{GOOD}
[bgp]
local_asn = 64600
router_id = "10.64.0.1"
[[bgp.peer]]
name = "r1"
address = "127.0.0.9"
asn = 65001
password_file = "{path}/router"
[nodes]
mode = "static"
password_file = "{path}/nodes"
[[nodes.node]]
name = "k1"
addresses = ["127.0.0.8"]
asn = 64601
[[nodes.pool]]
cidr = "10.67.128.0/18"
[source.etcd]
type = "etcd"
endpoints = ["http://{server}"]
username = "lvsd"
password_file = "{path}/etcd"
[source.k8s]
type = "kubernetes"
kubeconfig = "{path}/kubeconfig"
[service.pooled]
vips = ["192.0.2.11"]
port = 80
pool = {{ source = "etcd", path = "eqiad/text/nginx" }}
checks = []
[service.cluster]
vips = ["192.0.2.12"]
port = 80
pool = {{ source = "k8s", service = "prod/web", port = "https" }}
checks = []
"#
    );
    (configuration, secrets)
}

#[test]
fn no_secret_is_in_a_log_at_its_loudest_nor_in_an_answer_nor_in_a_recording() {
    let directory = tempfile::tempdir().unwrap();
    let (server, asked) = refuses();
    let (configuration, secrets) = with_secrets(directory.path(), server);
    let recording = directory.path().join("recording");
    let words = ["--record", recording.to_str().unwrap()];
    let lvsd = Running::start(directory.path(), &configuration, "trace", &words);
    let away = |said: &str| said.matches("  away  ").count() == 2;
    let mut told = until(&lvsd.socket, &["status"], "both sources to be said to be away", away);
    for words in [
        &["status"][..],
        &["bgp"],
        &["bgp", "neighbor"],
        &["nodes"],
        &["why", "pooled"],
        &["why", "cluster"],
        &["events"],
        &["fleet"],
        &["reload"],
    ] {
        let output = lvsd.lvsctl(&[words, &["-o", "json"]].concat());
        told += &(text(&output.stdout) + &text(&output.stderr));
    }
    drop(lvsd);
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(log.contains("\"level\":\"TRACE\""), "it is loud");
    assert!(has(&asked.lock().unwrap(), secrets[3]), "the token was sent");
    let recorded = fs::read(&recording).unwrap();
    assert!(!recorded.is_empty());
    for secret in secrets {
        for (what, written) in
            [("an answer", told.as_bytes()), ("the log", log.as_bytes()), ("the recording", &recorded)]
        {
            assert!(!has(written, secret), "{secret} is in {what}");
        }
    }
}

/// What is below the line of an error in what `lvsd check-config` says of a file.
fn shown(content: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), content);
    let output = run(LVSD, &["check-config", &file]);
    assert_eq!(output.status.code(), Some(1));
    text(&output.stderr).replace(&file, "lvsd.toml")
}

#[test]
fn each_error_of_a_configuration_shows_its_line_with_a_caret() {
    let unknown = shown(&GOOD.replace("port = 80", "prot = 80"));
    let (_, unknown) = unknown.split_once("lvsd.toml:4:1: ").expect("the unknown key");
    assert!(
        unknown.starts_with(
            "service.web.prot: unknown key; did you mean `port` or `pool`?\n    4 | prot = 80\n      | ^^^^\n"
        ),
        "{unknown}"
    );
    let value = shown(&GOOD.replace("port = 80", "port = 70000"));
    assert_eq!(
        value,
        "lvsd.toml:4:8: service.web.port: expected a port 1-65535, found 70000\n    4 | port = 70000\n      |        ^^^^^\n\
         lvsd: lvsd.toml: 1 error\n"
    );
    let twice = shown(&GOOD.replace("port = 80", "port = 80\nport = 81"));
    assert!(
        twice.contains("\n    4 | port = 80\n      | ---- the first\n    5 | port = 81\n      | ^^^^\n"),
        "{twice}"
    );
    let syntax = shown(&GOOD.replace("\"192.0.2.10\"]", "\"192.0.2.10\""));
    assert!(syntax.contains(": not TOML: ") && syntax.contains("^"), "{syntax}");
}
