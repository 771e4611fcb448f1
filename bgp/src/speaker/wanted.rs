//! What is to run: the peers and groups that can be, and what is wrong with the others.

use std::{collections::BTreeMap, net::IpAddr};

use super::{PeerConfig, PeerGroup, listeners::Keys};
use crate::Prefix;

/// What cannot be run: its name, and why.
pub(super) type NotRun = (String, String);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    peers: BTreeMap<String, PeerConfig>,
    groups: BTreeMap<String, PeerGroup>,
}

impl Wanted {
    /// Takes what can be run; a second peer or group with the same name, address or prefix is none of it.
    pub(super) fn of(peers: Vec<PeerConfig>, groups: Vec<PeerGroup>) -> (Self, Vec<NotRun>) {
        let (mut wanted, mut not_run) = (Self::default(), Vec::new());
        for group in groups {
            match wanted.judge_group(&group) {
                Ok(()) => drop(wanted.groups.insert(group.name.clone(), group)),
                Err(reason) => not_run.push((group.name, reason)),
            }
        }
        for peer in peers {
            match wanted.judge_peer(&peer) {
                Ok(()) => drop(wanted.peers.insert(peer.name.clone(), peer)),
                Err(reason) => not_run.push((peer.name, reason)),
            }
        }
        (wanted, not_run)
    }

    fn judge_group(&self, group: &PeerGroup) -> Result<(), String> {
        group.validate().map_err(|error| error.to_string())?;
        if self.groups.contains_key(&group.name) {
            return Err("another group has the same name".into());
        }
        for (other, prefix) in
            self.groups.values().flat_map(|other| other.prefixes.iter().map(move |prefix| (other, *prefix)))
        {
            for own in &group.prefixes {
                if *own == prefix {
                    return Err(format!("its prefix {own} is that of group {}", other.name));
                }
                let (inner, outer) = if prefix.contains(*own) { (group, other) } else { (other, group) };
                if (prefix.contains(*own) || own.contains(prefix)) && !is_signed(inner) && is_signed(outer) {
                    let (inner, outer) = (&inner.name, &outer.name);
                    return Err(format!(
                        "group {inner} is inside group {outer}, whose key holds for it too: give it one"
                    ));
                }
            }
        }
        Ok(())
    }

    fn judge_peer(&self, peer: &PeerConfig) -> Result<(), String> {
        peer.validate().map_err(|error| error.to_string())?;
        if self.peers.contains_key(&peer.name) {
            return Err("another peer has the same name".into());
        }
        if let Some(other) = self.peers.values().find(|other| other.address == peer.address) {
            return Err(format!("its address {} is that of peer {}", peer.address, other.name));
        }
        match self.group_of(peer.address).filter(|group| is_signed(group) && peer.key.is_none()) {
            Some(group) => Err(format!(
                "its address {} is inside group {}, whose key holds for it too: give it one",
                peer.address, group.name
            )),
            None => Ok(()),
        }
    }

    /// The configured peers by name.
    pub(super) const fn peers(&self) -> &BTreeMap<String, PeerConfig> {
        &self.peers
    }

    /// The group that takes a neighbour: the one with the longest prefix.
    pub(super) fn group_of(&self, address: IpAddr) -> Option<&PeerGroup> {
        let length = |group: &&PeerGroup| group.longest_match(address);
        self.groups.values().filter(|group| length(group).is_some()).max_by_key(length)
    }

    /// What is wanted of a peer that runs, as a neighbour of `group` if it is one.
    pub(super) fn of_running(&self, peer: &PeerConfig, group: Option<&str>) -> Option<PeerConfig> {
        let Some(name) = group else { return self.peers.get(&peer.name).cloned() };
        let is_configured = self.peers.values().any(|other| other.address == peer.address);
        let group = self.group_of(peer.address).filter(|group| group.name == name && !is_configured)?;
        Some(group.member(peer.address))
    }

    /// The keys of those who may dial.
    pub(super) fn keys(&self) -> Keys {
        let of_group = |group: &PeerGroup| {
            let key = group.template.key.clone();
            group.prefixes.clone().into_iter().filter_map(move |prefix| Some((prefix, key.clone()?)))
        };
        let of_peer = |peer: &PeerConfig| Some((Prefix::host(peer.address), peer.key.clone()?));
        let groups = self.groups.values().flat_map(of_group);
        groups.chain(self.peers.values().filter_map(of_peer)).collect()
    }
}

const fn is_signed(group: &PeerGroup) -> bool {
    group.template.key.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Asn, Password, SessionKey};

    fn asn() -> Asn {
        Asn::new(65_001).unwrap()
    }

    fn group(name: &str, prefix: &str, password: Option<&str>) -> PeerGroup {
        let mut group = PeerGroup::new(name, prefix.parse().unwrap(), asn());
        group.template.key = password.map(|text| SessionKey::Md5(Password::new(text).unwrap()));
        group
    }

    fn peer(name: &str, address: &str, password: Option<&str>) -> PeerConfig {
        let mut peer = PeerConfig::new(name, address.parse().unwrap(), asn());
        peer.key = password.map(|text| SessionKey::Md5(Password::new(text).unwrap()));
        peer
    }

    #[test]
    fn of_two_groups_the_one_with_the_longer_prefix_takes_a_neighbour() {
        let groups = vec![group("wide", "10.0.0.0/8", None), group("narrow", "10.64.0.0/16", None)];
        let (wanted, not_run) = Wanted::of(Vec::new(), groups);
        assert_eq!(not_run, []);
        let name = |address: &str| wanted.group_of(address.parse().unwrap()).map(|group| group.name.as_str());
        assert_eq!(name("10.64.0.1"), Some("narrow"));
        assert_eq!((name("10.65.0.1"), name("192.0.2.1"), name("a40::1")), (Some("wide"), None, None));
    }

    #[test]
    fn what_a_groups_password_would_hold_for_unasked_is_not_run() {
        let groups = vec![
            group("nodes", "10.64.0.0/16", Some("x")),
            group("inner", "10.64.1.0/24", None),
            group("same", "10.64.0.0/16", Some("x")),
            group("signed", "10.64.2.0/24", Some("y")),
        ];
        let peers = vec![
            peer("plain", "10.64.0.5", None),
            peer("own", "10.64.0.6", Some("z")),
            peer("out", "10.65.0.1", None),
        ];
        let (wanted, not_run) = Wanted::of(peers, groups);
        let names: Vec<_> = not_run.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["inner", "same", "plain"]);
        assert!(not_run[2].1.contains("inside group nodes, whose key holds"), "{}", not_run[2].1);
        let keys: Vec<_> = wanted.keys().keys().map(ToString::to_string).collect();
        assert_eq!(keys, ["10.64.0.0/16", "10.64.0.6/32", "10.64.2.0/24"]);
    }

    #[test]
    fn a_neighbour_of_a_group_is_not_wanted_once_a_peer_has_its_address() {
        let nodes = group("nodes", "10.64.0.0/16", None);
        let member = nodes.member("10.64.0.5".parse().unwrap());
        assert_eq!((member.name.as_str(), member.passive), ("nodes/10.64.0.5", true));
        let (wanted, _) = Wanted::of(Vec::new(), vec![nodes.clone()]);
        assert_eq!(wanted.of_running(&member, Some("nodes")), Some(member.clone()));
        let (wanted, _) = Wanted::of(vec![peer("one", "10.64.0.5", None)], vec![nodes]);
        assert_eq!(wanted.of_running(&member, Some("nodes")), None);
    }
}
