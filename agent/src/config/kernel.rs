//! `[ipvs]`: what the kernel's IPVS is set to beside its table.

use super::canary::{FIRST_MARK, FIRST_MARKS, default_first_mark};
use super::value::{duration, port};
use super::walk::{Node, Section};
use ipvs::{Daemon, DaemonRole, InterfaceName, Settings, SyncGroup, SyncMaxLen, TimeoutSeconds, Timeouts};
use std::num::{NonZeroU8, NonZeroU16};
use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) const KEYS: &[&str] = &["tcp_timeout", "tcp_fin_timeout", "udp_timeout", "first_mark", "sync"];

pub(super) const SYNC_KEYS: &[&str] = &["role", "interface", "sync_id", "group", "port", "ttl", "max_length"];

const ROLE: &str = "\"master\", \"backup\" or \"both\"";
const INTERFACE: &str = "the name of an interface, of at most 15 bytes";
const SYNC_ID: &str = "a sync id 0-255";
const GROUP: &str = "a multicast address, such as \"224.0.0.81\" or \"ff02::81\"";
const TTL: &str = "a TTL 1-255";

/// In whole hours what the kernel takes at its highest tick rate, some 24 days.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(596 * 3600);

/// Reads the table, and the first of the marks that are lvsd's; what is wrong with it is reported and left out.
pub(super) fn read(node: &Node<'_>) -> (Settings, u32) {
    let Some(section) = node.section(KEYS) else { return (Settings::default(), default_first_mark()) };
    let first_mark = section.get("first_mark").and_then(|node| node.integer(FIRST_MARK, FIRST_MARKS));
    let timeout = |key| section.get(key).and_then(|node| timeout(&node));
    let timeouts = Timeouts {
        tcp: timeout("tcp_timeout"),
        tcp_fin: timeout("tcp_fin_timeout"),
        udp: timeout("udp_timeout"),
    };
    let mut settings = Settings { timeouts, ..Settings::default() };
    if let Some((roles, daemon)) = section.get("sync").and_then(|node| sync(&node)) {
        for role in roles {
            settings.set_daemon(*role, Some(daemon.clone()));
        }
    }
    (settings, first_mark.unwrap_or_else(default_first_mark))
}

fn timeout(node: &Node<'_>) -> Option<TimeoutSeconds> {
    let time = duration(node, TIMEOUT)?;
    if time.subsec_nanos() > 0 {
        node.refused("whole seconds", "the kernel counts no less");
        return None;
    }
    TimeoutSeconds::new(u32::try_from(time.as_secs()).ok()?).ok()
}

/// The daemons that share connections: which, and how.
fn sync(node: &Node<'_>) -> Option<(&'static [DaemonRole], Daemon)> {
    let section = node.section(SYNC_KEYS)?;
    let role = section.required("role", ROLE).and_then(|node| role(&node));
    let interface = section
        .required("interface", INTERFACE)
        .and_then(|node| node.parsed(INTERFACE, |text| InterfaceName::new(text).ok()));
    let sync_id = section.get("sync_id").map_or(Some(0), |node| node.integer(SYNC_ID, 0..=255));
    let sync_id = sync_id.and_then(|id| u8::try_from(id).ok());
    let described = described(&section, Daemon::new(interface?, sync_id?));
    Some((role?, described?))
}

/// The rest of what is said of a daemon.
fn described(section: &Section<'_>, mut daemon: Daemon) -> Option<Daemon> {
    if let Some(node) = section.get("group") {
        daemon = daemon.with_group(group(&node)?);
    }
    if let Some(node) = section.get("port") {
        daemon = daemon.with_port(port(&node).and_then(NonZeroU16::new)?);
    }
    if let Some(node) = section.get("ttl") {
        let ttl = node.integer(TTL, 1..=255).and_then(|ttl| u8::try_from(ttl).ok());
        daemon = daemon.with_ttl(ttl.and_then(NonZeroU8::new)?);
    }
    if let Some(node) = section.get("max_length") {
        let (least, most) = (SyncMaxLen::MIN.get(), SyncMaxLen::MAX.get());
        let bytes = node.integer(&format!("{least}-{most} bytes"), least.into()..=most.into());
        let bytes = bytes.and_then(|bytes| u16::try_from(bytes).ok());
        daemon = daemon.with_max_len(bytes.and_then(|bytes| SyncMaxLen::new(bytes).ok())?);
    }
    Some(daemon)
}

fn role(node: &Node<'_>) -> Option<&'static [DaemonRole]> {
    node.parsed(ROLE, |text| match text {
        "master" => Some(&[DaemonRole::Master][..]),
        "backup" => Some(&[DaemonRole::Backup][..]),
        "both" => Some(&[DaemonRole::Master, DaemonRole::Backup][..]),
        _ => None,
    })
}

fn group(node: &Node<'_>) -> Option<SyncGroup> {
    node.parsed(GROUP, |text| SyncGroup::new(text.parse().ok()?).ok())
}
