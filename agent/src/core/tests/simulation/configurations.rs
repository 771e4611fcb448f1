//! The configurations that a simulated balancer is reloaded between.

use crate::config::{Config, Service};
use crate::core::tests::world::parse;
use std::sync::{Arc, LazyLock};

const DAEMON: &str = r#"
[lvsd]
shutdown_delay = "2s"
drain_timeout = "20s"
resync_interval = "10s"
[bgp]
local_asn = 64600
router_id = "10.64.0.1"
peer = [{ name = "r1", address = "10.64.0.251", asn = 65001 }]
"#;

const SYNC: &str = "[ipvs]\ntcp_timeout = \"30m\"\n[ipvs.sync]\nrole = \"both\"\ninterface = \"eth0\"\n";

const FOUR: &str = r#"
backends = [
  { host = "rs1", weight = 10, addresses = ["10.64.0.11", "fd00::11"] },
  { host = "rs2", weight = 10, addresses = ["10.64.0.12", "fd00::12"] },
  { host = "rs3", weight = 20, addresses = ["10.64.0.13", "fd00::13"] },
  { host = "rs4", weight = 1, addresses = ["10.64.0.14"] },
]
"#;

const LOOKED_UP: &str = r#"
backends = [
  { host = "rs1", weight = 10, addresses = ["10.64.0.11", "fd00::11"] },
  { host = "rs5", weight = 10 },
  { host = "rs6", weight = 5 },
]
"#;

const TCP: &str = "checks = [{ type = \"tcp\" }]\n";
const ON_80: &str = "checks = [{ type = \"tcp\", port = 80 }]\n";
const TWO_CHECKS: &str = "checks = [{ type = \"tcp\" }, { type = \"http\", url = \"/\" }]\n";
const THROUGH_IPVS: &str =
    "checks = [{ type = \"tcp\", path = \"ipvs\" }, { type = \"tcp\", interval = \"9s\" }]\n";
const CANARY: &str = "canary = { type = \"tcp\" }\n";
const THREE_CHECKS: &str =
    "checks = [{ type = \"tcp\" }, { type = \"http\" }, { type = \"tcp\", interval = \"9s\" }]\n";

const ETCD: &str = "[source.conftool]\ntype = \"etcd\"\nendpoints = [\"http://127.0.0.1:2379\"]\n";
const OTHER_ETCD: &str = "[source.conftool]\ntype = \"etcd\"\nendpoints = [\"http://127.0.0.2:2379\"]\n";
const HTTP: &str = "[source.static]\ntype = \"http\"\nurl = \"http://192.0.2.99\"\n";
const POOLS_OF_K8S: &str = "[source.k8s]\ntype = \"kubernetes\"\n";
const K8S: &str = r#"
[source.k8s]
type = "kubernetes"
class = "example.org/lvsd"
address_pool = [{ name = "public", addresses = ["192.0.2.0/24"] }]
"#;

const IN_ETCD: &str = "pool = { source = \"conftool\", path = \"eqiad/web\" }\n";
const IN_TWO: &str = "pool = [{ source = \"conftool\", path = \"codfw/web\" }, { source = \"conftool\", path = \"eqiad/web\" }]\n";
const IN_HTTP: &str = "pool = { source = \"static\", path = \"other\" }\n";
const IN_K8S: &str = "pool = { source = \"k8s\", service = \"prod/site\" }\n";

/// A cluster's nodes, as its file has them, whose routes are taken.
const NODES: &str = r#"
[nodes]
mode = "discover"
asn = 64512
cluster_file = "/c.json"
service_cidrs = ["10.96.0.0/12"]
pool = [{ cidr = "10.67.0.0/16", block_size = 26 }]
"#;

/// `name` on port 80 of an IPv4 and an IPv6 VIP.
fn web(name: &str, settings: &str) -> String {
    format!("[service.{name}]\nvips = [\"192.0.2.10\", \"2001:db8::10\"]\n{settings}\n")
}

/// A second service on the IPv4 VIP.
fn other(settings: &str) -> String {
    format!("[service.other]\nvips = [\"192.0.2.10\"]\nport = 443\n{TCP}{settings}\n")
}

fn dns(settings: &str) -> String {
    format!("[service.dns]\nvips = [\"192.0.2.11\"]\nport = 53\nprotocol = \"udp\"\n{settings}\n")
}

const A: &str = "pool_file = \"/pools/a.json\"\n";
const B: &str = "pool_file = \"/pools/b.json\"\n";

