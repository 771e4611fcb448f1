//! Prints the kernel's table in the manner of `ipvsadm -Ln`.

use std::process::ExitCode;

use ipvs::{DestinationKey, Entry, Forward, Ipvs, Options, SchedulerFlags, ServiceKey, Snapshot};

fn main() -> ExitCode {
    match read() {
        Ok(snapshot) => {
            print(&snapshot);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("table: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read() -> Result<Snapshot, Box<dyn std::error::Error>> {
    let ipvs = Ipvs::open(Options::default())?;
    Ok(tokio::runtime::Builder::new_current_thread().build()?.block_on(ipvs.dump())?)
}

fn print(snapshot: &Snapshot) {
    println!("Prot LocalAddress:Port Scheduler Flags");
    println!("  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn");
    for (key, entry) in snapshot.table.iter() {
        println!("{}", service(key, entry));
        for destination in entry.destinations.keys() {
            println!("{}", line(snapshot, key, entry, destination));
        }
    }
    if snapshot.unsupported != 0 {
        println!("and {} entries that cannot be shown", snapshot.unsupported);
    }
}

fn service(key: &ServiceKey, entry: &Entry) -> String {
    let name = match key {
        ServiceKey::Address { protocol, address, port } => {
            format!("{:<4} {}", protocol.as_str().to_uppercase(), std::net::SocketAddr::new(*address, *port))
        }
        ServiceKey::FwMark { mark, family } => format!("FWM  {mark} IP{family}"),
    };
    let mut line = format!("{name} {}", entry.service.scheduler());
    if entry.service.scheduler_flags() != SchedulerFlags::NONE {
        line += &format!(" ({})", entry.service.scheduler_flags());
    }
    if let Some(persistence) = entry.service.persistence() {
        line += &format!(" persistent {} /{}", persistence.timeout_seconds, persistence.prefix_len);
    }
    if entry.service.one_packet() {
        line += " ops";
    }
    line
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
        "  -> {:<28} {:<7} {:<6} {:<10} {}",
        key.to_string(),
        forward,
        destination.weight.get(),
        connections.active,
        connections.inactive
    )
}
