//! The core's rules, each shown in the way in which a user would notice.

mod agents;
mod announcements;
mod changes;
mod conflicts;
mod forwarding;
mod found;
mod histories;
mod lifecycle;
mod marks;
mod operators;
mod paths;
mod settings;
mod simulation;
mod sources;
mod unclaimed;
pub(in crate::core) mod world;

use world::World;

/// Two families, three backends, two routers.
const WEB: &str = r#"
[lvsd]
shutdown_delay = "2s"
drain_timeout = "60s"
resync_interval = "30s"

[bgp]
local_asn = 64600
router_id = "10.64.0.1"
peer = [
  { name = "r1", address = "10.64.0.251", asn = 65001 },
  { name = "r2", address = "10.64.0.252", asn = 65002 },
]

[service.web]
vips = ["192.0.2.10", "2001:db8::10"]
port = 80
scheduler = "mh"
backends = [
  { host = "rs1", weight = 10, addresses = ["10.64.0.11", "fd00::11"] },
  { host = "rs2", weight = 10, addresses = ["10.64.0.12", "fd00::12"] },
  { host = "rs3", weight = 10, addresses = ["10.64.0.13", "fd00::13"] },
]
checks = [{ type = "tcp" }]
"#;

/// The same with its backends in a pool file.
fn with_pool_file() -> String {
    let start = WEB.find("backends = [").unwrap();
    let end = WEB.find("checks = [").unwrap();
    format!("{}pool_file = \"/pools/web.json\"\n{}", &WEB[..start], &WEB[end..])
}

const V4: &str = "tcp 192.0.2.10:80";
const V6: &str = "tcp [2001:db8::10]:80";
const ALL: [&str; 6] = ["10.64.0.11", "10.64.0.12", "10.64.0.13", "fd00::11", "fd00::12", "fd00::13"];

/// A world in which `WEB` runs and every backend is up.
fn running() -> World {
    let mut world = World::with(WEB);
    world.up(&ALL);
    assert!(world.status().ready);
    world.writes.clear();
    world
}
