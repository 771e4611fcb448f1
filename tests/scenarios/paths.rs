//! BFD between balancers and routers.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::bird::{Bird, SOCKET};
use lab::lvsd::Lvsd;
use lab::network::FIRST;
use lab::own_time::Stopwatch;
use lab::site::{LIMIT, Site, both, only};
use lab::wait::wait_until;
use lab::world::World;

/// A third of the hold time. A path that breaks is known after 900 ms on a machine with time for it.
const SOONER: Duration = Duration::from_secs(10);

/// A machine that stood still for less has broken no path.
const STILL: Duration = Duration::from_millis(500);

/// How soon a path is taken for broken, in lvsd's words and in BIRD's.
pub(crate) struct Timing {
    ours: &'static str,
    birds: &'static str,
}

/// After 900 ms.
const QUICK: Timing = Timing { ours: "true", birds: "interval 300 ms; multiplier 3;" };

/// After 20 s: for those who want their paths to stand on any machine.
pub(crate) const PATIENT: Timing =
    Timing { ours: "{ interval = \"1s\", multiplier = 20 }", birds: "interval 1 s; multiplier 20;" };

const PEERS: [&str; 4] = ["r1-v4", "r1-v6", "r2-v4", "r2-v6"];

pub(crate) fn a_balancer_that_is_unplugged_is_missed_within_a_second_with_bfd(world: &World) -> Result<()> {
    let site = Site::start(world)?;
    let watch = Stopwatch::start();
    turn_on(&site, &QUICK)?;
    for lvsd in &site.balancers {
        let status = || lvsd.ctl(&["status"]).unwrap_or_default();
        let shown = || status().lines().filter(|line| line.contains("Established, BFD Up")).count();
        wait_until("lvsctl status shows all of them", LIMIT, || shown() == PEERS.len())
            .with_context(status)?;
        for peer in PEERS {
            let sessions = lvsd.metric(&format!("lvsd_bgp_sessions_total{{peer=\"{peer}\"}}"))?;
            ensure!(
                sessions == 1.0 || watch.lost() > STILL,
                "the session with {peer} was reset: it is the {sessions}th"
            );
        }
    }

    let since = watch.elapsed();
    site.lab.unplug(&site.lab.balancers[0])?;
    site.expect_routes(&FIRST, &only(2))?;
    let took = watch.elapsed() - since;
    println!("a balancer was unplugged; no router sent it anything after {took:?}, the hold time is 30 s");
    ensure!(took < SOONER, "the unplugged balancer was sent packets for {took:?}");
    wait_until("it knows why", LIMIT, || {
        let status = site.balancers[0].ctl(&["status"]).unwrap_or_default();
        status.matches("Cease/BFD Down").count() == PEERS.len()
    })?;
    let failures = site.balancers[0].metric("lvsd_bfd_failures_total{peer=\"r1-v4\"}")?;
    ensure!(
        failures == 1.0 || (failures > 1.0 && watch.lost() > STILL),
        "the path to r1 broke {failures} times"
    );

    site.lab.plug_in(&site.lab.balancers[0])?;
    site.expect_routes(&FIRST, &both())?;
    Ok(())
}

/// Turns BFD on at both ends and waits until it is up everywhere.
pub(crate) fn turn_on(site: &Site, timing: &Timing) -> Result<()> {
    for bird in &site.routers {
        watch_paths(bird, timing)?;
    }
    for lvsd in &site.balancers {
        let text = fs::read_to_string(lvsd.configuration_file())?;
        lvsd.configure_with(
            &text.replace("[[bgp.peer]]\n", &format!("[[bgp.peer]]\nbfd = {}\n", timing.ours)),
        )?;
        lvsd.reload()?;
    }
    wait_until("BFD is up with every router", LIMIT, || site.balancers.iter().all(is_up))?;
    Ok(())
}

/// Whether a balancer's BFD is up with every router.
pub(crate) fn is_up(lvsd: &Lvsd) -> bool {
    let up = |peer| lvsd.metric(&format!("lvsd_bfd_up{{peer=\"{peer}\"}}")).is_ok_and(|up| up > 0.0);
    PEERS.iter().all(up)
}

/// Has a router watch the paths to its balancers, without a reset of its sessions.
fn watch_paths(bird: &Bird, timing: &Timing) -> Result<()> {
    let file = bird.host().files().join("bird.conf");
    let text = fs::read_to_string(&file)?.replace("graceful restart on;", "graceful restart on; bfd on;");
    let bfd = format!("protocol bfd {{ interface \"*\" {{ {} }}; }}\n", timing.birds);
    fs::write(&file, text + &bfd)?;
    let answer = lab::bird::ask(&bird.host().files().join(SOCKET), "configure")?;
    ensure!(answer.contains("econfigur"), "BIRD refused: {answer}");
    Ok(())
}
