//! Checks of real servers that speak HTTP: nginx, a gRPC server.

mod authority;
mod described;
mod grpc_server;
mod nginx;
mod plain;
mod secured;
mod version2;

use std::net::SocketAddr;
use std::time::Duration;

use health::probe::probe;
use health::{
    Certificates, Check, HttpParts, HttpRequest, Kind, Outcome, OwnSockets, Timing, Tls, TlsParts, Trust,
};

/// For probes that must not time out, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Probes `target` once.
async fn run(target: SocketAddr, kind: Kind) -> Outcome {
    let timing = Timing::new(PATIENCE, PATIENCE, 3, 2).expect("a valid timing");
    probe(&Check::new(target, kind, timing), &OwnSockets, 0).await
}

/// Asks `target` as `parts` say.
async fn ask(target: SocketAddr, parts: HttpParts) -> Outcome {
    run(target, Kind::Http(HttpRequest::new(parts).expect("a valid request"))).await
}

/// A request for `www.example.org` whose certificate `authority` must vouch for.
fn trusting(authority: &authority::Authority) -> HttpParts {
    with(TlsParts { trust: authority.trusted(), ..TlsParts::default() })
}

/// A request for `www.example.org` by these settings of TLS.
fn with(tls: TlsParts) -> HttpParts {
    HttpParts {
        host: Some("www.example.org".to_owned()),
        tls: Some(Tls::new(tls).expect("valid settings")),
        ..HttpParts::default()
    }
}

impl authority::Authority {
    /// Trust in this authority alone.
    fn trusted(&self) -> Trust {
        Trust::Authorities(Certificates::from_pem(self.pem().as_bytes()).expect("a certificate"))
    }
}
