//! The health question of gRPC.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::http::check_host;
use super::{SpecError, Tls};

/// The longest name of a service, in bytes: the longest in use are names of packages, far below.
const MAX_SERVICE: usize = 1024;

/// The parts of [`Grpc`], not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcParts {
    /// The service that is asked about; empty for the server as a whole.
    pub service: String,
    /// The host that is asked for (`:authority`). By default the target's address.
    pub host: Option<String>,
    /// How the connection is secured; not at all if not.
    pub tls: Option<Tls>,
}

/// A call of `grpc.health.v1.Health/Check` that must be answered with `SERVING` (gRPC's health checking protocol).
/// Made from [`GrpcParts`]. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "GrpcParts", into = "GrpcParts")]
pub struct Grpc(Arc<GrpcParts>);

impl Grpc {
    /// Checks the parts.
    ///
    /// # Errors
    /// [`SpecError::Host`] or [`SpecError::Service`].
    pub fn new(parts: GrpcParts) -> Result<Self, SpecError> {
        if let Some(host) = &parts.host {
            check_host(host)?;
        }
        if parts.service.len() > MAX_SERVICE {
            return Err(SpecError::Service { max: MAX_SERVICE, found: parts.service.len() });
        }
        Ok(Self(Arc::new(parts)))
    }

    /// The parts, all of them valid.
    pub fn parts(&self) -> &GrpcParts {
        &self.0
    }
}

impl TryFrom<GrpcParts> for Grpc {
    type Error = SpecError;

    fn try_from(parts: GrpcParts) -> Result<Self, SpecError> {
        Self::new(parts)
    }
}

impl From<Grpc> for GrpcParts {
    fn from(grpc: Grpc) -> Self {
        Arc::unwrap_or_clone(grpc.0)
    }
}

/// What follows the target: ` over TLS service "routing" (host a.example)`.
impl fmt::Display for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GrpcParts { service, host, tls } = self.parts();
        f.write_str(if tls.is_some() { " over TLS" } else { "" })?;
        if !service.is_empty() {
            write!(f, " service {service:?}")?;
        }
        host.iter().try_for_each(|host| write!(f, " (host {host})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_none_and_a_service_of_many_pages_are_refused() {
        let parts = GrpcParts { host: Some("a b".to_owned()), ..GrpcParts::default() };
        assert!(matches!(Grpc::new(parts), Err(SpecError::Host { .. })));
        let of = |length| Grpc::new(GrpcParts { service: "s".repeat(length), ..GrpcParts::default() });
        assert!(of(MAX_SERVICE).is_ok());
        assert_eq!(
            of(MAX_SERVICE + 1).expect_err("refused").to_string(),
            "service: expected at most 1024 bytes, found 1025"
        );
    }

    #[test]
    fn it_shows_what_it_asks_about() {
        let parts =
            GrpcParts { service: "routing".to_owned(), tls: Some(Tls::default()), ..GrpcParts::default() };
        assert_eq!(Grpc::new(parts).expect("valid").to_string(), " over TLS service \"routing\"");
        assert_eq!(Grpc::new(GrpcParts::default()).expect("valid").to_string(), "");
    }
}
