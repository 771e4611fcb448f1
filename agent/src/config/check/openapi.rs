//! `type = "openapi"`, the examples in a service's own description; and `type = "node-port"`, what kube-proxy says.

use super::{Asks, Type, given, http, keys, taken, tls};
use crate::config::value::boolean;
use crate::config::walk::{Node, Section};
use health::{Kind, NodePort, OpenApi, OpenApiParts};

pub(super) const OPENAPI: Type = Type {
    name: "openapi",
    keys: keys![
        "url",
        "base",
        "host",
        "version",
        "tls",
        "server_name",
        "verify",
        "ca",
        "client_certificate",
        "client_key",
        "min_version",
    ],
    asks: Asks::ServicePort,
    read,
};

pub(super) const NODE_PORT: Type =
    Type { name: "node-port", keys: keys!["service"], asks: Asks::OwnPort, read: node_port };

const BASE: &str = "a path such as \"/api/v1\", without a query";
const SERVICE: &str = "a Kubernetes service as \"NAMESPACE/NAME\"";

fn read(section: &Section<'_>) -> Option<Kind> {
    let default = OpenApiParts::default();
    let path = given(section, "url", default.path, http::url);
    let base = given(section, "base", default.base, base);
    let host = given(section, "host", None, |node| http::host(node).map(Some));
    let version = given(section, "version", default.version, http::version);
    let is_secured = given(section, "tls", false, boolean);
    let tls = tls::read_if(section, is_secured?)?;
    let parts = OpenApiParts { path: path?, base: base?, host: host?, tls, version: version? };
    taken(section, OpenApi::new(parts)).map(Kind::OpenApi)
}

fn base(node: &Node<'_>) -> Option<String> {
    node.parsed(BASE, |text| {
        let parts = OpenApiParts { base: text.to_owned(), ..OpenApiParts::default() };
        OpenApi::new(parts).is_ok().then(|| text.to_owned())
    })
}

fn node_port(section: &Section<'_>) -> Option<Kind> {
    let service = given(section, "service", NodePort::default(), |node| {
        node.parsed(SERVICE, |text| NodePort::new(Some(text)).ok())
    });
    service.map(Kind::NodePort)
}
