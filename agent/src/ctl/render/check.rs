//! One check of a backend, for `lvsctl why`.

use super::{Paint, ago, line};
use crate::core::Timestamp;
use crate::core::view::CheckView;
use std::time::SystemTime;

/// A certificate that expires sooner is told in colour: time enough to renew it on a working day.
const SOON_DAYS: u64 = 14;

/// What it asks, how it stands, and its past.
pub(super) fn check_text(text: &mut String, check: &CheckView, paint: Paint) {
    let verdict = match check.verdict.as_str() {
        "up" => paint.good(&check.verdict),
        "down" => paint.bad(&check.verdict),
        _ => paint.odd(&check.verdict),
    };
    let since = check.since.map_or_else(String::new, |since| format!(" since {since} ({})", ago(since)));
    let latency = check.latency.map_or_else(String::new, |latency| {
        format!(", last success took {:.1} ms", latency.as_secs_f64() * 1000.0)
    });
    line(text, format_args!("  {}: {verdict}{since}{latency}", check.check));
    if let Some(failure) = &check.failure {
        let last = check.last.map_or_else(String::new, |last| format!(" ({})", ago(last)));
        line(text, format_args!("    its last probe{last}: {failure}"));
    }
    if let Some(agent) = &check.agent {
        line(text, format_args!("    the agent asks for {agent}"));
    }
    if let Some(expires) = check.certificate_expires {
        line(text, format_args!("    the certificate {}", expiry(expires, paint)));
    }
    for change in &check.history {
        let failure = change.failure.as_ref().map_or_else(String::new, |failure| format!(": {failure}"));
        line(text, format_args!("    {} {} ({}){failure}", change.at, change.verdict, ago(change.at)));
    }
}

fn expiry(expires: Timestamp, paint: Paint) -> String {
    let left = expires.since(Timestamp::from(SystemTime::now())).as_secs();
    let days = left / 86_400;
    match left {
        0 => paint.bad(&format!("expired at {expires}")),
        _ if days < SOON_DAYS => paint.odd(&format!("expires at {expires}, in {days} days")),
        _ => format!("expires at {expires}, in {days} days"),
    }
}
