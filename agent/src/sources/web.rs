//! A client of HTTP and HTTPS for sources: an answer is whole, in time and of bounded length, or an error in words.

use super::tls::{self, Stamps};
use crate::config::TlsFiles;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::time::Duration;

pub(super) type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client that keeps connections, and makes new ones when its files have changed.
#[derive(Debug)]
pub(super) struct Web {
    tls: TlsFiles,
    made: Option<(Stamps, Connections)>,
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Web {
    pub(super) fn new(tls: TlsFiles) -> Self {
        Self { tls, made: None }
    }

    /// The connections that the files of now make.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub(super) fn connections(&mut self) -> Result<Connections, String> {
        let stamps = tls::stamps(&self.tls);
        if let Some((of, client)) = &self.made
            && *of == stamps
        {
            return Ok(client.clone());
        }
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::settings(&self.tls)?)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(https);
        self.made = Some((stamps, client.clone()));
        Ok(client)
    }
}

/// Asks, and waits for the whole answer. Redirects are answers like others.
///
/// # Errors
/// In words, without the URL: no connection, no answer in time, or one longer than `max_bytes`.
pub(super) async fn ask(
    connections: &Connections,
    request: Request<Full<Bytes>>,
    (timeout, max_bytes): (Duration, u32),
) -> Result<Answer, String> {
    let asking = async {
        let answer = connections.request(request).await.map_err(|error| in_words(&error))?;
        let (head, body) = answer.into_parts();
        let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!("the answer is longer than {max_bytes} bytes")
            } else {
                in_words(error.as_ref())
            }
        })?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    };
    match tokio::time::timeout(timeout, asking).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no whole answer within {} ms", timeout.as_millis())),
    }
}

/// An error with its causes, without what they repeat.
fn in_words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
