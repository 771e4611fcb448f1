//! What checks of every kind come from, and that they ask over IPv6 as over IPv4.

use health::{
    AgentParts, AgentQuestion, DnsParts, Failure, Grpc, GrpcParts, NodePort, Question, Route, Transport,
    Unanswered,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tonic_health::ServingStatus;

use super::grpc_server::Health;
use super::*;

/// A server of each kind at one address, until it is dropped.
struct Site {
    asked: Vec<(SocketAddr, Kind)>,
    _grpc: Health,
    _others: JoinSet<()>,
}

impl Site {
    /// Starts them; `is_well`: whether they say that they are.
    async fn start(ip: &str, is_well: bool) -> Self {
        let (mut asked, mut others) = (Vec::new(), JoinSet::new());
        let dns = |transport| {
            let record_type = "A".parse().expect("a type");
            let parts = DnsParts { transport, ..DnsParts::new("www.example.org", record_type) };
            Kind::Dns(Question::new(parts).expect("a question"))
        };
        asked.push((name_server(ip, is_well, &mut others).await, dns(Transport::Udp)));
        let by_tcp = move |stream| answer_question(stream, is_well);
        asked.push((serve(ip, by_tcp, &mut others).await, dns(Transport::Tcp)));

        let grpc = Health::start(ip).await;
        let status = if is_well { ServingStatus::Serving } else { ServingStatus::NotServing };
        grpc.reporter.set_service_status("routing", status).await;
        let parts = GrpcParts { service: "routing".to_owned(), ..GrpcParts::default() };
        asked.push((grpc.address, Kind::Grpc(Grpc::new(parts).expect("a question"))));

        let node_port = move |stream| answer_kubelet(stream, usize::from(is_well));
        let kind = Kind::NodePort(NodePort::new(Some("web/front")).expect("a service"));
        asked.push((serve(ip, node_port, &mut others).await, kind));

        let line = if is_well { "up 50%\n" } else { "down # disk full\n" };
        let parts = AgentParts { send: "".into(), unanswered: Unanswered::Fail };
        let kind = Kind::Agent(AgentQuestion::new(parts).expect("a question"));
        asked.push((serve(ip, move |stream| say(stream, line), &mut others).await, kind));
        Self { asked, _grpc: grpc, _others: others }
    }
}

/// Handles each connection to a port of this address.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    ip: &str,
    handle: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    servers: &mut JoinSet<()>,
) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    servers.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            handle(stream).await;
        }
    });
    address
}

async fn say(mut stream: TcpStream, words: &str) {
    drop(stream.write_all(words.as_bytes()).await);
}

/// Answers as kube-proxy does.
async fn answer_kubelet(mut stream: TcpStream, endpoints: usize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let service = r#"{"namespace":"web","name":"front"}"#;
    let body = format!(r#"{{"service":{service},"localEndpoints":{endpoints}}}"#);
    let status = if endpoints > 0 { "200 OK" } else { "503 Service Unavailable" };
    say(stream, &format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
}

/// Makes a question an answer without records: NOERROR, or REFUSED (RFC 1035, section 4.1.1).
fn make_answer(question: &mut [u8], is_well: bool) {
    question[2] |= 0x80;
    question[3] = (question[3] & 0xf0) | if is_well { 0 } else { 5 };
}

async fn answer_question(mut stream: TcpStream, is_well: bool) {
    let Ok(length) = stream.read_u16().await else { return };
    let mut message = vec![0; usize::from(length)];
    if stream.read_exact(&mut message).await.is_ok() {
        make_answer(&mut message, is_well);
        drop(stream.write_all(&[&length.to_be_bytes(), &message[..]].concat()).await);
    }
}

async fn name_server(ip: &str, is_well: bool, servers: &mut JoinSet<()>) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).await.expect("a free port");
    let address = socket.local_addr().expect("its address");
    servers.spawn(async move {
        let mut message = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut message).await {
            make_answer(&mut message[..length], is_well);
            drop(socket.send_to(&message[..length], from).await);
        }
    });
    address
}

async fn from(source: Option<IpAddr>, target: SocketAddr, kind: Kind, timeout: Duration) -> Outcome {
    let timing = Timing::new(timeout, timeout, 3, 2).expect("a timing");
    let check = Check::new(target, kind, timing).by(Route::Own { source });
    probe(&check, &OwnSockets, 0).await
}

/// Servers of both families, and the one address that each lets in.
const SERVERS: [(&str, &str); 2] = [("127.0.0.2", "127.0.0.9"), ("fd00::2", "fd00::9")];

/// Lets nobody else in.
fn let_in_the_source_only() {
    for address in ["fd00::2/128", "fd00::9/128"] {
        tool("ip", &["address", "add", address, "dev", "lo", "nodad"], "");
    }
    filter(
        "ip daddr 127.0.0.2 ip saddr != 127.0.0.9 drop
         ip6 daddr fd00::2 ip6 saddr != fd00::9 drop",
    );
}

/// All of these pass from the source, and are not answered from elsewhere.
async fn pass_from(source: &str, asked: &[(SocketAddr, Kind)]) {
    let source = source.parse().expect("an address");
    let mut elsewhere = JoinSet::new();
    for (target, kind) in asked {
        let outcome = from(Some(source), *target, kind.clone(), PATIENCE).await;
        assert!(outcome.is_ok(), "{kind:?} at {target}: {outcome:?}");
        elsewhere.spawn(from(None, *target, kind.clone(), SOON));
    }
    while let Some(outcome) = elsewhere.join_next().await {
        let outcome = outcome.expect("no panic");
        assert!(matches!(outcome, Err(Failure::Timeout { .. })), "{outcome:?}");
    }
}

#[test]
fn checks_of_every_kind_come_from_the_source_that_they_are_given_over_either_family() {
    inside(|| async {
        let_in_the_source_only();
        for (server, source) in SERVERS {
            let site = Site::start(server, true).await;
            pass_from(source, &site.asked).await;
        }
    });
}

#[test]
fn an_echo_comes_from_the_source_that_it_is_given_by_a_ping_socket_and_by_a_raw_one() {
    inside(|| async {
        let_in_the_source_only();
        for groups in ["0 2147483647", "1 0"] {
            let_ping(groups);
            for (server, source) in SERVERS {
                pass_from(source, &[(echo(server), Kind::Icmp)]).await;
            }
        }
    });
}

#[test]
fn servers_that_say_that_they_are_not_well_are_heard_over_either_family() {
    inside(|| async {
        for ip in ["127.0.0.1", "::1"] {
            let mut heard = Vec::new();
            let site = Site::start(ip, false).await;
            for (target, kind) in &site.asked {
                heard.push(words(*target, kind.clone()).await);
            }
            let refused = "answer is REFUSED, expected NOERROR";
            let expected = [
                refused,
                refused,
                "gRPC health is NOT_SERVING, expected SERVING",
                "no endpoint of web/front is on this node",
                "the agent says down: disk full",
            ];
            assert_eq!(heard, expected, "{ip}");
        }
    });
}
