//! `lvsctl top` by the keyboard of a real terminal, over a real lvsd.

use crate::terminal::{Terminal, screen};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

const SIZE: (u16, u16) = (80, 24);

const SERVICES: &str = r#"
[service.web]
vips = ["192.0.2.10"]
port = 80
backends = [{ host = "rs1", addresses = ["127.0.0.2"] }, { host = "rs2", addresses = ["127.0.0.3"] }]
checks = []
require_on_link = false
"#;

/// lvsd itself; in a dry run, as the kernel of who tries it may not be touched.
struct Lvsd {
    directory: tempfile::TempDir,
    _process: Child,
}

impl Lvsd {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let daemon = format!(
            "[lvsd]\nhttp = \"off\"\nstate_dir = \"{path}/state\"\ncontrol_socket = \"{path}/control.sock\"\n"
        );
        let file = directory.path().join("lvsd.toml");
        std::fs::write(&file, daemon + SERVICES).unwrap();
        let mut lvsd = Command::new(env!("CARGO_BIN_EXE_lvsd"));
        lvsd.arg("--dry-run").arg("--config").arg(&file).env("LVSD_LOG", "error").kill_on_drop(true);
        let process = lvsd.stdout(Stdio::null()).spawn().unwrap();
        let lvsd = Self { directory, _process: process };
        lvsd.until("it runs", |why| why.contains("rs1 (127.0.0.2) in web is")).await;
        lvsd
    }

    fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("control.sock")
    }

    /// Waits until `lvsctl why rs1` is as wanted.
    async fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let mut lvsctl = Command::new(env!("CARGO_BIN_EXE_lvsctl"));
            let output =
                lvsctl.arg("--socket").arg(self.socket()).args(["why", "rs1"]).output().await.unwrap();
            let why = String::from_utf8_lossy(&output.stdout).into_owned();
            if is_so(&why) {
                return why;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "waited for {what}: {why}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn top(lvsd: &Lvsd, size: (u16, u16)) -> Terminal {
    Terminal::start_with(env!("CARGO_BIN_EXE_lvsctl").as_ref(), &lvsd.socket(), size, "top")
}

/// Waits for a line of the screen that has these words.
async fn until(terminal: &Terminal, size: (u16, u16), words: &str) -> Vec<String> {
    let has = |said: &str| screen(said, size).iter().any(|line| line.contains(words));
    screen(&terminal.until(words, has).await, size)
}

#[tokio::test]
async fn a_backend_is_depooled_and_pooled_by_the_keyboard_and_the_terminal_is_given_back() {
    let lvsd = Lvsd::start().await;
    let mut terminal = top(&lvsd, SIZE);
    until(&terminal, SIZE, "1 services").await;
    terminal.press("2").await;
    until(&terminal, SIZE, "web      rs1      127.0.0.2").await;
    terminal.press("d").await;
    until(&terminal, SIZE, "depool rs1 in web? y/N").await;
    terminal.press("y").await;
    let why = lvsd.until("a depool", |why| why.contains("is depooled with weight 0")).await;
    assert!(why.contains("lvsctl top"), "it is noted where that came from: {why}");
    until(&terminal, SIZE, "rs1 is depooled").await;
    until(&terminal, SIZE, "0       depooled").await;
    terminal.press("jd").await;
    until(&terminal, SIZE, "depool rs2 in web? y/N").await;
    terminal.press("y").await;
    until(&terminal, SIZE, "without rs2 the depool threshold would be broken").await;
    terminal.press("kp").await;
    until(&terminal, SIZE, "pool rs1 in web? y/N").await;
    terminal.press("y").await;
    lvsd.until("a pool", |why| !why.contains("depooled")).await;
    terminal.press("q").await;
    let (said, code) = terminal.end().await;
    assert_eq!(code, Some(0), "{said}");
    let (_, after) = said.rsplit_once("\x1b[?1049l").expect("the screen of before is back");
    assert!(said.contains("\x1b[?1049h") && !after.contains("web"), "{after:?}");
}

#[tokio::test]
async fn it_fits_on_sixty_columns_and_a_signal_gives_the_terminal_back() {
    let size = (60, 20);
    let lvsd = Lvsd::start().await;
    let mut terminal = top(&lvsd, size);
    terminal.press("2").await;
    let shown = until(&terminal, size, "rs2").await;
    assert!(shown.iter().any(|line| line.contains("BACKEND") && line.contains("STATE")), "{shown:#?}");
    terminal.kill().await;
    let (said, code) = terminal.end().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\x1b[?1049l"), "{said:?}");
}

#[tokio::test]
async fn on_a_terminal_that_nobody_types_on_any_more_it_ends_when_it_is_told() {
    let lvsd = Lvsd::start().await;
    let mut terminal = top(&lvsd, SIZE);
    until(&terminal, SIZE, "1 services").await;
    terminal.abandon();
    terminal.kill().await;
    let (said, code) = terminal.end().await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn without_a_terminal_it_says_what_to_take_instead() {
    let mut lvsctl = Command::new(env!("CARGO_BIN_EXE_lvsctl"));
    let output = lvsctl.arg("top").stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("lvsctl status --watch"), "{said}");
}
