//! The kernel's table against the wanted one, for people: what differs, whose servers are out of their order, and what is
//! done about it.

use super::{Applied, Executor, Failed, Wanted, adds_weightless};
use crate::core::action::WantedTable;
use ipvs::diff::reorder;
use ipvs::{Connections, DestinationKey, Op, ServiceKey, Snapshot, diff};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What is to be done about what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    No,
    /// The kernel is brought to what is wanted.
    Differences,
    /// The same, and the servers of services that hash by them are put in their order.
    DifferencesAndOrder,
}

/// Somebody wants the kernel compared with what is wanted.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) repair: Repair,
    pub(super) reply: oneshot::Sender<Result<Comparison, String>>,
}

/// The kernel's table against the wanted one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Operations that would bring the kernel to what is wanted, or have.
    pub differences: Vec<String>,
    /// Whether they were done.
    pub repaired: bool,
    /// What the kernel refused.
    pub failures: Vec<String>,
    /// Services that are not ours, and are left alone.
    pub foreign: Vec<String>,
    /// In a dry run: servers that would be added with weight 0, which get no connections and which whoever writes the table
    /// need not have. They are no differences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weightless: Vec<String>,
    /// Our services that hash by their servers (mh) and whose servers were added in another order than that in which they are
    /// to a balancer that starts afresh: some of their clients get another server here than there. They are no differences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsorted: Vec<String>,
    /// Whether they were put in order.
    #[serde(default)]
    pub sorted: bool,
    /// What goes through our services.
    #[serde(default)]
    pub traffic: Traffic,
}

/// What goes through the kernel's services that are ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// Established connections; those that routers have moved elsewhere stay until they time out.
    pub active: u64,
    /// Connections in any other state.
    pub inactive: u64,
    /// Packets from clients since the services were made, at most 2 s old.
    pub packets: u64,
}

impl Traffic {
    /// That of these services.
    fn of(snapshot: &Snapshot, is_ours: impl Fn(&ServiceKey) -> bool) -> Self {
        let ours = snapshot.connections.iter().filter(|((service, _), _)| is_ours(service));
        let connections =
            |count: fn(&Connections) -> u32| ours.clone().map(|(_, c)| u64::from(count(c))).sum();
        let statistics = snapshot.service_statistics.iter().filter(|(service, _)| is_ours(service));
        Self {
            active: connections(|count| count.active),
            inactive: connections(|count| count.inactive),
            packets: statistics.map(|(_, statistics)| statistics.packets_in).sum(),
        }
    }
}

impl Executor {
    /// Reads the kernel, compares, and repairs as far as asked to.
    pub(super) async fn compare(
        &mut self,
        want: Option<&Wanted>,
        repair: Repair,
    ) -> Result<Comparison, Failed> {
        if repair != Repair::No && self.mode.is_dry() {
            return Err(Failed::Refused(
                "lvsd runs dry and writes nothing: lvsctl diff says what it would do".into(),
            ));
        }
        let snapshot = self.ipvs.dump().await?;
        let Some(want) = want.map(|want| &want.table) else {
            return Err(Failed::Refused("nothing is wanted yet: lvsd is starting".into()));
        };
        let is_foreign = |key: &&ServiceKey| !want.table.contains_key(key) && !want.owned.contains(key);
        let ops = diff(&snapshot.table, &want.table, &want.owned);
        let beside = self.beside.compare(&self.ipvs, &want.settings).await?;
        let is_weightless = |op: &Op| self.mode.is_dry() && adds_weightless(op);
        let (weightless, ops): (Vec<Op>, Vec<Op>) = ops.into_iter().partition(is_weightless);
        let mut comparison = Comparison {
            weightless: weightless.iter().map(ToString::to_string).collect(),
            differences: ops.iter().map(ToString::to_string).chain(beside).collect(),
            unsorted: unsorted(&snapshot, want).map(|(key, _)| key.to_string()).collect(),
            foreign: snapshot.table.keys().filter(is_foreign).map(ToString::to_string).collect(),
            traffic: Traffic::of(&snapshot, |key| !is_foreign(&key)),
            ..Comparison::default()
        };
        if repair != Repair::No {
            let Applied { have, mut failures, done, .. } = self.apply(snapshot.table, want).await?;
            let beside = self.beside.settle(&self.ipvs, &want.settings, false).await?;
            failures.extend(beside.failures);
            self.repaired(&done, &beside.done);
            self.have = failures.is_empty().then(|| have.clone());
            comparison.repaired = failures.is_empty();
            comparison.failures.clone_from(&failures);
            self.report_synced(&have, want, failures).await;
        }
        if repair == Repair::DifferencesAndOrder && comparison.repaired {
            comparison.failures = self.sort(want).await?;
            comparison.sorted = comparison.failures.is_empty();
        }
        Ok(comparison)
    }

    /// Puts the servers of services that hash by them in their order. Gives the refusals.
    async fn sort(&mut self, want: &WantedTable) -> Result<Vec<String>, Failed> {
        // Of now: the repair may have added some.
        let snapshot = self.ipvs.dump().await?;
        let entries =
            unsorted(&snapshot, want).filter_map(|(key, order)| Some((key, order, snapshot.table.get(key)?)));
        let ops = entries.flat_map(|(key, order, entry)| reorder(*key, order, entry)).collect();
        // One that is down keeps its place, as on the other balancers.
        let ops = ipvs::diff::keep_slots(ops, |service, destination| {
            Some(want.nominal.get(service)?.destinations.get(destination)?.weight)
        });
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        tracing::warn!(operations = ops.len(), "servers are deleted and added again, to be in their order");
        let (failures, _) = self.send(&ops).await?;
        // It is read again, and told to who asks.
        self.have = None;
        Ok(failures)
    }
}

/// Our services that the kernel has out of order, each with its servers as they were added.
fn unsorted<'a>(
    snapshot: &'a Snapshot,
    want: &'a WantedTable,
) -> impl Iterator<Item = (&'a ServiceKey, &'a Vec<DestinationKey>)> {
    snapshot.unsorted.iter().filter(|(key, _)| want.table.contains_key(key))
}
