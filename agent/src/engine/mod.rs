//! The engine: the sole owner of the core's state.
//!
//! One task takes inputs one at a time, steps the core, and hands the actions to the executors. It never waits for
//! an executor, as their wanted states are watch channels; but for the state file when the kernel must not hear of a
//! service before the disk has, and for a second for a log that is stuck.

mod clock;
mod inbox;
pub mod lag;
mod replies;
mod teller;

pub use clock::Clock;
use replies::Replies;
use teller::Teller;

pub use inbox::{Gone, INBOX, Inbox, Input, Query};

use crate::core::event::Request;
use crate::core::numbers::numbers;
use crate::core::{Action, Event, State, change, fleet, nodes, plan, pybal, step, view};
use crate::exec::{addresses, checks, fib, ipvs, paths, routes, saver, snapshots};
use crate::metrics::Metrics;
use crate::record::recorder::Recorder;
use crate::sources::{cluster, names, pools};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Everything that acts for the engine.
#[derive(Debug)]
pub struct Executors {
    /// The kernel's IPVS table.
    pub ipvs: ipvs::Handle,
    /// The VIPs' device.
    pub addresses: addresses::Handle,
    /// The kernel's routes to nodes, where nodes are talked to.
    pub fib: Option<fib::Handle>,
    /// The BGP speaker, where one is configured.
    pub routes: Option<routes::Handle>,
    /// The health checks.
    pub checks: checks::Handle,
    /// The ways to the backends.
    pub paths: paths::Handle,
    /// The pools that are kept elsewhere.
    pub pools: pools::Handle,
    /// The host names.
    pub names: names::Handle,
    /// What is in the cluster.
    pub cluster: cluster::Handle,
    /// The state file.
    pub saver: saver::Handle,
    /// The last good content of pool files.
    pub snapshots: snapshots::Handle,
}

/// The engine before it runs.
#[derive(Debug)]
pub struct Engine {
    state: State,
    clock: Clock,
    inbox: mpsc::Receiver<Input>,
    executors: Executors,
    metrics: Arc<Metrics>,
    replies: Replies,
    teller: Teller,
    /// How many events were taken since start: the latest one's number, as `lvsd replay` counts a recording's.
    events: u64,
    recorder: Option<Recorder>,
}

impl Engine {
    /// An engine that has seen nothing yet.
    ///
    /// # Errors
    /// When there is no thread to be had for the log.
    pub fn new(
        inbox: mpsc::Receiver<Input>,
        executors: Executors,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let teller = Teller::start(Arc::clone(&metrics), teller::log)?;
        Ok(Self {
            state: State::new(),
            clock: Clock::start(),
            inbox,
            executors,
            metrics,
            replies: Replies::default(),
            teller,
            events: 0,
            recorder: None,
        })
    }

    /// Has every event recorded from now on.
    #[must_use]
    pub fn recorded_by(self, recorder: Option<Recorder>) -> Self {
        Self { recorder, ..self }
    }

    /// Runs until the core says that all is done, then stops the executors. What is in the kernel stays there.
    pub async fn run(mut self) {
        loop {
            let wait_time = self.wait_time();
            // Every branch can be dropped at any point: a receive that is dropped has taken nothing.
            let input = tokio::select! {
                input = self.inbox.recv() => input,
                written = self.executors.saver.progress() => {
                    self.replies.written(&written);
                    continue;
                }
                () = sleep_or_wait(wait_time) => Some(Input::Event(Event::Tick)),
            };
            let Some(input) = input else { break };
            if self.take(input).await == Flow::Exit {
                break;
            }
        }
        let Executors {
            ipvs,
            addresses,
            fib,
            routes,
            checks,
            paths,
            pools,
            names,
            cluster,
            saver,
            snapshots,
        } = self.executors;
        checks.stop();
        paths.stop();
        pools.stop();
        names.stop();
        cluster.stop();
        if let Some(routes) = routes {
            routes.shutdown("lvsd stops").await;
        }
        if let Some(fib) = fib {
            fib.stop();
        }
        ipvs.stop();
        addresses.stop();
        saver.finish().await;
        snapshots.finish().await;
        if let Some(recorder) = self.recorder {
            recorder.finish().await;
        }
        self.teller.finish().await;
    }

    fn wait_time(&self) -> Option<Duration> {
        let now = self.clock.now();
        self.state.next_wakeup().map(|due| due.since(now))
    }

