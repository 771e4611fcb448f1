//! What a failed scenario leaves behind beside its logs: captures and dumps of every host's tables.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::wait_until;
use crate::{bird, host, lvsd, netns};

/// How long captures may take to write out their buffers.
const FLUSH: Duration = Duration::from_secs(30);

/// Dumps all there is into `directory`. What cannot be had is said in its place; nothing here fails.
pub fn collect(directory: &Path) {
    flush_captures();
    for name in netns::names() {
        let write = |suffix: &str, text: String| {
            let _ = fs::write(directory.join(format!("{name}.{suffix}")), text);
        };
        write(
            "network.txt",
            shell(&name, "ip addr; ip rule; ip -6 rule; ip route show table all; ip neigh; ss -tn"),
        );
        if name.starts_with("lb") {
            write("ipvs.txt", shell(&name, "ipvsadm -Ln; ipvsadm -Ln --stats; ipvsadm -Lnc | head -200"));
            write("status.json", lvsd::raw_status(&name));
        }
        let socket = host::files_of(&name).join(bird::SOCKET);
        if socket.exists() {
            let ask = |query| bird::ask(&socket, query).unwrap_or_else(|error| format!("{error:#}"));
            write("bird.txt", ask("show protocols all") + "\n" + &ask("show route all"));
        }
    }
}

/// A scenario that passed leaves its logs, not its captures.
pub fn discard(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "pcap") {
            let _ = fs::remove_file(path);
        }
    }
}

/// Tells every capture in this process table to write its buffer and end, and waits until they have.
fn flush_captures() {
    for capture in captures() {
        let _ = kill(capture, Signal::SIGTERM);
    }
    // What one that hangs has not written is missing.
    let _ = wait_until("the captures end", FLUSH, || captures().is_empty());
}

/// Those that run: one that has ended has no program any more.
fn captures() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let is_capture = |process: &Path| {
        fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "tcpdump")
            && fs::read_link(process.join("exe")).is_ok()
    };
    let processes = entries.flatten().filter(|entry| is_capture(&entry.path()));
    processes
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok().map(Pid::from_raw))
        .collect()
}

fn shell(namespace: &str, script: &str) -> String {
    let command = || Command::new("sh").args(["-xc", script]).stdin(Stdio::null()).output();
    match netns::enter(namespace, command) {
        Ok(Ok(output)) => {
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => format!("{error:#}"),
    }
}
