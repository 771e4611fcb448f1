//! Outside: finds a kernel with IPVS and runs this very program in it as process 1.
//!
//! On a machine whose kernel has IPVS that is a process in private network, mount and process namespaces; elsewhere
//! it is process 1 of user-mode Linux (Debian's package user-mode-linux), whose root file system is this machine's
//! own directory tree.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};

use crate::cable::Cable;
use crate::world::{self, Verdict};

/// The guest kernel's program and modules, where Debian's package has them.
pub(crate) const GUEST_KERNEL: &str = "/usr/bin/linux.uml";
pub(crate) const GUEST_MODULES: &str = "/usr/lib/uml/modules";

/// The guest's memory, unless told otherwise. It is taken only when it is touched; a whole scenario touches about
/// 150 MB.
pub const MEMORY: &str = "768M";

/// Where Debian has the programs that run inside; process 1 of a guest is given no path of its own.
const PROGRAMS: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// How much longer than its own time limit a world may take for evidence and for going down.
const GRACE: Duration = Duration::from_secs(120);

/// How long a world may take to go down once its verdict is there, the last that it does: now and then user-mode Linux
/// says that it has halted and goes on as a process.
const GOING_DOWN: Duration = Duration::from_secs(20);

/// Names in the environment, or on the guest kernel's command line, by which the program knows itself inside.
pub(crate) const NAME: &str = "LAB_NAME";
pub(crate) const DIRECTORY: &str = "LAB_DIRECTORY";
pub(crate) const LIMIT: &str = "LAB_LIMIT";
pub(crate) const MODULES: &str = "LAB_MODULES";

/// Further ones that are handed on as they are: what a person wants of a scenario, or of lvsd's log.
const HANDED_ON: [&str; 4] = ["LAB_DEATHS", "LAB_KILLS", "LAB_SEED", "LVSD_LOG"];

/// What of the world's console a person sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Nothing: it goes to the console file.
    File,
    /// Everything, as it is said, and to the console file.
    Shown,
    /// It is the terminal, for a shell.
    Terminal,
}

/// One run of this program inside.
#[derive(Debug)]
pub struct Run {
    /// What is to be run there.
    pub name: String,
    /// Where its logs and its verdict go; emptied first.
    pub directory: PathBuf,
    /// After this the run has failed.
    pub limit: Duration,
    /// Who sees the console.
    pub console: Console,
    /// Memory of the guest's kernel, [`MEMORY`] or more, as its `mem=` takes it.
    pub memory: &'static str,
    /// A cable to the machine, if there is one.
    pub cable: Option<Cable>,
}

impl Run {
    /// A run whose files are in `target/lab/<name>`.
    pub fn new(name: &str, limit: Duration, console: Console) -> Result<Self> {
        let directory = target()?.join("lab").join(name);
        Ok(Self { name: name.to_owned(), directory, limit, console, memory: MEMORY, cable: None })
    }

