//! What is decided about a pool, as its rules in words have it.

use super::rules::{Checks, Outcome, Said, Seen};
use super::{Broken, ensure};
use crate::config::{Admin, Require};
use crate::core::Timestamp;
use crate::core::member::{Member, Pool};
use crate::core::pool::{Health, Standing};
use crate::core::state::ServiceState;
use health::{Advice, Mode, Verdict};
use ipvs::{DestinationKey, Family, Weight};
use std::collections::BTreeMap;

/// The pool as its rules in words have it, from what the checks, the source and the operators said.
pub(super) fn pool_is_right(
    seen: &Seen<'_>,
    (name, service): (&str, &ServiceState),
    (family, pool): (Family, &Pool),
    checks: &Checks,
) -> Outcome {
    let (mut total, mut eligible, mut pooled, mut held) = (0, 0, 0, 0);
    for (host, member) in pool.members.iter() {
        let (weight, standing) = (member.decision.weight, member.decision.standing);
        total += usize::from(member.admin != Admin::Inactive);
        pooled += usize::from(weight > Weight::ZERO);
        held += usize::from(matches!(standing, Standing::HeldThoughDown | Standing::HeldDespiteAgent));
        let what = format!("{name}: {host} ({family:?})");
        checks_are_its(&what, service, member)?;
        operators_are_obeyed(seen, (&what, host), service, member)?;
        if member.admin == Admin::Pooled && may_serve_by_its_path(seen, &what, service, member)? {
            let is_awaited = seen.after.paths.is_awaited(&service.config, member.address, seen.now);
            let together = Together::of(member, service, checks, is_awaited);
            eligible += usize::from(backend_is_right(&what, member, &together)?);
        }
    }
    let needed = service.config.depool_threshold.needed(total);
    ensure!(
        pooled >= needed.min(eligible),
        "3 threshold",
        "{name} ({family:?}): {pooled} of {total} pooled, {needed} needed, {eligible} could be"
    );
    ensure!(
        held == 0 || pooled <= needed,
        "3 threshold",
        "{name} ({family:?}): {held} held, {pooled} pooled, {needed} needed"
    );
    who_is_held_is_right(name, (family, pool))?;
    entries_are_right(seen, (name, service), (family, pool))
}

fn checks_are_its(what: &str, service: &ServiceState, member: &Member) -> Outcome {
    let port = if service.config.fwmark.is_some() { 80 } else { service.config.backend_port };
    let strays = member.checks.iter().find(|made| made.check.target.port() != port);
    ensure!(strays.is_none(), "3 pool", "{what} serves on {port}, {strays:?} decides");
    Ok(())
}

fn operators_are_obeyed(
    seen: &Seen<'_>,
    (what, host): (&str, &str),
    service: &ServiceState,
    member: &Member,
) -> Outcome {
    let (is, weight) = (member.admin, member.decision.weight);
    let word = seen.after.saved.admin.get(host).map_or(Admin::Pooled, |change| change.to);
    let is_listed = service.waiting.is_none() && service.refused.is_none();
    ensure!(!is_listed || is >= word, "3 operators", "{what} is {is:?}, the operator says {word:?}");
    let is_out = is == Admin::Pooled || weight == Weight::ZERO;
    ensure!(is_out, "3 operators", "{what} is {is:?} and has weight {weight}");
    Ok(())
}

/// Whether direct routing gets there; who is behind a gateway serves nobody.
fn may_serve_by_its_path(
    seen: &Seen<'_>,
    what: &str,
    service: &ServiceState,
    member: &Member,
) -> Result<bool, Broken> {
    let known = seen.after.paths.get(member.address);
    let has = &member.path;
    ensure!(has.as_ref() == known, "3 paths", "{what} has the path {has:?}, {known:?} is known");
    if !service.config.require_on_link || known.is_none_or(|known| known.path.is_on_link()) {
        return Ok(true);
    }
    let (weight, standing) = (member.decision.weight, member.decision.standing);
    let is_out = weight == Weight::ZERO && standing == Standing::OffLink;
    ensure!(is_out, "3 paths", "{what} is behind a gateway, {standing:?}, weight {weight}");
    Ok(false)
}

