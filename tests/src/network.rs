//! The lab's network: who exists, who is joined to whom, and each host's kernel parameters.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cable;
use crate::host::Host;
use crate::nginx::Nginx;
use crate::wait::wait_until;
use crate::world::World;

/// How long what is started may take to be there.
const LIMIT: Duration = Duration::from_secs(60);

/// The service addresses that real servers carry on `lo`, IPv4.
pub const VIPS_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 10), Ipv4Addr::new(192, 0, 2, 11)];

/// The service addresses that real servers carry on `lo`, IPv6.
pub const VIPS_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x11)];

/// The first service's addresses, both families.
pub const FIRST: [IpAddr; 2] = [IpAddr::V4(VIPS_V4[0]), IpAddr::V6(VIPS_V6[0])];

/// The second service's addresses, both families.
pub const SECOND: [IpAddr; 2] = [IpAddr::V4(VIPS_V4[1]), IpAddr::V6(VIPS_V6[1])];

/// Hosts on the servers' segment: name and last part of the address, the same in both families.
const SEGMENT: [(&str, u16); 7] =
    [("r1", 251), ("r2", 252), ("lb1", 1), ("lb2", 2), ("rs1", 11), ("rs2", 12), ("rs3", 13)];

/// Hosts on the clients' segment.
const CLIENTS: [(&str, u16); 3] = [("client", 2), ("r1", 251), ("r2", 252)];

/// The address of a host of the servers' segment, IPv4.
///
/// The last part of the address is written with the same digits in both families: fd00:64::251.
pub fn v4(last: u16) -> Ipv4Addr {
    Ipv4Addr::new(10, 64, 0, last as u8)
}

/// The address of a host of the servers' segment, IPv6.
pub fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x64, 0, 0, 0, 0, 0, digits(last))
}

/// The second segment's prefixes.
const FAR: (&str, &str) = ("10.65.0", "fd00:65");

/// The addresses of a host of the second segment.
pub fn far(last: u16) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0xfd00, 0x65, 0, 0, 0, 0, 0, digits(last));
    [Ipv4Addr::new(10, 65, 0, last as u8).into(), v6.into()]
}

/// 251 becomes 0x251, so that an IPv6 address shows the digits of its IPv4 brother.
fn digits(last: u16) -> u16 {
    ((last / 100) << 8) | ((last / 10 % 10) << 4) | (last % 10)
}

/// The whole network, hosts up, addresses set, nothing running but captures.
#[derive(Debug)]
pub struct Lab {
    /// The client, with both routers as its default.
    pub client: Host,
    /// The routers.
    pub routers: [Host; 2],
    /// The balancers.
    pub balancers: [Host; 2],
    /// The real servers.
    pub servers: [Host; 3],
}

impl Lab {
    /// Builds the network and starts captures on the client and on both balancers.
    pub fn build(world: &World) -> Result<Self> {
        let lab = Self::build_without_captures(world)?;
        for host in [&lab.client, &lab.balancers[0], &lab.balancers[1]] {
            capture(host, world)?;
        }
        Ok(lab)
    }

    /// The same without captures, for those who measure.
    pub fn build_without_captures(world: &World) -> Result<Self> {
        let host = |name: &str| Host::create(name, world.directory());
        let lab = Self {
            client: host("client")?,
            routers: [host("r1")?, host("r2")?],
            balancers: [host("lb1")?, host("lb2")?],
            servers: [host("rs1")?, host("rs2")?, host("rs3")?],
        };
        lab.set_kernel_parameters()?;
        batch(None, &cables())?;
        batch(Some("client"), &client())?;
        for (name, last) in SEGMENT {
            batch(Some(name), &on_segment(name, last))?;
        }
        for balancer in &lab.balancers {
            balancer.run(&["sh", "-ec", &share_connections()])?;
        }
        Ok(lab)
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        [&self.client].into_iter().chain(&self.routers).chain(&self.balancers).chain(&self.servers)
    }

    /// Starts nginx on every real server and waits until each one answers.
    pub fn start_servers(&self) -> Result<Vec<Nginx>> {
        let mut running = self.servers.iter().map(Nginx::start).collect::<Result<Vec<_>>>()?;
        for server in &mut running {
            server.wait_ready(LIMIT)?;
        }
        Ok(running)
    }

