//! The probe namespace, and servers that answer for a VIP on their link.

use crate::doctor::Severity::{Error, Warning};
use crate::doctor::facts::Probes;
use crate::doctor::{Facts, Finding};
use std::net::IpAddr;

pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let Some(probes) = &facts.probes else { return Vec::new() };
    let mut findings = vec![namespace(probes)];
    findings.extend(probes.refused.iter().map(|(server, reason)| {
        let why = "checks by VIP through it give no result, and its verdict never changes";
        Finding::new(Error, format!("checks by VIP through {server}"), "not possible", "possible", why)
            .edit(format!("{}: {reason}", facts.configuration.path.display()))
    }));
    let Some(answering) = &probes.answering else { return findings };
    findings.extend(answering.iter().map(|(server, vip, mac)| answers(*server, *vip, mac)));
    if answering.is_empty() && probes.unasked == 0 {
        findings.push(Finding::ok("ARP and ND for VIPs", "answered by no server"));
    }
    if probes.unasked > 0 {
        let why = "whether they answer for a VIP is not known; they do not answer for their own addresses, are in no \
                   segment of [probes], or there was no time";
        let is = format!("not to be asked ({} questions)", probes.unasked);
        findings.push(Finding::new(Warning, "servers on their links", is, "asked", why).run("lvsctl status"));
    }
    findings
}

fn namespace(probes: &Probes) -> Finding {
    let subject = "probe namespace";
    let Some(error) = &probes.error else { return Finding::ok(subject, "answering") };
    let why = "checks by VIP give no result, and no verdict of theirs changes";
    Finding::new(Error, subject, format!("away ({error})"), "answering", why)
        .run("systemctl start lvsd-probes")
}

fn answers(server: IpAddr, vip: IpAddr, mac: &str) -> Finding {
    let why = "routers and hosts on the segment may send the VIP's packets to it, past every balancer";
    let is = format!("answered for by {server} ({mac})");
    let subject = format!("VIP {vip} on {server}");
    let finding = Finding::new(Error, subject, is, "answered for by no server", why);
    match vip {
        IpAddr::V4(_) => finding
            .run(format!(
                "ssh {server} sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"
            ))
            .edit(format!(
                "/etc/sysctl.d/60-lvsd-real-server.conf on {server}, and {vip} on its lo, on no other interface"
            )),
        IpAddr::V6(_) => finding
            .run(format!("ssh {server} ip -6 address show to {vip}"))
            .edit(format!("the network configuration of {server}: {vip} on its lo, on no other interface")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::{address, expect_one, good, problems};
    use crate::probes::Server;

    fn seeing(answering: Vec<(IpAddr, IpAddr, String)>) -> Facts {
        Facts { probes: Some(Probes { answering: Some(answering), ..Probes::default() }), ..good() }
    }

    #[test]
    fn silent_servers_are_as_they_should_be() {
        assert_eq!(problems(&seeing(Vec::new())), []);
    }

    #[test]
    fn a_server_that_answers_for_a_vip_is_an_error_with_what_to_do_there() {
        for (server, vip, command) in [
            ("10.64.0.12", "192.0.2.10", "ssh 10.64.0.12 sysctl -w net.ipv4.conf.all.arp_ignore=1"),
            ("fd00:64::12", "2001:db8::10", "ssh fd00:64::12 ip -6 address show to 2001:db8::10"),
        ] {
            let facts = seeing(vec![(address(server), address(vip), "02:00:00:00:00:0c".to_owned())]);
            let finding = expect_one(&facts, Error, &format!("VIP {vip} on {server}"));
            assert!(finding.run.is_some_and(|run| run.starts_with(command)));
        }
    }

    #[test]
    fn a_namespace_that_is_away_is_an_error_with_the_unit_to_start() {
        let error = Some("no such file".to_owned());
        let facts = Facts { probes: Some(Probes { error, ..Probes::default() }), ..good() };
        let finding = expect_one(&facts, Error, "probe namespace");
        assert_eq!(finding.run.as_deref(), Some("systemctl start lvsd-probes"));
    }

    #[test]
    fn servers_that_cannot_be_checked_or_asked_are_told() {
        let mut facts = seeing(Vec::new());
        facts.probes.as_mut().expect("probes").unasked = 2;
        expect_one(&facts, Warning, "servers on their links");
        let refused = [(
            Server { address: address("10.99.0.1"), encapsulation: None },
            "10.99.0.1 is in none of the networks".to_owned(),
        )]
        .into();
        facts.probes = Some(Probes { refused, ..Probes::default() });
        expect_one(&facts, Error, "checks by VIP through 10.99.0.1");
    }
}
