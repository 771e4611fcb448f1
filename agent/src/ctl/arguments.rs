//! What `lvsctl` can be told on its command line.

use super::announcements;
use super::bgp::Bgp;
use super::change::{Note, Place, Pool, TakeOut, Weight};
use super::client::Client;
use super::complete::{hosts, services};
use super::events::{Events, LogLevel};
use super::import::ImportPybal;
use super::output::Output;
use super::remote::{Balancer, Remote, usual_directory};
use super::watch::Watch;
use crate::core::nodes::bgppeer;
use bgp::Prefix;
use clap::{Args, Parser, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use std::path::PathBuf;
use std::time::Duration;

/// Ask lvsd, the control daemon of this LVS load balancer, and tell it.
#[derive(Debug, Parser)]
#[command(name = "lvsctl", version, after_help = EXIT_CODES)]
pub struct Arguments {
    /// lvsd's control socket.
    #[arg(long, global = true, value_name = "PATH", default_value = SOCKET)]
    pub socket: PathBuf,
    /// Another balancer, over TLS: a name or address that its certificate is for, and a port unless it is 7391. See [remote] of
    /// lvsd.toml(5).
    #[arg(long = "host", global = true, value_name = "HOST[:PORT]", conflicts_with = "socket")]
    pub other: Option<Balancer>,
    /// With --host: the folder of ca.pem (whom balancers' certificates are from), cert.pem and key.pem (yours); by default
    /// ~/.config/lvsctl.
    #[arg(long, global = true, value_name = "DIR", requires = "other")]
    pub certificates: Option<PathBuf>,
    /// How to print the answer.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: Output,
    /// What is asked for.
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// A client of the lvsd that is meant.
    pub fn client(&self) -> Client {
        let Some(balancer) = &self.other else { return Client::new(&self.socket) };
        let directory = self.certificates.clone().unwrap_or_else(usual_directory);
        Client::of_remote(Remote::new(balancer.clone(), &directory))
    }

    /// Why `--host` is of no use with the command; `None` when it is.
    pub fn is_of_this_host(&self) -> Option<&'static str> {
        let is_local = matches!(self.command, Command::Doctor { .. } | Command::ImportPybal(_));
        (self.other.is_some() && is_local).then_some(
            "this command looks at the host that it runs on: leave --host out, or run it over there",
        )
    }
}

/// Where lvsd listens unless its configuration says otherwise.
pub const SOCKET: &str = "/run/lvsd/control.sock";

/// Exit codes are an interface: scripts rely on them.
const EXIT_CODES: &str = "\
Exit codes:
  0  done, and after --watch when it was ended
  1  lvsd answered with something unexpected
  2  the command line is wrong
  3  lvsd does not run, or cannot be reached
  4  there is no such host, service or VIP
  5  refused: the depool threshold would be broken, nothing would serve, or the source says otherwise
  6  permission denied
  7  the configuration has errors, the old one goes on
  8  something on this host is to be changed (lvsctl doctor)
  9  the kernel is not as lvsd wants it (lvsctl diff)
  10 packets still came when the wait was over (lvsctl drain --balancer --wait)
  11 not everything could be carried over (lvsctl import-pybal)
  12 etcd was changed, and some balancer has not followed within the time (--confirm)";

