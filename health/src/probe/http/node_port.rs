//! What kube-proxy says of a service's endpoints on its node.

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Deserialize;

use super::message::Manner;
use super::session::Session;
use crate::failure::{Failure, Found, HttpFailure};
use crate::probe::way::Way;
use crate::spec::{HttpVersion, NodePort, StatusRange};

/// The path that kubelet's own checks ask for; kube-proxy answers every path alike.
const PATH: &str = "/healthz";

/// The longest answer, in bytes: a right one has less than 300.
const MAX_ANSWER: usize = 4096;

/// kube-proxy's answer (pkg/proxy/healthcheck/service_health.go). Further fields are passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    service: Service,
    local_endpoints: u64,
    /// Not said by older versions.
    service_proxy_healthy: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Service {
    namespace: String,
    name: String,
}

/// Asks, and expects an endpoint.
pub(in crate::probe) async fn probe(way: &Way<'_>, node_port: &NodePort) -> Result<Found, Failure> {
    let manner = Manner { host: None, tls: None, version: HttpVersion::Http1 };
    let message = manner
        .message(way.target, ("GET", PATH), std::iter::empty::<(&str, &str)>(), Bytes::new())
        .map_err(|error| Failure::Local { error: error.to_string() })?;
    let mut session = Session::open(way, &manner).await?;
    let (head, mut body) = session.send(way, message).await?.into_parts();
    let answer = session.whole(way, &mut body, MAX_ANSWER).await?;
    judge(head.status, &answer, node_port.service())?;
    Ok(Found::default())
}

/// Judges an answer; 503 is one, too: its body says why.
fn judge(status: StatusCode, body: &[u8], wanted: Option<&str>) -> Result<(), Failure> {
    let expected = || vec![StatusRange::OK];
    let unexpected = Failure::Status { found: status.as_u16(), expected: expected() };
    let answer: Answer = match (serde_json::from_slice(body), status) {
        (Ok(answer), StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE) => answer,
        (Err(error), StatusCode::OK) => {
            return Err(HttpFailure::NotJson {
                what: "service's health".to_owned(),
                error: error.to_string(),
            }
            .into());
        }
        (Ok(_) | Err(_), _) => return Err(unexpected),
    };
    let service = format!("{}/{}", answer.service.namespace, answer.service.name);
    if wanted.is_some_and(|wanted| wanted != service) {
        let expected = wanted.unwrap_or_default().to_owned();
        return Err(HttpFailure::OtherService { found: service, expected }.into());
    }
    if answer.local_endpoints == 0 {
        return Err(HttpFailure::NoEndpoint { service }.into());
    }
    if answer.service_proxy_healthy == Some(false) {
        return Err(HttpFailure::ProxyUnhealthy.into());
    }
    if status == StatusCode::OK { Ok(()) } else { Err(unexpected) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(status: u16, body: &str, wanted: Option<&str>) -> Result<(), String> {
        let status = StatusCode::from_u16(status).expect("a status");
        judge(status, body.as_bytes(), wanted).map_err(|failure| failure.to_string())
    }

    fn answer(endpoints: u64, further: &str) -> String {
        format!(r#"{{"service":{{"namespace":"web","name":"front"}},"localEndpoints":{endpoints}{further}}}"#)
    }

    #[test]
    fn a_node_with_an_endpoint_of_the_service_is_up() {
        assert_eq!(told(200, &answer(2, ""), None), Ok(()));
        assert_eq!(
            told(200, &answer(1, r#","serviceProxyHealthy":true,"new":[1]"#), Some("web/front")),
            Ok(())
        );
    }

    #[test]
    fn every_other_answer_is_told_in_words() {
        for (status, body, wanted, text) in [
            (503, answer(0, ""), None, "no endpoint of web/front is on this node"),
            (200, answer(0, ""), None, "no endpoint of web/front is on this node"),
            (
                200,
                answer(1, ""),
                Some("web/back"),
                "the answer is about the service web/front, expected web/back",
            ),
            (
                503,
                answer(1, r#","serviceProxyHealthy":false"#),
                None,
                "kube-proxy on this node is not healthy",
            ),
            (503, answer(1, ""), None, "HTTP status 503, expected 200"),
            (503, "overloaded".to_owned(), None, "HTTP status 503, expected 200"),
            (404, answer(1, ""), None, "HTTP status 404, expected 200"),
        ] {
            assert_eq!(told(status, &body, wanted), Err(text.to_owned()));
        }
        let failure = told(200, "ok", None).expect_err("no JSON");
        assert!(failure.starts_with("service's health is not the JSON expected: "), "{failure}");
    }

    proptest! {
        #[test]
        fn any_answer_is_judged(status in 100u16..600, body: Vec<u8>) {
            let status = StatusCode::from_u16(status).expect("a status");
            prop_assert!(judge(status, &body, None).is_err());
        }
    }
}
