//! Blocks that nobody types, and what holds them instead.

use anyhow::{Result, ensure};
use lab::pages;
use std::fs;

/// Why a block is not typed on the balancer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A drawing or a list of names.
    Picture,
    /// Another test has the same words or does the same: its file, and words of it.
    Held(&'static str, &'static str),
    /// Nothing holds it: why.
    Unheld(&'static str),
}

use Kind::{Held, Picture, Unheld};

/// Page, how it begins, what it is.
pub(crate) const BLOCKS: &[(&str, &str, Kind)] = &[
    ("README.md", "pools, configuration, DNS ─", Picture),
    ("README.md", "make demo ", Held("tests/tests/documentation/tools.rs", "are_there")),
    ("README.md", "iface lo inet static", Unheld("ifupdown is not in the guest")),
    ("docs/checks.md", "interval 2s  ├──probe", Picture),
    (
        "docs/configuration.md",
        "nft add rule inet mangle prerouting",
        Unheld("the guest's kernel has no nftables of the family inet"),
    ),
    ("docs/design.md", "agent/     the daemon lvsd", Picture),
    ("docs/design.md", "pool files, names ──Event──▶ inventory", Picture),
    ("docs/getting-started.md", "set routing-options autonomous-system", Unheld("Junos is not to be had")),
    (
        "docs/kubernetes.md",
        "prod/web: packets for 192.0.2.10 keep their port",
        Held(SERVING, "keep their port 8443"),
    ),
    (
        "docs/kubernetes.md",
        "apiVersion: v1",
        Held("agent/src/sources/kubernetes/tests/whole.rs", "the_example_of_the_page_is_served_as_it_says"),
    ),
    (
        "docs/kubernetes.md",
        "$ lvsctl why prod/web",
        Held("agent/src/core/tests/found.rs", "has ipMode Proxy"),
    ),
    (
        "docs/kubernetes.md",
        "kubectl apply -f kubernetes-rbac.yaml",
        Held(PERMISSIONS, "cluster.apply(&manifest())"),
    ),
    ("docs/kubernetes.md", "source k8s cannot be read: watch nodes: 403", Held(PERMISSIONS, "without(")),
    ("docs/metrics.md", "scrape_configs:", Held("tests/src/prometheus.rs", "scrape_configs:")),
    (
        "docs/migrating-from-pybal.md",
        "# text, eqiad",
        Held("agent/src/pool_file/lines.rs", "'enabled': True }"),
    ),
    (
        "docs/nodes.md",
        "$ lvsctl calico print-bgppeer --name lvs1019",
        Held(BGPPEER, "filters: [lvs-import-none]"),
    ),
    ("docs/nodes.md", "apiVersion: crd.projectcalico.org/v1", Held(BGPPEER, "source: RemotePeers")),
    ("docs/nodes.md", "kubectl get -o json nodes,", Unheld("there is no kubectl")),
    ("docs/concepts.md", "┌────────┐     BGP", Picture),
    ("docs/concepts.md", "probe ──▶ verdict", Picture),
    ("docs/operations.md", "┌ balancer ─", Picture),
    ("docs/operations.md", "curl --cacert ca.pem", Unheld("the guest's lvsd has no [remote]")),
    ("docs/sources.md", "/conftool/v1/pools/DC/CLUSTER/SERVICE/HOST", Picture),
    (
        "docs/sources.md",
        "$ lvsctl depool cp1",
        Held("agent/tests/etcd/changes.rs", "pooled yes became pooled no at revision"),
    ),
    (
        "docs/runbooks/LvsdCertificateExpiring.md",
        "$ lvsctl why rs2",
        Unheld("no server of the guest speaks TLS"),
    ),
    ("docs/runbooks/LvsdFleetDisagrees.md", "$ lvsctl fleet", Held("agent/tests/etcd/fleet.rs", "fleet")),
    (
        "docs/runbooks/LvsdMaxPrefixesNear.md",
        "$ lvsctl bgp neighbor",
        Unheld("no router of the guest tells thousands of routes"),
    ),
    ("docs/runbooks/LvsdSourceStale.md", "$ lvsctl status", Unheld("there is no etcd in the guest")),
];

const SERVING: &str = "agent/src/sources/kubernetes/tests/serving.rs";
const PERMISSIONS: &str = "agent/tests/kubernetes/permissions.rs";
const BGPPEER: &str = "agent/src/core/nodes/tests/bgppeer.rs";

/// Whether the block of a page that begins so is one of them.
pub(crate) fn has(page: &str, first: &str) -> bool {
    BLOCKS.iter().any(|(path, begin, _)| *path == page && first.starts_with(begin))
}

/// Each is on its page, and the test that holds it is there.
pub(crate) fn are_there() -> Result<()> {
    let pages = pages::all();
    for (path, first, kind) in BLOCKS {
        let mut blocks = pages.iter().filter(|page| page.path == *path).flat_map(pages::Page::blocks);
        ensure!(
            blocks.any(|block| block.first().starts_with(first)),
            "{path} has no block {first:?} any more"
        );
        match kind {
            Held(file, words) => {
                let text = fs::read_to_string(pages::top().join(file))?;
                ensure!(text.contains(words), "{file} has no {words}");
            }
            Unheld(why) => println!("{path}: {first}: nothing holds it: {why}"),
            Picture => {}
        }
    }
    Ok(())
}
