//! `type = "grpc"`: the health question of gRPC.

use super::{Asks, Type, given, http, keys, taken, tls};
use crate::config::value::boolean;
use crate::config::walk::Section;
use health::{Grpc, GrpcParts, Kind};

pub(super) const GRPC: Type = Type {
    name: "grpc",
    keys: keys![
        "service",
        "host",
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

const SERVICE: &str = "the name of a gRPC service";

fn read(section: &Section<'_>) -> Option<Kind> {
    let service =
        given(section, "service", String::new(), |node| node.string(SERVICE).map(ToOwned::to_owned));
    let host = given(section, "host", None, |node| http::host(node).map(Some));
    let is_secured = given(section, "tls", false, boolean);
    let tls = tls::read_if(section, is_secured?)?;
    taken(section, Grpc::new(GrpcParts { service: service?, host: host?, tls })).map(Kind::Grpc)
}
