//! Servers behind bad links, servers that stand still, and servers that let only some in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::configuration::{Configuration, Routers};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4, v6};
use lab::nginx::Nginx;
use lab::site::{BALANCERS, LIMIT, SERVERS, WEIGHT};
use lab::table::weights;
use lab::wait::wait_until;
use lab::world::World;

/// Long enough for a server on a slow machine behind a slow link, short enough to be waited for.
const TIMEOUT: Duration = Duration::from_secs(2);

const TIMING: &str = "interval = \"200ms\"\ntimeout = \"2s\"\nfall = 3\nrise = 2";

const HTTP: &str = "type = \"http\"\nurl = \"/healthz\"";
const TCP: &str = "type = \"tcp\"";
const ICMP: &str = "type = \"icmp\"";

/// How much later packets from a server come, in milliseconds.
const DELAY: u64 = 150;

/// One balancer without routers, and the servers.
struct Ground {
    lab: Lab,
    servers: Vec<Nginx>,
    lvsd: Lvsd,
}

impl Ground {
    /// All servers are up by all of these checks.
    fn start(lab: Lab, checks: &[&str]) -> Result<Self> {
        let servers = lab.start_servers()?;
        let host = &lab.balancers[0];
        let mut lvsd = Lvsd::start_with(host, &configuration(host, checks))?;
        lvsd.wait_ready(LIMIT)?;
        let ground = Self { lab, servers, lvsd };
        SERVERS.iter().try_for_each(|last| ground.expect(*last, WEIGHT))?;
        Ok(ground)
    }

    /// Waits until a server has this weight in both families.
    fn expect(&self, last: u16, wanted: u32) -> Result<()> {
        let has = || FIRST.iter().all(|vip| self.weight(*vip, last) == Some(wanted));
        let waited = wait_until(&format!("weight {wanted} of .{last} in both families"), LIMIT, has);
        waited.map(drop).with_context(|| self.why(last).unwrap_or_default())
    }

    fn weight(&self, vip: IpAddr, last: u16) -> Option<u32> {
        let own: IpAddr = if vip.is_ipv4() { v4(last).into() } else { v6(last).into() };
        weights(&self.lab.balancers[0], SocketAddr::new(vip, 80)).ok()?.get(&own).copied()
    }

    fn why(&self, last: u16) -> Result<String> {
        self.lvsd.ctl(&["why", &format!("rs{}", last - 10)])
    }

    /// Waits until `lvsctl why` says this of a server.
    fn expect_said(&self, last: u16, wanted: &str) -> Result<()> {
        let says = || self.why(last).is_ok_and(|why| why.contains(wanted));
        let waited = wait_until(&format!("why .{last}: {wanted}"), LIMIT, says);
        waited.map(drop).with_context(|| self.why(last).unwrap_or_default())
    }

    /// What `lvsctl why` knows of each check of a server, both families.
    fn checks(&self, last: u16) -> Result<Vec<serde_json::Value>> {
        let said = self.lvsd.ctl_json(&["why", &format!("rs{}", last - 10)])?;
        let backends = said["services"][0]["backends"].as_array().context("its backends")?;
        Ok(backends.iter().filter_map(|backend| backend["checks"].as_array()).flatten().cloned().collect())
    }

    fn results(&self, kind: &str) -> Result<f64> {
        self.lvsd.metric(&format!("lvsd_check_results_total{{kind=\"{kind}\",result=\"ok\"}}"))
    }
}

/// A balancer's configuration with these checks.
fn configuration(host: &Host, checks: &[&str]) -> String {
    let text = Configuration { routers: Routers::None, ..Configuration::with_web(BALANCERS[0]) }.render(host);
    let begin = text.find("\n[[service.web.checks]]").unwrap_or(text.len());
    let end = text.find("\n[[service.web.backends]]").unwrap_or(text.len());
    let checks = checks.iter().map(|check| format!("\n[[service.web.checks]]\n{check}\n{TIMING}\n"));
    format!("{}{}{}", &text[..begin], checks.collect::<String>(), &text[end..])
}

/// What the kernel's network emulator does to all that leaves a host (tc-netem(8)).
fn emulate(host: &Host, what: &str) -> Result<()> {
    let mut command = vec!["tc", "qdisc", "replace", "dev", "eth0", "root", "netem"];
    command.extend(what.split(' '));
    host.run(&command).map(drop)
}

/// In milliseconds; 0 when the last look brought no answer.
fn latency(check: &serde_json::Value) -> u64 {
    let part = |name: &str| check["latency"][name].as_u64().unwrap_or_default();
    1000 * part("secs") + part("nanos") / 1_000_000
}

fn verdict(check: &serde_json::Value) -> &str {
    check["verdict"].as_str().unwrap_or_default()
}

fn is(check: &serde_json::Value, kind: &str) -> bool {
    check["check"].as_str().is_some_and(|words| words.starts_with(kind))
}

