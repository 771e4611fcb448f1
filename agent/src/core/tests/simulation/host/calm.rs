//! When nothing more goes wrong: a host comes to rest, and starts again.

use super::super::incident::{FileIs, NAMES};
use super::{Host, Outcome};
use crate::config::Backend;
use crate::core::event::Command;
use health::Verdict;
use std::time::Duration;

impl Host {
    /// Everything outside works from now on, and enough time passes for all that waits for time.
    pub(in super::super) fn settles(&mut self) -> Outcome {
        (self.kernel.is_deaf, self.device.refuses, self.is_slow) = (false, false, false);
        self.links.is_blind = false;
        self.pending.extend(self.links.look());
        if self.processes == 0 {
            self.start()?;
        }
        (self.kernel.refuses, self.kernel.loses_answers_after) = (None, None);
        self.kernel.connections.clear();
        self.dies_after = None;
        self.events = 0;
        self.drain()?;
        for path in self.watched.clone() {
            if !matches!(self.files.get(&path), Some(FileIs::Good(_))) {
                self.files.insert(path.clone(), FileIs::Good(good_pool()));
                self.read_file(&path);
            }
        }
        for host in NAMES {
            if self.names.get(host).is_none_or(Vec::is_empty) {
                let address = if host == "rs5" { [10, 64, 0, 15] } else { [10, 64, 0, 16] };
                self.names.insert(host.into(), vec![address.into()]);
            }
            if self.resolved.contains(host) {
                self.look_up(host);
            }
        }
        self.drain()?;
        self.pending.extend(self.sources.settle(&good_pool()));
        self.pending.extend(self.nodes.settle());
        self.drain()?;
        // An operator looks at what is held back, and finds that it is meant.
        for (source, _) in self.config().sources.clone() {
            if self.state.found.held(&source).is_some() {
                self.operate(Command::Confirm { service: source.to_string() })?;
            }
        }
        self.health.retain(|_, verdict| *verdict != Verdict::Unknown);
        for seconds in [61, 61, 61] {
            self.pass(Duration::from_secs(seconds))?;
            self.checks_speak(usize::MAX)?;
        }
        self.pass(Duration::from_secs(61))
    }

    /// The same again: a process that finds everything as the last one left it, and hears the same.
    pub(in super::super) fn restarts_unchanged(&mut self) -> Outcome {
        (self.kernel.writes, self.nodes.writes) = (Vec::new(), 0);
        let said = self.checks.clone();
        self.start()?;
        for (check, verdict) in said {
            if let (Some((verdict, _)), true) = (verdict, self.checks.contains_key(&check)) {
                self.report(check, verdict)?;
            }
        }
        self.pass(Duration::from_secs(61))
    }
}

fn good_pool() -> Vec<Backend> {
    let weight = ipvs::Weight::new(10).unwrap();
    let backend = |host: &str| Backend {
        host: host.into(),
        weight,
        pooled: crate::config::Admin::Pooled,
        limits: Default::default(),
        addresses: None,
    };
    ["10.64.0.11", "10.64.0.12", "10.64.0.13"].map(backend).into()
}
