//! What a cluster of thousands of Services costs its source alone, on any Linux: no core, no kernel table and no privilege is needed.
//!
//! `cluster_at_scale KUBECONFIG CLASS` serves all Services of a class whole, as lvsd would: it tells how long it takes until every
//! backend of every service was said, what the process holds then, and how long it takes to do nothing but decode the same bytes into
//! the API's own types. It prints one JSON object; the benchmark of sources puts it beside what it measures on a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::{List, ListableResource};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lvsd::config::{AddressPool, AddressRange, Cordon, KubernetesSettings, PoolId, Query, WholeServices};
use lvsd::core::found::{Finding, FoundService};
use lvsd::sources::kubernetes::Kubernetes;
use lvsd::sources::{Said, Source as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Objects in a page: as many as the source asks for.
const PAGE: u32 = 500;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let report = match arguments.as_slice() {
        [kubeconfig, class] => run(Path::new(kubeconfig), class),
        _ => Err("usage: cluster_at_scale KUBECONFIG CLASS".into()),
    };
    match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cluster_at_scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(kubeconfig: &Path, class: &str) -> Result<String, String> {
    // As many threads as lvsd has.
    let threads = std::thread::available_parallelism().map_or(1, |processors| processors.get().min(2));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(threads).enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let idle = resident("VmRSS:")?;
        let synced = sync(settings(kubeconfig.into(), class)?).await?;
        let (held, peak) = (resident("VmRSS:")?, resident("VmHWM:")?);
        drop(synced.source);
        let (bytes, decoded) = decode(kubeconfig).await?;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        Ok(format!(
            "{{\"services\": {}, \"backends\": {}, \"sync_ms\": {:.1}, \"decode_ms\": {:.1}, \"megabytes\": {:.1}, \
             \"held_mb\": {:.1}, \"peak_mb\": {:.1}}}",
            synced.services,
            synced.backends,
            milliseconds(synced.took),
            milliseconds(decoded),
            megabytes(bytes),
            megabytes(held.saturating_sub(idle)),
            megabytes(peak.saturating_sub(idle)),
        ))
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn settings(kubeconfig: PathBuf, class: &str) -> Result<KubernetesSettings, String> {
    let all: AddressRange = "0.0.0.0/0".parse().map_err(|_| "no range")?;
    let pool = AddressPool { name: "all".into(), ranges: vec![all], auto: true, namespaces: BTreeSet::new() };
    let services = WholeServices {
        class: Some(class.into()),
        external_ips: false,
        node_ports: false,
        vips_on_nodes: false,
        lease: None,
        pools: vec![pool],
    };
    Ok(KubernetesSettings {
        kubeconfig: Some(kubeconfig),
        context: None,
        namespaces: BTreeSet::new(),
        cordon: Cordon::Ignore,
        connect_timeout: Duration::from_secs(5),
        watch_timeout: Duration::from_secs(60),
        max_backoff: Duration::from_secs(10),
        services: Some(services),
    })
}

/// A source that has said all.
struct Synced {
    source: Kubernetes,
    services: usize,
    backends: usize,
    took: Duration,
}

/// Listens until every pool of every service was said.
async fn sync(settings: KubernetesSettings) -> Result<Synced, String> {
    let begin = Instant::now();
    let (wanted, receiver) = watch::channel(BTreeSet::new());
    let (_, nothing_in_conflict) = watch::channel(BTreeMap::new());
    let mut source = Kubernetes::new("k8s".into(), settings, receiver, nothing_in_conflict);
    let (mut services, mut pools, mut backends) = (None, 0, 0);
    while services.is_none_or(|services| pools < services) {
        match source.next().await {
            Said::Services { services: found, whole: true } => {
                let queries: BTreeSet<Query> = found.iter().flat_map(queries).collect();
                services = Some(queries.len());
                wanted.send_replace(queries);
            }
            Said::Pool { outcome, query } => {
                backends += outcome.map_err(|why| format!("{query}: {why}"))?.len();
                pools += 1;
            }
            Said::Stale(why) => return Err(why),
            Said::Services { .. } | Said::Live | Said::Seen(_) => {}
            other => return Err(format!("Kubernetes says {other:?}")),
        }
    }
    let took = begin.elapsed();
    Ok(Synced { source, services: pools, backends, took })
}

/// The pools of a service.
fn queries(found: &FoundService) -> Vec<Query> {
    let service = match &found.finding {
        Finding::Served(service) => Some(service),
        _ => None,
    };
    let of_pool = |id: &PoolId| match id {
        PoolId::Remote { query, .. } => Some(query.clone()),
        _ => None,
    };
    service.into_iter().flat_map(|service| service.pool.sources().iter().filter_map(of_pool)).collect()
}

/// Reads the same lists page by page; how many bytes they have, and how long their decoding alone takes.
async fn decode(kubeconfig: &Path) -> Result<(u64, Duration), String> {
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| error.to_string())?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.map_err(|error| error.to_string())?);
    let client = client.map_err(|error| error.to_string())?;
    let mut sum = (0, Duration::ZERO);
    for (bytes, took) in [
        pages::<Service>(&client, "/api/v1/services").await?,
        pages::<EndpointSlice>(&client, "/apis/discovery.k8s.io/v1/endpointslices").await?,
        pages::<Node>(&client, "/api/v1/nodes").await?,
    ] {
        sum = (sum.0 + bytes, sum.1 + took);
    }
    Ok(sum)
}

async fn pages<K: ListableResource + DeserializeOwned>(
    client: &Client,
    path: &str,
) -> Result<(u64, Duration), String> {
    let (mut bytes, mut took, mut parameters) = (0, Duration::ZERO, ListParams::default().limit(PAGE));
    loop {
        let request = kube::core::Request::new(path).list(&parameters).map_err(|error| error.to_string())?;
        let text = client.request_text(request).await.map_err(|error| error.to_string())?;
        let begin = Instant::now();
        let list: List<K> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        took += begin.elapsed();
        bytes += text.len() as u64;
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok((bytes, took)),
        }
    }
}

/// Memory of this process, bytes, by the name of its line.
fn resident(name: &str) -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().map_err(|error| error.to_string())?;
    Ok(kilobytes * 1024)
}
