//! The device for the VIPs, VIPs where they should not be, and MTUs.

use crate::doctor::Severity::{Error, Warning};
use crate::doctor::facts::{Daemon, Interface, Kind};
use crate::doctor::{Facts, Finding};
use std::collections::BTreeMap;
use std::net::IpAddr;

impl Interface {
    /// Whether clients' packets may come in or leave by it.
    pub(super) fn takes_traffic(&self) -> bool {
        self.kind == Kind::Wire && self.is_up && !self.addresses.is_empty()
    }
}

pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let Some(interfaces) = &facts.interfaces else { return Vec::new() };
    let mut findings = device(facts, interfaces);
    findings.extend(elsewhere(facts, interfaces));
    findings.extend(mtu(interfaces));
    findings
}

/// lvsd alone knows which VIPs the device is to have now, and repairs it; without lvsd only its state is judged.
fn device(facts: &Facts, interfaces: &[Interface]) -> Vec<Finding> {
    let name = &facts.device;
    let subject = format!("device {name}");
    let is_ready = matches!(&facts.daemon, Daemon::Answers(answers) if answers.ready);
    let vips = facts.wanted.as_ref().filter(|_| is_ready).map(|wanted| &wanted.vips);
    let Some(device) = interfaces.iter().find(|interface| interface.name == *name) else {
        return match vips.filter(|vips| !vips.is_empty()) {
            Some(_) => vec![missing(subject)],
            None => Vec::new(),
        };
    };
    let mut findings = Vec::new();
    if !device.is_up {
        let why = "the kernel takes no packet for the addresses of a device that is down";
        findings
            .push(Finding::new(Error, &subject, "down", "up", why).run(format!("ip link set dev {name} up")));
    }
    if let Some(vips) = vips {
        let missing = vips.iter().filter(|vip| !device.addresses.contains_key(vip));
        findings.extend(missing.map(|vip| without(name, *vip)));
        let more = device.addresses.iter().filter(|(address, _)| !vips.contains(address));
        findings.extend(more.map(|(address, length)| {
            let why =
                "lvsd has no such VIP; whatever it does not know on its device it removes when it repairs";
            Finding::new(Warning, address.to_string(), format!("on {name}"), "nowhere", why)
                .run(format!("ip address del {address}/{length} dev {name}"))
        }));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(subject, format!("up, with {} VIPs", device.addresses.len())));
    }
    findings
}

fn missing(subject: String) -> Finding {
    let why = "without it the kernel does not take the VIPs' packets; lvsd makes it anew when it repairs";
    Finding::new(Error, subject, "not there", "there", why).run("lvsctl resync")
}

fn without(device: &str, vip: IpAddr) -> Finding {
    let why = "the kernel does not take its packets, so they never reach IPVS; lvsd puts it back with the next repair";
    let add = match vip {
        IpAddr::V4(_) => format!("ip address add {vip}/32 dev {device}"),
        // Without nodad it is unusable for a second.
        IpAddr::V6(_) => format!("ip address add {vip}/128 dev {device} nodad"),
    };
    Finding::new(Error, format!("VIP {vip}"), format!("not on {device}"), format!("on {device}"), why)
        .run(add)
}

fn elsewhere(facts: &Facts, interfaces: &[Interface]) -> Vec<Finding> {
    let Some(wanted) = &facts.wanted else { return Vec::new() };
    let mut findings = Vec::new();
    for interface in interfaces.iter().filter(|interface| interface.name != facts.device) {
        for (vip, length) in interface.addresses.iter().filter(|(address, _)| wanted.vips.contains(address)) {
            let why = match interface.kind {
                Kind::Loopback => {
                    "that is how a real server has it; here it stays when lvsd gives the VIP up"
                }
                _ => "it stays there when lvsd gives the VIP up, and brings a route of its own",
            };
            let name = &interface.name;
            let should = format!("on {} only", facts.device);
            findings.push(
                Finding::new(Warning, format!("VIP {vip}"), format!("on {name}"), should, why)
                    .run(format!("ip address del {vip}/{length} dev {name}"))
                    .edit(format!("the host's network configuration that puts {vip} on {name}")),
            );
        }
    }
    findings
}