    /// Runs this program inside and returns what it found; an error when the world could not be had or died.
    pub fn execute(&self) -> Result<Verdict> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "the lab needs root: namespaces and addresses are its stuff"
        );
        let _lock = self.lock()?;
        let _ = fs::remove_dir_all(&self.directory);
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("create {}", self.directory.display()))?;
        let is_own_kernel = own_kernel_has_ipvs();
        let mut command = if is_own_kernel { self.private_namespaces()? } else { self.guest()? };
        let mut child = self.start(&mut command)?;
        if let Some(cable) = self.cable.filter(|_| is_own_kernel) {
            cable.to_child(child.id())?;
        }
        let copier = (self.console == Console::Shown).then(|| self.show(&mut child));
        let status = self.wait(&mut child);
        if let Some(copier) = copier {
            let _ = copier.join();
        }
        self.verdict(status?)
    }

    /// The same; an error that says where its logs are unless it passed.
    pub fn pass(&self) -> Result<()> {
        match self.execute()?.failure {
            None => Ok(()),
            Some(failure) => bail!("{failure}\nmore in {}", self.directory.display()),
        }
    }

    /// The file that holds what was said on the console.
    pub fn console_file(&self) -> PathBuf {
        self.directory.join("console.log")
    }

    /// One run at a time has the directory; another waits for its end.
    fn lock(&self) -> Result<Flock<File>> {
        let mut path = self.directory.clone().into_os_string();
        path.push(".lock");
        let parent = self.directory.parent().context("a run's directory has a parent")?;
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        let file = File::create(&path).with_context(|| format!("create {}", Path::new(&path).display()))?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .context("lock the run's directory")
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let own = [
            (NAME, self.name.clone().into()),
            (DIRECTORY, self.directory.clone().into()),
            (LIMIT, self.limit.as_secs().to_string().into()),
            ("PATH", PROGRAMS.into()),
        ];
        let handed_on = HANDED_ON.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        own.into_iter().chain(handed_on).collect()
    }

    fn private_namespaces(&self) -> Result<Command> {
        let mut command = alone(&["--net", "--mount"]);
        command.arg(program()?).envs(self.environment());
        Ok(command)
    }

    fn guest(&self) -> Result<Command> {
        ensure!(
            Path::new(GUEST_KERNEL).exists(),
            "this kernel has no IPVS and {GUEST_KERNEL} is missing: apt-get install user-mode-linux (make deps)"
        );
        // modprobe -d wants the modules below lib/modules of some directory.
        fs::create_dir_all(self.directory.join("lib"))?;
        symlink(GUEST_MODULES, self.directory.join("lib/modules")).context("link the guest's modules")?;
        let mut command = alone(&[]);
        command.arg(GUEST_KERNEL);
        command.arg(format!("mem={}", self.memory)).args(["rootfstype=hostfs", "rw", "quiet", "loglevel=3"]);
        command.arg(assignment("init", program()?.as_os_str())?);
        command.arg(assignment("uml_dir", self.directory.as_os_str())?).arg("umid=guest");
        if let Some(cable) = self.cable {
            command.arg(cable.to_guest()?);
        }
        command.arg("con=null").arg(match self.console {
            Console::Terminal => "con0=fd:0,fd:1",
            Console::File | Console::Shown => "con0=null,fd:1",
        });
        for (key, value) in self.environment() {
            command.arg(assignment(key, &value)?);
        }
        command.arg(assignment(MODULES, self.directory.as_os_str())?);
        Ok(command)
    }

    fn start(&self, command: &mut Command) -> Result<Child> {
        let file = || File::create(self.console_file()).context("create the console file");
        match self.console {
            Console::Terminal => {}
            Console::File => {
                let file = file()?;
                command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
            }
            Console::Shown => {
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file()?);
            }
        }
        command.spawn().with_context(|| format!("start {:?}", command.get_program()))
    }

    /// Copies the console to this program's output and to the console file.
    fn show(&self, child: &mut Child) -> std::thread::JoinHandle<()> {
        let from = child.stdout.take();
        let to = File::options().append(true).open(self.console_file());
        std::thread::spawn(move || {
            let (Some(from), Ok(mut to)) = (from, to) else { return };
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                // The guest kernel's last word when it is switched off.
                if line.starts_with("reboot: ") {
                    continue;
                }
                println!("{}", line.trim_end());
                let _ = writeln!(to, "{}", line.trim_end());
            }
        })
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let deadline = (self.console != Console::Terminal).then(|| Instant::now() + self.limit + GRACE);
        let mut to_be_down: Option<Instant> = None;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if to_be_down.is_none() && self.directory.join(world::VERDICT).exists() {
                to_be_down = Some(Instant::now() + GOING_DOWN);
            }
            if to_be_down.is_some_and(|time| Instant::now() > time) {
                child.kill()?;
                return Ok(child.wait()?);
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                child.kill()?;
                child.wait()?;
                bail!(
                    "{}: no end after {:?} and {GRACE:?} of grace; killed{}",
                    self.name,
                    self.limit,
                    self.tail()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn verdict(&self, status: ExitStatus) -> Result<Verdict> {
        let path = self.directory.join(world::VERDICT);
        let Ok(text) = fs::read_to_string(&path) else {
            bail!("{}: ended with {status} and left no verdict{}", self.name, self.tail());
        };
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
    }

    fn tail(&self) -> String {
        const LINES: usize = 25;
        let text = fs::read(self.console_file()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        format!("; the console's last lines:\n{}", last.join("\n"))
    }
}

/// A command, still without its program, that runs in a process table of its own: user-mode Linux and a lab both are
/// many processes, and they are to end together, also when this program is killed.
pub(crate) fn alone(namespaces: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child"]);
    command.args(namespaces).arg("--");
    command
}

/// `key=value` for the guest kernel's command line, which is cut at spaces.
pub(crate) fn assignment(key: &str, value: &std::ffi::OsStr) -> Result<OsString> {
    let text = value.to_str().context("a path that is not UTF-8")?;
    ensure!(!text.contains(char::is_whitespace), "the lab's kernel takes no path with a space: {text}");
    Ok(format!("{key}={text}").into())
}

/// Whether the machine's own kernel has IPVS, loaded or loadable.
fn own_kernel_has_ipvs() -> bool {
    let table = Path::new("/proc/net/ip_vs");
    if !table.exists() {
        // Its failure is an answer: there is no such module.
        let _ = Command::new("modprobe").args(["-q", "ip_vs"]).stderr(Stdio::null()).status();
    }
    table.exists()
}

fn program() -> Result<PathBuf> {
    std::env::current_exe().context("the path of this program")
}

/// Cargo's target directory: the one that this program was built into.
pub fn target() -> Result<PathBuf> {
    let profile = profile_directory()?;
    Ok(profile.parent().context("no target directory above the program")?.to_owned())
}

/// A program of the workspace, built before and lying in the same profile's directory.
pub fn built(name: &str) -> Result<PathBuf> {
    let path = profile_directory()?.join(name);
    ensure!(
        path.exists(),
        "{} is missing: `cargo build --workspace --bins --examples` first",
        path.display()
    );
    Ok(path)
}

/// target/debug, be this program in it or in its deps/.
fn profile_directory() -> Result<PathBuf> {
    let program = program()?;
    let directory = program.parent().context("a program without a directory")?;
    let is_deps = directory.file_name().is_some_and(|name| name == "deps");
    let profile = if is_deps { directory.parent() } else { Some(directory) };
    Ok(profile.context("no profile directory above the program")?.to_owned())
}
