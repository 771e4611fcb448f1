//! What the kernel's IPVS is set to beside its table: timeouts, and the daemons that share connections with other
//! balancers.

use ipvs::{Control, DaemonRole, Settings, diff_settings};
use serde::Serialize;
use std::collections::BTreeSet;

/// Both roles, in the order in which they are told.
pub const ROLES: [DaemonRole; 2] = [DaemonRole::Master, DaemonRole::Backup];

/// The settings that are wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WantedSettings {
    /// What is configured. A timeout that is not stays as it is.
    pub settings: Settings,
    /// Sync daemons that are ours: one that is not configured is to be stopped. Others are left alone.
    pub owned: BTreeSet<DaemonRole>,
}

impl WantedSettings {
    /// Whether nothing is wanted: then nobody has to look.
    pub fn is_nothing(&self) -> bool {
        self.owned.is_empty() && self.settings == Settings::default()
    }

    /// The smallest list of writes that brings the kernel to what is wanted.
    pub fn controls(&self, have: &Settings) -> Vec<Control> {
        let mut want = self.settings.clone();
        for role in ROLES {
            if want.daemon(role).is_none() && !self.owned.contains(&role) {
                want.set_daemon(role, have.daemon(role).cloned());
            }
        }
        diff_settings(have, &want)
    }

    /// Takes the daemons that are configured for ours. True when one was not.
    pub(super) fn own_configured(&mut self) -> bool {
        let before = self.owned.len();
        self.owned.extend(ROLES.into_iter().filter(|role| self.settings.daemon(*role).is_some()));
        self.owned.len() > before
    }

    /// Gives those up that are neither configured nor running. True when there was one.
    pub(super) fn disown_gone(&mut self, running: &BTreeSet<DaemonRole>) -> bool {
        let before = self.owned.len();
        let settings = &self.settings;
        self.owned.retain(|role| settings.daemon(*role).is_some() || running.contains(role));
        self.owned.len() < before
    }
}

/// The daemons that run.
pub fn running(settings: &Settings) -> BTreeSet<DaemonRole> {
    ROLES.into_iter().filter(|role| settings.daemon(*role).is_some()).collect()
}
