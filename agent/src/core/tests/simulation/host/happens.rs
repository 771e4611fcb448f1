//! What becomes of a host by an incident.

use super::super::configurations::configuration;
use super::super::incident::{Asked, FILES, FileIs, InKernel, Incident, Link, Probed, Source};
use super::super::links::asked;
use super::super::rules::Said;
use super::super::sources::SOURCES;
use super::{Host, Outcome};
use crate::config::PoolId;
use crate::core::Event;
use crate::core::change::Object;
use crate::core::event::{Command, Note, Request};
use crate::core::inventory::Snapshots;
use crate::core::saved::Saved;
use health::{Advice, Check, Verdict};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

impl Host {
    pub(in super::super) fn happens(&mut self, incident: &Incident) -> Outcome {
        self.events = 0;
        let is_before = matches!(incident, Incident::Source(_) | Incident::Killed { .. });
        if self.processes == 0 && !is_before {
            self.start()?;
        }
        match incident {
            Incident::Passes { millis } => self.pass(Duration::from_millis(*millis)),
            Incident::Leaps { millis } => {
                self.now = self.now + Duration::from_millis(*millis);
                self.event(Event::Tick)
            }
            Incident::SetBack { millis } => {
                let back = self.set_back + Duration::from_millis(*millis);
                set(&mut self.set_back, back)
            }
            Incident::Tick => self.event(Event::Tick),
            Incident::Probed(what) => self.probed(what),
            Incident::Source(what) => self.source(what),
            Incident::Configured { number } => self.configure(*number),
            Incident::Asked(what) => self.asked(what),
            Incident::Link(what) => self.link(what),
            Incident::Kernel(what) => self.in_kernel(what),
            Incident::Node(what) => {
                self.pending.extend(self.nodes.happens(what));
                self.drain()
            }
            Incident::DeviceRefuses(refuses) => set(&mut self.device.refuses, *refuses),
            Incident::Slow(is_slow) => {
                self.is_slow = *is_slow;
                self.drain()
            }
            Incident::Stop => self.stop(),
            Incident::Killed { loses_state, loses_snapshots, number } => {
                self.lose(*loses_state, *loses_snapshots);
                self.number = number.unwrap_or(self.number);
                self.start()
            }
            Incident::KilledAfter { actions } => set(&mut self.dies_after, Some(*actions)),
        }
    }

    fn lose(&mut self, loses_state: bool, loses_snapshots: bool) {
        if loses_state {
            self.rules.orphaned(&self.saved);
            self.saved = Saved::default();
        }
        if loses_snapshots {
            self.snapshots = Snapshots::new();
        }
    }

    fn probed(&mut self, what: &Probed) -> Outcome {
        match what {
            Probed::Checked { address, only_first, verdict } => {
                let address: IpAddr = address.parse().unwrap();
                self.health.insert(address, *verdict);
                let all = self.checks.keys().filter(|check| asked(check) == address).cloned();
                let some: Vec<_> = all.take(if *only_first { 1 } else { usize::MAX }).collect();
                some.into_iter().try_for_each(|check| self.report(check, *verdict))
            }
            Probed::Advised { address, advice } => {
                let address: IpAddr = address.parse().unwrap();
                let said = self.advice.entry(address).or_default();
                *said = Advice { percent: advice.percent.or(said.percent), mode: advice.mode.or(said.mode) };
                let spoken = self.checks.iter().filter(|(check, _)| asked(check) == address);
                let spoken: Vec<_> =
                    spoken.filter_map(|(check, said)| Some((Arc::clone(check), (*said)?.0))).collect();
                spoken.into_iter().try_for_each(|(check, verdict)| self.report(check, verdict))
            }
            Probed::LateReport { verdict } => match self.former_checks.first().cloned() {
                Some(check) => self.report(check, *verdict),
                None => Ok(()),
            },
            Probed::ChecksSpeak { count } => self.checks_speak(*count),
        }
    }

    fn source(&mut self, what: &Source) -> Outcome {
        match what {
            Source::File { path, is } => {
                self.files.insert(path.into(), is.clone());
                self.read_file(&PathBuf::from(path));
            }
            Source::Files { are } => {
                let before = self.pending.len();
                for (path, is) in FILES.iter().zip(are) {
                    self.files.insert(path.into(), is.clone());
                    self.read_file(&PathBuf::from(path));
                }
                let together: Vec<Event> = self.pending.drain(before..).collect();
                self.pending.push_back(Event::Several(together));
            }
            Source::Name { host, addresses } => {
                let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
                self.names.insert((*host).into(), addresses);
                if self.resolved.contains(*host) {
                    self.look_up(host);
                }
            }
            Source::Is { source, is } => self.pending.extend(self.sources.set(source, *is)),
            Source::Pool { place, is } => self.pending.extend(self.sources.put(*place, is.clone())),
            Source::Services { are, whole } => self.pending.extend(self.sources.put_services(are, *whole)),
            Source::Late { source } => self.pending.extend(self.sources.late(source)),
        }
        self.drain()
    }

