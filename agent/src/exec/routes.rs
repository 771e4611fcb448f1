//! Announces the wanted routes to the configured routers.

use crate::api::bgp::Looks;
use crate::config::{Bgp, Distance, Family, Group, Peer, Secret};
use anyhow::Context;
use bgp::speaker::{Refused, Statuses};
use bgp::{Asn, HoldTime, Password, PeerConfig, PeerGroup, RouteSet, Speaker, SpeakerConfig};
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
        let listen = bgp.listen.clone();
        let config = SpeakerConfig { restarting, listen, ..SpeakerConfig::new(asn, bgp.router_id) };
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
        let peers = bgp.peers.iter().filter_map(|peer| usable(&peer.name, peer_config(peer, bgp)));
        let groups = bgp.groups.iter().filter_map(|group| usable(&group.name, peer_group(group, bgp)));
        let (peers, groups) = (peers.collect(), groups.collect());
        self.speaker.set_groups(groups);
        self.speaker.set_peers(peers);
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

    /// How many connections were refused, by reason.
    pub fn refused(&self) -> watch::Receiver<Refused> {
        self.speaker.refused()
    }

    /// Withdraws what is left, says Cease with this text and closes.
    pub async fn shutdown(self, text: &str) {
        self.speaker.shutdown(text).await;
        self.listener.abort();
    }
}

fn usable<T>(peer: &str, config: anyhow::Result<T>) -> Option<T> {
    let said = |error: &anyhow::Error| {
        tracing::error!(peer, error = format!("{error:#}"), "the peer cannot be used");
    };
    config.inspect_err(said).ok()
}

fn peer_config(peer: &Peer, bgp: &Bgp) -> anyhow::Result<PeerConfig> {
    let asn = Asn::try_from(peer.asn).context("asn")?;
    let mut config = PeerConfig::new(&peer.name, peer.address, asn);
    of_all(&mut config, bgp)?;
    config.port = peer.port;
    config.local_address = peer.local_address;
    config.passive = peer.passive;
    config.families = peer.families.iter().map(|family| family_of(*family)).collect();
    config.next_hop_v4 = peer.next_hop_ipv4;
    config.next_hop_v6 = peer.next_hop_ipv6;
    config.import.clone_from(&peer.import);
    config.export.clone_from(&peer.export);
    config.overrides = peer.overrides;
    set_distance(&mut config, peer.distance);
    config.password = password(peer.password.as_ref())?;
    config.bfd = peer.bfd;
    Ok(config)
}

fn peer_group(group: &Group, bgp: &Bgp) -> anyhow::Result<PeerGroup> {
    let (prefix, asn) = (group.prefixes.first().context("prefixes")?, group.asns.first().context("asns")?);
    let mut config = PeerGroup::new(&group.name, *prefix, asn);
    config.prefixes.clone_from(&group.prefixes);
    config.asns = group.asns.clone();
    config.limit = group.limit;
    config.linger = group.linger;
    let template = &mut config.template;
    of_all(template, bgp)?;
    template.families = group.families.iter().map(|family| family_of(*family)).collect();
    template.next_hop_v4 = group.next_hop_ipv4;
    template.next_hop_v6 = group.next_hop_ipv6;
    set_distance(template, group.distance);
    template.password = password(group.password.as_ref())?;
    Ok(config)
}

/// What holds for every neighbour.
fn of_all(config: &mut PeerConfig, bgp: &Bgp) -> anyhow::Result<()> {
    let seconds = u16::try_from(bgp.hold_time.as_secs()).context("bgp.hold_time")?;
    config.hold_time = HoldTime::from_secs(seconds).context("bgp.hold_time")?;
    config.connect_retry = CONNECT_RETRY;
    config.graceful_restart = bgp.graceful_restart;
    Ok(())
}

fn set_distance(config: &mut PeerConfig, distance: Distance) {
    (config.gtsm, config.multihop) = match distance {
        Distance::Usual => (false, None),
        Distance::Ttl(ttl) => (false, Some(ttl)),
        Distance::Within(hops) => (true, Some(hops)),
    };
}

/// Rather no session than one that is not signed.
fn password(secret: Option<&Secret>) -> anyhow::Result<Option<Password>> {
    let known = |secret: &Secret| secret.password().cloned().context("its password is known by a mark only");
    secret.map(known).transpose()
}

/// How long after a failed connection the next is tried: a balancer without its routers serves nobody.
const CONNECT_RETRY: Duration = Duration::from_secs(2);

fn family_of(family: Family) -> bgp::Family {
    match family {
        Family::Ipv4 => bgp::Family::Ipv4,
        Family::Ipv6 => bgp::Family::Ipv6,
    }
}
