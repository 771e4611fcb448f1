//! BFD between balancers and routers.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::bird::{Bird, SOCKET};
use lab::lvsd::Lvsd;
use lab::network::FIRST;
use lab::site::{LIMIT, Site, both, only};
use lab::wait::wait_until;
use lab::world::World;

/// A tenth of the hold time. A path that breaks is known after 900 ms on a machine with time for it.
const SOONER: Duration = Duration::from_secs(3);

const PEERS: [&str; 4] = ["r1-v4", "r1-v6", "r2-v4", "r2-v6"];

pub(crate) fn a_balancer_that_is_unplugged_is_missed_within_a_second_with_bfd(world: &World) -> Result<()> {
    let site = Site::start(world)?;
    turn_on(&site)?;
    for lvsd in &site.balancers {
        let status = lvsd.ctl(&["status"])?;
        let shown = status.lines().filter(|line| line.contains("Established, BFD Up")).count();
        ensure!(shown == PEERS.len(), "lvsctl status shows {shown} of them:\n{status}");
        for peer in PEERS {
            let sessions = lvsd.metric(&format!("lvsd_bgp_sessions_total{{peer=\"{peer}\"}}"))?;
            ensure!(sessions == 1.0, "the session with {peer} was reset: it is the {sessions}th");
        }
    }

    let since = Instant::now();
    site.lab.unplug(&site.lab.balancers[0])?;
    site.expect_routes(&FIRST, &only(2))?;
    let took = since.elapsed();
    println!("a balancer was unplugged; no router sent it anything after {took:?}, the hold time is 30 s");
    ensure!(took < SOONER, "the unplugged balancer was sent packets for {took:?}");
    wait_until("it knows why", LIMIT, || {
        let status = site.balancers[0].ctl(&["status"]).unwrap_or_default();
        status.matches("Cease/BFD Down").count() == PEERS.len()
    })?;
    let failures = site.balancers[0].metric("lvsd_bfd_failures_total{peer=\"r1-v4\"}")?;
    ensure!(failures == 1.0, "the path to r1 broke {failures} times");

    site.lab.plug_in(&site.lab.balancers[0])?;
    site.expect_routes(&FIRST, &both())?;
    Ok(())
}

/// Turns BFD on at both ends and waits until it is up everywhere.
pub(crate) fn turn_on(site: &Site) -> Result<()> {
    for bird in &site.routers {
        watch_paths(bird)?;
    }
    for lvsd in &site.balancers {
        let text = fs::read_to_string(lvsd.configuration_file())?;
        lvsd.configure_with(&text.replace("[[bgp.peer]]\n", "[[bgp.peer]]\nbfd = true\n"))?;
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
fn watch_paths(bird: &Bird) -> Result<()> {
    let file = bird.host().files().join("bird.conf");
    let text = fs::read_to_string(&file)?.replace("graceful restart on;", "graceful restart on; bfd on;");
    let bfd = "protocol bfd { interface \"*\" { interval 300 ms; multiplier 3; }; }\n";
    fs::write(&file, text + bfd)?;
    let answer = lab::bird::ask(&bird.host().files().join(SOCKET), "configure")?;
    ensure!(answer.contains("econfigur"), "BIRD refused: {answer}");
    Ok(())
}
