//! What a failed scenario leaves behind beside its logs: captures and dumps of every host's tables.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{bird, host, lvsd, netns};

/// How long a capture may take to write out its buffer.
const FLUSH: Duration = Duration::from_millis(500);

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

/// Tells every capture in this process table to write its buffer and end.
fn flush_captures() {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let is_capture =
            fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.trim() == "tcpdump");
        if let (true, Ok(pid)) = (is_capture, entry.file_name().to_string_lossy().parse()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
    std::thread::sleep(FLUSH);
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
