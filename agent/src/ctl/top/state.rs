//! What is shown of what was seen, and what keys do to it.

use super::look::Seen;
use super::rows::{self, Row};
use crate::chronicle::Line;
use crate::core::Timestamp;
use std::collections::VecDeque;

/// Lines of the log that are kept: more than anyone scrolls through.
const EVENTS: usize = 1000;

/// Rows that Page Up and Page Down move by.
const PAGE: usize = 10;

/// The longest text that is searched for, in letters.
const LONGEST: usize = 64;

/// A key, as far as it has a meaning here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Tab,
    BackTab,
    Enter,
    Escape,
    Backspace,
    /// Ctrl-C.
    Interrupt,
    /// Nothing but another look at the screen.
    Other,
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Services,
    Backends,
    Routing,
    Events,
}

impl View {
    pub(super) const ALL: [Self; 4] = [Self::Services, Self::Backends, Self::Routing, Self::Events];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Backends => "backends",
            Self::Routing => "routing",
            Self::Events => "events",
        }
    }

    fn moved(self, steps: usize) -> Self {
        let at = Self::ALL.iter().position(|view| *view == self).unwrap_or_default();
        Self::ALL[(at + steps) % Self::ALL.len()]
    }
}

/// What is wanted of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Depool,
    Pool,
}

impl Wish {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Depool => "depool",
            Self::Pool => "pool",
        }
    }
}

/// What lvsd is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) wish: Wish,
    pub(super) host: String,
}

/// What follows from a key, beyond what is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    Order(Order),
}

/// What the keyboard is for at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Move,
    /// A text is being typed.
    Search,
    /// An order waits for a yes; the services that it concerns.
    Confirm(Order, Vec<String>),
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) seen: Seen,
    /// The latest lines of the log, the latest first.
    pub(super) events: VecDeque<Line>,
    pub(super) at: Timestamp,
    /// Why that is not how it is now.
    pub(super) problem: Option<String>,
    pub(super) view: View,
    pub(super) search: String,
    pub(super) mode: Mode,
    /// The service whose backends are shown, if not those of all.
    pub(super) only: Option<String>,
    pub(super) selected: usize,
    /// What lvsd said to the last order.
    pub(super) told: Option<Result<String, String>>,
}

impl State {
    pub(super) fn new(seen: Seen, now: Timestamp) -> Self {
        let mut state = Self {
            seen: seen.clone(),
            events: VecDeque::new(),
            at: now,
            problem: None,
            view: View::Services,
            search: String::new(),
            mode: Mode::Move,
            only: None,
            selected: 0,
            told: None,
        };
        state.take(Ok(seen), now);
        state
    }

    /// Takes what was seen, or why nothing was. What is selected stays so where it is still there.
    pub(super) fn take(&mut self, seen: Result<Seen, String>, now: Timestamp) {
        let mut seen = match seen {
            Ok(seen) => seen,
            Err(problem) => {
                self.problem = Some(problem);
                return;
            }
        };
        // The newest line of the log is looked at while nobody has moved on.
        let follows = self.view == View::Events && self.selected == 0;
        let id = self.rows(now).into_iter().nth(self.selected).map(|row| row.id).filter(|_| !follows);
        let newest = self.events.front().map_or(0, |line| line.id);
        let is_another = seen.events.first().is_some_and(|line| line.id <= newest && newest > 0);
        let is_new = |line: &Line| is_another || line.id > newest;
        for line in std::mem::take(&mut seen.events).into_iter().filter(is_new) {
            self.events.push_front(line);
        }
        self.events.truncate(EVENTS);
        (self.seen, self.at, self.problem) = (seen, now, None);
        let rows = self.rows(now);
        let found = id.and_then(|id| rows.iter().position(|row| row.id == id));
        self.selected = found.unwrap_or(self.selected).min(rows.len().saturating_sub(1));
    }

    /// Takes what lvsd said to an order.
    pub(super) fn tell(&mut self, told: Result<String, String>) {
        self.told = Some(told);
    }

    /// The rows of the view that are searched for.
    pub(super) fn rows(&self, now: Timestamp) -> Vec<Row> {
        let mut rows = rows::rows(self, now);
        let wanted = self.search.to_lowercase();
        rows.retain(|row| row.cells.iter().any(|cell| cell.to_lowercase().contains(&wanted)));
        rows
    }