/// Those who wish least not to serve are held before those who wish more; of those that are down the latest to fail, and
/// nobody who is while another could serve.
fn who_is_held_is_right(name: &str, (family, pool): (Family, &Pool)) -> Outcome {
    let wishing: Vec<_> =
        pool.members.iter().filter_map(|(host, member)| Some((could_but(member)?, host, member))).collect();
    let is_obeyed = |member: &Member| member.decision.weight == Weight::ZERO;
    for (wish, host, _) in wishing.iter().filter(|(.., member)| !is_obeyed(member)) {
        let better =
            wishing.iter().find(|(other, name, member)| is_obeyed(member) && (other, name) < (wish, host));
        ensure!(
            better.is_none(),
            "3 held",
            "{name} ({family:?}): {host} is held, {better:?} comes before it"
        );
    }
    let down: Vec<_> =
        pool.members.iter().filter_map(|(host, member)| Some((fell(member)?, host, member))).collect();
    for (since, host, _) in down.iter().filter(|(.., member)| is_held(member)) {
        let better = down.iter().find(|(other, name, member)| {
            !is_held(member) && (std::cmp::Reverse(other), name) < (std::cmp::Reverse(since), host)
        });
        ensure!(better.is_none(), "3 held", "{name} ({family:?}): {host} is held, {better:?} failed later");
        let could = wishing.iter().find(|(.., member)| is_obeyed(member));
        ensure!(
            could.is_none(),
            "3 held",
            "{name} ({family:?}): {host} is held though down, {could:?} could serve"
        );
    }
    Ok(())
}

/// What a backend's checks and agents say together, counted anew.
struct Together {
    is_down: bool,
    is_up: bool,
    wish: Option<Mode>,
    /// Of its weight, in percent.
    share: u32,
}

impl Together {
    fn of(member: &Member, service: &ServiceState, checks: &Checks, is_awaited: bool) -> Self {
        let said: Vec<Said> =
            member.checks.iter().map(|made| checks.get(&made.check).copied().flatten()).collect();
        let says = |said: &Said, wanted| said.is_some_and(|(verdict, _)| verdict == wanted);
        let passing = said.iter().filter(|said| says(said, Verdict::Up)).count();
        let failing = said.iter().filter(|said| says(said, Verdict::Down)).count();
        let needed = match service.config.require {
            Require::All => said.len(),
            Require::Any => said.len().min(1),
            Require::AtLeast(number) => said.len().min(number.get().into()),
        };
        let advice: Vec<Advice> = said.iter().flatten().map(|(_, advice)| *advice).collect();
        let asks = |mode| advice.iter().any(|advice| advice.mode == Some(mode));
        let percent = advice.iter().filter_map(|advice| advice.percent).min();
        let most = if *service.config.scheduler.scheduler() == ipvs::Scheduler::Sh { 100 } else { u16::MAX };
        let wish = match () {
            () if asks(Mode::Maintenance) => Some(Mode::Maintenance),
            () if asks(Mode::Drain) || percent == Some(0) => Some(Mode::Drain),
            () => None,
        };
        Self {
            is_down: failing > said.len() - needed && !is_awaited,
            is_up: passing >= needed && !is_awaited,
            wish,
            share: percent.filter(|percent| *percent > 0).unwrap_or(100).min(most).into(),
        }
    }
}

