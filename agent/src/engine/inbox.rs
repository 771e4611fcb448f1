//! The way into the engine.

use crate::config::Config;
use crate::core::Event;
use crate::core::action::{Answer, Refusal};
use crate::core::change::{Preview, Selector};
use crate::core::event::Command;
use crate::core::fleet::{News, Report};
use crate::core::nodes::view::{NodesView, RouteView};
use crate::core::numbers::Numbers;
use crate::core::plan::{Plan, Simulation};
use crate::core::pybal::{Pool, Which};
use crate::core::view::{Asked, Status, Why};
use crate::exec::ipvs::{Comparison, Repair};
use bgp::Prefix;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Inputs that may wait. A pool of thousands that fails at once fits; beyond it reporters wait, and a check's
/// verdict is only as old as its place in this queue.
pub const INBOX: usize = 4096;

/// What the engine takes in.
#[derive(Debug)]
pub enum Input {
    /// Something happened.
    Event(Event),
    /// An operator asks for a change.
    Operate {
        /// Who, as the control socket vouches.
        who: String,
        /// What.
        command: Command,
        /// Where the answer goes.
        reply: oneshot::Sender<Answer>,
    },
    /// Somebody wants to know; nothing changes.
    Query(Query),
}

/// A question to the state.
#[derive(Debug)]
pub enum Query {
    /// How is everything, or one service?
    Status {
        /// Of what.
        asked: Asked,
        /// Where the answer goes; an error names near services.
        reply: oneshot::Sender<Result<Status, String>>,
    },
    /// How is everything, in numbers?
    Numbers {
        /// Where the answer goes.
        reply: oneshot::Sender<Numbers>,
    },
    /// How are the pools, as PyBal names and shows them?
    Pools {
        /// Which.
        which: Which,
        /// Where the answer goes; nothing when there is no such name, or metrics are not to have them.
        reply: oneshot::Sender<Option<Vec<Pool>>>,
    },
    /// Why is a host in or out, or a service not served?
    Why {
        /// The host, or the service.
        host: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Why, Refusal>>,
    },
    /// What is told to the fleet of this balancer?
    Report {
        /// Only of pools that were decided after so many decisions.
        since: Option<u64>,
        /// Where the answer goes.
        reply: oneshot::Sender<Report>,
    },
    /// Is there something to be told to the fleet?
    News {
        /// Where the answer goes.
        reply: oneshot::Sender<News>,
    },
    /// Which hosts in pools of sources match?
    Preview {
        /// Those that are looked for.
        selector: Selector,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Preview, Refusal>>,
    },
    /// What would a configuration change?
    Plan {
        /// The configuration.
        config: Arc<Config>,
        /// Where the answer goes.
        reply: oneshot::Sender<Plan>,
    },
    /// What would the pools be if hosts were down?
    Simulate {
        /// The hosts.
        down: Vec<String>,
        /// Where the answer goes.
        reply: oneshot::Sender<Simulation>,
    },
    /// Read the kernel's table now; compare it with what is wanted, and repair it if asked to.
    Kernel {
        /// How far to repair it.
        repair: Repair,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Comparison, String>>,
    },
    /// How are the nodes? None without `[nodes]`.
    Nodes {
        /// Where the answer goes.
        reply: oneshot::Sender<Option<NodesView>>,
    },
    /// Which of the nodes' routes are taken, which are not? None without `[nodes]`.
    Routes {
        /// Only those around and inside this prefix.
        prefix: Option<Prefix>,
        /// Where the answer goes.
        reply: oneshot::Sender<Option<Vec<RouteView>>>,
    },
    /// Have routes been set? Also the proof that the engine still turns.
    Ready {
        /// Where the answer goes.
        reply: oneshot::Sender<bool>,
    },
}

/// The engine has ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("lvsd is stopping")]
pub struct Gone;

/// A handle to the engine's inbox.
#[derive(Clone, Debug)]
pub struct Inbox(mpsc::Sender<Input>);

