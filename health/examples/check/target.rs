//! From an argument to checks.

use std::sync::Arc;

use health::{
    AgentQuestion, Check, Datagram, DnsParts, Grpc, GrpcParts, HttpParts, HttpRequest, Idle, Kind, Question,
    RecordType, Timing, Tls, UdpParts,
};

use crate::Error;

/// What an argument may be.
pub(crate) const FORMS: &str = "HOST:PORT, tcp://HOST:PORT, idle://HOST:PORT, udp://HOST:PORT, agent://HOST:PORT, \
     http://HOST[:PORT][/PATH], https://HOST[:PORT][/PATH], grpc://HOST:PORT[/SERVICE], grpcs://HOST:PORT[/SERVICE], \
     icmp://HOST, dns://HOST[:PORT]/NAME[?TYPE]";

/// The checks that an argument asks for, one for each address.
pub(crate) async fn checks(argument: &str) -> Result<Vec<Arc<Check>>, Error> {
    let (scheme, rest) = argument.split_once("://").unwrap_or(("tcp", argument));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (kind, usual_port) = match scheme {
        "tcp" => (Kind::Tcp, None),
        "idle" => (Kind::Idle(Idle::default()), None),
        "udp" => (Kind::Udp(Datagram::new(UdpParts::default())?), None),
        "agent" => (Kind::Agent(AgentQuestion::default()), None),
        "http" => (http(host, path, None)?, Some(80)),
        "https" => (http(host, path, Some(Tls::default()))?, Some(443)),
        "grpc" => (grpc(host, path, None)?, None),
        "grpcs" => (grpc(host, path, Some(Tls::default()))?, None),
        // ICMP has no ports; let equal checks be equal.
        "icmp" => (Kind::Icmp, Some(0)),
        "dns" => (dns(path)?, Some(53)),
        _ => return Err(format!("expected {FORMS}").into()),
    };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = match usual_port {
        Some(port) if !has_port => format!("{host}:{port}"),
        Some(_) | None => host.to_owned(),
    };
    let addresses = tokio::net::lookup_host(authority).await?;
    Ok(addresses.map(|address| Arc::new(Check::new(address, kind.clone(), Timing::default()))).collect())
}

fn http(host: &str, path: &str, tls: Option<Tls>) -> Result<Kind, Error> {
    let path = if path.is_empty() { "/" } else { path }.to_owned();
    let parts = HttpParts { path, tls, host: Some(host.to_owned()), ..HttpParts::default() };
    Ok(Kind::Http(HttpRequest::new(parts)?))
}

fn grpc(host: &str, path: &str, tls: Option<Tls>) -> Result<Kind, Error> {
    let service = path.trim_start_matches('/').to_owned();
    Ok(Kind::Grpc(Grpc::new(GrpcParts { service, tls, host: Some(host.to_owned()) })?))
}

/// `/www.example.org?AAAA`
fn dns(path: &str) -> Result<Kind, Error> {
    let question = path.trim_start_matches('/');
    let (name, record_type) = question.split_once('?').unwrap_or((question, "A"));
    let record_type: RecordType = record_type.parse()?;
    Ok(Kind::Dns(Question::new(DnsParts::new(name, record_type))?))
}
