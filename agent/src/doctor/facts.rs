//! What was found on the host: plain data. What could not be read is `None` or empty, and no rule speaks of it.

use crate::probes::Server;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// Everything that the rules look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The kernel's modules.
    pub modules: Modules,
    /// The kernel's IPVS table; `None` while ip_vs is not loaded.
    pub table: Option<IpvsTable>,
    /// Kernel parameters by their dotted names, those of the rules only.
    pub sysctls: BTreeMap<String, i64>,
    /// `rp_filter` by interface, `all` and `default` among them.
    pub rp_filter: BTreeMap<String, i64>,
    /// `accept_local` by interface, `all` among them.
    pub accept_local: BTreeMap<String, i64>,
    /// IPv4 addresses of servers that are asked through IPVS and answer from the VIP.
    pub asked_through_ipvs: BTreeSet<IpAddr>,
    /// The connection tracking of this network namespace; `None` when it is not loaded.
    pub conntrack: Option<Conntrack>,
    /// The network's interfaces; `None` when they could not be read.
    pub interfaces: Option<Vec<Interface>>,
    /// Running programs that are known to write IPVS tables.
    pub writers: Vec<Process>,
    /// What loads a saved IPVS table at boot.
    pub restores: Option<Restore>,
    /// systemd's view; `None` where it does not run.
    pub systemd: Option<Unit>,
    /// lvsd's configuration file.
    pub configuration: Configuration,
    /// Whether lvsd answers, and what.
    pub daemon: Daemon,
    /// lvsd's process, when it is known.
    pub process: Option<DaemonProcess>,
    /// The directory of lvsd's state.
    pub state_directory: StateDirectory,
    /// What the services want of the host: from lvsd's status, else from its configuration, else unknown.
    pub wanted: Option<Wanted>,
    /// The name of the device that carries the VIPs.
    pub device: String,
    /// The control socket, when it is not the one that `lvsctl` asks by itself.
    pub socket: Option<PathBuf>,
    /// The probe namespace; `None` where none is configured.
    pub probes: Option<Probes>,
}

/// The probe namespace, and what it sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Why it does not answer; `None` when it does.
    pub error: Option<String>,
    /// Servers that it has no way to, and why, as lvsd has heard.
    pub refused: BTreeMap<Server, String>,
    /// Servers that answer for a VIP on their link: server, VIP and link-layer address; `None` when that was not seen.
    pub answering: Option<Vec<(IpAddr, IpAddr, String)>>,
    /// Servers that could not be asked for a VIP.
    pub unasked: usize,
}

/// Which modules the kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modules {
    /// Loaded ones, and built-in ones that show themselves.
    pub loaded: BTreeSet<String>,
    /// Built-in ones.
    pub builtin: BTreeSet<String>,
    /// Those that can be loaded; `None` when the list of them could not be read.
    pub loadable: Option<BTreeSet<String>>,
    /// Whether the kernel loads no more (`kernel.modules_disabled`).
    pub is_locked: bool,
}

impl Modules {
    /// Whether the kernel has the module at work.
    pub fn is_present(&self, name: &str) -> bool {
        self.loaded.contains(name) || self.builtin.contains(name)
    }

    /// Whether the kernel could load it; `None` when that is not known.
    pub fn is_loadable(&self, name: &str) -> Option<bool> {
        if self.is_locked {
            return Some(false);
        }
        self.loadable.as_ref().map(|loadable| loadable.contains(name))
    }
}

/// What /proc/net/ip_vs says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpvsTable {
    /// Buckets of the connection table.
    pub size: u64,
    /// Whether a service is persistent.
    pub is_persistent: bool,
    /// Whether a destination is masqueraded.
    pub is_masquerading: bool,
}