pub(crate) fn a_link_that_delays_and_loses_packets_takes_no_server_out_until_it_is_as_good_as_cut(
    world: &World,
) -> Result<()> {
    world.load(&["sch_netem"])?;
    let ground = Ground::start(Lab::build(world)?, &[HTTP, TCP, ICMP])?;
    let far = &ground.lab.servers[0];
    let before = ground.checks(SERVERS[0])?;
    ensure!(before.len() == 6 && before.iter().all(|check| verdict(check) == "up"), "{before:?}");

    emulate(far, &format!("delay {DELAY}ms 20ms loss 3%"))?;
    let seen = ground.results("http")?;
    // Of three servers in two families: some 30 for each.
    wait_until("200 more pages are fetched", LIMIT, || {
        ground.results("http").is_ok_and(|now| now > seen + 200.0)
    })?;
    // A packet that was lost may have cost the last one of a check its answer.
    let sees =
        || ground.checks(SERVERS[0]).is_ok_and(|slow| slow.iter().all(|check| latency(check) >= DELAY - 25));
    wait_until("what the link adds is seen by every check", LIMIT, sees)
        .with_context(|| format!("{:?}", ground.checks(SERVERS[0])))?;
    for (check, before) in ground.checks(SERVERS[0])?.iter().zip(&before) {
        ensure!(check["since"] == before["since"], "a verdict has moved: {before} and then {check}");
    }

    emulate(far, &format!("delay {}ms", 2 * TIMEOUT.as_millis()))?;
    ground.expect(SERVERS[0], 0)?;
    ground.expect_said(SERVERS[0], "timeout after 2 s while connecting")?;
    let timeouts = || ground.lvsd.metric("lvsd_check_failures_total{class=\"timeout\",kind=\"http\"}");
    wait_until("timeouts are counted", LIMIT, || timeouts().is_ok_and(|failed| failed >= 3.0))?;
    let lags = ground.lvsd.metric("lvsd_check_lag_seconds_count")?;
    let (running, in_flight) =
        (ground.lvsd.metric("lvsd_checks")?, ground.lvsd.metric("lvsd_checks_in_flight")?);
    ensure!(lags > seen && running == 18.0 && in_flight <= running, "{}", ground.lvsd.http("/metrics")?);
    emulate(far, "delay 1ms")?;
    ground.expect(SERVERS[0], WEIGHT)?;
    emulate(far, "loss 100%")?;
    ground.expect(SERVERS[0], 0)?;
    emulate(far, "loss 0%")?;
    ground.expect(SERVERS[0], WEIGHT)
}

pub(crate) fn a_server_that_is_stopped_is_found_by_what_it_is_asked_and_not_by_its_port(
    world: &World,
) -> Result<()> {
    let ground = Ground::start(Lab::build(world)?, &[HTTP, TCP])?;
    ground.servers[1].set_stopped(true)?;
    ground.expect(SERVERS[1], 0)?;
    ground.expect_said(SERVERS[1], "timeout after 2 s while waiting for the answer")?;
    let checks = ground.checks(SERVERS[1])?;
    let is_right = |check: &serde_json::Value| verdict(check) == if is(check, "tcp") { "up" } else { "down" };
    ensure!(checks.len() == 4 && checks.iter().all(is_right), "its kernel accepts connections: {checks:?}");
    ground.servers[1].set_stopped(false)?;
    ground.expect(SERVERS[1], WEIGHT)
}

pub(crate) fn checks_come_from_the_source_that_they_are_given_in_both_families(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    let sources: [IpAddr; 2] = [v4(101).into(), v6(101).into()];
    for (source, length) in sources.iter().zip([24, 64]) {
        // Not preferred: nothing has it as its source unasked.
        let lifetime = if source.is_ipv6() { &["preferred_lft", "0"][..] } else { &[] };
        let address = format!("{source}/{length}");
        let command = ["ip", "addr", "add", &address, "dev", "eth0"];
        lab.balancers[0]
            .run(&[&command[..], if source.is_ipv6() { &["nodad"] } else { &[] }, lifetime].concat())?;
    }
    // A server that cannot answer the balancer's own addresses.
    for own in [IpAddr::from(v4(1)), v6(1).into()] {
        let length = if own.is_ipv4() { 32 } else { 128 };
        lab.servers[2].run(&["ip", "route", "add", "blackhole", &format!("{own}/{length}")])?;
    }
    let source = format!("source = [\"{}\", \"{}\"]", sources[0], sources[1]);
    let named: Vec<String> = [HTTP, TCP, ICMP].iter().map(|check| format!("{check}\n{source}")).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let ground = Ground::start(lab, &named)?;
    let shown = ground.why(SERVERS[2])?;
    ensure!(sources.iter().all(|source| shown.contains(&format!("from {source}"))), "{shown}");

    ground.lvsd.configure_with(&configuration(&ground.lab.balancers[0], &[HTTP, TCP, ICMP]))?;
    ground.lvsd.reload()?;
    ground.expect(SERVERS[2], 0)
}
