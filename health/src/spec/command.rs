//! A program that finds out whether a server serves.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::SpecError;

/// The bound on a command's arguments together, in bytes, and on their number: well under the kernel's for one process,
/// and more than a person would write.
const MAX_ARGUMENTS: usize = 256;
const MAX_LENGTH: usize = 32 * 1024;

/// Names that are the target's own.
const ADDRESS: &str = "address";
const PORT: &str = "port";

/// A name that is the probe's own: that of a command's mark in its environment.
pub(crate) const RUN: &str = "run";

/// The parts of a [`Program`], not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandParts {
    /// The absolute path of the program. It is run itself: no shell reads it or its arguments.
    pub program: String,
    /// Its arguments. `{address}` and `{port}` in them become the target's, and `{NAME}` becomes what `values` has under
    /// that name; everything else in braces stays as it is.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Further names and what they stand for, `host` and `service` for example: lower-case letters, digits and `_`.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Who it runs as when this process is root; else it runs as this process' user.
    #[serde(default)]
    pub user: User,
}

/// A user and a group without privileges. No further groups come with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The user's number, not 0.
    pub uid: u32,
    /// The group's number, not 0.
    pub gid: u32,
}

/// `nobody` and its group, as the kernel numbers those that it does not know (kernel.overflowuid).
impl Default for User {
    fn default() -> Self {
        Self { uid: 65534, gid: 65534 }
    }
}

/// A program that finds out whether a server serves: it exits with 0 if so. Made from [`CommandParts`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "CommandParts", into = "CommandParts")]
pub struct Program(CommandParts);

impl Program {
    /// Checks the parts.
    ///
    /// # Errors
    /// [`SpecError::Command`] for the first part that cannot be run.
    pub fn new(parts: CommandParts) -> Result<Self, SpecError> {
        let refused = |what, why: String| Err(SpecError::Command { what, why });
        if !parts.program.starts_with('/') || parts.program.ends_with('/') {
            return refused("command", format!("expected an absolute path, found {:?}", parts.program));
        }
        if parts.arguments.len() > MAX_ARGUMENTS {
            let found = parts.arguments.len();
            return refused("arguments", format!("expected at most {MAX_ARGUMENTS}, found {found}"));
        }
        let length: usize = parts.arguments.iter().chain(parts.values.values()).map(String::len).sum();
        if length > MAX_LENGTH {
            return refused("arguments", format!("expected at most {MAX_LENGTH} bytes, found {length}"));
        }
        let texts = parts.arguments.iter().chain(parts.values.values()).chain([&parts.program]);
        if let Some(text) = texts.into_iter().find(|text| text.contains('\0')) {
            return refused("arguments", format!("expected no zero byte, found {text:?}"));
        }
        let is_name = |name: &str| {
            let mut bytes = name.bytes();
            bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
                && bytes.all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        };
        for name in parts.values.keys() {
            if !is_name(name) || [ADDRESS, PORT, RUN].contains(&name.as_str()) {
                return refused("values", format!("expected a name such as host, found {name:?}"));
            }
        }
        if parts.user.uid == 0 || parts.user.gid == 0 {
            return refused("user", "expected a user and a group without privileges, found root".to_owned());
        }
        Ok(Self(parts))
    }

    /// The parts, all of them valid.
    pub fn parts(&self) -> &CommandParts {
        &self.0
    }

    /// The arguments for this target.
    pub(crate) fn arguments(&self, target: SocketAddr) -> Vec<String> {
        let values = self.values(target);
        self.0.arguments.iter().map(|argument| placed(argument, &values)).collect()
    }

    /// All names and what they stand for, for this target.
    pub(crate) fn values(&self, target: SocketAddr) -> BTreeMap<&str, String> {
        let own = [(ADDRESS, target.ip().to_string()), (PORT, target.port().to_string())];
        let given = self.0.values.iter().map(|(name, value)| (name.as_str(), value.clone()));
        given.chain(own).collect()
    }
}

/// `text` with `{NAME}` replaced in one pass: what a name stands for is not looked at again.
fn placed(text: &str, values: &BTreeMap<&str, String>) -> String {
    let mut placed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        placed.push_str(before);
        let name = after.split_once('}').and_then(|(name, after)| Some((values.get(name)?, after)));
        match name {
            Some((value, after)) => {
                placed.push_str(value);
                rest = after;
            }
            None => {
                placed.push('{');
                rest = after;
            }
        }
    }
    placed.push_str(rest);
    placed
}

/// The program's path. Its arguments are left out: they may be many, and may hold what is not for every eye.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.program)
    }
}

impl TryFrom<CommandParts> for Program {
    type Error = SpecError;

    fn try_from(parts: CommandParts) -> Result<Self, SpecError> {
        Self::new(parts)
    }
}

impl From<Program> for CommandParts {
    fn from(program: Program) -> Self {
        program.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(arguments: &[&str]) -> CommandParts {
        CommandParts {
            program: "/usr/lib/checks/ldap".to_owned(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            values: BTreeMap::from([("host".to_owned(), "{port}".to_owned())]),
            user: User::default(),
        }
    }

    #[test]
    fn what_names_stand_for_is_placed_once_and_other_braces_stay() {
        let arguments =
            ["-H{address}", "{port}:{port}", "{host}", "{", "}{", "{nope}", "{{port}}", "{print $1}", ""];
        let program = Program::new(parts(&arguments)).expect("a program");
        let target = "[fd00::11]:389".parse().expect("an address");
        let expected = ["-Hfd00::11", "389:389", "{port}", "{", "}{", "{nope}", "{389}", "{print $1}", ""];
        assert_eq!(program.arguments(target), expected);
    }

    #[test]
    fn what_cannot_be_run_or_would_run_as_root_is_refused() {
        let refused = |what: &str, change: fn(&mut CommandParts)| {
            let mut parts = parts(&["-v"]);
            change(&mut parts);
            let refused = Program::new(parts);
            assert!(
                matches!(&refused, Err(SpecError::Command { what: found, .. }) if *found == what),
                "{refused:?}"
            );
        };
        refused("command", |parts| parts.program = "ldap".to_owned());
        refused("command", |parts| parts.program = "/usr/lib/".to_owned());
        refused("arguments", |parts| parts.program.push('\0'));
        refused("arguments", |parts| parts.arguments.push("a\0b".to_owned()));
        refused("arguments", |parts| parts.arguments = vec![String::new(); MAX_ARGUMENTS + 1]);
        refused("arguments", |parts| parts.arguments.push("x".repeat(MAX_LENGTH)));
        for name in ["", "Host", "1", "a-b", "port", "address", "run"] {
            let values = BTreeMap::from([(name.to_owned(), String::new())]);
            assert!(Program::new(CommandParts { values, ..parts(&[]) }).is_err(), "{name:?}");
        }
        refused("user", |parts| parts.user.uid = 0);
        refused("user", |parts| parts.user.gid = 0);
    }

    proptest! {
        #[test]
        fn a_text_without_a_known_name_stays_as_it_is(text in "[{}a-c]{0,40}") {
            prop_assert_eq!(placed(&text, &BTreeMap::from([("d", String::new())])), text);
        }
    }
}
