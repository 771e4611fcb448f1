//! What kube-proxy says on a node of a Service with `externalTrafficPolicy: Local`, at its `healthCheckNodePort`.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::host::Host;

/// How often it looks whether somebody asks: well below what a check waits.
const PAUSE: Duration = Duration::from_millis(10);

/// How long somebody may take to ask.
const ANSWER: Duration = Duration::from_secs(30);

/// One Service on one node, in a thread that ends with it.
#[derive(Debug)]
pub struct KubeProxy {
    endpoints: Arc<AtomicU32>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KubeProxy {
    /// Starts it on a node, both families, without an endpoint of the Service (`prod/web`).
    pub fn start(node: &Host, service: &str, port: u16) -> Result<Self> {
        let (namespace, name) = service.split_once('/').context("a Service is NAMESPACE/NAME")?;
        let service = format!("{{\"namespace\":\"{namespace}\",\"name\":\"{name}\"}}");
        let listener = node.enter(|| TcpListener::bind(("::", port)))?.context("kube-proxy's port")?;
        listener.set_nonblocking(true).context("kube-proxy's socket")?;
        let (endpoints, ends) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&endpoints), Arc::clone(&ends));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                match listener.accept() {
                    // Whoever asked and went away needs no answer.
                    Ok((stream, _)) => drop(answer(stream, &service, count.load(Ordering::Relaxed))),
                    // Nobody asks, or somebody gave up.
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        });
        Ok(Self { endpoints, ends, thread: Some(thread) })
    }

    /// So many ready endpoints of the Service are on the node.
    pub fn has(&self, endpoints: u32) {
        self.endpoints.store(endpoints, Ordering::Relaxed);
    }
}

impl Drop for KubeProxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn answer(mut stream: TcpStream, service: &str, endpoints: u32) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let (mut asked, mut bytes) = (Vec::<u8>::new(), [0; 1024]);
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            length => asked.extend(&bytes[..length]),
        }
    }
    let status = if endpoints > 0 { "200 OK" } else { "503 Service Unavailable" };
    let body = format!("{{\"service\":{service},\"localEndpoints\":{endpoints}}}");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