fn mtu(interfaces: &[Interface]) -> Option<Finding> {
    let wires = || interfaces.iter().filter(|interface| interface.takes_traffic());
    let least = wires().map(|interface| interface.mtu).min()?;
    let by_name: BTreeMap<&str, u32> = wires().map(|wire| (wire.name.as_str(), wire.mtu)).collect();
    let listed: Vec<String> = by_name.iter().map(|(name, mtu)| format!("{mtu} on {name}")).collect();
    let too_large: Vec<&str> =
        by_name.iter().filter(|(_, mtu)| **mtu != least).map(|(name, _)| *name).collect();
    if too_large.is_empty() {
        return Some(Finding::ok("MTU", listed.join(", ")));
    }
    let commands = too_large.iter().map(|name| format!("ip link set dev {name} mtu {least}"));
    let why =
        "what comes in larger than the way out takes is dropped, or costs an ICMP error that may get lost";
    let run = commands.collect::<Vec<_>>().join(" && ");
    let finding = Finding::new(Warning, "MTU", listed.join(", "), format!("{least} on all"), why);
    Some(finding.run(run).edit(format!("the host's network configuration of {}", too_large.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::{address, expect_one, good, problems};

    #[test]
    fn a_vip_that_its_device_lacks_is_an_error_with_the_command_for_its_family() {
        for (vip, command) in [
            ("192.0.2.10", "ip address add 192.0.2.10/32 dev lvsd0"),
            ("2001:db8::10", "ip address add 2001:db8::10/128 dev lvsd0 nodad"),
        ] {
            let mut facts = good();
            interface(&mut facts, "lvsd0").addresses.remove(&address(vip));
            let finding = expect_one(&facts, Error, &format!("VIP {vip}"));
            assert_eq!(finding.run.as_deref(), Some(command));
        }
    }

    #[test]
    fn a_device_that_is_missing_or_down_is_one_error() {
        let mut facts = good();
        interface(&mut facts, "lvsd0").is_up = false;
        let finding = expect_one(&facts, Error, "device lvsd0");
        assert_eq!(finding.run.as_deref(), Some("ip link set dev lvsd0 up"));
        facts.interfaces.as_mut().expect("interfaces").retain(|interface| interface.name != "lvsd0");
        let finding = expect_one(&facts, Error, "device lvsd0");
        assert_eq!((&*finding.is, finding.run.as_deref()), ("not there", Some("lvsctl resync")));
    }

    #[test]
    fn the_device_is_not_judged_by_vips_while_lvsd_is_not_ready() {
        let mut facts = good();
        interface(&mut facts, "lvsd0").addresses.clear();
        let Daemon::Answers(answers) = &mut facts.daemon else { panic!("lvsd answers on a good host") };
        answers.ready = false;
        answers.phase = "starting".into();
        expect_one(&facts, Warning, "lvsd");
    }

    #[test]
    fn an_address_on_the_device_that_is_no_vip_is_a_warning() {
        let mut facts = good();
        interface(&mut facts, "lvsd0").addresses.insert(address("192.0.2.99"), 32);
        let finding = expect_one(&facts, Warning, "192.0.2.99");
        assert_eq!(finding.run.as_deref(), Some("ip address del 192.0.2.99/32 dev lvsd0"));
    }

    #[test]
    fn a_vip_on_another_interface_too_is_a_warning_with_its_own_prefix_length() {
        for name in ["lo", "eth0"] {
            let mut facts = good();
            interface(&mut facts, name).addresses.insert(address("192.0.2.10"), 24);
            let finding = expect_one(&facts, Warning, "VIP 192.0.2.10");
            assert_eq!(finding.run, Some(format!("ip address del 192.0.2.10/24 dev {name}")));
        }
    }

    #[test]
    fn mtus_that_differ_are_one_warning_and_tunnels_may_differ() {
        let mut facts = good();
        interface(&mut facts, "eth1").mtu = 9000;
        let finding = expect_one(&facts, Warning, "MTU");
        assert_eq!(finding.run.as_deref(), Some("ip link set dev eth1 mtu 1500"));
        interface(&mut facts, "eth1").kind = Kind::Other;
        assert_eq!(problems(&facts), []);
        let wire = interface(&mut facts, "eth1");
        (wire.kind, wire.is_up) = (Kind::Wire, false);
        assert_eq!(problems(&facts), []);
    }

    #[test]
    fn interfaces_that_cannot_be_read_are_not_judged() {
        let mut facts = good();
        facts.interfaces = None;
        assert_eq!(problems(&facts), []);
    }

    fn interface<'f>(facts: &'f mut Facts, name: &str) -> &'f mut Interface {
        let interfaces = facts.interfaces.as_mut().expect("interfaces");
        interfaces.iter_mut().find(|interface| interface.name == name).expect("the interface")
    }
}
