//! The engine: the sole owner of the core's state.
//!
//! One task takes inputs one at a time, steps the core, and hands the actions to the executors. It never waits for
//! an executor: their wanted states are watch channels. The only I/O that it does itself is writing the state
//! file, whose place in the order of actions matters.

mod clock;
mod inbox;

pub use clock::Clock;
pub use inbox::{Gone, INBOX, Inbox, Input, Query};

use crate::core::action::{Answer, Level, Notice};
use crate::core::event::Request;
use crate::core::{Action, Event, State, step, view};
use crate::exec::{addresses, checks, ipvs, routes, state_file};
use crate::metrics::Metrics;
use crate::sources::{files, names};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Everything that acts for the engine.
#[derive(Debug)]
pub struct Executors {
    /// The kernel's IPVS table.
    pub ipvs: ipvs::Handle,
    /// The VIPs' device.
    pub addresses: addresses::Handle,
    /// The BGP speaker, where one is configured.
    pub routes: Option<routes::Handle>,
    /// The health checks.
    pub checks: checks::Handle,
    /// The pool files.
    pub files: files::Handle,
    /// The host names.
    pub names: names::Handle,
    /// Where the state file is.
    pub state_file: PathBuf,
}

/// The engine before it runs.
#[derive(Debug)]
pub struct Engine {
    state: State,
    clock: Clock,
    inbox: mpsc::Receiver<Input>,
    executors: Executors,
    metrics: Arc<Metrics>,
    /// Operators who wait for an answer, by request.
    waiting: BTreeMap<u64, oneshot::Sender<Answer>>,
    requests: u64,
    /// Why the state file could not be written, as of the last attempt.
    unsaved: Option<String>,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(inbox: mpsc::Receiver<Input>, executors: Executors, metrics: Arc<Metrics>) -> Self {
        Self {
            state: State::new(),
            clock: Clock::start(),
            inbox,
            executors,
            metrics,
            waiting: BTreeMap::new(),
            requests: 0,
            unsaved: None,
        }
    }

    /// Runs until the core says that all is done, then stops the executors. What is in the kernel stays there.
    pub async fn run(mut self) {
        loop {
            let input = match self.wait_time() {
                None => self.inbox.recv().await,
                // A receive that is dropped has taken nothing.
                Some(pause) => match tokio::time::timeout(pause, self.inbox.recv()).await {
                    Ok(input) => input,
                    Err(_) => Some(Input::Event(Event::Tick)),
                },
            };
            let Some(input) = input else { break };
            if self.take(input).await == Flow::Exit {
                break;
            }
        }
        let Executors { ipvs, addresses, routes, checks, files, names, .. } = self.executors;
        checks.stop();
        files.stop();
        names.stop();
        if let Some(routes) = routes {
            routes.shutdown("lvsd stops").await;
        }
        ipvs.stop();
        addresses.stop();
    }

    fn wait_time(&self) -> Option<Duration> {
        let now = self.clock.now();
        self.state.next_wakeup().map(|due| due.since(now))
    }

    async fn take(&mut self, input: Input) -> Flow {
        match input {
            Input::Event(event) => self.event(event).await,
            Input::Operate { who, command, reply } => {
                self.requests += 1;
                let id = self.requests;
                self.waiting.insert(id, reply);
                self.event(Event::Operator(Request { id, who, command })).await
            }
            Input::Query(query) => {
                self.answer(query);
                Flow::Go
            }
        }
    }

    async fn event(&mut self, event: Event) -> Flow {
        if let Event::Configured(config) = &event {
            self.executors.names.set_interval(config.daemon.resolve_interval);
        }
        let begin = Instant::now();
        let actions = step(&mut self.state, event, self.clock.now());
        self.metrics.step(begin.elapsed());
        let mut flow = Flow::Go;
        for action in actions {
            if self.act(action, begin).await == Flow::Exit {
                flow = Flow::Exit;
            }
        }
        flow
    }

    async fn act(&mut self, action: Action, since: Instant) -> Flow {
        match action {
            Action::Save(saved) => {
                let path = self.executors.state_file.clone();
                let saved = tokio::task::spawn_blocking(move || state_file::save(&path, &saved)).await;
                self.unsaved = match saved {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(error) => Some(error.to_string()),
                };
                if let Some(error) = &self.unsaved {
                    tracing::error!(
                        error,
                        "the state file could not be written: a restart would forget this change"
                    );
                }
            }
            Action::SyncIpvs(table) => self.executors.ipvs.set(table, since),
            Action::ReadKernel => {
                self.executors.ipvs.read();
                self.executors.addresses.read();
            }
            Action::SetAddresses(addresses) => self.executors.addresses.set(addresses),
            Action::SetRoutes(routes) => {
                self.executors.routes.iter().for_each(|e| e.set_routes(routes.clone()))
            }
            Action::SetPeers(bgp) => self.executors.routes.iter().for_each(|e| e.set_peers(&bgp)),
            Action::SetChecks(checks) => self.executors.checks.set(checks),
            Action::WatchFiles(files) => self.executors.files.set(files),
            Action::ResolveHosts(names) => self.executors.names.set(names),
            Action::Reply { id, answer } => self.reply(id, answer),
            Action::Notice(notice) => self.log(&notice),
            Action::Exit => return Flow::Exit,
        }
        Flow::Go
    }

    fn reply(&mut self, id: u64, answer: Answer) {
        let answer = answer.map(|mut done| {
            if let Some(error) = &self.unsaved {
                done.message += &format!("; but it will be forgotten by a restart: {error}");
            }
            done
        });
        if let Some(waiting) = self.waiting.remove(&id) {
            // Who asked may have gone; what was done is done and logged.
            drop(waiting.send(answer));
        }
    }

    fn log(&self, notice: &Notice) {
        self.metrics.notice(notice);
        let Notice { level, service, subject, what, reason } = notice;
        match level {
            Level::Info => tracing::info!(service, subject, reason, "{what}"),
            Level::Warn => tracing::warn!(service, subject, reason, "{what}"),
            Level::Error => tracing::error!(service, subject, reason, "{what}"),
        }
    }

    /// Answers a question. Who asked may have gone meanwhile, which harms nobody.
    fn answer(&self, query: Query) {
        match query {
            Query::Status { service, reply } => {
                drop(reply.send(view::status(&self.state, service.as_deref())))
            }
            Query::Why { host, reply } => drop(reply.send(view::why(&self.state, &host))),
            Query::Ready { reply } => drop(reply.send(self.state.is_ready())),
        }
    }
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Go,
    Exit,
}
