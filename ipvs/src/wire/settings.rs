//! Messages beside the table, both ways: timeouts, sync daemons, counters, the kernel's version.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU8, NonZeroU16};

use super::decode::{self, missing};
use super::encode::naming;
use super::writer::Writer;
use super::{DecodeError, command, command_attribute, daemon_attribute, daemon_state, info_attribute};
use crate::diff::Control;
use crate::model::{
    Daemon, DaemonRole, Info, InterfaceName, SyncGroup, SyncMaxLen, TimeoutSeconds, Timeouts,
};

/// The command of a write beside the table.
pub(super) fn command(control: &Control) -> u8 {
    match control {
        Control::SetTimeouts(_) => command::SET_CONFIG,
        Control::StartDaemon { .. } => command::NEW_DAEMON,
        Control::StopDaemon { .. } => command::DELETE_DAEMON,
        Control::ZeroStatistics { .. } => command::ZERO,
    }
}

/// The attributes of a write beside the table.
pub(super) fn control(writer: &mut Writer<'_>, control: &Control) {
    match control {
        Control::SetTimeouts(timeouts) => timeouts_to_set(writer, timeouts),
        Control::StartDaemon { role, daemon } => {
            writer.nest(command_attribute::DAEMON, |writer| daemon_setting(writer, *role, daemon));
        }
        Control::StopDaemon { role } => {
            writer.nest(command_attribute::DAEMON, |writer| state(writer, *role));
        }
        Control::ZeroStatistics { service: Some(service) } => naming(writer, service),
        Control::ZeroStatistics { service: None } => {}
    }
}

fn timeouts_to_set(writer: &mut Writer<'_>, timeouts: &Timeouts) {
    for (kind, timeout) in [
        (command_attribute::TIMEOUT_TCP, timeouts.tcp),
        (command_attribute::TIMEOUT_TCP_FIN, timeouts.tcp_fin),
        (command_attribute::TIMEOUT_UDP, timeouts.udp),
    ] {
        if let Some(timeout) = timeout {
            writer.u32(kind, timeout.get());
        }
    }
}

fn state(writer: &mut Writer<'_>, role: DaemonRole) {
    let state = match role {
        DaemonRole::Master => daemon_state::MASTER,
        DaemonRole::Backup => daemon_state::BACKUP,
    };
    writer.u32(daemon_attribute::STATE, state);
}

fn daemon_setting(writer: &mut Writer<'_>, role: DaemonRole, daemon: &Daemon) {
    state(writer, role);
    writer.string(daemon_attribute::INTERFACE, daemon.interface.as_str());
    writer.u32(daemon_attribute::SYNC_ID, u32::from(daemon.sync_id));
    if let Some(max_len) = daemon.max_len {
        writer.u16(daemon_attribute::MAX_LEN, max_len.get());
    }
    match daemon.group.address() {
        IpAddr::V4(v4) => writer.bytes(daemon_attribute::GROUP, &v4.octets()),
        IpAddr::V6(v6) => writer.bytes(daemon_attribute::GROUP_V6, &v6.octets()),
    }
    writer.u16(daemon_attribute::PORT, daemon.port.get());
    writer.u8(daemon_attribute::TTL, daemon.ttl.get());
}

/// What the kernel says of its IPVS, from the attributes of an answer to `GET_INFO`.
///
/// # Errors
/// A damaged message.
pub fn info(attributes: &[u8]) -> Result<Info, DecodeError> {
    let attributes = decode::Attributes::parse("message", attributes)?;
    let [_, major, minor, patch] = attributes.u32(info_attribute::VERSION, "version")?.to_be_bytes();
    Ok(Info {
        version: (major, minor, patch),
        connection_table_size: attributes
            .u32(info_attribute::CONNECTION_TABLE_SIZE, "size of the connection table")?,
    })
}

/// The timeouts, from the attributes of an answer to `GET_CONFIG`.
///
/// # Errors
/// A damaged message.
pub fn timeouts(attributes: &[u8]) -> Result<Timeouts, DecodeError> {
    let attributes = decode::Attributes::parse("message", attributes)?;
    let timeout = |kind, name| -> Result<_, DecodeError> {
        let seconds = attributes.optional(kind, name)?.map_or(0, u32::from_ne_bytes);
        Ok(TimeoutSeconds::from_kernel(seconds))
    };
    Ok(Timeouts {
        tcp: timeout(command_attribute::TIMEOUT_TCP, "timeout of TCP")?,
        tcp_fin: timeout(command_attribute::TIMEOUT_TCP_FIN, "timeout of TCP after FIN")?,
        udp: timeout(command_attribute::TIMEOUT_UDP, "timeout of UDP")?,
    })
}

