//! The lab's routers alone: what other scenarios take for granted of them is shown with a BIRD in lvsd's place.

use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::bird::{Bird, Settings};
use lab::host::{Host, Process};
use lab::network::{FIRST, Lab, v4, v6};
use lab::wait::wait_until;
use lab::world::World;

const LIMIT: Duration = Duration::from_secs(60);

/// Balancers with 2-byte and 4-byte AS numbers side by side.
const BALANCERS: [u32; 2] = [64600, 4_200_000_010];

pub(crate) fn routers_spread_over_balancers_and_keep_the_routes_of_one_that_crashed(
    world: &World,
) -> Result<()> {
    let lab = Lab::build(world)?;
    let routers = [
        Bird::start(&lab.routers[0], &Settings::of_router(0, BALANCERS))?,
        Bird::start(&lab.routers[1], &Settings::of_router(1, BALANCERS))?,
    ];
    let mut first = announce(&lab.balancers[0], 1)?;
    let mut second = announce(&lab.balancers[1], 2)?;

    let both =
        |family: usize| if family == 0 { [v4(1).into(), v4(2).into()] } else { [v6(1).into(), v6(2).into()] };
    expect_next_hops(&routers, "both balancers", |family| both(family).to_vec())?;
    for router in &routers {
        let sessions = router.established()?;
        ensure!(sessions == ["lb1_v4", "lb1_v6", "lb2_v4", "lb2_v6"], "sessions up: {sessions:?}");
    }

    // A crash: no withdrawal, no Cease. The kernel of the balancer goes on forwarding, so its routes stay.
    first.kill()?;
    let kept = |sessions: &[&str]| {
        let what = format!("routes kept for {sessions:?}");
        wait_until(&what, LIMIT, || {
            routers.iter().all(|router| router.helping().is_ok_and(|helping| helping == sessions))
        })
    };
    kept(&["lb1_v4", "lb1_v6"])?;
    expect_next_hops(&routers, "still both", |family| both(family).to_vec())?;

    // A stop: gone.
    second.terminate(LIMIT)?;
    expect_next_hops(&routers, "the first alone", |family| both(family)[..1].to_vec())?;

    let _first = announce(&lab.balancers[0], 1)?;
    kept(&[])?;
    expect_next_hops(&routers, "the first alone, and fresh", |family| both(family)[..1].to_vec())
}

fn expect_next_hops(routers: &[Bird], what: &str, wanted: impl Fn(usize) -> Vec<IpAddr>) -> Result<()> {
    wait_until(&format!("next hops: {what}"), LIMIT, || {
        routers.iter().all(|router| {
            (0..FIRST.len())
                .all(|family| router.next_hops(FIRST[family]).is_ok_and(|hops| hops == wanted(family)))
        })
    })?;
    Ok(())
}

fn announce(balancer: &Host, last: u16) -> Result<Process> {
    let mut text = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{}}\n\
         protocol static {{ ipv4; route {}/32 blackhole; }}\nprotocol static {{ ipv6; route {}/128 blackhole; }}\n",
        v4(last),
        FIRST[0],
        FIRST[1]
    );
    for (router, asn) in [(251, 65001), (252, 65002)] {
        let ends: [(&str, IpAddr, IpAddr); 2] =
            [("ipv4", v4(last).into(), v4(router).into()), ("ipv6", v6(last).into(), v6(router).into())];
        for (family, own, peer) in ends {
            text += &format!(
                "protocol bgp {{ local {own} as {}; neighbor {peer} as {asn}; graceful restart on; \
                 connect delay time 1; {family} {{ import none; export all; next hop self; }}; }}\n",
                BALANCERS[usize::from(last) - 1]
            );
        }
    }
    let file = balancer.files().join("bird.conf");
    fs::write(&file, text)?;
    let mut command = Command::new("bird");
    command.arg("-f").arg("-c").arg(&file).arg("-s").arg(balancer.files().join("bird.ctl"));
    balancer.spawn("bird", command)
}
