//! How soon the kernel's route follows a block that moves to another node.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::crowd::{Crowd, address};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::wait::wait_until;

/// Blocks that move, one after the other, each by so many nodes further on.
const MOVES: u32 = 50;
const APART: u32 = 16;

/// Between two: each is a change of its own.
const PAUSE: Duration = Duration::from_millis(200);

/// A route that leads nowhere and is nobody's (RFC 5737).
const MARK: &str = "203.0.113.1";

/// Nothing here takes so long, on the slowest day.
const LIMIT: Duration = Duration::from_secs(60);

/// Milliseconds from the order to the kernel's route by the other node.
pub(crate) fn measure(lvsd: &Lvsd, crowd: &Crowd) -> Result<Vec<f64>> {
    let routes = monitor(lvsd.host())?;
    let mut times = Vec::new();
    for number in 0..MOVES {
        let (from, to) = (number * APART, number * APART + 2);
        let (prefix, way) = (crowd.first_block(from)?.to_string(), format!("via {} ", address(to)));
        let begin = Instant::now();
        crowd.move_first_block(from, to)?;
        loop {
            let (line, at) = routes.recv_timeout(LIMIT).with_context(|| format!("{prefix} did not move"))?;
            if line.contains(&prefix) && line.contains(&way) {
                times.push(at.duration_since(begin).as_secs_f64() * 1000.0);
                break;
            }
        }
        std::thread::sleep(PAUSE);
    }
    Ok(times)
}

/// What the kernel tells of its routes from now on, with the time of each line. It ends with the lab's kernel.
fn monitor(host: &Host) -> Result<Receiver<(String, Instant)>> {
    let mut command = Command::new("ip");
    command.args(["-4", "monitor", "route"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = host.enter(|| command.spawn())??;
    let output = child.stdout.take().context("no output of ip monitor")?;
    let (lines, heard) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send((line, Instant::now())).is_err() {
                break;
            }
        }
        drop(child.kill());
    });
    wait_until("ip monitor listens", LIMIT, || {
        let mark = |verb| host.run(&["ip", "route", verb, "blackhole", MARK, "table", "99"]).is_ok();
        mark("add") && mark("del") && heard.recv_timeout(PAUSE).is_ok()
    })?;
    Ok(heard)
}
