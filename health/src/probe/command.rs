//! A program that finds out whether a server serves.
//!
//! It gets nothing that it does not need: no shell, no standard input, an environment of `PATH` and `LVSD_*` names, `/` as
//! its directory, a user without privileges when this process is root. What it inherits beside is this process' own to
//! give up: a process that holds ambient capabilities must clear them before it runs checks (capabilities(7)).
//!
//! It leads a process group of its own, which is killed whole when it has ended, when its time is over, and when the
//! probe is dropped. What has left that group is found by a mark in its environment ([`leftovers`]) and killed as well.

mod leftovers;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use std::os::unix::process::ExitStatusExt;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use leftovers::Mark;

use super::way::wanting;
use super::{Limit, words};
use crate::failure::{Failure, Found, Stage};
use crate::spec::Program;

/// Commands at once in this process. A program costs a thousand times what a socket does: this many take a few hundred
/// megabytes at worst, and let some tens of checks hang without holding up the others.
pub const MAX_COMMANDS: usize = 32;

static COMMANDS: Semaphore = Semaphore::const_new(MAX_COMMANDS);

/// The bound on a command's output, in bytes. One that writes more is ended: it does something else than to check.
const MAX_OUTPUT: usize = 64 * 1024;

/// How much of a command's last line is shown, in characters: a sentence.
const MAX_LINE: usize = 200;

/// When memory runs out a command is ended before this process, whose own standing it would inherit (proc(5)).
const FIRST_TO_GO: &str = "1000";

/// Where programs that a command runs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the program for this target. Its time begins when it is started; until that it waits for others to end, no
/// longer than its timeout.
pub(super) async fn probe(target: SocketAddr, program: &Program, limit: &Limit) -> Result<Found, Failure> {
    let permit = match timeout(limit.timeout, COMMANDS.acquire()).await {
        Ok(Ok(permit)) => permit,
        Ok(Err(_)) | Err(_) => {
            let error = format!("{MAX_COMMANDS} commands run already: let them be fewer, rarer or quicker");
            return Err(Failure::Local { error });
        }
    };
    let limit = Limit { at: Instant::now() + limit.timeout, timeout: limit.timeout };
    let mut running = Running::start(target, program, permit)?;
    let ended = limit.within(Stage::RunningCommand, running.end()).await??;
    match ended {
        Some(status) if status.success() => Ok(Found::default()),
        ended => Err(Failure::Exit { status: how(ended), output: running.output.last_line() }),
    }
}

/// `exit status 2`, `killed by signal 15`.
fn how(ended: Option<ExitStatus>) -> String {
    match ended {
        None => format!("ended after more than {MAX_OUTPUT} bytes of output"),
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => status.to_string(),
        },
    }
}

/// A command that runs, and all that it has started: killed when this is dropped.
struct Running {
    child: Child,
    group: Option<Pid>,
    pipe: pipe::Receiver,
    output: Output,
    /// Its processes outside of the group are killed when this is dropped, after the group.
    _mark: Mark,
    _permit: SemaphorePermit<'static>,
}

impl Running {
    fn start(
        target: SocketAddr,
        program: &Program,
        permit: SemaphorePermit<'static>,
    ) -> Result<Self, Failure> {
        let (reader, writer) = io::pipe().map_err(|error| wanting(&error))?;
        let errors = writer.try_clone().map_err(|error| wanting(&error))?;
        let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(|error| wanting(&error))?;
        let mark = Mark::new();
        let mut command = Command::new(&program.parts().program);
        command
            .args(program.arguments(target))
            .env_clear()
            .env("PATH", PATH)
            .envs(program.values(target).into_iter().map(|(name, value)| (variable(name), value)))
            .envs([mark.variable()])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true);
        if geteuid().is_root() {
            // The standard library gives up all further groups with that.
            command.uid(program.parts().user.uid).gid(program.parts().user.gid);
        }
        // A program that cannot be run is this host's fault.
        let child = command.spawn().map_err(|error| Failure::Local {
            error: format!("{} cannot be run: {}", program.parts().program, words(&error)),
        })?;
        if let Some(id) = child.id() {
            // Best effort: where it is not allowed the machine is as safe as without it.
            drop(std::fs::write(format!("/proc/{id}/oom_score_adj"), FIRST_TO_GO));
        }
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { child, group, pipe, output: Output::default(), _mark: mark, _permit: permit })
    }

    /// Waits until it has ended; none when it has written too much instead.
    async fn end(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let mut piece = [0; 4096];
        let mut is_open = true;
        loop {
            // Cancel-safe: wait keeps the status, read takes nothing that it does not return.
            tokio::select! {
                biased;
                read = self.pipe.read(&mut piece), if is_open => match read {
                    Ok(count @ 1..) => {
                        if !self.output.take(&piece[..count]) {
                            return Ok(None);
                        }
                    }
                    Ok(0) | Err(_) => is_open = false,
                },
                status = self.child.wait() => {
                    let status = status.map_err(|error| wanting(&error))?;
                    // What it has written is in the pipe; who else holds that open is not waited for.
                    while let Ok(count @ 1..) = self.pipe.try_read(&mut piece) {
                        if !self.output.take(&piece[..count]) {
                            break;
                        }
                    }
                    return Ok(Some(status));
                }
            }
        }
    }
}

/// `LVSD_ADDRESS`.
fn variable(name: &str) -> String {
    format!("LVSD_{}", name.to_ascii_uppercase())
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Its number is not another's yet, even when the leader has been waited for a moment ago: the kernel gives
            // numbers in a circle. An error says that nobody is left in it.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// The end of what a command has written.
#[derive(Debug, Default)]
struct Output {
    total: usize,
    line: Vec<u8>,
    is_ended: bool,
}

impl Output {
    /// Takes a piece in; false when it is too much.
    fn take(&mut self, piece: &[u8]) -> bool {
        self.total += piece.len();
        for &byte in piece {
            if matches!(byte, b'\n' | b'\r') {
                self.is_ended = true;
            } else if std::mem::take(&mut self.is_ended) {
                self.line = vec![byte];
            } else if self.line.len() < 4 * MAX_LINE {
                self.line.push(byte);
            }
        }
        self.total <= MAX_OUTPUT
    }

    /// The last line with something in it, as it may stand in a log or on a terminal.
    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.line);
        let printable = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
        printable.take(MAX_LINE).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_with_something_in_it_is_kept_up_to_its_bound() {
        let mut output = Output::default();
        assert_eq!(output.last_line(), "");
        for piece in [&b"connec"[..], b"ting\nLDAP bind ", b"failed: \x1b[31m49\n", b"\r\n\n"] {
            assert!(output.take(piece));
        }
        assert_eq!(output.last_line(), "LDAP bind failed:  [31m49");
        assert!(output.take(&[b'x'; 10_000]));
        assert_eq!(output.last_line(), "x".repeat(MAX_LINE));
        assert!(output.take(&vec![b'\n'; MAX_OUTPUT - output.total]));
        assert!(!output.take(b"y"));
    }
}
