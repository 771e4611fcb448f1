use super::*;
use crate::config::TlsFiles;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Longest that a slow machine may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A web server that gives the answer of now, whole, to every request, and keeps what it was asked.
struct Server {
    url: String,
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/pools", listener.local_addr().unwrap());
        let (answer, asked) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(Vec::new())));
        let (answers, questions) = (Arc::clone(&answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut text = vec![0; 4096];
                let read = stream.read(&mut text).await.unwrap();
                questions.lock().unwrap().push(String::from_utf8_lossy(&text[..read]).into_owned());
                let answer = answers.lock().unwrap().clone();
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Self { url, answer, asked, task }
    }

    fn answers(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        *self.answer.lock().unwrap() = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
    }

    fn last_question(&self) -> String {
        self.asked.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

fn source(url: &str) -> (Http, watch::Sender<BTreeSet<Query>>) {
    let (wanted, receiver) = watch::channel(BTreeSet::from([Query::Path("eqiad/text".into())]));
    let settings = HttpSettings {
        url: url.to_owned(),
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(5),
        max_bytes: 1000,
        tls: TlsFiles::default(),
    };
    (Http::new(settings, receiver), wanted)
}

async fn next(source: &mut Http) -> Said {
    tokio::time::timeout(LIMIT, source.next()).await.expect("the source says something")
}

fn weights(said: Said) -> Vec<u32> {
    let Said::Pool { outcome: Ok(backends), .. } = said else { panic!("{said:?}") };
    backends.iter().map(|backend| backend.weight.get()).collect()
}

#[tokio::test]
async fn a_pool_is_said_once_and_again_when_it_has_changed() {
    let server = Server::start().await;
    server.answers("200 OK", "etag: \"one\"\r\n", r#"{"rs1": {"weight": 1}}"#);
    let (mut source, _wanted) = source(&server.url);
    assert_eq!(weights(next(&mut source).await), [1]);
    assert!(
        server.last_question().starts_with("GET /pools/eqiad/text HTTP/1.1"),
        "{}",
        server.last_question()
    );
    assert_eq!(next(&mut source).await, Said::Live);
    server.answers("304 Not Modified", "", "");
    let silent = tokio::time::timeout(Duration::from_millis(300), source.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    assert!(server.last_question().contains("if-none-match: \"one\""), "{}", server.last_question());
    server.answers("200 OK", "", r#"{"rs1": {"weight": 2}}"#);
    assert_eq!(weights(next(&mut source).await), [2]);
}

#[tokio::test]
async fn a_server_that_is_away_or_broken_makes_the_source_stale_once_and_live_again() {
    let server = Server::start().await;
    server.answers("503 Service Unavailable", "", "");
    let (mut source, _wanted) = source(&server.url);
    let Said::Stale(why) = next(&mut source).await else { panic!("it is stale") };
    assert!(why.ends_with("/pools/eqiad/text: 503 Service Unavailable"), "{why}");
    server.answers("200 OK", "", r#"{"rs1": {"weight": 1}}"#);
    assert_eq!(weights(next(&mut source).await), [1]);
    assert_eq!(next(&mut source).await, Said::Live);
    server.task.abort();
    let Said::Stale(why) = next(&mut source).await else { panic!("it is stale") };
    assert!(why.contains("efused"), "{why}");
}

#[tokio::test]
async fn an_answer_that_is_no_pool_concerns_its_pool_only_and_names_it() {
    let server = Server::start().await;
    for (status, headers, body, words) in [
        ("404 Not Found", "", "", "/pools/eqiad/text: 404 Not Found"),
        ("302 Found", "location: http://elsewhere.example.org/\r\n", "", "redirects are not followed"),
        ("200 OK", "", "{\"rs1\": {\"weight\": -1}}", "eqiad/text:1:20: rs1.weight: expected a weight"),
        ("200 OK", "", "<html>", "not JSON"),
    ] {
        server.answers(status, headers, body);
        let (mut source, _wanted) = source(&server.url);
        let Said::Pool { outcome: Err(error), .. } = next(&mut source).await else { panic!("{words}") };
        assert!(error.contains(words), "{error}");
        assert_eq!(next(&mut source).await, Said::Live, "the server itself is there");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_never_ends_is_no_answer() {
    let server = Server::start().await;
    server.answers("200 OK", "", &format!("{{\"rs1\": {{}}{}}}", " ".repeat(1000)));
    let (mut first, _wanted) = source(&server.url);
    let Said::Stale(why) = next(&mut first).await else { panic!("it is stale") };
    assert!(why.contains("longer than 1000 bytes"), "{why}");
    *server.answer.lock().unwrap() = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned();
    let (mut second, _wanted) = source(&server.url);
    let Said::Stale(why) = next(&mut second).await else { panic!("it is stale") };
    assert!(why.contains("eqiad/text: "), "{why}");
}

#[tokio::test]
async fn a_pool_that_is_wanted_anew_is_said_without_waiting_for_the_interval() {
    let server = Server::start().await;
    server.answers("200 OK", "", r#"{"rs1": {"weight": 1}}"#);
    let (mut source, wanted) = source(&server.url);
    source.settings.interval = Duration::from_secs(3600);
    assert_eq!(weights(next(&mut source).await), [1]);
    assert_eq!(next(&mut source).await, Said::Live);
    let more = ["eqiad/text", "eqiad/upload"].map(|path| Query::Path(path.into()));
    wanted.send_replace(BTreeSet::from(more));
    let Said::Pool { query, .. } = next(&mut source).await else { panic!("a pool") };
    assert_eq!(query, Query::Path("eqiad/upload".into()));
}
