//! lvsd as a whole with thousands of checks, on the machine's own kernel: a dry run, as there is no IPVS, so all that is left out is
//! what it would write.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::measure::dry_run::DryRun;
use lab::measure::exposition::Exposition;
use lab::measure::figures::{Report, Required};
use lab::measure::process::{processor, resident};
use lab::program::run_to_end;
use lab::wait::wait_until;

use crate::FIGURES;
use crate::checker::address;
use crate::native::{CORES, LAG, LOSS, MEMORY, NONE, Nginx};
use crate::server::PORT;

/// Each load is looked at for so long, once every check has a result.
const WINDOW: Duration = Duration::from_secs(60);

/// Longest wait for that.
const LIMIT: Duration = Duration::from_secs(120);

/// Backends of a service.
const POOL: u32 = 10;

/// The first argument of this program when it is inside; the second is the directory for what it leaves.
pub(crate) const ROLE: &str = "daemon";

/// How often checks came to say down.
const DOWNS: &str = "pybal_monitor_down_transitions_total";

/// Checks of each of its backends.
struct Load {
    name: &'static str,
    kind: &'static str,
    backends: u32,
    interval: &'static str,
    is_lossy: bool,
}

const LOADS: [Load; 3] = [
    Load {
        name: "10,000 TCP checks every second",
        kind: "tcp",
        backends: 10_000,
        interval: "1s",
        is_lossy: false,
    },
    Load {
        name: "5,000 HTTP checks every second",
        kind: "http",
        backends: 5_000,
        interval: "1s",
        is_lossy: false,
    },
    Load {
        name: "10,000 TCP checks, defaults, 1 % of packets lost",
        kind: "tcp",
        backends: 10_000,
        interval: "2s",
        is_lossy: true,
    },
];

/// Is the program inside the namespace.
pub(crate) fn measure(directory: &Path) -> Result<()> {
    let mut report = Report::new()?;
    println!("lvsd itself, {} s each, {}:", WINDOW.as_secs(), report.machine());
    run_to_end("ip", &["link", "set", "lo", "up"])?;
    let nginx = Nginx::start(directory)?;
    LOADS.iter().try_for_each(|load| one(&mut report, directory, load))?;
    drop(nginx);
    report.write(&directory.join(FIGURES))
}

fn one(report: &mut Report, directory: &Path, load: &Load) -> Result<()> {
    let lvsd = DryRun::start(directory, &configuration(load), "0")?;
    let page = || Ok::<_, anyhow::Error>(Exposition::read(&lvsd.page("/metrics")?));
    let wanted = f64::from(load.backends);
    wait_until("every check has a result", LIMIT, || {
        page().is_ok_and(|page| results(&page, load.kind).is_ok_and(|[ok, _]| ok >= wanted))
    })?;
    if load.is_lossy {
        run_to_end("nft", &[LOSS])?;
    }
    let (before, used, begin) = (page()?, processor(lvsd.id())?, Instant::now());
    thread::sleep(WINDOW);
    let (after, used, took) = (page()?, processor(lvsd.id())? - used, begin.elapsed().as_secs_f64());
    if load.is_lossy {
        run_to_end("nft", &["delete table inet loss"])?;
    }
    let [ok, failed] = results(&after, load.kind)?;
    let [ok_before, failed_before] = results(&before, load.kind)?;
    let lag = after.durations_since("lvsd_check_lag_seconds", &before)?.at_most(0.99);
    let mut value = |what: &str, value, unit, required| {
        report.value(&format!("{}: {what}", load.name), value, unit, required);
    };
    value("done per second", (ok + failed - ok_before - failed_before) / took, "", Required::Nothing);
    value("lag, p99 at most", lag, "ms", LAG);
    value("cores", used / took, "", CORES);
    value("resident memory", resident(lvsd.id())? / 1e6, "MB", MEMORY);
    value("failed", failed - failed_before, "", Required::Nothing);
    value("declared down", after.sum(DOWNS) - before.sum(DOWNS), "", NONE);
    Ok(())
}

/// Probes that passed and that failed, so far.
fn results(page: &Exposition, kind: &str) -> Result<[f64; 2]> {
    let of = |result| page.sum(&format!("lvsd_check_results_total{{kind=\"{kind}\",result=\"{result}\"}}"));
    let (ok, failed, inconclusive) = (of("ok"), of("failed"), of("inconclusive"));
    ensure!(inconclusive == 0.0, "{inconclusive} probes could not be made");
    Ok([ok, failed])
}

fn configuration(load: &Load) -> String {
    let mut text = "[pybal]\nmetrics = true\n".to_owned();
    for service in 0..load.backends / POOL {
        let vip = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)) + service);
        let Load { kind, interval, .. } = load;
        let _ = write!(
            text,
            "\n[service.s{service}]\nvips = [\"{vip}\"]\nport = {PORT}\nrequire_on_link = false\n[[service.s{service}.checks]]\n\
             type = \"{kind}\"\ninterval = \"{interval}\"\n"
        );
        for backend in service * POOL..(service + 1) * POOL {
            let _ = write!(
                text,
                "[[service.s{service}.backends]]\nhost = \"b{backend}\"\naddresses = [\"{}\"]\n",
                address(backend)
            );
        }
    }
    text
}