    fn asked(&mut self, what: &Asked) -> Outcome {
        let command = match what {
            Asked::TakeOut { host, to, seconds, force } => {
                Command::TakeOut { host: (*host).into(), to: *to, note: note(*seconds, *force) }
            }
            Asked::Pool { host } => Command::Pool { host: (*host).into() },
            Asked::Weigh { host, to, seconds, force } => {
                Command::Weigh { host: (*host).into(), to: *to, note: note(*seconds, *force) }
            }
            Asked::Change { hosts, path, to, force } => {
                let object = |host: &&str| Object {
                    source: SOURCES[0].into(),
                    path: (*path).into(),
                    host: (*host).into(),
                };
                let objects = hosts.iter().map(object).collect();
                Command::ChangeSource { objects, to: *to, note: note(None, *force) }
            }
            Asked::Confirm { service } => Command::Confirm { service: (*service).into() },
            Asked::Vip { vip, to, seconds, force } => {
                Command::Vip { vip: (*vip).into(), to: *to, note: note(*seconds, *force) }
            }
            Asked::Drain { seconds } => Command::DrainBalancer { note: note(*seconds, false) },
            Asked::Undrain => Command::UndrainBalancer,
        };
        self.operate(command)
    }

    fn link(&mut self, what: &Link) -> Outcome {
        match what {
            Link::Way { address, path, neighbour } => {
                self.links.set(address.parse().unwrap(), path.clone(), *neighbour);
                self.pending.extend(self.links.look());
            }
            Link::Blind(is_blind) => {
                self.links.is_blind = *is_blind;
                self.pending.extend(self.links.look());
            }
            Link::NeighboursFailed { addresses } => {
                let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
                return self.event(Event::NeighboursFailed(addresses));
            }
        }
        self.drain()
    }

    fn in_kernel(&mut self, what: &InKernel) -> Outcome {
        match what {
            InKernel::Connections { address, count } => {
                self.kernel.connections.insert(address.parse().unwrap(), *count);
            }
            InKernel::Deaf(is_deaf) => self.kernel.is_deaf = *is_deaf,
            InKernel::Refuses(what) => self.kernel.refuses = Some(*what),
            InKernel::AnswersLost { done } => self.kernel.loses_answers_after = Some(*done),
            InKernel::ByHand(what) => self.kernel.by_hand(*what),
        }
        Ok(())
    }

    /// A reload; one that takes `[nodes]` up or away is refused.
    fn configure(&mut self, number: usize) -> Outcome {
        if configuration(number).nodes.is_some() != self.config().nodes.is_some() {
            return Ok(());
        }
        self.number = number;
        self.event(Event::Configured(configuration(number)))
    }

    pub(super) fn operate(&mut self, command: Command) -> Outcome {
        self.requests += 1;
        self.event(Event::Operator(Request { id: self.requests, who: "ada".into(), command }))
    }

    pub(super) fn report(&mut self, check: Arc<Check>, verdict: Verdict) -> Outcome {
        let advice = self.advice.get(&asked(&check)).copied().unwrap_or_default();
        if let Some(said) = self.checks.get_mut(&check) {
            *said = Some((verdict, advice));
        }
        let failure = (verdict != Verdict::Up).then(|| "connection refused".to_string());
        self.event(Event::Checked { check, verdict, failure, advice })
    }

    pub(super) fn checks_speak(&mut self, count: usize) -> Outcome {
        let is_silent = |said: &Said| matches!(said, None | Some((Verdict::Unknown, _)));
        let silent = self.checks.iter().filter(|(_, said)| is_silent(said)).map(|(check, _)| check);
        for check in silent.take(count).cloned().collect::<Vec<_>>() {
            let verdict = self.health.get(&asked(&check)).copied().unwrap_or(Verdict::Up);
            self.report(check, verdict)?;
        }
        Ok(())
    }

    pub(super) fn read_file(&mut self, path: &PathBuf) {
        if !self.watched.contains(path) {
            return;
        }
        let outcome = match self.files.get(path) {
            Some(FileIs::Good(backends)) => Ok(backends.clone()),
            Some(FileIs::Broken) | None => Err(format!("{}: not JSON", path.display())),
            Some(FileIs::Silent) => return,
        };
        self.pending.push_back(Event::PoolRead { pool: PoolId::File(path.clone()), outcome });
    }

    pub(super) fn look_up(&mut self, host: &str) {
        let outcome = match self.names.get(host) {
            Some(addresses) if !addresses.is_empty() => Ok(addresses.clone()),
            Some(_) | None => Err(format!("{host}: no such name")),
        };
        self.pending.push_back(Event::Resolved { host: host.into(), outcome });
    }
}

fn note(seconds: Option<u64>, force: bool) -> Note {
    Note { reason: Some("disk".into()), force, lasts: seconds.map(Duration::from_secs) }
}

/// From now on it is so, and nothing follows from it at once.
fn set<T>(place: &mut T, value: T) -> Outcome {
    *place = value;
    Ok(())
}
