//! `type = "command"`, a program on this host; and `type = "icmp"`, which needs no settings of its own.

use super::{Asks, Type, given, keys, taken};
use crate::config::walk::{Node, Section};
use health::spec::User;
use health::{CommandParts, Kind, Program};
use std::collections::BTreeMap;

pub(super) const COMMAND: Type =
    Type { name: "command", keys: keys!["command", "arguments", "uid", "gid"], asks: Asks::Program, read };

pub(super) const ICMP: Type =
    Type { name: "icmp", keys: keys![], asks: Asks::Host, read: |_| Some(Kind::Icmp) };

const COMMAND_PATH: &str = "the absolute path of a program; no shell reads it";
const ARGUMENTS: &str = "an array of texts";
const NUMBER: &str = "the number of a user or group without privileges, 1-4294967294";

fn read(section: &Section<'_>) -> Option<Kind> {
    let program = section
        .required("command", COMMAND_PATH)
        .and_then(|node| node.parsed(COMMAND_PATH, |text| text.starts_with('/').then(|| text.to_owned())));
    let arguments = given(section, "arguments", Vec::new(), arguments);
    let nobody = User::default();
    let number = |key, default| given(section, key, default, |node| node.integer(NUMBER, 1..=u32::MAX - 1));
    let (uid, gid) = (number("uid", nobody.uid), number("gid", nobody.gid));
    let parts = CommandParts {
        program: program?,
        arguments: arguments?,
        values: BTreeMap::new(),
        user: User { uid: uid?, gid: gid? },
    };
    taken(section, Program::new(parts)).map(Kind::Command)
}

fn arguments(node: &Node<'_>) -> Option<Vec<String>> {
    node.array(ARGUMENTS)?.iter().map(|item| item.string(ARGUMENTS).map(ToOwned::to_owned)).collect()
}
