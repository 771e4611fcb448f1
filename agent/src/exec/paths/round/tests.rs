use super::*;
use netlink_packet_route::route::RouteVia;

fn route(kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.kind = kind;
    message.attributes = attributes;
    message
}

fn path_of(kind: RouteType, attributes: Vec<RouteAttribute>) -> Path {
    path(server(), &route(kind, attributes), "eth0".into())
}

fn server() -> IpAddr {
    "10.64.0.11".parse().unwrap()
}

fn by(gateway: &str) -> RouteAttribute {
    RouteAttribute::Gateway(gateway.parse::<IpAddr>().unwrap().into())
}

#[test]
fn a_route_without_a_gateway_is_straight_and_so_is_one_by_the_address_itself() {
    let straight = Path::Direct { interface: "eth0".into() };
    assert_eq!(path_of(RouteType::Unicast, vec![]), straight);
    assert_eq!(path_of(RouteType::Unicast, vec![by("10.64.0.11")]), straight);
}

#[test]
fn a_gateway_of_either_family_is_told() {
    let through =
        |gateway: &str| Path::Gateway { interface: "eth0".into(), gateway: gateway.parse().unwrap() };
    assert_eq!(path_of(RouteType::Unicast, vec![by("10.64.0.251")]), through("10.64.0.251"));
    let via = RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().unwrap()));
    assert_eq!(path_of(RouteType::Unicast, vec![via]), through("fe80::1"));
}

#[test]
fn what_leads_nowhere_is_told_from_what_could_not_be_looked_up() {
    for errno in [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES, Errno::EINVAL] {
        assert!(matches!(nowhere(errno), Ok(Way { path: Path::Unreachable { .. }, .. })), "{errno}");
    }
    assert!(nowhere(Errno::ENOBUFS).is_err());
    assert!(matches!(path_of(RouteType::BlackHole, vec![]), Path::Unreachable { .. }));
}

#[tokio::test]
async fn the_kernel_tells_that_loopback_addresses_are_this_host() {
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    let round = look(BTreeSet::from([address])).await;
    assert_eq!(round.failure, None);
    assert_eq!(round.ways[&address].path, Path::Local);
    assert!(round.neighbours.is_some());
}
