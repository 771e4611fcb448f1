//! What is set beside the table: read, compared, brought to what is wanted.

use super::kernel::Kernel;
use crate::core::settings::{WantedSettings, running};
use ipvs::{DaemonRole, Error, Settings};
use std::collections::BTreeSet;

/// The kernel's settings, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Beside(Option<Settings>);

/// What came of bringing them to what is wanted.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// What was done, in words.
    pub(super) done: Vec<String>,
    /// The kernel's refusals.
    pub(super) failures: Vec<String>,
}

impl Beside {
    /// The sync daemons that run; none while nobody has to look.
    pub(super) fn daemons(&self) -> BTreeSet<DaemonRole> {
        self.0.as_ref().map(running).unwrap_or_default()
    }

    /// What would have to be done, in words. Reads.
    pub(super) async fn compare(
        &mut self,
        ipvs: &Kernel,
        want: &WantedSettings,
    ) -> Result<Vec<String>, Error> {
        if want.is_nothing() {
            return Ok(Vec::new());
        }
        let have = ipvs.settings().await?;
        let differences = want.controls(&have).iter().map(ToString::to_string).collect();
        self.0 = Some(have);
        Ok(differences)
    }

    /// Reads if asked to or if nothing is known, then does what differs.
    pub(super) async fn settle(
        &mut self,
        ipvs: &Kernel,
        want: &WantedSettings,
        must_read: bool,
    ) -> Result<Settled, Error> {
        let known = self.0.take().filter(|_| !must_read);
        if want.is_nothing() {
            return Ok(Settled::default());
        }
        let have = match known {
            Some(have) => have,
            None => ipvs.settings().await?,
        };
        let controls = want.controls(&have);
        if controls.is_empty() {
            self.0 = Some(have);
            return Ok(Settled::default());
        }
        let mut settled = Settled::default();
        let words: Vec<String> = controls.iter().map(ToString::to_string).collect();
        for (words, result) in words.into_iter().zip(ipvs.control(controls).await?) {
            match result {
                Ok(()) => settled.done.push(words),
                Err(error) => settled.failures.push(error.to_string()),
            }
        }
        // The kernel fills in what was left to it.
        self.0 = Some(ipvs.settings().await?);
        Ok(settled)
    }
}
