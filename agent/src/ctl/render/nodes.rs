//! `lvsctl nodes` and `lvsctl routes`.

use super::table::Table;
use super::{Paint, ago, line};
use crate::core::nodes::view::{NodeSessionView, NodesView, RouteView};

/// How a session that stands is named.
const ESTABLISHED: &str = "Established";

/// `lvsctl nodes`.
pub fn nodes(view: &NodesView, paint: Paint) -> String {
    let mut text = String::new();
    head(&mut text, view, paint);
    let heading = ["NODE", "SESSION", "STATE", "SINCE", "LEARNED", "TOLD", "BLOCKS", "ROUTES"];
    let mut table = Table::new(paint, heading).only_filled();
    for node in &view.nodes {
        let counts = [node.blocks.len().to_string(), node.routes.to_string()];
        let mut first = Some((node.name.clone(), counts));
        for session in &node.sessions {
            let (name, [blocks, routes]) = first.take().unwrap_or_default();
            let (state, since) = (state(session, paint), session.since.map(ago).unwrap_or_default());
            let address = session.address.to_string();
            // Only a reflector tells nodes anything.
            let told = view.reflector.map(|_| session.told.to_string()).unwrap_or_default();
            table.row([name, address, state, since, learned(session), told, blocks, routes]);
        }
        if let Some((name, [blocks, routes])) = first {
            let none = String::new;
            table.row([name, "none".into(), none(), none(), none(), none(), blocks, routes]);
        }
    }
    if !view.nodes.is_empty() {
        text.push('\n');
        text.push_str(&table.to_string());
    }
    // Texts of any length have lines of their own: the table fits a terminal.
    for session in view.nodes.iter().flat_map(|node| &node.sessions) {
        if let Some(error) = session.last_error.as_ref().filter(|_| session.state != ESTABLISHED) {
            line(&mut text, format_args!("{} {}: {error}", paint.odd("!"), session.name));
        }
    }
    let problems =
        view.nodes.iter().flat_map(|node| node.problems.iter().map(move |problem| (&node.name, problem)));
    for (node, problem) in problems {
        line(&mut text, format_args!("{} {node}: {problem}", paint.odd("!")));
    }
    text
}

fn head(text: &mut String, view: &NodesView, paint: Paint) {
    let source = view
        .source
        .as_ref()
        .map_or_else(|| "the configuration".into(), |file| format!("{file} and the configuration"));
    line(
        text,
        format_args!(
            "{} nodes, from {source}\n{} routes are taken, {} refused, {} in the kernel",
            view.nodes.len(),
            view.accepted,
            view.refused,
            view.installed
        ),
    );
    if !view.pools.is_empty() {
        line(text, format_args!("pods are in {}", view.pools.join(", ")));
    }
    if let Some(cluster_id) = view.reflector {
        line(
            text,
            format_args!("they are told one another's routes: this is their reflector, cluster {cluster_id}"),
        );
    }
    if let Some(waiting) = &view.waiting {
        line(text, format_args!("{} {waiting}", paint.odd("!")));
    }
    if let Some(error) = &view.source_error {
        line(text, format_args!("{} the cluster as it was known goes on: {error}", paint.bad("!")));
    }
    for odd in &view.peering {
        line(text, format_args!("{} {odd}", paint.odd("!")));
    }
    for alarm in &view.alarms {
        line(text, format_args!("{} {alarm}", paint.bad("!")));
    }
    for failure in &view.failures {
        line(text, format_args!("{} the kernel's routes: {failure}", paint.bad("!")));
    }
}

fn state(session: &NodeSessionView, paint: Paint) -> String {
    if session.state == ESTABLISHED { paint.good(&session.state) } else { paint.bad(&session.state) }
}

fn learned(session: &NodeSessionView) -> String {
    match session.stale {
        0 => session.learned.to_string(),
        stale if stale == session.learned => format!("{stale} stale"),
        stale => format!("{} ({stale} stale)", session.learned),
    }
}