    /// Adds a host to the servers' segment, its addresses ending so, with these addresses on `lo` besides.
    pub fn add_host(&self, world: &World, name: &str, last: u16, more: &[IpAddr]) -> Result<Host> {
        let host = Host::create(name, world.directory())?;
        host.sysctl(&[("net.ipv6.conf.all.accept_dad", "0"), ("net.ipv6.conf.default.accept_dad", "0")])?;
        let port = format!("{name}-eth0");
        batch(
            None,
            &format!(
                "link add {port} type veth peer name eth0 netns {name}\nlink set {port} master servers up\n"
            ),
        )?;
        batch(Some(name), &interface("eth0", "10.64.0", "fd00:64", last))?;
        more.iter().try_for_each(|address| give(&host, *address))?;
        Ok(host)
    }

    /// Puts the machine's cable into the servers' segment.
    pub fn plug_in_the_machine(&self) -> Result<()> {
        let end = Path::new("/sys/class/net").join(cable::INSIDE);
        wait_until("the machine's cable is there", LIMIT, || end.exists())?;
        batch(None, &format!("link set {} master servers up\n", cable::INSIDE))
    }

    /// Moves rs3 to a second segment, 10.65.0.0/24 and fd00:65::/64, in which the routers have a leg.
    pub fn move_last_server_away(&self) -> Result<()> {
        let bridge =
            "link add far type bridge mcast_snooping 0\nlink set far up\nlink set rs3-eth0 master far\n";
        batch(None, bridge)?;
        for (router, last) in [("r1", 251), ("r2", 252)] {
            far_leg(router, "eth2", last)?;
        }
        // Down and up again, it has lost its addresses and routes.
        let lines = String::from("link set eth0 down\naddr flush dev eth0\n")
            + &interface("eth0", FAR.0, FAR.1, 13)
            + "route add default nexthop via 10.65.0.251 nexthop via 10.65.0.252\n\
               route add ::/0 nexthop via fd00:65::251 nexthop via fd00:65::252\n";
        batch(Some("rs3"), &lines)
    }

    /// Gives both balancers a leg in the segment of [`Lab::move_last_server_away`].
    pub fn give_balancers_a_far_leg(&self) -> Result<()> {
        [("lb1", 1), ("lb2", 2)].iter().try_for_each(|(balancer, last)| far_leg(balancer, "eth1", *last))
    }

    /// Pulls the cable of a server, at the switch: nobody but itself sees a link go down.
    pub fn unplug(&self, server: &Host) -> Result<()> {
        batch(None, &format!("link set {}-eth0 down\n", server.name()))
    }

    /// Puts it in again.
    pub fn plug_in(&self, host: &Host) -> Result<()> {
        batch(None, &format!("link set {}-eth0 up\n", host.name()))
    }

    /// Every packet to these VIPs goes over lb1, whatever lvsd does.
    pub fn route_over_first_balancer(&self, vips: impl IntoIterator<Item = IpAddr>) -> Result<()> {
        let mut script = String::new();
        for vip in vips {
            let (length, via): (_, IpAddr) =
                if vip.is_ipv4() { (32, v4(1).into()) } else { (128, v6(1).into()) };
            let _ = writeln!(script, "route add {vip}/{length} via {via}");
        }
        self.routers.iter().try_for_each(|router| batch(Some(router.name()), &script))
    }

    fn set_kernel_parameters(&self) -> Result<()> {
        for host in self.hosts() {
            host.sysctl(&[
                // Addresses are usable at once.
                ("net.ipv6.conf.all.accept_dad", "0"),
                ("net.ipv6.conf.default.accept_dad", "0"),
                ("net.ipv6.conf.default.accept_ra", "0"),
                ("net.ipv4.conf.all.rp_filter", "0"),
                ("net.ipv4.conf.default.rp_filter", "0"),
                ("net.ipv4.fib_multipath_hash_policy", "1"),
                ("net.ipv6.fib_multipath_hash_policy", "1"),
            ])?;
        }
        for router in &self.routers {
            router.sysctl(&[
                ("net.ipv4.ip_forward", "1"),
                ("net.ipv6.conf.all.forwarding", "1"),
                // Routers do not tell the client of a shorter way: there is only theirs.
                ("net.ipv4.conf.all.send_redirects", "0"),
                ("net.ipv4.conf.default.send_redirects", "0"),
            ])?;
        }
        for balancer in &self.balancers {
            balancer.sysctl(&[
                ("net.ipv4.vs.expire_nodest_conn", "1"),
                ("net.ipv4.vs.expire_quiescent_template", "1"),
                ("net.ipv4.vs.conn_reuse_mode", "1"),
                ("net.ipv4.vs.sloppy_tcp", "1"),
                ("net.ipv4.vs.schedule_icmp", "1"),
            ])?;
        }
        for server in &self.servers {
            server
                .sysctl(&[("net.ipv4.conf.all.arp_ignore", "1"), ("net.ipv4.conf.all.arp_announce", "2")])?;
        }
        Ok(())
    }
}

