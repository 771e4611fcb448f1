//! What each check of thousands costs while all of them speak for the first time, and when all fail, and what a reload costs
//! each service.

use crate::balancer::{Balancer, address};
use crate::counted;
use health::Verdict;
use lvsd::config;
use lvsd::core::Event;
use std::fmt::Write as _;
use std::sync::Arc;

/// Services with a VIP each, and two servers of their own.
fn configuration(services: u32) -> String {
    let mut text = String::from(
        "[bgp]\nlocal_asn = 64600\nrouter_id = \"10.64.0.1\"\n\
         [[bgp.peer]]\nname = \"r1\"\naddress = \"10.64.0.251\"\nasn = 65001\n",
    );
    for number in 0..services {
        let servers = [0, 1].map(|one| address([10, 0, 0, 1], 2 * number + one));
        let _ = write!(
            text,
            "[service.s{number:05}]\nvips = [\"{}\"]\nport = 80\nchecks = [{{ type = \"tcp\" }}]\nbackends = [\n\
             {{ host = \"{}\", weight = 10 }},\n{{ host = \"{}\", weight = 10 }},\n]\n",
            address([198, 18, 0, 0], number),
            servers[0],
            servers[1],
        );
    }
    text
}

/// VIPs become able to serve one after the other, and fail so: each is a route more or less, and a change of what is saved.
#[test]
fn a_check_costs_no_more_among_thousands_of_vips_than_among_hundreds() {
    let _alone = counted::alone();
    let (few, many) = (200, 1600);
    let costs = [few, many].map(|services| {
        let mut balancer = Balancer::start(&configuration(services));
        balancer.wait();
        assert_eq!((balancer.told.routes.len(), balancer.told.saved.withdrawn.len()), (0, services as usize));
        let up = balancer.all_say(Verdict::Up);
        assert_eq!((balancer.told.routes.len(), balancer.told.saved.withdrawn.len()), (services as usize, 0));
        let down = balancer.all_say(Verdict::Down);
        assert_eq!((balancer.told.routes.len(), balancer.told.saved.withdrawn.len()), (0, services as usize));
        [up, down]
    });
    println!(
        "bytes for each check, up and down: {:?} among {few} VIPs, {:?} among {many}",
        costs[0], costs[1]
    );
    for (among_few, among_many) in costs[0].iter().zip(costs[1]) {
        assert!(among_many < 2 * among_few, "bytes for a check among {few} and {many}: {costs:?}");
    }
}

/// The configuration of so many services, one of which has another scheduler.
fn changed(services: u32) -> Arc<config::Config> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lvsd.toml");
    let other = "[service.s00007]\nscheduler = \"rr\"\n";
    std::fs::write(&file, configuration(services).replacen("[service.s00007]\n", other, 1)).unwrap();
    Arc::new(config::load(&file).unwrap())
}

/// keepalived#2318: a reload of thousands of services took 100 s, as each was looked for among all.
#[test]
fn a_reload_with_one_change_among_thousands_costs_each_service_what_it_costs_among_hundreds() {
    let _alone = counted::alone();
    let (few, many) = (200, 1600);
    let costs = [few, many].map(|services| {
        let mut balancer = Balancer::start(&configuration(services));
        balancer.wait();
        balancer.all_say(Verdict::Up);
        let before = balancer.told.wanted.table.clone();
        let begin = counted::allocated();
        let config = changed(services);
        let read = counted::allocated();
        balancer.take(Event::Configured(config));
        let end = counted::allocated();
        let after = &balancer.told.wanted.table;
        assert_eq!(ipvs::diff(&before, after, &Default::default()).len(), 1, "one service is changed");
        [(read - begin) / u64::from(services), (end - read) / u64::from(services)]
    });
    println!(
        "bytes for each service, read and decided: {:?} among {few}, {:?} among {many}",
        costs[0], costs[1]
    );
    for (among_few, among_many) in costs[0].into_iter().zip(costs[1]) {
        assert!(among_many < among_few * 3 / 2, "{among_many} bytes a service, {among_few} among a few");
    }
}
