//! Servers that take their time, and how exactly it is measured.

use super::*;
use crate::spec::{
    AgentParts, AgentQuestion, Datagram, DnsParts, Exchange, ExchangeParts, Grpc, GrpcParts, Pattern, Pick,
    Question, Reply, Tls, TlsParts, Transport, Trust, UdpParts, Unanswered, Urls, UrlsParts,
};

fn exchange() -> Kind {
    let expect = Some(Pattern::Contains(b"pong".to_vec()));
    Kind::TcpExchange(
        Exchange::new(ExchangeParts { expect, ..ExchangeParts::default() }).expect("an exchange"),
    )
}

fn agent() -> Kind {
    let parts = AgentParts { unanswered: Unanswered::Fail, ..AgentParts::default() };
    Kind::Agent(AgentQuestion::new(parts).expect("a question"))
}

fn name() -> Kind {
    let parts = DnsParts::new("www.example.org", "A".parse().expect("a type"));
    let parts = DnsParts { transport: Transport::Tcp, ..parts };
    Kind::Dns(Question::new(parts).expect("a question"))
}

#[tokio::test]
async fn an_answer_that_comes_a_byte_at_a_time_times_out_whatever_was_asked() {
    let server = serve(|mut stream| async move {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for kind in [exchange(), agent(), name()] {
        times_out(server.address, kind, Stage::AwaitingAnswer).await;
    }
}

/// Asserts that a probe with sockets out of `sockets` times out in `stage`, and at what moment.
async fn ends_with_its_timeout(sockets: &dyn Sockets, target: SocketAddr, kind: Kind, stage: Stage) {
    let timing = Timing::new(TIMEOUT, TIMEOUT, 3, 2).expect("a valid timing");
    let started = Instant::now();
    let found = probe(&Check::new(target, kind, timing), sockets, 0).await;
    assert_eq!(found, Err(Failure::Timeout { after: TIMEOUT, stage }));
    // The clock counts whole milliseconds.
    let took = started.elapsed();
    assert!(took >= TIMEOUT && took <= TIMEOUT + Duration::from_millis(1), "{took:?} until {found:?}");
}

fn grpc() -> Kind {
    Kind::Grpc(Grpc::new(GrpcParts::default()).expect("a call"))
}

fn https() -> Kind {
    let tls = Tls::new(TlsParts { trust: Trust::Anyone, ..TlsParts::default() }).expect("settings");
    request(HttpParts { tls: Some(tls), ..HttpParts::default() })
}

fn over_udp() -> [Kind; 2] {
    let reply = Reply::Expected(Pattern::Contains(b"pong".to_vec()));
    let datagram = Datagram::new(UdpParts { payload: "ping".into(), reply }).expect("a datagram");
    let parts = DnsParts::new("www.example.org", "A".parse().expect("a type"));
    [Kind::Udp(datagram), Kind::Dns(Question::new(parts).expect("a question"))]
}

/// On a clock that stands still while anybody has something to do, as are the next.
#[tokio::test(start_paused = true)]
async fn a_probe_ends_with_its_timeout_and_not_a_moment_later() {
    let server = servers::silent().await;
    for kind in [exchange(), agent(), name(), request(HttpParts::default()), grpc()] {
        ends_with_its_timeout(&OwnSockets, server.address, kind, Stage::AwaitingAnswer).await;
    }
    ends_with_its_timeout(&OwnSockets, server.address, https(), Stage::Securing).await;
    let swallowing = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let target = swallowing.local_addr().expect("its address");
    for kind in over_udp() {
        ends_with_its_timeout(&OwnSockets, target, kind, Stage::AwaitingAnswer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_that_drops_what_comes_holds_a_probe_for_its_timeout_and_not_a_moment_longer() {
    let deaf = servers::deaf().await;
    for kind in [Kind::Tcp, exchange(), agent(), name(), request(HttpParts::default()), https(), grpc()] {
        ends_with_its_timeout(&OwnSockets, deaf.address, kind, Stage::Connecting).await;
    }
}

/// Answers in pieces, each after a pause.
async fn hesitant(pause: Duration) -> servers::Server {
    serve(move |mut stream| async move {
        servers::request(&mut stream).await;
        for piece in ["HTTP/1.1 200 OK\r\n", "Content-Length: 4\r\n\r\n", "fi", "ne"] {
            tokio::time::sleep(pause).await;
            drop(stream.write_all(piece.as_bytes()).await);
        }
        servers::until_closed(&mut stream).await;
    })
    .await
}

/// Sockets that take their time.
#[derive(Debug)]
struct After(Duration);

impl Sockets for After {
    fn open(&self, route: &Route, domain: Domain, kind: Type, protocol: Option<Protocol>) -> Opening<'_> {
        let route = route.clone();
        Box::pin(async move {
            tokio::time::sleep(self.0).await;
            OwnSockets.open(&route, domain, kind, protocol).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_timeout_is_that_of_the_whole_probe_however_many_parts_have_eaten_of_it() {
    let fifth = TIMEOUT / 5;
    let quick = hesitant(fifth).await;
    let latency = run(quick.address, request(HttpParts::default()), TIMEOUT).await.expect("up").latency;
    assert!(latency >= 4 * fifth && latency <= TIMEOUT, "{latency:?}");
    // No part takes as long as the timeout: sockets, head and body together do.
    let (head, body) = (Stage::AwaitingAnswer, Stage::ReadingBody);
    for (sockets, piece, stage) in [(0, 2, body), (1, 1, body), (2, 1, body), (0, 3, head), (2, 2, head)] {
        let slow = hesitant(piece * fifth).await;
        let kind = request(HttpParts::default());
        ends_with_its_timeout(&After(sockets * fifth), slow.address, kind, stage).await;
    }
}

#[tokio::test(start_paused = true)]
async fn several_urls_share_one_timeout() {
    let fifth = TIMEOUT / 5;
    let server = hesitant(fifth / 2).await;
    let requests = vec![HttpRequest::get("/").expect("a request"); 3];
    let urls = Urls::new(UrlsParts { requests, pick: Pick::All { max_failures: 0 } }).expect("urls");
    let started = Instant::now();
    let failure = run(server.address, Kind::Urls(urls), TIMEOUT).await.expect_err("too slow");
    let over = started.elapsed() - TIMEOUT;
    assert!(over <= Duration::from_millis(1), "{failure}: {over:?} late");
    assert!(failure.to_string().contains("timeout after 300 ms"), "{failure}");
}

#[tokio::test]
async fn a_port_that_drops_what_comes_is_given_up_after_a_second_by_the_clock_on_the_wall() {
    let deaf = servers::deaf().await;
    let second = Duration::from_secs(1);
    let started = std::time::Instant::now();
    let failure = run(deaf.address, Kind::Tcp, second).await.expect_err("no answer");
    let took = started.elapsed();
    assert_eq!(failure.to_string(), "timeout after 1 s while connecting");
    // The bound above is for a machine that stands still, not for lvsd.
    assert!(took >= second && took < PATIENCE, "{took:?}");
}
