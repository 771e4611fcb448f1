//! `lvsctl top`: everything that moves, live in a terminal, and depool and pool by the keyboard.
//!
//! ```text
//! look ──Seen──▶ State ──▶ rows ──▶ draw ──▶ terminal
//! keys ──Key───▶   │
//!                  └─▶ Action: an order to lvsd, or the end
//! ```
//!
//! `state`, `rows` and `draw` are pure; this file and `look` do what they say.

mod draw;
mod look;
mod rows;
mod state;
#[cfg(test)]
mod tests;

use super::announcements::Said;
use super::change::{self, Changed, Note, Place};
use super::client::{Client, ClientError};
use super::watch::ended;
use crate::core::Timestamp;
use crate::core::event::TakenOut;
use draw::draw;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use state::{Action, Key, Order, State, Wish};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a key is waited for before it is looked whether anybody still wants one.
const KEY_PAUSE: Duration = Duration::from_millis(100);

/// Keys that are typed ahead.
const AHEAD: usize = 64;

/// How long an order may take: one that waits for etcd is told of within its own time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an order is noted with, for whoever asks later.
const REASON: &str = "lvsctl top";

/// Shows everything until it is ended.
///
/// # Errors
/// When the terminal cannot be drawn on, or lvsd cannot be asked at the start.
pub async fn run(client: Client) -> Result<(), ClientError> {
    let client = Arc::new(client);
    let first = look::look(&client, 0).await?;
    let ended = ended();
    // From here on a panic gives the terminal back, too.
    let mut terminal = ratatui::try_init().map_err(ClientError::Terminal)?;
    let result = turn(&mut terminal, client, first, ended).await;
    ratatui::restore();
    result
}

async fn turn(
    terminal: &mut DefaultTerminal,
    client: Arc<Client>,
    first: look::Seen,
    ended: impl Future<Output = ()>,
) -> Result<(), ClientError> {
    let now = || Timestamp::from(SystemTime::now());
    let mut state = State::new(first, now());
    let (keys, mut pressed) = mpsc::channel(AHEAD);
    // It ends by itself once nobody wants its keys. On a terminal that is gone a look for keys never returns, so nobody waits for it.
    drop(std::thread::spawn(move || read_keys(&keys)));
    let (tell, mut seen) = mpsc::channel(1);
    let again = Arc::new(Notify::new());
    let looks = look::looks(Arc::clone(&client), tell, Arc::clone(&again));
    let looking = tokio::spawn(looks);
    // One at a time; the keyboard goes on meanwhile.
    let mut orders = JoinSet::new();
    let mut ended = pin!(ended);
    let result = loop {
        if let Err(error) = terminal.draw(|frame| draw(&state, now(), frame)) {
            break Err(ClientError::Terminal(error));
        }
        // Any of them may be dropped halfway: what was not taken waits in its channel.
        tokio::select! {
            key = pressed.recv() => match key.map(|key| state.press(key)) {
                Some(None) => {}
                Some(Some(Action::Order(_))) if !orders.is_empty() => {
                    state.tell(Err("lvsd has not answered the last order yet: nothing was done".into()));
                }
                Some(Some(Action::Order(order))) => {
                    let client = Arc::clone(&client);
                    orders.spawn(async move { timeout(PATIENCE, give(&client, &order)).await });
                }
                Some(Some(Action::Quit)) | None => break Ok(()),
            },
            Some(told) = orders.join_next() => {
                let told = told.map(|told| told.unwrap_or(Err(ClientError::Silent(PATIENCE))));
                state.tell(told.map_err(|error| error.to_string()).and_then(|told| told.map_err(|error| error.to_string())));
                again.notify_one();
            }
            Some(look) = seen.recv() => state.take(look, now()),
            () = &mut ended => break Ok(()),
        }
    };
    looking.abort();
    result
}

/// Has lvsd do what was confirmed, as the command of that name does; what it said.
async fn give(client: &Client, order: &Order) -> Result<String, ClientError> {
    // All objects of the host were named in the question, and nobody waits here for the fleet.
    let place = Place { local: false, service: None, cluster: None, yes: true, confirm: 0 };
    let said = Said { reason: Some(REASON.to_owned()), lasts: None };
    let changed: Changed = match order.wish {
        Wish::Depool => {
            let note = Note { said, force: false };
            change::take_out(client, &order.host, (&place, &note), TakenOut::Depooled).await?
        }
        Wish::Pool => {
            let asked = change::Pool { host: order.host.clone(), place, reason: Some(REASON.to_owned()) };
            change::pool(client, &asked).await?
        }
    };
    Ok(changed.done.message)
}

/// Reads keys until nobody wants them, or there are no more.
fn read_keys(keys: &mpsc::Sender<Key>) {
    while !keys.is_closed() {
        let event = match event::poll(KEY_PAUSE) {
            Ok(true) => event::read(),
            Ok(false) => continue,
            Err(_) => return,
        };
        let key = match event {
            Ok(Event::Key(event)) if event.kind != KeyEventKind::Release => key(event),
            // It is drawn anew after any key.
            Ok(Event::Resize(..)) => Some(Key::Other),
            Ok(_) => None,
            Err(_) => return,
        };
        if key.is_some_and(|key| keys.blocking_send(key).is_err()) {
            return;
        }
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return (event.code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    Some(match event.code {
        KeyCode::Char(letter) => Key::Letter(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}
