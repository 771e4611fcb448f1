//! A client of HTTP and HTTPS for sources: an answer is whole, in time and of bounded length, or an error in words.

use crate::config::TlsFiles;
use crate::tls::{self, Stamps};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::time::Duration;

pub(super) type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client that keeps connections, and makes new ones when its files have changed.
#[derive(Debug)]
pub(super) struct Web {
    tls: TlsFiles,
    /// Whom certificates must be for, if not for the host of the URL.
    server_name: Option<String>,
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
    pub(super) fn new(tls: TlsFiles, server_name: Option<String>) -> Self {
        Self { tls, server_name, made: None }
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
        let https = HttpsConnectorBuilder::new().with_tls_config(tls::settings(&self.tls)?).https_or_http();
        let https = match &self.server_name {
            None => https,
            Some(name) => {
                let server = ServerName::try_from(name.clone());
                let server =
                    server.map_err(|_| format!("{name:?} is no name that a certificate can be for"))?;
                https.with_server_name_resolver(FixedServerNameResolver::new(server))
            }
        };
        let https = https.enable_http1().build();
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
        let (head, body) = head(connections, request).await?.into_parts();
        let body = whole(body, usize::try_from(max_bytes).unwrap_or(usize::MAX)).await?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    match tokio::time::timeout(timeout, asking).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no whole answer within {} ms", timeout.as_millis())),
    }
}

/// Asks, and waits for the head of the answer, however long that takes. Whoever drops its body in the midst closes the connection.
///
/// # Errors
/// Why there is none, in words.
pub(super) async fn head(
    connections: &Connections,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, String> {
    connections.request(request).await.map_err(|error| in_words(&error))
}

/// The whole body of an answer, however it comes in parts.
///
/// # Errors
/// When it breaks off, or is longer than so many bytes.
pub(super) async fn whole(body: Incoming, most: usize) -> Result<Bytes, String> {
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(format!("the answer is longer than {most} bytes"))
        }
        Err(error) => Err(format!("the answer breaks off: {}", in_words(error.as_ref()))),
    }
}

/// An error with its causes, without what they repeat.
pub(super) fn in_words(error: &(dyn Error + 'static)) -> String {
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
