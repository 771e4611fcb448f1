//! Services of a given number, each with a VIP of its own and the same backends, in the words of each program.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ipvs::{
    Destination, DestinationKey, Entry, Protocol, Scheduler, SchedulerFlags, Service, ServiceKey, Table,
    Weight,
};
use lab::host::Host;

use lab::measure::bare::Bare;

/// The weight of every backend.
pub(crate) const WEIGHT: u32 = 10;

/// Services and backends of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) services: u32,
    pub(crate) backends: u32,
}

/// Where lvsd has the backends from, and whether it checks any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    /// Written in the configuration.
    Inline,
    /// The same, and the first service's backends are asked for a connection.
    InlineFirstChecked,
    /// In one file for all services.
    File,
}

/// Between two looks at whether the table is full: each costs the processor that fills it.
const PAUSE: Duration = Duration::from_millis(2);

/// Where everybody logs to: in memory, for a file of the machine's costs 30 µs a line in user-mode Linux.
const LOGS: &str = "/run/logs";

/// The pool file beside the configuration.
pub(crate) const POOL_FILE: &str = "pool.json";

impl Size {
    /// Operations that bring an empty table to this.
    pub(crate) fn operations(self) -> u32 {
        self.services * (1 + self.backends)
    }

    pub(crate) fn vip(service: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + service)
    }

    pub(crate) fn backend(backend: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 0, 1)) + backend)
    }

    pub(crate) fn key(service: u32) -> ServiceKey {
        ServiceKey::Address { protocol: Protocol::Tcp, address: Self::vip(service).into(), port: 80 }
    }

    /// The table that all of them are to make.
    pub(crate) fn table(self) -> Result<Table> {
        let service = Service::new(Scheduler::Wrr, SchedulerFlags::NONE)?;
        let destination = Destination::direct_routing(Weight::new(WEIGHT)?);
        let entry = |service_number| -> Result<_> {
            let mut entry = Entry::new(service.clone());
            for backend in 0..self.backends {
                let address = Self::backend(backend).into();
                entry.add(&Self::key(service_number), DestinationKey { address, port: 80 }, destination)?;
            }
            Ok((Self::key(service_number), entry))
        };
        (0..self.services).map(entry).collect()
    }

    /// lvsd's configuration.
    pub(crate) fn lvsd(self, host: &Host, pool: Pool) -> String {
        let files = host.files();
        let files = files.display();
        let mut text = format!(
            "[lvsd]\nstate_dir = \"{files}/state\"\ncontrol_socket = \"{files}/control.sock\"\n\
             http = \"127.0.0.1:9090\"\nresync_interval = \"1h\"\nshutdown_delay = \"0s\"\n"
        );
        for service in 0..self.services {
            let name = format!("s{service:05}");
            let _ = write!(text, "\n[service.{name}]\nvips = [\"{}\"]\nport = 80\n", Self::vip(service));
            let is_checked = pool == Pool::InlineFirstChecked && service == 0;
            if !is_checked {
                text += "checks = []\n";
            }
            if pool == Pool::File {
                let _ = writeln!(text, "pool_file = \"{POOL_FILE}\"\n[service.{name}.addresses]");
                for backend in 0..self.backends {
                    let _ = writeln!(text, "b{backend} = [\"{}\"]", Self::backend(backend));
                }
                continue;
            }
            for backend in 0..self.backends {
                let _ = write!(
                    text,
                    "[[service.{name}.backends]]\nhost = \"b{backend}\"\naddresses = [\"{}\"]\nweight = {WEIGHT}\n",
                    Self::backend(backend)
                );
            }
            if is_checked {
                let _ = write!(
                    text,
                    "[[service.{name}.checks]]\ntype = \"tcp\"\ninterval = \"40ms\"\ntimeout = \"1s\"\nfall = 1\nrise = 1\n"
                );
            }
        }
        text
    }

    /// The pool file, with one backend's weight changed.
    pub(crate) fn pool_file(self, changed: u32, weight: u32) -> String {
        let weight = |backend| if backend == changed { weight } else { WEIGHT };
        let line = |backend| format!("\"b{backend}\": {{\"weight\": {}}}", weight(backend));
        format!("{{{}}}", (0..self.backends).map(line).collect::<Vec<_>>().join(",\n "))
    }

    /// keepalived's configuration, without checks.
    pub(crate) fn keepalived(self) -> String {
        let mut text = String::from("global_defs {\n  router_id bench\n}\n");
        for service in 0..self.services {
            let _ = writeln!(
                text,
                "virtual_server {} 80 {{\n  delay_loop 60\n  lvs_sched wrr\n  lvs_method DR\n  protocol TCP",
                Self::vip(service)
            );
            for backend in 0..self.backends {
                let _ = writeln!(
                    text,
                    "  real_server {} 80 {{\n    weight {WEIGHT}\n  }}",
                    Self::backend(backend)
                );
            }
            text += "}\n";
        }
        text
    }

    /// What `ipvsadm -R` reads.
    pub(crate) fn ipvsadm(self) -> String {
        let mut text = String::new();
        for service in 0..self.services {
            let vip = Self::vip(service);
            let _ = writeln!(text, "-A -t {vip}:80 -s wrr");
            for backend in 0..self.backends {
                let _ = writeln!(text, "-a -t {vip}:80 -r {}:80 -g -w {WEIGHT}", Self::backend(backend));
            }
        }
        text
    }
}

impl Size {
    /// Waits until the last service is full, each backend with its weight, then looks at all: whoever goes by another order is looked for until all
    /// are. Gives the time since the beginning.
    pub(crate) fn wait_full(self, bare: &mut Bare, begin: Instant, limit: Duration) -> Result<Duration> {
        let backends = self.backends as usize;
        let has_all = |found: &[(DestinationKey, u32)]| {
            found.len() == backends && found.iter().all(|(_, weight)| *weight == WEIGHT)
        };
        let mut is_full = |service| bare.weights(&Self::key(service)).is_ok_and(|found| has_all(&found));
        loop {
            std::thread::sleep(PAUSE);
            ensure!(begin.elapsed() < limit, "the table is not full after {limit:?}");
            if is_full(self.services - 1) {
                let took = begin.elapsed();
                if (0..self.services).all(&mut is_full) {
                    return Ok(took);
                }
            }
        }
    }
}

/// A balancer with the backends on its own link, and an empty table that nothing was ever deleted from: the kernel
/// looks at each destination that is added for one that was deleted before, for minutes.
pub(crate) fn balancer(name: &str) -> Result<(Host, Host)> {
    let logs = Path::new(LOGS);
    fs::create_dir_all(logs)?;
    let host = Host::create(name, logs)?;
    let server = Host::create(&format!("{name}-servers"), logs)?;
    let script = format!(
        "ip link set lo up; ip link add eth0 type veth peer name eth0 netns {0}; ip addr add 10.1.255.1/16 dev eth0; \
         ip link set eth0 up; ip -n {0} link set lo up; ip -n {0} link set eth0 up",
        server.name()
    );
    host.run(&["sh", "-ec", &script])?;
    Ok((host, server))
}

/// Copies the logs to where they outlive the lab's kernel. What cannot be copied is left: it is for a person to read.
pub(crate) fn keep_logs(directory: &Path) {
    for entry in fs::read_dir(LOGS).into_iter().flatten().flatten() {
        let _ = fs::copy(entry.path(), directory.join(entry.file_name()));
    }
}

/// Writes a file among the host's and gives its path.
pub(crate) fn file(host: &Host, name: &str, text: &str) -> Result<String> {
    let path = host.files().join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path.to_string_lossy().into_owned())
}