/// Whether a backend is what its checks and agents make of it; gives whether it could be pooled.
fn backend_is_right(what: &str, member: &Member, together: &Together) -> Result<bool, Broken> {
    let (weight, standing) = (member.decision.weight, member.decision.standing);
    let whole = (member.weight.get() * together.share).div_ceil(100);
    let adopted = member.rare().adopted.unwrap_or(Weight::ZERO);
    let serves = if together.is_up { whole } else { adopted.get() };
    match (together.is_down, together.is_up) {
        (true, _) => {
            ensure!(matches!(member.health, Health::Down { .. }), "3 pool", "{what} is not known to be down");
            let is_right = weight == Weight::ZERO || standing == Standing::HeldThoughDown;
            ensure!(is_right, "3 pool", "{what} is down and {standing:?}");
            return Ok(whole > 0);
        }
        (false, is_up) if together.wish.is_some() && (is_up || adopted > Weight::ZERO) => {
            let is_right = match standing {
                Standing::AgentMaintenance => {
                    together.wish == Some(Mode::Maintenance) && weight == Weight::ZERO
                }
                Standing::AgentDrain => together.wish == Some(Mode::Drain) && weight == Weight::ZERO,
                Standing::HeldDespiteAgent => weight.get() == serves && serves > 0,
                _ => false,
            };
            ensure!(is_right, "3 agents", "{what} asks for {:?}, {standing:?}, {weight}", together.wish);
        }
        (false, true) => {
            let is_whole =
                weight.get() == whole || (member.rare().rising_since.is_some() && weight.get() <= whole);
            ensure!(
                standing == Standing::Pooled && is_whole,
                "3 pool",
                "{what} is up, {standing:?}, weight {weight} of {whole}"
            );
            ensure!(whole == 0 || weight > Weight::ZERO, "3 pool", "{what} is up without weight");
        }
        (false, false) => {
            ensure!(
                matches!(standing, Standing::Adopted | Standing::AwaitingChecks),
                "3 pool",
                "{what} has not spoken and is {standing:?}"
            );
        }
    }
    Ok(serves > 0)
}

/// How much a member that could serve wishes not to.
fn could_but(member: &Member) -> Option<u8> {
    match member.decision.standing {
        Standing::AgentDrain | Standing::AgentMaintenance if member.weight == Weight::ZERO => None,
        Standing::AgentDrain | Standing::AgentMaintenance | Standing::HeldDespiteAgent => {
            Some(u8::from(member.advice.mode == Some(Mode::Maintenance)))
        }
        _ => None,
    }
}

fn is_held(member: &Member) -> bool {
    member.decision.standing == Standing::HeldThoughDown
}

/// Since when a member is down that could be held.
fn fell(member: &Member) -> Option<Timestamp> {
    match member.health {
        Health::Down { since }
            if member.admin == Admin::Pooled
                && member.weight > Weight::ZERO
                && member.decision.standing != Standing::OffLink =>
        {
            Some(since)
        }
        Health::Down { .. } | Health::Unknown | Health::Up { .. } => None,
    }
}

/// The kernel is to have what was decided, nothing else.
fn entries_are_right(
    seen: &Seen<'_>,
    (name, service): (&str, &ServiceState),
    (family, pool): (Family, &Pool),
) -> Outcome {
    if service.waiting.is_some() {
        return Ok(());
    }
    let members = pool.members.values().filter(|member| member.admin != Admin::Inactive);
    let mut expected: BTreeMap<DestinationKey, Weight> =
        pool.draining.keys().map(|key| (*key, Weight::ZERO)).collect();
    let port = service.config.backend_port;
    expected.extend(members.map(|m| (DestinationKey { address: m.address, port }, m.decision.weight)));
    for (_, key) in service.keys().filter(|(vip, _)| Family::of(*vip) == family) {
        let entry = seen.after.wanted.table.get(&key);
        let found: BTreeMap<DestinationKey, Weight> =
            entry.iter().flat_map(|e| &e.destinations).map(|(key, d)| (*key, d.weight)).collect();
        ensure!(found == expected, "3 table", "{name}: {key} is to be {found:?}, decided is {expected:?}");
    }
    Ok(())
}
