//! The kernel's modules and the size of its connection table.

use crate::doctor::Severity::{Error, Warning};
use crate::doctor::{Facts, Finding};

/// Buckets of the connection table that production wants: 2^20, 8 MiB on a 64-bit machine. With the kernel's 2^12 a
/// million connections make chains of 250.
const LEAST_BUCKETS: u64 = 1 << 20;

/// The file that loads ip_vs at boot.
const LOAD_FILE: &str = "/etc/modules-load.d/lvsd.conf";

/// The file that gives ip_vs its options.
const OPTIONS_FILE: &str = "/etc/modprobe.d/lvsd.conf";

pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![ip_vs(facts)];
    findings.extend(connection_table(facts));
    findings.extend(schedulers(facts));
    findings.push(dummy(facts));
    findings
}

/// It is to be loaded before its sysctls are set, so being loadable is not enough.
fn ip_vs(facts: &Facts) -> Finding {
    let subject = "kernel module ip_vs";
    if facts.table.is_some() || facts.modules.is_present("ip_vs") {
        return Finding::ok(subject, "loaded");
    }
    if facts.modules.is_loadable("ip_vs") == Some(false) {
        return cannot_be_loaded(facts, "ip_vs", "without it there is no load balancing");
    }
    let why = "its sysctls can only be set once it is loaded, and lvsd loads it after they are set at boot";
    Finding::new(Warning, subject, "not loaded", "loaded at boot", why)
        .run("modprobe ip_vs && sysctl --system")
        .edit(format!("{LOAD_FILE}: ip_vs"))
}

fn connection_table(facts: &Facts) -> Option<Finding> {
    let size = facts.table.as_ref()?.size;
    let subject = "size of the IPVS connection table";
    if size >= LEAST_BUCKETS {
        return Some(Finding::ok(subject, format!("{size} buckets")));
    }
    let why = "with many connections each packet walks a long chain; it can only be set when ip_vs is loaded";
    let edit = if facts.modules.builtin.contains("ip_vs") {
        "ip_vs is built in: add ip_vs.conn_tab_bits=20 to the kernel's command line, then reboot".to_owned()
    } else {
        format!("{OPTIONS_FILE}: options ip_vs conn_tab_bits=20, then reboot")
    };
    let should = format!("{LEAST_BUCKETS} or more");
    Some(Finding::new(Warning, subject, format!("{size} buckets"), should, why).edit(edit))
}

/// The kernel loads a scheduler itself when a service asks for it.
fn schedulers(facts: &Facts) -> Vec<Finding> {
    let names = facts.wanted.iter().flat_map(|wanted| &wanted.schedulers);
    let scheduler =
        |name: &String| loadable(facts, &format!("ip_vs_{name}"), "services that use it stay out");
    names.map(scheduler).collect()
}

fn dummy(facts: &Facts) -> Finding {
    let device = facts.interfaces.iter().flatten().find(|interface| interface.name == facts.device);
    match device {
        Some(_) => {
            Finding::ok("kernel module dummy", "not needed any more: the device for the VIPs is there")
        }
        None => loadable(facts, "dummy", "lvsd puts the VIPs on a device of that kind"),
    }
}

/// A module that the kernel loads when it is asked for what it does.
fn loadable(facts: &Facts, name: &str, why: &str) -> Finding {
    let subject = format!("kernel module {name}");
    if facts.modules.is_present(name) {
        return Finding::ok(subject, "loaded");
    }
    match facts.modules.is_loadable(name) {
        Some(true) => Finding::ok(subject, "there to be loaded"),
        Some(false) => cannot_be_loaded(facts, name, why),
        None => Finding::ok(subject, "not loaded; which ones are there cannot be seen"),
    }
}

fn cannot_be_loaded(facts: &Facts, name: &str, why: &str) -> Finding {
    let subject = format!("kernel module {name}");
    if facts.modules.is_locked {
        let is = "not loaded, and kernel.modules_disabled is 1";
        return Finding::new(Error, subject, is, "loaded before modules are disabled", why)
            .edit(format!("{LOAD_FILE}: {name}, then reboot"));
    }
    Finding::new(Error, subject, "not there", "there to be loaded", why)
        .edit(format!("install the kernel's package that has {name}.ko, or boot a kernel that has it"))
}

#[cfg(test)]
mod tests {
    use crate::doctor::Facts;
    use crate::doctor::Severity::{Error, Warning};
    use crate::doctor::tests::{expect_one, good};

    #[test]
    fn ip_vs_that_is_not_loaded_yet_is_one_warning_with_the_commands() {
        let mut facts = unloaded("ip_vs");
        facts.table = None;
        let finding = expect_one(&facts, Warning, "kernel module ip_vs");
        assert_eq!(finding.run.as_deref(), Some("modprobe ip_vs && sysctl --system"));
        assert!(finding.edit.expect("a file").contains("modules-load.d"));
    }

    #[test]
    fn a_module_that_the_kernel_has_not_is_an_error_and_a_built_in_one_counts() {
        for name in ["ip_vs", "ip_vs_mh", "dummy"] {
            let mut facts = unloaded(name);
            facts.interfaces = None;
            if name == "ip_vs" {
                facts.table = None;
            }
            facts.modules.loadable.as_mut().expect("a list").remove(name);
            expect_one(&facts, Error, &format!("kernel module {name}"));
            facts.modules.builtin.insert(name.into());
            assert_eq!(crate::doctor::tests::problems(&facts), [], "{name} is built in");
        }
    }

    #[test]
    fn a_scheduler_that_can_be_loaded_is_good_unless_loading_is_disabled() {
        let mut facts = unloaded("ip_vs_mh");
        assert_eq!(crate::doctor::tests::problems(&facts), []);
        facts.modules.is_locked = true;
        let finding = expect_one(&facts, Error, "kernel module ip_vs_mh");
        assert!(finding.is.contains("modules_disabled"), "{}", finding.is);
    }

    #[test]
    fn modules_that_cannot_be_listed_are_no_reason_to_complain() {
        let mut facts = unloaded("ip_vs_mh");
        facts.modules.loadable = None;
        assert_eq!(crate::doctor::tests::problems(&facts), []);
    }

    #[test]
    fn a_small_connection_table_is_a_warning_also_for_a_built_in_ip_vs() {
        let mut facts = good();
        facts.table.as_mut().expect("a table").size = (1 << 20) - 1;
        let finding = expect_one(&facts, Warning, "size of the IPVS connection table");
        assert!(finding.edit.expect("a file").contains("options ip_vs conn_tab_bits=20"));
        facts.modules.builtin.insert("ip_vs".into());
        let finding = expect_one(&facts, Warning, "size of the IPVS connection table");
        assert!(finding.edit.expect("a file").contains("ip_vs.conn_tab_bits=20"));
    }

    fn unloaded(name: &str) -> Facts {
        let mut facts = good();
        assert!(facts.modules.loaded.remove(name), "{name} was loaded");
        facts
    }
}
