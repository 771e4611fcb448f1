//! What the probe namespace sees of the servers' links.

use crate::config;
use crate::core::view::Status;
use crate::doctor::facts::Probes;
use crate::probes::wire::{Answer, Channel, Request, Suspicion};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::timeout;

/// The longest that the namespace may take: longer than it allows itself.
const PATIENCE: Duration = Duration::from_secs(150);

/// Servers and VIPs that are asked about at most: about as many as can be in the time.
const MOST: usize = 2048;

/// Asks the namespace.
pub(super) async fn look(settings: &config::Probes, status: Option<&Status>) -> Probes {
    let view = status.and_then(|status| status.probes.clone()).unwrap_or_default();
    let mut probes = Probes { refused: view.refused, ..Probes::default() };
    match timeout(PATIENCE, ask(settings, suspicions(status))).await {
        Err(_) => probes.error = Some(format!("no answer within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => {
            probes.error = Some(format!("{}: {error}", settings.socket.display()));
        }
        Ok(Ok((found, unasked))) => {
            probes.answering = Some(found.into_iter().map(|(its, mac)| (its.server, its.vip, mac)).collect());
            probes.unasked = unasked;
        }
    }
    probes
}

async fn ask(
    settings: &config::Probes,
    suspicions: Vec<Suspicion>,
) -> std::io::Result<(Vec<(Suspicion, String)>, usize)> {
    let mut channel = Channel::connect(&settings.socket)?;
    channel.send(&Request::WhoAnswers(suspicions), &[]).await?;
    match channel.receive().await? {
        Some((Answer::Answering { found, unasked }, _)) => Ok((found, unasked)),
        Some((Answer::Failed(reason), _)) => Err(std::io::Error::other(reason)),
        Some((_, _)) => Err(std::io::Error::other("an answer to something else")),
        None => Err(std::io::Error::other("the connection was closed: only root and lvsd's user may ask")),
    }
}

/// Each backend and each VIP of its service, of one service after the other in turn.
fn suspicions(status: Option<&Status>) -> Vec<Suspicion> {
    let mut queues: VecDeque<_> = status
        .into_iter()
        .flat_map(|status| &status.services)
        .map(|service| {
            let backends = service.pools.iter().flat_map(|pool| &pool.backends);
            backends.flat_map(move |backend| {
                let alike = move |vip: &&std::net::IpAddr| vip.is_ipv4() == backend.address.is_ipv4();
                service
                    .vips
                    .iter()
                    .filter(alike)
                    .map(move |vip| Suspicion { server: backend.address, vip: *vip })
            })
        })
        .collect();
    let mut suspicions = BTreeSet::new();
    while suspicions.len() < MOST
        && let Some(mut queue) = queues.pop_front()
    {
        if let Some(next) = queue.next() {
            suspicions.insert(next);
            queues.push_back(queue);
        }
    }
    suspicions.into_iter().collect()
}
