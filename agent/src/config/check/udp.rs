//! `type = "udp"`: a datagram.

use super::{Asks, Type, given, keys, payload, taken, tcp};
use crate::config::Problem;
use crate::config::value::duration;
use crate::config::walk::Section;
use health::spec::{DEFAULT_HOLD, DEFAULT_WAIT, MAX_PERIOD, MIN_PERIOD};
use health::{Datagram, Kind, Reply, Secret, UdpParts};
use std::time::Duration;

pub(super) const UDP: Type = Type {
    name: "udp",
    keys: keys!["send", "expect", "expect_regex", "wait", "hold"],
    asks: Asks::ServicePort,
    read,
};

fn read(section: &Section<'_>) -> Option<Kind> {
    let payload = given(section, "send", Secret::default(), payload::secret);
    let expected = tcp::pattern(section);
    let wait = given(section, "wait", DEFAULT_WAIT, |node| duration(node, MIN_PERIOD..=MAX_PERIOD));
    let hold = given(section, "hold", DEFAULT_HOLD, |node| duration(node, Duration::ZERO..=MAX_PERIOD));
    let reply = match expected? {
        None => Reply::Optional { wait: wait?, hold: hold? },
        Some(pattern) => match section.get("wait").or(section.get("hold")) {
            None => Reply::Expected(pattern),
            Some(node) => {
                let reason =
                    "where an answer is expected, silence is no success: it is for checks without one";
                node.report_key(Problem::Conflict(reason.to_owned()));
                return None;
            }
        },
    };
    taken(section, Datagram::new(UdpParts { payload: payload?, reply })).map(Kind::Udp)
}
