//! `[lvsd]`, the daemon's own settings.

use super::model::Daemon;
use super::value::{boolean, duration_or};
use super::walk::{Node, Section};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const KEYS: &[&str] = &[
    "state_dir",
    "control_socket",
    "http",
    "device",
    "resync_interval",
    "drain_timeout",
    "shutdown_delay",
    "resolve_interval",
    "control_group",
    "netlink_buffer",
    "dry_run",
];

/// The longest path of a unix socket: `sun_path` of `struct sockaddr_un` with its NUL, unix(7).
pub(super) const MAX_SOCKET_PATH: usize = 107;

/// The longest name of a device: `IFNAMSIZ` with its NUL, linux/if.h.
const MAX_DEVICE: usize = 15;

/// The longest name of a group: `LOGIN_NAME_MAX` and useradd(8) agree on 32.
const MAX_GROUP: usize = 32;

/// A loop that runs more often only burns the processor.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// What is repaired or looked up again more rarely than once an hour is taken for broken.
const MOST_INTERVAL: Duration = Duration::from_secs(3600);

/// Connections that are older are not waited for.
const MOST_DRAIN: Duration = Duration::from_secs(24 * 3600);

/// What the kernel sets aside for answers about IPVS: it doubles it, and gives no less than some two kilobytes nor more than
/// `INT_MAX` (SO_RCVBUFFORCE, socket(7)).
const NETLINK_BUFFER: RangeInclusive<u32> = 1024..=1_073_741_823;

impl Default for Daemon {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/lvsd"),
            control_socket: PathBuf::from("/run/lvsd/control.sock"),
            http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))),
            device: "lvsd0".to_owned(),
            resync_interval: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(60),
            shutdown_delay: Duration::from_secs(2),
            resolve_interval: Duration::from_secs(30),
            control_group: None,
            netlink_buffer: default_netlink_buffer(),
            dry_run: false,
        }
    }
}

/// What ipvs asks for by itself.
pub(super) fn default_netlink_buffer() -> usize {
    ipvs::Options::default().receive_buffer_bytes
}

/// Reads the table; what is wrong with it is reported and stands at its default.
pub(super) fn read(node: &Node<'_>) -> Daemon {
    let default = Daemon::default();
    let Some(section) = node.section(KEYS) else {
        return default;
    };
    let interval = |key, default| duration_or(&section, key, LEAST_INTERVAL..=MOST_INTERVAL, default);
    Daemon {
        resync_interval: interval("resync_interval", default.resync_interval),
        resolve_interval: interval("resolve_interval", default.resolve_interval),
        drain_timeout: duration_or(
            &section,
            "drain_timeout",
            Duration::ZERO..=MOST_DRAIN,
            default.drain_timeout,
        ),
        shutdown_delay: duration_or(
            &section,
            "shutdown_delay",
            Duration::ZERO..=MOST_INTERVAL,
            default.shutdown_delay,
        ),
        state_dir: path(&section, "state_dir", usize::MAX).unwrap_or(default.state_dir),
        control_socket: path(&section, "control_socket", MAX_SOCKET_PATH).unwrap_or(default.control_socket),
        http: section.get("http").and_then(|node| http(&node)).unwrap_or(default.http),
        device: section.get("device").and_then(|node| device(&node)).unwrap_or(default.device),
        netlink_buffer: section
            .get("netlink_buffer")
            .and_then(|node| netlink_buffer(&node))
            .unwrap_or(default.netlink_buffer),
        control_group: section.get("control_group").and_then(|node| group(&node)),
        dry_run: section.get("dry_run").and_then(|node| boolean(&node)).unwrap_or_default(),
    }
}

pub(super) fn path(section: &Section<'_>, key: &str, most: usize) -> Option<PathBuf> {
    let expected = match most {
        usize::MAX => "an absolute path".to_owned(),
        most => format!("an absolute path of at most {most} bytes"),
    };
    section.get(key)?.parsed(&expected, |text| {
        let path = PathBuf::from(text);
        let bytes = path.as_os_str().as_bytes();
        (path.is_absolute() && bytes.len() <= most && !bytes.contains(&0)).then_some(path)
    })
}

fn http(node: &Node<'_>) -> Option<Option<SocketAddr>> {
    node.parsed("an address with a port, such as \"127.0.0.1:9090\", or \"off\"", |text| match text {
        "off" => Some(None),
        text => text.parse().ok().filter(|address: &SocketAddr| address.port() > 0).map(Some),
    })
}

fn netlink_buffer(node: &Node<'_>) -> Option<usize> {
    let (least, most) = (NETLINK_BUFFER.start(), NETLINK_BUFFER.end());
    let bytes = node.integer(&format!("{least}-{most} bytes"), NETLINK_BUFFER)?;
    usize::try_from(bytes).ok()
}

pub(super) fn device(node: &Node<'_>) -> Option<String> {
    let expected = format!("a device name of 1 to {MAX_DEVICE} letters, digits, \"_\", \"-\" or \".\"");
    node.parsed(&expected, |text| {
        let fits = (1..=MAX_DEVICE).contains(&text.len()) && text != "." && text != "..";
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        (fits && plain).then(|| text.to_owned())
    })
}

fn group(node: &Node<'_>) -> Option<String> {
    node.parsed("the name of a unix group", |text| {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        ((1..=MAX_GROUP).contains(&text.len()) && plain && !text.starts_with('-')).then(|| text.to_owned())
    })
}
