//! From facts to findings (pure): one small function for each thing that can be wrong.

mod daemon;
mod modules;
mod network;
mod probes;
mod sysctls;
mod writers;

pub use sysctls::{SYSCTLS, Sysctl};
pub use writers::WRITERS;

use super::{Facts, Finding};

/// Everything that was looked at, what is most urgent first.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let rules: [fn(&Facts) -> Vec<Finding>; 6] =
        [daemon::all, modules::all, sysctls::all, network::all, probes::all, writers::all];
    let mut findings: Vec<Finding> = rules.iter().flat_map(|rule| rule(facts)).collect();
    for finding in &mut findings {
        finding.run = finding.run.take().map(|command| with_socket(command, facts));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// A command as it can be typed here: `lvsctl` has to be told of a control socket that is not the usual one.
fn with_socket(command: String, facts: &Facts) -> String {
    let Some(socket) = &facts.socket else { return command };
    let (before, words) = match command.strip_prefix("sudo ") {
        Some(rest) => ("sudo ", rest),
        None => ("", command.as_str()),
    };
    match words.strip_prefix("lvsctl ") {
        Some(words) => format!("{before}lvsctl --socket {} {words}", socket.display()),
        None => command,
    }
}
