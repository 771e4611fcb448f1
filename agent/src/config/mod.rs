//! The configuration: TOML text in, a validated [`Config`] or every error at once out.
//!
//! `load` reads the files and hands their text to `parse`, which is pure:
//!
//! ```text
//! files ─▶ pieces    each service's part by itself, the whole where something is wrong
//!       ─▶ document  TOML with places, syntax errors, keys given twice
//!       ─▶ walk      a cursor over it that collects errors, names unknown keys
//!       ─▶ daemon, bgp, nodes, probes, pybal, remote, source, service (backends, checks, canary), each from its table; value, host: single settings
//!       ─▶ across    what only all files together show
//!       ─▶ compact   what is equal is there once
//!       ─▶ Config
//! ```
//!
//! `schema` tells other programs what there is, from the keys that are read here.
//!
//! Every error says where (file, line, column), which setting, what was expected and what was found, and can show its line
//! (`excerpt`). A configuration with an error is refused as a whole.

mod attributes;
mod bfd;
mod bgp;
mod canary;
mod check;
mod compact;
mod daemon;
pub(crate) mod document;
mod error;
mod excerpt;
mod fleet;
mod forwarding;
mod kernel;
mod load;
mod model;
mod nodes;
mod parse;
mod pieces;
mod policy;
mod pool;
mod probes;
mod pybal;
mod remote;
mod scheduling;
pub mod schema;
mod secret;
mod service;
mod source;
mod threshold;
mod twice;
pub(crate) mod value;
mod vip;
pub(crate) mod walk;

pub use attributes::{Attributes, Route};
pub use canary::{Canary, IPVS_MARKS};
pub use error::{ConfigError, Place, Problem, listed};
pub use fleet::Fleet;
pub use load::load;
pub use model::{
    Admin, Backend, Bgp, Bmp, CheckPath, CheckTemplate, Config, ConnectionLimits, Daemon, Distance, Family,
    Front, Group, HostAddresses, Network, Peer, Pool, PoolId, Probes, Query, Require, Segment, Service,
    ServiceQuery, Target, TcpAo, Terms,
};
pub(crate) use nodes::MOST_PREFIXES as MOST_NODE_PREFIXES;
pub use nodes::{BlockCheck, ClusterPlace, IpPool, Node, NodeListen, NodeMode, NodeRoutes, Nodes};
pub use parse::{parse, parse_from, parse_with};
pub use probes::MARKS;
pub use pybal::{Pybal, PybalNames};
pub use remote::{Names, Remote};
pub use secret::Secret;
pub use source::{
    AddressPool, AddressRange, Cordon, Endpoint, EtcdSettings, EtcdVersion, HttpSettings, KubernetesSettings,
    Lease, Login, SourceSettings, TlsFiles, WholeServices,
};
pub use threshold::{Threshold, ThresholdError};
pub use value::read_duration as duration;
pub use vip::{Announce, Vip};
pub use walk::{Files, ReadFile};

#[cfg(test)]
mod tests;
