//! How the daemon is asked and told: the control socket, the same over TLS, and HTTP for monitoring.

pub mod bgp;
pub mod control;
pub mod http;
mod live;
pub mod messages;
mod page;
mod pybal;
pub mod remote;
pub mod traffic;

use crate::core::action::Refusal;
use crate::core::nodes::sessions;
use crate::core::nodes::view::NodesView;
use crate::core::numbers::Numbers;
use crate::core::pybal::Which;
use crate::core::view::{Asked, BfdView, PeerView, ProbesView, Status, Why};
use crate::engine::{Gone, Inbox};
use crate::exec::checks::Watcher;
use crate::exec::fleet;
use crate::logging::Log;
use crate::metrics::{self, Metrics, Page, Pybal, Sources};
use crate::reload::Reloader;
use ::bgp::speaker::{Refused, Statuses};
use std::sync::Arc;
use tokio::sync::watch;

/// What every handler needs.
#[derive(Clone, Debug)]
pub struct Context {
    /// The engine.
    pub inbox: Inbox,
    /// The reloader.
    pub reloader: Arc<Reloader>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The BGP peers, where BGP is configured.
    pub peers: Option<watch::Receiver<Statuses>>,
    /// The BGP speaker in detail, where BGP is configured.
    pub bgp: Option<bgp::Looks>,
    /// BGP connections that nobody took, where BGP is configured.
    pub refused: Option<watch::Receiver<Refused>>,
    /// How it goes with the monitoring station; none where BGP is not configured.
    pub bmp: Option<watch::Receiver<::bgp::BmpStatus>>,
    /// The checks.
    pub checks: Watcher,
    /// The other balancers, where a fleet is configured.
    pub fleet: Option<Arc<fleet::Handle>>,
    /// The probe namespace, where one is configured.
    pub probes: Option<watch::Receiver<ProbesView>>,
    /// The process's log.
    pub log: Log,
    /// The kernel, for what it has counted: a connection of its own, so that nothing that is programmed waits for it.
    pub kernel: Option<ipvs::Ipvs>,
}

impl Context {
    /// The status of what is asked, the BGP peers and the probe namespace included. The inner error names near services.
    async fn status(&self, asked: Asked) -> Result<Result<Status, String>, Gone> {
        let filled = |status| Status { peers: self.peers(), probes: self.probes(), ..status };
        Ok(self.inbox.status(asked).await?.map(filled))
    }

    fn probes(&self) -> Option<ProbesView> {
        self.probes.as_ref().map(|probes| probes.borrow().clone())
    }

    /// Why a host is in or out, with what is known of its checks; or why a service is not served. The inner error names near hosts.
    async fn why(&self, host: String) -> Result<Result<Why, Refusal>, Gone> {
        let mut why = self.inbox.why(host).await?;
        let backends =
            why.iter_mut().flat_map(|why| &mut why.services).flat_map(|service| &mut service.backends);
        if let Some(snapshot) = self.checks.snapshot().await {
            for view in backends.flat_map(|backend| &mut backend.checks) {
                if let Some(status) = view.check().and_then(|check| snapshot.checks.get(check)) {
                    view.fill(status);
                }
            }
        }
        Ok(why)
    }

    fn peers(&self) -> Vec<PeerView> {
        let Some(peers) = &self.peers else { return Vec::new() };
        let view = |(name, peer): (&String, &::bgp::PeerStatus)| PeerView {
            name: name.clone(),
            address: peer.session.as_ref().map(|session| session.remote.ip().to_string()),
            state: peer.state.to_string(),
            since: peer.since.into(),
            announced: peer.announced.values().sum(),
            in_sync: peer.in_sync,
            withheld: peer.withheld.iter().map(|withheld| withheld.reason.clone()).collect(),
            malformed: peer.last_malformed.clone(),
            last_error: peer.last_error.clone(),
            bfd: peer.bfd.as_ref().map(bfd),
        };
        let routers = |(name, _): &(&String, &::bgp::PeerStatus)| !name.starts_with(sessions::PREFIX);
        peers.borrow().iter().filter(routers).map(view).collect()
    }

    /// The nodes, with what the speaker knows of their sessions; none without `[nodes]`.
    async fn nodes(&self) -> Result<Option<NodesView>, Gone> {
        let mut view = self.inbox.nodes().await?;
        if let (Some(view), Some(peers)) = (&mut view, &self.peers) {
            let peers = peers.borrow();
            for session in view.nodes.iter_mut().flat_map(|node| &mut node.sessions) {
                if let Some(status) = peers.get(&session.name) {
                    session.state = status.state.to_string();
                    session.since = Some(status.since.into());
                    session.last_error.clone_from(&status.last_error);
                    session.stale = status.stale;
                    session.told = status.announced.values().sum();
                }
            }
        }
        Ok(view)
    }

    /// What the kernel has counted. A page without it is better than none.
    async fn counted(&self) -> Option<ipvs::Snapshot> {
        let read = self.kernel.as_ref()?.dump().await;
        read.inspect_err(|error| tracing::warn!(%error, "the metrics are without the kernel's counters")).ok()
    }

    /// Everything in numbers, with what the kernel has counted.
    async fn numbers(&self) -> Result<Numbers, Gone> {
        let mut numbers = self.inbox.numbers().await?;
        if let Some(read) = self.counted().await {
            metrics::count_traffic(&mut numbers, &read);
        }
        Ok(numbers)
    }

    /// The metrics page.
    async fn metrics(&self) -> anyhow::Result<Page> {
        let numbers = self.numbers().await?;
        // Nodes come and go by the hundred; they are in the core's numbers, counted.
        let routers = |statuses: &Statuses| {
            let all = statuses.iter().filter(|(name, _)| !name.starts_with(sessions::PREFIX));
            all.map(|(name, status)| (name.clone(), status.clone())).collect()
        };
        let peers: Statuses = self.peers.as_ref().map(|peers| routers(&peers.borrow())).unwrap_or_default();
        let refused = self.refused.as_ref().map(|refused| refused.borrow().clone()).unwrap_or_default();
        let bmp = self.bmp.as_ref().map(|bmp| bmp.borrow().clone()).unwrap_or_default();
        let (checks, probes) = (self.checks.snapshot().await, self.probes());
        let (checks, probes) = (checks.as_ref(), probes.as_ref());
        let fleet = self.fleet.as_ref().map(|fleet| fleet.agreement());
        let sources = Sources { peers: &peers, refused: &refused, bmp: &bmp, checks, probes, fleet };
        let page = self.metrics.page(numbers, &sources)?;
        let bgp = self.bgp.as_ref().map(|looks| (looks.local_asn, &peers));
        let pools = self.inbox.pools(Which::Measured).await?;
        Ok(page.followed_by(pools.map(|pools| Pybal::new(pools, checks, bgp))))
    }
}

fn bfd(path: &::bgp::bfd::Status) -> BfdView {
    BfdView {
        state: path.state.to_string(),
        since: path.since.into(),
        remote_state: path.remote_state.to_string(),
        diagnostic: path.diagnostic.to_string(),
        detection_ms: path.detection_time.and_then(|time| u64::try_from(time.as_millis()).ok()),
        failures: path.failures,
        last_error: path.last_error.clone(),
    }
}