/// Connection tracking of netfilter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conntrack {
    /// Connections that it has.
    pub count: u64,
    /// The most that it takes; what comes then is dropped.
    pub max: u64,
    /// A VIP whose connections it has, `None` when none was seen.
    pub tracked: Option<IpAddr>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it is administratively up.
    pub is_up: bool,
    /// Its MTU.
    pub mtu: u32,
    /// Its addresses with their prefix lengths, link-local ones left out.
    pub addresses: BTreeMap<IpAddr, u8>,
}

/// What kind of interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `lo`.
    Loopback,
    /// It leads to a wire: hardware, or a VLAN, bond, bridge, veth or macvlan upon it.
    Wire,
    /// A dummy device.
    Dummy,
    /// Anything else, tunnels above all.
    Other,
}

/// A running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// The program's name.
    pub name: String,
    /// Its command line, words separated by spaces.
    pub command: String,
}

/// What loads a saved table at boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restore {
    /// `ipvsadm.service` is enabled.
    Unit,
    /// `AUTO="true"` in /etc/default/ipvsadm.
    Default,
}

/// lvsd's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// There is none.
    Missing,
    /// It is not started at boot.
    Disabled,
    /// It is started at boot.
    Enabled,
}

/// lvsd's configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Where it is.
    pub path: PathBuf,
    /// What it is like.
    pub reading: Reading,
}

/// What reading the configuration gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It has no errors.
    Good,
    /// Whoever asks may not read it.
    Denied,
    /// It is not there, or not to be reached; the reason.
    Missing(String),
    /// It has errors; the first, and how many.
    Wrong {
        /// The first error, with its place.
        first: String,
        /// How many there are.
        count: usize,
    },
}

/// Whether lvsd answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// Nobody listens on the control socket.
    NotRunning,
    /// The control socket may not be opened.
    Denied(String),
    /// It listens, but what it says is of no use; the reason.
    Unclear(String),
    /// Its status.
    Answers(Answers),
}

/// The parts of lvsd's status that the rules look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Whether it is ready.
    pub ready: bool,
    /// `starting`, `running` or `stopping`.
    pub phase: String,
    /// The sources of its services, where something is odd.
    pub sources: Vec<OddSource>,
    /// BGP peers without a session: the name, and the state and last error.
    pub peers_down: Vec<(String, String)>,
    /// How many BGP peers it has.
    pub peers: usize,
    /// The sync daemons that are configured, by role, and whether each runs.
    pub sync_daemons: Vec<(String, bool)>,
    /// IPVS services that are not lvsd's.
    pub foreign_services: usize,
    /// What the kernel refused.
    pub kernel_failures: Vec<String>,
}

/// A service whose source is not obeyed as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OddSource {
    /// The service.
    pub service: String,
    /// Where its backends are written down.
    pub source: String,
    /// What is odd.
    pub oddity: Oddity,
}

/// What is odd about a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// It takes out too much at once and is held back.
    Held,
    /// It could not be read; the reason. The last good content goes on.
    Failed(String),
    /// It was not read since lvsd started.
    Stale,
    /// The backends are not known yet; the reason.
    Waiting(String),
}

/// lvsd's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaemonProcess {
    /// Its process id.
    pub pid: u32,
    /// The user it runs as; `None` when unknown.
    pub uid: Option<u32>,
    /// The most file descriptors that it may have; `None` when unknown.
    pub open_files: Option<u64>,
}

/// The directory that keeps what must survive a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// What it is like; `None` when it is not there.
    pub found: Option<Directory>,
    /// The user lvsd runs as, or is to run as; `None` when unknown.
    pub user: Option<u32>,
}

/// A directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its owner.
    pub uid: u32,
    /// Its permissions.
    pub mode: u32,
    /// Whether its file system is mounted read-only.
    pub is_read_only: bool,
}

/// What services want of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Names of the schedulers in use.
    pub schedulers: BTreeSet<String>,
    /// The VIPs.
    pub vips: BTreeSet<IpAddr>,
    /// Checks that run again and again.
    pub checks: u64,
}
