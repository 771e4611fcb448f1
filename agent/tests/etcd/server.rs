//! Real etcd servers: one, or a cluster, each on ports and in a directory of its own.

use crate::proxy::Path as Between;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest that a slow machine may take for etcd to serve.
const LIMIT: Duration = Duration::from_secs(120);

/// A port that nobody has, and that the kernel gives nobody meanwhile: its own begin at 32768 (ip(7), `ip_local_port_range`).
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Another process of this test begins elsewhere.
        let number = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(10_000 + number % 20_000).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// etcdctl's own patience is 2 s and 5 s.
const PATIENT: [&str; 2] = ["--dial-timeout=60s", "--command-timeout=60s"];

/// Where a server is to be, and how it is to be started.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) client: u16,
    /// Where it listens for other members, and where they reach it.
    peer: u16,
    reached: u16,
    /// All members, as etcd wants to be told.
    pub(crate) cluster: String,
    scheme: &'static str,
    more: Vec<String>,
}

impl Plan {
    /// One server alone.
    pub(crate) fn alone() -> Self {
        Self::cluster(1).remove(0)
    }

    /// The members of a cluster.
    pub(crate) fn cluster(members: usize) -> Vec<Self> {
        let peers: Vec<_> = (0..members).map(|_| free_port()).collect();
        Self::of(peers.iter().map(|peer| (*peer, *peer)).collect())
    }

    /// The members of a cluster, and the paths on which the others reach each.
    pub(crate) async fn cluster_on_paths(members: usize) -> (Vec<Self>, Vec<Between>) {
        let (mut ports, mut paths) = (Vec::new(), Vec::new());
        for _ in 0..members {
            let peer = free_port();
            let path = Between::to(peer).await;
            ports.push((peer, path.port));
            paths.push(path);
        }
        (Self::of(ports), paths)
    }

    /// Members with these ports for the others: where each listens, and where it is reached.
    fn of(peers: Vec<(u16, u16)>) -> Vec<Self> {
        let all: Vec<_> = (peers.iter().enumerate())
            .map(|(index, (_, reached))| format!("m{index}=http://127.0.0.1:{reached}"))
            .collect();
        let plan = |(index, (peer, reached))| Self {
            name: format!("m{index}"),
            client: free_port(),
            peer,
            reached,
            cluster: all.join(","),
            scheme: "http",
            more: Vec::new(),
        };
        peers.into_iter().enumerate().map(plan).collect()
    }

    /// Clients are served with TLS.
    pub(crate) fn secured(mut self, arguments: &[String]) -> Self {
        self.scheme = "https";
        self.more.extend_from_slice(arguments);
        self
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.client)
    }

    pub(crate) fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.reached)
    }
}

/// A server that runs; it ends with this.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) plan: Plan,
    pub(crate) directory: TempDir,
    child: Child,
}

impl Server {
    /// Starts one, and waits until it serves.
    pub(crate) fn start(plan: Plan) -> Self {
        let server = Self::launch(plan, tempfile::tempdir().unwrap());
        server.wait();
        server
    }

    /// Starts one without waiting.
    pub(crate) fn launch(plan: Plan, directory: TempDir) -> Self {
        let data = directory.path().join("data");
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "etcd", "--enable-v2", "--logger", "zap", "--log-level", "warn"])
            .args(["--name", &plan.name, "--initial-cluster", &plan.cluster])
            .args(["--heartbeat-interval", "200", "--election-timeout", "2000"])
            .args(["--listen-client-urls", &plan.url(), "--advertise-client-urls", &plan.url()])
            .args(["--listen-peer-urls", &format!("http://127.0.0.1:{}", plan.peer)])
            .args(["--initial-advertise-peer-urls", &plan.peer_url()])
            .arg("--data-dir")
            .arg(data)
            .args(&plan.more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd runs: install etcd-server");
        Self { plan, directory, child }
    }

    /// Waits until its port is open, and its cluster has a leader.
    pub(crate) fn wait(&self) {
        let begin = Instant::now();
        while !self.is_healthy() {
            let log = || std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(begin.elapsed() < LIMIT, "{} does not serve:\n{}", self.plan.url(), log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it serves, which takes a majority of its cluster.
    pub(crate) fn is_healthy(&self) -> bool {
        if self.plan.scheme == "https" {
            return TcpStream::connect((Ipv4Addr::LOCALHOST, self.plan.client)).is_ok();
        }
        http(self.plan.client, "GET", "/health", "").is_ok_and(|answer| answer.contains("\"true\""))
    }

    /// Its number, as the members of a cluster say it to one another.
    pub(crate) fn id(&self) -> String {
        let members = self.etcdctl(&["member", "list"]);
        let own = members.lines().find(|line| line.split(", ").nth(2) == Some(&self.plan.name));
        own.and_then(|line| line.split(", ").next()).unwrap().to_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Kills it, and gives what is left: its plan and its directory.
    pub(crate) fn kill(mut self) -> (Plan, TempDir) {
        self.end();
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
        (self.plan.clone(), directory)
    }

    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Writes a key by the API of version 2.
    pub(crate) fn put_v2(&self, key: &str, value: &str) {
        let answer = http(self.plan.client, "PUT", &format!("/v2/keys{key}"), &format!("value={value}"));
        let answer = answer.unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }

    /// Deletes a key or a directory by the API of version 2.
    pub(crate) fn delete_v2(&self, key: &str) {
        let answer = http(self.plan.client, "DELETE", &format!("/v2/keys{key}?recursive=true"), "").unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }

    /// One transaction of etcdctl's language: what is to be done, a line each.
    pub(crate) fn txn(&self, puts: &str) {
        let mut child = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(PATIENT)
            .args(["--endpoints", &self.plan.url(), "txn"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("etcdctl runs: install etcd-client");
        let mut input = child.stdin.take().unwrap();
        write!(input, "\n{puts}\n\n\n").unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
    }

    /// Runs etcdctl against it, by the API of version 3.
    pub(crate) fn etcdctl(&self, arguments: &[&str]) -> String {
        etcdctl(&[&["--endpoints", &self.plan.url()], arguments].concat(), self.directory.path())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs etcdctl by the API of version 3; it has to succeed.
pub(crate) fn etcdctl(arguments: &[&str], directory: &Path) -> String {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .current_dir(directory)
        .args(PATIENT)
        .args(arguments)
        .output()
        .expect("etcdctl runs: install etcd-client");
    assert!(output.status.success(), "etcdctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// One request of HTTP; the whole answer as text.
pub(crate) fn http(port: u16, method: &str, path: &str, form: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let head = "Host: etcd\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    write!(stream, "{method} {path} HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{form}", form.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
