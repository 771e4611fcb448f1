//! The routers of the matrix: each is configured from one plan, and asked in its own language.

mod bird;
mod exabgp;
mod frr;
mod gobgp;

use std::{
    fs::{self, File},
    net::IpAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use bgp::Family;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{
    ground::{Ground, enter},
    plan::{Plan, Session},
};

/// What a router knows of a route of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) as_path: Vec<u64>,
    pub(crate) next_hop: Option<IpAddr>,
    pub(crate) med: Option<u64>,
    /// As text: `64600:7`.
    pub(crate) communities: Vec<String>,
    pub(crate) large_communities: Vec<String>,
}

/// A router that was started for one cell. It ends when it is dropped.
pub(crate) trait Router {
    /// The route of ours that it has to this prefix.
    fn route(&self, prefix: &str) -> Option<Shown>;

    /// It keeps the route of a session that is over, for we are expected back.
    fn is_stale(&self, prefix: &str) -> bool;

    /// It shows a link-local next hop of the route, beside the global one.
    fn has_link_local(&self, prefix: &str) -> bool;

    /// Has it reset the session.
    fn reset(&self);

    /// Has it ask us for everything once more (RFC 2918).
    fn ask_again(&self);

    /// Has it end the session with this text (RFC 9003).
    fn goodbye(&self, text: &str);

    /// All that it tells its operator about the sessions.
    fn told(&self) -> String;

    /// Its process.
    fn program(&self) -> &Program;
}

/// Which router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brand {
    Bird,
    Frr,
    Gobgp,
    Exabgp,
}

impl Brand {
    pub(crate) const ALL: [Self; 4] = [Self::Bird, Self::Frr, Self::Gobgp, Self::Exabgp];

    /// Its name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bird => "BIRD",
            Self::Frr => "FRR",
            Self::Gobgp => "GoBGP",
            Self::Exabgp => "ExaBGP",
        }
    }

    /// Starts one as it is planned, and waits until it can be asked.
    pub(crate) fn start(self, ground: &Ground, plan: &Plan) -> Result<Box<dyn Router>, String> {
        Ok(match self {
            Self::Bird => Box::new(bird::Bird::start(ground, plan)?),
            Self::Frr => Box::new(frr::Frr::start(ground, plan)?),
            Self::Gobgp => Box::new(gobgp::Gobgp::start(ground, plan)?),
            Self::Exabgp => Box::new(exabgp::Exabgp::start(ground, plan)?),
        })
    }
}

/// A router's process, with a directory of its own. Killed with all that it started when dropped.
pub(crate) struct Program {
    space: String,
    child: Child,
    directory: tempfile::TempDir,
}

impl Program {
    /// Writes `files` into a new directory, whose path takes the place of `@directory` in them, and starts what `command` makes of it in the routers' namespace.
    fn start(
        ground: &Ground,
        files: &[(&str, String)],
        command: impl Fn(&Path) -> Command,
    ) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        for (name, text) in files {
            let text = text.replace("@directory", &directory.path().display().to_string());
            fs::write(directory.path().join(name), text).map_err(|error| error.to_string())?;
        }
        let output = File::create(directory.path().join("output")).map_err(|error| error.to_string())?;
        let mut command = command(directory.path());
        let same = output.try_clone().map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(same).stderr(output).process_group(0);
        let space = ground.routers();
        let child = enter(&space, || command.spawn()).map_err(|error| {
            format!("{}: {error}: `make deps` installs it", command.get_program().display())
        })?;
        Ok(Self { space, child, directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What it wrote to its standard output and error.
    fn output(&self) -> String {
        self.text("output")
    }

    /// Runs a program of the router's in its namespace; what it prints.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = enter(&self.space, || Command::new(program).args(arguments).output());
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        // Fails only when all of it is gone already.
        let _gone = killpg(group, signal);
    }

    /// It stands still and says nothing more, while its kernel still answers for it.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _reaped = self.child.wait();
    }
}

/// Everything that a stream gives until `end` holds for it, or it is over.
fn read_until(mut stream: impl std::io::Read, end: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    while !end(&all) {
        match stream.by_ref().read(&mut buffer) {
            Ok(count @ 1..) => all.extend_from_slice(&buffer[..count]),
            Ok(0) | Err(_) => break,
        }
    }
    all
}

/// The family's name as most configuration languages write it.
const fn afi(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

/// What a router announces in a family, with the next hop that it has for it.
fn announced(session: &Session, family: Family) -> (&'static str, IpAddr) {
    match family {
        Family::Ipv4 => (crate::plan::THEIRS[0], session.their_v4),
        Family::Ipv6 => (crate::plan::THEIRS[1], session.their_v6),
    }
}
