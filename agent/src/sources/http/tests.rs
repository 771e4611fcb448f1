use super::*;
use crate::config::{Admin, TlsFiles};
use rustls::ServerConfig;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Longest that a slow machine may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A web server that gives the answer of now, whole, to every request, and keeps what it was asked.
struct Server {
    url: String,
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

/// What one connection needs of a server.
#[derive(Clone, Default)]
struct Spoken {
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Spoken {
    async fn on(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut text = vec![0; 4096];
        let Ok(read) = stream.read(&mut text).await else { return };
        self.asked.lock().unwrap().push(String::from_utf8_lossy(&text[..read]).into_owned());
        let answer = self.answer.lock().unwrap().clone();
        drop(stream.write_all(answer.as_bytes()).await);
        let is_kept = !answer.contains("connection: close");
        drop(stream.flush().await);
        if is_kept {
            // Until the client closes it.
            while let Ok(1..) = stream.read(&mut text).await {}
        }
        drop(stream.shutdown().await);
    }
}

impl Server {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With TLS where there is something to secure it with.
    async fn start_with(tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/pools", listener.local_addr().unwrap());
        let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        let spoken = Spoken::default();
        let Spoken { answer, asked } = spoken.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                match &acceptor {
                    None => spoken.on(stream).await,
                    // One that does not like the certificate has its own reasons.
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            spoken.on(stream).await;
                        }
                    }
                }
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
async fn pybals_older_form_is_read_from_a_web_server_as_well() {
    let server = Server::start().await;
    let lines = "# text, eqiad\n{ 'host': 'cp1', 'weight': 1, 'enabled': True }\n\
                 { 'host': 'cp2', 'weight': 7, 'enabled': False }\n";
    server.answers("200 OK", "", lines);
    let (mut source, _wanted) = source(&server.url);
    let Said::Pool { outcome: Ok(backends), .. } = next(&mut source).await else { panic!("no pool") };
    let read: Vec<_> =
        backends.iter().map(|backend| (&*backend.host, backend.weight.get(), backend.pooled)).collect();
    assert_eq!(read, [("cp1", 1, Admin::Pooled), ("cp2", 7, Admin::Depooled)]);
    server.answers("200 OK", "", &lines.replace("'weight': 7,", ""));
    next(&mut source).await;
    let Said::Pool { outcome: Err(why), .. } = next(&mut source).await else { panic!("no error") };
    assert!(why.contains(&format!("{}/eqiad/text:3", server.url)), "{why}");
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
    let broken = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{";
    *server.answer.lock().unwrap() = broken.to_owned();
    let (mut second, _wanted) = source(&server.url);
    let Said::Stale(why) = next(&mut second).await else { panic!("it is stale") };
    assert!(why.contains("/pools/eqiad/text: the answer breaks off"), "{why}");
    // One that is silent with its connection open.
    for silent in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"] {
        *server.answer.lock().unwrap() = silent.to_owned();
        let (mut third, _wanted) = source(&server.url);
        third.settings.timeout = Duration::from_millis(200);
        let Said::Stale(why) = next(&mut third).await else { panic!("it is stale") };
        assert!(why.ends_with("/pools/eqiad/text: no whole answer within 200 ms"), "{why}");
    }
}

#[tokio::test]
async fn a_server_without_tags_is_told_since_when_its_answer_is_had() {
    let server = Server::start().await;
    let when = "Sun, 06 Nov 1994 08:49:37 GMT";
    server.answers("200 OK", &format!("last-modified: {when}\r\n"), r#"{"rs1": {"weight": 1}}"#);
    let (mut source, _wanted) = source(&server.url);
    assert_eq!(weights(next(&mut source).await), [1]);
    assert!(!server.last_question().contains("if-modified-since"), "{}", server.last_question());
    assert_eq!(next(&mut source).await, Said::Live);
    server.answers("304 Not Modified", "", "");
    let silent = tokio::time::timeout(Duration::from_millis(300), source.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    let question = server.last_question();
    assert!(question.contains(&format!("if-modified-since: {when}")), "{question}");
}

/// A certificate for this host that vouches for itself, in a file, and a server's settings with it.
fn secured(file: &Path) -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(file, made.cert.pem()).unwrap();
    let key = made.key_pair.serialize_der().try_into().unwrap();
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap()
}

#[tokio::test]
async fn a_secured_server_is_believed_if_the_authority_of_the_settings_vouches_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let [own, other] = ["own.pem", "other.pem"].map(|name| folder.path().join(name));
    let server = Server::start_with(Some(secured(&own))).await;
    drop(secured(&other));
    server.answers("200 OK", "", r#"{"rs1": {"weight": 1}}"#);
    let source_with = |ca_file: Option<&Path>| {
        let (mut source, wanted) = source(&server.url);
        source.settings.tls.ca_file = ca_file.map(Path::to_owned);
        (Http::new(source.settings, source.wanted), wanted)
    };
    let (mut good, _wanted) = source_with(Some(&own));
    assert_eq!(weights(next(&mut good).await), [1]);
    assert_eq!(next(&mut good).await, Said::Live);
    for (ca_file, words) in
        [(Some(&*other), "certificate"), (Some(Path::new("/nowhere.pem")), "/nowhere.pem")]
    {
        let (mut bad, _wanted) = source_with(ca_file);
        let Said::Stale(why) = next(&mut bad).await else { panic!("it is stale") };
        assert!(why.contains(words), "{why}");
    }
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