/// What is asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show services, backends, VIPs and BGP peers.
    ///
    /// Of more than 20 services each has a line, and only those backends and VIPs are shown that are not as they should be;
    /// `-o wide` and a service's name show all.
    #[command(
        after_help = "Examples:\n  lvsctl status\n  lvsctl status web -o wide\n  lvsctl status --watch\n  lvsctl status -o json | jq '.vips'"
    )]
    Status {
        /// Only this service.
        #[arg(add = ArgValueCandidates::new(services))]
        service: Option<String>,
        /// Again and again.
        #[command(flatten)]
        watch: Watch,
    },
    /// Take a backend out: no new connections, those it has finish. In etcd, for every balancer, where its pools are there.
    #[command(
        after_help = "Examples:\n  lvsctl depool cp1075 --reason 'disk, T12345'\n  lvsctl depool 'cp10*' --cluster cache_text\n  lvsctl depool cp1075 --local --for 2h\n  lvsctl depool cp1075 --force"
    )]
    Depool(TakeOut),
    /// Drain a backend: weight 0, its connections finish; it stays in the kernel's table. Or the whole balancer.
    #[command(
        after_help = "Examples:\n  lvsctl drain cp1075 --reason 'kernel upgrade' --for 30m\n  lvsctl drain --balancer --reason 'kernel upgrade' --wait 5m"
    )]
    Drain(Drain),
    /// Take a drain of the whole balancer back: its VIPs are announced again.
    #[command(after_help = "Example:\n  lvsctl undrain")]
    Undrain,
    /// Announce or withdraw one VIP whatever its checks say, or leave it to them again.
    #[command(subcommand)]
    Vip(announcements::Vip),
    /// Make a backend no part of its pools: it does not count for the depool threshold, and is deleted once drained.
    #[command(after_help = "Example:\n  lvsctl inactive cp1075 --reason 'decommissioned'")]
    Inactive(TakeOut),
    /// Take a depool, drain or inactive back; the backend's checks decide from then on. In etcd a weight of 0 stays.
    #[command(after_help = "Examples:\n  lvsctl pool cp1075\n  lvsctl pool cp1075 --local")]
    Pool(Pool),
    /// Give a backend another weight, in etcd or on this balancer alone.
    #[command(
        after_help = "Examples:\n  lvsctl weight cp1075 1 --reason canary\n  lvsctl weight cp1075 10% --local --for 1h\n  lvsctl weight cp1075 --reset --local"
    )]
    Weight(Weight),
    /// Show all balancers of the fleet side by side, and where they differ.
    #[command(after_help = "Examples:\n  lvsctl fleet\n  lvsctl fleet -o json | jq '.[].seen'")]
    Fleet {
        /// Again and again.
        #[command(flatten)]
        watch: Watch,
    },
    /// Show the BGP peers; with a command one of them in full, or the routes.
    #[command(
        after_help = "Examples:\n  lvsctl bgp\n  lvsctl bgp neighbor r1\n  lvsctl bgp rib out 192.0.2.10\n  lvsctl bgp rib in"
    )]
    Bgp {
        /// What of them.
        #[command(subcommand)]
        what: Option<Bgp>,
        /// Again and again.
        #[command(flatten)]
        watch: Watch,
    },
    /// Let through a change that was held back for taking out too much at once: of a service's pool, or of a source's list of services.
    #[command(after_help = "Example:\n  lvsctl confirm web\n  lvsctl confirm kubernetes")]
    Confirm {
        /// The service, the source, or `nodes` for what is said of a cluster's nodes.
        #[arg(value_name = "SERVICE|SOURCE", add = ArgValueCandidates::new(services))]
        service: String,
    },
    /// Say why a backend is in or out, and since when; or why a service is not served.
    #[command(after_help = "Examples:\n  lvsctl why cp1075\n  lvsctl why prod/web")]
    Why {
        /// The backend's host name, a service, or NAMESPACE/NAME of a Service of Kubernetes.
        #[arg(value_name = "HOST|SERVICE", add = ArgValueCandidates::new(hosts))]
        host: String,
        /// Again and again.
        #[command(flatten)]
        watch: Watch,
    },
    /// Show what was decided and what happened lately, the oldest first.
    #[command(
        after_help = "Examples:\n  lvsctl events --follow\n  lvsctl events --since 30m --about web\n  lvsctl events --level warn -n 20\n  lvsctl events -o json | jq -r '.message'"
    )]
    Events(Events),
    /// Show services, backends, routers and events live in the terminal, and depool and pool by the keyboard.
    #[command(
        after_help = "Keys:\n  1-4, Tab        services, backends, routing, events\n  arrows, j, k    move; Page Up, Page Down, g, G\n  /               search; Enter keeps it, Esc clears it\n  Enter           a service's backends; Esc goes back\n  d, p            depool or pool the selected backend's host, after a question\n  q, Ctrl-C       end\n\nExample:\n  lvsctl top"
    )]
    Top,
    /// Show what lvsd logs, or have it log more or less from now on.
    #[command(
        after_help = "Examples:\n  lvsctl log-level\n  lvsctl log-level info,bgp=debug\n  lvsctl log-level --reset"
    )]
    LogLevel(LogLevel),
    /// Show the cluster's nodes: sessions, blocks, routes, and what is wrong.
    #[command(after_help = "Examples:\n  lvsctl nodes\n  lvsctl nodes -o json | jq '.alarms'")]
    Nodes {
        /// Again and again.
        #[command(flatten)]
        watch: Watch,
    },
    /// Show the routes of the cluster's nodes: those in the kernel, and those refused with the reason.
    #[command(
        after_help = "Examples:\n  lvsctl routes\n  lvsctl routes 10.67.1.17\n  lvsctl routes 10.67.0.0/16"
    )]
    Routes {
        /// Only those around and inside this prefix or address.
        prefix: Option<Prefix>,
        /// Again and again.
        #[command(flatten)]
        watch: Watch,
    },
    /// Print what Calico has to be told of this balancer.
    #[command(subcommand)]
    Calico(Calico),
    /// Show what a new configuration would change in the kernel, addresses, routes and checks; nothing is done.
    #[command(after_help = "Example:\n  lvsctl plan /etc/lvsd/lvsd.toml")]
    Plan {
        /// The configuration; conf.d/*.toml beside it belongs to it.
        file: PathBuf,
    },
    /// Show what the pools would be if backends were down; nothing is done.
    #[command(after_help = "Example:\n  lvsctl simulate --down cp1075,cp1076")]
    Simulate {
        /// Host names, separated by commas.
        #[arg(long, value_name = "HOST,…", value_delimiter = ',', required = true, add = ArgValueCandidates::new(hosts))]
        down: Vec<String>,
        /// Again and again.
        #[command(flatten)]
        watch: Watch,
    },
    /// Compare the kernel's IPVS table with what lvsd wants; nothing is changed. Exits with 9 when they differ.
    #[command(after_help = "Example:\n  lvsctl diff")]
    Diff {
        /// Again and again.
        #[command(flatten)]
        watch: Watch,
    },
    /// Have the kernel's IPVS table read and repaired now, rather than at the next resync interval.
    #[command(after_help = "Examples:\n  lvsctl resync\n  lvsctl resync --sort")]
    Resync(Resync),
    /// Have lvsd read its configuration again; one with errors is refused and the old one goes on.
    #[command(after_help = "Example:\n  lvsctl reload")]
    Reload,
    /// Check this host (modules, sysctls, addresses, other programs, lvsd) and say what to change and why.
    #[command(
        after_help = "Examples:\n  sudo lvsctl doctor\n  lvsctl doctor -v\n  lvsctl doctor -o json | jq -r '.[].run // empty'"
    )]
    Doctor {
        /// Show what is as it should be, too.
        #[arg(short, long)]
        verbose: bool,
        /// lvsd's configuration; the running lvsd's own, or /etc/lvsd/lvsd.toml, when not given.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Again and again.
        #[command(flatten)]
        watch: Watch,
    },
    /// Make lvsd's configuration of PyBal's, and say line by line what could not be carried over (exit 11).
    #[command(
        after_help = "Examples:\n  lvsctl import-pybal /etc/pybal/pybal.conf --peer-asn 64600 > lvsd.toml\n  lvsctl import-pybal --peer-asn 10.64.0.251=65001 --peer-asn 10.64.0.252=65002 --to /etc/lvsd"
    )]
    ImportPybal(ImportPybal),
}

