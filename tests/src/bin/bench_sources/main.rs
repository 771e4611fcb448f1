//! The benchmark of sources: what thousands of pools cost that are kept elsewhere. `make bench-sources` builds it in
//! release and runs it.
//!
//! Outside [`native`] lets the core alone take changes in and [`source`] has a Kubernetes read alone, then the lab's kernel is
//! booted; inside, [`kubernetes`] has a balancer serve thousands of Services whole that [`api_server`] has, and [`fleet`] has four
//! balancers follow one etcd, takes hosts out with `lvsctl` on the first and watches the tables of the others ([`watched`]).

mod api_server;
mod fleet;
mod kubernetes;
mod native;
mod objects;
mod picture;
mod source;
mod watched;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use lab::measure::bench::{Bench, Documented};
use lab::measure::documented::Part;
use lab::measure::figures::Report;
use lab::world::World;

/// What it leaves beside its figures.
const FLEET: &str = "sources.svg";
const KUBERNETES: &str = "sources-kubernetes.svg";

/// Of memory etcd, four balancers and their tables take much. It takes some ten minutes; a busy machine may take its time.
const BENCH: Bench = Bench {
    name: "sources",
    pictures: &[FLEET, KUBERNETES],
    documented: Some(Documented { parts: &PARTS, versions }),
    limit: Duration::from_secs(1800),
    memory: "6G",
};

/// Its tables in the documentation.
const PARTS: [Part; 4] = [
    Part { name: "core", prefix: native::NAME },
    Part { name: "fleet", prefix: fleet::NAME },
    Part { name: "source", prefix: source::NAME },
    Part { name: "kubernetes", prefix: kubernetes::NAME },
];

/// What is measured beside lvsd.
fn versions() -> Result<Vec<(&'static str, String)>> {
    let etcd = Command::new("etcd").arg("--version").output().context("run etcd")?;
    let etcd = String::from_utf8_lossy(&etcd.stdout).lines().next().unwrap_or_default().to_owned();
    let api = "the benchmark's own: lists in pages of 500 and watches, as full as a real one gives them";
    Ok(vec![("etcd", etcd), ("the API server of Kubernetes", api.to_owned())])
}

fn main() -> ExitCode {
    BENCH.main(before, measure)
}

fn before(bench: &Path) -> Result<()> {
    native::measure(bench)?;
    source::measure(bench)
}

fn measure(world: &World, report: &mut Report) -> Result<()> {
    let bench = world.directory().parent().context("a directory for benchmarks")?;
    native::tell(bench, report)?;
    source::tell(bench, report)?;
    let services = kubernetes::measure(world, report)?;
    picture::services(&world.directory().join(KUBERNETES), &services)?;
    let commands = fleet::measure(world, report)?;
    picture::commands(&world.directory().join(FLEET), &commands)
}
