//! Questions to the sessions: what each neighbour is told.

use tokio::sync::{mpsc, oneshot};

use crate::rib::ToldRoute;

/// Questions that may wait. Each is a person's; beyond it they wait with them.
pub(crate) const QUESTIONS: usize = 16;

/// What a session is asked: everything that its neighbour is told.
pub(crate) type Question = oneshot::Sender<Vec<ToldRoute>>;

/// Asks the sessions of one speaker. Outlives the speaker, and then gets no answers.
#[derive(Clone, Debug)]
pub struct Asker(pub(super) mpsc::Sender<(String, Question)>);

impl Asker {
    /// What the peer of this name is told of each wanted route; `None` when there is no such peer.
    ///
    /// Cancel-safe: an answer that nobody waits for is dropped.
    pub async fn told(&self, peer: &str) -> Option<Vec<ToldRoute>> {
        let (question, answer) = oneshot::channel();
        self.0.send((peer.to_owned(), question)).await.ok()?;
        answer.await.ok()
    }
}
