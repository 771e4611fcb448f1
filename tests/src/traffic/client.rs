//! The client's tasks, on one thread inside the client's namespace.

use std::cell::RefCell;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{Load, Request, Shared, lock};
use crate::own_time::{OwnTime, TICK};

/// A request that takes longer of the client's own time has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests under way at once; more would only say what these say already.
const MOST_UNDER_WAY: usize = 2_000;

/// The client is behind by so much when the whole machine stood still, or has no time for it: nobody could have come meanwhile,
/// and they do not all come at once afterwards.
const STOOD_STILL: Duration = Duration::from_millis(500);

/// Pause between two requests on a kept connection.
const KEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest answer that is read: real servers say their name.
const LONGEST_ANSWER: usize = 4_096;

/// Sends until the targets are taken away, then waits for what is under way.
pub(super) fn run(load: &Load, targets: watch::Receiver<Vec<SocketAddr>>, record: &Shared) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, send(load, targets, record));
    Ok(())
}

async fn send(load: &Load, mut targets: watch::Receiver<Vec<SocketAddr>>, record: &Shared) {
    let patience = Patience::new();
    let its = patience.clone();
    let clock = spawn_local(async move { its.go_on().await });
    let mut under_way = JoinSet::new();
    for number in 0..load.kept_alive {
        under_way.spawn_local(keep(number, targets.clone(), record.clone(), patience.clone()));
    }
    let mut ticks = interval(Duration::from_secs(1) / load.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        if ticks.tick().await.elapsed() > STOOD_STILL {
            ticks.reset();
        }
        let target = {
            let targets = targets.borrow_and_update();
            if targets.is_empty() {
                break;
            }
            targets[number % targets.len()]
        };
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= MOST_UNDER_WAY {
            note(record, target, begin(record), false, Err(Error::other("too many requests under way")));
            continue;
        }
        under_way.spawn_local(once(target, record.clone(), patience.clone()));
    }
    while under_way.join_next().await.is_some() {}
    clock.abort();
}

/// How long the client waits, in its own time.
#[derive(Clone, Debug)]
struct Patience(Rc<RefCell<OwnTime>>);

impl Patience {
    fn new() -> Self {
        Self(Rc::new(RefCell::new(OwnTime::new(Instant::now()))))
    }

    fn now(&self) -> Duration {
        self.0.borrow_mut().at(Instant::now())
    }

    /// Lets the time pass for as long as this is polled.
    async fn go_on(&self) {
        loop {
            sleep(TICK).await;
            self.now();
        }
    }

    /// The answer, unless the patience ends first.
    async fn wait_for<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let end = self.now() + PATIENCE;
        let is_over = async {
            while let Some(left) = end.checked_sub(self.now()).filter(|left| !left.is_zero()) {
                sleep(left.max(TICK)).await;
            }
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            () = is_over => Err(ErrorKind::TimedOut.into()),
        }
    }
}

/// One request on a connection of its own.
async fn once(target: SocketAddr, record: Shared, patience: Patience) {
    let began = begin(&record);
    let ask = async {
        let mut stream = TcpStream::connect(target).await?;
        ask(&mut stream, target, false).await
    };
    let answer = patience.wait_for(ask).await;
    note(&record, target, began, false, answer);
}

/// Requests one after the other on a connection that is kept. One that the server closed while nothing was asked is
/// opened anew, as every HTTP client does; one that breaks under a request has failed it.
async fn keep(
    number: usize,
    mut targets: watch::Receiver<Vec<SocketAddr>>,
    record: Shared,
    patience: Patience,
) {
    let mut kept: Option<(SocketAddr, TcpStream)> = None;
    loop {
        let target = {
            let targets = targets.borrow_and_update();
            if targets.is_empty() {
                return;
            }
            // A connection stays with its target though others are added.
            kept.as_ref().map_or(targets[number % targets.len()], |(target, _)| *target)
        };
        if kept.as_ref().is_some_and(|(_, stream)| was_closed(stream)) {
            lock(&record).reconnects += 1;
            kept = None;
        }
        let began = begin(&record);
        let exchange = async {
            let mut stream = match kept.take() {
                Some((_, stream)) => stream,
                None => TcpStream::connect(target).await?,
            };
            let answer = ask(&mut stream, target, true).await?;
            Ok((stream, answer))
        };
        let answer = patience.wait_for(exchange).await.map(|(stream, answer)| {
            kept = Some((target, stream));
            answer
        });
        note(&record, target, began, true, answer);
        sleep(KEPT_PAUSE).await;
    }
}

fn was_closed(stream: &TcpStream) -> bool {
    let mut byte = [0];
    !matches!(stream.try_read(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Asks for / and returns the first word of the body: who answered.
async fn ask(stream: &mut TcpStream, target: SocketAddr, keep: bool) -> Result<String, Error> {
    let connection = if keep { "keep-alive" } else { "close" };
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: {connection}\r\n\r\n", target.ip());
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(512);
    loop {
        if let Some(body) = body(&answer)? {
            return Ok(body.split_whitespace().next().unwrap_or_default().to_owned());
        }
        if answer.len() > LONGEST_ANSWER {
            return Err(Error::other("an answer that is too long"));
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The body once it is whole; an error for what is not 200.
fn body(answer: &[u8]) -> Result<Option<&str>, Error> {
    let Ok(text) = std::str::from_utf8(answer) else {
        return Err(Error::other("an answer that is not text"));
    };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if status.split_whitespace().nth(1) != Some("200") {
        return Err(Error::other(format!("answered {status}")));
    }
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .ok_or_else(|| Error::other("an answer without a length"))?;
    Ok(body.get(..length))
}

/// A request is under way from now on; until it is noted.
fn begin(record: &Shared) -> Instant {
    let began = Instant::now();
    lock(record).under_way.push(began);
    began
}

fn note(record: &Shared, target: SocketAddr, began: Instant, kept: bool, answer: Result<String, Error>) {
    let took = began.elapsed();
    let mut record = lock(record);
    if let Some(place) = record.under_way.iter().position(|other| *other == began) {
        record.under_way.swap_remove(place);
    }
    let at = began.saturating_duration_since(record.began);
    let answer = answer.map_err(|error| error.to_string());
    record.requests.push(Request { at, took, target, kept, answer });
}
