//! lvsd as the host shows it and as it speaks of itself.

use crate::config::{self, CheckPath, Config};
use crate::core::view::{ServiceView, Status};
use crate::ctl::client::{Client, ClientError};
use crate::doctor::facts::{
    Answers, Daemon, DaemonProcess, Directory, OddSource, Oddity, StateDirectory, Wanted,
};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::User;
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The longest that lvsd may take for an answer: it answers in milliseconds, and one that hangs is to be found.
const PATIENCE: Duration = Duration::from_secs(5);

/// The user that lvsd runs as when its unit is installed.
const USER: &str = "lvsd";

/// The process that listens on the control socket.
pub(super) async fn process(socket: &Path) -> Option<DaemonProcess> {
    let stream = timeout(PATIENCE, UnixStream::connect(socket)).await.ok()?.ok()?;
    let peer = stream.peer_cred().ok()?;
    // 0 stands for a process of another process namespace.
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0)?;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    Some(DaemonProcess { pid, uid: Some(peer.uid()), open_files: open_files(&limits) })
}

/// The soft limit: lvsd raises it to the hard one.
fn open_files(limits: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match rest.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// The configuration file that the process was started with.
pub(super) fn configuration_path(pid: u32) -> Option<PathBuf> {
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = command.split('\0');
    let path = words.find_map(|word| match word.strip_prefix("--config") {
        Some("") => Some(None),
        Some(rest) => rest.strip_prefix('=').map(Some),
        None => None,
    })?;
    let path = PathBuf::from(path.or_else(|| words.next())?);
    // A relative one belongs to a directory that only root may know.
    path.is_absolute().then_some(path)
}

/// What lvsd answers, and the whole of it when it is a status.
pub(super) async fn ask(client: &Client) -> (Daemon, Option<Status>) {
    match timeout(PATIENCE, client.status(None)).await {
        Err(_) => (Daemon::Unclear(format!("no answer within {} s", PATIENCE.as_secs())), None),
        Ok(Err(ClientError::NotRunning { .. })) => (Daemon::NotRunning, None),
        Ok(Err(error @ ClientError::Permission { .. })) => (Daemon::Denied(error.to_string()), None),
        Ok(Err(error)) => (Daemon::Unclear(error.to_string()), None),
        Ok(Ok(status)) => (Daemon::Answers(answers(&status)), Some(status)),
    }
}

fn answers(status: &Status) -> Answers {
    let down = status.peers.iter().filter(|peer| peer.address.is_none());
    Answers {
        ready: status.ready,
        phase: status.phase.clone(),
        sources: status.services.iter().filter_map(odd_source).collect(),
        peers_down: down
            .map(|peer| {
                let error = peer.last_error.iter().map(|error| format!(": {error}"));
                (peer.name.clone(), peer.state.clone() + &error.collect::<String>())
            })
            .collect(),
        peers: status.peers.len(),
        sync_daemons: status
            .sync_daemons
            .iter()
            .filter(|daemon| daemon.settings.is_some())
            .map(|daemon| (daemon.role.clone(), daemon.running))
            .collect(),
        foreign_services: status.foreign_services,
        kernel_failures: status.kernel_failures.clone(),
    }
}

/// What is most urgent about a service's source: one thing, as the others follow from it.
fn odd_source(service: &ServiceView) -> Option<OddSource> {
    let oddity = match (&service.source_error, &service.waiting) {
        _ if service.source_held => Oddity::Held,
        (Some(reason), _) => Oddity::Failed(reason.clone()),
        (None, Some(reason)) => Oddity::Waiting(reason.clone()),
        (None, None) if service.source_stale => Oddity::Stale,
        (None, None) => return None,
    };
    Some(OddSource { service: service.name.clone(), source: service.source.clone(), oddity })
}

/// From the status, else from the configuration. How many checks a backend has only the configuration says.
pub(super) fn wanted(status: Option<&Status>, config: Option<&Config>) -> Option<Wanted> {
    let asks =
        |service: &Arc<config::Service>| service.checks.iter().any(|check| check.path == CheckPath::Ipvs);
    let is_asked = config.is_some_and(|config| config.services.values().any(asks));
    let of_marks = is_asked.then(|| ipvs::Scheduler::Rr.to_string());
    if let Some(status) = status {
        let backends =
            |service: &ServiceView| -> usize { service.pools.iter().map(|pool| pool.backends.len()).sum() };
        let each = |name: &str| config.and_then(|config| config.services.get(name));
        let checks = |service: &ServiceView| {
            backends(service) * each(&service.name).map_or(1, |service| service.checks.len())
        };
        return Some(Wanted {
            schedulers: status.services.iter().map(|s| s.scheduler.clone()).chain(of_marks).collect(),
            vips: status.vips.iter().map(|vip| vip.address).collect(),
            checks: status.services.iter().map(checks).sum::<usize>() as u64,
        });
    }
    let services = || config.into_iter().flat_map(|config| config.services.values());
    config.map(|_| Wanted {
        schedulers: services().map(|s| s.scheduler.scheduler().to_string()).chain(of_marks).collect(),
        vips: services().flat_map(|service| service.vips.iter().copied()).collect(),
        checks: services().map(|service| configured_checks(service)).sum::<usize>() as u64,
    })
}

/// The IPv4 servers that are asked through IPVS, by a canary or by their own checks, and whose answers come from the VIP:
/// with NAT they come from the server.
pub(super) fn asked_through_ipvs(status: Option<&Status>, config: Option<&Config>) -> BTreeSet<IpAddr> {
    let Some(config) = config else { return BTreeSet::new() };
    let services = config.services.values().filter(|service| service.asks_through_ipvs());
    let services = services.filter(|service| service.forward != ipvs::Forward::Masquerade);
    let mut servers: BTreeSet<IpAddr> = BTreeSet::new();
    for service in services {
        servers.extend(service.given_addresses());
        let views = status.into_iter().flat_map(|status| &status.services);
        let views = views.filter(|view| view.name == *service.name).flat_map(|view| &view.pools);
        servers.extend(views.flat_map(|pool| &pool.backends).map(|backend| backend.address));
    }
    servers.retain(IpAddr::is_ipv4);
    servers
}

/// Those of inline pools: each backend may have an address in each family of the VIPs.
fn configured_checks(service: &config::Service) -> usize {
    let config::Pool::Inline(backends) = &service.pool else { return 0 };
    let families =
        [true, false].iter().filter(|is_v4| service.vips.iter().any(|vip| vip.is_ipv4() == **is_v4)).count();
    backends.len() * families * service.checks.len()
}

/// The state directory, and who is to write it.
pub(super) fn state_directory(path: &Path, process: Option<&DaemonProcess>) -> StateDirectory {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_dir).map(|metadata| Directory {
        uid: metadata.uid(),
        mode: metadata.mode(),
        is_read_only: statvfs(path).is_ok_and(|file_system| file_system.flags().contains(FsFlags::ST_RDONLY)),
    });
    let installed = || Some(User::from_name(USER).ok()??.uid.as_raw());
    let user = match process {
        Some(process) => process.uid,
        None => installed(),
    };
    StateDirectory { path: path.to_owned(), found, user }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_the_soft_one() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max processes             62714                62714                processes\n\
                      Max open files            16384                524288               files\n";
        assert_eq!(open_files(limits), Some(16_384));
        assert_eq!(open_files("Max open files            unlimited            unlimited\n"), Some(u64::MAX));
        assert_eq!(open_files(""), None);
    }

    #[tokio::test]
    async fn nobody_on_the_socket_is_not_running_and_no_process() {
        let nowhere = Path::new("/nowhere/control.sock");
        assert_eq!(process(nowhere).await, None);
        assert_eq!(ask(&Client::new(nowhere)).await, (Daemon::NotRunning, None));
    }

    #[tokio::test]
    async fn who_listens_on_the_socket_is_known_by_process_and_user() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("control.sock");
        let _listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
        let process = process(&socket).await.expect("a process");
        assert_eq!(process.pid, std::process::id());
        assert_eq!(process.uid, Some(nix::unistd::geteuid().as_raw()));
        assert!(process.open_files.is_some_and(|limit| limit > 0), "{process:?}");
    }

    #[test]
    fn a_configuration_says_what_is_wanted_while_lvsd_does_not_run() {
        let text = "[service.web]\nvips = [\"192.0.2.10\", \"2001:db8::10\"]\nport = 80\nscheduler = \"mh\"\n\
                    backends = [{ host = \"10.64.0.11\" }, { host = \"10.64.0.12\" }]\n\
                    checks = [{ type = \"tcp\" }, { type = \"tcp\", port = 81 }]\n";
        let config =
            config::parse(&[(PathBuf::from("lvsd.toml"), text.to_owned())]).expect("a configuration");
        let wanted = wanted(None, Some(&config)).expect("known");
        assert_eq!(wanted.schedulers, ["mh".to_owned()].into());
        assert_eq!(wanted.vips.len(), 2);
        assert_eq!(wanted.checks, 8);
    }
}
