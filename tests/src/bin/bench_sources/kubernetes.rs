//! A balancer that serves thousands of Services whole: what it holds, how soon it has all, and how soon one endpoint's change is in
//! the kernel.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::measure::bare::Bare;
use lab::measure::figures::{Report, Required};
use lab::wait::wait_until;
use lab::world::World;

use crate::api_server::ApiServer;
use crate::objects::{CLASS, ENDPOINTS, node_of};
use crate::watched::{LIMIT, Watch, backend, key};

/// Services. The first is what a balancer holds that has nothing to do.
const SIZES: [u32; 3] = [0, 1_000, 10_000];

/// Changes of an endpoint at each size, and as many back.
const TIMES: u32 = 250;

/// What the names of its figures begin with.
pub(crate) const NAME: &str = "Kubernetes, ";

/// How long lvsd is left alone before its memory is read.
const QUIET: Duration = Duration::from_secs(3);

/// Requirements: what the largest size takes above none, MB (10^6 bytes); an endpoint's change to the kernel, ms.
pub(crate) const RESIDENT: f64 = 60.0;
const CHANGE: f64 = 5.0;

/// Where the API server is.
const API: &str = "10.3.255.254";

/// Milliseconds from an endpoint's change to the kernel, by the number of Services.
pub(crate) type Samples = Vec<(u32, Vec<f64>)>;

/// Measures it.
pub(crate) fn measure(world: &World, report: &mut Report) -> Result<Samples> {
    let (mut samples, mut idle) = (Samples::new(), 0.0);
    for services in SIZES {
        println!("a balancer that follows {services} Services × {ENDPOINTS} in Kubernetes:");
        let (balancer, api) = hosts(world, services)?;
        let listener = api.enter(|| TcpListener::bind((API, 0)))??;
        let api = ApiServer::start(listener, services)?;
        let mut lvsd = Lvsd::new(&balancer, Vec::new());
        lvsd.configure_with(&configuration(&balancer, &api)?)?;
        let took = full(&mut lvsd, services)?;
        std::thread::sleep(QUIET);
        let resident = lvsd.resident_kilobytes()? as f64 * 1024.0 / 1e6;
        let name = format!("{NAME}{services} × {ENDPOINTS}");
        report.value(&format!("{name}: resident memory"), resident, "MB", Required::Nothing);
        if services == 0 {
            idle = resident;
        } else {
            let is_largest = services == SIZES[SIZES.len() - 1];
            let limit = if is_largest { Required::AtMost(RESIDENT) } else { Required::Nothing };
            report.value(&format!("{name}: the same above 0 Services"), resident - idle, "MB", limit);
            report.value(&format!("{name}: start -> full table"), took, "ms", Required::Nothing);
            let times = changes(&balancer, &api, services)?;
            let what = format!("{name}: an endpoint's change -> kernel");
            report.latency(&what, times.clone(), Required::AtMost(CHANGE))?;
            samples.push((services, times));
        }
        lvsd.kill()?;
    }
    Ok(samples)
}

/// A balancer, and beside it whoever has the API. The nodes' network is the balancer's own.
fn hosts(world: &World, services: u32) -> Result<(Host, Host)> {
    let balancer = Host::create(&format!("lb-{services}"), world.directory())?;
    let api = Host::create(&format!("api-{services}"), world.directory())?;
    balancer.run(&[
        "sh",
        "-ec",
        &format!(
            "ip link set lo up; ip link add eth0 type veth peer name eth0 netns {0}; ip addr add 10.3.255.1/16 dev eth0; \
             ip addr add 10.1.255.1/16 dev eth0; ip link set eth0 up; ip -n {0} link set lo up; \
             ip -n {0} addr add {API}/16 dev eth0; ip -n {0} link set eth0 up",
            api.name()
        ),
    ])?;
    Ok((balancer, api))
}

/// Starts it; milliseconds until all of it is in the kernel and it is ready.
fn full(lvsd: &mut Lvsd, services: u32) -> Result<f64> {
    let mut bare = Bare::open(lvsd.host())?;
    let begin = Instant::now();
    lvsd.start_again()?;
    let mut has_all = |service: u32| {
        let found = bare.weights(&key(service));
        found.is_ok_and(|found| {
            found.len() == ENDPOINTS as usize && found.iter().all(|(_, weight)| *weight == 1)
        })
    };
    if let Some(last) = services.checked_sub(1) {
        wait_until("the last Service is in the kernel", LIMIT, || has_all(last))?;
        wait_until("every Service is in the kernel", LIMIT, || (0..services).all(&mut has_all))?;
    }
    let took = begin.elapsed();
    lvsd.wait_ready(LIMIT)?;
    Ok(took.as_secs_f64() * 1000.0)
}

/// One endpoint after the other is about to end, and is ready again; milliseconds until the kernel has it.
fn changes(balancer: &Host, api: &ApiServer, services: u32) -> Result<Vec<f64>> {
    let watch = Watch::start(balancer)?;
    let mut times = Vec::new();
    for time in 0..TIMES {
        // A prime stride: neighbours in time are no neighbours in memory.
        let (service, endpoint) = (time.wrapping_mul(2_741) % services, time % ENDPOINTS);
        let host = backend(node_of(service, endpoint));
        for (ending, weight) in [(Some(endpoint), 0), (None, 1)] {
            watch.look((service, host, weight))?;
            let begin = Instant::now();
            api.change(service, ending);
            times.push((watch.seen()? - begin).as_secs_f64() * 1000.0);
        }
    }
    Ok(times)
}

fn configuration(host: &Host, api: &ApiServer) -> Result<String> {
    let files = host.files();
    let kubeconfig = files.join("kubeconfig");
    std::fs::write(&kubeconfig, api.kubeconfig()).context("write the kubeconfig")?;
    let (files, kubeconfig) = (files.display(), kubeconfig.display());
    Ok(format!(
        "[lvsd]\nstate_dir = \"{files}/state\"\ncontrol_socket = \"{files}/control.sock\"\nhttp = \"127.0.0.1:9090\"\n\
         resync_interval = \"1h\"\nshutdown_delay = \"0s\"\n\n\
         [source.k8s]\ntype = \"kubernetes\"\nkubeconfig = \"{kubeconfig}\"\nwatch_timeout = \"300s\"\nclass = \"{CLASS}\"\n\n\
         [[source.k8s.address_pool]]\nname = \"all\"\naddresses = [\"198.18.0.0/15\"]\n"
    ))
}