impl Inbox {
    /// An inbox and the engine's end of it.
    pub fn new() -> (Self, mpsc::Receiver<Input>) {
        let (sender, receiver) = mpsc::channel(INBOX);
        (Self(sender), receiver)
    }

    /// Reports an event; waits for room. An engine that has ended needs no events.
    pub async fn event(&self, event: Event) {
        drop(self.0.send(Input::Event(event)).await);
    }

    /// Asks for a change and waits for the answer.
    pub async fn operate(&self, who: String, command: Command) -> Result<Answer, Gone> {
        self.ask(|reply| Input::Operate { who, command, reply }).await
    }

    /// Asks for the status.
    pub async fn status(&self, asked: Asked) -> Result<Result<Status, String>, Gone> {
        self.ask(|reply| Input::Query(Query::Status { asked, reply })).await
    }

    /// Asks for everything in numbers.
    pub async fn numbers(&self) -> Result<Numbers, Gone> {
        self.ask(|reply| Input::Query(Query::Numbers { reply })).await
    }

    /// Asks for pools as PyBal names and shows them; nothing when there is no such name, or metrics are not to have them.
    pub async fn pools(&self, which: Which) -> Result<Option<Vec<Pool>>, Gone> {
        self.ask(|reply| Input::Query(Query::Pools { which, reply })).await
    }

    /// Asks why a host is in or out, or a service is not served.
    pub async fn why(&self, host: String) -> Result<Result<Why, Refusal>, Gone> {
        self.ask(|reply| Input::Query(Query::Why { host, reply })).await
    }

    /// Asks what is told to the fleet of this balancer; only of pools that were decided after so many decisions.
    pub async fn report(&self, since: Option<u64>) -> Result<Report, Gone> {
        self.ask(|reply| Input::Query(Query::Report { since, reply })).await
    }

    /// Asks whether there is something to be told to the fleet.
    pub async fn news(&self) -> Result<News, Gone> {
        self.ask(|reply| Input::Query(Query::News { reply })).await
    }

    /// Asks which hosts in pools of sources match.
    pub async fn preview(&self, selector: Selector) -> Result<Result<Preview, Refusal>, Gone> {
        self.ask(|reply| Input::Query(Query::Preview { selector, reply })).await
    }

    /// Asks what a configuration would change.
    pub async fn plan(&self, config: Arc<Config>) -> Result<Plan, Gone> {
        self.ask(|reply| Input::Query(Query::Plan { config, reply })).await
    }

    /// Asks what the pools would be if hosts were down.
    pub async fn simulate(&self, down: Vec<String>) -> Result<Simulation, Gone> {
        self.ask(|reply| Input::Query(Query::Simulate { down, reply })).await
    }

    /// Has the kernel's table read and compared with what is wanted, and repaired as far as asked to. An inner error is
    /// the kernel's.
    pub async fn kernel(&self, repair: Repair) -> Result<Result<Comparison, String>, Gone> {
        self.ask(|reply| Input::Query(Query::Kernel { repair, reply })).await
    }

    /// Asks about the nodes; none without `[nodes]`.
    pub async fn nodes(&self) -> Result<Option<NodesView>, Gone> {
        self.ask(|reply| Input::Query(Query::Nodes { reply })).await
    }

    /// Asks about the nodes' routes, all or those around and inside a prefix; none without `[nodes]`.
    pub async fn node_routes(&self, prefix: Option<Prefix>) -> Result<Option<Vec<RouteView>>, Gone> {
        self.ask(|reply| Input::Query(Query::Routes { prefix, reply })).await
    }

    /// Asks whether routes have been set.
    pub async fn ready(&self) -> Result<bool, Gone> {
        self.ask(|reply| Input::Query(Query::Ready { reply })).await
    }

    /// Sends an input and waits for its answer. Dropping the future does not take the input back.
    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.0.send(input(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}
