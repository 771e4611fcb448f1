//! What happens in the demo, in its order, told while it happens.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::bird::{Bird, Settings};
use lab::configuration::Configuration;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, SECOND, v4, v6};
use lab::nginx::Nginx;
use lab::table::{Table, weights_in};
use lab::traffic::{Load, Traffic};
use lab::watch::{Watcher, reaction};
use lab::world::World;

use crate::report::{Event, FILE, Report};
use crate::timeline;

/// Longest wait for any effect.
const LIMIT: Duration = Duration::from_secs(30);

/// Traffic between an event's effect and the next event, so that each has some of its own.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// AS numbers of the balancers.
const BALANCERS: [u32; 2] = [64600, 64600];

/// Weight of every backend, as configured.
const WEIGHT: u32 = 10;

/// Plays it all; an error when something does not come about, or a planned event fails a request.
pub(crate) fn play(world: &World) -> Result<()> {
    let mut story = Story::begin(world)?;
    story.a_server_dies_and_returns()?;
    story.an_operator_depools_and_pools()?;
    story.lvsd_is_killed_and_started_again()?;
    story.a_reload_adds_a_service()?;
    story.a_balancer_leaves_and_returns()?;
    story.end(world)
}

struct Story {
    began: Instant,
    lab: Lab,
    servers: Vec<Nginx>,
    routers: [Bird; 2],
    balancers: [Lvsd; 2],
    traffic: Traffic,
    events: Vec<Event>,
    vips: Vec<IpAddr>,
}

impl Story {
    fn begin(world: &World) -> Result<Self> {
        let began = Instant::now();
        println!(
            "The lab: client, 2 routers (BIRD, ECMP), 2 balancers (lvsd), 3 servers (nginx), IPv4 and IPv6."
        );
        let lab = Lab::build_without_captures(world)?;
        let servers = lab.start_servers()?;
        let routers = [
            Bird::start(&lab.routers[0], &Settings::of_router(0, BALANCERS))?,
            Bird::start(&lab.routers[1], &Settings::of_router(1, BALANCERS))?,
        ];
        say(began, "lvsd starts on lb1 and lb2, with the service web on 192.0.2.10 and 2001:db8::10");
        let mut balancers = None;
        let hops = both();
        let watchers = routes(&routers, &FIRST, &hops);
        let took = reaction(LIMIT, watchers, || {
            let start =
                |index: usize| Lvsd::start(&lab.balancers[index], &Configuration::with_web(BALANCERS[index]));
            balancers = Some([start(0)?, start(1)?]);
            Ok(())
        })?;
        tell(took, "both routers spread both addresses over both balancers");
        let balancers = balancers.context("no balancer was started")?;
        let load = Load::usual(&FIRST);
        say(
            began,
            &format!(
                "the client begins: {} requests a second, each on a connection of its own, and {} kept connections",
                load.rate, load.kept_alive
            ),
        );
        let traffic = Traffic::start(&lab.client, &load)?;
        let start = Event { name: "start", at: Duration::ZERO, reaction: took, planned: true };
        std::thread::sleep(AFTERWARDS);
        Ok(Self {
            began,
            lab,
            servers,
            routers,
            balancers,
            traffic,
            events: vec![start],
            vips: FIRST.to_vec(),
        })
    }

    fn a_server_dies_and_returns(&mut self) -> Result<()> {
        self.event(
            "rs1's nginx dies",
            false,
            "kill -9 of nginx on rs1",
            "rs1 has weight 0 on both balancers",
            |story| {
                let watchers = weights(&story.lab, &[0, 1], 11, 0);
                reaction(LIMIT, watchers, || story.servers[0].kill())
            },
        )?;
        self.event(
            "rs1's nginx returns",
            true,
            "nginx on rs1 is started again",
            "rs1 has its weight again on both",
            |story| {
                // The time to react runs from nginx's first answer on.
                story.servers[0].start_again()?;
                story.servers[0].wait_ready(LIMIT)?;
                reaction(LIMIT, weights(&story.lab, &[0, 1], 11, WEIGHT), || Ok(()))
            },
        )
    }

    fn an_operator_depools_and_pools(&mut self) -> Result<()> {
        self.event(
            "lvsctl depool rs2",
            true,
            "lvsctl depool rs2, on lb1, then on lb2",
            "rs2 has weight 0, each",
            |story| story.on_each_balancer(&["depool", "rs2", "--reason", "demo"], 12, 0),
        )?;
        self.event(
            "lvsctl pool rs2",
            true,
            "lvsctl pool rs2, on lb1, then on lb2",
            "rs2 has its weight again, each",
            |story| story.on_each_balancer(&["pool", "rs2"], 12, WEIGHT),
        )
    }

    /// The longer of the two reactions, each from the start of lvsctl to the kernel.
    fn on_each_balancer(&mut self, command: &[&str], last: u16, weight: u32) -> Result<Duration> {
        let mut longest = Duration::ZERO;
        for (index, balancer) in self.balancers.iter().enumerate() {
            let watchers = weights(&self.lab, &[index], last, weight);
            longest = longest.max(reaction(LIMIT, watchers, || balancer.ctl(command).map(drop))?);
        }
        Ok(longest)
    }

