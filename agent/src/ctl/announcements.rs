//! `lvsctl vip …`, `lvsctl drain --balancer` and `lvsctl undrain`.

use super::client::{Client, ClientError};
use super::complete::vips;
use crate::api::messages::{DrainRequest, VipRequest, WantedOfVip};
use crate::config;
use crate::core::action::Done;
use crate::core::view::Status;
use crate::exec::ipvs::Traffic;
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use std::time::{Duration, Instant};

/// What a change may be told with.
#[derive(Clone, Debug, Default, Args)]
pub struct Said {
    /// Why, for whoever asks later.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// For how long, like 30m or 2h; it ends by itself.
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    pub lasts: Option<u64>,
}

/// A whole number of seconds from a text like `2h`.
///
/// # Errors
/// What is expected.
pub fn seconds(text: &str) -> Result<u64, String> {
    let duration = config::duration(text).filter(|duration| duration.as_secs() > 0);
    duration.map(|duration| duration.as_secs()).ok_or_else(|| "expected a time like 90s, 30m or 2h".into())
}

/// `lvsctl vip …`.
#[derive(Debug, Subcommand)]
pub enum Vip {
    /// Withdraw a VIP from the routers whatever its checks say. Kept over restarts.
    #[command(after_help = "Example:\n  lvsctl vip withdraw 192.0.2.10 --for 2h --reason 'T12345'")]
    Withdraw {
        /// The VIP.
        #[arg(add = ArgValueCandidates::new(vips))]
        vip: String,
        /// Why, and for how long.
        #[command(flatten)]
        said: Said,
    },
    /// Announce a VIP while anything on it can serve, without waiting for its holds. Kept over restarts.
    #[command(
        after_help = "Examples:\n  lvsctl vip announce 192.0.2.10\n  lvsctl vip announce 192.0.2.10 --force --for 10m"
    )]
    Announce {
        /// The VIP.
        #[arg(add = ArgValueCandidates::new(vips))]
        vip: String,
        /// Why, and for how long.
        #[command(flatten)]
        said: Said,
        /// Also when nothing on it can serve.
        #[arg(long)]
        force: bool,
    },
    /// Leave a VIP to its services again.
    #[command(after_help = "Example:\n  lvsctl vip auto 192.0.2.10")]
    Auto {
        /// The VIP.
        #[arg(add = ArgValueCandidates::new(vips))]
        vip: String,
    },
}

/// Has lvsd do it.
///
/// # Errors
/// See [`ClientError`].
pub async fn vip(client: &Client, command: &Vip) -> Result<Done, ClientError> {
    let (vip, to, Said { reason, lasts }, force) = match command {
        Vip::Withdraw { vip, said } => (vip, Some(WantedOfVip::Withdrawn), said.clone(), false),
        Vip::Announce { vip, said, force } => (vip, Some(WantedOfVip::Announced), said.clone(), *force),
        Vip::Auto { vip } => (vip, None, Said::default(), false),
    };
    client.post("/v1/vip", &VipRequest { vip: vip.clone(), to, reason, force, lasts }).await
}

/// Drains the whole balancer.
///
/// # Errors
/// See [`ClientError`].
pub async fn drain(client: &Client, said: &Said) -> Result<Done, ClientError> {
    let Said { reason, lasts } = said.clone();
    client.post("/v1/balancer/drain", &DrainRequest { reason, lasts }).await
}

/// Takes a drain of the whole balancer back.
///
/// # Errors
/// See [`ClientError`].
pub async fn undrain(client: &Client) -> Result<Done, ClientError> {
    client.post("/v1/balancer/undrain", &()).await
}

/// How often the kernel is looked at. Its counters are renewed every 2 s.
const PERIOD: Duration = Duration::from_secs(1);

/// Without a packet for so long, traffic has moved: it spans two renewals of the kernel's counters.
const QUIET: Duration = Duration::from_secs(5);

/// Watches a drained balancer, and tells on stderr, until no client's packet comes any more. False when that has not
/// come within the time, or the balancer is not being drained.
///
/// # Errors
/// See [`ClientError`].
pub async fn watch(client: &Client, longest: Duration) -> Result<bool, ClientError> {
    let (begin, mut before) = (Instant::now(), None);
    let mut moved = Instant::now();
    loop {
        let status: Status = client.status(None).await?;
        let traffic = client.diff().await?.traffic;
        let Some(drain) = status.drain else { return Ok(false) };
        if before.is_none_or(|before: Traffic| before.packets != traffic.packets) {
            moved = Instant::now();
        }
        if before != Some(traffic) {
            eprintln!("{}", progress(&drain.stage, before, traffic));
        }
        before = Some(traffic);
        if drain.stage == "withdrawn" && moved.elapsed() >= QUIET {
            return Ok(true);
        }
        if begin.elapsed() >= longest {
            return Ok(false);
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// `withdrawn: 812 connections established, 90 others, 340 packets since the last look`.
fn progress(stage: &str, before: Option<Traffic>, now: Traffic) -> String {
    let Traffic { active, inactive, packets } = now;
    let connections = format!("{stage}: {active} connections established, {inactive} others");
    match before {
        Some(before) => {
            let new = packets.saturating_sub(before.packets);
            format!("{connections}, {new} packets since the last look")
        }
        None => connections,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_what_is_left_and_what_still_comes() {
        let before = Traffic { active: 900, inactive: 80, packets: 1_000 };
        let now = Traffic { active: 812, inactive: 90, packets: 1_340 };
        let left = "withdrawn: 812 connections established, 90 others";
        assert_eq!(progress("withdrawn", None, now), left);
        assert_eq!(
            progress("withdrawn", Some(before), now),
            format!("{left}, 340 packets since the last look")
        );
    }
}
