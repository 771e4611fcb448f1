//! What a configuration can tell the kernel beside addresses and weights, as ipvsadm shows it.

use anyhow::{Context, Result, ensure};
use lab::configuration::{Configuration, Routers};
use lab::lvsd::Lvsd;
use lab::network::Lab;
use lab::site::LIMIT;
use lab::wait::wait_until;
use lab::world::World;

/// One service of each kind.
const SERVICES: &str = r#"
[service.nat]
vips = ["192.0.2.10"]
port = 80
scheduler = "wlc"
forwarding = "nat"
backend_port = 8080
backends = [{ host = "10.64.0.11", upper_threshold = 100, lower_threshold = 80 }, { host = "10.64.0.12" }]
checks = []

[service.gre]
vips = ["192.0.2.10"]
port = 81
forwarding = "tunnel"
tunnel = { type = "gre", checksum = "full" }
backends = [{ host = "10.64.0.11" }]
checks = []

[service.gue]
vips = ["2001:db8::10"]
port = 82
forwarding = "tunnel"
tunnel = { type = "gue", port = 5555, checksum = "remote" }
backends = [{ host = "fd00:64::11" }]
checks = []

[service.ipip]
vips = ["192.0.2.10"]
port = 83
forwarding = "tunnel"
backends = [{ host = "10.64.0.11" }]
checks = []

[service.datagrams]
vips = ["192.0.2.10"]
port = 53
protocol = "udp"
scheduler = "rr"
one_packet_scheduling = true
backends = [{ host = "10.64.0.11" }]
checks = []

[service.persistent]
vips = ["192.0.2.10", "2001:db8::10"]
port = 84
protocol = "sctp"
scheduler = "mh"
persistence_timeout = "10m"
persistence_prefix_ipv4 = 24
persistence_prefix_ipv6 = 64
backends = [{ host = "rs1", addresses = ["10.64.0.11", "fd00:64::11"] }]
checks = []

[service.marked]
vips = ["192.0.2.11", "2001:db8::11"]
fwmark = 7
scheduler = "sh"
backends = [{ host = "rs1", addresses = ["10.64.0.11", "fd00:64::11"] }]
checks = []
"#;

/// What is set beside the table.
const BESIDE: &str = r#"
[ipvs]
tcp_timeout = "30m"
tcp_fin_timeout = "90s"
udp_timeout = "10s"

[ipvs.sync]
role = "both"
interface = "eth0"
sync_id = 7
group = "224.0.0.99"
port = 8850
ttl = 2
max_length = 1400
"#;

/// What `ipvsadm -Sn` says of them.
const RULES: &[&str] = &[
    "-A -t 192.0.2.10:80 -s wlc",
    "-a -t 192.0.2.10:80 -r 10.64.0.11:8080 -m -w 1",
    "-a -t 192.0.2.10:80 -r 10.64.0.12:8080 -m -w 1",
    "-A -t 192.0.2.10:81 -s wrr",
    "-a -t 192.0.2.10:81 -r 10.64.0.11:81 -i -w 1 --tun-type gre --tun-csum",
    "-A -t [2001:db8::10]:82 -s wrr",
    "-a -t [2001:db8::10]:82 -r [fd00:64::11]:82 -i -w 1 --tun-type gue --tun-port 5555 --tun-remcsum",
    "-A -t 192.0.2.10:83 -s wrr",
    "-a -t 192.0.2.10:83 -r 10.64.0.11:83 -i -w 1 --tun-type ipip",
    "-A -u 192.0.2.10:53 -s rr -o",
    "-a -u 192.0.2.10:53 -r 10.64.0.11:53 -g -w 1",
    "-A --sctp-service 192.0.2.10:84 -s mh -p 600 -M 255.255.255.0 -b mh-fallback,mh-port",
    "-A --sctp-service [2001:db8::10]:84 -s mh -p 600 -M 64 -b mh-fallback,mh-port",
    "-A -f 7 -s sh -b sh-fallback,sh-port",
    "-a -f 7 -r 10.64.0.11:0 -g -w 1",
    "-A -f 7 -6 -s sh -b sh-fallback,sh-port",
    "-a -f 7 -6 -r [fd00:64::11]:0 -g -w 1",
];

/// What ipvsadm says of both daemons, after the role.
const DAEMON: &str = "sync daemon (mcast=eth0, syncid=7, maxlen=1400, group=224.0.0.99, port=8850, ttl=2)";

/// lvsctl diff's exit status when the kernel is not as it should be.
const DIFFERS: i32 = 9;

