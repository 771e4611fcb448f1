//! How packets get to a service's backends: `forwarding`, `backend_port` and `[service.NAME.tunnel]`.

use super::Problem;
use super::value::port;
use super::walk::{Node, Section};
use ipvs::{Forward, Tunnel, TunnelChecksum};
use std::num::NonZeroU16;

pub(super) const KEYS: &[&str] = &["type", "port", "checksum"];

const FORWARDING: &str = "\"direct\", \"nat\" or \"tunnel\"";
const TYPE: &str = "\"ipip\", \"gue\" or \"gre\"";
const CHECKSUM: &str = "\"none\", \"full\" or \"remote\"";

/// The way to the backends, and the port there where it is another than the VIPs'.
pub(super) fn read(section: &Section<'_>) -> Option<(Forward, Option<u16>)> {
    let tunnel = section.get("tunnel");
    let backend_port = section.get("backend_port");
    let forward = match section.get("forwarding") {
        None => Some(Forward::DirectRouting),
        Some(node) => match node.as_string() {
            Some("direct") => Some(Forward::DirectRouting),
            Some("nat") => Some(Forward::Masquerade),
            Some("tunnel") => match &tunnel {
                Some(tunnel) => read_tunnel(tunnel).map(Forward::Tunnel),
                None => Some(Forward::Tunnel(Tunnel::IPIP)),
            },
            Some(_) | None => {
                node.unexpected(FORWARDING);
                None
            }
        },
    };
    if let (Some(node), Some(Forward::DirectRouting | Forward::Masquerade)) = (&tunnel, &forward) {
        node.report_key(Problem::Conflict("only `forwarding = \"tunnel\"` has a tunnel".into()));
        read_tunnel(node);
    }
    if let (Some(node), Some(Forward::DirectRouting | Forward::Tunnel(_))) = (&backend_port, &forward) {
        let reason = "only `forwarding = \"nat\"` gives packets another port";
        node.report_key(Problem::Conflict(reason.into()));
    }
    let backend_port = match backend_port {
        Some(node) => Some(port(&node)?),
        None => None,
    };
    Some((forward?, backend_port))
}

fn read_tunnel(node: &Node<'_>) -> Option<Tunnel> {
    let section = node.section(KEYS)?;
    let kind = section.required("type", TYPE)?;
    let checksum = match section.get("checksum") {
        Some(node) => checksum(&node)?,
        None => TunnelChecksum::None,
    };
    let at = match section.get("port") {
        Some(node) => Some(port(&node).and_then(NonZeroU16::new)?),
        None => None,
    };
    match (kind.as_string(), at, checksum) {
        (Some("ipip"), None, TunnelChecksum::None) => Some(Tunnel::IPIP),
        (Some("gre"), None, TunnelChecksum::None) => Some(Tunnel::gre(false)),
        (Some("gre"), None, TunnelChecksum::Full) => Some(Tunnel::gre(true)),
        (Some("gue"), Some(at), checksum) => Some(Tunnel::gue(at, checksum)),
        (Some("ipip" | "gue" | "gre"), ..) => {
            let reason =
                "gue needs a port and others have none; a checksum is for gue and gre, a remote one for gue";
            node.report_key(Problem::Conflict(reason.into()));
            None
        }
        _ => {
            kind.unexpected(TYPE);
            None
        }
    }
}

fn checksum(node: &Node<'_>) -> Option<TunnelChecksum> {
    node.parsed(CHECKSUM, |text| match text {
        "none" => Some(TunnelChecksum::None),
        "full" => Some(TunnelChecksum::Full),
        "remote" => Some(TunnelChecksum::Remote),
        _ => None,
    })
}
