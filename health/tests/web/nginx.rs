//! nginx on an address of its own.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::authority::Issued;

/// nginx with some servers, until it is dropped.
pub(crate) struct Nginx {
    process: Child,
    address: String,
    home: TempDir,
}

/// How each test's nginx gets an address that no other process listens at: this process' own part of 127.0.0.0/8.
fn own_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{high}.{low}", 100 + NEXT.fetch_add(1, Ordering::SeqCst) % 100)
}

impl Nginx {
    /// Starts nginx with one server for each item: a port, and what is in its block beside `listen`; `{files}` stands for
    /// the directory in which `files` are.
    pub(crate) fn start(servers: &[(u16, &str, &str)], files: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().display().to_string();
        for (name, content) in files {
            fs::write(home.path().join(name), content).expect("a file");
        }
        let address = own_address();
        let mut blocks = String::new();
        for (port, how, block) in servers {
            let block = block.replace("{files}", &directory);
            writeln!(blocks, "server {{ listen {address}:{port} {how}; root {directory}; {block} }}")
                .expect("text");
        }
        let configuration = format!(
            "daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;\n\
             fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;\n\
             {blocks} }}\n"
        );
        let path = home.path().join("nginx.conf");
        fs::write(&path, configuration).expect("a file");
        let process = Command::new("nginx")
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx (Debian: nginx-light)");
        let mut started = Self { process, address, home };
        started.wait(servers[0].0);
        started
    }

    /// The address of the server at `port`.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        format!("{}:{port}", self.address).parse().expect("an address")
    }

    /// The directory that its files are in.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Waits until it listens: it opens all its sockets before it accepts at any.
    fn wait(&mut self, port: u16) {
        let begun = Instant::now();
        while TcpStream::connect(self.at(port)).is_err() {
            let ended = self.process.try_wait().expect("a child");
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(60),
                "nginx does not start: {ended:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The files of a certificate, `NAME.pem` and `NAME.key`.
pub(crate) fn files<'a>(issued: &'a Issued, names: [&'a str; 2]) -> [(&'a str, &'a str); 2] {
    [(names[0], &issued.certificate), (names[1], &issued.key)]
}
