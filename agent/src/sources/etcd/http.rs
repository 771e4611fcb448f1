//! One etcd server by HTTP/1.1, for version 2 of its API.

use crate::config::{Endpoint, EtcdSettings};
use crate::sources::web::{self, Connections, Web};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, header};
use std::time::Duration;

/// The largest answer: a listing of a hundred thousand hosts takes 30 MB.
pub(super) const MAX_BODY: usize = 256 << 20;

/// Who asks one server, with files as they are now. It connects when it asks, and keeps the connection of an answer that came whole.
#[derive(Debug)]
pub(super) struct Server {
    connections: Connections,
    /// `https://etcd1.example.org:2379`.
    url: String,
    authorization: Option<String>,
    timeout: Duration,
}

impl Server {
    /// Has not asked yet.
    ///
    /// # Errors
    /// What is wrong with a file, with its path.
    pub(super) fn new(settings: &EtcdSettings, endpoint: &Endpoint) -> Result<Self, String> {
        let connections = Web::new(settings.tls.clone(), settings.server_name.clone()).connections()?;
        let authorization = match &settings.login {
            None => None,
            Some(login) => {
                let pair = format!("{}:{}", login.username, login.password()?);
                Some(format!("Basic {}", base64(pair.as_bytes())))
            }
        };
        Ok(Self { connections, url: endpoint.to_string(), authorization, timeout: settings.timeout })
    }

    /// Asks, and waits for the head of the answer.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        form: Option<String>,
    ) -> Result<Response<Incoming>, String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = Full::new(Bytes::from(form.unwrap_or_default()));
        let request = request.body(body).map_err(|error| error.to_string())?;
        let limit = self.timeout;
        let answer = tokio::time::timeout(limit, web::head(&self.connections, request)).await;
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

/// The whole body of an answer, however it comes in parts.
///
/// # Errors
/// When it breaks off, or is larger than any can be.
pub(super) async fn body(answer: Response<Incoming>) -> Result<Bytes, String> {
    web::whole(answer.into_body(), MAX_BODY).await
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
