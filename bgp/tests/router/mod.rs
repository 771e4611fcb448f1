//! A BIRD on loopback addresses.

#![allow(dead_code, reason = "each test uses what it needs of it")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

/// Where Debian's package bird2 puts it.
const BIRD: &str = "/usr/sbin/bird";

fn launch(directory: &std::path::Path) -> Child {
    let output = fs::File::create(directory.join("output")).expect("a file for BIRD's output");
    Command::new(BIRD)
        .arg("-f")
        .arg("-c")
        .arg(directory.join("bird.conf"))
        .arg("-s")
        .arg(directory.join("ctl"))
        .arg("-P")
        .arg(directory.join("pid"))
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("the same file"))
        .stderr(output)
        .spawn()
        .expect("BIRD starts")
}

/// How long anything may take on a busy machine; nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const REMOTE_ASN: u32 = 65_001;

/// A router. Killed and its directory removed when dropped.
pub(crate) struct Bird {
    process: Child,
    directory: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Bird {
    /// Starts a router that expects the AS `asn` at 127.0.0.1, with `extra` in its protocol's configuration.
    pub(crate) fn start(asn: u32, extra: &str) -> Self {
        Self::announcing(asn, extra, "")
    }

    /// The same, and it announces these static routes, with a next hop of its own.
    pub(crate) fn announcing(asn: u32, extra: &str, routes: &str) -> Self {
        Self::configured(|port| {
            format!(
                r#"
debug protocols {{ states, events }};
protocol static {{ ipv4; {routes} }}
protocol bgp lb {{
    local 127.0.0.1 port {port} as {REMOTE_ASN};
    neighbor 127.0.0.1 port 1 as {asn};
    strict bind;
    passive;
    multihop;
    hold time 30;
    connect retry time 1;
    error wait time 1, 2;
    {extra}
    ipv4 {{ import all; export where source = RTS_STATIC; next hop address 192.0.2.254; }};
    ipv6 {{ import all; export none; }};
}}
"#
            )
        })
    }

    /// Starts a router with these protocols, which it is to listen at this port for.
    pub(crate) fn configured(protocols: impl FnOnce(u16) -> String) -> Self {
        assert!(
            fs::exists(BIRD).unwrap_or(false),
            "{BIRD} is missing; install Debian's package bird2 to run this test"
        );
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let path = |name: &str| directory.path().join(name);
        let config = format!(
            "log \"{}\" all;\nrouter id 192.0.2.254;\nprotocol device {{ scan time 3600; }}\n{}",
            path("log").display(),
            protocols(port)
        );
        fs::write(path("bird.conf"), config).expect("the configuration is written");
        let process = launch(directory.path());
        let bird = Self { process, directory, port };
        bird.wait_until_it_answers();
        bird
    }

    /// As `kill -9` does it: the kernel closes the connections.
    pub(crate) fn die(&mut self) {
        self.process.kill().expect("BIRD runs");
        self.process.wait().expect("BIRD ends");
        fs::remove_file(self.path("ctl")).expect("its control socket is left");
    }

    pub(crate) fn come_back(&mut self) {
        self.process = launch(self.directory.path());
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        self.wait_until("BIRD answers", || {
            // The socket is there a moment before BIRD listens on it.
            UnixStream::connect(self.path("ctl")).is_ok() && self.ask("show status").contains("up and")
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What birdc prints for a command, over the same socket.
    pub(crate) fn ask(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(self.path("ctl")).expect("BIRD's control socket");
        let mut reader = BufReader::new(socket.try_clone().expect("the same socket"));
        let mut answer = String::new();
        let mut line = String::new();
        reader.read_line(&mut line).expect("BIRD's greeting");
        writeln!(socket, "{command}").expect("BIRD takes a command");
        loop {
            line.clear();
            assert!(reader.read_line(&mut line).expect("BIRD answers") > 0, "BIRD went away");
            // A reply ends with a line whose code, 4 digits, is followed by a space and starts with 0, 8 or 9.
            let done = line.as_bytes().get(4) == Some(&b' ') && line.starts_with(['0', '8', '9']);
            answer.push_str(&line);
            if done {
                return answer;
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(
                Instant::now() < deadline,
                "waited for: {what}\n--- output\n{}\n--- log\n{}",
                fs::read_to_string(self.path("output")).unwrap_or_default(),
                self.log(),
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the whole answer about one prefix holds all the words.
    pub(crate) fn wait_for_route(&self, prefix: &str, words: &[&str]) {
        let ask = || self.ask(&format!("show route all for {prefix}"));
        self.wait_until(&format!("{prefix} with {words:?}; last answer:\n{}", ask()), || {
            let answer = ask();
            words.iter().all(|word| answer.contains(word))
        });
    }

    pub(crate) fn has_route(&self, prefix: &str) -> bool {
        self.ask(&format!("show route for {prefix}")).contains(prefix)
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A port of 127.0.0.1 that nobody has, and that the kernel gives nobody meanwhile: its own begin at 32768 (ip(7),
/// `ip_local_port_range`).
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
