//! What happens in the demo, in its order, told while it happens.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::bird::Bird;
use lab::configuration::Configuration;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, SECOND};
use lab::site::{BALANCERS, LIMIT, Site, WEIGHT, both, only, routes, web, weight};
use lab::traffic::{Load, Traffic};
use lab::watch::{Watcher, reaction};
use lab::world::World;

use crate::report::{Event, FILE, Report};
use crate::timeline;

/// Traffic between an event's effect and the next event, so that each has some of its own.
const AFTERWARDS: Duration = Duration::from_secs(5);

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
    site: Site,
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
        say(began, "all start; the service web is on 192.0.2.10 and 2001:db8::10");
        let starting = Instant::now();
        let site = Site::start_with(lab, |_, asn| Configuration::with_web(asn))?;
        let took = starting.elapsed();
        tell(took, "both routers spread both addresses over both balancers");
        let load = Load::usual(&FIRST);
        say(
            began,
            &format!(
                "the client begins: {} requests a second, each on a connection of its own, and {} kept connections",
                load.rate, load.kept_alive
            ),
        );
        let traffic = Traffic::start(&site.lab.client, &load)?;
        let start = Event { name: "start", at: Duration::ZERO, reaction: took, planned: true };
        std::thread::sleep(AFTERWARDS);
        Ok(Self { began, site, traffic, events: vec![start], vips: FIRST.to_vec() })
    }

    fn a_server_dies_and_returns(&mut self) -> Result<()> {
        self.event(
            "rs1's nginx dies",
            false,
            "kill -9 of nginx on rs1",
            "rs1 has weight 0 on both balancers",
            |story| {
                let watchers = weight(&story.site.lab, &[0, 1], 11, 0);
                reaction(LIMIT, watchers, || story.site.servers[0].kill())
            },
        )?;
        self.event(
            "rs1's nginx returns",
            true,
            "nginx on rs1 is started again",
            "rs1 has its weight again on both",
            |story| {
                // The time to react runs from nginx's first answer on.
                story.site.servers[0].start_again()?;
                story.site.servers[0].wait_ready(LIMIT)?;
                reaction(LIMIT, weight(&story.site.lab, &[0, 1], 11, WEIGHT), || Ok(()))
            },
        )
    }

    fn an_operator_depools_and_pools(&mut self) -> Result<()> {
        self.event(
            "lvsctl depool rs2",
            true,
            "lvsctl depool rs2, on lb1, then on lb2",
            "rs2 has weight 0, each (the start of lvsctl included)",
            |story| story.on_each_balancer(&["depool", "rs2", "--reason", "demo"], 12, 0),
        )?;
        self.event(
            "lvsctl pool rs2",
            true,
            "lvsctl pool rs2, on lb1, then on lb2",
            "rs2 has its weight again, each (the start of lvsctl included)",
            |story| story.on_each_balancer(&["pool", "rs2"], 12, WEIGHT),
        )
    }

    /// The longer of the two reactions, each from the start of lvsctl to the kernel.
    fn on_each_balancer(&mut self, command: &[&str], last: u16, wanted: u32) -> Result<Duration> {
        let mut longest = Duration::ZERO;
        for (index, balancer) in self.site.balancers.iter().enumerate() {
            let watchers = weight(&self.site.lab, &[index], last, wanted);
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
                    .site
                    .routers
                    .iter()
                    .map(|bird| Watcher::condition("routes are kept", move || helping(bird)));
                reaction(LIMIT, watchers.collect(), || story.site.balancers[0].kill())
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
                    .site
                    .routers
                    .iter()
                    .map(|bird| Watcher::condition("routes are fresh", move || fresh(bird)));
                let lvsd = &mut story.site.balancers[0];
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
                let watchers = routes(&story.site.routers, &SECOND, &hops);
                let took = reaction(LIMIT, watchers, || {
                    for (balancer, asn) in story.site.balancers.iter().zip(BALANCERS) {
                        balancer.configure(&Configuration::with_web(asn).and_second())?;
                        balancer.ctl(&["reload"])?;
                    }
                    Ok(())
                })?;
                story.traffic.add_targets(&web(&SECOND));
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
                let hops = only(2);
                let took = reaction(LIMIT, routes(&story.site.routers, &vips, &hops), || {
                    story.site.balancers[0].ask_to_stop()
                })?;
                story.site.balancers[0].wait_stopped(LIMIT)?;
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
                reaction(LIMIT, routes(&story.site.routers, &vips, &hops), || {
                    story.site.balancers[0].start_again()
                })
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
        let memory = self.site.balancers.iter().map(Lvsd::resident_kilobytes).collect::<Result<Vec<_>>>()?;
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

fn say(began: Instant, what: &str) {
    println!("[{:5.1} s] {what}", began.elapsed().as_secs_f64());
}

fn tell(took: Duration, effect: &str) {
    println!("          after {:.1} ms: {effect}", took.as_secs_f64() * 1000.0);
}
