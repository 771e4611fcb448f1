//! Announces the wanted routes to the configured routers, and keeps the sessions with nodes, which are told nothing of
//! them: at most one another's routes.

use crate::api::bgp::Looks;
use crate::config::{Bgp, Bmp, Distance, Family, Group, NodeListen, Peer, Secret, TcpAo, Terms};
use crate::core::nodes::{NodePeers, NodeSession, sessions};
use crate::engine::Inbox;
use anyhow::Context;
use bgp::policy::{ExportFilter, Import, MaxPrefixes, Rule, Verdict};
use bgp::rib::Permits;
use bgp::speaker::{BGP_PORT, Refused, Statuses};
use bgp::{
    AoKey, Asn, BmpConfig, BmpStatus, HoldTime, PeerConfig, PeerGroup, RouteSet, SessionKey, Speaker,
    SpeakerConfig,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::watch;

/// How long after a failed connection the next is tried: a balancer without its routers serves nobody.
const CONNECT_RETRY: Duration = Duration::from_secs(2);

/// Nodes that connect from a prefix; a bound on them is one on tasks and memory, for a thousand nodes and some.
const MAX_LISTENED: usize = 2_048;

/// The speaker, and the task that takes what it tells.
#[derive(Debug)]
pub struct Handle {
    speaker: Speaker,
    listener: tokio::task::JoinHandle<()>,
    local_asn: u32,
    router_id: Ipv4Addr,
    /// Tells the core of nodes, where there are any.
    teller: Option<tokio::task::JoinHandle<()>>,
    /// What was wanted last of each kind.
    routers: Neighbours,
    nodes: Neighbours,
}

/// Those that are known one by one, and those that are not.
type Neighbours = (Vec<PeerConfig>, Vec<PeerGroup>);

impl Handle {
    /// Starts a speaker without peers. `restarting`: the kernel went on forwarding while we were away. `nodes`: it is to
    /// learn routes of nodes, which dial as well, and tell this inbox of them.
    ///
    /// # Errors
    /// When the configuration holds a value that BGP cannot carry; the configuration's own checks come first.
    pub fn spawn(bgp: &Bgp, restarting: bool, nodes: Option<&Inbox>) -> anyhow::Result<Self> {
        let asn = Asn::try_from(bgp.local_asn).context("bgp.local_asn")?;
        let is_nowhere = bgp.listen.is_empty() && nodes.is_some();
        let listen = if is_nowhere { everywhere() } else { bgp.listen.clone() };
        let config = SpeakerConfig { restarting, listen, ..SpeakerConfig::new(asn, bgp.router_id) };
        let (speaker, mut events) = Speaker::spawn(config);
        let listener = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                // The library has logged what people need, repetitions left out; this is the whole of it.
                tracing::debug!(?event, "BGP");
            }
        });
        let tell = |inbox: &Inbox| super::nodes::spawn(speaker.learned(), speaker.status(), inbox.clone());
        let teller = nodes.map(tell);
        let (local_asn, router_id) = (bgp.local_asn, bgp.router_id);
        let (routers, nodes) = Default::default();
        Ok(Self { speaker, listener, local_asn, router_id, teller, routers, nodes })
    }

    /// Keeps sessions with exactly the routers of this section, with its settings; a session that neither concerns
    /// goes on.
    pub fn set_peers(&mut self, bgp: &Bgp) {
        let peers = bgp.peers.iter().filter_map(|peer| usable(&peer.name, peer_config(peer, bgp)));
        let groups = bgp.groups.iter().filter_map(|group| usable(&group.name, peer_group(group, bgp)));
        self.routers = (peers.collect(), groups.collect());
        self.set();
        self.speaker.set_bmp(bgp.bmp.as_ref().map(station));
    }

    /// Keeps exactly these sessions with nodes, beside those with routers.
    pub fn set_node_peers(&mut self, peers: Option<&NodePeers>) {
        let own = self.router_id;
        let configs = peers.iter().flat_map(|peers| {
            peers.sessions.iter().filter_map(|(name, one)| usable(name, node_config(name, one, peers, own)))
        });
        let groups = peers.iter().flat_map(|peers| {
            let listened = peers.settings.listen.iter();
            listened.filter_map(|one| usable(&one.prefix.to_string(), node_group(one, peers, own)))
        });
        self.nodes = (configs.collect(), groups.collect());
        self.set();
    }

    fn set(&self) {
        let ((routers, router_groups), (nodes, node_groups)) = (&self.routers, &self.nodes);
        self.speaker.set_groups(router_groups.iter().chain(node_groups).cloned().collect());
        self.speaker.set_peers(routers.iter().chain(nodes).cloned().collect());
    }

    /// Announces exactly these.
    pub fn set_routes(&self, routes: RouteSet) {
        self.speaker.set_routes(routes);
    }

    /// Tells nodes exactly this of one another's routes.
    pub fn set_permits(&self, permits: Permits) {
        self.speaker.set_permits(permits);
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

    /// How it goes with the monitoring station.
    pub fn bmp(&self) -> watch::Receiver<BmpStatus> {
        self.speaker.bmp()
    }

    /// Withdraws what is left, says Cease with this text and closes.
    pub async fn shutdown(self, text: &str) {
        self.teller.iter().for_each(tokio::task::JoinHandle::abort);
        self.speaker.shutdown(text).await;
        self.listener.abort();
    }
}

