//! lvsd's configuration as the lab's balancers use it: what scenarios vary, in lvsd's own words.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::host::Host;
use crate::network::{FIRST, SECOND, v4, v6};

/// Everything that lvsd is told.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The balancer's own AS number.
    pub asn: u32,
    /// How long lvsd goes on after it has withdrawn its routes.
    pub shutdown_delay: &'static str,
    /// How long routers are asked to prefer others before it withdraws everything.
    pub graceful_shutdown: &'static str,
    /// How often the kernel is read again and repaired.
    pub resync_interval: &'static str,
    /// To whom the VIPs are announced.
    pub routers: Routers,
    /// Whether there is a probe namespace, for checks by VIP.
    pub probes: bool,
    /// The services, in the order of the file.
    pub services: Vec<Service>,
    /// Sources and the fleet, in lvsd's own words.
    pub sources: String,
}

/// Checks fast enough for a scenario. A dead server refuses at once; the long timeout is for servers that live on a slow
/// machine, or on one that stands still for seconds.
const FAST: &str = "interval = \"200ms\"\ntimeout = \"30s\"\nfall = 2\nrise = 2";

/// Who is told of the VIPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routers {
    /// Both, over a session of each family.
    Both,
    /// Nobody: there is no BGP.
    None,
}

/// One service with the three real servers behind it.
#[derive(Clone, Debug)]
pub struct Service {
    /// The name of its table.
    pub name: String,
    /// Its addresses.
    pub vips: Vec<IpAddr>,
    /// Share of its backends that stays pooled.
    pub depool_threshold: f64,
    /// Share of its backends that one change of its pool file may take out.
    pub max_change: f64,
    /// How health is asked for.
    pub check: Check,
    /// Whether a connection to each VIP is asked for as well, handed to each server.
    pub by_vip: bool,
    /// The same through IPVS.
    pub by_ipvs: bool,
    /// Whether it has a canary, which asks for the page that names its server.
    pub canary: bool,
    /// How often, and when an answer counts.
    pub timing: &'static str,
    /// Its backends, by name and addresses.
    pub servers: Vec<(&'static str, [IpAddr; 2])>,
    /// How they are given: inline, or a pool file of this path (relative to the configuration).
    pub pool_file: Option<&'static str>,
    /// The same of a source and a path there.
    pub pool: Option<(&'static str, &'static str)>,
}

/// A check of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// GET /healthz.
    Http,
    /// A connection.
    Tcp,
}

impl Configuration {
    /// One service, `web`, on the first addresses.
    pub fn with_web(asn: u32) -> Self {
        Self {
            asn,
            shutdown_delay: "1s",
            graceful_shutdown: "500ms",
            resync_interval: "2s",
            routers: Routers::Both,
            probes: false,
            services: vec![Service::new("web", &FIRST)],
            sources: String::new(),
        }
    }

    /// The same and a second service on the second addresses, whose servers are asked for a connection only.
    #[must_use]
    pub fn and_second(mut self) -> Self {
        self.services.push(Service { check: Check::Tcp, ..Service::new("second", &SECOND) });
        self
    }

    /// The text for the balancer `host`.
    pub fn render(&self, host: &Host) -> String {
        let last = if host.name() == "lb1" { 1 } else { 2 };
        let files = host.files();
        let files = files.display();
        let mut text = format!(
            "[lvsd]\nstate_dir = \"{files}/state\"\ncontrol_socket = \"{files}/control.sock\"\n\
             http = \"127.0.0.1:9090\"\nshutdown_delay = \"{}\"\n\
             resync_interval = \"{}\"\ndrain_timeout = \"5s\"\n",
            self.shutdown_delay, self.resync_interval
        );
        if self.routers == Routers::Both {
            text += &self.sessions(last);
        }
        if self.probes {
            text += &probes(host);
        }
        text += &self.sources;
        for service in &self.services {
            text += &service.render();
        }
        text
    }

