//! The source of a Kubernetes alone, on the machine itself: the first sync beside the bare decode of the same bytes.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lab::measure::core::example;
use lab::measure::figures::{Report, Required};
use serde::{Deserialize, Serialize};

use crate::api_server::ApiServer;
use crate::kubernetes::RESIDENT;
use crate::objects::{CLASS, ENDPOINTS};

/// Services, and how often the larger one is measured: the median counts.
const SIZES: [u32; 2] = [1_000, 10_000];
const ROUNDS: usize = 5;

/// What the names of its figures begin with.
pub(crate) const NAME: &str = "the source of a Kubernetes alone, ";

/// What the source may hold at the largest size, as the whole of lvsd may.
const HELD: &str = "resident memory above idle";

/// What `agent/examples/cluster_at_scale.rs` says.
#[derive(Debug, Serialize, Deserialize)]
struct Synced {
    services: u32,
    backends: u32,
    sync_ms: f64,
    decode_ms: f64,
    megabytes: f64,
    held_mb: f64,
    peak_mb: f64,
}

/// Where it is kept for the world inside.
fn file(bench: &Path) -> PathBuf {
    bench.join("cluster.json")
}

/// Measures every size, outside.
pub(crate) fn measure(bench: &Path) -> Result<()> {
    println!("the source of a Kubernetes alone, on this machine itself:");
    fs::create_dir_all(bench)?;
    let kubeconfig = bench.join("kubeconfig");
    let mut medians = Vec::new();
    for services in SIZES {
        let api = ApiServer::start(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, services)?;
        fs::write(&kubeconfig, api.kubeconfig())?;
        let path = kubeconfig.to_str().context("a path that is not UTF-8")?;
        let run = |_| example("cluster_at_scale", &[path, CLASS]);
        let mut rounds = (0..ROUNDS).map(run).collect::<Result<Vec<Synced>>>()?;
        rounds.sort_by(|one, other| one.sync_ms.total_cmp(&other.sync_ms));
        let median = rounds.swap_remove(ROUNDS / 2);
        ensure!(
            (median.services, median.backends) == (services, services * ENDPOINTS),
            "not all was said: {median:?}"
        );
        medians.push(median);
    }
    fs::write(file(bench), serde_json::to_string_pretty(&medians)? + "\n")?;
    Ok(())
}

/// Puts what was measured outside into the report.
pub(crate) fn tell(bench: &Path, report: &mut Report) -> Result<()> {
    let text = fs::read_to_string(file(bench)).context("the source's figures")?;
    for synced in serde_json::from_str::<Vec<Synced>>(&text)? {
        let name = format!("{NAME}{} × {ENDPOINTS}", synced.services);
        let is_largest = synced.services == SIZES[SIZES.len() - 1];
        let mut value = |what: &str, value: f64, unit| {
            let is_limited = is_largest && what == HELD;
            let required = if is_limited { Required::AtMost(RESIDENT) } else { Required::Nothing };
            report.value(&format!("{name}: {what}"), value, unit, required);
        };
        value("JSON", synced.megabytes, "MB");
        value("first sync", synced.sync_ms, "ms");
        value("bare decode of the same bytes", synced.decode_ms, "ms");
        value(HELD, synced.held_mb, "MB");
        value("the most of it meanwhile", synced.peak_mb, "MB");
    }
    Ok(())
}
