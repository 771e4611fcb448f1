//! Three network namespaces in a row, with a BIRD in the two that are not ours:
//!
//! ```text
//!   lb ── 10.90.0.0/24, fd00:90::/64 ── near ── 10.91.0.0/24, fd00:91::/64 ── far
//!      .1                           .2      .2                           .3
//! ```

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use nix::sched::{CloneFlags, setns};

/// How long anything may take on a busy machine; nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Tests of one process have chains of their own.
static CHAINS: AtomicU32 = AtomicU32::new(0);

/// The namespaces; gone when dropped.
pub(crate) struct Chain {
    prefix: String,
}

impl Chain {
    pub(crate) fn build() -> Self {
        let number = CHAINS.fetch_add(1, Ordering::Relaxed);
        let chain = Self { prefix: format!("bfd{}-{number}", std::process::id()) };
        for name in ["lb", "near", "far"] {
            run(&["ip", "netns", "add", &chain.name(name)]);
            chain.inside(name, "ip link set lo up");
        }
        chain.link("lb", "near", 90, [1, 2]);
        chain.link("near", "far", 91, [2, 3]);
        chain.inside("near", "echo 1 > /proc/sys/net/ipv4/ip_forward");
        chain.inside("near", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        chain.inside("lb", "ip route add 10.91.0.0/24 via 10.90.0.2");
        chain.inside("lb", "ip route add fd00:91::/64 via fd00:90::2");
        chain.inside("far", "ip route add 10.90.0.0/24 via 10.91.0.2");
        chain.inside("far", "ip route add fd00:90::/64 via fd00:91::2");
        chain
    }

    /// Joins two of them; each end's device has the other's name.
    fn link(&self, left: &str, right: &str, network: u8, last: [u8; 2]) {
        let (left_ns, right_ns) = (self.name(left), self.name(right));
        run(&[
            "ip", "link", "add", right, "netns", &left_ns, "type", "veth", "peer", "name", left, "netns",
            &right_ns,
        ]);
        for (end, device, last) in [(left, right, last[0]), (right, left, last[1])] {
            self.inside(end, &format!("ip addr add 10.{network}.0.{last}/24 dev {device}"));
            self.inside(end, &format!("ip addr add fd00:{network}::{last}/64 dev {device} nodad"));
            self.inside(end, &format!("ip link set {device} up"));
        }
    }

    fn name(&self, end: &str) -> String {
        format!("{}-{end}", self.prefix)
    }

    /// Runs a shell command in one of them.
    pub(crate) fn inside(&self, end: &str, command: &str) {
        run(&["ip", "netns", "exec", &self.name(end), "sh", "-ec", command]);
    }

    /// Runs `work` on a thread in one of them, with a runtime whose threads are there too.
    pub(crate) fn run_in<T: Send>(&self, end: &str, work: impl AsyncFnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name(end))).expect("the namespace");
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(&file, CloneFlags::CLONE_NEWNET).expect("root may enter it");
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
                runtime.expect("a runtime").block_on(work())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a router in one of them.
    pub(crate) fn bird(&self, end: &str, config: &str) -> Bird {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let log = path("log");
        let config = format!(
            "log \"{}\" all;\nrouter id 192.0.2.254;\nprotocol device {{ }}\n{config}",
            log.display()
        );
        fs::write(path("bird.conf"), config).expect("the configuration is written");
        let output = File::create(path("output")).expect("a file for BIRD's output");
        let process = Command::new("ip")
            .args(["netns", "exec", &self.name(end), "/usr/sbin/bird", "-f", "-c"])
            .arg(path("bird.conf"))
            .arg("-s")
            .arg(path("ctl"))
            .arg("-P")
            .arg(path("pid"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("the same file"))
            .stderr(output)
            .spawn()
            .expect("ip and BIRD start; they are Debian's packages iproute2 and bird2");
        let bird = Bird { process, directory };
        bird.wait_until("BIRD answers", || {
            UnixStream::connect(bird.path("ctl")).is_ok() && bird.ask("show status").contains("up and")
        });
        bird
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        for name in ["lb", "near", "far"] {
            // It fails only when it was not made.
            let _deleted = Command::new("ip").args(["netns", "del", &self.name(name)]).status();
        }
    }
}

/// A router. Killed when dropped.
pub(crate) struct Bird {
    process: Child,
    directory: tempfile::TempDir,
}

impl Bird {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What birdc prints for a command, over the same socket.
    pub(crate) fn ask(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(self.path("ctl")).expect("BIRD's control socket");
        let mut lines = BufReader::new(socket.try_clone().expect("the same socket")).lines();
        let mut line = || lines.next().expect("BIRD lives").expect("BIRD answers");
        line();
        writeln!(socket, "{command}").expect("BIRD takes a command");
        let mut answer = String::new();
        loop {
            let line = line();
            answer += &line;
            answer.push('\n');
            // A reply ends with a line whose code, 4 digits, is followed by a space and starts with 0, 8 or 9.
            if line.as_bytes().get(4) == Some(&b' ') && line.starts_with(['0', '8', '9']) {
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
            let output = fs::read_to_string(self.path("output")).unwrap_or_default();
            assert!(Instant::now() < deadline, "waited for: {what}\n{output}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The state of its BFD session with an address, and its detection time in seconds.
    pub(crate) fn bfd(&self, neighbour: &str) -> Option<(String, f64)> {
        let answer = self.ask("show bfd sessions");
        let line = answer.lines().find(|line| line.split_whitespace().any(|word| word == neighbour))?;
        let words: Vec<_> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == neighbour)?;
        let timeout = words.last()?.parse().ok()?;
        Some(((*words.get(at + 2)?).to_owned(), timeout))
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().expect("the program is there");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