impl Command {
    /// How often it is to be shown, where once is not enough.
    pub fn watch(&self) -> Option<Duration> {
        match self {
            Self::Status { watch, .. }
            | Self::Fleet { watch }
            | Self::Bgp { watch, .. }
            | Self::Why { watch, .. }
            | Self::Nodes { watch }
            | Self::Routes { watch, .. }
            | Self::Simulate { watch, .. }
            | Self::Diff { watch }
            | Self::Doctor { watch, .. } => watch.every,
            Self::Depool(_)
            | Self::Drain(_)
            | Self::Undrain
            | Self::Vip(_)
            | Self::Inactive(_)
            | Self::Pool(_)
            | Self::Weight(_)
            | Self::Confirm { .. }
            | Self::Events(_)
            | Self::Top
            | Self::LogLevel(_)
            | Self::Calico(_)
            | Self::Plan { .. }
            | Self::Resync(_)
            | Self::Reload
            | Self::ImportPybal(_) => None,
        }
    }
}

/// `lvsctl resync …`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Resync {
    /// Also put the servers of mh services in their order, as on a balancer that starts afresh: each that is out of order is
    /// deleted and added again. Connections stay; refused while net.ipv4.vs.expire_nodest_conn would end them.
    #[arg(long)]
    pub sort: bool,
    /// Sort also while that ends connections of which a packet comes at that instant, such as on a drained balancer.
    #[arg(long, requires = "sort")]
    pub force: bool,
}

