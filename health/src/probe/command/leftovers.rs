//! What a command leaves behind although its process group is killed: a process that has made a session of its own
//! (setsid(2)), as whatever goes into the background for good does.
//!
//! Each command has a mark in its environment, which its children inherit. A process whose mark is that of a command that
//! runs no more is killed. That takes no privilege: proc(5) shows a process' environment to its own user, and commands
//! have the user of this process or this process is root. It finds all but those that have cleared or overwritten the
//! environment that they were given; who does that does it on purpose, or ends with this process' control group.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io::Read;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::spec::RUN;

/// How much of a process' environment is looked at, in bytes. That of a command is a few hundred bytes long, and what
/// it adds for its children is seldom more.
const MAX_ENVIRONMENT: u64 = 64 * 1024;

/// The time between two looks at all processes, of which one takes some milliseconds: so all of them together take a few
/// percent of a core at most, however many commands end.
const PAUSE: Duration = Duration::from_millis(200);

/// Looks in a row that may each find somebody: one who forks faster than that is left to the next command's end.
const LOOKS: usize = 8;

/// Tells this process' marks from those of others.
static OWN: LazyLock<String> = LazyLock::new(|| {
    let drawn = RandomState::new().hash_one(std::process::id());
    format!("{drawn:016x}-")
});

static COMMANDS: Mutex<Commands> =
    Mutex::new(Commands { running: BTreeSet::new(), next: 0, is_wanted: false, is_looking: false });

/// The commands of this process.
struct Commands {
    running: BTreeSet<u64>,
    next: u64,
    /// Whether a command has ended since the last look.
    is_wanted: bool,
    /// Whether there is a thread that looks.
    is_looking: bool,
}

fn commands() -> MutexGuard<'static, Commands> {
    COMMANDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The mark of a command that runs. Dropped, all processes that have it are killed, soon.
#[derive(Debug)]
pub(super) struct Mark(u64);

impl Mark {
    /// A mark that no other command of this process has.
    pub(super) fn new() -> Self {
        let mut commands = commands();
        let number = commands.next;
        commands.next += 1;
        commands.running.insert(number);
        Self(number)
    }

    /// Its name and value in the command's environment.
    pub(super) fn variable(&self) -> (String, String) {
        (super::variable(RUN), format!("{}{}", *OWN, self.0))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let mut commands = commands();
        commands.running.remove(&self.0);
        commands.is_wanted = true;
        if !commands.is_looking {
            // Without a thread, what is left is found when the next command ends.
            commands.is_looking = thread::Builder::new().name("leftovers".to_owned()).spawn(look).is_ok();
        }
    }
}

/// Looks until no more commands have ended. A thread, as the files of proc(5) have no other way to be read; it ends by
/// itself.
fn look() {
    loop {
        {
            let mut commands = commands();
            commands.is_looking = std::mem::take(&mut commands.is_wanted);
            if !commands.is_looking {
                return;
            }
        }
        // Whoever is killed may have had a child in the meantime.
        for _ in 0..LOOKS {
            if !kill_leftovers() {
                break;
            }
        }
        thread::sleep(PAUSE);
    }
}

/// Kills the processes that commands have left; whether there was one.
fn kill_leftovers() -> bool {
    let mut environment = Vec::new();
    let mut found = false;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        environment.clear();
        // Others' processes, and those that have ended, cannot be read.
        let Ok(file) = File::open(entry.path().join("environ")) else { continue };
        if file.take(MAX_ENVIRONMENT).read_to_end(&mut environment).is_err() {
            continue;
        }
        if marked(&environment, &OWN).is_some_and(|number| !commands().running.contains(&number)) {
            // Its number is not another's yet: the kernel gives numbers in a circle.
            found |= kill(Pid::from_raw(id), Signal::SIGKILL).is_ok();
        }
    }
    found
}

/// The number in an environment that has a mark beginning so.
fn marked(environment: &[u8], own: &str) -> Option<u64> {
    let name = super::variable(RUN);
    let number = environment.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        value.strip_prefix(own.as_bytes())
    })?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_in_an_environment_and_anothers_is_not() {
        let own = "00ff-";
        for (environment, number) in [
            (&b"PATH=/bin\0LVSD_RUN=00ff-17\0"[..], Some(17)),
            (b"LVSD_RUN=00ff-0", Some(0)),
            (b"", None),
            (b"LVSD_RUN=", None),
            (b"LVSD_RUN=00ff-", None),
            (b"LVSD_RUN=00ff--1\0", None),
            (b"LVSD_RUN=00fe-17\0", None),
            (b"XLVSD_RUN=00ff-17\0", None),
            (b"A=LVSD_RUN=00ff-17\0", None),
        ] {
            assert_eq!(marked(environment, own), number, "{}", environment.escape_ascii());
        }
    }
}
