//! What the page is told as it happens, by server-sent events (HTML Living Standard, section 9.2): first everything, then
//! what changed, and the lines of the log.

mod looker;

use super::Context;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::Stream;
use looker::{Look, Looker, difference};
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

/// Pages that are told at a time: each holds a connection.
const PAGES: usize = 32;

/// How long nothing is said at most. A page that hears nothing for three times as long says so.
const BEAT: Duration = Duration::from_secs(2);

/// The paths.
pub(super) fn routes() -> Router<Context> {
    let (looker, seats) = (Arc::new(Looker::default()), Arc::new(Semaphore::new(PAGES)));
    let live = move |State(context): State<Context>| {
        let (looker, seats) = (Arc::clone(&looker), Arc::clone(&seats));
        async move { live(context, looker, seats) }
    };
    Router::new().route("/live", get(live)).route("/live/why/{host}", get(why))
}

fn live(context: Context, looker: Arc<Looker>, seats: Arc<Semaphore>) -> Response {
    let Ok(seat) = seats.try_acquire_owned() else {
        let said = format!("{PAGES} pages are open already: close one\n");
        return (StatusCode::SERVICE_UNAVAILABLE, said).into_response();
    };
    let latest = context.log.chronicle.latest();
    let told = Told {
        context,
        looker,
        latest,
        look: None,
        line: 0,
        spoke: Instant::now(),
        queue: VecDeque::new(),
        _seat: seat,
    };
    Sse::new(told.events()).into_response()
}

async fn why(State(context): State<Context>, Path(host): Path<String>) -> Response {
    match context.why(host).await {
        Ok(Ok(why)) => Json(why).into_response(),
        Ok(Err(refusal)) => (StatusCode::NOT_FOUND, format!("{refusal}\n")).into_response(),
        Err(gone) => (StatusCode::SERVICE_UNAVAILABLE, format!("{gone}\n")).into_response(),
    }
}

/// One page, and what it was told.
struct Told {
    context: Context,
    looker: Arc<Looker>,
    latest: watch::Receiver<u64>,
    look: Option<Arc<Look>>,
    line: u64,
    spoke: Instant,
    queue: VecDeque<Event>,
    _seat: OwnedSemaphorePermit,
}

impl Told {
    /// What it is told, until lvsd stops or the page goes.
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, async |mut told| {
            while told.queue.is_empty() {
                told.look_again().await?;
            }
            told.spoke = Instant::now();
            told.queue.pop_front().map(|event| (Ok(event), told))
        })
    }

    /// Waits until there may be something new, and queues what there is; none when lvsd stops.
    async fn look_again(&mut self) -> Option<()> {
        if self.look.is_some() {
            // A line of the log is often of a change.
            drop(timeout(self.looker.pause(), self.latest.changed()).await);
        }
        let new = self.looker.look(&self.context, self.look.as_ref()).await.ok()?;
        let told = match &self.look {
            None => Some(event("all", &new.parts)),
            Some(old) => difference(old, &new).map(|difference| event("some", &difference)),
        };
        self.queue.extend(told);
        self.look = Some(new);
        self.latest.borrow_and_update();
        let lines = self.context.log.chronicle.after(self.line);
        if let Some(last) = lines.last() {
            self.line = last.id;
            self.queue.push_back(event("lines", &lines));
        }
        if self.queue.is_empty() && self.spoke.elapsed() >= BEAT {
            self.queue.push_back(event("beat", &()));
        }
        Some(())
    }
}

fn event(name: &str, what: &impl Serialize) -> Event {
    let text =
        serde_json::to_string(what).expect("views have names as keys and nothing that JSON cannot say");
    Event::default().event(name).data(text)
}
