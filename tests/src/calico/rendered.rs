//! What Calico's templates render for BIRD 1.6: the same files, protocols, filters and functions, for a node without a mesh
//! that has one peer, and clients if it is a route reflector (projectcalico/calico, `confd/etc/calico/confd/templates/`; rendered samples are under
//! `confd/tests/compiled_templates/`). Their comments are left out.

use std::net::IpAddr;

use super::{CLUSTER_ID, Peering, Settings};
use crate::network::{v4, v6};

/// The IP pools of the lab's clusters, IPv4 and IPv6: without encapsulation, so that BIRD writes the kernel's routes.
const POOLS: [&str; 2] = ["10.67.0.0/16", "fd00:67::/64"];

/// The filter that `lvsctl calico print-bgppeer` gives nodes which are to take nothing.
const FILTER: &str = "lvs-import-none";

/// `bird.cfg` (0) or `bird6.cfg` (1) and the two files that it includes: names and contents.
pub(super) fn files(settings: &Settings, family: usize) -> [(String, String); 3] {
    let bird = ["bird", "bird6"][family];
    [
        (format!("{bird}.cfg"), main(settings, family)),
        (format!("{bird}_aggr.cfg"), aggregation(settings, family)),
        (format!("{bird}_ipam.cfg"), ipam(settings, family)),
    ]
}

/// The name of the protocol for its peer.
pub(super) fn protocol(settings: &Settings, family: usize) -> String {
    name(settings.peering, settings.peer, family)
}

/// The name of a protocol: `Global_10_64_0_1`, `Node_fd00_64__1`.
fn name(peering: Peering, last: u16, family: usize) -> String {
    let kind = match peering {
        Peering::Global => "Global",
        Peering::Explicit => "Node",
    };
    format!("{kind}_{}", address(last, family).to_string().replace(['.', ':'], "_"))
}

fn address(last: u16, family: usize) -> IpAddr {
    if family == 0 { v4(last).into() } else { v6(last).into() }
}

/// `bird.cfg.template`.
fn main(settings: &Settings, family: usize) -> String {
    let bird = ["bird", "bird6"][family];
    let head = format!(
        r#"function apply_communities ()
{{
}}
template kernel kernel_template {{
  learn;
  persist;
  scan time 2;
  import all;
}}
template direct direct_template {{
  debug {{ states }};
  interface -"cali*", -"kube-ipvs*", "*";
}}
include "{bird}_aggr.cfg";
include "{bird}_ipam.cfg";
router id {router_id};
protocol kernel from kernel_template {{
  export filter calico_kernel_programming;
  graceful restart;
  merge paths on;
}}
protocol device {{
  debug {{ states }};
  scan time 2;
}}
protocol direct from direct_template {{
}}
template bgp bgp_template {{
  debug {{ states }};
  description "Connection to BGP peer";
  local as {asn};
  gateway recursive;
  add paths on;
  graceful restart;
  connect delay time 2;
  connect retry time 5;
  error wait time 5,30;
}}
"#,
        router_id = v4(settings.last),
        asn = settings.asn,
    );
    let clients = settings.clients.iter().map(|last| peer(settings, family, Peer::client(settings, *last)));
    head + &bgp_filter(settings, family)
        + &peer(settings, family, Peer::of(settings))
        + &clients.collect::<String>()
}

/// The BGPFilter for the peer, unless that is the node's reflector.
fn bgp_filter(settings: &Settings, family: usize) -> String {
    let version = family_version(family);
    match settings.is_client {
        true => String::new(),
        false => format!("function 'bgp_{FILTER}_importFilter{version}'() {{\n  reject;\n}}\n"),
    }
}

fn family_version(family: usize) -> &'static str {
    ["V4", "V6"][family]
}

/// Who is at the other end of a session.
struct Peer {
    last: u16,
    asn: u32,
    peering: Peering,
    /// Nothing is taken of it.
    is_filtered: bool,
}

impl Peer {
    fn of(settings: &Settings) -> Self {
        let Settings { peer, peer_asn, peering, is_client, .. } = *settings;
        Self { last: peer, asn: peer_asn, peering, is_filtered: !is_client }
    }

    /// A node of its own AS.
    fn client(settings: &Settings, last: u16) -> Self {
        Self { last, asn: settings.asn, peering: Peering::Explicit, is_filtered: false }
    }
}

