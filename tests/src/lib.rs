//! The lab: a small data centre of network namespaces on a kernel that has IPVS.
//!
//! A scenario (or the demo) is one program that runs twice. Outside, [`kernel`] looks for a kernel with IPVS: the
//! machine's own, or else user-mode Linux, and starts the very same program there as process 1. Inside, [`world`]
//! mounts what a process 1 needs, runs the scenario within a time limit, keeps the evidence of a failure and ends.
//!
//! ```text
//!                     client  10.9.0.2
//!                       │ ECMP
//!          ┌────────────┴────────────┐        10.9.0.0/24    fd00:9::/64
//!         r1 .251                   r2 .252   BIRD, ECMP to the balancers that announce a VIP
//!          └──┬───────┬───────┬──────┘        10.64.0.0/24   fd00:64::/64
//!            lb1 .1  lb2 .2  rs1..rs3 .11-.13
//!            lvsd    lvsd    nginx, VIPs on lo
//! ```
//!
//! Reading order: [`kernel`] and [`world`] (where it runs), [`netns`] and [`host`] (a namespace and its processes),
//! [`program`] (one that runs twice), [`network`] (who is joined to whom), [`nginx`], [`bird`], [`frr`], [`calico`], [`crowd`] (many nodes in one process), [`name_server`], [`mod@etcd`], [`lvsd`] (what runs on them), [`site`] (all of it at work), [`table`] (IPVS as the
//! kernel shows it), [`watch`] (how soon an effect follows its cause), [`own_time`] (how soon on a machine that stands still now and then), [`traffic`] (the client), [`evidence`] (what a failure leaves behind), [`measure`]
//! (what benchmarks share), [`cable`], [`cluster`] and [`kube_proxy`] (a Kubernetes beside it), [`guest`] and [`package`] (a Debian with systemd, and lvsd installed on it), [`prometheus`] (what reads kept pages of
//! metrics, outside), [`pages`] and [`steps`] (what the documentation shows).

pub mod agent;
pub mod bird;
pub mod cable;
pub mod calico;
pub mod cluster;
pub mod configuration;
pub mod crowd;
pub mod etcd;
pub mod evidence;
pub mod frr;
pub mod gobgp;
pub mod guest;
pub mod host;
pub mod kernel;
pub mod kube_proxy;
pub mod lvsd;
pub mod many;
pub mod measure;
pub mod name_server;
pub mod netns;
pub mod network;
pub mod nginx;
pub mod own_time;
pub mod package;
pub mod pages;
pub mod probes;
pub mod program;
pub mod prometheus;
pub mod site;
pub mod steps;
pub mod table;
pub mod traffic;
pub mod wait;
pub mod watch;
pub mod world;
