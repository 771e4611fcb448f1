//! Backends by name, and a name server that does not answer.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::configuration::{Configuration, Routers};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::name_server::{NameServer, Names};
use lab::network::{FIRST, Lab, SECOND, v4};
use lab::own_time::Stopwatch;
use lab::site::{LIMIT, SERVERS, WEIGHT};
use lab::table::weights;
use lab::wait::wait_until;
use lab::world::World;

/// The backend that is looked up.
const MOVING: &str = "moving.example.net";

/// Names that hang at once: more than there are threads that could wait for them.
const OTHERS: u8 = 24;

/// The resolver asks five times, 10 s apart: it hangs for longer than lvsd waits for it.
const OPTIONS: &str = "timeout:10 attempts:5";

/// A check's interval.
const INTERVAL: Duration = Duration::from_millis(200);

/// What an operator asks for is there within this time, on a machine that is slow and a resolver that hangs; a thread that
/// has to be waited for comes later. What stands still is not counted.
const SOON: Duration = Duration::from_secs(8);

/// A machine that stood still for longer may have begun checks late.
const STILL: Duration = Duration::from_millis(500);

fn other(number: u8) -> String {
    format!("h{number}.example.net")
}

/// What the name server says while the backend that moves is here.
fn names(moving: Ipv4Addr) -> Names {
    let others = (0..OTHERS).map(|number| (other(number), v4(100 + u16::from(number))));
    others.chain([(MOVING.to_owned(), moving)]).collect()
}

/// One service with a backend by address and one by name, one with many names, and what follows.
fn configuration(host: &Host, more: &str) -> String {
    let plain =
        Configuration { routers: Routers::None, services: Vec::new(), ..Configuration::with_web(64600) };
    let text = plain.render(host).replacen("[lvsd]\n", "[lvsd]\nresolve_interval = \"1s\"\n", 1);
    let mut text = text
        + &format!(
            "\n[service.web]\nvips = [\"{}\"]\nport = 80\ndepool_threshold = 0.0\n\
             checks = [{{ type = \"http\", url = \"/healthz\", interval = \"200ms\", timeout = \"30s\", fall = 2 }}]\n\
             backends = [\n\
             {{ host = \"rs1\", addresses = [\"{}\"], weight = {WEIGHT} }},\n\
             {{ host = \"{MOVING}\", weight = {WEIGHT} }},\n]\n",
            FIRST[0],
            v4(SERVERS[0]),
        );
    let _ =
        write!(text, "\n[service.many]\nvips = [\"{}\"]\nport = 80\nchecks = []\nbackends = [\n", SECOND[0]);
    for number in 0..OTHERS {
        let _ = writeln!(text, "{{ host = \"{}\" }},", other(number));
    }
    text + "]\n" + more
}

/// The weight of a server at a VIP's port; none when it is not there.
fn weight(host: &Host, port: u16, last: u16) -> Option<u32> {
    weights(host, SocketAddr::new(FIRST[0], port)).ok()?.get(&IpAddr::from(v4(last))).copied()
}

fn expect(host: &Host, last: u16, wanted: Option<u32>) -> Result<()> {
    wait_until(&format!("weight {wanted:?} of .{last}"), LIMIT, || weight(host, 80, last) == wanted).map(drop)
}

