//! What runs on a server: an HTTP server in a process of its own, so that it can be killed and stopped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;

use anyhow::Result;
use lab::host::{Host, Process};

/// The first argument of this program when it is a server; the second is the [`flag`].
pub(crate) const ROLE: &str = "server";

/// The port that it listens on, of all its host's addresses.
pub(crate) const PORT: u16 = 80;

/// The largest request that is looked at, bytes: checks send less.
const REQUEST: usize = 2048;

/// While this file of the host is there, every answer is a 503.
pub(crate) fn flag(host: &Host) -> PathBuf {
    host.files().join("unavailable")
}

/// Starts one.
pub(crate) fn start(host: &Host) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(ROLE).arg(flag(host));
    host.spawn("server", command)
}

/// Is one, for ever.
pub(crate) fn run(flag: &Path) -> ExitCode {
    let flag: Arc<Path> = flag.into();
    let listener = match TcpListener::bind(("0.0.0.0", PORT)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("port {PORT}: {error}");
            return ExitCode::FAILURE;
        }
    };
    for stream in listener.incoming().flatten() {
        let flag = Arc::clone(&flag);
        // A connection that breaks is its client's business.
        thread::spawn(move || answer(stream, &flag));
    }
    ExitCode::SUCCESS
}

/// Answers one request, or holds a connection on which none comes.
fn answer(mut stream: TcpStream, flag: &Path) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 512];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let length = stream.read(&mut piece)?;
        if length == 0 || request.len() > REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&piece[..length]);
    }
    let status = if flag.exists() { "503 Service Unavailable" } else { "200 OK" };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
}
