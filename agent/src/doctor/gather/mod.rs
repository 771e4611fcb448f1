//! Reads the host: /proc and /sys, rtnetlink, a few files, and what the running lvsd says. Nothing is changed, and
//! whatever is missing, unreadable or odd is left out.

mod daemon;
mod host;
mod links;
mod probes;

use super::Facts;
use super::facts::{Configuration, Reading};
use crate::config::{self, Config, Problem};
use crate::ctl::client::Client;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where the configuration is when nobody says otherwise.
pub const CONFIGURATION: &str = "/etc/lvsd/lvsd.toml";

/// Gathers everything. `configuration` is the file's path, when it was given; else the running lvsd's own, or
/// [`CONFIGURATION`].
pub async fn gather(socket: &Path, configuration: Option<&Path>) -> Facts {
    let process = daemon::process(socket).await;
    let path = configuration
        .map(Path::to_owned)
        .or_else(|| daemon::configuration_path(process.as_ref()?.pid))
        .unwrap_or_else(|| PathBuf::from(CONFIGURATION));
    let (configuration, config) = read(path);
    let (daemon, status) = daemon::ask(&Client::new(socket)).await;
    let wanted = daemon::wanted(status.as_ref(), config.as_ref());
    let probes = match config.as_ref().and_then(|config| config.probes.as_ref()) {
        Some(settings) => Some(probes::look(settings, status.as_ref()).await),
        None => None,
    };
    let asked_through_ipvs = daemon::asked_through_ipvs(status.as_ref(), config.as_ref());
    let settings = config.map(|config| config.daemon).unwrap_or_default();
    let table = host::table();
    Facts {
        modules: host::modules(),
        conntrack: host::conntrack(wanted.as_ref()),
        sysctls: host::sysctls(),
        rp_filter: host::by_interface("rp_filter"),
        accept_local: host::by_interface("accept_local"),
        asked_through_ipvs,
        interfaces: links::interfaces().await,
        writers: host::writers(),
        restores: host::restores(),
        systemd: host::unit(),
        state_directory: daemon::state_directory(&settings.state_dir, process.as_ref()),
        device: settings.device,
        socket: (socket != config::Daemon::default().control_socket).then(|| socket.to_owned()),
        table,
        configuration,
        daemon,
        process,
        wanted,
        probes,
    }
}

fn read(path: PathBuf) -> (Configuration, Option<Config>) {
    let (reading, config) = match config::load(&path) {
        Ok(config) => (Reading::Good, Some(config)),
        Err(errors) => (wrong(&errors), None),
    };
    (Configuration { path, reading }, config)
}

fn wrong(errors: &[config::ConfigError]) -> Reading {
    let unreadable = errors.iter().find_map(|error| match &error.problem {
        Problem::Unreadable(error) if error.kind() == ErrorKind::PermissionDenied => Some(Reading::Denied),
        Problem::Unreadable(error) if error.kind() == ErrorKind::NotFound => {
            Some(Reading::Missing(error.to_string()))
        }
        _ => None,
    });
    unreadable.unwrap_or_else(|| Reading::Wrong {
        first: errors.first().map(ToString::to_string).unwrap_or_default(),
        count: errors.len(),
    })
}