/// `lvsctl calico …`.
#[derive(Debug, Subcommand)]
pub enum Calico {
    /// Print the BGPPeer of each family and the BGPFilter (of a route reflector: the BGPConfiguration that ends the nodes'
    /// mesh), to be looked at and applied; nothing is done.
    #[command(
        after_help = "Examples:\n  lvsctl calico print-bgppeer\n  lvsctl calico print-bgppeer --selector 'rack == \"a\"' | kubectl apply -f -"
    )]
    PrintBgppeer {
        /// The balancer's name in the objects' names; this host's own when not given.
        #[arg(long)]
        name: Option<String>,
        /// Which nodes are to talk to this balancer.
        #[arg(long, default_value = "all()")]
        selector: String,
        /// The objects' API: crd.projectcalico.org/v1, or projectcalico.org/v3 for calicoctl and the API server.
        #[arg(long, value_name = "API", default_value = bgppeer::CRD)]
        api: String,
    },
}

/// What to say when `lvsctl drain` is told nothing else.
const WHAT_TO_DRAIN: &str = "\
drain what? Nothing was done.
  lvsctl drain HOST             one backend: weight 0, its connections finish; `lvsctl pool HOST` takes it back
  lvsctl drain --balancer       this whole balancer: routers are asked to prefer others, then every VIP is withdrawn
                                and BFD says AdminDown; `lvsctl undrain` takes it back
The whole balancer is never meant by leaving the host out: an empty variable in a script must not drain it.";

/// What is drained.
#[derive(Debug, Args)]
pub struct Drain {
    /// The backend's host name.
    #[arg(conflicts_with = "balancer", add = ArgValueCandidates::new(hosts))]
    pub host: Option<String>,
    /// This balancer instead: routers are asked to prefer others, then all VIPs are withdrawn, until `lvsctl undrain`.
    #[arg(long, conflicts_with = "force")]
    pub balancer: bool,
    /// With --balancer: watch the traffic go, at most for so long.
    #[arg(long, value_name = "TIME", value_parser = announcements::seconds, requires = "balancer", conflicts_with = "host")]
    pub wait: Option<u64>,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// What it is noted with.
    #[command(flatten)]
    pub note: Note,
}

impl Drain {
    /// What to say when neither a host nor the balancer is named; `None` when one is.
    pub fn missing(&self) -> Option<&'static str> {
        (self.host.is_none() && !self.balancer).then_some(WHAT_TO_DRAIN)
    }
}