/// Puts an address on a host's `lo`.
pub fn give(host: &Host, address: IpAddr) -> Result<()> {
    batch(
        Some(host.name()),
        &format!("addr add {address}/{} dev lo\n", if address.is_ipv4() { 32 } else { 128 }),
    )
}

/// Takes an address from a host's `lo`.
pub fn take(host: &Host, address: IpAddr) -> Result<()> {
    batch(
        Some(host.name()),
        &format!("addr del {address}/{} dev lo\n", if address.is_ipv4() { 32 } else { 128 }),
    )
}

/// Starts a capture of the first bytes of everything on a host's eth0.
fn capture(host: &Host, world: &World) -> Result<()> {
    let file = world.directory().join(format!("{}.pcap", host.name()));
    let mut command = Command::new("tcpdump");
    command.args(["-i", "eth0", "-n", "-s", "128", "-Z", "root", "-w"]).arg(file);
    host.spawn("tcpdump", command).map(drop)
}

/// Both segments and the cables from each host to them.
fn cables() -> String {
    let mut lines = String::from("link set lo up\n");
    for bridge in ["servers", "clients"] {
        let _ = writeln!(lines, "link add {bridge} type bridge mcast_snooping 0\nlink set {bridge} up");
    }
    let mut cable = |host: &str, interface: &str, bridge: &str| {
        let port = format!("{host}-{interface}");
        let _ = writeln!(lines, "link add {port} type veth peer name {interface} netns {host}");
        let _ = writeln!(lines, "link set {port} master {bridge} up");
    };
    for (host, _) in SEGMENT {
        cable(host, "eth0", "servers");
    }
    for (host, _) in CLIENTS {
        cable(host, if host == "client" { "eth0" } else { "eth1" }, "clients");
    }
    lines
}

/// A cable from a host to the second segment.
fn far_leg(host: &str, name: &str, last: u16) -> Result<()> {
    let port = format!("{host}-{name}");
    batch(
        None,
        &format!("link add {port} type veth peer name {name} netns {host}\nlink set {port} master far up\n"),
    )?;
    batch(Some(host), &interface(name, FAR.0, FAR.1, last))
}

fn client() -> String {
    interface("eth0", "10.9.0", "fd00:9", 2)
        + "route add default nexthop via 10.9.0.251 nexthop via 10.9.0.252\n\
           route add ::/0 nexthop via fd00:9::251 nexthop via fd00:9::252\n"
}

fn on_segment(name: &str, last: u16) -> String {
    let mut lines = interface("eth0", "10.64.0", "fd00:64", last);
    if name.starts_with('r') && !name.starts_with("rs") {
        return lines + &interface("eth1", "10.9.0", "fd00:9", last);
    }
    lines += "route add default nexthop via 10.64.0.251 nexthop via 10.64.0.252\n\
              route add ::/0 nexthop via fd00:64::251 nexthop via fd00:64::252\n";
    if name.starts_with("rs") {
        for vip in FIRST.iter().chain(&SECOND) {
            let length = if vip.is_ipv4() { 32 } else { 128 };
            let _ = writeln!(lines, "addr add {vip}/{length} dev lo");
        }
    }
    lines
}

fn interface(name: &str, v4: &str, v6: &str, last: u16) -> String {
    format!(
        "link set lo up\nlink set {name} up\naddr add {v4}.{last}/24 dev {name}\n\
         addr add {v6}::{last}/64 dev {name} nodad\n"
    )
}

/// The kernel's own connection sync, both ways: a connection that was placed while its first server was out is known
/// to the other balancer, which by its hash alone would send it elsewhere once that server is back.
fn share_connections() -> String {
    ["master", "backup"]
        .map(|role| format!("ipvsadm --start-daemon {role} --mcast-interface eth0 --syncid 1\n"))
        .concat()
}

/// Feeds lines to one `ip -batch`: a process costs 14-30 ms in the guest, a line next to nothing.
fn batch(namespace: Option<&str>, lines: &str) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start ip")?;
    child.stdin.take().context("ip has no standard input")?.write_all(lines.as_bytes())?;
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip -n {namespace:?} -batch: {}\nof:\n{lines}", errors.trim());
    Ok(())
}
