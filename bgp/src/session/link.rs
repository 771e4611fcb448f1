//! Which link-local address of ours a neighbour on the same link is told (RFC 2545 §3).

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
};

use crate::Prefix;

/// The IPv6 addresses of the network namespace that the thread is in.
const ADDRESSES: &str = "/proc/thread-self/net/if_inet6";

/// An address must not be used: it is tentative, or a duplicate (linux/if_addr.h `IFA_F_TENTATIVE`, `IFA_F_DADFAILED`).
const UNUSABLE: u32 = 0x40 | 0x08;

/// One line of it.
struct Address {
    address: Ipv6Addr,
    interface: u32,
    length: u8,
}

/// Our link-local address on the link of a session between these ends, when its IPv6 next hop is ours on the same link. None
/// over IPv4, which does not tell on which link of IPv6 the neighbour is.
pub(super) fn link_local(local: IpAddr, remote: IpAddr, next_hop: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
    let addresses = fs::read_to_string(ADDRESSES).unwrap_or_default();
    found(&addresses, local, remote, next_hop)
}

fn found(addresses: &str, local: IpAddr, remote: IpAddr, next_hop: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
    let (IpAddr::V6(local), IpAddr::V6(remote)) = (local.to_canonical(), remote.to_canonical()) else {
        return None;
    };
    let all: Vec<_> = addresses.lines().filter_map(Address::read).collect();
    let hop = next_hop.or(Some(local)).filter(|hop| !hop.is_unicast_link_local())?;
    let own = all.iter().find(|one| one.address == hop)?;
    let is_beside =
        |other: &&Address| other.interface == own.interface && other.address.is_unicast_link_local();
    if local.is_unicast_link_local() {
        return all.iter().filter(is_beside).map(|one| one.address).find(|one| *one == local);
    }
    let shares = own.length < 128 && own.prefix()?.contains(Prefix::host(remote.into()));
    all.iter().find(is_beside).map(|one| one.address).filter(|_| shares)
}

impl Address {
    /// Address, interface, length of the prefix, scope and flags in hexadecimal, the interface's name.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let address = Ipv6Addr::from_bits(u128::from_str_radix(words.next()?, 16).ok()?);
        let interface = u32::from_str_radix(words.next()?, 16).ok()?;
        let length = u8::from_str_radix(words.next()?, 16).ok()?;
        let flags = u32::from_str_radix(words.nth(1)?, 16).ok()?;
        (flags & UNUSABLE == 0).then_some(Self { address, interface, length })
    }

    /// The subnet that it is in.
    fn prefix(&self) -> Option<Prefix> {
        let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
        Prefix::new(Ipv6Addr::from_bits(self.address.to_bits() & mask).into(), self.length).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: &str = "\
00000000000000000000000000000001 01 80 10 80 lo
fd000064000000000000000000000001 02 40 00 80 eth0
fe8000000000000000000000000000a1 02 40 20 80 eth0
fd000065000000000000000000000001 03 40 00 80 eth1
fe8000000000000000000000000000b1 03 40 20 c0 eth1
20010db8000000000000000000000010 02 80 00 80 eth0
";

    fn told(local: &str, remote: &str, hop: Option<&str>) -> Option<String> {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let hop = hop.map(|text| text.parse().unwrap());
        found(ADDRESSES, address(local), address(remote), hop).map(|address| address.to_string())
    }

    #[test]
    fn a_neighbour_on_the_next_hops_link_is_told_its_link_local_address() {
        assert_eq!(told("fd00:64::1", "fd00:64::251", None), Some("fe80::a1".into()));
        assert_eq!(told("fd00:64::1", "fd00:64::251", Some("fd00:64::1")), Some("fe80::a1".into()));
        assert_eq!(told("fe80::a1", "fe80::251", Some("fd00:64::1")), Some("fe80::a1".into()));
    }

    #[test]
    fn nobody_else_is_told_one() {
        assert_eq!(told("fd00:64::1", "fd00:99::251", None), None, "the router is not on the link");
        assert_eq!(told("fd00:64::1", "fd00:64::251", Some("fd00:64::2")), None, "the next hop is not ours");
        assert_eq!(told("fd00:64::1", "fd00:64::251", Some("2001:db8::10")), None, "nor on a link: a /128");
        assert_eq!(told("fd00:64::1", "fd00:64::251", Some("fd00:65::1")), None, "it is on another link");
        assert_eq!(
            told("fd00:65::1", "fd00:65::251", None),
            None,
            "the address is not known to be unique yet"
        );
        assert_eq!(told("10.64.0.1", "10.64.0.251", Some("fd00:64::1")), None, "who knows, over IPv4");
        assert_eq!(told("fe80::a1", "fe80::251", None), None, "there is no global next hop");
        assert_eq!(told("::1", "::1", None), None);
    }
}
