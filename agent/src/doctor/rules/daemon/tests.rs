use super::*;
use crate::doctor::facts::Directory;
use crate::doctor::tests::{expect_one, good, problems};

fn with(change: impl FnOnce(&mut Answers)) -> Facts {
    let mut facts = good();
    let Daemon::Answers(answers) = &mut facts.daemon else { panic!("lvsd answers on a good host") };
    change(answers);
    facts
}

fn stopped() -> Facts {
    let mut facts = good();
    facts.daemon = Daemon::NotRunning;
    facts.process = None;
    facts
}

#[test]
fn lvsd_that_does_not_run_is_an_error_with_the_command_that_starts_it() {
    let mut facts = stopped();
    let finding = expect_one(&facts, Error, "lvsd");
    assert_eq!(finding.run.as_deref(), Some("systemctl start lvsd"));
    facts.systemd = None;
    let finding = expect_one(&facts, Error, "lvsd");
    assert_eq!(finding.run.as_deref(), Some("lvsd --config /etc/lvsd/lvsd.toml"));
}

#[test]
fn lvsd_that_cannot_be_asked_or_is_not_ready_is_said() {
    for (daemon, severity) in
        [(Daemon::Denied("denied".into()), Warning), (Daemon::Unclear("no answer".into()), Error)]
    {
        let mut facts = good();
        facts.daemon = daemon;
        expect_one(&facts, severity, "lvsd");
    }
    let facts = with(|answers| (answers.ready, answers.phase) = (false, "stopping".into()));
    assert_eq!(expect_one(&facts, Warning, "lvsd").is, "stopping");
}

#[test]
fn a_configuration_with_errors_is_an_error_and_one_that_may_not_be_read_is_not() {
    let mut facts = good();
    facts.configuration.reading = Reading::Wrong { first: "lvsd.toml:4:1: no".into(), count: 2 };
    let finding = expect_one(&facts, Error, "configuration /etc/lvsd/lvsd.toml");
    assert_eq!(finding.run.as_deref(), Some("lvsd check-config /etc/lvsd/lvsd.toml"));
    facts.configuration.reading = Reading::Denied;
    assert_eq!(problems(&facts), []);
    facts.configuration.reading = Reading::Missing("no such file".into());
    assert_eq!(problems(&facts), []);
    facts.daemon = Daemon::NotRunning;
    facts.process = None;
    assert_eq!(problems(&facts).len(), 2, "not running, and nothing to start with");
}

#[test]
fn a_unit_that_is_missing_or_not_enabled_is_a_warning() {
    for unit in [Unit::Missing, Unit::Disabled] {
        let mut facts = good();
        facts.systemd = Some(unit);
        expect_one(&facts, Warning, "lvsd.service");
    }
}

#[test]
fn a_state_directory_that_lvsd_cannot_write_is_an_error() {
    let subject = "state directory /var/lib/lvsd";
    let mine = Directory { uid: 997, mode: 0o040_700, is_read_only: false };
    for (found, command) in [
        (None, "install -d"),
        (Some(Directory { uid: 0, ..mine }), "chown -R 997:997"),
        (Some(Directory { mode: 0o040_500, ..mine }), "chmod 0700"),
        (Some(Directory { is_read_only: true, ..mine }), "mount -o remount,rw"),
    ] {
        let mut facts = good();
        facts.state_directory.found = found;
        let finding = expect_one(&facts, Error, subject);
        assert!(finding.run.as_deref().is_some_and(|run| run.starts_with(command)), "{finding:#?}");
    }
    let mut facts = good();
    facts.state_directory.user = Some(0);
    assert_eq!(problems(&facts), [], "root writes everywhere");
}

#[test]
fn a_directory_that_is_not_there_before_the_first_start_is_no_problem() {
    let mut facts = stopped();
    facts.state_directory.found = None;
    expect_one(&facts, Error, "lvsd");
}

#[test]
fn fewer_descriptors_than_twice_the_checks_are_a_warning_up_to_what_lvsd_uses() {
    for (limit, checks, is_enough) in
        [(2000, 1000, true), (1999, 1000, false), (16_384, 100_000, true), (16_383, 100_000, false)]
    {
        let mut facts = good();
        facts.process.as_mut().expect("a process").open_files = Some(limit);
        facts.wanted.as_mut().expect("services").checks = checks;
        if is_enough {
            assert_eq!(problems(&facts), [], "{limit} for {checks}");
        } else {
            let finding = expect_one(&facts, Warning, "lvsd's limit of open files");
            assert!(finding.edit.expect("a change").contains("LimitNOFILE=16384"));
        }
    }
}

#[test]
fn what_the_kernel_refuses_is_one_error() {
    let facts = with(|answers| answers.kernel_failures = vec!["no mh".into(), "no sh".into()]);
    let finding = expect_one(&facts, Error, "the kernel");
    assert_eq!(finding.is, "refusing: no mh (and 1 more)");
}

#[test]
fn a_peer_without_a_session_is_an_error_with_its_last_words() {
    let facts = with(|answers| answers.peers_down = vec![("r1-v4".into(), "Active: refused".into())]);
    let finding = expect_one(&facts, Error, "BGP peer r1-v4");
    assert_eq!(finding.is, "Active: refused");
}

#[test]
fn an_odd_source_is_one_finding_of_its_weight() {
    for (oddity, severity, command) in [
        (Oddity::Held, Error, Some("lvsctl confirm web")),
        (Oddity::Failed("line 3".into()), Error, None),
        (Oddity::Stale, Warning, None),
        (Oddity::Waiting("not looked up".into()), Warning, None),
    ] {
        let source = OddSource { service: "web".into(), source: "/etc/lvsd/pools/web".into(), oddity };
        let facts = with(|answers| answers.sources = vec![source]);
        let finding = expect_one(&facts, severity, "source of web");
        assert_eq!(finding.run.as_deref(), command);
    }
}

#[test]
fn a_sync_daemon_that_is_configured_and_does_not_run_is_an_error() {
    let facts =
        with(|answers| answers.sync_daemons = vec![("master".into(), true), ("backup".into(), false)]);
    let finding = expect_one(&facts, Error, "backup sync daemon");
    assert!(finding.why.contains("reset"), "{}", finding.why);
}
