//! The guard against what cannot be meant: a cluster that is suddenly without much of what it had is not obeyed at once.

use super::Cluster;

/// Why a cluster is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It has none at all of what every cluster has.
    Never(String),
    /// It is held back until somebody confirms it, or the source says another.
    Held(String),
}

/// What speaks against `after` when `before` is what is known: nothing may lose all of its nodes or IP pools; nodes, pools
/// and blocks of which more than half go are held back. One may always go, and a block that moves to another node is not gone.
pub(super) fn doubt(before: &Cluster, after: &Cluster) -> Option<Doubt> {
    let none = |what: &str| Some(Doubt::Never(format!("it says that the cluster has no {what} any more")));
    if !before.nodes.is_empty() && after.nodes.is_empty() {
        return none("node");
    }
    if !before.pools.is_empty() && after.pools.is_empty() {
        return none("IP pool");
    }
    let count = |gone: usize, all: usize, what: &str| {
        (gone > (all / 2).max(1)).then(|| format!("{gone} of {all} {what}"))
    };
    let nodes = before.nodes.keys().filter(|name| !after.nodes.contains_key(*name)).count();
    let blocks = before.blocks.keys().filter(|block| !after.blocks.contains_key(block)).count();
    let lost = [
        count(nodes, before.nodes.len(), "nodes"),
        count(before.pools.difference(&after.pools).count(), before.pools.len(), "IP pools"),
        count(blocks, before.blocks.len(), "blocks"),
    ];
    let lost: Vec<String> = lost.into_iter().flatten().collect();
    (!lost.is_empty()).then(|| {
        Doubt::Held(format!(
            "held back: it misses {} that the cluster had; `lvsctl confirm {CONFIRMED_AS}` lets it through",
            lost.join(" and ")
        ))
    })
}

/// What an operator calls it, after the section of the configuration.
pub const CONFIRMED_AS: &str = "nodes";
