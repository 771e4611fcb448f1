//! `type = "idle"`: a connection that is kept.

use super::{Asks, Type, given, keys, taken};
use crate::config::value::duration;
use crate::config::walk::Section;
use health::spec::{DEFAULT_MAX_DELAY, MAX_PERIOD, MIN_PERIOD};
use health::{Idle, Kind};

pub(super) const IDLE: Type = Type { name: "idle", keys: keys!["max_delay"], asks: Asks::ServicePort, read };

fn read(section: &Section<'_>) -> Option<Kind> {
    let max_delay =
        given(section, "max_delay", DEFAULT_MAX_DELAY, |node| duration(node, MIN_PERIOD..=MAX_PERIOD));
    taken(section, Idle::new(max_delay?)).map(Kind::Idle)
}
