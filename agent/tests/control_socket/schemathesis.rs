//! schemathesis finds no request that a live lvsd answers otherwise than its OpenAPI document says.

use super::openapi::{beside, document, start};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// Forwards connections to a port of TCP to the socket: schemathesis speaks TCP alone. It ends with the process.
fn forward(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Ok(server) = UnixStream::connect(&socket) {
                join(client, server);
            }
        }
    });
    port
}

/// Copies both ways until either side has ended.
fn join(client: TcpStream, server: UnixStream) {
    let (mut to_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let (mut from_client, mut from_server) = (client, server);
    thread::spawn(move || {
        copy(&mut from_client, &mut to_server);
        drop(to_server.shutdown(std::net::Shutdown::Write));
    });
    thread::spawn(move || {
        copy(&mut from_server, &mut to_client);
        drop(to_client.shutdown(std::net::Shutdown::Both));
    });
}

fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0; 16384];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                if to.write_all(&buffer[..read]).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The command as `make schemathesis` has installed it.
fn schemathesis() -> PathBuf {
    let installed = Command::new(beside("install")).stderr(Stdio::inherit()).output().unwrap();
    assert!(installed.status.success(), "schemathesis is installed: make schemathesis");
    Path::new(String::from_utf8(installed.stdout).unwrap().trim()).join("bin/schemathesis")
}

#[tokio::test]
async fn schemathesis_finds_no_request_that_is_answered_otherwise_than_the_document_says() {
    let (daemon, _router) = start().await;
    let document = document(&daemon).await;
    // From a file: it leaves out the operation that it has read a document by.
    let file = daemon.directory.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let mut command = Command::new(schemathesis());
    command
        .current_dir(daemon.directory.path())
        .args(["--no-color", "--config-file"])
        .arg(beside("schemathesis.toml"))
        .args(["run", "--url", &format!("http://127.0.0.1:{}", forward(daemon.socket()))])
        .arg(file);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let paths = document["paths"].as_object().unwrap().values();
    let all: usize = paths.map(|operations| operations.as_object().unwrap().len()).sum();
    assert!(said.contains(&format!("Tested: {all}\n")), "not all {all} operations were tried:\n{said}");
}