    fn lvsd_is_killed_and_started_again(&mut self) -> Result<()> {
        self.event(
            "lvsd on lb1 is killed",
            true,
            "kill -9 of lvsd on lb1",
            "both routers keep its routes (graceful restart)",
            |story| {
                let helping = |bird: &Bird| bird.helping().is_ok_and(|kept| kept == ["lb1_v4", "lb1_v6"]);
                let watchers = story
                    .routers
                    .iter()
                    .map(|bird| Watcher::condition("routes are kept", move || helping(bird)));
                reaction(LIMIT, watchers.collect(), || story.balancers[0].kill())
            },
        )?;
        self.event(
            "lvsd is started again",
            true,
            "lvsd on lb1 is started again",
            "ready, and both routers have fresh routes",
            |story| {
                let fresh = |bird: &Bird| {
                    bird.established().is_ok_and(|up| up.len() == 4)
                        && bird.helping().is_ok_and(|kept| kept.is_empty())
                };
                let watchers = story
                    .routers
                    .iter()
                    .map(|bird| Watcher::condition("routes are fresh", move || fresh(bird)));
                let lvsd = &mut story.balancers[0];
                reaction(LIMIT, watchers.collect(), || {
                    lvsd.start_again()?;
                    lvsd.wait_ready(LIMIT).map(drop)
                })
            },
        )
    }

    fn a_reload_adds_a_service(&mut self) -> Result<()> {
        self.event(
            "a reload adds a service",
            true,
            "a second service, 192.0.2.11 and 2001:db8::11, and lvsctl reload on both",
            "both routers spread its addresses",
            |story| {
                let hops = both();
                let watchers = routes(&story.routers, &SECOND, &hops);
                let took = reaction(LIMIT, watchers, || {
                    for (balancer, asn) in story.balancers.iter().zip(BALANCERS) {
                        balancer.configure(&Configuration::with_web(asn).and_second())?;
                        balancer.ctl(&["reload"])?;
                    }
                    Ok(())
                })?;
                story.traffic.add_targets(&SECOND.map(|vip| SocketAddr::new(vip, 80)));
                Ok(took)
            },
        )?;
        self.vips.extend(SECOND);
        Ok(())
    }

    fn a_balancer_leaves_and_returns(&mut self) -> Result<()> {
        let vips = self.vips.clone();
        self.event(
            "lb1 is drained and stopped",
            true,
            "SIGTERM to lvsd on lb1",
            "both routers send everything to lb2",
            |story| {
                let hops = [v4(2).into(), v6(2).into()];
                let took = reaction(LIMIT, routes(&story.routers, &vips, &hops), || {
                    story.balancers[0].ask_to_stop()
                })?;
                story.balancers[0].wait_stopped(LIMIT)?;
                Ok(took)
            },
        )?;
        self.event(
            "lb1 returns",
            true,
            "lvsd on lb1 is started",
            "both routers spread over both again",
            |story| {
                let hops = both();
                reaction(LIMIT, routes(&story.routers, &vips, &hops), || story.balancers[0].start_again())
            },
        )
    }

    /// One event: told, counted as a phase of the traffic, timed, told again, and some traffic after it.
    fn event(
        &mut self,
        name: &'static str,
        planned: bool,
        cause: &str,
        effect: &str,
        happen: impl FnOnce(&mut Self) -> Result<Duration>,
    ) -> Result<()> {
        say(self.began, cause);
        let at = self.traffic.phase(name);
        let took = happen(self).with_context(|| cause.to_owned())?;
        tell(took, effect);
        self.events.push(Event { name, at, reaction: took, planned });
        std::thread::sleep(AFTERWARDS);
        Ok(())
    }

    fn end(self, world: &World) -> Result<()> {
        let memory = self.balancers.iter().map(Lvsd::resident_kilobytes).collect::<Result<Vec<_>>>()?;
        let traffic = self.traffic.stop()?;
        say(self.began, "the client stops");
        let report = Report::new(&traffic, &self.events);
        fs::write(world.directory().join(FILE), serde_json::to_string_pretty(&report)? + "\n")?;
        fs::write(world.directory().join(timeline::FILE), timeline::draw(&traffic, &self.events))?;
        println!("\n{}\n", report.table());
        println!(
            "by server: {:?}; slower than 1 s: {}; lvsd's memory: {memory:?} kB",
            traffic.totals.servers, traffic.totals.slow
        );
        if traffic.totals.failed > 0 {
            println!("{traffic}");
        }
        report.expect_planned_events_fail_nothing(&self.events)
    }
}

/// Both balancers in both families, as routers list them.
fn both() -> [IpAddr; 4] {
    [v4(1).into(), v4(2).into(), v6(1).into(), v6(2).into()]
}

fn routes<'a>(routers: &'a [Bird], vips: &'a [IpAddr], hops: &'a [IpAddr]) -> Vec<Watcher<'a>> {
    routers.iter().map(|bird| Watcher::routes(bird, vips, hops)).collect()
}

/// The server with this last part has the weight, in both families, on each of the balancers.
fn weights<'a>(lab: &'a Lab, balancers: &[usize], last: u16, weight: u32) -> Vec<Watcher<'a>> {
    let has = move |table: &Table| {
        FIRST.iter().all(|vip| {
            let server: IpAddr = if vip.is_ipv4() { v4(last).into() } else { v6(last).into() };
            weights_in(table, SocketAddr::new(*vip, 80)).get(&server).copied().unwrap_or_default() == weight
        })
    };
    let watch = |index: &usize| {
        Watcher::table(&lab.balancers[*index], &format!("weight {weight} of server .{last}"), has)
    };
    balancers.iter().map(watch).collect()
}

fn say(began: Instant, what: &str) {
    println!("[{:5.1} s] {what}", began.elapsed().as_secs_f64());
}

fn tell(took: Duration, effect: &str) {
    println!("          after {:.1} ms: {effect}", took.as_secs_f64() * 1000.0);
}
