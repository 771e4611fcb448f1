//! The health of a Kubernetes service on one node.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SpecError;

/// The longest namespace or name of a service in Kubernetes is 63 characters (RFC 1123, section 2.1); together with the
/// slash between them.
const MAX_SERVICE: usize = 63 + 1 + 63;

/// Asks what kube-proxy serves at a service's `healthCheckNodePort`, and expects that an endpoint of the service is on the
/// node: one that has none would have to send the packet on, which `externalTrafficPolicy: Local` forbids.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Option<String>", into = "Option<String>")]
pub struct NodePort(Option<Arc<str>>);

impl NodePort {
    /// A check that the answer is about `service`, written `NAMESPACE/NAME`: a port may have been given to another one
    /// since. `None` takes an answer about any.
    ///
    /// # Errors
    /// [`SpecError::NodePort`].
    pub fn new(service: Option<&str>) -> Result<Self, SpecError> {
        let is_label = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let is_name = |text: &str| {
            text.len() <= MAX_SERVICE
                && text.split_once('/').is_some_and(|(namespace, name)| is_label(namespace) && is_label(name))
        };
        match service {
            Some(text) if !is_name(text) => Err(SpecError::NodePort { found: text.to_owned() }),
            Some(_) | None => Ok(Self(service.map(Arc::from))),
        }
    }

    /// The service that must be answered about.
    pub fn service(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl TryFrom<Option<String>> for NodePort {
    type Error = SpecError;

    fn try_from(service: Option<String>) -> Result<Self, SpecError> {
        Self::new(service.as_deref())
    }
}

impl From<NodePort> for Option<String> {
    fn from(node_port: NodePort) -> Self {
        node_port.0.map(|service| service.to_string())
    }
}

/// What follows the target: ` service web/frontend`.
impl fmt::Display for NodePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|service| write!(f, " service {service}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_namespace_and_a_name() {
        for text in ["web/frontend", "a/b-1"] {
            assert_eq!(NodePort::new(Some(text)).expect("valid").service(), Some(text));
        }
        for text in
            ["", "frontend", "/frontend", "web/", "web/front/end", "Web/x", &format!("a/{}", "b".repeat(126))]
        {
            assert_eq!(NodePort::new(Some(text)), Err(SpecError::NodePort { found: text.to_owned() }));
        }
    }
}
