//! `lvsctl nodes` and `lvsctl routes`.

use super::table::Table;
use super::{Paint, ago, line};
use crate::core::nodes::view::{NodeSessionView, NodesView, RouteView};

/// `lvsctl nodes`.
pub fn nodes(view: &NodesView, paint: Paint) -> String {
    let mut text = String::new();
    head(&mut text, view, paint);
    let mut table = Table::new([
        "NODE",
        "SESSION",
        "STATE",
        "SINCE",
        "LEARNED",
        "TOLD",
        "BLOCKS",
        "ROUTES",
        "LAST ERROR",
    ]);
    for node in &view.nodes {
        let counts = [node.blocks.len().to_string(), node.routes.to_string()];
        let mut first = Some((node.name.clone(), counts));
        for session in &node.sessions {
            let (name, [blocks, routes]) = first.take().unwrap_or_default();
            let (state, since) = (state(session, paint), session.since.map(ago).unwrap_or_default());
            let error = session.last_error.clone().unwrap_or_default();
            let address = session.address.to_string();
            let told = session.told.to_string();
            table.row([name, address, state, since, learned(session), told, blocks, routes, error]);
        }
        if let Some((name, [blocks, routes])) = first {
            let none = String::new;
            table.row([name, "none".into(), none(), none(), none(), none(), blocks, routes, none()]);
        }
    }
    if !view.nodes.is_empty() {
        text.push('\n');
        text.push_str(&table.to_string());
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
            "{} nodes, from {source}; {} routes are taken, {} refused, {} in the kernel",
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
    for alarm in &view.alarms {
        line(text, format_args!("{} {alarm}", paint.bad("!")));
    }
    for failure in &view.failures {
        line(text, format_args!("{} the kernel's routes: {failure}", paint.bad("!")));
    }
}

fn state(session: &NodeSessionView, paint: Paint) -> String {
    if session.state == "Established" { paint.good(&session.state) } else { paint.bad(&session.state) }
}

fn learned(session: &NodeSessionView) -> String {
    match session.stale {
        0 => session.learned.to_string(),
        stale => format!("{} ({stale} stale)", session.learned),
    }
}

/// `lvsctl routes`.
pub fn routes(routes: &[RouteView], paint: Paint) -> String {
    if routes.is_empty() {
        return "no such route\n".into();
    }
    let mut table = Table::new(["PREFIX", "STATE", "NEXT HOP", "NODE", "FROM", "WHY"]);
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
            why.join("; "),
        ]);
    }
    table.to_string()
}
