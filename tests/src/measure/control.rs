//! Requests on lvsd's control socket, as lvsctl makes them: a connection for each.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::Host;
use anyhow::{Context, Result, ensure};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// The control socket of lvsd on a host.
#[derive(Debug)]
pub struct Control(PathBuf);

impl Control {
    /// The socket of lvsd on `host`.
    pub fn of(host: &Host) -> Self {
        Self(host.files().join("control.sock"))
    }

    /// `lvsctl depool HOST`.
    pub fn depool(&self, host: &str) -> Result<()> {
        self.ask("POST /v1/depool", &format!("{{\"host\":\"{host}\"}}"))
    }

    /// `lvsctl pool HOST`.
    pub fn pool(&self, host: &str) -> Result<()> {
        self.ask("POST /v1/pool", &format!("{{\"host\":\"{host}\"}}"))
    }

    /// `lvsctl why HOST`.
    pub fn why(&self, host: &str) -> Result<()> {
        self.ask(&format!("GET /v1/why/{host}"), "")
    }

    fn ask(&self, what: &str, body: &str) -> Result<()> {
        let answer =
            exchange(&self.0, what, body).with_context(|| format!("{what} on the control socket"))?;
        ensure!(answer.split_whitespace().nth(1) == Some("200"), "{what}: {answer}");
        Ok(())
    }
}

fn exchange(socket: &Path, what: &str, body: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let request = format!(
        "{what} HTTP/1.1\r\nHost: lvsd\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
