mod agent;
mod command;
mod dns;
mod exchange;
mod slow;
mod udp;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Protocol, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;
use crate::servers::{self, answering, dripping, serve};
use crate::spec::{HttpParts, HttpRequest, Route, Timing};

/// For probes that must time out.
const TIMEOUT: Duration = Duration::from_millis(300);

/// For probes that must not, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

async fn tcp(target: SocketAddr) -> Outcome {
    run(target, Kind::Tcp, PATIENCE).await
}

async fn http(target: SocketAddr, parts: HttpParts) -> Outcome {
    run(target, request(parts), PATIENCE).await
}

async fn get(target: SocketAddr) -> Outcome {
    http(target, HttpParts::default()).await
}

fn request(parts: HttpParts) -> Kind {
    Kind::Http(HttpRequest::new(parts).expect("a valid request"))
}

async fn run(target: SocketAddr, kind: Kind, timeout: Duration) -> Outcome {
    let timing = Timing::new(timeout, timeout, 3, 2).expect("a valid timing");
    probe(&Check::new(target, kind, timing), &OwnSockets, 0).await
}

fn looking_for(text: &str) -> HttpParts {
    HttpParts { body_contains: Some(text.to_owned()), ..HttpParts::default() }
}

/// Asserts that the probe fails in `stage` when its timeout is over, and not before.
async fn times_out(target: SocketAddr, kind: Kind, stage: Stage) {
    let started = Instant::now();
    assert_eq!(run(target, kind, TIMEOUT).await, Err(Failure::Timeout { after: TIMEOUT, stage }));
    let took = started.elapsed();
    assert!(took >= TIMEOUT && took < PATIENCE, "{took:?}");
}

fn status(found: u16) -> Outcome {
    Err(Failure::Status { found, expected: HttpParts::default().expect })
}

#[tokio::test]
async fn a_listening_port_is_up_and_a_closed_one_refuses() {
    let listening = servers::silent().await;
    let latency = tcp(listening.address).await.expect("up").latency;
    assert!(latency > Duration::ZERO && latency < PATIENCE);
    let closed = servers::closed();
    assert_eq!(tcp(closed.address).await, Err(Failure::Refused));
    assert_eq!(get(closed.address).await, Err(Failure::Refused));
}

#[tokio::test]
async fn ipv6_is_checked_as_well() {
    let listener = tokio::net::TcpListener::bind("[::1]:0").await.expect("IPv6 on loopback");
    let address = listener.local_addr().expect("its address");
    assert!(tcp(address).await.is_ok());
}

