//! Prints the kernel's table as `ipvsadm -Ln` does.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use ipvs::{
    DestinationKey, Entry, Family, Forward, Info, Ipvs, Options, Persistence, SchedulerFlags, ServiceKey,
    Snapshot,
};

fn main() -> ExitCode {
    match read() {
        Ok((info, snapshot)) => {
            print(&info, &snapshot);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("table: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read() -> Result<(Info, Snapshot), Box<dyn std::error::Error>> {
    let ipvs = Ipvs::open(Options::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok((runtime.block_on(ipvs.info())?, runtime.block_on(ipvs.dump())?))
}

fn print(info: &Info, snapshot: &Snapshot) {
    let ((major, minor, patch), size) = (info.version, info.connection_table_size);
    println!("IP Virtual Server version {major}.{minor}.{patch} (size={size})");
    println!("Prot LocalAddress:Port Scheduler Flags");
    println!("  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn");
    let mut services: Vec<_> = snapshot.table.iter().collect();
    services.sort_by_key(|(key, _)| place(key));
    for (key, entry) in services {
        println!("{}", service(key, entry));
        for destination in entry.destinations.keys() {
            println!("{}", line(snapshot, key, entry, destination));
        }
    }
    if snapshot.unsupported != 0 {
        println!("and {} entries that cannot be shown", snapshot.unsupported);
    }
}

/// Marks last, IPv4 first, and only then as keys are sorted.
fn place(key: &ServiceKey) -> (u32, Family, ServiceKey) {
    let mark = match key {
        ServiceKey::Address { .. } => 0,
        ServiceKey::FwMark { mark, .. } => mark.get(),
    };
    (mark, key.family(), *key)
}

fn service(key: &ServiceKey, entry: &Entry) -> String {
    let scheduler = entry.service.scheduler();
    let mut line = match *key {
        ServiceKey::Address { protocol, address, port } => {
            format!("{:<4} {}", protocol.as_str().to_uppercase(), SocketAddr::new(address, port))
        }
        ServiceKey::FwMark { mark, family: Family::V4 } => format!("FWM  {mark}"),
        ServiceKey::FwMark { mark, family: Family::V6 } => format!("FWM  {mark} IPv6"),
    };
    let _ = write!(line, " {scheduler}");
    let flags = entry.service.scheduler_flags();
    if flags != SchedulerFlags::NONE {
        let names: Vec<_> = flags.to_string().split(',').map(|flag| format!("{scheduler}-{flag}")).collect();
        let _ = write!(line, " ({})", names.join(","));
    }
    if let Some(persistence) = entry.service.persistence() {
        let _ = write!(line, " persistent {}", persistence.timeout_seconds);
        line += &mask(persistence, key.family());
    }
    if let Some(engine) = entry.service.persistence_engine() {
        let _ = write!(line, " pe {engine}");
    }
    if entry.service.one_packet() {
        line += " ops";
    }
    line
}

fn mask(persistence: Persistence, family: Family) -> String {
    match (family, persistence.prefix_len) {
        (Family::V4, 32) | (Family::V6, 128) => String::new(),
        (_, 0) => " mask that is no prefix".to_owned(),
        (Family::V4, length) => format!(" mask {}", Ipv4Addr::from(u32::MAX << (32 - u32::from(length)))),
        (Family::V6, length) => format!(" mask {length}"),
    }
}

fn line(snapshot: &Snapshot, service: &ServiceKey, entry: &Entry, key: &DestinationKey) -> String {
    let destination = &entry.destinations[key];
    let forward = match destination.forward {
        Forward::Masquerade => "Masq",
        Forward::Local => "Local",
        Forward::Tunnel(_) => "Tunnel",
        Forward::DirectRouting => "Route",
        Forward::Other(_) => "Other",
    };
    let connections = snapshot.connections.get(&(*service, *key)).copied().unwrap_or_default();
    format!(
        "  -> {:<28} {:<7} {:<6} {:<10} {:<10}",
        key.to_string(),
        forward,
        destination.weight.get(),
        connections.active,
        connections.inactive
    )
}