pub(crate) fn names_that_hang_delay_no_check_and_nothing_that_an_operator_does(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    let servers = lab.start_servers()?;
    let host = &lab.balancers[0];
    let name_server = NameServer::start(host, names(v4(SERVERS[1])), OPTIONS)?;
    let mut lvsd = Lvsd::start_with(host, &configuration(host, ""))?;
    lvsd.wait_ready(LIMIT)?;
    for last in &SERVERS[..2] {
        expect(host, *last, Some(WEIGHT))?;
    }
    ensure!(lvsd.metric("lvsd_names_failed")? == 0.0, "{}", lvsd.ctl(&["status"])?);

    name_server.fall_silent();
    checks_go_on_until_it_is_said(&lvsd)?;
    let stays = weight(host, 80, SERVERS[1]);
    ensure!(stays == Some(WEIGHT), "the last address of {MOVING} has the weight {stays:?}");
    servers[0].set_healthy(false)?;
    expect(host, SERVERS[0], Some(0))?;
    servers[0].set_healthy(true)?;
    expect(host, SERVERS[0], Some(WEIGHT))?;
    an_operator_is_obeyed(&lvsd)?;

    name_server.answer(names(v4(SERVERS[2])));
    expect(host, SERVERS[2], Some(WEIGHT))?;
    wait_until("every name is looked up again", LIMIT, || {
        lvsd.metric("lvsd_names_failed").is_ok_and(|failed| failed == 0.0)
    })?;
    let status = lvsd.ctl(&["status"])?;
    ensure!(!status.contains("its last addresses stay"), "{status}");

    name_server.fall_silent();
    let took = lvsd.stop(LIMIT)?;
    println!("stopped within {took:?}");
    Ok(())
}

/// While the first look-ups hang, the checks go on as if nothing were.
fn checks_go_on_until_it_is_said(lvsd: &Lvsd) -> Result<()> {
    let results = || lvsd.metric("lvsd_check_results_total{kind=\"http\",result=\"ok\"}");
    let late = || -> Result<f64> {
        let all = lvsd.metric("lvsd_check_lag_seconds_count")?;
        Ok(all - lvsd.metric("lvsd_check_lag_seconds_bucket{le=\"5\"}")?)
    };
    let (watch, before, late_before) = (Stopwatch::start(), results()?, late()?);
    let told = format!("{MOVING}: no answer from the resolver within 10 s; its last addresses stay");
    wait_until(&told, LIMIT, || lvsd.ctl(&["status", "web"]).is_ok_and(|status| status.contains(&told)))?;
    let (took, after) = (watch.elapsed(), results()?);
    let due = 2.0 * took.as_secs_f64() / INTERVAL.as_secs_f64();
    println!("{} of {due:.0} checks in the {took:?} until it was said", after - before);
    // Those that wait for a name do not come back at all, or 10 s late; a slow machine's come back slowly.
    ensure!(after - before > due / 4.0, "{} of {due:.0} checks came back in {took:?}", after - before);
    let late = late()? - late_before;
    ensure!(late <= 0.0 || watch.lost() > STILL, "{late} checks began more than five seconds late");
    wait_until("all names have failed", LIMIT, || {
        lvsd.metric("lvsd_names_failed").is_ok_and(|failed| failed == f64::from(OTHERS) + 1.0)
    })
    .map(drop)
}

/// The state file has to be written for each of these, and files be read: on threads that names could hold.
fn an_operator_is_obeyed(lvsd: &Lvsd) -> Result<()> {
    let host = lvsd.host();
    for (command, wanted) in [(&["depool", "rs1", "--force"][..], 0), (&["pool", "rs1"][..], WEIGHT)] {
        let watch = Stopwatch::start();
        lvsd.ctl(command)?;
        wait_until(&format!("{command:?} is done"), LIMIT, || weight(host, 80, SERVERS[0]) == Some(wanted))?;
        let took = watch.elapsed();
        ensure!(took < SOON, "{command:?} took {took:?}");
    }
    let more = format!(
        "\n[service.more]\nvips = [\"{}\"]\nport = 81\nchecks = []\n\
         backends = [{{ host = \"rs3\", addresses = [\"{}\"], weight = {WEIGHT} }}]\n",
        FIRST[0],
        v4(SERVERS[2])
    );
    lvsd.configure_with(&configuration(host, &more))?;
    let watch = Stopwatch::start();
    lvsd.ctl(&["reload"])?;
    wait_until("a new service is in the kernel", LIMIT, || weight(host, 81, SERVERS[2]) == Some(WEIGHT))?;
    let took = watch.elapsed();
    println!("a new service was in the kernel {took:?} after its reload");
    ensure!(took < SOON, "a reload took {took:?}");
    Ok(())
}
