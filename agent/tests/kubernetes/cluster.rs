//! A real API server with its etcd and controllers, on this machine.

use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest that a program may take to end.
const LIMIT: Duration = Duration::from_secs(120);

/// The file with what was asked.
const AUDIT: &str = "audit.log";

/// The programs that run.
const PROGRAMS: [&str; 3] = ["kube-controller-manager", "kube-apiserver", "etcd"];

/// A cluster without nodes of its own; its programs end with it.
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    port: u16,
    etcd: u16,
    /// For the API server, besides what all have.
    flags: Vec<String>,
}

impl Cluster {
    /// Starts one; builds its programs if nobody has before.
    pub(crate) fn start() -> Self {
        Self::start_at(Self::free_port())
    }

    /// The same with its API at this port.
    pub(crate) fn start_at(port: u16) -> Self {
        let cluster =
            Self { directory: tempfile::tempdir().unwrap(), port, etcd: free(2), flags: Vec::new() };
        cluster.up();
        cluster
    }

    /// One that keeps a record of who has asked for what, by this policy.
    pub(crate) fn start_audited(policy: &Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy");
        fs::write(&file, policy.to_string()).unwrap();
        let log = directory.path().join(AUDIT);
        let flags = vec![
            format!("--audit-policy-file={}", file.display()),
            format!("--audit-log-path={}", log.display()),
        ];
        let cluster = Self { directory, port: Self::free_port(), etcd: free(2), flags };
        cluster.up();
        cluster
    }

    /// What it has recorded, in the order in which it was done.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.directory.path().join(AUDIT)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A port that nobody has.
    pub(crate) fn free_port() -> u16 {
        free(1)
    }

    /// Starts what does not run.
    pub(crate) fn up(&self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kube/up");
        let started = Command::new(script)
            .arg(self.directory.path())
            .args(&self.flags)
            .env("PORT", self.port.to_string())
            .env("ETCD_PORT", self.etcd.to_string())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(started.success(), "the API server starts");
    }

    /// Kills a program at once.
    pub(crate) fn kill(&self, program: &str) {
        let file = self.directory.path().join(format!("{program}.pid"));
        let Ok(pid) = fs::read_to_string(&file) else { return };
        let pid = pid.trim();
        if Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status().unwrap().success() {
            let begin = Instant::now();
            // It is no child of ours: it is gone when its entry is, or when it only waits to be forgotten.
            while is_running(pid) {
                assert!(begin.elapsed() < LIMIT, "{program} ends");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = fs::remove_file(file);
    }

    /// Sends a program a signal, `STOP` or `CONT`.
    pub(crate) fn signal(&self, program: &str, signal: &str) {
        let pid = fs::read_to_string(self.directory.path().join(format!("{program}.pid"))).unwrap();
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.trim()).status().unwrap();
        assert!(sent.success(), "{program} runs");
    }

    /// The API server's URL.
    pub(crate) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// A kubeconfig of an account whose token is in a file.
    pub(crate) fn kubeconfig_of(&self, name: &str, token: &Path) -> PathBuf {
        self.kubeconfig_with(name, &json!({"tokenFile": token}))
    }

    /// A kubeconfig of somebody with these credentials.
    pub(crate) fn kubeconfig_with(&self, name: &str, user: &Value) -> PathBuf {
        let ca = self.directory.path().join("ca.crt");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": "c", "cluster": {
                "server": self.server(), "certificate-authority": ca}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": "c", "user": name}}]
        });
        let file = self.directory.path().join(format!("{name}.kubeconfig"));
        fs::write(&file, text.to_string()).unwrap();
        file
    }

    /// A folder that lives as long as the cluster.
    pub(crate) fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// Creates an object below a path of the API, and gives what it has become.
    pub(crate) fn create(&self, path: &str, object: &Value) -> Value {
        self.ask("POST", path, "application/json", Some(object))
    }

    /// Changes an object.
    pub(crate) fn patch(&self, path: &str, change: &Value) -> Value {
        self.ask("PATCH", path, "application/merge-patch+json", Some(change))
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, path: &str) {
        self.ask("DELETE", path, "application/json", None);
    }

    /// An object.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "application/json", None)
    }

    /// What `kubectl apply` does with a file.
    pub(crate) fn apply(&self, file: &Path) {
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kube/build");
        let folder = Command::new(build).output().unwrap();
        let folder = String::from_utf8(folder.stdout).unwrap();
        let done = Command::new(Path::new(folder.trim()).join("kubectl"))
            .env("HOME", self.folder())
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(["apply", "--filename"])
            .arg(file)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success(), "{} is applied", file.display());
    }

    /// Whether a path of the API is there.
    pub(crate) fn is_served(&self, path: &str) -> bool {
        let answer = self.answer("GET", path, "application/json", None);
        !matches!(serde_json::from_slice::<Value>(&answer), Ok(answer) if answer["status"] == "Failure")
            && !answer.starts_with(b"404")
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: Option<&Value>) -> Value {
        let answer: Value = serde_json::from_slice(&self.answer(method, path, kind, body)).unwrap();
        assert!(answer["status"] != "Failure", "{method} {path}: {answer}");
        answer
    }

    fn answer(&self, method: &str, path: &str, kind: &str, body: Option<&Value>) -> Vec<u8> {
        let here = self.directory.path();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--request", method, "--header"])
            .arg(format!("Content-Type: {kind}"))
            .arg("--cacert")
            .arg(here.join("ca.crt"))
            .arg("--cert")
            .arg(here.join("admin.crt"))
            .arg("--key")
            .arg(here.join("admin.key"));
        if let Some(body) = body {
            curl.args(["--data-binary", &body.to_string()]);
        }
        let output = curl.arg(format!("{}{path}", self.server())).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        PROGRAMS.iter().for_each(|program| self.kill(program));
    }
}

/// A port that nobody has, with those that follow it, and that the kernel gives nobody meanwhile: its own begin at 32768 (ip(7),
/// `ip_local_port_range`).
fn free(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Another process of this test begins elsewhere.
        let next = NEXT.fetch_add(count.into(), Ordering::Relaxed);
        let number = std::process::id().wrapping_mul(97).wrapping_add(next);
        let first = u16::try_from(10_000 + number % 20_000).unwrap();
        if (0..count).all(|offset| TcpListener::bind(("127.0.0.1", first + offset)).is_ok()) {
            return first;
        }
    }
}

/// Whether a process runs, and does not only wait to be forgotten.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}