/// A sync daemon, from the attributes of an answer to `GET_DAEMON`.
///
/// # Errors
/// [`DecodeError::Unsupported`] for a sync id above 255 or a state that the model cannot hold; anything else is a
/// damaged message.
pub fn daemon(attributes: &[u8]) -> Result<(DaemonRole, Daemon), DecodeError> {
    let attributes =
        decode::Attributes::parse("message", attributes)?.nested(command_attribute::DAEMON, "sync daemon")?;
    let role = match attributes.u32(daemon_attribute::STATE, "sync daemon's state")? {
        daemon_state::MASTER => DaemonRole::Master,
        daemon_state::BACKUP => DaemonRole::Backup,
        value => return Err(DecodeError::Unsupported { name: "sync daemon's state", value }),
    };
    let name = attributes.string(daemon_attribute::INTERFACE).ok_or(missing("sync daemon's interface"))?;
    let interface = InterfaceName::new(name)?;
    let sync_id = attributes.u32(daemon_attribute::SYNC_ID, "sync id")?;
    let sync_id =
        u8::try_from(sync_id).map_err(|_| DecodeError::Unsupported { name: "sync id", value: sync_id })?;
    let mut daemon = Daemon::new(interface, sync_id).with_group(group(&attributes)?);
    // Kernels before 4.3 give none of these, and have what is the default since.
    daemon.max_len = attributes
        .optional(daemon_attribute::MAX_LEN, "length of sync messages")?
        .map(|bytes| SyncMaxLen::from_kernel(u16::from_ne_bytes(bytes)));
    let port = attributes.optional(daemon_attribute::PORT, "sync port")?.map_or(0, u16::from_ne_bytes);
    daemon.port = NonZeroU16::new(port).unwrap_or(Daemon::DEFAULT_PORT);
    let ttl = attributes.optional(daemon_attribute::TTL, "sync TTL")?.map_or(0, u8::from_ne_bytes);
    daemon.ttl = NonZeroU8::new(ttl).unwrap_or(NonZeroU8::MIN);
    Ok((role, daemon))
}

fn group(attributes: &decode::Attributes) -> Result<SyncGroup, DecodeError> {
    let v4 = attributes.optional::<4>(daemon_attribute::GROUP, "sync group")?;
    let v6 = attributes.optional::<16>(daemon_attribute::GROUP_V6, "sync group")?;
    let address = match (v4, v6) {
        (Some(octets), _) => IpAddr::V4(Ipv4Addr::from(octets)),
        (None, Some(octets)) => IpAddr::V6(Ipv6Addr::from(octets)),
        (None, None) => return Ok(SyncGroup::DEFAULT),
    };
    SyncGroup::new(address).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary;
    use crate::wire::{Body, Messages, Request, decode::service_key};

    /// Command and attributes of a write.
    fn written(control: &Control) -> (u8, Vec<u8>) {
        let mut bytes = Vec::new();
        Request::Control(control).encode(0x21, 7, &mut bytes).unwrap();
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        let Body::Attributes { command, attributes } = message.body else { panic!("{message:?}") };
        (command, attributes.to_vec())
    }

    /// A write from its message.
    fn read((command, attributes): (u8, Vec<u8>)) -> Control {
        let nested = |kind| decode::Attributes::parse("message", &attributes).unwrap().nested(kind, "it");
        match command {
            command::SET_CONFIG => Control::SetTimeouts(timeouts(&attributes).unwrap()),
            command::NEW_DAEMON => {
                let (role, daemon) = daemon(&attributes).unwrap();
                Control::StartDaemon { role, daemon }
            }
            command::DELETE_DAEMON => {
                let state = nested(command_attribute::DAEMON).unwrap().u32(daemon_attribute::STATE, "state");
                let roles = [DaemonRole::Master, DaemonRole::Backup];
                Control::StopDaemon { role: roles[state.unwrap() as usize - 1] }
            }
            command::ZERO => {
                let service = nested(command_attribute::SERVICE);
                Control::ZeroStatistics { service: service.ok().map(|named| service_key(&named).unwrap()) }
            }
            other => panic!("command {other}"),
        }
    }

    proptest! {
        #[test]
        fn every_write_beside_the_table_reads_back_from_its_message(control in arbitrary::control()) {
            prop_assert_eq!(read(written(&control)), control);
        }
    }

    #[test]
    fn the_port_of_a_daemon_is_in_host_order_and_its_group_in_network_order() {
        let daemon = Daemon::new("d0".parse().unwrap(), 5);
        let (_, attributes) = written(&Control::StartDaemon { role: DaemonRole::Backup, daemon });
        let expected = [
            &[52, 0, 3, 0x80][..],
            &[8, 0, 1, 0, 2, 0, 0, 0],
            &[7, 0, 2, 0, b'd', b'0', 0, 0],
            &[8, 0, 3, 0, 5, 0, 0, 0],
            &[8, 0, 5, 0, 224, 0, 0, 81],
            &[&[6, 0, 7, 0][..], &8848u16.to_ne_bytes(), &[0, 0]].concat(),
            &[5, 0, 8, 0, 1, 0, 0, 0],
        ];
        assert_eq!(attributes, expected.concat());
    }

    #[test]
    fn the_version_is_three_bytes_of_a_number() {
        let attributes =
            [[8u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat(), 0x0001_0201u32.to_ne_bytes().to_vec()];
        let size = [[8u16.to_ne_bytes(), 2u16.to_ne_bytes()].concat(), 4096u32.to_ne_bytes().to_vec()];
        let answer = [attributes.concat(), size.concat()].concat();
        let info = info(&answer).unwrap();
        assert_eq!((info.version, info.connection_table_size), ((1, 2, 1), 4096));
    }

    #[test]
    fn a_daemon_that_no_kernel_runs_is_an_error() {
        let text = |attributes: &[u8]| daemon(attributes).unwrap_err().to_string();
        assert_eq!(text(&[]), "the kernel's answer lacks the sync daemon");
        let (_, mut attributes) = written(&Control::StopDaemon { role: DaemonRole::Master });
        assert_eq!(text(&attributes), "the kernel's answer lacks the sync daemon's interface");
        let last = attributes.len() - 4;
        attributes[last] = 3;
        assert_eq!(text(&attributes), "sync daemon's state 3 is nothing that this program knows");
    }
}