    /// What a key does.
    pub(super) fn press(&mut self, key: Key) -> Option<Action> {
        match (std::mem::take(&mut self.mode), key) {
            (_, Key::Interrupt) => Some(Action::Quit),
            (Mode::Confirm(order, _), Key::Letter('y' | 'Y')) => Some(Action::Order(order)),
            (Mode::Confirm(order, services), Key::Other) => {
                self.mode = Mode::Confirm(order, services);
                None
            }
            // Whatever is no yes is a no.
            (Mode::Confirm(order, _), _) => {
                self.told = Some(Ok(format!("{}: nothing was done", order.host)));
                None
            }
            (Mode::Search, key) => {
                self.type_key(key);
                None
            }
            (Mode::Move, key) => self.command(key),
        }
    }

    fn type_key(&mut self, key: Key) {
        self.mode = Mode::Search;
        match key {
            Key::Letter(letter) if self.search.chars().count() < LONGEST => self.search.push(letter),
            Key::Backspace => drop(self.search.pop()),
            Key::Enter | Key::Tab => self.mode = Mode::Move,
            Key::Escape => {
                self.search.clear();
                self.mode = Mode::Move;
            }
            _ => return,
        }
        self.selected = 0;
    }

    fn command(&mut self, key: Key) -> Option<Action> {
        if key != Key::Other {
            self.told = None;
        }
        match key {
            Key::Letter('q') => return Some(Action::Quit),
            Key::Letter('/') => self.mode = Mode::Search,
            Key::Letter('d') => self.ask(Wish::Depool),
            Key::Letter('p') => self.ask(Wish::Pool),
            Key::Letter(digit @ '1'..='4') => {
                self.show(View::ALL[usize::from(digit as u8 - b'1')]);
            }
            Key::Tab => self.show(self.view.moved(1)),
            Key::BackTab => self.show(self.view.moved(View::ALL.len() - 1)),
            Key::Enter => self.open(),
            Key::Escape => self.leave(),
            Key::Up | Key::Letter('k') => self.go(|at, _| at.saturating_sub(1)),
            Key::Down | Key::Letter('j') => self.go(|at, _| at + 1),
            Key::PageUp => self.go(|at, _| at.saturating_sub(PAGE)),
            Key::PageDown => self.go(|at, _| at + PAGE),
            Key::Home | Key::Letter('g') => self.go(|_, _| 0),
            Key::End | Key::Letter('G') => self.go(|_, count| count),
            Key::Letter(_) | Key::Backspace | Key::Interrupt | Key::Other => {}
        }
        None
    }

    fn go(&mut self, to: impl Fn(usize, usize) -> usize) {
        let count = self.rows(self.at).len();
        self.selected = to(self.selected, count).min(count.saturating_sub(1));
    }

    fn show(&mut self, view: View) {
        (self.view, self.only, self.selected) = (view, None, 0);
    }

    /// A service's backends.
    fn open(&mut self) {
        let Some(row) = self.selected_row().filter(|_| self.view == View::Services) else { return };
        self.search.clear();
        (self.view, self.only, self.selected) = (View::Backends, Some(row.id), 0);
    }

    /// The search, or else the service that was opened.
    fn leave(&mut self) {
        if !self.search.is_empty() {
            self.search.clear();
            self.selected = 0;
        } else if self.only.is_some() {
            self.show(View::Services);
        }
    }

    fn selected_row(&self) -> Option<Row> {
        self.rows(self.at).into_iter().nth(self.selected)
    }

    /// Asks whether the selected backend is meant, in each service that has it.
    fn ask(&mut self, wish: Wish) {
        let Some(host) = self.selected_row().and_then(|row| row.host) else {
            self.told = Some(Err(format!("select a backend to {} it: 2 shows them", wish.word())));
            return;
        };
        let services = self.seen.status.services.iter().filter(|service| {
            service.pools.iter().flat_map(|pool| &pool.backends).any(|backend| backend.host == host)
        });
        let services = services.map(|service| service.name.clone()).collect();
        self.mode = Mode::Confirm(Order { wish, host }, services);
    }
}