/// `lvsctl routes`.
pub fn routes(routes: &[RouteView], paint: Paint) -> String {
    if routes.is_empty() {
        return "no such route\n".into();
    }
    let mut table = Table::new(paint, ["PREFIX", "STATE", "NEXT HOP", "NODE", "FROM"]);
    for route in routes {
        let state = match (route.taken, &route.not_installed, &route.reason) {
            (true, None, None) => paint.good("taken"),
            (true, None, Some(_)) => paint.odd("taken"),
            (true, Some(_), _) => paint.bad("not in kernel"),
            (false, _, _) => paint.bad("refused"),
        };
        let why: Vec<&str> =
            [&route.not_installed, &route.reason].into_iter().flatten().map(String::as_str).collect();
        table.row([
            route.prefix.to_string(),
            state,
            route.next_hop.map(|hop| hop.to_string()).unwrap_or_default(),
            route.node.clone().unwrap_or_default(),
            route.from.clone(),
        ]);
        if !why.is_empty() {
            table.beneath(format!("  {}", why.join("; ")));
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BlockCheck, Family, NodeMode, NodeRoutes};
    use crate::core::Timestamp;
    use crate::core::nodes::view::NodeView;

    const PLAIN: Paint = Paint::new(false);

    fn session(node: &str, address: &str) -> NodeSessionView {
        let address: std::net::IpAddr = address.parse().unwrap();
        NodeSessionView {
            name: format!("node/{node}/{}", Family::of(address)),
            family: Family::of(address),
            address,
            state: "Established".into(),
            since: None,
            last_error: None,
            learned: 3,
            stale: 0,
            told: 0,
        }
    }

    fn node(name: &str, sessions: Vec<NodeSessionView>) -> NodeView {
        NodeView {
            name: name.into(),
            addresses: sessions.iter().map(|session| session.address).collect(),
            asn: Some(64_512),
            sessions,
            blocks: vec!["10.67.1.0/26".parse().unwrap(), "fd00:67::40/122".parse().unwrap()],
            routes: 2,
            problems: Vec::new(),
        }
    }

    /// One that is as it should be, one that restarts and announces what it must not, one without a session.
    fn view() -> NodesView {
        let mut away = session("kube1002", "10.64.1.22");
        (away.state, away.last_error) = ("Active".into(), Some("Hold Timer Expired".into()));
        (away.learned, away.stale) = (4, 4);
        let mut second = node("kube1002", vec![away]);
        second.problems.push("10.96.0.0/12 is refused: it is among the services' addresses".into());
        let first = vec![session("kube1001", "10.64.1.21"), session("kube1001", "fd00:64:1::1021")];
        NodesView {
            mode: NodeMode::Discover,
            routes: NodeRoutes::Bgp,
            blocks: BlockCheck::Warn,
            local_asn: 64_600,
            local_addresses: Vec::new(),
            source: Some("source calico".into()),
            source_error: None,
            waiting: None,
            peering: Vec::new(),
            reflector: None,
            pools: vec!["10.67.0.0/16 in blocks of /26".into()],
            nodes: vec![node("kube1001", first), second, node("kube1003", Vec::new())],
            alarms: vec!["node/kube1002/ipv4 offers 192.0.2.10/32, which is our own VIP".into()],
            accepted: 6,
            refused: 1,
            installed: 6,
            foreign: 0,
            failures: Vec::new(),
        }
    }

    fn fits(text: &str) {
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{longest:?} columns:\n{text}");
    }

    #[test]
    fn a_person_sees_each_node_with_its_sessions_and_what_is_wrong_in_eighty_columns() {
        let text = nodes(&view(), PLAIN);
        assert_eq!(
            text,
            "\
3 nodes, from source calico and the configuration
6 routes are taken, 1 refused, 6 in the kernel
pods are in 10.67.0.0/16 in blocks of /26
! node/kube1002/ipv4 offers 192.0.2.10/32, which is our own VIP

NODE      SESSION          STATE        LEARNED  BLOCKS  ROUTES
kube1001  10.64.1.21       Established  3        2       2
          fd00:64:1::1021  Established  3
kube1002  10.64.1.22       Active       4 stale  2       2
kube1003  none                                   2       2
! node/kube1002/ipv4: Hold Timer Expired
! kube1002: 10.96.0.0/12 is refused: it is among the services' addresses
"
        );
        fits(&text);
        let mut reflected = view();
        reflected.reflector = Some("10.64.1.19".parse().unwrap());
        reflected.nodes[0].sessions[0].since = Some(Timestamp::from(std::time::SystemTime::now()));
        reflected.nodes[0].sessions[0].told = 1_998;
        let text = nodes(&reflected, PLAIN);
        assert!(text.contains("their reflector, cluster 10.64.1.19\n"), "{text}");
        assert!(
            text.contains("\nkube1001  10.64.1.21       Established  0s ago  3        1998  2       2\n"),
            "{text}"
        );
        fits(&text);
    }

    #[test]
    fn a_person_sees_of_each_route_whose_it_is_and_why_it_is_not_taken() {
        let route = |prefix: &str, node: &str| RouteView {
            prefix: prefix.parse().unwrap(),
            taken: true,
            not_installed: None,
            next_hop: Some("10.64.1.21".parse().unwrap()),
            node: Some(node.into()),
            from: format!("node/{node}/ipv4"),
            reason: None,
        };
        let mut refused = route("10.96.0.0/12", "kube1002");
        (refused.taken, refused.next_hop) = (false, None);
        refused.reason = Some("it is among the services' addresses 10.96.0.0/12".into());
        let mut missing = route("10.67.2.0/26", "kube1002");
        missing.not_installed = Some("no route to host".into());
        let text = routes(&[route("10.67.1.0/26", "kube1001"), missing, refused], PLAIN);
        assert_eq!(
            text,
            "\
PREFIX        STATE          NEXT HOP    NODE      FROM
10.67.1.0/26  taken          10.64.1.21  kube1001  node/kube1001/ipv4
10.67.2.0/26  not in kernel  10.64.1.21  kube1002  node/kube1002/ipv4
  no route to host
10.96.0.0/12  refused                    kube1002  node/kube1002/ipv4
  it is among the services' addresses 10.96.0.0/12
"
        );
        fits(&text);
        assert_eq!(routes(&[], PLAIN), "no such route\n");
    }
}