    async fn take(&mut self, input: Input) -> Flow {
        match input {
            Input::Event(event) => self.event(event).await,
            Input::Operate { who, command, reply } => {
                let id = self.replies.expect(reply);
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
        let now = self.clock.now();
        self.events += 1;
        if let Some(recorder) = &mut self.recorder {
            recorder.event(&event, now);
        }
        let begin = Instant::now();
        let actions = step(&mut self.state, event, now);
        self.metrics.step(begin.elapsed());
        if let Some(recorder) = &mut self.recorder {
            recorder.did(&actions);
        }
        let mut flow = Flow::Go;
        let mut has_yielded = false;
        for action in actions {
            if !has_yielded && action.can_wait() {
                // On a busy processor the kernel and the routers come first, the disk and the log after them: its other
                // threads, that of netlink among them, then the other tasks of this one.
                std::thread::yield_now();
                tokio::task::yield_now().await;
                has_yielded = true;
            }
            if self.act(action, begin).await == Flow::Exit {
                flow = Flow::Exit;
            }
        }
        flow
    }

    async fn act(&mut self, action: Action, since: Instant) -> Flow {
        match action {
            Action::Save(saved) => {
                let number = self.executors.saver.save(saved);
                self.replies.hold(number);
            }
            Action::SaveFirst(saved) => {
                let number = self.executors.saver.save(saved);
                self.executors.saver.wait(number).await;
            }
            Action::KeepSnapshots(snapshots) => self.executors.snapshots.set(snapshots),
            Action::SyncIpvs(table) => self.executors.ipvs.set(table, since),
            Action::ReadKernel => {
                self.executors.ipvs.read();
                self.executors.addresses.read();
                self.executors.paths.read();
                self.executors.fib.iter().for_each(fib::Handle::read);
            }
            Action::SetAddresses(addresses) => self.executors.addresses.set(addresses),
            Action::SetRoutes(routes) => {
                self.executors.routes.iter().for_each(|e| e.set_routes(routes.clone()))
            }
            Action::SetPeers(bgp) => self.executors.routes.iter_mut().for_each(|e| e.set_peers(&bgp)),
            Action::SetNodePeers(peers) => {
                self.executors.routes.iter_mut().for_each(|e| e.set_node_peers(peers.as_ref()))
            }
            Action::SetPermits(permits) => {
                self.executors.routes.iter().for_each(|e| e.set_permits(permits.clone()));
            }
            Action::WatchCluster(file) => self.executors.cluster.set(file),
            Action::SetFib(routes) => self.executors.fib.iter().for_each(|e| e.set(routes.clone())),
            Action::SetChecks(checks) => self.executors.checks.set(checks),
            Action::Hasten(checks) => self.executors.checks.hasten(checks),
            Action::WatchPaths(addresses) => self.executors.paths.set(addresses),
            Action::WatchPools(wanted) => self.executors.pools.set(wanted),
            Action::TellSources(conflicts) => self.executors.pools.tell(conflicts),
            Action::WriteSource(order) => self.executors.pools.write(order),
            Action::ResolveHosts(names) => self.executors.names.set(names),
            Action::Reply { id, answer } => self.replies.answer(id, answer),
            Action::Notice(notice) => self.teller.tell(self.events, notice).await,
            Action::Exit => return Flow::Exit,
        }
        Flow::Go
    }

    /// Answers a question. Who asked may have gone meanwhile, which harms nobody.
    fn answer(&self, query: Query) {
        match query {
            Query::Status { asked, reply } => drop(reply.send(view::status(&self.state, &asked))),
            Query::Numbers { reply } => drop(reply.send(numbers(&self.state))),
            Query::Pools { which, reply } => drop(reply.send(pybal::pools(&self.state, &which))),
            Query::Why { host, reply } => drop(reply.send(view::why(&self.state, &host))),
            Query::Report { since, reply } => drop(reply.send(fleet::report(&self.state, since))),
            Query::News { reply } => drop(reply.send(fleet::news(&self.state))),
            Query::Preview { selector, reply } => {
                drop(reply.send(change::preview(&self.state, &selector)));
            }
            Query::Plan { config, reply } => {
                drop(reply.send(plan::plan(&self.state, config, self.clock.now())));
            }
            Query::Simulate { down, reply } => {
                drop(reply.send(plan::simulate(&self.state, &down, self.clock.now())));
            }
            Query::Kernel { repair, reply } => {
                self.executors.addresses.read();
                self.executors.paths.read();
                self.executors.ipvs.compare(repair, reply);
            }
            Query::Nodes { reply } => drop(reply.send(nodes::view::nodes(&self.state))),
            Query::Routes { prefix, reply } => drop(reply.send(nodes::view::routes(&self.state, prefix))),
            Query::Ready { reply } => drop(reply.send(self.state.is_ready())),
        }
    }
}

async fn sleep_or_wait(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Go,
    Exit,
}
