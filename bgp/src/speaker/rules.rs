//! What of a peer's configuration changes while its session goes on.

use super::PeerConfig;
use crate::policy::{ExportFilter, Import, Overrides};

/// What is taken from a neighbour, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) import: Option<Import>,
    pub(crate) export: ExportFilter,
    pub(crate) overrides: Overrides,
}

impl PeerConfig {
    pub(crate) fn rules(&self) -> Rules {
        let (import, export) = (self.import.clone(), self.export.clone());
        Rules { import, export, overrides: self.overrides }
    }

    pub(crate) fn set_rules(&mut self, rules: Rules) {
        (self.import, self.export, self.overrides) = (rules.import, rules.export, rules.overrides);
    }

    /// Whether a session with one of these configurations goes on with the other. Whether several paths are taken is said
    /// in the OPEN.
    pub(super) fn keeps_session_of(&self, other: &Self) -> bool {
        let mut same = Self { bfd: self.bfd, ..other.clone() };
        same.set_rules(self.rules());
        let several = |peer: &Self| peer.import.as_ref().is_some_and(|import| import.add_path);
        *self == same && several(self) == several(other)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{Asn, BfdConfig};

    #[test]
    fn rules_and_bfd_keep_a_session_and_nothing_else_does() {
        let asn = Asn::new(65_001).unwrap();
        let peer = PeerConfig::new("r1", Ipv4Addr::LOCALHOST.into(), asn);
        let import = |add_path| Some(Import { add_path, ..Import::new(Vec::new()) });
        let overrides = Overrides { med: Some(1), prepend: None };
        for same in [
            PeerConfig { import: import(false), ..peer.clone() },
            PeerConfig { export: ExportFilter::Only(Vec::new()), ..peer.clone() },
            PeerConfig { overrides, ..peer.clone() },
            PeerConfig { bfd: Some(BfdConfig::default()), ..peer.clone() },
        ] {
            assert!(same.keeps_session_of(&peer) && peer.keeps_session_of(&same), "{same:?}");
        }
        for other in [
            PeerConfig { import: import(true), ..peer.clone() },
            PeerConfig { multihop: Some(2), ..peer.clone() },
            PeerConfig { graceful_restart: false, ..peer.clone() },
        ] {
            assert!(!other.keeps_session_of(&peer) && !peer.keeps_session_of(&other), "{other:?}");
        }
    }
}
