//! What each check of thousands costs while all of them speak for the first time, and when all fail.

use crate::balancer::{Balancer, address};
use crate::counted;
use health::Verdict;
use std::fmt::Write as _;

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