fn station(bmp: &Bmp) -> BmpConfig {
    BmpConfig {
        station: bmp.station,
        name: crate::host::name(),
        description: concat!("lvsd ", env!("CARGO_PKG_VERSION")).to_owned(),
        statistics: bmp.statistics_interval,
        pre_policy: bmp.pre_policy,
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
    set_terms(&mut config, &peer.terms)?;
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
    set_terms(template, &group.terms)?;
    Ok(config)
}

/// What holds for every neighbour.
fn of_all(config: &mut PeerConfig, bgp: &Bgp) -> anyhow::Result<()> {
    let seconds = u16::try_from(bgp.hold_time.as_secs()).context("bgp.hold_time")?;
    config.hold_time = HoldTime::from_secs(seconds).context("bgp.hold_time")?;
    config.connect_retry = CONNECT_RETRY;
    config.graceful_restart = bgp.graceful_restart;
    config.long_lived = bgp.long_lived;
    Ok(())
}

/// How this one is talked to.
fn set_terms(config: &mut PeerConfig, terms: &Terms) -> anyhow::Result<()> {
    config.families = terms.families.iter().map(|family| family_of(*family)).collect();
    config.next_hop_v4 = terms.next_hop_ipv4;
    config.next_hop_v6 = terms.next_hop_ipv6;
    config.extended_next_hop = terms.extended_next_hop;
    config.link_local_next_hop = terms.link_local_next_hop;
    config.graceful_notification = terms.graceful_notification;
    config.role = terms.role;
    config.import.clone_from(&terms.import);
    config.export.clone_from(&terms.export);
    config.overrides = terms.overrides;
    set_distance(config, terms.distance);
    config.key = key(terms.password.as_ref(), terms.tcp_ao.as_ref())?;
    config.bfd = terms.bfd;
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
fn key(password: Option<&Secret>, tcp_ao: Option<&TcpAo>) -> anyhow::Result<Option<SessionKey>> {
    let known = |secret: &Secret| secret.password().cloned().context("its secret is known by a mark only");
    Ok(match (password, tcp_ao) {
        (Some(password), _) => Some(SessionKey::Md5(known(password)?)),
        (None, Some(TcpAo { key_id, algorithm, secret })) => {
            Some(SessionKey::Ao(AoKey { id: *key_id, algorithm: *algorithm, secret: known(secret)? }))
        }
        (None, None) => None,
    })
}

/// Every address of this host.
fn everywhere() -> Vec<SocketAddr> {
    let hosts: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    hosts.map(|host| SocketAddr::new(host, BGP_PORT)).into()
}

fn node_group(listen: &NodeListen, peers: &NodePeers, router_id: Ipv4Addr) -> anyhow::Result<PeerGroup> {
    let address = listen.prefix.address();
    let session = NodeSession { node: String::new(), address, asn: listen.asn, port: BGP_PORT };
    let name = format!("{}{}", sessions::PREFIX, listen.prefix);
    let template = node_config(&name, &session, peers, router_id)?;
    let asn = Asn::try_from(listen.asn).context("asn")?;
    Ok(PeerGroup { limit: MAX_LISTENED, template, ..PeerGroup::new(name, listen.prefix, asn) })
}

/// A node is told nothing of ours but the end of it, and everything that it tells is heard: what is taken of it, and what
/// other nodes are told of it, the core decides, which can say why, and whose rules change without a session's end.
fn node_config(
    name: &str,
    session: &NodeSession,
    peers: &NodePeers,
    router_id: Ipv4Addr,
) -> anyhow::Result<PeerConfig> {
    let settings = &peers.settings;
    let asn = Asn::try_from(session.asn).context("asn")?;
    let seconds = u16::try_from(settings.hold_time.as_secs()).context("nodes.hold_time")?;
    let mut config = PeerConfig::new(name, session.address, asn);
    config.port = session.port;
    config.local_address = match session.address {
        IpAddr::V4(_) => settings.local_ipv4.map(IpAddr::from),
        IpAddr::V6(_) => settings.local_ipv6.map(IpAddr::from),
    };
    config.hold_time = HoldTime::from_secs(seconds).context("nodes.hold_time")?;
    config.connect_retry = CONNECT_RETRY;
    config.families = [family_of(Family::of(session.address))].into();
    config.multihop = Some(settings.multihop);
    config.key = key(settings.password.as_ref(), None)?;
    let limit = usize::try_from(peers.max_prefixes).unwrap_or(usize::MAX);
    config.import = Some(Import {
        max_prefixes: MaxPrefixes { warn: limit - limit / 5, limit, hold_off: settings.hold_off },
        add_path: true,
        ..Import::new(vec![Rule { verdict: Verdict::ACCEPT, ..Rule::default() }])
    });
    config.export = ExportFilter::Only(Vec::new());
    config.cluster_id = settings.reflector.then(|| settings.cluster_id.unwrap_or(router_id));
    Ok(config)
}

fn family_of(family: Family) -> bgp::Family {
    match family {
        Family::Ipv4 => bgp::Family::Ipv4,
        Family::Ipv6 => bgp::Family::Ipv6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const GROUP: &str = r#"
[bgp]
local_asn = 64600
router_id = "10.64.0.1"
listen = ["10.64.0.1"]

[[bgp.group]]
name = "routers"
prefixes = ["10.64.0.248/29"]
asns = [65001]
med = 50
prepend = 1
max_prefixes = 40
bfd = { interval = "100ms", multiplier = 5 }

[[bgp.group.import]]
action = "accept"

[[bgp.group.export]]
action = "reject"
"#;

    #[test]
    fn each_neighbour_of_a_group_is_dealt_with_as_the_group_says() {
        let config = crate::config::parse(&[(PathBuf::from("lvsd.toml"), GROUP.to_owned())]);
        let section = config.expect("a configuration").bgp.expect("there is a [bgp]");
        let template = peer_group(&section.groups[0], &section).unwrap().template;
        assert_eq!(template.overrides, bgp::policy::Overrides { med: Some(50), prepend: Some(1) });
        assert_eq!(
            template.import.map(|import| (import.rules.len(), import.max_prefixes.limit)),
            Some((1, 40))
        );
        let told_nothing = bgp::policy::ExportRule::default();
        assert_eq!(template.export, ExportFilter::Rules(vec![told_nothing]));
        let interval = template.bfd.map(|bfd| bfd.timing);
        assert_eq!(interval, bgp::bfd::Timing::new(std::time::Duration::from_millis(100), 5).ok());
    }
}
