//! A headless Chromium, driven by chromedriver (W3C WebDriver).

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// What is waited for comes in a second on a calm machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Chromium by itself asks servers of its maker.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

pub(crate) struct Browser {
    address: String,
    session: String,
    _driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Debian's chromium-driver is installed: make deps");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver says on which port it is");
            if let Some((_, port)) = line.rsplit_once("successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // Its further words are not of interest, but must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().unwrap();
        let mut flags = FLAGS.map(ToOwned::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let mut browser = Self {
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            _driver: driver,
            _profile: profile,
        };
        let answer = browser.ask(Method::POST, "/session", &wanted).await;
        browser.session = format!("/session/{}", answer["sessionId"].as_str().unwrap());
        browser
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(connection);
        let body = if method == Method::POST { body.to_string().into() } else { Bytes::new() };
        let request = Request::builder().method(method).uri(path).header("host", &self.address);
        let answer = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let is_success = answer.status().is_success();
        let answer = answer.into_body().collect().await.unwrap().to_bytes();
        driver.abort();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert!(is_success, "{path}: {answer}");
        answer["value"].clone()
    }

    async fn order(&self, what: &str, body: Value) -> Value {
        self.ask(Method::POST, &format!("{}{what}", self.session), &body).await
    }

    pub(crate) async fn open(&self, url: &str) {
        self.order("/url", json!({"url": url})).await;
    }

    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        self.order("/goog/cdp/execute", command).await;
    }

    /// Runs a script before those of each page that is opened from now on.
    pub(crate) async fn before_each_page(&self, script: &str) {
        let command = json!({"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": script}});
        self.order("/goog/cdp/execute", command).await;
    }

    /// The value of a script, as in `return 1`.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.order("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Types, as a person does, to whatever has the focus.
    pub(crate) async fn keys(&self, text: &str) {
        let press =
            |key: char| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}));
        let actions: Vec<Value> = text.chars().flat_map(press).collect();
        let actions = json!([{"type": "key", "id": "keyboard", "actions": actions}]);
        self.order("/actions", json!({"actions": actions})).await;
    }

    /// Waits until a script's value is true; how long that took.
    pub(crate) async fn wait(&self, what: &str, condition: &str) -> Duration {
        let begin = Instant::now();
        while self.run(&format!("return Boolean({condition})")).await != true {
            if begin.elapsed() > LIMIT {
                let text = self.run("return document.body.innerText.slice(0, 4000)").await;
                panic!("waited in vain for: {what}; the page says: {text}");
            }
            sleep(Duration::from_millis(20)).await;
        }
        begin.elapsed()
    }

    /// Keeps a picture of what is seen.
    pub(crate) async fn picture(&self, file: &Path) {
        let picture = self.ask(Method::GET, &format!("{}/screenshot", self.session), &Value::Null).await;
        std::fs::write(file, decoded(picture.as_str().unwrap())).unwrap();
    }

    /// What the console has had to complain of.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.order("/se/log", json!({"type": "browser"})).await;
        log.as_array().unwrap().iter().map(|line| line["message"].to_string()).collect()
    }

    /// Every address that was asked for.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let log = self.order("/se/log", json!({"type": "performance"})).await;
        let url = |line: &Value| {
            let message: Value = serde_json::from_str(line["message"].as_str()?).ok()?;
            let message = &message["message"];
            (message["method"] == "Network.requestWillBeSent")
                .then(|| message["params"]["request"]["url"].as_str().map(ToOwned::to_owned))?
        };
        log.as_array().unwrap().iter().filter_map(url).collect()
    }

    pub(crate) async fn close(self) {
        self.ask(Method::DELETE, &self.session, &Value::Null).await;
    }
}

/// Base 64 (RFC 4648).
fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for six in text.bytes().filter_map(value) {
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}
