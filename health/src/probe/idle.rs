//! A TCP connection that is kept.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::way::{Way, wanting};
use super::{Sockets, connection_failure, limit, tcp};
use crate::failure::{Failure, Stage};
use crate::spec::Check;

/// How much is read in an interval; more waits for the next one, so that a target that never stops talking costs next
/// to nothing. Its reset is then seen an interval later.
const MAX_READ: usize = 64 * 1024;

/// How much is read at a time, bytes.
const PIECE: usize = 4096;

/// The most keepalives without an answer (tcp(7), TCP_KEEPCNT).
const MAX_KEEPALIVES: u32 = 127;

/// The longest period of keepalives, seconds (tcp(7), TCP_KEEPIDLE).
const MAX_KEEPALIVE: u64 = 32767;

/// An established connection. Dropped, it is reset.
#[derive(Debug)]
pub(crate) struct Connection(TcpStream);

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The target closed it in order.
    Closed,
    /// It is broken.
    Broken(Failure),
}

/// Connects to the target of `check`. Cancel-safe.
///
/// # Errors
/// Why not, at the latest when the check's timeout is over.
pub(crate) async fn connect(check: &Check, sockets: &dyn Sockets) -> Result<Connection, Failure> {
    let way = Way { target: check.target, route: &check.route, sockets, limit: limit(check) };
    let stream = tcp::connect(&way).await?;
    SockRef::from(&stream).set_tcp_keepalive(&keepalive(check)).map_err(|error| wanting(&error))?;
    Ok(Connection(stream))
}

/// Keepalives after an interval of silence, every timeout, as many as a verdict needs failures.
fn keepalive(check: &Check) -> TcpKeepalive {
    let timing = &check.timing;
    TcpKeepalive::new()
        .with_time(whole_seconds(timing.interval()))
        .with_interval(whole_seconds(timing.timeout()))
        .with_retries(timing.fall().min(MAX_KEEPALIVES))
}

/// Not less than the period, as the kernel counts whole seconds.
fn whole_seconds(period: Duration) -> Duration {
    Duration::from_secs((period.as_millis().div_ceil(1000) as u64).clamp(1, MAX_KEEPALIVE))
}

impl Connection {
    /// Waits for its end. Cancel-safe.
    pub(crate) async fn end(&self, check: &Check) -> End {
        let mut read = 0;
        loop {
            if let Err(error) = self.0.readable().await {
                return End::Broken(broken(&error, check));
            }
            match read_piece(&self.0) {
                Ok(0) => return End::Closed,
                Ok(length) => read += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return End::Broken(broken(&error, check)),
            }
            if read > MAX_READ {
                sleep(check.timing.interval()).await;
                read = 0;
            }
        }
    }
}

/// A function of its own, so that the memory for what is read is no part of what thousands of connections keep.
fn read_piece(stream: &TcpStream) -> io::Result<usize> {
    stream.try_read(&mut [0; PIECE])
}

fn broken(error: &io::Error, check: &Check) -> Failure {
    let stage = Stage::Holding;
    if error.kind() == io::ErrorKind::TimedOut {
        let timing = &check.timing;
        let unanswered = whole_seconds(timing.timeout()) * timing.fall().min(MAX_KEEPALIVES);
        return Failure::Timeout { after: whole_seconds(timing.interval()) + unanswered, stage };
    }
    connection_failure(error, stage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::OwnSockets;
    use crate::servers::{self, serve};
    use crate::spec::{Idle, Kind, Timing};
    use tokio::io::AsyncWriteExt;

    /// For what must not time out, however busy the machine is.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn check(server: &servers::Server, interval: Duration) -> Check {
        let timing = Timing::new(interval, PATIENCE, 3, 2).expect("a timing");
        Check::new(server.address, Kind::Idle(Idle::default()), timing)
    }

    #[tokio::test]
    async fn a_closed_connection_is_told_from_a_reset_one() {
        for (linger, end) in [
            (None, End::Closed),
            (Some(Duration::ZERO), End::Broken(Failure::Reset { stage: Stage::Holding })),
        ] {
            let server = serve(move |stream| async move {
                drop(SockRef::from(&stream).set_linger(linger));
            })
            .await;
            let check = check(&server, PATIENCE);
            let connection = connect(&check, &OwnSockets).await.expect("a connection");
            assert_eq!(connection.end(&check).await, end);
        }
    }

    #[tokio::test]
    async fn what_a_server_says_is_dropped_and_a_flood_of_it_is_read_bit_by_bit() {
        let all = MAX_READ * 3;
        let server = serve(move |mut stream| async move {
            drop(stream.write_all(&vec![b'x'; all]).await);
        })
        .await;
        let interval = Duration::from_millis(50);
        let check = check(&server, interval);
        let connection = connect(&check, &OwnSockets).await.expect("a connection");
        let started = std::time::Instant::now();
        assert_eq!(connection.end(&check).await, End::Closed);
        assert!(started.elapsed() >= interval * 2, "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn keepalives_go_out_as_the_timing_says() {
        let server = servers::silent().await;
        let timing = Timing::new(Duration::from_millis(2001), Duration::from_millis(5), 200, 1);
        let check = Check::new(server.address, Kind::Idle(Idle::default()), timing.expect("a timing"));
        // The timeout is too short for a machine under load to connect within, but not for setting options.
        let stream = TcpStream::connect(server.address).await.expect("a connection");
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(&keepalive(&check)).expect("options");
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), Duration::from_secs(3));
        assert_eq!(socket.tcp_keepalive_interval().expect("an option"), Duration::from_secs(1));
        assert_eq!(socket.tcp_keepalive_retries().expect("an option"), 127);
    }
}
