//! HTTP/1.1 to one etcd server, for version 2 of its API.

use super::store::chain;
use crate::config::{Endpoint, EtcdSettings};
use crate::sources::tls;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// The largest answer: a listing of a hundred thousand hosts takes 30 MB.
pub(super) const MAX_BODY: usize = 256 << 20;

/// A connection, and the task that drives it.
#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    host: String,
    authorization: Option<String>,
    timeout: Duration,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) async fn open(settings: &EtcdSettings, endpoint: &Endpoint) -> Result<Self, String> {
        let limit = settings.timeout;
        match tokio::time::timeout(limit, Self::connect(settings, endpoint)).await {
            Ok(connection) => connection,
            Err(_) => Err(format!("no connection within {limit:?}")),
        }
    }

    async fn connect(settings: &EtcdSettings, endpoint: &Endpoint) -> Result<Self, String> {
        let stream = TcpStream::connect((&*endpoint.host, endpoint.port)).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let (sender, driver) = if endpoint.is_secured {
            let name = settings.server_name.as_deref().unwrap_or(&endpoint.host);
            let server = ServerName::try_from(name.to_owned());
            let server = server.map_err(|_| format!("{name:?} is no name that a certificate can be for"))?;
            let connector = TlsConnector::from(Arc::new(tls::settings(&settings.tls)?));
            handshake(connector.connect(server, stream).await.map_err(|error| chain(&error))?).await?
        } else {
            handshake(stream).await?
        };
        let authorization = match &settings.login {
            None => None,
            Some(login) => {
                let pair = format!("{}:{}", login.username, login.password()?);
                Some(format!("Basic {}", base64(pair.as_bytes())))
            }
        };
        let whole = endpoint.to_string();
        let host = whole.split_once("://").map_or(&*whole, |(_, host)| host).to_owned();
        Ok(Self { sender, driver, host, authorization, timeout: settings.timeout })
    }

    /// Whether the other end has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Asks, and waits for the head of the answer.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        form: Option<String>,
    ) -> Result<Response<Incoming>, String> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = Full::new(Bytes::from(form.unwrap_or_default()));
        let request = request.body(body).map_err(|error| error.to_string())?;
        let limit = self.timeout;
        let asking = self.sender.send_request(request);
        let answer = tokio::time::timeout(limit, async { asking.await.map_err(|error| chain(&error)) }).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
    }

    /// What comes within the time that an answer may take.
    ///
    /// # Errors
    /// What came instead, or that nothing did.
    pub(super) async fn within<T>(
        &self,
        coming: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        match tokio::time::timeout(self.timeout, coming).await {
            Ok(came) => came,
            Err(_) => Err(format!("no whole answer within {:?}", self.timeout)),
        }
    }
}

async fn handshake<S>(stream: S) -> Result<(http1::SendRequest<Full<Bytes>>, JoinHandle<()>), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    // What ends the connection, the one who asks is told as well.
    Ok((sender, tokio::spawn(async move { drop(connection.await) })))
}

/// The whole body of an answer, however it comes in parts.
///
/// # Errors
/// When it breaks off, or is larger than any can be.
pub(super) async fn body(answer: Response<Incoming>) -> Result<Bytes, String> {
    match Limited::new(answer.into_body(), MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(format!("the answer breaks off: {}", chain(&*error))),
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let whole =
            three.iter().chain(&[0, 0]).take(3).fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
        for place in 0..4 {
            let letter = char::from(LETTERS[whole >> (18 - 6 * place) & 63]);
            text.push(if place <= three.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(text.as_bytes()), coded);
        }
        assert_eq!(base64(b"\xff\xfe\xfd"), "//79");
    }
}
