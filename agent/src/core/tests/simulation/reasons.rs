//! Every decision carries its reason.

use super::rules::{Outcome, Seen};
use super::{Broken, ensure};
use crate::core::{Action, view};

/// Who is pooled or not, and what is announced or not, is told when it becomes so.
pub(super) fn changes_are_told(seen: &Seen<'_>) -> Outcome {
    let notices = || {
        seen.actions.iter().filter_map(|action| match action {
            Action::Notice(notice) => Some(notice),
            _ => None,
        })
    };
    for (name, service) in seen.after.services.iter() {
        let Some(before) = seen.before.services.get(name) else { continue };
        for (family, pool) in service.pools.iter() {
            let Some(before) = before.pools.get(family) else { continue };
            for (host, member) in pool.members.iter() {
                let before = before.members.get(host).filter(|before| before.address == member.address);
                let was = before.map(|before| before.decision.standing);
                let is = member.decision.standing;
                if was.is_none_or(|was| was == is) {
                    continue;
                }
                let subject = format!("{host} ({})", member.address);
                let is_told = notices().any(|notice| {
                    let is_about = notice.subject.as_ref().is_some_and(|about| about.contains(&subject));
                    is_about && notice.service.as_deref() == Some(&**name) && !notice.reason.is_empty()
                });
                ensure!(
                    is_told,
                    "9 reasons",
                    "{subject} of {name} was {was:?}, is {is:?}, and nobody is told"
                );
            }
        }
    }
    // A drain of the whole balancer is told once.
    let is_told_whole =
        seen.before.saved.drained != seen.after.saved.drained || seen.before.drain != seen.after.drain;
    for (vip, known) in &seen.after.vips {
        let was = seen.before.vips.get(vip).is_some_and(|before| before.announced);
        let is_about = |subject: &Option<String>| subject.as_deref() == Some(&*vip.to_string());
        let is_told = was == known.announced
            || is_told_whole
            || notices().any(|notice| is_about(&notice.subject) && !notice.reason.is_empty());
        ensure!(is_told, "9 reasons", "{vip} was announced: {was}, is not so any more, and nobody is told");
    }
    Ok(())
}

pub(super) fn everything_has_a_reason(seen: &Seen<'_>) -> Outcome {
    let status =
        view::status(seen.after, &view::Asked::default()).map_err(|error| Broken::new("9 reasons", error))?;
    for service in &status.services {
        for backend in service.pools.iter().flat_map(|pool| &pool.backends) {
            ensure!(!backend.reason.is_empty(), "9 reasons", "{} in {} has none", backend.host, service.name);
            ensure!(backend.since <= seen.now, "9 reasons", "{} is so since later", backend.host);
        }
        for canary in &service.canaries {
            ensure!(!canary.reason.is_empty(), "9 reasons", "a canary of {} has none", service.name);
            ensure!(canary.since <= seen.now, "9 reasons", "a canary of {} is so since later", service.name);
        }
        for unusable in &service.unusable {
            ensure!(!unusable.reason.is_empty(), "9 reasons", "{} is unusable without one", unusable.host);
        }
    }
    for vip in &status.vips {
        ensure!(!vip.reason.is_empty(), "9 reasons", "{} has none", vip.address);
        ensure!(vip.since <= seen.now, "9 reasons", "{} is so since later", vip.address);
    }
    for source in &status.sources {
        let is_said = source.state != "away" || source.error.is_some();
        ensure!(is_said, "9 reasons", "source {} is away without one", source.name);
    }
    Ok(())
}
