//! A Prometheus (Debian's package `prometheus`) on this machine that scrapes pages of metrics, one after the other, as if
//! lvsd were asked again and again.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::wait::wait_until;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// It serves pages in order, then the last of them.
#[derive(Debug)]
struct Replay {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Replay {
    fn start(pages: Vec<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, is_over) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let serve = move || {
            let mut next = 0;
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Acquire) {
                    return;
                }
                // A scrape that fails is made again.
                if answer(stream, &pages[next.min(pages.len() - 1)]).is_ok() {
                    next += 1;
                }
            }
        };
        let thread = std::thread::Builder::new().name("replay".into()).spawn(serve)?;
        Ok(Self { address, is_over, thread: Some(thread) })
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // Wakes it.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn answer(mut stream: TcpStream, page: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(ANSWER))?;
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{page}",
        page.len()
    )
}

/// A Prometheus that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    process: Child,
    _replay: Replay,
}

impl Prometheus {
    /// Starts it with its files in `directory` and these rules. It scrapes one page a second, as job `lvsd`.
    pub fn start(directory: &Path, pages: Vec<String>, rules: &Path) -> Result<Self> {
        ensure!(!pages.is_empty(), "there is nothing to be scraped");
        let replay = Replay::start(pages)?;
        fs::create_dir_all(directory)?;
        let rules = fs::canonicalize(rules).with_context(|| format!("find {}", rules.display()))?;
        let configuration = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{:?}]\nscrape_configs:\n\
             - {{job_name: lvsd, static_configs: [{{targets: [\"{}\"]}}]}}\n",
            rules.display().to_string(),
            replay.address
        );
        let file = directory.join("prometheus.yml");
        fs::write(&file, configuration)?;
        // A port that was just given back is given to nobody else for a while.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = File::create(directory.join("prometheus.log"))?;
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("run prometheus (package prometheus)")?;
        Ok(Self { address, process, _replay: replay })
    }

    /// Waits until it has scraped so often.
    pub fn wait_for_scrapes(&self, scrapes: usize, limit: Duration) -> Result<()> {
        let scraped = || self.values("count_over_time(up{job=\"lvsd\"}[5m])");
        let is_enough = || scraped().is_ok_and(|counts| counts.iter().any(|count| *count >= scrapes as f64));
        wait_until(&format!("Prometheus has scraped {scrapes} pages"), limit, is_enough).map(drop)
    }

    /// What an expression has for values now.
    pub fn values(&self, expression: &str) -> Result<Vec<f64>> {
        let data = self.ask(&format!("/api/v1/query?query={}", escaped(expression)))?;
        let series = data["result"].as_array().with_context(|| format!("{expression}: {data}"))?;
        let value = |series: &Value| series["value"][1].as_str().and_then(|text| text.parse().ok());
        series.iter().map(|series| value(series).with_context(|| format!("{expression}: {series}"))).collect()
    }

    /// Its rules by name, each with `ok` or what is wrong.
    pub fn rules(&self) -> Result<Vec<(String, String)>> {
        let data = self.ask("/api/v1/rules")?;
        let groups = data["groups"].as_array().context("groups of rules")?;
        let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let told = |rule: &Value| {
            let health = text(rule, "health") + &text(rule, "lastError");
            (text(rule, "name"), health)
        };
        Ok(groups.iter().filter_map(|group| group["rules"].as_array()).flatten().map(told).collect())
    }

    fn ask(&self, path: &str) -> Result<Value> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWER))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its head")?;
        let mut body: Value = serde_json::from_str(body).with_context(|| format!("{path}: {answer}"))?;
        ensure!(body["status"] == "success", "{path}: {body}");
        Ok(body["data"].take())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is not there afterwards.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// As a part of a URL's query.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}