#[tokio::test]
async fn a_tcp_check_resets_its_connection_so_that_none_stays_in_time_wait() {
    let (told, mut ends) = mpsc::channel(1);
    let server = serve(move |mut stream| {
        let told = told.clone();
        async move {
            let end = stream.read_u8().await.map_err(|error| error.kind());
            told.send(end).await.expect("the test listens");
        }
    })
    .await;
    assert!(tcp(server.address).await.is_ok());
    assert_eq!(ends.recv().await, Some(Err(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn a_host_that_drops_packets_times_out_while_connecting() {
    let deaf = servers::deaf().await;
    times_out(deaf.address, Kind::Tcp, Stage::Connecting).await;
    times_out(deaf.address, request(HttpParts::default()), Stage::Connecting).await;
}

#[tokio::test]
async fn a_server_that_accepts_and_is_silent_times_out_while_waiting() {
    let server = servers::silent().await;
    times_out(server.address, request(HttpParts::default()), Stage::AwaitingAnswer).await;
}

#[tokio::test]
async fn a_slow_loris_times_out_wherever_it_drips() {
    let pause = Duration::from_millis(20);
    let header = dripping(b"HTTP/1.1 200 OK\r\n", b"a:b\r\n", pause).await;
    times_out(header.address, request(HttpParts::default()), Stage::AwaitingAnswer).await;
    let body = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x", pause).await;
    times_out(body.address, request(HttpParts::default()), Stage::ReadingBody).await;
    let early = dripping(b"HTTP/1.1 102 Wait\r\n\r\n", b"HTTP/1.1 102 Wait\r\n\r\n", pause).await;
    times_out(early.address, request(HttpParts::default()), Stage::AwaitingAnswer).await;
}

#[tokio::test]
async fn a_header_without_end_is_cut_off() {
    let server = dripping(b"HTTP/1.1 200 OK\r\nx: ", &[b'y'; 4096], Duration::ZERO).await;
    assert_eq!(get(server.address).await, Err(Failure::HeadTooLarge { limit: 64 * 1024 }));
}

#[tokio::test]
async fn a_body_without_end_is_read_up_to_the_bound() {
    let server = dripping(b"HTTP/1.1 200 OK\r\n\r\n", &[b'y'; 4096], Duration::ZERO).await;
    assert!(get(server.address).await.is_ok(), "the status is right and the body flows");
    let parts = HttpParts { max_body: 100_000, ..looking_for("never") };
    let lacks = Failure::Body { wanted: "never".to_owned(), read: 100_000 };
    assert_eq!(http(server.address, parts).await, Err(lacks));
    let parts = HttpParts { max_body: u64::MAX, ..looking_for("never") };
    times_out(server.address, request(parts), Stage::ReadingBody).await;
}

#[tokio::test]
async fn statuses_are_judged_as_expected_and_redirects_are_not_followed() {
    let ok = answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(get(ok.address).await.is_ok());
    let broken = answering("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(get(broken.address).await, status(503));
    let text = get(broken.address).await.expect_err("a failure").to_string();
    assert_eq!(text, "HTTP status 503, expected 200-299");

    let moved = answering("HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(get(moved.address).await, status(301));
    let expect = vec!["200".parse().expect("a status"), "300-301".parse().expect("a range")];
    let parts = HttpParts { expect, ..HttpParts::default() };
    assert!(http(moved.address, parts).await.is_ok());
    assert_eq!(moved.accepted(), 2, "one connection for each check");
}

#[tokio::test]
async fn answers_that_are_no_http_are_called_so() {
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\x16\x03\x01\x00\xff\xff\xff\xff\xff\xff\xff\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let server = answering(garbage).await;
        let found = get(server.address).await;
        assert!(
            matches!(found, Err(Failure::Malformed { .. })),
            "{found:?} for {:?}",
            garbage.escape_ascii()
        );
    }
}

#[tokio::test]
async fn a_server_that_speaks_before_it_is_asked_speaks_no_http() {
    let server = serve(|mut stream| async move {
        drop(stream.write_all(b"220 mail.example.org ESMTP\r\n").await);
        servers::until_closed(&mut stream).await;
    })
    .await;
    let found = get(server.address).await;
    assert!(matches!(found, Err(Failure::Malformed { .. })), "{found:?}");
}

#[tokio::test]
async fn connections_that_end_early_are_told_apart() {
    let at_once = serve(|mut stream| async move { drop(servers::request(&mut stream).await) }).await;
    assert_eq!(get(at_once.address).await, Err(Failure::Closed { stage: Stage::AwaitingAnswer }));
    let in_header = answering("HTTP/1.1 200 OK\r\nContent-").await;
    assert_eq!(get(in_header.address).await, Err(Failure::Closed { stage: Stage::AwaitingAnswer }));
    let in_body = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert_eq!(get(in_body.address).await, Err(Failure::Closed { stage: Stage::ReadingBody }));
    let reset = serve(|mut stream| async move {
        servers::request(&mut stream).await;
        drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
    })
    .await;
    assert_eq!(get(reset.address).await, Err(Failure::Reset { stage: Stage::AwaitingAnswer }));
}

#[tokio::test]
async fn a_text_is_found_in_the_body_even_across_its_pieces() {
    let server = serve(|mut stream| async move {
        servers::request(&mut stream).await;
        drop(stream.set_nodelay(true));
        for piece in ["HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nst", "atus: h", "ealth", "y"] {
            drop(stream.write_all(piece.as_bytes()).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(http(server.address, looking_for("healthy")).await.is_ok());
    let lacks = Failure::Body { wanted: "unhealthy".to_owned(), read: 15 };
    assert_eq!(http(server.address, looking_for("unhealthy")).await, Err(lacks));
    let parts = HttpParts { max_body: 14, ..looking_for("healthy") };
    let lacks = Failure::Body { wanted: "healthy".to_owned(), read: 14 };
    assert_eq!(http(server.address, parts).await, Err(lacks));
    let parts = HttpParts { max_body: 15, ..looking_for("healthy") };
    assert!(http(server.address, parts).await.is_ok());
}

#[tokio::test]
async fn the_request_is_sent_as_specified_and_closes_the_connection() {
    let (told, mut requests) = mpsc::channel(1);
    let server = serve(move |mut stream| {
        let told = told.clone();
        async move {
            drop(told.send(servers::request(&mut stream).await).await);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await);
        }
    })
    .await;
    let parts = HttpParts {
        method: "HEAD".to_owned(),
        path: "/healthz?deep=1".to_owned(),
        host: Some("www.example.org".to_owned()),
        headers: vec![("X-Probe".to_owned(), "yes".into())],
        ..HttpParts::default()
    };
    assert!(http(server.address, parts).await.is_ok(), "an answer to HEAD has no body whatever its length");
    let sent = requests.recv().await.expect("a request").to_lowercase();
    let (line, headers) = sent.split_once("\r\n").expect("a request line");
    assert_eq!(line, "head /healthz?deep=1 http/1.1");
    for header in ["host: www.example.org", "x-probe: yes", "connection: close", "accept: */*"] {
        assert!(headers.contains(&format!("{header}\r\n")), "{header} in {headers}");
    }

    get(server.address).await.expect_err("a body of 2 bytes never comes");
    let sent = requests.recv().await.expect("a request").to_lowercase();
    assert!(sent.contains(&format!("host: {}\r\n", server.address)), "{sent}");
}

#[tokio::test]
async fn a_dropped_probe_leaves_no_connection() {
    let (told, mut ends) = mpsc::channel(1);
    let server = serve(move |mut stream| {
        let told = told.clone();
        async move {
            servers::request(&mut stream).await;
            told.send(()).await.expect("the test listens");
            servers::until_closed(&mut stream).await;
            told.send(()).await.expect("the test listens");
        }
    })
    .await;
    let patient = Timing::new(Duration::from_secs(60), Duration::from_secs(60), 1, 1).expect("a timing");
    let request = HttpRequest::get("/").expect("a request");
    let check = Arc::new(Check::new(server.address, Kind::Http(request), patient));
    let task = tokio::spawn(async move { probe(&check, &OwnSockets, 0).await });
    ends.recv().await.expect("the request came");
    task.abort();
    ends.recv().await.expect("the connection ended");
}

#[test]
fn errors_of_this_host_are_told_from_those_of_the_target() {
    let v4 = "127.0.0.1:80".parse().expect("an address");
    // errno(3) on Linux.
    for (errno, inconclusive) in
        [(13, true), (1, true), (99, true), (12, true), (111, false), (113, false), (101, false)]
    {
        let failure = tcp::connect_failure(&io::Error::from_raw_os_error(errno), v4);
        assert_eq!(failure.is_inconclusive(), inconclusive, "{failure}");
    }
    let no_route = tcp::connect_failure(&io::Error::from_raw_os_error(113), v4);
    assert_eq!(no_route.to_string(), "No route to host while connecting");
    let v6 = "[::1]:80".parse().expect("an address");
    let prohibited = tcp::connect_failure(&io::Error::from_raw_os_error(13), v6);
    assert_eq!(prohibited.to_string(), "administratively prohibited while connecting");
}

#[tokio::test]
async fn a_check_from_an_address_of_its_own_comes_from_it_over_either_family() {
    for (listen, source) in [("127.0.0.1:0", "127.0.0.9"), ("[::1]:0", "::1")] {
        let listener = tokio::net::TcpListener::bind(listen).await.expect("a free port");
        let target = listener.local_addr().expect("its address");
        let source = source.parse().expect("an address");
        let timing = Timing::new(PATIENCE, PATIENCE, 3, 2).expect("a valid timing");
        let check = Check::new(target, Kind::Tcp, timing).by(Route::Own { source: Some(source) });
        probe(&check, &OwnSockets, 0).await.expect("up");
        let (_, peer) = listener.accept().await.expect("a connection");
        assert_eq!(peer.ip(), source);
    }
}

#[tokio::test]
async fn a_check_through_a_server_without_a_way_to_hand_packets_to_it_moves_no_verdict() {
    let listening = servers::silent().await;
    let timing = Timing::new(PATIENCE, PATIENCE, 3, 2).expect("a valid timing");
    let server = "192.0.2.1".parse().expect("an address");
    let check =
        Check::new(listening.address, Kind::Tcp, timing).by(Route::Through { server, encapsulation: None });
    let failure = probe(&check, &OwnSockets, 0).await.expect_err("no way");
    assert!(failure.is_inconclusive());
    assert!(failure.to_string().contains("192.0.2.1"), "{failure}");
}

#[tokio::test]
async fn a_marked_check_bears_its_mark_and_comes_from_the_address_that_leads_to_its_server() {
    let toward: std::net::IpAddr = "127.0.0.9".parse().expect("an address");
    let route = Route::Marked { mark: std::num::NonZeroU32::new(7), toward };
    let socket = OwnSockets.open(&route, Domain::IPV4, Type::STREAM, None).await;
    match socket {
        Ok(socket) => {
            let mark = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::Mark);
            assert_eq!(mark, Ok(7));
            let own = socket.local_addr().expect("an address").as_socket().expect("of IP");
            assert_eq!(own.ip().to_string(), "127.0.0.1");
        }
        // Without CAP_NET_ADMIN.
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}"),
    }
}

#[tokio::test]
async fn a_check_for_which_no_mark_is_left_moves_no_verdict() {
    let target = "127.0.0.1:1".parse().expect("an address");
    let timing = Timing::new(PATIENCE, PATIENCE, 3, 2).expect("a valid timing");
    let toward = "127.0.0.1".parse().expect("an address");
    let check = Check::new(target, Kind::Tcp, timing).by(Route::Marked { mark: None, toward });
    let failure = probe(&check, &OwnSockets, 0).await.expect_err("no mark");
    assert!(failure.is_inconclusive() && failure.to_string().contains("no mark is left"), "{failure}");
}

/// Sockets that never come.
#[derive(Debug)]
struct Never;

impl Sockets for Never {
    fn open(&self, _: &Route, _: Domain, _: Type, _: Option<Protocol>) -> Opening<'_> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_socket_that_does_not_come_in_time_moves_no_verdict() {
    let target = "127.0.0.1:1".parse().expect("an address");
    let timing = Timing::new(PATIENCE, Duration::from_millis(100), 3, 2).expect("a valid timing");
    let failure = probe(&Check::new(target, Kind::Tcp, timing), &Never, 0).await.expect_err("no socket");
    assert!(failure.is_inconclusive(), "{failure}");
}

#[tokio::test]
async fn a_lost_first_packet_costs_half_the_timeout_and_no_verdict() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(0).expect("a listener");
    let target = listener.local_addr().expect("its address");
    // While nobody accepts, the kernel has room for a few connections and drops the first packet of all others.
    let mut held = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&target, Duration::from_millis(100)) {
        held.push(stream);
    }
    // Less than the second after which the kernel sends a lost packet again.
    let timeout = Duration::from_millis(950);
    let checked = tokio::spawn(run(target, Kind::Tcp, timeout));
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..held.len() {
        listener.accept().await.expect("one that was held");
    }
    let latency = checked.await.expect("no panic").expect("up").latency;
    assert!(latency >= timeout / 2 && latency < timeout, "{latency:?}");
}