/// A peer's protocol.
fn peer(settings: &Settings, family: usize, peer: Peer) -> String {
    let import = match peer.is_filtered {
        true => format!("    'bgp_{FILTER}_importFilter{}'();\n", family_version(family)),
        false => String::new(),
    };
    let is_internal = settings.asn == peer.asn;
    let reflected = match !settings.clients.is_empty() && is_internal {
        true => format!("  rr client;\n  rr cluster id {CLUSTER_ID};\n"),
        false => String::new(),
    };
    let password = match settings.password {
        Some(password) => format!("  password \"{password}\";\n"),
        None => String::new(),
    };
    let restart_time = match settings.max_restart_time {
        Some(seconds) => format!("  graceful restart time {seconds};\n"),
        None => String::new(),
    };
    format!(
        r"protocol bgp {name} from bgp_template {{
  neighbor {neighbour} as {asn};
  source address {own};
  ttl security off;
  multihop;
  import filter {{
{import}    if (defined(bgp_local_pref)&&(bgp_local_pref > 2147482623)) then
      preference = 200;
    accept;
  }};
  export filter {{
    if (defined(source) && source = RTS_BGP && defined(bgp_local_pref)) then {{
      krt_metric = 2147483647 - bgp_local_pref;
    }} else {{
      if (!defined(krt_metric)) then {{ krt_metric = 1024; }}
      bgp_local_pref = 2147483647 - krt_metric;
    }}
    calico_export_to_bgp_peers({is_internal});
    reject;
  }};
{reflected}{password}{restart_time}}}
",
        name = name(peer.peering, peer.last, family),
        neighbour = address(peer.last, family),
        asn = peer.asn,
        own = address(settings.last, family),
    )
}

/// `bird_aggr.cfg.template`: the blocks, and what a node announces of services; of a block nothing beneath it.
fn aggregation(settings: &Settings, family: usize) -> String {
    let routes = settings.blocks[family].iter().chain(&settings.services[family]);
    let routes: String = routes.map(|prefix| format!("   route {prefix} blackhole;\n")).collect();
    let block = |block: &String| {
        format!(
            "      if ( net = {block} ) then {{ accept; }}\n      \
             if ( net ~ {block} && krt_metric < 1024 ) then {{ accept; }}\n      \
             if ( net ~ {block} ) then {{ reject; }}\n"
        )
    };
    let blocks: String = settings.blocks[family].iter().map(block).collect();
    format!(
        "template static static_template {{\n{routes}}}\nprotocol static from static_template {{\n}}\n\
         function calico_aggr ()\n{{\n{blocks}}}\n"
    )
}

/// `bird_ipam.cfg.template`: what goes to peers, and what into the kernel.
fn ipam(settings: &Settings, family: usize) -> String {
    let all = |verdict: &str| -> String {
        let line = |prefix: &String| format!("  if ( net ~ {prefix} ) then {{ {verdict}; }}\n");
        settings.services[family].iter().map(line).collect()
    };
    format!(
        r#"function reject_local_routes () {{
  if (defined(ifname)) then {{
     if (ifname ~ "bpf*.cali") then {{
        reject;
     }}
  }}
}}
function calico_export_to_bgp_peers(bool internal_peer) {{
  if (internal_peer) then {{
    if (defined(ifname)) then {{
      if ((ifname ~ "*.cali") || (ifname ~ "*.calico") || (ifname ~ "tunl0")) then {{
        reject;
      }}
    }}
  }}
  reject_local_routes();
  apply_communities();
  calico_aggr();
{services_out}  if (net ~ {pool}) then {{ accept; }}
}}
filter calico_kernel_programming {{
{services_in}  if (defined(source) && (source = RTS_BGP) && !defined(krt_metric)) then {{
      krt_metric = 1024;
      if (defined(bgp_local_pref)) then {{
          krt_metric = 2147483647 - bgp_local_pref;
      }}
      if (krt_metric < 1024) then {{
          preference = 200;
      }}
  }}
  if (net ~ {pool}) then {{ accept; }}
  accept;
}}
"#,
        services_out = all("accept"),
        services_in = all("reject"),
        pool = POOLS[family],
    )
}
