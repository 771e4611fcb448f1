//! lvsd itself: whether it runs, what it says, and what it needs of the host.

use crate::doctor::Severity::{Error, Warning};
use crate::doctor::facts::{Answers, Daemon, OddSource, Oddity, Reading, Unit};
use crate::doctor::{Facts, Finding};

/// Probes at once that lvsd does not exceed whatever the limit of descriptors.
const MOST_PROBES: u64 = 8192;

pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![running(facts)];
    findings.extend(configuration(facts));
    findings.extend(unit(facts));
    findings.extend(state_directory(facts));
    findings.extend(open_files(facts));
    if let Daemon::Answers(answers) = &facts.daemon {
        findings.extend(kernel(answers));
        findings.extend(connection_sync(answers));
        findings.extend(peers(facts, answers));
        findings.extend(sources(answers));
    }
    findings
}

fn running(facts: &Facts) -> Finding {
    match &facts.daemon {
        Daemon::NotRunning => {
            let why = "the kernel goes on with what it has, but nobody checks servers, changes pools or announces VIPs";
            let start = match facts.systemd {
                Some(Unit::Missing) | None => {
                    format!("lvsd --config {}", facts.configuration.path.display())
                }
                Some(Unit::Disabled | Unit::Enabled) => "systemctl start lvsd".into(),
            };
            Finding::new(Error, "lvsd", "not running", "running", why).run(start)
        }
        Daemon::Denied(reason) => {
            let why = "what only lvsd knows was not looked at";
            Finding::new(Warning, "lvsd", format!("not to be asked: {reason}"), "asked", why)
                .run("sudo lvsctl doctor")
        }
        Daemon::Unclear(reason) => {
            let why = "it may hang, or be another version than lvsctl";
            Finding::new(Error, "lvsd", format!("not answering as it should: {reason}"), "answering", why)
                .run("journalctl -u lvsd -n 50")
        }
        Daemon::Answers(answers) if !answers.ready => {
            let why = "it announces nothing yet, or no more";
            Finding::new(Warning, "lvsd", &answers.phase, "ready", why).run("lvsctl status")
        }
        Daemon::Answers(answers) => Finding::ok("lvsd", &answers.phase),
    }
}

fn configuration(facts: &Facts) -> Option<Finding> {
    let path = facts.configuration.path.display();
    let subject = format!("configuration {path}");
    match &facts.configuration.reading {
        Reading::Good => Some(Finding::ok(subject, "without errors")),
        Reading::Wrong { first, count } => {
            let is = format!("wrong ({count} errors, the first: {first})");
            let why = "lvsd refuses it: it does not start with it, nor reload it";
            let finding = Finding::new(Error, subject, is, "without errors", why);
            Some(finding.run(format!("lvsd check-config {path}")).edit(first.clone()))
        }
        Reading::Denied => Some(Finding::ok(subject, "not looked at: permission denied")),
        // The running lvsd was started with another one, then.
        Reading::Missing(_) if facts.daemon != Daemon::NotRunning => None,
        Reading::Missing(reason) => {
            let why = "lvsd does not start without it";
            let finding = Finding::new(Error, subject, "not there", "there", why);
            Some(finding.edit(format!("{path}: {reason}; or name another with --config")))
        }
    }
}

fn unit(facts: &Facts) -> Option<Finding> {
    Some(match facts.systemd? {
        Unit::Enabled => Finding::ok("lvsd.service", "enabled"),
        Unit::Disabled => {
            let why = "after the next boot this balancer does nothing";
            Finding::new(Warning, "lvsd.service", "not enabled", "enabled", why).run("systemctl enable lvsd")
        }
        Unit::Missing => {
            let why = "nobody starts lvsd again when it ends, and it has more privileges than it needs";
            Finding::new(Warning, "lvsd.service", "not installed", "installed", why)
                .edit("/etc/systemd/system/lvsd.service, then systemctl enable --now lvsd")
        }
    })
}

