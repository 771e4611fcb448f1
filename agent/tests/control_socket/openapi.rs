//! The OpenAPI document of the control interface and a live lvsd agree: what the document shows works, and what lvsd answers is
//! as the document says.

use super::daemon::{Daemon, World};
use bgp::speaker::Statuses;
use bgp::{Asn, PeerConfig, RouteAttributes, Speaker, SpeakerConfig};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Services in both families, with checks and without, one by a firewall mark, and routers.
const CONFIGURATION: &str = r#"
[bgp]
local_asn = 64600
router_id = "10.64.0.1"
peer = [
  { name = "r1", address = "127.0.0.2", port = PORT, asn = 65001, import = [{ action = "accept" }] },
  { name = "r2", address = "127.0.0.251", asn = 65001, bfd = true },
  { name = "r3", address = "::1", asn = 4200000001, prepend = 2 },
]

[service.web]
vips = ["192.0.2.10", "2001:db8::10"]
port = 80
depool_threshold = 0.3
checks = []
backends = [
  { host = "rs1", addresses = ["10.64.0.11", "fd00:64::11"] },
  { host = "rs2", addresses = ["10.64.0.12", "fd00:64::12"] },
  { host = "rs3", addresses = ["10.64.0.13"] },
]

[service.api]
vips = ["192.0.2.10"]
port = 8443
backends = [{ host = "rs1", addresses = ["10.64.0.11"] }, { host = "rs4", addresses = ["10.64.0.14"] }]
checks = [{ type = "https", url = "/healthz" }, { type = "tcp" }]

[service.dns]
vips = ["2001:db8::53"]
port = 53
protocol = "udp"
scheduler = "mh"
backends = [{ host = "rs5", addresses = ["fd00:64::15"] }]
checks = [{ type = "dns", name = "www.example.org" }]
"#;

/// How the examples begin that this lvsd says no to, as it is configured without what they are about.
const REFUSED: [(&str, u64); 7] = [
    ("/v1/bgp/rib/in?", 404),
    ("/v1/change", 404),
    ("/v1/confirm", 409),
    ("/v1/fleet", 404),
    ("/v1/fleet/confirm", 404),
    ("/v1/nodes", 404),
    ("/v1/routes", 404),
];

/// An lvsd with one router that takes a session and tells a default route, and two that do not answer.
pub(crate) async fn start() -> (Daemon, Speaker) {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let place = listener.local_addr().unwrap();
    drop(listener);
    let mut balancer = PeerConfig::new("lb1", Ipv4Addr::LOCALHOST.into(), Asn::new(64600).unwrap());
    balancer.passive = true;
    let config = SpeakerConfig::new(Asn::new(65001).unwrap(), [10, 64, 0, 251].into());
    let config = SpeakerConfig { listen: vec![place], peers: vec![balancer], ..config };
    let (router, mut events) = Speaker::spawn(config);
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let default = ("0.0.0.0/0".parse().unwrap(), RouteAttributes::default());
    router.set_routes([default].into_iter().collect());
    let configuration = CONFIGURATION.replace("PORT", &place.port().to_string());
    let daemon = Daemon::start_in(&configuration, World::Whole).await;
    let mut peers = router.status();
    let is_up = |peers: &Statuses| peers.values().any(|peer| peer.session.is_some() && peer.in_sync);
    timeout(LIMIT, peers.wait_for(is_up)).await.expect("the session is established").unwrap();
    let taken = Asked::get("/v1/bgp/rib/in");
    timeout(LIMIT, async {
        while taken.send(&daemon.socket()).await["body"] == json!([]) {
            sleep(PAUSE).await;
        }
    })
    .await
    .expect("the default route is taken");
    (daemon, router)
}

/// A request, and the operation that it is one of.
struct Asked {
    method: String,
    path: String,
    target: String,
    body: Option<Value>,
}

impl Asked {
    /// One without parameters.
    fn get(path: &str) -> Self {
        Self { method: "get".into(), path: path.into(), target: path.into(), body: None }
    }

    /// Sends it. Gives the answer as the validator wants it.
    async fn send(&self, socket: &Path) -> Value {
        let body = self.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let method = self.method.to_uppercase();
        let head = format!("{method} {} HTTP/1.1\r\nHost: lvsd\r\nConnection: close\r\n", self.target);
        let about = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = UnixStream::connect(socket).await.unwrap();
        stream.write_all((head + &about + &body).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status: u64 = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: "));
        let body: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{method} {head} {body}: {error}"));
        json!({"method": self.method, "path": self.path, "status": status, "type": kind, "body": body})
    }
}

/// Each operation with its examples, and those with a query without it as well, where they do without.
fn examples(document: &Value) -> Vec<Asked> {
    let operations = document["paths"].as_object().unwrap().iter().flat_map(|(path, operations)| {
        operations.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
    });
    operations.flat_map(|(path, method, operation)| of_operation(path, method, operation)).collect()
}

fn of_operation(path: &str, method: &str, operation: &Value) -> Vec<Asked> {
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (mut whole, mut query) = (path.to_owned(), Vec::new());
    for parameter in parameters {
        let example = &parameter["example"];
        let example = example.as_str().map_or_else(|| example.to_string(), ToOwned::to_owned);
        let name = parameter["name"].as_str().unwrap();
        match parameter["in"].as_str().unwrap() {
            "path" => whole = whole.replace(&format!("{{{name}}}"), &example),
            place => {
                assert_eq!(place, "query");
                query.push(format!("{name}={example}"));
            }
        }
    }
    let body = &operation["requestBody"]["content"]["application/json"]["example"];
    let asked = |target: String| Asked {
        method: method.into(),
        path: path.into(),
        target,
        body: (!body.is_null()).then(|| body.clone()),
    };
    let does_without = parameters.iter().all(|parameter| parameter["required"] == false);
    let short = (does_without && !query.is_empty()).then(|| asked(whole.clone()));
    let mark = if query.is_empty() { "" } else { "?" };
    short.into_iter().chain([asked(whole.clone() + mark + &query.join("&"))]).collect()
}

pub(crate) async fn document(daemon: &Daemon) -> Value {
    Asked::get("/v1/openapi.json").send(&daemon.socket()).await["body"].clone()
}

pub(crate) fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/openapi").join(path)
}

