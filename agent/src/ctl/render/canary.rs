//! A service's canary on one VIP.

use super::{Paint, ago, line};
use crate::core::view::CanaryView;

/// What it says, since when and why.
pub(super) fn canary_text(text: &mut String, before: &str, canary: &CanaryView, paint: Paint) {
    let CanaryView { vip, state, since, reason } = canary;
    let state = match state.as_str() {
        "up" => paint.good(state),
        "down" => paint.bad(state),
        _ => paint.odd(state),
    };
    line(text, format_args!("{before}canary of {vip}: {state} since {}: {reason}", ago(*since)));
}
