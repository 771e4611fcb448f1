//! Datagrams and what comes back.

use tokio::net::UdpSocket;

use super::*;
use crate::failure::Evidence;
use crate::spec::{Datagram, Pattern, Regex, Reply, UdpParts};

fn kind(payload: &[u8], reply: Reply) -> Kind {
    Kind::Udp(Datagram::new(UdpParts { payload: payload.into(), reply }).expect("a valid datagram"))
}

fn expecting(text: &str) -> Reply {
    Reply::Expected(Pattern::Contains(text.as_bytes().to_vec()))
}

/// Patient with an answer that is optional.
fn optional(wait: Duration) -> Reply {
    Reply::Optional { wait, hold: Duration::from_secs(7) }
}

/// Sends every datagram back, in capitals.
async fn echo(address: &str) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let socket = UdpSocket::bind(address).await.expect("a free port");
    let address = socket.local_addr().expect("its address");
    let task = tokio::spawn(async move {
        let mut datagram = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            datagram[..length].make_ascii_uppercase();
            drop(socket.send_to(&datagram[..length], from).await);
        }
    });
    (address, task)
}

#[tokio::test]
async fn a_datagram_is_answered_as_expected_over_either_family() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (target, task) = echo(address).await;
        let regex = Reply::Expected(Pattern::Matches(Regex::new("^PING$").expect("a regex")));
        for reply in [expecting("PING"), regex, optional(PATIENCE)] {
            let found = run(target, kind(b"ping", reply), PATIENCE).await.expect("up");
            assert_eq!(found.evidence, Evidence::Answer);
        }
        let wrong = run(target, kind(b"quit", expecting("PING")), PATIENCE).await.expect_err("down");
        assert_eq!(wrong.to_string(), r#"answer lacks "PING": found "QUIT""#);
        let empty = run(target, kind(b"", expecting("PING")), PATIENCE).await.expect_err("down");
        assert_eq!(empty.to_string(), r#"answer lacks "PING": found """#);
        task.abort();
    }
}

#[tokio::test]
async fn a_port_that_is_unreachable_is_down_at_once_whatever_is_expected() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        // It keeps the port and hears nobody but itself.
        let deaf = UdpSocket::bind(address).await.expect("a free port");
        let target = deaf.local_addr().expect("its address");
        deaf.connect(target).await.expect("connected to itself");
        for (reply, hold) in [(expecting("x"), 0), (optional(PATIENCE), 7)] {
            let failure = run(target, kind(b"ping", reply), PATIENCE).await.expect_err("down");
            assert_eq!(failure.to_string(), "port unreachable: the packet was returned");
            assert_eq!(failure.holds_for(), (hold > 0).then(|| Duration::from_secs(hold)));
        }
    }
}

#[tokio::test]
async fn silence_is_success_after_the_wait_only_where_no_answer_is_expected() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let target = silent.local_addr().expect("its address");
    for (wait, timeout) in [(TIMEOUT, PATIENCE), (PATIENCE, TIMEOUT)] {
        let started = Instant::now();
        let found = run(target, kind(b"", optional(wait)), timeout).await.expect("not returned");
        assert_eq!(found.evidence, Evidence::Silence);
        assert!(started.elapsed() >= TIMEOUT && started.elapsed() < PATIENCE);
    }
    times_out(target, kind(b"", expecting("x")), Stage::AwaitingAnswer).await;
}

#[tokio::test]
async fn answers_from_elsewhere_are_not_heard() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let target = silent.local_addr().expect("its address");
    let liar = UdpSocket::bind("127.0.0.2:0").await.expect("a free port");
    let relay = tokio::spawn(async move {
        let mut datagram = [0; 64];
        let (length, from) = silent.recv_from(&mut datagram).await.expect("the probe's datagram");
        liar.send_to(&datagram[..length], from).await.expect("sent");
        (silent, liar)
    });
    times_out(target, kind(b"ping", expecting("ping")), Stage::AwaitingAnswer).await;
    relay.await.expect("the lie was told");
}
