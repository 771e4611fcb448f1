//! From facts to findings (pure): one small function for each thing that can be wrong.

mod daemon;
mod modules;
mod network;
mod sysctls;
mod writers;

pub use sysctls::{IPVS_SYSCTLS, IpvsSysctl};
pub use writers::WRITERS;

use super::{Facts, Finding};

/// Everything that was looked at, what is most urgent first.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let rules: [fn(&Facts) -> Vec<Finding>; 5] =
        [daemon::all, modules::all, sysctls::all, network::all, writers::all];
    let mut findings: Vec<Finding> = rules.iter().flat_map(|rule| rule(facts)).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}
