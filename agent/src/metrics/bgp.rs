//! What BGP knows of its peers and of the paths to them.

use super::gauges::{Make, count, flag};
use ::bgp::BmpStatus;
use ::bgp::speaker::{Refused, Statuses};
use prometheus::Error;

pub(super) fn peers(make: &Make, peers: &Statuses) -> Result<(), Error> {
    let up = make.many("lvsd_bgp_established", "Whether the BGP session is established.", &["peer"])?;
    let announced =
        make.many("lvsd_bgp_announced_prefixes", "Prefixes that the peer holds of us.", &["peer", "family"])?;
    let received = make.many(
        "lvsd_bgp_received_prefixes",
        "Prefixes that the peer has announced.",
        &["peer", "family"],
    )?;
    let taken =
        make.many("lvsd_bgp_taken_prefixes", "Prefixes that the import rules took.", &["peer", "family"])?;
    let limit = make.many(
        "lvsd_bgp_prefix_limit",
        "Paths of each family beyond which the session with the peer ends.",
        &["peer"],
    )?;
    let withheld = make.many(
        "lvsd_bgp_withheld_prefixes",
        "Prefixes that are wanted and cannot be told to the peer.",
        &["peer", "family"],
    )?;
    let refused = make.counters(
        "lvsd_bgp_refused_total",
        "Routes of the peer that were not taken, by reason.",
        &["peer", "reason"],
    )?;
    let messages = make.counters(
        "lvsd_bgp_messages_total",
        "BGP messages since start.",
        &["peer", "direction", "type"],
    )?;
    let sessions = make.counters(
        "lvsd_bgp_sessions_total",
        "BGP sessions that were established since start.",
        &["peer"],
    )?;
    let notifications = make.counters(
        "lvsd_bgp_notifications_total",
        "BGP NOTIFICATIONs since start: sessions that ended for a reason.",
        &["peer", "direction"],
    )?;
    let malformed = make.counters(
        "lvsd_bgp_malformed_total",
        "What was wrong with UPDATEs and did not end the session, since start.",
        &["peer", "handling"],
    )?;
    let withdraw = make.many(
        "lvsd_bgp_last_withdraw_seconds",
        "Time from the decision to the write that carried the last withdrawal.",
        &["peer"],
    )?;
    for (name, peer) in peers {
        up.with_label_values(&[name]).set(flag(peer.session.is_some()));
        for (family, count) in &peer.announced {
            announced.with_label_values(&[name, &family.to_string()]).set(*count as f64);
        }
        for (family, count) in &peer.received {
            received.with_label_values(&[name, &family.to_string()]).set(*count as f64);
        }
        for (family, count) in &peer.learned {
            taken.with_label_values(&[name, &family.to_string()]).set(*count as f64);
        }
        if let Some(most) = peer.prefix_limit {
            limit.with_label_values(&[name]).set(most as f64);
        }
        for kept_back in &peer.withheld {
            let labels = [name.as_str(), &kept_back.family.to_string()];
            withheld.with_label_values(&labels).add(kept_back.routes as f64);
        }
        for (reason, routes) in &peer.refused {
            count(&refused, &[name, reason], *routes);
        }
        for (kind, number) in peer.counters.received.by_type() {
            count(&messages, &[name, "in", kind], number);
        }
        for (kind, number) in peer.counters.sent.by_type() {
            count(&messages, &[name, "out", kind], number);
        }
        count(&sessions, &[name], peer.counters.established);
        count(&notifications, &[name, "in"], peer.counters.notifications_in);
        count(&notifications, &[name, "out"], peer.counters.notifications_out);
        count(&malformed, &[name, "treat_as_withdraw"], peer.counters.treated_as_withdraw);
        count(&malformed, &[name, "attribute_discard"], peer.counters.attributes_discarded);
        if let Some(latency) = peer.last_withdraw_latency {
            withdraw.with_label_values(&[name]).set(latency.as_secs_f64());
        }
    }
    Ok(())
}

pub(super) fn refused(make: &Make, refused: &Refused) -> Result<(), Error> {
    let counters = make.counters(
        "lvsd_bgp_refused_connections_total",
        "BGP connections that were closed before a word was said, by reason.",
        &["reason"],
    )?;
    refused.iter().for_each(|(reason, number)| count(&counters, &[reason.as_str()], *number));
    Ok(())
}

