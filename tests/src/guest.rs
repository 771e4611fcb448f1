//! A Debian with systemd as process 1, on the guest's kernel: for tests of what is installed, not of what it decides.
//!
//! Outside, [`Guest::run`] boots it with this very program as `/host/inside`, waits until it has powered off, and gives back
//! what the program printed. tests/guest/tree makes the tree that it boots from, once; tests/guest/init is process 1 until
//! systemd is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::kernel;

/// Memory of the guest; it is taken only when it is touched. Two versions of programs built for debugging have room.
const MEMORY: &str = "1536M";

/// Units that a guest has no use for: it has one console that nobody reads, no disk, no clock to set, nobody to log in.
const UNUSED: &str = "getty.target,systemd-logind.service,timers.target,ipvsadm.service,e2scrub_reap.service,\
    systemd-udev-trigger.service,systemd-udevd.service,systemd-udevd-control.socket,systemd-udevd-kernel.socket,\
    systemd-update-utmp.service,systemd-remount-fs.service,kmod-static-nodes.service,systemd-random-seed.service,\
    systemd-journal-flush.service,dev-mqueue.mount,sys-kernel-config.mount,sys-fs-fuse-connections.mount,\
    systemd-pstore.service,proc-sys-fs-binfmt_misc.automount,remote-fs.target,systemd-initctl.socket,\
    systemd-user-sessions.service,systemd-journald-audit.socket";

/// One boot.
#[derive(Debug)]
pub struct Guest {
    /// The folder that the guest sees as `/host`.
    share: PathBuf,
}

impl Guest {
    /// The name of the test that this program is to run, when it runs inside a guest.
    pub fn entered() -> Option<String> {
        let is_inside = std::env::current_exe().is_ok_and(|program| program == Path::new("/host/inside"));
        is_inside.then(|| fs::read_to_string("/host/name").unwrap_or_default())
    }

    /// A guest that keeps its files in `target/guest/<name>`, which is emptied.
    pub fn new(name: &str) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "a guest needs root: its files belong to many users");
        let share = kernel::target()?.join("guest").join(name);
        let _ = fs::remove_dir_all(&share);
        fs::create_dir_all(&share).with_context(|| format!("create {}", share.display()))?;
        fs::write(share.join("name"), name).context("write the test's name")?;
        Ok(Self { share })
    }

    /// Puts a file where the guest sees it as `/host/<its name>`.
    pub fn share(&self, file: &Path) -> Result<()> {
        let name = file.file_name().context("a file without a name")?;
        fs::copy(file, self.share.join(name)).with_context(|| format!("copy {}", file.display()))?;
        Ok(())
    }

    /// Writes a file that the guest sees as `/host/<its name>`.
    pub fn note(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.share.join(name), text).with_context(|| format!("write {name}"))
    }

    /// Boots, has this program run inside, and returns what it printed; an error when it failed or there was no end within
    /// `limit`, with what it printed, the journal's and the console's last lines.
    pub fn run(&self, limit: Duration) -> Result<String> {
        let program = std::env::current_exe().context("the path of this program")?;
        fs::copy(program, self.share.join("inside")).context("copy this program")?;
        let mut child = self.command()?.spawn().context("start the guest's kernel")?;
        wait(&mut child, limit)?;
        let output = self.read("output");
        if self.read("status").trim() != "0" {
            let (journal, console) = (self.read("journal"), self.read("console"));
            let (journal, console) = (last_lines(&journal), last_lines(&console));
            bail!("{output}\nthe guest's journal, at its end:\n{journal}\nits console:\n{console}");
        }
        Ok(output)
    }

    fn command(&self) -> Result<Command> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let console = File::create(self.share.join("console")).context("create the console file")?;
        let mut command = kernel::alone(&[]);
        command.arg(kernel::GUEST_KERNEL).arg(format!("mem={MEMORY}"));
        command.args(["rootfstype=hostfs", "ro", "quiet", "loglevel=3", "con=null", "con0=null,fd:1"]);
        command.args(["systemd.show_status=0", "net.ifnames=0", "systemd.unit=inside.target", "umid=guest"]);
        for (key, path) in [
            ("init", top.join("guest/init").as_path()),
            ("uml_dir", &self.share),
            ("GUEST_TREE", &tree()?),
            ("GUEST_MODULES", Path::new(kernel::GUEST_MODULES)),
            ("GUEST_SHARE", &self.share),
        ] {
            command.arg(kernel::assignment(key, path.as_os_str())?);
        }
        command.arg(format!("GUEST_MASK={UNUSED}"));
        command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
        Ok(command)
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.share.join(name)).unwrap_or_default()).into_owned()
    }
}

/// Runs a command to its end and returns what it printed; an error with all that it said when it failed.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .with_context(|| format!("start {program}"))?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("{program} {}: {}\n{said}{errors}", arguments.join(" "), output.status);
    }
    Ok(said.into_owned())
}

/// The tree that guests are booted from.
fn tree() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/tree");
    let output = Command::new(&script).stderr(Stdio::inherit()).output().context("start tests/guest/tree")?;
    ensure!(output.status.success(), "{}: {}", script.display(), output.status);
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

fn wait(child: &mut Child, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            // What was printed until then is told by the caller, which misses the status.
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn last_lines(text: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
