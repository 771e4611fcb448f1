//! What operators do with announcements, and what the routers see of it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::bird::Bird;
use lab::configuration::Configuration;
use lab::network::{FIRST, Lab, v4, v6};
use lab::site::{LIMIT, Site, both, only};
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

use crate::paths;

/// How BIRD writes GRACEFUL_SHUTDOWN.
const GRACEFUL_SHUTDOWN: &str = "(65535,0)";

/// A site whose balancers ask routers to prefer others for long enough to be looked at.
fn site(world: &World) -> Result<Site> {
    Site::start_with(Lab::build(world)?, |_, asn| Configuration {
        graceful_shutdown: "20s",
        ..Configuration::with_web(asn)
    })
}

/// What BIRD has for a VIP says this.
fn says(bird: &Bird, vip: std::net::IpAddr, words: &str) -> bool {
    bird.ask(&format!("show route all for {vip}")).is_ok_and(|text| text.contains(words))
}

/// What BIRD's BFD says of a balancer's addresses, IPv4 and IPv6.
fn bfd(bird: &Bird, balancer: u16) -> [String; 2] {
    let table = bird.ask("show bfd sessions").unwrap_or_default();
    [v4(balancer).to_string(), v6(balancer).to_string()].map(|address| {
        let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row.first() == Some(&address.as_str()));
        row.and_then(|row| row.get(2).copied()).unwrap_or_default().to_owned()
    })
}

/// GRACEFUL_SHUTDOWN first, then nothing, also after a restart, until it is undrained; and no request fails.
pub(crate) fn a_drained_balancer_fails_no_request_and_stays_drained_over_a_restart(
    world: &World,
) -> Result<()> {
    let mut site = site(world)?;
    paths::turn_on(&site, &paths::PATIENT)?;
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(300)?;

    site.balancers[0].ctl(&["drain", "--balancer", "--reason", "new kernel"])?;
    wait_until("the routers are asked to prefer others", LIMIT, || {
        site.routers.iter().all(|bird| FIRST.iter().all(|vip| says(bird, *vip, GRACEFUL_SHUTDOWN)))
    })?;
    site.expect_routes(&FIRST, &both())?;
    site.expect_routes(&FIRST, &only(2))?;
    // Asked again it is no less drained; packets do not come any more, whatever the table still has.
    let watched =
        site.balancers[0].ctl(&["drain", "--balancer", "--reason", "new kernel", "--wait", "60s"])?;
    ensure!(watched.contains("is drained; it was already by root"), "drained twice: {watched}");
    let status = site.balancers[0].ctl(&["status"])?;
    ensure!(status.contains("the balancer is drained, no VIP is announced: by root"), "status: {status}");
    ensure!(status.contains("\"new kernel\""), "status has no reason: {status}");

    // The path to it is nobody's concern any more; the other's is, and every session stands.
    wait_until("the routers hear AdminDown", LIMIT, || {
        site.routers.iter().all(|bird| bfd(bird, 1) == ["Down"; 2] && bfd(bird, 2) == ["Up"; 2])
    })?;
    wait_until("the sessions stand", LIMIT, || {
        let status = site.balancers[0].ctl(&["status"]).unwrap_or_default();
        status.matches("Established").count() == 4 && !status.contains("BFD")
    })?;
    site.expect_routes(&FIRST, &only(2))?;
    traffic.let_pass(300)?;

    let lvsd = &mut site.balancers[0];
    lvsd.stop(LIMIT)?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    let synced = || {
        let view = site.balancers[0].ctl_json(&["bgp"]).unwrap_or_default();
        let peers = view["peers"].as_array().cloned().unwrap_or_default();
        peers.len() == 4 && peers.iter().all(|peer| peer["in_sync"] == true)
    };
    wait_until("the routers have heard of a process that announces nothing", LIMIT, synced)?;
    site.expect_routes(&FIRST, &only(2))?;
    traffic.let_pass(300)?;

    site.balancers[0].ctl(&["undrain"])?;
    site.expect_routes(&FIRST, &both())?;
    ensure!(!says(&site.routers[0], FIRST[0], GRACEFUL_SHUTDOWN), "undrained, and still asked");
    wait_until("BFD is up again", LIMIT, || site.balancers.iter().all(paths::is_up))?;
    traffic.let_pass(300)?;
    traffic.stop()?.expect_no_failure()
}

/// A stop says why and asks first.
pub(crate) fn a_stop_asks_the_routers_to_prefer_others_before_it_withdraws(world: &World) -> Result<()> {
    let mut site = site(world)?;
    site.balancers[0].ask_to_stop()?;
    wait_until("the routers are asked to prefer others", LIMIT, || {
        site.routers.iter().all(|bird| FIRST.iter().all(|vip| says(bird, *vip, GRACEFUL_SHUTDOWN)))
    })?;
    site.expect_routes(&FIRST, &only(2))?;
    site.balancers[0].wait_stopped(LIMIT)?;
    let log = || fs::read_to_string(site.lab.routers[0].log("bird")).unwrap_or_default();
    wait_until("BIRD logs the text of the Cease", LIMIT, || log().contains("lvsd stops"))
        .map(drop)
        .with_context(log)
}