/// The monitoring station, connected or not.
pub(super) fn station(make: &Make, bmp: &BmpStatus) -> Result<(), Error> {
    make.one("lvsd_bmp_connected", "There is a connection to the BMP station.", flag(bmp.is_connected))?;
    let connections =
        make.counters("lvsd_bmp_connections_total", "Connections to the BMP station, since start.", &[])?;
    count(&connections, &[], bmp.connections);
    let messages =
        make.counters("lvsd_bmp_messages_total", "Messages to the BMP station, since start.", &[])?;
    count(&messages, &[], bmp.messages);
    Ok(())
}

/// Of peers with BFD only.
pub(super) fn paths(make: &Make, peers: &Statuses) -> Result<(), Error> {
    let up = make.many("lvsd_bfd_up", "Whether BFD finds the path to the BGP peer good.", &["peer"])?;
    let detection = make.many(
        "lvsd_bfd_detection_seconds",
        "Silence of the BGP peer after which its path counts as broken, as agreed on.",
        &["peer"],
    )?;
    let transitions = make.counters(
        "lvsd_bfd_transitions_total",
        "How often a BFD session came up or left that state, since start.",
        &["peer", "to"],
    )?;
    let failures =
        make.counters("lvsd_bfd_failures_total", "How often a path broke, since start.", &["peer"])?;
    let discarded = make.counters(
        "lvsd_bfd_discarded_total",
        "BFD packets of the BGP peer that were not taken, since start.",
        &["peer"],
    )?;
    for (name, path) in peers.iter().filter_map(|(name, peer)| Some((name, peer.bfd.as_ref()?))) {
        up.with_label_values(&[name]).set(flag(path.state == ::bgp::bfd::State::Up));
        if let Some(time) = path.detection_time {
            detection.with_label_values(&[name]).set(time.as_secs_f64());
        }
        count(&transitions, &[name, "up"], path.ups);
        count(&transitions, &[name, "down"], path.downs);
        count(&failures, &[name], path.failures);
        count(&discarded, &[name], path.discarded);
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use prometheus::TextEncoder;
    use serde_json::json;

    /// What a session of a router came to whose UPDATEs were malformed; a test of the library's has these from a session.
    pub(in crate::metrics) fn statuses() -> Statuses {
        let counters = json!({
            "messages_in": 9, "messages_out": 4, "updates_in": 5, "updates_out": 2, "notifications_in": 1,
            "notifications_out": 0, "treated_as_withdraw": 3, "attributes_discarded": 7, "connects": 2, "established": 2,
            "received": { "open": 2, "update": 5, "notification": 1, "keepalive": 1, "refresh": 0 },
        });
        let since = json!({ "secs_since_epoch": 1, "nanos_since_epoch": 0 });
        let status = json!({
            "address": "10.64.0.251", "asn": 65001, "hold_time": 90, "state": "Active", "since": since, "session": null,
            "announced": {}, "received": { "ipv4": 11 }, "learned": { "ipv4": 6, "ipv6": 1 },
            "refused": { "no import rule accepts it": 4 }, "withheld": [], "in_sync": false, "last_error": null,
            "last_withdraw_latency": null, "last_announce_latency": null, "counters": counters,
        });
        Statuses::from([("r1".to_owned(), serde_json::from_value(status).unwrap())])
    }

    #[test]
    fn what_a_session_counted_is_in_the_series_of_its_name() {
        let make = Make::new();
        peers(&make, &statuses()).unwrap();
        let page = TextEncoder::new().encode_to_string(&make.done().gather()).unwrap();
        for line in [
            "lvsd_bgp_malformed_total{handling=\"treat_as_withdraw\",peer=\"r1\"} 3",
            "lvsd_bgp_malformed_total{handling=\"attribute_discard\",peer=\"r1\"} 7",
            "lvsd_bgp_established{peer=\"r1\"} 0",
            "lvsd_bgp_sessions_total{peer=\"r1\"} 2",
            "lvsd_bgp_notifications_total{direction=\"in\",peer=\"r1\"} 1",
            "lvsd_bgp_notifications_total{direction=\"out\",peer=\"r1\"} 0",
            "lvsd_bgp_received_prefixes{family=\"ipv4\",peer=\"r1\"} 11",
            "lvsd_bgp_taken_prefixes{family=\"ipv6\",peer=\"r1\"} 1",
            "lvsd_bgp_refused_total{peer=\"r1\",reason=\"no import rule accepts it\"} 4",
            "lvsd_bgp_messages_total{direction=\"in\",peer=\"r1\",type=\"update\"} 5",
        ] {
            assert!(page.lines().any(|there| there == line), "{line} is not in\n{page}");
        }
    }
}
