//! PyBal's pages and metrics end to end: HTTP on one side; the core, real checks and real servers on the other.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use lvsd::api::{Context, http};
use lvsd::config::{self, Admin, Backend};
use lvsd::core::numbers::numbers;
use lvsd::core::{Action, Event, State, Timestamp, pybal, step};
use lvsd::engine::{Inbox, Input, Query};
use lvsd::exec::checks;
use lvsd::metrics::Metrics;
use lvsd::reload::Reloader;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Longest that a slow machine may take.
const LIMIT: Duration = Duration::from_secs(60);

/// rs1 answers over IPv4 alone, rs2 not at all.
fn configuration(port: u16) -> String {
    let of = |name: &str, last: u8, more: &str| {
        format!(
            "[service.{name}]\nvips = [\"192.0.2.{last}\", \"2001:db8::{last}\"]\nport = {port}\n\
             require_on_link = false\n{more}\
             checks = [{{ type = \"idle\", interval = \"1s\", timeout = \"60s\", fall = 1, rise = 1 }}]\n"
        )
    };
    let backends = "backends = [
        { host = \"rs1.example.org\", addresses = [\"127.0.0.1\", \"::1\"], weight = 10 },
        { host = \"rs2\", addresses = [\"127.0.0.2\"], weight = 5 },
        { host = \"rs3\", addresses = [\"127.0.0.3\"], pooled = \"no\" },
        { host = \"rs4\", addresses = [\"127.0.0.4\"], pooled = \"inactive\" },
    ]\n";
    let names = "pybal_names = { Text_80 = \"ipv4\", text6_80 = \"ipv6\" }\n";
    let text = of("text_80", 1, &format!("depool_threshold = 0\n{backends}{names}"));
    let both = of("both", 2, &format!("depool_threshold = 0\n{backends}"));
    let held =
        of("held", 3, &format!("depool_threshold = 1\n{backends}pybal_names = {{ held = \"ipv4\" }}\n"));
    let late = of("late", 4, "pool_file = \"/pools/late\"\n");
    format!("[pybal]\nmetrics = true\n{text}{both}{held}{late}")
}

struct Daemon {
    address: String,
    inbox: Inbox,
    engine: JoinHandle<()>,
    _server: JoinHandle<()>,
}

/// The core with checks as its only executor.
async fn turn(mut inbox: mpsc::Receiver<Input>, checks: checks::Handle) {
    let mut state = State::new();
    let now = || Timestamp::from(std::time::SystemTime::now());
    while let Some(input) = inbox.recv().await {
        match input {
            Input::Event(event) => {
                for action in step(&mut state, event, now()) {
                    if let Action::SetChecks(wanted) = action {
                        checks.set(wanted);
                    }
                }
            }
            Input::Query(Query::Pools { which, reply }) => drop(reply.send(pybal::pools(&state, &which))),
            Input::Query(Query::Numbers { reply }) => drop(reply.send(numbers(&state))),
            Input::Query(_) | Input::Operate { .. } => panic!("nobody asks for that here"),
        }
    }
}

impl Daemon {
    async fn start() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = configuration(server.local_addr().unwrap().port());
        let server = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = server.accept().await {
                kept.push(stream);
            }
        });
        let config = Arc::new(config::parse(&[(PathBuf::from("lvsd.toml"), text)]).unwrap());
        let (inbox, receiver) = Inbox::new();
        let checks = checks::Handle::spawn(1, inbox.clone(), None);
        let watcher = checks.watcher();
        let engine = tokio::spawn(turn(receiver, checks));
        let table = ipvs::Table::new();
        inbox.event(Event::KernelRead { table, connections: Vec::new(), unsorted: Default::default() }).await;
        let (present, failures) = (BTreeSet::new(), Vec::new());
        inbox.event(Event::AddressesSynced { present, failures }).await;
        inbox.event(Event::Configured(Arc::clone(&config))).await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let reloader = Reloader::new("lvsd.toml".into(), config, inbox.clone(), Arc::clone(&metrics));
        let context = Context {
            inbox: inbox.clone(),
            reloader: Arc::new(reloader),
            metrics,
            peers: None,
            refused: None,
            bmp: None,
            bgp: None,
            checks: watcher,
            probes: None,
            log: lvsd::logging::Log::default(),
            kernel: None,
            fleet: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(http::serve(listener, context));
        let daemon = Self { address, inbox, engine, _server: server };
        // Both families of both servers have been checked then.
        daemon.until("/pools/both/rs1.example.org", "enabled/partially up/pooled\n").await;
        daemon.until("/pools/held/rs2", "enabled/down/pooled\n").await;
        let told = |page: &str| {
            let of = |name: &str, host: &str| {
                let labels = format!("host=\"{host}\",monitor=\"IdleConnection\",service=\"Text_80\"");
                page.contains(&format!("pybal_monitor_{name}_transitions_total{{{labels}}} 1\n"))
            };
            of("up", "rs1.example.org") && of("down", "rs2")
        };
        daemon.wait("/metrics", "both results of Text_80", told).await;
        daemon
    }

    /// Status and body.
    async fn get(&self, path: &str, accept: &str) -> (u16, String) {
        get(self.address.clone(), path.to_owned(), accept.to_owned()).await
    }

    async fn text(&self, path: &str) -> String {
        let (status, body) = self.get(path, "*/*").await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path, "application/json").await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn until(&self, path: &str, expected: &str) {
        self.wait(path, expected, |seen| seen == expected).await;
    }

    async fn wait(&self, path: &str, what: &str, is_so: impl Fn(&str) -> bool) {
        let begun = std::time::Instant::now();
        loop {
            let seen = self.text(path).await;
            if is_so(&seen) {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "{path} stays {seen:?}, not {what:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn get(address: String, path: String, accept: String) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: lvsd\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let kind = if accept == "application/json" { "application/json" } else { "text/plain" };
    assert!(head.contains(&format!("content-type: {kind}")), "{head}");
    (status, body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_and_servers_are_shown_in_pybals_words() {
    let daemon = Daemon::start().await;
    assert_eq!(daemon.text("/pools").await, "Text_80\nboth\nheld\nlate\ntext6_80\n");
    assert_eq!(
        daemon.json("/pools/").await,
        serde_json::json!(["Text_80", "both", "held", "late", "text6_80"])
    );
    assert_eq!(
        daemon.text("/pools/Text_80").await,
        "rs1.example.org:\tenabled/up/pooled\nrs2:\tenabled/down/not pooled\nrs3:\tdisabled/down/not pooled\n"
    );
    assert_eq!(daemon.text("/pools/Text_80/rs1.example.org").await, "enabled/up/pooled\n");
    assert_eq!(daemon.text("/pools/Text_80/RS1.example.org").await, "enabled/up/pooled\n");
    assert_eq!(
        daemon.json("/pools/Text_80/rs2").await,
        serde_json::json!({"enabled": true, "up": false, "pooled": false, "weight": 5})
    );
    let pool = daemon.json("/pools/Text_80/").await;
    assert_eq!(
        pool["rs1.example.org"],
        serde_json::json!({"enabled": true, "up": true, "pooled": true, "weight": 10})
    );
    assert_eq!(pool["rs3"]["enabled"], false);
    assert_eq!(pool.as_object().unwrap().len(), 3, "one that is inactive is not there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_for_both_families_says_the_careful_thing() {
    let daemon = Daemon::start().await;
    assert_eq!(daemon.text("/pools/text6_80/rs1.example.org").await, "enabled/down/not pooled\n");
    assert_eq!(
        daemon.text("/pools/text6_80/rs2").await,
        "enabled/down/not pooled\n",
        "it has no address there"
    );
    assert_eq!(daemon.text("/pools/both/rs1.example.org").await, "enabled/partially up/pooled\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_name_who_is_down_but_pooled() {
    let daemon = Daemon::start().await;
    // rs3 is out by its source, so rs2 is held.
    let said = "held: Servers rs2 are marked down but pooled";
    assert_eq!(daemon.text("/alerts").await, format!("CRITICAL - {said}"));
    assert_eq!(daemon.json("/alerts").await, serde_json::json!({"status": "critical", "msg": said}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_exist_is_404_and_what_is_not_known_yet_is_waited_for() {
    let daemon = Daemon::start().await;
    for path in
        ["/pools/text_80", "/pools/none", "/pools/none/rs1", "/pools/Text_80/rs4", "/pools/Text_80/%FF"]
    {
        assert_eq!(daemon.get(path, "*/*").await.0, 404, "{path}");
        let (status, body) = daemon.get(path, "application/json").await;
        assert_eq!(status, 404, "{path}");
        assert!(body.starts_with("{\"error\":"), "{body}");
    }
    let asked = tokio::spawn(get(daemon.address.clone(), "/pools/late/10.64.0.9".into(), "*/*".into()));
    // The server turns meanwhile.
    daemon.text("/pools").await;
    assert!(!asked.is_finished());
    let backend = Backend {
        host: "10.64.0.9".into(),
        weight: ipvs::Weight::ZERO,
        pooled: Admin::Depooled,
        limits: Default::default(),
        addresses: None,
    };
    daemon
        .inbox
        .event(Event::PoolRead { pool: PathBuf::from("/pools/late").into(), outcome: Ok(vec![backend]) })
        .await;
    assert_eq!(asked.await.unwrap(), (200, "disabled/down/not pooled\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_while_lvsd_stops_gets_no_answer_rather_than_an_error() {
    let daemon = Daemon::start().await;
    daemon.engine.abort();
    let mut stream = TcpStream::connect(&daemon.address).await.unwrap();
    stream.write_all(b"GET /pools HTTP/1.1\r\nHost: lvsd\r\n\r\n").await.unwrap();
    let answer = tokio::time::timeout(Duration::from_millis(500), stream.read_u8()).await;
    assert!(answer.is_err(), "{answer:?}");
}

/// A metric of PyBal's: name, type, names of labels.
const METRICS: &[(&str, &str, &[&str])] = &[
    ("pybal_service_servers", "gauge", &["service"]),
    ("pybal_service_servers_enabled", "gauge", &["service"]),
    ("pybal_service_servers_up", "gauge", &["service"]),
    ("pybal_service_servers_pooled", "gauge", &["service"]),
    ("pybal_service_can_depool", "gauge", &["service"]),
    ("pybal_service_pooled_down_servers", "gauge", &["service"]),
    ("pybal_service_could_not_depool_total", "counter", &["service"]),
    ("pybal_service_depool_threshold", "gauge", &["service"]),
    ("pybal_monitor_status", "gauge", &["host", "monitor", "service"]),
    ("pybal_monitor_up_results_total", "counter", &["host", "monitor", "service"]),
    ("pybal_monitor_down_results_total", "counter", &["host", "monitor", "service"]),
    ("pybal_monitor_up_transitions_total", "counter", &["host", "monitor", "service"]),
    ("pybal_monitor_down_transitions_total", "counter", &["host", "monitor", "service"]),
    ("pybal_bgp_enabled", "gauge", &[]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_pybals_names_types_and_labels() {
    let daemon = Daemon::start().await;
    let page = daemon.text("/metrics").await;
    let series: BTreeMap<&str, &str> = page
        .lines()
        .filter(|line| line.starts_with("pybal_"))
        .filter_map(|line| line.rsplit_once(' '))
        .collect();
    let names: BTreeSet<&str> = series.keys().map(|series| series.split('{').next().unwrap()).collect();
    assert_eq!(names, METRICS.iter().map(|(name, ..)| *name).collect());
    for (name, kind, labels) in METRICS {
        assert_eq!(page.matches(&format!("# TYPE {name} {kind}\n")).count(), 1, "{name}");
        for series in series.keys().filter(|series| series.split('{').next() == Some(name)) {
            let inside = series.split_once('{').map_or("", |(_, rest)| rest.trim_end_matches('}'));
            let found: Vec<&str> =
                inside.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
            assert_eq!(&found[..], *labels, "{series}");
        }
    }
    let value = |series_name: &str| -> f64 {
        series.get(series_name).unwrap_or_else(|| panic!("{series_name} is not there")).parse().unwrap()
    };
    assert_eq!(value("pybal_service_servers{service=\"Text_80\"}"), 3.0);
    assert_eq!(value("pybal_service_servers_enabled{service=\"Text_80\"}"), 2.0);
    assert_eq!(value("pybal_service_servers_up{service=\"Text_80\"}"), 1.0);
    assert_eq!(value("pybal_service_servers_pooled{service=\"Text_80\"}"), 1.0);
    assert_eq!(value("pybal_service_can_depool{service=\"Text_80\"}"), 1.0);
    assert_eq!(value("pybal_service_can_depool{service=\"held\"}"), 0.0);
    assert_eq!(value("pybal_service_pooled_down_servers{service=\"held\"}"), 1.0);
    assert_eq!(value("pybal_service_could_not_depool_total{service=\"held\"}"), 1.0);
    assert_eq!(value("pybal_service_depool_threshold{service=\"held\"}"), 1.0);
    let monitor = |name: &str, host: &str| {
        value(&format!(
            "pybal_monitor_{name}{{host=\"{host}\",monitor=\"IdleConnection\",service=\"Text_80\"}}"
        ))
    };
    assert_eq!((monitor("status", "rs1.example.org"), monitor("status", "rs2")), (1.0, 0.0));
    assert_eq!(monitor("up_transitions_total", "rs1.example.org"), 1.0);
    assert_eq!(monitor("down_transitions_total", "rs2"), 1.0);
    assert!(monitor("up_results_total", "rs1.example.org") >= 1.0);
    assert!(monitor("down_results_total", "rs2") >= 1.0);
    assert_eq!(value("pybal_bgp_enabled"), 0.0);
    assert_eq!(
        page.lines()
            .filter(|line| line.contains("service=\"Text_80\"")
                && line.contains("rs2")
                && line.starts_with("pybal_"))
            .count(),
        5
    );
}
