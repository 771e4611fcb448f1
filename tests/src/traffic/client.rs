//! The client's tasks, on one thread inside the client's namespace.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{Load, Request, Shared, lock};

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests under way at once; more would only say what these say already.
const MOST_UNDER_WAY: usize = 2_000;

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
    let mut under_way = JoinSet::new();
    for number in 0..load.kept_alive {
        under_way.spawn_local(keep(number, targets.clone(), record.clone()));
    }
    let mut ticks = interval(Duration::from_secs(1) / load.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        ticks.tick().await;
        let target = {
            let targets = targets.borrow_and_update();
            if targets.is_empty() {
                break;
            }
            targets[number % targets.len()]
        };
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= MOST_UNDER_WAY {
            note(record, target, Instant::now(), false, Err(Error::other("too many requests under way")));
            continue;
        }
        under_way.spawn_local(once(target, record.clone()));
    }
    while under_way.join_next().await.is_some() {}
}

/// One request on a connection of its own.
async fn once(target: SocketAddr, record: Shared) {
    let began = Instant::now();
    let ask = async {
        let mut stream = TcpStream::connect(target).await?;
        ask(&mut stream, target, false).await
    };
    let answer = timeout(PATIENCE, ask).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    note(&record, target, began, false, answer);
}

/// Requests one after the other on a connection that is kept. One that the server closed while nothing was asked is
/// opened anew, as every HTTP client does; one that breaks under a request has failed it.
async fn keep(number: usize, mut targets: watch::Receiver<Vec<SocketAddr>>, record: Shared) {
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
        let began = Instant::now();
        let exchange = async {
            let mut stream = match kept.take() {
                Some((_, stream)) => stream,
                None => TcpStream::connect(target).await?,
            };
            let answer = ask(&mut stream, target, true).await?;
            Ok((stream, answer))
        };
        let answer = match timeout(PATIENCE, exchange).await {
            Ok(Ok((stream, answer))) => {
                kept = Some((target, stream));
                Ok(answer)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ErrorKind::TimedOut.into()),
        };
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

fn note(record: &Shared, target: SocketAddr, began: Instant, kept: bool, answer: Result<String, Error>) {
    let took = began.elapsed();
    let mut record = lock(record);
    let at = began.saturating_duration_since(record.began);
    let answer = answer.map_err(|error| error.to_string());
    record.requests.push(Request { at, took, target, kept, answer });
}