static ALL: LazyLock<Vec<Arc<Config>>> = LazyLock::new(|| {
    let plain = web("web", &format!("port = 80\n{FOUR}{TCP}"));
    let slow = web("web", &format!("port = 80\ndepool_threshold = 0.75\nslow_start = \"5s\"\n{FOUR}{TCP}"));
    let later = web(
        "web",
        &format!(
            "port = 80\ndepool_threshold = 0.25\n{FOUR}checks = [{{ type = \"tcp\", interval = \"7s\" }}]\n"
        ),
    );
    let whole = web("web", &format!("port = 80\ndepool_threshold = 1.0\n{FOUR}{TWO_CHECKS}"));
    let texts = [
        plain.clone(),
        format!("{plain}{}", other(A)),
        format!("{slow}{}[vip.\"192.0.2.10\"]\nannounce = \"all\"\nwithdraw_hold = \"3s\"\n", other(A)),
        format!(
            "{later}{}[vip.\"192.0.2.10\"]\nannounce_hold = \"4s\"\n[vip.\"192.0.2.11\"]\nannounce = \"always\"\n",
            dns(&format!("{B}{TCP}"))
        ),
        web("site", &format!("port = 80\nmax_change = 1.0\n{A}{TCP}")),
        format!(
            "{}{}",
            web("web", &format!("port = 81\n{FOUR}{TCP}")),
            other(&format!("{B}scheduler = \"sh\"\n"))
        ),
        web("web", &format!("port = 80\n{LOOKED_UP}{TCP}")),
        dns(&format!("{A}max_change = 0.25\nchecks = []\n")),
        format!("{whole}{}", dns(&format!("{A}{TCP}"))),
        format!(
            "{}{}",
            web("web", &format!("port = 80\nforwarding = \"nat\"\nbackend_port = 8080\n{FOUR}{TCP}")),
            other("forwarding = \"tunnel\"\npersistence_timeout = \"60s\"\npool_file = \"/pools/a.json\"\n")
        ),
        web("web", &format!("port = 80\nforwarding = \"nat\"\nbackend_port = 8081\n{FOUR}{TCP}")),
        format!("{SYNC}{}", web("web", &format!("fwmark = 7\n{FOUR}{ON_80}"))),
        web("web", &format!("port = 80\ndepool_threshold = 0.75\nrequire = \"any\"\n{FOUR}{TWO_CHECKS}")),
        web("web", &format!("port = 80\nrequire = 2\n{FOUR}{THREE_CHECKS}")),
        format!(
            "{}{}",
            web("web", &format!("port = 80\n{FOUR}{THROUGH_IPVS}{CANARY}")),
            other(&format!("{A}{CANARY}"))
        ),
        format!(
            "[ipvs]\nfirst_mark = 5000\n{}{}",
            web("web", &format!("port = 80\nscheduler = \"mh\"\n{LOOKED_UP}{THROUGH_IPVS}{CANARY}")),
            dns(&format!("{B}checks = [{{ type = \"udp\", path = \"ipvs\" }}]\n"))
        ),
        format!("{ETCD}{HTTP}{}{}", web("web", &format!("port = 80\n{IN_ETCD}{TCP}")), other(IN_HTTP)),
        format!(
            "{ETCD}{HTTP}{}{}",
            web("web", &format!("port = 80\nmax_change = 0.25\n{IN_TWO}checks = []\n")),
            dns(&format!("{IN_HTTP}{TCP}"))
        ),
        format!("{OTHER_ETCD}{}{}", web("web", &format!("port = 80\n{IN_ETCD}{TCP}")), other(IN_ETCD)),
        format!("{K8S}{plain}{}", dns(&format!("{A}{TCP}"))),
        format!("{POOLS_OF_K8S}{}{}", web("site", &format!("port = 80\n{IN_K8S}{TCP}")), other(A)),
        format!(
            "{ETCD}{K8S}{HTTP}{NODES}{}{}",
            web("web", &format!("port = 80\n{IN_ETCD}{TCP}")),
            other(IN_HTTP)
        ),
        format!("{NODES}{plain}"),
    ];
    texts.iter().map(|text| Arc::new(parse(&format!("{DAEMON}{text}")))).collect()
});

/// How many there are.
pub(super) const COUNT: usize = 23;

/// One of them.
pub(super) fn configuration(number: usize) -> Arc<Config> {
    assert_eq!(ALL.len(), COUNT);
    Arc::clone(&ALL[number])
}

/// That with most sources.
pub(super) fn most() -> Arc<Config> {
    configuration(21)
}

/// Services that a cluster has by itself.
pub(super) const FOUND: [&str; 5] =
    ["k8s.prod.blog", "k8s.prod.feed", "k8s.prod.shop", "k8s.prod.taken", "k8s.prod.deli"];

/// When each of them was made, in seconds since 1970.
pub(super) const CREATED: [u64; FOUND.len()] = [10, 20, 30, 40, 50];

/// Each of them, and each with another backend. The backends of the first are a pool of the cluster; the fourth has an address
/// and port of [`web`], and the last, which is younger and sorts before, those of the third.
static FOUND_SERVICES: LazyLock<Vec<[Arc<Service>; 2]>> = LazyLock::new(|| {
    let one = |number: usize, backend: &str| {
        let name = FOUND[number];
        let vip = ["192.0.2.22", "192.0.2.21", "192.0.2.20", "192.0.2.10", "192.0.2.20"][number];
        let pool = match number {
            0 => "pool = { source = \"k8s\", service = \"prod/blog\" }".into(),
            _ => format!("backends = [{{ host = \"{backend}\" }}, {{ host = \"10.64.0.12\" }}]"),
        };
        let threshold = if backend.ends_with('3') { "depool_threshold = 0.75\n" } else { "" };
        let text =
            format!("{K8S}[service.\"{name}\"]\nvips = [\"{vip}\"]\nport = 80\n{threshold}{TCP}{pool}\n");
        Arc::clone(&parse(&text).services[name])
    };
    (0..FOUND.len()).map(|number| [one(number, "10.64.0.11"), one(number, "10.64.0.13")]).collect()
});

/// A service of the cluster.
pub(super) fn found(number: usize, is_moved: bool) -> Arc<Service> {
    Arc::clone(&FOUND_SERVICES[number][usize::from(is_moved)])
}