fn state_directory(facts: &Facts) -> Option<Finding> {
    let directory = &facts.state_directory;
    let path = directory.path.display();
    let subject = format!("state directory {path}");
    let why = "operators' changes and lvsd's own services are forgotten with a restart";
    let Some(found) = directory.found else {
        // systemd makes it at the first start.
        let is_missed = facts.process.is_some() || matches!(facts.daemon, Daemon::Answers(_));
        let make = format!("install -d -o lvsd -g lvsd -m 0700 {path}");
        return is_missed.then(|| Finding::new(Error, subject, "not there", "there", why).run(make));
    };
    if found.is_read_only {
        let finding = Finding::new(Error, subject, "on a read-only file system", "writable", why);
        return Some(finding.run(format!("mount -o remount,rw \"$(findmnt -nT {path} -o TARGET)\"")));
    }
    match directory.user {
        // Root writes everywhere.
        None | Some(0) => {}
        Some(user) if user != found.uid => {
            let is = format!("owned by user {}", found.uid);
            let finding = Finding::new(Error, subject, is, format!("owned by user {user}"), why);
            return Some(finding.run(format!("chown -R {user}:{user} {path}")));
        }
        Some(_) if found.mode & 0o300 != 0o300 => {
            let is = format!("of mode {:04o}", found.mode & 0o7777);
            return Some(
                Finding::new(Error, subject, is, "of mode 0700", why).run(format!("chmod 0700 {path}")),
            );
        }
        Some(_) => {}
    }
    Some(Finding::ok(subject, "writable"))
}

/// Half of the descriptors are for probes; while a check waits for one it says nothing.
fn open_files(facts: &Facts) -> Option<Finding> {
    let limit = facts.process.as_ref()?.open_files?;
    let checks = facts.wanted.as_ref()?.checks;
    let needed = checks.min(MOST_PROBES).saturating_mul(2);
    let subject = "lvsd's limit of open files";
    if limit >= needed {
        return Some(Finding::ok(subject, limit.to_string()));
    }
    let why =
        format!("{checks} checks may wait for an answer at once, and half of the descriptors are theirs");
    let finding = Finding::new(Warning, subject, limit.to_string(), format!("{needed} or more"), why);
    let edit =
        format!("systemctl edit lvsd: [Service] LimitNOFILE={}, then restart lvsd", needed.max(16_384));
    Some(finding.edit(edit))
}

fn kernel(answers: &Answers) -> Option<Finding> {
    let subject = "the kernel";
    let Some(first) = answers.kernel_failures.first() else {
        return Some(Finding::ok(subject, "obeying lvsd"));
    };
    let more = match answers.kernel_failures.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let why = "what it refused does not serve; lvsd tries again by itself";
    let finding = Finding::new(Error, subject, format!("refusing: {first}{more}"), "obeying lvsd", why);
    Some(finding.run("lvsctl status"))
}

/// The daemons by which balancers share connections.
fn connection_sync(answers: &Answers) -> Vec<Finding> {
    let finding = |(role, is_running): &(String, bool)| {
        let subject = format!("{role} sync daemon");
        if *is_running {
            return Finding::ok(subject, "running");
        }
        let why = match role.as_str() {
            "master" => "connections of this balancer are lost when it leaves: no other one knows them",
            _ => "connections that come here from another balancer are reset: this one does not know them",
        };
        Finding::new(Error, subject, "not running", "running", why)
            .run("lvsctl status")
            .edit("the configuration's [ipvs.sync]: is there such an interface, and is it up?")
    };
    answers.sync_daemons.iter().map(finding).collect()
}

fn peers(facts: &Facts, answers: &Answers) -> Vec<Finding> {
    if answers.peers_down.is_empty() && answers.peers > 0 {
        return vec![Finding::ok("BGP", format!("established with all {} peers", answers.peers))];
    }
    let path = facts.configuration.path.display();
    let peer = |(name, state): &(String, String)| {
        let why = "this router sends nothing here; see whether it is reachable and expects this session";
        Finding::new(Error, format!("BGP peer {name}"), state, "Established", why)
            .run("journalctl -u lvsd -g BGP -n 20")
            .edit(format!("{path}: [[bgp.peer]] {name}, or the router's side"))
    };
    answers.peers_down.iter().map(peer).collect()
}

fn sources(answers: &Answers) -> Vec<Finding> {
    let source = |OddSource { service, source, oddity }: &OddSource| {
        let subject = format!("source of {service}");
        match oddity {
            Oddity::Held => {
                let why = "it takes out more of the pool at once than max_change allows; the pool goes on as it was";
                Finding::new(Error, subject, "held back", "obeyed, or changed", why)
                    .run(format!("lvsctl confirm {service}"))
                    .edit(source.clone())
            }
            Oddity::Failed(reason) => {
                let why = "its last good content goes on, and changes are not followed";
                Finding::new(Error, subject, format!("not to be read: {reason}"), "read", why)
                    .edit(source.clone())
            }
            Oddity::Stale => {
                let why = "its backends are those of before the last start";
                Finding::new(Warning, subject, "stale", "read", why).edit(source.clone())
            }
            Oddity::Waiting(reason) => {
                let why = "the service stays as the kernel has it until its backends are known";
                Finding::new(Warning, subject, format!("awaited: {reason}"), "read", why).edit(source.clone())
            }
        }
    };
    answers.sources.iter().map(source).collect()
}

#[cfg(test)]
mod tests;
