//! Four balancers that follow one etcd of thousands of pools: `lvsctl depool` on the first, the tables of the others.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lab::etcd::Etcd;
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::measure::bare::Bare;
use lab::measure::figures::{Report, Required};
use lab::wait::wait_until;
use lab::world::World;

use crate::watched::{LIMIT, Watch, backend, key, vip};

/// Pools, each of a service of its own, and hosts in each.
const POOLS: u32 = 5_000;
const HOSTS: u32 = 10;

/// What the names of its figures begin with.
pub(crate) const NAME: &str = "pools in etcd: ";

/// The balancers: lvsctl runs on the first.
const BALANCERS: usize = 4;

/// Hosts that are taken out and put back.
const TIMES: u32 = 100;

/// Writes in one transaction of etcd.
const TOGETHER: u32 = 500;

/// Where etcd is.
const ETCD: Ipv4Addr = Ipv4Addr::new(10, 3, 255, 254);

/// Milliseconds from the command to the tables of the others.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// To the first of them.
    pub(crate) first: Vec<f64>,
    /// To the last.
    pub(crate) last: Vec<f64>,
    /// To the end of lvsctl, which says who obeys.
    pub(crate) answer: Vec<f64>,
}

/// Measures it.
pub(crate) fn measure(world: &World, report: &mut Report) -> Result<Samples> {
    let site = Site::build(world)?;
    println!("{BALANCERS} balancers follow {POOLS} pools of {HOSTS} in etcd:");
    let mut balancers = Vec::new();
    for host in &site.balancers {
        let begin = Instant::now();
        let mut lvsd = Lvsd::start_with(host, &configuration(host))?;
        lvsd.wait_ready(LIMIT)?;
        let mut bare = Bare::open(host)?;
        wait_until("the last pool is in the kernel", LIMIT, || {
            bare.weights(&key(POOLS - 1)).is_ok_and(|found| found.len() == HOSTS as usize)
        })?;
        if balancers.is_empty() {
            report.value(
                &format!("{NAME}start -> full table"),
                begin.elapsed().as_secs_f64() * 1000.0,
                "ms",
                Required::Nothing,
            );
            let resident = lvsd.resident_kilobytes()? as f64 / 1000.0;
            report.value(&format!("{NAME}resident memory"), resident, "MB", Required::Nothing);
        }
        balancers.push(lvsd);
    }
    let samples = commands(&balancers, &site.balancers[1..])?;
    let mut latency = |what: &str, times: &[f64]| {
        report.latency(&format!("{NAME}{what}"), times.to_vec(), Required::Nothing)
    };
    latency("lvsctl -> the kernel of the first other", &samples.first)?;
    latency("lvsctl -> the kernels of all others", &samples.last)?;
    latency("lvsctl, start to end, which waits until all obey", &samples.answer)?;
    Ok(samples)
}

fn commands(balancers: &[Lvsd], others: &[Host]) -> Result<Samples> {
    let watches = others.iter().map(Watch::start).collect::<Result<Vec<_>>>()?;
    let mut samples = Samples::default();
    for time in 0..TIMES {
        // A prime stride: neighbours in time are no neighbours in memory.
        let pool = time.wrapping_mul(2_741) % POOLS;
        let host = backend(time % HOSTS);
        for (verb, weight) in [("depool", 0), ("pool", 10)] {
            watches.iter().try_for_each(|watch| watch.look((pool, host, weight)))?;
            let begin = Instant::now();
            let (host, service) = (host.to_string(), format!("s{pool:05}"));
            balancers[0].ctl(&[verb, &host, "--service", &service, "--yes"])?;
            let answered = begin.elapsed();
            let seen = watches.iter().map(Watch::seen).collect::<Result<Vec<_>>>()?;
            let after = |at: Option<&Instant>| at.map(|at| (*at - begin).as_secs_f64() * 1000.0);
            samples.first.extend(after(seen.iter().min()));
            samples.last.extend(after(seen.iter().max()));
            samples.answer.push(answered.as_secs_f64() * 1000.0);
        }
    }
    Ok(samples)
}

/// One segment: etcd on one host, the balancers beside it.
struct Site {
    balancers: Vec<Host>,
    /// Runs as long as this is there.
    _etcd: Etcd,
}

impl Site {
    fn build(world: &World) -> Result<Self> {
        let store = Host::create("etcd", world.directory())?;
        store.run(&[
            "sh",
            "-ec",
            &format!(
                "ip link set lo up; ip link add br0 type bridge; ip addr add {ETCD}/16 dev br0; \
                 ip addr add 10.1.255.254/16 dev br0; ip link set br0 up"
            ),
        ])?;
        let balancers = (1..=BALANCERS)
            .map(|number| {
                let host = Host::create(&format!("lb{number}"), world.directory())?;
                host.run(&[
                    "sh",
                    "-ec",
                    &format!(
                        "ip link set lo up; ip link add eth0 type veth peer name lb{number} netns etcd; \
                         ip addr add 10.3.255.{number}/16 dev eth0; ip addr add 10.1.255.{number}/16 dev eth0; \
                         ip link set eth0 up; ip -n etcd link set lb{number} master br0 up"
                    ),
                ])?;
                Ok(host)
            })
            .collect::<Result<Vec<_>>>()?;
        let etcd = Etcd::start(&store, ETCD)?;
        fill(&store)?;
        Ok(Self { balancers, _etcd: etcd })
    }
}

/// Writes every pool, as conftool would.
fn fill(host: &Host) -> Result<()> {
    let keys: Vec<(u32, u32)> =
        (0..POOLS).flat_map(|pool| (0..HOSTS).map(move |host| (pool, host))).collect();
    for together in keys.chunks(TOGETHER as usize) {
        let mut text = String::from("\n");
        for (pool, number) in together {
            let key = format!("/conftool/v1/pools/bench/bench/s{pool:05}/{}", backend(*number));
            let _ = writeln!(text, "put {key} {{\"weight\":10,\"pooled\":\"yes\"}}");
        }
        text += "\n\n";
        let file = host.files().join("fill");
        fs::write(&file, text)?;
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &format!("http://{ETCD}:2379"), "txn"]);
        command.stdin(Stdio::from(File::open(&file)?)).stdout(Stdio::null());
        let status = host.enter(|| command.status())?.context("etcdctl runs")?;
        ensure!(status.success(), "etcd does not take the pools");
    }
    Ok(())
}

fn configuration(host: &Host) -> String {
    let files = host.files();
    let files = files.display();
    let mut text = format!(
        "[lvsd]\nstate_dir = \"{files}/state\"\ncontrol_socket = \"{files}/control.sock\"\nhttp = \"127.0.0.1:9090\"\n\
         resync_interval = \"1h\"\nshutdown_delay = \"0s\"\n\n\
         [source.conftool]\ntype = \"etcd\"\nendpoints = [\"http://{ETCD}:2379\"]\n\n[fleet]\nsource = \"conftool\"\n\
         name = \"{}\"\n",
        host.name()
    );
    for pool in 0..POOLS {
        let vip = vip(pool);
        let _ = write!(
            text,
            "\n[service.s{pool:05}]\nvips = [\"{vip}\"]\nport = 80\nchecks = []\n\
             pool = {{ source = \"conftool\", path = \"bench/bench/s{pool:05}\" }}\n"
        );
    }
    text
}
