//! A Kubernetes without nodes: API server, etcd and controllers, on the machine's own kernel at the end of a [`crate::cable`]. In
//! the lab's kernel they would take minutes to start.
//!
//! Its files (`tests/kube/up` tells them) are seen from both sides, so inside it is known by its folder. Whoever asks it inside is
//! a host of the servers' segment.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cable::Cable;
use crate::host::Host;
use crate::kernel::{Console, Run, alone};
use crate::wait::wait_until;

/// Longest that it may take to start; who comes first builds it, which takes minutes.
const LIMIT: Duration = Duration::from_secs(1800);

/// What lvsd may do, as it is installed.
const PERMISSIONS: &str = "../systemd/kubernetes-rbac.yaml";

/// The programs, as long as this is there.
#[derive(Debug)]
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // They share a process table whose first process ends with this one.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cluster by its folder.
#[derive(Clone, Debug)]
pub struct Cluster {
    folder: PathBuf,
}

/// Outside: runs a scenario in the lab's kernel, beside which a cluster of its own has its API server at this address of the
/// servers' segment. Its files are where [`Cluster::at`] has them, in the scenario's directory with another extension.
///
/// # Errors
/// When the cluster does not start, or the scenario fails or takes longer than `limit`.
pub fn pass_beside(address: &str, scenario: &str, limit: Duration) -> Result<()> {
    Cable::laid(&format!("{address}/24"), |cable| {
        let run = Run::new(scenario, limit, Console::File)?;
        let run = Run { cable: Some(cable), ..run };
        let _running = Cluster::at(&run.directory.with_extension("cluster")).start(address)?;
        run.pass()
    })
}

impl Cluster {
    /// The one with its files there.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Outside: starts it at this address of the network namespace, with nothing in it. The folder is emptied.
    pub fn start(&self, address: &str) -> Result<Running> {
        let _ = fs::remove_dir_all(&self.folder);
        fs::create_dir_all(&self.folder).with_context(|| format!("create {}", self.folder.display()))?;
        let programs = Command::new(script("build")).stderr(Stdio::inherit()).output()?;
        ensure!(programs.status.success(), "tests/kube/build: {}", programs.status);
        let programs = PathBuf::from(String::from_utf8(programs.stdout)?.trim());
        symlink(programs.join("kube"), self.folder.join("kubectl")).context("link kubectl")?;
        let (log, ready) = (self.folder.join("up.log"), self.folder.join("ready"));
        let mut command = alone(&["--mount-proc"]);
        command.args(["bash", "-c", "\"$0\" \"$1\" && touch \"$2\" && exec sleep infinity"]);
        command.arg(script("up")).arg(&self.folder).arg(&ready).env("ADDRESS", address);
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut running = Running(command.spawn().context("start tests/kube/up")?);
        let mut ended = false;
        wait_until("the API server is ready", LIMIT, || {
            ended = !matches!(running.0.try_wait(), Ok(None));
            ended || ready.exists()
        })?;
        if ended {
            bail!("tests/kube/up: {}", fs::read_to_string(&log).unwrap_or_default());
        }
        Ok(running)
    }

    /// Runs kubectl on `host` as the administrator, and returns what it printed.
    pub fn kubectl(&self, host: &Host, words: &[&str]) -> Result<String> {
        let home = format!("HOME={}", host.files().display());
        let (program, kubeconfig) = (self.file("kubectl"), self.file("kubeconfig"));
        host.run(&[&["env", &*home, &*program, "--kubeconfig", &*kubeconfig], words].concat())
    }

    /// `kubectl apply` of what lvsd is installed with and of this file.
    pub fn apply_with_permissions(&self, host: &Host, file: &Path) -> Result<()> {
        let permissions = Path::new(env!("CARGO_MANIFEST_DIR")).join(PERMISSIONS);
        let (permissions, file) = (permissions.to_string_lossy(), file.to_string_lossy());
        self.kubectl(host, &["apply", "-f", &permissions, "-f", &file]).map(drop)
    }

    /// Gives lvsd on `host` a kubeconfig of the account that it is installed with, and returns its path.
    pub fn sign_in(&self, host: &Host) -> Result<PathBuf> {
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600, "audiences": []}});
        let made = self.create(host, "/api/v1/namespaces/lvsd/serviceaccounts/lvsd/token", &request)?;
        let token = made["status"]["token"].as_str().context("no token")?;
        let administrators = fs::read_to_string(self.file("kubeconfig"))?;
        let clusters = administrators.lines().find(|line| line.starts_with("clusters:"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: lvsd\n{}\n\
             users: [{{name: lvsd, user: {{token: \"{token}\"}}}}]\n\
             contexts: [{{name: lvsd, context: {{cluster: local, user: lvsd}}}}]\n",
            clusters.context("a kubeconfig without clusters")?
        );
        let file = host.files().join("kubeconfig");
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        Ok(file)
    }

    /// Creates an object below a path of the API, and gives what it has become.
    pub fn create(&self, host: &Host, path: &str, object: &Value) -> Result<Value> {
        self.ask(host, ("POST", path), "application/json", Some(object))
    }

    /// Changes an object.
    pub fn patch(&self, host: &Host, path: &str, change: &Value) -> Result<Value> {
        self.ask(host, ("PATCH", path), "application/merge-patch+json", Some(change))
    }

    /// Deletes an object; `options` are the API's DeleteOptions.
    pub fn delete(&self, host: &Host, path: &str, options: &Value) -> Result<Value> {
        self.ask(host, ("DELETE", path), "application/json", Some(options))
    }

    /// An object.
    pub fn get(&self, host: &Host, path: &str) -> Result<Value> {
        self.ask(host, ("GET", path), "application/json", None)
    }

    /// curl: a process costs a tenth of kubectl's here, and a status can be written, which kubectl does not.
    fn ask(
        &self,
        host: &Host,
        (method, path): (&str, &str),
        kind: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let kubeconfig = fs::read_to_string(self.file("kubeconfig"))?;
        let server = kubeconfig.split('"').find(|part| part.starts_with("https://")).context("no server")?;
        let (url, header) = (format!("{server}{path}"), format!("Content-Type: {kind}"));
        let [ca, certificate, key] = ["ca.crt", "admin.crt", "admin.key"].map(|name| self.file(name));
        let mut words = vec!["curl", "--silent", "--show-error", "--request", method, "--header", &header];
        words.extend(["--cacert", &ca, "--cert", &certificate, "--key", &key]);
        let body = body.map(Value::to_string);
        if let Some(body) = &body {
            words.extend(["--data-binary", body]);
        }
        words.push(&url);
        let answer = host.run(&words)?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| format!("{path}: {answer}"))?;
        ensure!(answer["status"] != "Failure", "{method} {path}: {answer}");
        Ok(answer)
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kube").join(name)
}
