//! The examples in a service's own description.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::http::{check_host, check_path};
use super::{HttpVersion, SpecError, Tls};

/// The parts of [`OpenApi`], not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenApiParts {
    /// Where the description is, after `base`. `/?spec` by default.
    pub path: String,
    /// What precedes the paths of the description. Empty by default; then it is what the description says of that.
    pub base: String,
    /// The Host header. By default the target's address.
    pub host: Option<String>,
    /// How the connections are secured; plain HTTP if not.
    pub tls: Option<Tls>,
    /// The version that is spoken.
    pub version: HttpVersion,
}

impl Default for OpenApiParts {
    fn default() -> Self {
        Self {
            path: "/?spec".to_owned(),
            base: String::new(),
            host: None,
            tls: None,
            version: HttpVersion::default(),
        }
    }
}

/// Fetches a service's OpenAPI (Swagger) description in JSON and tries its examples (`x-amples`), as Wikimedia's
/// service-checker does. Made from [`OpenApiParts`]. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "OpenApiParts", into = "OpenApiParts")]
pub struct OpenApi(Arc<OpenApiParts>);

impl OpenApi {
    /// Checks the parts.
    ///
    /// # Errors
    /// [`SpecError::Path`] or [`SpecError::Host`].
    pub fn new(parts: OpenApiParts) -> Result<Self, SpecError> {
        check_path(&parts.path)?;
        if !parts.base.is_empty() {
            check_path(&parts.base)?;
        }
        // What follows a query is a part of it.
        if parts.base.contains('?') {
            return Err(SpecError::Path { found: parts.base });
        }
        if let Some(host) = &parts.host {
            check_host(host)?;
        }
        Ok(Self(Arc::new(parts)))
    }

    /// The parts, all of them valid.
    pub fn parts(&self) -> &OpenApiParts {
        &self.0
    }

    /// Writes `examples of http://10.0.0.11:80/?spec (host www.example.org)`.
    pub(super) fn write(&self, target: SocketAddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpenApiParts { path, base, host, tls, .. } = self.parts();
        let scheme = if tls.is_some() { "https" } else { "http" };
        write!(f, "examples of {scheme}://{target}{base}{path}")?;
        host.iter().try_for_each(|host| write!(f, " (host {host})"))
    }
}

impl TryFrom<OpenApiParts> for OpenApi {
    type Error = SpecError;

    fn try_from(parts: OpenApiParts) -> Result<Self, SpecError> {
        Self::new(parts)
    }
}

impl From<OpenApi> for OpenApiParts {
    fn from(description: OpenApi) -> Self {
        Arc::unwrap_or_clone(description.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_path_without_a_query_or_nothing() {
        let with =
            |base: &str| OpenApi::new(OpenApiParts { base: base.to_owned(), ..OpenApiParts::default() });
        assert!(with("").is_ok() && with("/api/v1").is_ok());
        assert!(with("api").is_err() && with("/api?x").is_err());
    }
}
