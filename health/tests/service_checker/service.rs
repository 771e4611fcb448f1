//! A service that answers as a case says, and notes what it is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::{Answer, Case};

/// The host that is asked for.
pub(crate) const HOST: &str = "service.example.org";

pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Service {
    /// Serves until the test ends.
    pub(crate) fn start(case: &Case) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let served = case.description.as_ref().map(ToString::to_string).or_else(|| case.text.clone());
        let description = Answer {
            status: case.status.unwrap_or(200),
            headers: Default::default(),
            body: served.expect("a description or a text"),
        };
        let answers: Vec<_> =
            case.answers.iter().map(|(to, answer)| (sorted_query(to), answer.clone())).collect();
        let notes = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(request) = Request::read(&stream) else { continue };
                if request.path == "/?spec" {
                    answer(stream, &description);
                    continue;
                }
                notes.lock().expect("no panic").push(request.in_words());
                let to = sorted_query(&format!("{} {}", request.method, request.path));
                let found = answers.iter().find(|(known, _)| *known == to);
                let none =
                    Answer { status: 404, headers: Default::default(), body: format!("nothing at {to}") };
                answer(stream, found.map_or(&none, |(_, answer)| answer));
            }
        });
        Self { address, asked }
    }

    /// What it was asked but for its description, sorted.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().expect("no panic").clone();
        asked.sort();
        asked
    }
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { method, path, headers, body: String::new() };
        let length = request.header("content-length").parse().unwrap_or(0);
        reader.take(length).read_to_string(&mut request.body).ok()?;
        Some(request)
    }

    fn header(&self, wanted: &str) -> &str {
        self.headers.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value)
    }

    /// Method, path, type and body, and the host if it is another: fields in their order, JSON without its spaces, as neither
    /// means anything.
    fn in_words(&self) -> String {
        let mut words = sorted_query(&format!("{} {}", self.method, self.path));
        if self.header("host").split(':').next() != Some(HOST) {
            words += &format!(" of {}", self.header("host"));
        }
        let media_type = self.header("content-type");
        if self.method != "GET" {
            let body = match serde_json::from_str::<serde_json::Value>(&self.body) {
                Ok(json) => json.to_string(),
                Err(_) if media_type.ends_with("form-urlencoded") => sorted(&self.body),
                Err(_) => self.body.clone(),
            };
            words += &format!(" {media_type} {body}");
        }
        words
    }
}

fn sorted(pairs: &str) -> String {
    let mut pairs: Vec<_> = pairs.split('&').collect();
    pairs.sort_unstable();
    pairs.join("&")
}

fn sorted_query(to: &str) -> String {
    to.split_once('?').map_or_else(|| to.to_owned(), |(path, query)| format!("{path}?{}", sorted(query)))
}

fn answer(mut stream: TcpStream, Answer { status, headers, body }: &Answer) {
    let mut text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        values.iter().for_each(|value| text += &format!("{name}: {}\r\n", value.as_str().expect("a text")));
    }
    // Who asked may have gone.
    let _ = stream.write_all(format!("{text}\r\n{body}").as_bytes());
}