/// A VIP leaves the routers at once, says why, and is back when its time is over.
pub(crate) fn a_vip_that_is_withdrawn_for_a_time_comes_back_by_itself(world: &World) -> Result<()> {
    let site = Site::start(world)?;
    let lvsd = &site.balancers[0];
    let begin = Instant::now();
    let said = lvsd.ctl(&["vip", "withdraw", "192.0.2.10", "--for", "20s", "--reason", "T1"])?;
    ensure!(said.contains("192.0.2.10 is withdrawn"), "answer: {said}");
    site.expect_routes(&FIRST[..1], &only(2)[..1])?;
    site.expect_routes(&FIRST[1..], &both()[2..])?;
    let rib = lvsd.ctl_output(&["bgp", "rib", "out", "192.0.2.10"])?;
    let why = String::from_utf8_lossy(&rib.stderr).into_owned();
    ensure!(rib.status.code() == Some(4) && why.contains("withdrawn by root"), "bgp rib out: {why}");
    let refused = lvsd.ctl_output(&["vip", "withdraw", "192.0.2.19"])?;
    let near = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(near.contains("did you mean 192.0.2.10?"), "a wrong VIP: {near}");
    site.expect_routes(&FIRST, &both())?;
    ensure!(begin.elapsed() >= Duration::from_secs(20), "back after {:?}", begin.elapsed());
    Ok(())
}

/// Attributes of a VIP reach the routers; a reload that changes one router's session leaves the others alone; `lvsctl
/// bgp` shows all of it.
pub(crate) fn a_reload_that_changes_one_router_resets_its_session_alone(world: &World) -> Result<()> {
    let site = Site::start(world)?;
    let lvsd = &site.balancers[0];
    let file = lvsd.configuration_file();
    let text = fs::read_to_string(&file)?;
    let vip = "\n[vip.\"192.0.2.10\"]\nmed = 30\nprepend = 1\nlarge_communities = [\"64600:1:2\"]\n";
    fs::write(&file, format!("{text}{vip}"))?;
    lvsd.ctl(&["reload"])?;
    for words in ["BGP.med: 30", "BGP.large_community: (64600, 1, 2)"] {
        wait_until(&format!("the routers have {words}"), LIMIT, || {
            site.routers.iter().all(|bird| says(bird, FIRST[0], words))
        })?;
    }
    let sessions = |name: &str| -> Result<u64> {
        let view = lvsd.ctl_json(&["bgp", "neighbor", name])?;
        view["peers"][0]["sessions"].as_u64().context("no number of sessions")
    };
    for name in ["r1-v4", "r1-v6", "r2-v4", "r2-v6"] {
        ensure!(sessions(name)? == 1, "attributes of a VIP have reset {name}");
    }

    let import = "import = [{ action = \"accept\", prefixes = [\"203.0.113.0/24\"], next_hop = \"peer\"";
    let first = format!("name = \"r1-v4\"\nmed = 7\n{import}, local_pref = 200 }}]");
    let changed = text.replace("name = \"r1-v4\"", &first);
    fs::write(&file, format!("{changed}{vip}"))?;
    lvsd.ctl(&["reload"])?;
    wait_until("r1 has its own MED", LIMIT, || says(&site.routers[0], FIRST[0], "BGP.med: 7"))?;
    ensure!(says(&site.routers[1], FIRST[0], "BGP.med: 30"), "r2 has lost its MED");
    ensure!(sessions("r1-v4")? == 1, "rules have reset r1-v4");
    let changed = changed.replace("name = \"r1-v4\"", "name = \"r1-v4\"\nnext_hop_ipv4 = \"10.64.0.1\"");
    fs::write(&file, format!("{changed}{vip}"))?;
    lvsd.ctl(&["reload"])?;
    wait_until("r1-v4 is reset", LIMIT, || sessions("r1-v4").is_ok_and(|count| count == 2))?;
    for name in ["r1-v6", "r2-v4", "r2-v6"] {
        ensure!(sessions(name)? == 1, "a change of r1-v4 has reset {name}");
    }
    let one = lvsd.ctl(&["bgp", "neighbor", "10.64.0.251"])?;
    for words in ["r1-v4 10.64.0.251, AS 65001 (external): Established", "capabilities received: ", "Cease/"]
    {
        ensure!(one.contains(words), "lvsctl bgp neighbor has no {words:?}: {one}");
    }
    let rib = lvsd.ctl(&["bgp", "rib", "out", "192.0.2.10", "-o", "wide"])?;
    for words in ["64600 64600", "64600:1:2", "3 of 3 backends can serve"] {
        ensure!(rib.contains(words), "lvsctl bgp rib out has no {words:?}: {rib}");
    }

    fs::write(
        &file,
        format!("{}{vip}", changed.replace("name = \"r2-v4\"", &format!("name = \"r2-v4\"\n{import} }}]"))),
    )?;
    lvsd.ctl(&["reload"])?;
    let taken = || {
        let view = lvsd.ctl_json(&["bgp", "rib", "in", "203.0.113.0/24"]).unwrap_or_default();
        let told =
            |path: &serde_json::Value| (path["peer"].clone(), path["best"].clone(), path["lost"].clone());
        view.as_array().map(|paths| paths.iter().map(told).collect::<Vec<_>>())
    };
    let wanted = [
        ("r1-v4".into(), true.into(), serde_json::Value::Null),
        ("r2-v4".into(), false.into(), "lower LOCAL_PREF".into()),
    ];
    wait_until("the better of two paths is told", LIMIT, || taken().is_some_and(|paths| paths == wanted))?;
    ensure!(sessions("r1-v4")? == 2 && sessions("r2-v4")? == 1, "sessions were reset");
    Ok(())
}
