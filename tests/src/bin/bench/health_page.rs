//! The page that the measured balancer's checks ask for: it says 200 or 503, and notes when it said what.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use lab::host::Host;

use crate::clock::Moment;

/// Where it answers.
pub(crate) const PORT: u16 = 8080;

/// How long a request may take to arrive.
const REQUEST: Duration = Duration::from_millis(500);

/// An answer, timed when it was about to be written.
#[derive(Clone, Copy, Debug)]
struct Answer {
    at: Moment,
    is_v4: bool,
    status: u16,
}

#[derive(Debug)]
struct Shared {
    status: AtomicU16,
    answers: Mutex<Vec<Answer>>,
}

/// The page of one server, served as long as the lab lives.
#[derive(Debug)]
pub(crate) struct HealthPage(Arc<Shared>);

impl HealthPage {
    /// Serves it on `host`, healthy.
    pub(crate) fn start(host: &Host) -> Result<Self> {
        let shared = Arc::new(Shared { status: AtomicU16::new(200), answers: Mutex::default() });
        let listener = host.enter(|| TcpListener::bind(("::", PORT)))?.context("listen for checks")?;
        let its = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A probe that goes away in the middle is answered no more.
                let _ = answer(&its, stream);
            }
        });
        Ok(Self(shared))
    }

    /// Says this from now on. Returns a mark for [`HealthPage::nth_since`].
    pub(crate) fn set(&self, status: u16) -> usize {
        let answers = self.answers();
        self.0.status.store(status, Ordering::SeqCst);
        answers.len()
    }

    /// When the `nth` answer (1 is the first) with the page's status was given to checks of a family since a mark.
    pub(crate) fn nth_since(&self, mark: usize, is_v4: bool, nth: usize) -> Option<Moment> {
        let status = self.0.status.load(Ordering::SeqCst);
        let answers = self.answers();
        let mut fitting = answers[mark..].iter().filter(|a| a.is_v4 == is_v4 && a.status == status);
        fitting.nth(nth - 1).map(|answer| answer.at)
    }

    fn answers(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(shared: &Shared, mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(REQUEST))?;
    let is_v4 = stream.peer_addr()?.ip().to_canonical().is_ipv4();
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = stream.read(&mut part)?;
        anyhow::ensure!(length > 0, "no request");
        request.extend_from_slice(&part[..length]);
    }
    {
        let mut answers = shared.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let status = shared.status.load(Ordering::SeqCst);
        answers.push(Answer { at: Moment::now(), is_v4, status });
        write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    }
    Ok(())
}
