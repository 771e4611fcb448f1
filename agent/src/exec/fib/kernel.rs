//! Reads and writes what the kernel has: our table, the main table, and the rules.

use super::messages::{self, MAIN, Seen};
use super::socket::{Error, Refused, Request, Socket};
use crate::fib::{Op, Settings, Table, Ways};
use crate::route_message;
use bgp::Family;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::rule::RuleMessage;
use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How often a reading is begun again that others' changes made worthless; after that it is an error like others.
const ATTEMPTS: usize = 4;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) table: Table,
    pub(super) ways: Arc<Ways>,
    rules: Rules,
}

/// Our rules.
#[derive(Debug, Default)]
struct Rules {
    /// Families that have the rule.
    right: Vec<Family>,
    /// Those that an earlier configuration left, or somebody has changed.
    stale: Vec<RuleMessage>,
}

/// The kernel, over a socket that is opened anew after each failure.
pub(super) struct Kernel {
    settings: Settings,
    socket: Option<Socket>,
    /// The author of our writes; 0 while there is no socket.
    port: Arc<AtomicU32>,
}

impl Kernel {
    pub(super) fn new(settings: Settings, port: Arc<AtomicU32>) -> Self {
        Self { settings, socket: None, port }
    }

    /// Reads everything.
    pub(super) async fn read(&mut self) -> Result<Reading, Error> {
        for _ in 1..ATTEMPTS {
            match self.read_once().await {
                Err(Error::Interrupted) => {}
                done => return done,
            }
        }
        self.read_once().await
    }

    async fn read_once(&mut self) -> Result<Reading, Error> {
        let settings = self.settings;
        let mut reading = Reading::default();
        let mut ways = Ways::default();
        for family in Family::ALL {
            let own = messages::question(family, settings.table.get());
            self.ask(RouteNetlinkMessage::GetRoute(own), |message| {
                let RouteNetlinkMessage::NewRoute(route) = message else { return };
                match messages::seen(&route, &settings) {
                    _ if route_message::table(&route) != settings.table.get() => {}
                    Some(Seen::Ours(key, hop)) => drop(reading.table.ours.insert(key, hop)),
                    Some(Seen::Foreign(key)) => drop(reading.table.foreign.insert(key)),
                    None => {}
                }
            })
            .await?;
            let main = messages::question(family, MAIN);
            self.ask(RouteNetlinkMessage::GetRoute(main), |message| {
                let RouteNetlinkMessage::NewRoute(route) = message else { return };
                if let Some((prefix, way)) = messages::way(&route) {
                    ways.add(prefix, way);
                }
            })
            .await?;
            self.ask(RouteNetlinkMessage::GetRule(messages::rule_question(family)), |message| {
                let RouteNetlinkMessage::NewRule(rule) = message else { return };
                match messages::is_our_rule(&rule, &settings) {
                    Some(true) if !reading.rules.right.contains(&family) => reading.rules.right.push(family),
                    Some(_) => reading.rules.stale.push(rule),
                    None => {}
                }
            })
            .await?;
        }
        reading.ways = Arc::new(ways);
        Ok(reading)
    }

    /// One reading. A table that is not there is empty.
    async fn ask(
        &mut self,
        question: RouteNetlinkMessage,
        take: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), Error> {
        let outcome = self.socket()?.read(question, take).await;
        match outcome {
            Err(Error::Refused(refused)) if refused.errno == Errno::ENOENT => Ok(()),
            Err(error) => {
                self.close();
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Writes in this order. Gives what became of each; one that removes what has gone is done.
    pub(super) async fn write(&mut self, ops: &[Op]) -> Result<Vec<Result<(), Refused>>, Error> {
        let settings = self.settings;
        let requests = ops.iter().map(|op| messages::request(op, &settings)).collect();
        let mut results = self.send(requests).await?;
        for (op, result) in ops.iter().zip(&mut results) {
            let has_gone =
                |refused: &Refused| matches!(refused.errno, Errno::ESRCH | Errno::ENOENT | Errno::ENODEV);
            if matches!(op, Op::Remove(_)) && result.as_ref().is_err_and(has_gone) {
                *result = Ok(());
            }
        }
        Ok(results)
    }

    /// Has the rule in both families, or in none. Gives what the kernel refuses.
    pub(super) async fn set_rule(
        &mut self,
        reading: &mut Reading,
        is_wanted: bool,
    ) -> Result<Vec<String>, Error> {
        let rules = &mut reading.rules;
        let new = |family: &Family| {
            let rule = messages::rule(*family, &self.settings);
            (RouteNetlinkMessage::NewRule(rule), NLM_F_CREATE | NLM_F_EXCL)
        };
        let old =
            |family: &Family| (RouteNetlinkMessage::DelRule(messages::rule(*family, &self.settings)), 0);
        let missing = Family::ALL.iter().filter(|family| is_wanted && !rules.right.contains(family));
        let left = rules.right.iter().filter(|_| !is_wanted);
        let stale = rules.stale.drain(..).map(|rule| (RouteNetlinkMessage::DelRule(rule), 0));
        let requests: Vec<Request> = missing.map(new).chain(left.map(old)).chain(stale).collect();
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        rules.right = if is_wanted { Family::ALL.into() } else { Vec::new() };
        let results = self.send(requests).await?;
        let is_right = |refused: &Refused| matches!(refused.errno, Errno::EEXIST | Errno::ENOENT);
        let refused = results.into_iter().filter_map(Result::err).filter(|refused| !is_right(refused));
        let (table, priority) = (self.settings.table.get(), self.settings.priority.get());
        Ok(refused.map(|why| format!("the rule {priority} for table {table}: {why}")).collect())
    }

    async fn send(&mut self, requests: Vec<Request>) -> Result<Vec<Result<(), Refused>>, Error> {
        let results = self.socket()?.write(requests).await;
        if results.is_err() {
            self.close();
        }
        results
    }

    fn socket(&mut self) -> Result<&mut Socket, Error> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::open()?,
        };
        self.port.store(socket.port(), Ordering::Release);
        Ok(self.socket.insert(socket))
    }

    fn close(&mut self) {
        self.socket = None;
        self.port.store(0, Ordering::Release);
    }
}
