//! Announces the wanted routes to the configured routers.

use crate::api::bgp::Looks;
use crate::config::{Bgp, Family, Peer};
use anyhow::Context;
use bgp::speaker::Statuses;
use bgp::{Asn, HoldTime, PeerConfig, RouteSet, Speaker, SpeakerConfig};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::sync::watch;

/// The speaker, and the task that takes what it tells.
#[derive(Debug)]
pub struct Handle {
    speaker: Speaker,
    listener: tokio::task::JoinHandle<()>,
    local_asn: u32,
    router_id: Ipv4Addr,
}

impl Handle {
    /// Starts a speaker without peers. `restarting`: the kernel went on forwarding while we were away.
    ///
    /// # Errors
    /// When the configuration holds a value that BGP cannot carry; the configuration's own checks come first.
    pub fn spawn(bgp: &Bgp, restarting: bool) -> anyhow::Result<Self> {
        let asn = Asn::try_from(bgp.local_asn).context("bgp.local_asn")?;
        let config = SpeakerConfig { restarting, ..SpeakerConfig::new(asn, bgp.router_id) };
        let (speaker, mut events) = Speaker::spawn(config);
        let listener = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                // The library has logged what people need, repetitions left out; this is the whole of it.
                tracing::debug!(?event, "BGP");
            }
        });
        Ok(Self { speaker, listener, local_asn: bgp.local_asn, router_id: bgp.router_id })
    }

    /// Keeps sessions with exactly the routers of this section, with its settings; a session that neither concerns
    /// goes on.
    pub fn set_peers(&self, bgp: &Bgp) {
        let peers = bgp.peers.iter().filter_map(|peer| match peer_config(peer, bgp) {
            Ok(config) => Some(config),
            Err(error) => {
                tracing::error!(peer = peer.name, error = format!("{error:#}"), "the peer cannot be used");
                None
            }
        });
        self.speaker.set_peers(peers.collect());
    }

    /// Announces exactly these.
    pub fn set_routes(&self, routes: RouteSet) {
        self.speaker.set_routes(routes);
    }

    /// Every peer's status.
    pub fn status(&self) -> watch::Receiver<Statuses> {
        self.speaker.status()
    }

    /// Where it can be looked at.
    pub fn looks(&self) -> Looks {
        Looks {
            local_asn: self.local_asn,
            router_id: self.router_id,
            peers: self.speaker.status(),
            learned: self.speaker.learned(),
            asker: self.speaker.asker(),
        }
    }

    /// Withdraws what is left, says Cease with this text and closes.
    pub async fn shutdown(self, text: &str) {
        self.speaker.shutdown(text).await;
        self.listener.abort();
    }
}

fn peer_config(peer: &Peer, bgp: &Bgp) -> anyhow::Result<PeerConfig> {
    let asn = Asn::try_from(peer.asn).context("asn")?;
    let seconds = u16::try_from(bgp.hold_time.as_secs()).context("bgp.hold_time")?;
    let mut config = PeerConfig::new(&peer.name, peer.address, asn);
    config.port = peer.port;
    config.local_address = peer.local_address;
    config.hold_time = HoldTime::from_secs(seconds).context("bgp.hold_time")?;
    config.connect_retry = CONNECT_RETRY;
    config.families = peer.families.iter().map(|family| family_of(*family)).collect();
    config.next_hop_v4 = peer.next_hop_ipv4;
    config.next_hop_v6 = peer.next_hop_ipv6;
    config.multihop = peer.multihop;
    config.import.clone_from(&peer.import);
    config.export.clone_from(&peer.export);
    config.overrides = peer.overrides;
    config.graceful_restart = bgp.graceful_restart;
    Ok(config)
}

/// How long after a failed connection the next is tried: a balancer without its routers serves nobody.
const CONNECT_RETRY: Duration = Duration::from_secs(2);

fn family_of(family: Family) -> bgp::Family {
    match family {
        Family::Ipv4 => bgp::Family::Ipv4,
        Family::Ipv6 => bgp::Family::Ipv6,
    }
}
