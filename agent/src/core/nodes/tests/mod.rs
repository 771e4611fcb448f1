//! The rules about nodes' routes, each shown in the way in which a user would notice.

mod bgppeer;
mod objects;
mod properties;
mod rules;
mod story;

use crate::config::Nodes;
use crate::core::tests::world::parse;

/// A balancer with one router, one VIP and a cluster of three nodes in the configuration.
const NODES: &str = r#"
[bgp]
local_asn = 64600
router_id = "10.64.0.1"
peer = [{ name = "r1", address = "10.64.0.251", asn = 65001 }]

[nodes]
mode = "static"
asn = 64512
service_cidrs = ["10.96.0.0/12"]
pool = [{ cidr = "10.67.0.0/16", block_size = 26 }, { cidr = "fd00:67::/64", block_size = 122 }]
node = [
  { name = "n1", addresses = ["10.64.0.21", "fd00:64::21"] },
  { name = "n2", addresses = ["10.64.0.22", "fd00:64::22"] },
  { name = "n3", addresses = ["10.64.0.23"], asn = 64513 },
]

[service.web]
vips = ["192.0.2.10"]
port = 80
backends = [{ host = "rs1", addresses = ["10.64.0.11"] }]
checks = []
"#;

fn settings(text: &str) -> Nodes {
    parse(text).nodes.expect("there is a [nodes]")
}
