//! How packets get to a server from the probe namespace (pure).

use super::Server;
use crate::config::{Network, Segment};
use std::net::IpAddr;

/// The way to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way<'c> {
    /// The segment that it begins in.
    pub segment: &'c Segment,
    /// The namespace's own address there.
    pub source: IpAddr,
}

/// The way to a server by the segments that are configured: into the segment that it is in. One that is reached by a
/// tunnel may also be behind a segment's gateway.
///
/// # Errors
/// There is none; the reason and what to configure.
pub fn way<'c>(server: &Server, segments: &'c [Segment]) -> Result<Way<'c>, String> {
    let near = segments.iter().flat_map(|segment| segment.addresses.iter().map(move |own| (segment, own)));
    let near = near.filter(|(_, own)| own.contains(server.address)).max_by_key(|(_, own)| own.length);
    if let Some((segment, own)) = near {
        return Ok(Way { segment, source: own.address });
    }
    let is_alike = |address: IpAddr| address.is_ipv4() == server.address.is_ipv4();
    if server.encapsulation.is_some() {
        let far = segments.iter().find_map(|segment| {
            let gateway = segment.gateways.iter().find(|gateway| is_alike(**gateway))?;
            let own = segment.addresses.iter().find(|own| own.contains(*gateway))?;
            Some(Way { segment, source: own.address })
        });
        return far.ok_or_else(|| {
            format!(
                "{} is in none of the networks of [[probes.segment]] ({}), nor has one of them a gateway",
                server.address,
                listed(segments)
            )
        });
    }
    Err(format!("{} is in none of the networks of [[probes.segment]] ({})", server.address, listed(segments)))
}

fn listed(segments: &[Segment]) -> String {
    let networks = segments.iter().flat_map(|segment| &segment.addresses);
    networks.map(Network::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use health::Encapsulation;

    fn segment(interface: &str, addresses: &[&str], gateways: &[&str]) -> Segment {
        Segment {
            interface: interface.into(),
            addresses: addresses.iter().map(|text| text.parse().expect("a network")).collect(),
            gateways: gateways.iter().map(|text| text.parse().expect("an address")).collect(),
        }
    }

    fn server(address: &str, encapsulation: Option<Encapsulation>) -> Server {
        Server { address: address.parse().expect("an address"), encapsulation }
    }

    #[test]
    fn the_narrowest_network_that_a_server_is_in_is_its_segment() {
        let segments = [
            segment("eth0", &["10.64.0.201/16", "fd00:64::201/64"], &[]),
            segment("eth1", &["10.64.5.201/24"], &[]),
        ];
        for (address, interface, source) in [
            ("10.64.0.11", "eth0", "10.64.0.201"),
            ("10.64.5.11", "eth1", "10.64.5.201"),
            ("fd00:64::11", "eth0", "fd00:64::201"),
        ] {
            let server = server(address, None);
            let way = way(&server, &segments).expect("a way");
            assert_eq!((way.segment.interface.as_str(), way.source.to_string()), (interface, source.into()));
        }
    }

    #[test]
    fn only_a_tunnel_goes_through_a_gateway() {
        let segments = [segment("eth0", &["10.64.0.201/24", "fd00:64::201/64"], &["10.64.0.251"])];
        let error = way(&server("10.99.0.1", None), &segments).expect_err("no way");
        assert_eq!(
            error,
            "10.99.0.1 is in none of the networks of [[probes.segment]] (10.64.0.201/24, fd00:64::201/64)"
        );
        let tunnel = server("10.99.0.1", Some(Encapsulation::Ipip));
        assert_eq!(way(&tunnel, &segments).map(|way| way.source.to_string()), Ok("10.64.0.201".into()));
        let error = way(&server("fd99::1", Some(Encapsulation::Ipip)), &segments).expect_err("no gateway");
        assert!(error.ends_with("nor has one of them a gateway"), "{error}");
    }
}
