//! An agent beside a server: says on a port of its own what the scenario has it say, as HAProxy's agents do.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::host::Host;

/// The port of every agent.
pub const PORT: u16 = 9999;

/// How often it looks whether somebody asks: well below what a check waits.
const PAUSE: Duration = Duration::from_millis(10);

/// One agent, in a thread of its own that ends with it.
#[derive(Debug)]
pub struct Agent {
    says: Arc<Mutex<String>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Starts it on a host, both families; it says `up`.
    pub fn start(host: &Host) -> Result<Self> {
        let listener = host.enter(|| TcpListener::bind(("::", PORT)))?.context("the agent's port")?;
        listener.set_nonblocking(true).context("the agent's socket")?;
        let (says, ends) = (Arc::new(Mutex::new("up".to_owned())), Arc::new(AtomicBool::new(false)));
        let (words, end) = (Arc::clone(&says), Arc::clone(&ends));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((mut stream, _)) => {
                        let line = format!("{}\n", words.lock().unwrap_or_else(PoisonError::into_inner));
                        // Whoever asked and went away needs no answer.
                        drop(stream.write_all(line.as_bytes()));
                    }
                    // Nobody asks, or somebody gave up.
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        });
        Ok(Self { says, ends, thread: Some(thread) })
    }

    /// What it says from now on.
    pub fn say(&self, words: &str) {
        words.clone_into(&mut self.says.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