/// What is wrong with answers, as a validator says that is none of ours.
fn wrong(document: &Value, answers: &[Value]) -> String {
    let told = json!({"document": document, "answers": answers}).to_string();
    let mut python = Command::new(beside("validate"));
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "Debian's python3-jsonschema is installed: make deps");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn each_example_of_the_document_works_and_is_answered_as_the_document_says() {
    let (daemon, _router) = start().await;
    let document = document(&daemon).await;
    let (mut answers, mut refused) = (Vec::new(), Vec::new());
    for asked in examples(&document) {
        let answer = asked.send(&daemon.socket()).await;
        let status = answer["status"].as_u64().unwrap();
        let known = REFUSED.iter().find(|(begin, _)| asked.target.starts_with(begin));
        if status != known.map_or(200, |(_, status)| *status) {
            refused.push(format!("{} {}: {answer}", asked.method, asked.target));
        }
        answers.push(answer);
    }
    assert_eq!(refused, [""; 0]);
    assert!(answers.len() > 25, "{} answers", answers.len());
    assert_eq!(wrong(&document, &answers), "");
}

#[tokio::test]
async fn requests_that_make_no_sense_are_answered_with_a_problem_wherever_it_is_found() {
    let (daemon, _router) = start().await;
    let document = document(&daemon).await;
    let asked = |method: &str, path: &str, target: &str, body: Option<Value>| Asked {
        method: method.into(),
        path: path.into(),
        target: target.into(),
        body,
    };
    let requests = [
        asked("get", "/v1/status", "/v1/status?colour=red", None),
        asked("get", "/v1/why/{host}", "/v1/why/%ff", None),
        asked("get", "/v1/events", "/v1/events?after=-1", None),
        asked("get", "/v1/fleet/confirm", "/v1/fleet/confirm", None),
        asked("get", "/v1/bgp/rib/out", "/v1/bgp/rib/out?prefix=rs1", None),
        asked("get", "/v1/routes", "/v1/routes?prefix=rs1", None),
        asked("post", "/v1/depool", "/v1/depool", None),
        asked("post", "/v1/depool", "/v1/depool", Some(json!({"hots": "rs1"}))),
        asked("post", "/v1/weight", "/v1/weight", Some(json!({"host": "rs1", "weight": {"absolute": -1}}))),
        asked("post", "/v1/weight", "/v1/weight", Some(json!({"host": "rs1", "weight": {"percent": 101}}))),
        asked("post", "/v1/plan", "/v1/plan", Some(json!({}))),
    ];
    let mut answers = Vec::new();
    for request in requests {
        let answer = request.send(&daemon.socket()).await;
        assert_eq!(answer["status"], 400, "{} {}: {answer}", request.method, request.target);
        assert_eq!(answer["body"]["kind"], "bad_request", "{answer}");
        answers.push(answer);
    }
    assert_eq!(wrong(&document, &answers), "");
    for (request, status, kind) in [
        (asked("get", "", "/v1/nowhere", None), 404, "not_found"),
        (asked("delete", "", "/v1/status", None), 405, "bad_request"),
        (asked("get", "", "/v1/depool", None), 405, "bad_request"),
    ] {
        let answer = request.send(&daemon.socket()).await;
        assert_eq!(
            (&answer["status"], &answer["type"]),
            (&json!(status), &json!("application/json")),
            "{answer}"
        );
        assert_eq!(answer["body"]["kind"], kind, "{answer}");
        assert!(answer["body"]["message"].as_str().unwrap().contains("/v1/openapi.json"), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_is_otherwise_than_the_document_says_is_found() {
    let (daemon, _router) = start().await;
    let document = document(&daemon).await;
    let good = Asked::get("/v1/status").send(&daemon.socket()).await;
    assert_eq!(wrong(&document, std::slice::from_ref(&good)), "");
    let broken = |pointer: &str, value: Value| {
        let mut answer = good.clone();
        *answer.pointer_mut(pointer).unwrap() = value;
        answer
    };
    for (answer, said) in [
        (broken("/body/services/0/pools/0/backends/0/weight", json!("1")), "'1' is not of type 'integer'"),
        (broken("/body/vips/0", json!({})), "'address' is a required property"),
        (broken("/body/services/1/pools/0/family", json!("ipx")), "'ipx'"),
        (broken("/status", json!(418)), "has no such status"),
        (broken("/type", json!("text/plain")), "has no text/plain"),
    ] {
        let wrong = wrong(&document, &[answer]);
        assert!(wrong.contains(said), "{said}: {wrong}");
    }
}

#[tokio::test]
async fn lvsd_prints_the_document_that_it_serves() {
    let daemon = Daemon::start().await;
    let printed = Command::new(env!("CARGO_BIN_EXE_lvsd")).arg("openapi").output().unwrap();
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed, document(&daemon).await);
    assert_eq!(printed["info"]["version"], env!("CARGO_PKG_VERSION"));
}
