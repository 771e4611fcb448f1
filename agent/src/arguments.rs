//! What `lvsd` can be told on its command line.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// The control daemon of an LVS load balancer: health-checked pools, IPVS direct routing, BGP.
#[derive(Debug, Parser)]
#[command(
    name = "lvsd",
    version,
    after_help = "LVSD_LOG sets log levels: LVSD_LOG=debug, or LVSD_LOG=info,bgp=debug"
)]
pub struct Arguments {
    /// The configuration; conf.d/*.toml beside it belongs to it.
    #[arg(long, value_name = "FILE", default_value = "/etc/lvsd/lvsd.toml")]
    pub config: PathBuf,
    /// Write every event to this file as it happens, for `lvsd replay`. One that is there is continued; at 1 GiB, or
    /// when the disk is full or too slow, recording ends and lvsd goes on.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Do everything but write: nothing to the kernel, to routers or to the disk. `lvsctl diff` then says what would be
    /// changed. As `dry_run = true` in the configuration.
    #[arg(long)]
    pub dry_run: bool,
    /// What to do in place of running.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do in place of running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a configuration, print every error with file and line, and exit: 0 without errors, 1 with some.
    CheckConfig {
        /// The configuration; as --config when absent.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Print the JSON schema of a configuration file, for editors: which keys there are, what each may be and is for.
    #[command(after_help = "Example:\n  lvsd schema > lvsd.schema.json")]
    Schema,
    /// Print the OpenAPI document of the control interface, for programs that ask and tell lvsd: which operations there are,
    /// what each takes, answers, and who may. A running lvsd has it at /v1/openapi.json of its control socket.
    #[command(after_help = "Example:\n  lvsd openapi > lvsd.openapi.json")]
    Openapi,
    /// The network namespace that checks by VIP come from.
    Probes {
        /// What of it.
        #[command(subcommand)]
        action: Probes,
    },
    /// Go through a recording again and print every action, one JSON object a line; nothing is touched. Exit: 0 when
    /// the recording process did the same, 1 when not, or when the file cannot be read.
    Replay {
        /// What `lvsd --record` wrote.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// `lvsd probes …`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Probes {
    /// Make the namespace with an interface in each segment, as [probes] has it. As root.
    Up,
    /// Hand its sockets to lvsd. Inside the namespace, with CAP_NET_ADMIN.
    Serve,
    /// Take the namespace down. As root.
    Down,
}