pub(crate) fn what_a_configuration_tells_the_kernel_is_what_ipvsadm_shows(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    let host = &lab.balancers[0];
    for role in ["master", "backup"] {
        host.run(&["ipvsadm", "--stop-daemon", role])?;
    }
    let bare = Configuration {
        routers: Routers::None,
        services: Vec::new(),
        resync_interval: "1h",
        ..Configuration::with_web(64600)
    };
    let without = format!("{}{SERVICES}", bare.render(host));
    let whole = format!("{without}{BESIDE}");
    let mut lvsd = Lvsd::start_with(host, &whole)?;
    lvsd.wait_ready(LIMIT)?;
    wait_until("the kernel has it all", LIMIT, || {
        lvsd.ctl_output(&["diff"]).is_ok_and(|output| output.status.code() == Some(0))
    })?;
    the_table_is_right(&lvsd)?;
    beside_it_is_right(&lvsd)?;
    // What the core says of the kernel it has heard from the last report.
    let status = || lvsd.ctl(&["status"]).unwrap_or_default();
    for words in [
        "nat  tcp port 80 on 192.0.2.10, scheduler wlc, masquerade to port 8080",
        "marked  fwmark 7 on 192.0.2.11 2001:db8::11, scheduler sh",
        "persistent 600 s for /24; IPv6: scheduler mh",
        "master sync daemon runs: on eth0, sync id 7",
    ] {
        wait_until(&format!("the status says {words:?}"), LIMIT, || status().contains(words))
            .with_context(status)?;
    }

    host.run(&["ipvsadm", "--set", "900", "0", "0"])?;
    host.run(&["ipvsadm", "--stop-daemon", "backup"])?;
    let differs = lvsd.ctl_output(&["diff"])?;
    let said = String::from_utf8_lossy(&differs.stdout);
    ensure!(differs.status.code() == Some(DIFFERS), "diff: {}: {said}", differs.status);
    ensure!(
        said.contains("set timeouts tcp 1800 s") && said.contains("start backup sync daemon"),
        "diff: {said}"
    );
    lvsd.ctl(&["resync"])?;
    beside_it_is_right(&lvsd)?;

    the_daemons_outlive_lvsd_and_stop_when_the_configuration_loses_them(&mut lvsd, &without)
}

fn the_table_is_right(lvsd: &Lvsd) -> Result<()> {
    let rules = lvsd.host().run(&["ipvsadm", "-Sn"])?;
    let found: Vec<String> =
        rules.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for rule in RULES {
        ensure!(found.iter().any(|line| line == rule), "{rule:?} is not in\n{}", found.join("\n"));
    }
    let limits = lvsd.host().run(&["ipvsadm", "-Ln", "--thresholds"])?;
    let limited = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&"10.64.0.11:8080") && words.get(2..4) == Some(&["100", "80"])
    };
    ensure!(limits.lines().any(limited), "no limits of 100 and 80 in\n{limits}");
    Ok(())
}

fn beside_it_is_right(lvsd: &Lvsd) -> Result<()> {
    let timeouts = lvsd.host().run(&["ipvsadm", "-Ln", "--timeout"])?;
    ensure!(timeouts.contains("1800 90 10"), "timeouts: {timeouts}");
    let daemons = lvsd.host().run(&["ipvsadm", "-Ln", "--daemon"])?;
    for role in ["master", "backup"] {
        ensure!(daemons.contains(&format!("{role} {DAEMON}")), "no {role} in\n{daemons}");
    }
    Ok(())
}

fn the_daemons_outlive_lvsd_and_stop_when_the_configuration_loses_them(
    lvsd: &mut Lvsd,
    without: &str,
) -> Result<()> {
    lvsd.stop(LIMIT)?;
    beside_it_is_right(lvsd)?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    beside_it_is_right(lvsd)?;
    lvsd.configure_with(without)?;
    let plan = lvsd.ctl(&["plan", &lvsd.configuration_file().display().to_string()])?;
    ensure!(plan.contains("stop master sync daemon"), "plan: {plan}");
    lvsd.ctl(&["reload"])?;
    let daemons =
        || lvsd.host().run(&["ipvsadm", "-Ln", "--daemon"]).is_ok_and(|text| !text.contains("syncid"));
    wait_until("the daemons are stopped", LIMIT, daemons)?;
    // From now on they are somebody's.
    lvsd.host().run(&[
        "ipvsadm",
        "--start-daemon",
        "backup",
        "--syncid",
        "9",
        "--mcast-interface",
        "eth0",
    ])?;
    lvsd.ctl(&["resync"])?;
    ensure!(!daemons(), "somebody else's daemon was stopped");
    the_table_is_right(lvsd)
}
