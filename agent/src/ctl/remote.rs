//! `lvsctl --host`: another balancer's control interface, over TLS.

use super::client::ClientError;
use crate::config::TlsFiles;
use crate::tls;
use rustls::pki_types::ServerName;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The port that is meant where none is named.
pub const PORT: u16 = 7391;

/// How long a connection and its handshake may take: twice as long as lvsd waits for a handshake, that whoever waits for a
/// place behind those that say nothing does not give up just before there is one.
const PATIENCE: Duration = Duration::from_secs(10);

/// A balancer, as `--host` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancer {
    name: String,
    port: u16,
}

impl FromStr for Balancer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = split(text).map(|(name, port)| Self { name, port });
        split.ok_or_else(|| {
            format!(
                "expected a name or an address, such as lb2, lb2:{PORT}, 192.0.2.1 or [2001:db8::1]:{PORT}"
            )
        })
    }
}

/// Another balancer, and the files to show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    balancer: Balancer,
    files: TlsFiles,
}

impl Remote {
    /// The balancer; `directory` has `ca.pem`, `cert.pem` and `key.pem`.
    pub fn new(balancer: Balancer, directory: &Path) -> Self {
        let file = |name: &str| directory.join(name);
        let identity = Some((file("cert.pem"), file("key.pem")));
        Self { balancer, files: TlsFiles { ca_file: Some(file("ca.pem")), identity } }
    }

    /// Connects, and shakes hands.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], with what can be done about it.
    pub(super) async fn connect(&self) -> Result<TlsStream<TcpStream>, ClientError> {
        let Balancer { name: host, port } = &self.balancer;
        let failed = |why: String| self.unreachable(why);
        let settings = tls::settings(&self.files).map_err(|why| {
            failed(format!("{why} (--certificates DIR names the folder of ca.pem, cert.pem and key.pem)"))
        })?;
        let name = ServerName::try_from(host.clone()).map_err(|error| failed(error.to_string()))?;
        let connecting = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(Arc::new(settings)).connect(name, stream).await
        };
        match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(connected) => connected.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    /// A connection that breaks may be of a balancer that refuses our certificate: in TLS 1.3 we hear of that after the handshake.
    pub(super) fn refused(&self, error: ClientError) -> ClientError {
        match error {
            ClientError::Http(error) => self.unreachable(format!("{:#}", anyhow::Error::new(error))),
            other => other,
        }
    }

    fn unreachable(&self, why: String) -> ClientError {
        let Balancer { name, port } = &self.balancer;
        ClientError::Unreachable { host: name.clone(), port: *port, why }
    }
}

/// The name and the port. An IPv6 address with a port is in brackets.
fn split(host: &str) -> Option<(String, u16)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (
                address,
                port.strip_prefix(':')
                    .map_or_else(|| port.is_empty().then_some(None), |port| Some(Some(port)))?,
            )
        }
        None if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, None),
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let port = port.map_or(Some(PORT), |port| port.parse().ok().filter(|port| *port > 0))?;
    (!name.is_empty() && ServerName::try_from(name.to_owned()).is_ok()).then(|| (name.to_owned(), port))
}

/// Where the files are that a person shows: `~/.config/lvsctl` (XDG Base Directory Specification).
pub fn usual_directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let configurations = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    configurations.unwrap_or_default().join("lvsctl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        let with = |name: &str, port| Some((name.to_owned(), port));
        assert_eq!(split("lb2.example.org"), with("lb2.example.org", PORT));
        assert_eq!(split("lb2:1"), with("lb2", 1));
        assert_eq!(split("192.0.2.1:7392"), with("192.0.2.1", 7392));
        assert_eq!(split("2001:db8::1"), with("2001:db8::1", PORT));
        assert_eq!(split("[2001:db8::1]"), with("2001:db8::1", PORT));
        assert_eq!(split("[2001:db8::1]:7392"), with("2001:db8::1", 7392));
        for bad in ["", ":1", "lb2:", "lb2:0", "lb2:65536", "lb2:1:2", "[lb2]", "[::1]x", "[::1", "a b"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