    /// The part about BGP, for the balancer whose addresses end so.
    fn sessions(&self, last: u16) -> String {
        let mut text = format!(
            "\n[bgp]\nlocal_asn = {}\nrouter_id = \"{}\"\nhold_time = \"30s\"\ngraceful_restart = true\n\
             graceful_shutdown = \"{}\"\n",
            self.asn,
            v4(last),
            self.graceful_shutdown
        );
        for (name, asn, router) in [("r1", 65001, 251), ("r2", 65002, 252)] {
            let ends: [(&str, IpAddr, IpAddr); 2] =
                [("v4", v4(router).into(), v4(last).into()), ("v6", v6(router).into(), v6(last).into())];
            for (family, peer, own) in ends {
                let _ = write!(
                    text,
                    "\n[[bgp.peer]]\nname = \"{name}-{family}\"\naddress = \"{peer}\"\nasn = {asn}\n\
                     local_address = \"{own}\"\n"
                );
            }
        }
        text
    }
}

/// The part about the probe namespace of a balancer.
pub(crate) fn probes(host: &Host) -> String {
    let last = if host.name() == "lb1" { 201 } else { 202 };
    let (namespace, files) = (probe_namespace(host), host.files());
    format!(
        "\n[probes]\nnamespace = \"{namespace}\"\nsocket = \"{}/probes.sock\"\n\
         [[probes.segment]]\ninterface = \"eth0\"\naddresses = [\"{}/24\", \"{}/64\"]\n",
        files.display(),
        v4(last),
        v6(last)
    )
}

/// The name of a balancer's probe namespace.
pub(crate) fn probe_namespace(host: &Host) -> String {
    format!("{}-probes", host.name())
}

impl Service {
    /// A service on port 80 with checks fast enough for a scenario.
    pub fn new(name: &str, vips: &[IpAddr]) -> Self {
        let servers = [("rs1", 11), ("rs2", 12), ("rs3", 13)];
        Self {
            name: name.to_owned(),
            vips: vips.to_vec(),
            depool_threshold: 0.3,
            max_change: 0.5,
            check: Check::Http,
            by_vip: false,
            by_ipvs: false,
            canary: false,
            timing: FAST,
            servers: servers.map(|(host, last)| (host, [v4(last).into(), v6(last).into()])).into(),
            pool_file: None,
            pool: None,
        }
    }

    fn render(&self) -> String {
        let name = &self.name;
        let mut text = format!(
            "\n[service.{name}]\nvips = {:?}\nport = 80\nscheduler = \"mh\"\ndepool_threshold = {}\nmax_change = {}\n",
            self.vips.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
            self.depool_threshold,
            self.max_change
        );
        if let Some(file) = self.pool_file {
            let _ = writeln!(text, "pool_file = \"{file}\"");
        }
        if let Some((source, path)) = self.pool {
            let _ = writeln!(text, "pool = {{ source = \"{source}\", path = \"{path}\" }}");
        }
        let kind = match self.check {
            Check::Http => "type = \"http\"\nurl = \"/healthz\"",
            Check::Tcp => "type = \"tcp\"",
        };
        let _ = write!(text, "\n[[service.{name}.checks]]\n{kind}\n{}\n", self.timing);
        if self.by_vip {
            let path = "type = \"tcp\"\npath = \"vip\"";
            let _ = write!(text, "\n[[service.{name}.checks]]\n{path}\n{}\n", self.timing);
        }
        if self.by_ipvs {
            let path = "type = \"tcp\"\npath = \"ipvs\"";
            let _ = write!(text, "\n[[service.{name}.checks]]\n{path}\n{}\n", self.timing);
        }
        if self.canary {
            let _ =
                write!(text, "\n[service.{name}.canary]\ntype = \"http\"\nurl = \"/\"\n{}\n", self.timing);
        }
        if self.pool_file.is_some() || self.pool.is_some() {
            let _ = writeln!(text, "\n[service.{name}.addresses]");
            for (host, [v4, v6]) in &self.servers {
                let _ = writeln!(text, "{host} = [\"{v4}\", \"{v6}\"]");
            }
            return text;
        }
        for (host, [v4, v6]) in &self.servers {
            let _ = write!(
                text,
                "\n[[service.{name}.backends]]\nhost = \"{host}\"\naddresses = [\"{v4}\", \"{v6}\"]\nweight = 10\n",
            );
        }
        text
    }
}
