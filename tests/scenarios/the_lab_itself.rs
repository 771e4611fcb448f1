//! The lab without lvsd: an IPVS table by ipvsadm and static routes carry requests. When this fails, no other
//! scenario can be believed.

use anyhow::{Result, ensure};
use lab::network::{FIRST, Lab, v4, v6};
use lab::table;
use lab::traffic::{Load, Traffic};
use lab::world::World;

pub(crate) fn the_lab_itself_carries_traffic_v4_and_v6(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    println!("network up after {:?}", world.elapsed());
    let _servers = lab.start_servers()?;
    program_by_hand(&lab)?;
    println!("ready after {:?}", world.elapsed());

    let traffic = Traffic::start(&lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(1000)?;
    let report = traffic.stop()?;
    println!("{report}");

    report.expect_no_failure()?;
    for server in ["rs1", "rs2", "rs3"] {
        let answers = report.totals.servers.get(server).copied().unwrap_or_default();
        ensure!(answers > 100, "{server} answered {answers} of 1000 requests: {report}");
    }
    for family in [FIRST[0], FIRST[1]] {
        let answered = report.requests.iter().filter(|request| request.target.ip() == family).count();
        ensure!(answered >= 450, "{answered} requests to {family}");
    }
    for balancer in &lab.balancers {
        for connections in table::read(balancer)?.values().flat_map(|service| service.values()) {
            ensure!(connections.active + connections.inactive > 0, "a server idle on {}", balancer.name());
        }
    }
    Ok(())
}

/// What lvsd and BIRD are there for.
fn program_by_hand(lab: &Lab) -> Result<()> {
    for balancer in &lab.balancers {
        let mut rules = String::new();
        for (vip, server) in [(format!("{}", FIRST[0]), "4"), (format!("[{}]", FIRST[1]), "6")] {
            rules += &format!("-A -t {vip}:80 -s mh -b mh-port,mh-fallback\n");
            for last in [11, 12, 13] {
                let address = if server == "4" { v4(last).to_string() } else { format!("[{}]", v6(last)) };
                rules += &format!("-a -t {vip}:80 -r {address}:80 -g -w 10\n");
            }
        }
        let script = format!(
            "ipvsadm -R <<X\n{rules}X\nip link add vips type dummy && ip link set vips up && \
             ip addr add {}/32 dev vips && ip addr add {}/128 dev vips nodad",
            FIRST[0], FIRST[1]
        );
        balancer.run(&["sh", "-ec", &script])?;
    }
    for router in &lab.routers {
        let script = format!(
            "ip route add {}/32 nexthop via {} nexthop via {} && ip route add {}/128 nexthop via {} nexthop via {}",
            FIRST[0],
            v4(1),
            v4(2),
            FIRST[1],
            v6(1),
            v6(2)
        );
        router.run(&["sh", "-ec", &script])?;
    }
    Ok(())
}
