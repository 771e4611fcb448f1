//! Others who write the IPVS table.

use crate::doctor::Severity::Warning;
use crate::doctor::facts::{Daemon, Process, Restore};
use crate::doctor::{Facts, Finding};
use std::collections::BTreeMap;

/// Programs that write IPVS tables, by their names.
pub const WRITERS: [&str; 4] = ["keepalived", "ldirectord", "pybal", "kube-proxy"];

/// The device that kube-proxy makes in its mode ipvs, and in no other.
const KUBE_PROXY_DEVICE: &str = "kube-ipvs0";

pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = running(facts);
    findings.extend(facts.restores.map(restore));
    findings.extend(foreign(facts));
    if findings.is_empty() {
        findings.push(Finding::ok("other writers of the IPVS table", "none known"));
    }
    findings
}

/// One finding for each program, however many processes it has.
fn running(facts: &Facts) -> Vec<Finding> {
    let mut by_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for process in facts.writers.iter().filter(|process| writes(facts, process)) {
        by_name.entry(&process.name).or_default().push(process.pid.to_string());
    }
    let finding = |(name, pids): (&str, Vec<String>)| {
        let is = format!(
            "running ({} {})",
            if pids.len() == 1 { "process" } else { "processes" },
            pids.join(", ")
        );
        let (should, why) = match name {
            "keepalived" => {
                ("stopped, or without virtual_server", "two writers of one table undo each other")
            }
            "kube-proxy" => ("in another mode than ipvs", "it deletes IPVS services that are not its own"),
            _ => ("stopped", "two writers of one table undo each other"),
        };
        let finding = Finding::new(Warning, name, is, should, why);
        if name == "kube-proxy" {
            finding.edit("kube-proxy's configuration: mode: nftables (or iptables), then restart it")
        } else {
            finding.run(format!("systemctl disable --now {name}"))
        }
    };
    by_name.into_iter().map(finding).collect()
}

fn writes(facts: &Facts, process: &Process) -> bool {
    let has_device =
        || facts.interfaces.iter().flatten().any(|interface| interface.name == KUBE_PROXY_DEVICE);
    process.name != "kube-proxy" || process.command.contains("proxy-mode=ipvs") || has_device()
}

fn restore(restore: Restore) -> Finding {
    let why = "it clears the IPVS table and loads a saved one at boot, and clears it when it stops";
    let finding = Finding::new(Warning, "ipvsadm.service", "enabled", "disabled", why);
    match restore {
        Restore::Unit => finding.run("systemctl disable ipvsadm"),
        Restore::Default => finding
            .run("sed -i 's/^AUTO=.*/AUTO=\"false\"/' /etc/default/ipvsadm")
            .edit("/etc/default/ipvsadm: AUTO=\"false\""),
    }
}

fn foreign(facts: &Facts) -> Option<Finding> {
    let Daemon::Answers(answers) = &facts.daemon else { return None };
    let count = answers.foreign_services;
    let why = "they are left alone: another program's, or forgotten; nobody here watches their servers";
    let is = format!("{count} in the kernel that lvsd does not own");
    (count > 0).then(|| {
        Finding::new(Warning, "IPVS services", is, "lvsd's only", why)
            .run("ipvsadm -Ln, then ipvsadm -D for each one that nobody wants")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::facts::{Interface, Kind};
    use crate::doctor::tests::{expect_one, good, problems};

    #[test]
    fn each_program_that_writes_ipvs_is_one_warning() {
        for name in ["keepalived", "ldirectord", "pybal"] {
            let mut facts = good();
            facts.writers = vec![process(812, name, name), process(813, name, name)];
            let finding = expect_one(&facts, Warning, name);
            assert_eq!(finding.run, Some(format!("systemctl disable --now {name}")));
            assert!(finding.is.contains("812, 813"), "{}", finding.is);
        }
    }

    #[test]
    fn kube_proxy_is_named_in_its_mode_ipvs_only() {
        let mut facts = good();
        facts.writers = vec![process(9, "kube-proxy", "kube-proxy --config=/x.yaml")];
        assert_eq!(problems(&facts), []);
        facts.writers[0].command = "kube-proxy --proxy-mode=ipvs".into();
        expect_one(&facts, Warning, "kube-proxy");
        facts.writers[0].command = "kube-proxy --config=/x.yaml".into();
        facts.interfaces.as_mut().expect("interfaces").push(Interface {
            name: "kube-ipvs0".into(),
            kind: Kind::Dummy,
            is_up: false,
            mtu: 1500,
            addresses: BTreeMap::new(),
        });
        expect_one(&facts, Warning, "kube-proxy");
    }

    #[test]
    fn a_table_loaded_at_boot_is_a_warning_with_what_turns_it_off() {
        for (restores, command) in
            [(Restore::Unit, "systemctl disable ipvsadm"), (Restore::Default, "sed -i")]
        {
            let mut facts = good();
            facts.restores = Some(restores);
            let finding = expect_one(&facts, Warning, "ipvsadm.service");
            assert!(finding.run.expect("a command").starts_with(command));
        }
    }

    #[test]
    fn foreign_services_are_counted() {
        let mut facts = good();
        let Daemon::Answers(answers) = &mut facts.daemon else { panic!("lvsd answers on a good host") };
        answers.foreign_services = 3;
        let finding = expect_one(&facts, Warning, "IPVS services");
        assert!(finding.is.starts_with("3 "), "{}", finding.is);
    }

    fn process(pid: u32, name: &str, command: &str) -> Process {
        Process { pid, name: name.into(), command: command.into() }
    }
}
