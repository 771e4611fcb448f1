//! From operations to messages.

use std::net::IpAddr;

use neli::consts::genl::{CtrlAttr, CtrlCmd};
use neli::consts::nl::{GenlId, NlmF};

use super::writer::{Header, Writer};
use super::{
    FAMILY_NAME, FAMILY_VERSION, command, command_attribute, destination_attribute as destination_attr,
    forward, number, service_attribute as service_attr, service_flag, settings, tunnel_type,
};
use crate::diff::{Control, Op};
use crate::model::{
    Destination, DestinationKey, Family, Forward, Protocol, Scheduler, Service, ServiceKey, TunnelKind,
};

/// Version of the generic netlink controller's protocol.
const CONTROLLER_VERSION: u8 = 2;

/// Every flag is set or cleared, none is left as it is.
const ALL_FLAGS: u32 = u32::MAX;

/// What an operation asks for and no message can say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A value that stands for what another program chose.
    #[error("{what} can be read from the kernel but not written")]
    ReadOnly {
        /// What it is.
        what: String,
    },
    /// Persistence of one family on a service of the other, or read from another program's.
    #[error("a persistence prefix of {prefix_len} bits on an IP{family} service")]
    PersistencePrefix {
        /// How many bits.
        prefix_len: u8,
        /// The service's family.
        family: Family,
    },
}

/// What is asked of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// The number of the family, of the generic netlink controller. Answered by a message and an acknowledgement.
    ResolveFamily,
    /// Whether IPVS talks to us at all. Answered by a message and an acknowledgement.
    GetInfo,
    /// One service. Answered by a message and an acknowledgement, or ESRCH.
    GetService(&'a ServiceKey),
    /// All services, as a dump.
    DumpServices,
    /// All destinations of a service, as a dump; empty when there is no such service.
    DumpDestinations(&'a ServiceKey),
    /// The timeouts. Answered by a message and an acknowledgement.
    GetTimeouts,
    /// The sync daemons, as a dump.
    DumpDaemons,
    /// A write to the table. Answered by an acknowledgement.
    Write(&'a Op),
    /// A write beside the table. Answered by an acknowledgement.
    Control(&'a Control),
}

impl Request<'_> {
    /// Appends the message to `out`. `family` is what [`Request::ResolveFamily`] found; that one ignores it.
    ///
    /// # Errors
    /// Only for [`Request::Write`], when there is no message for what the operation asks.
    pub fn encode(&self, family: u16, sequence: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let (kind, version) = match self {
            Self::ResolveFamily => (GenlId::Ctrl.into(), CONTROLLER_VERSION),
            _ => (family, FAMILY_VERSION),
        };
        let flags = NlmF::REQUEST | if self.is_dump() { NlmF::DUMP } else { NlmF::ACK };
        let header = Header { kind, flags: flags.into(), sequence, command: self.command(), version };
        Writer::message(out, header, |writer| self.attributes(writer))
    }

    fn is_dump(&self) -> bool {
        matches!(self, Self::DumpServices | Self::DumpDestinations(_) | Self::DumpDaemons)
    }

    fn command(&self) -> u8 {
        match self {
            Self::ResolveFamily => CtrlCmd::Getfamily.into(),
            Self::GetInfo => command::GET_INFO,
            Self::GetService(_) | Self::DumpServices => command::GET_SERVICE,
            Self::DumpDestinations(_) => command::GET_DESTINATION,
            Self::GetTimeouts => command::GET_CONFIG,
            Self::DumpDaemons => command::GET_DAEMON,
            Self::Write(op) => match op {
                Op::NewService { .. } => command::NEW_SERVICE,
                Op::SetService { .. } => command::SET_SERVICE,
                Op::DeleteService { .. } => command::DELETE_SERVICE,
                Op::NewDestination { .. } => command::NEW_DESTINATION,
                Op::SetDestination { .. } => command::SET_DESTINATION,
                Op::DeleteDestination { .. } => command::DELETE_DESTINATION,
            },
            Self::Control(control) => settings::command(control),
        }
    }

    fn attributes(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::ResolveFamily => writer.string(CtrlAttr::FamilyName.into(), FAMILY_NAME),
            Self::GetInfo | Self::DumpServices | Self::GetTimeouts | Self::DumpDaemons => {}
            Self::GetService(key) | Self::DumpDestinations(key) => naming(writer, key),
            Self::Write(op) => return write(writer, op),
            Self::Control(control) => settings::control(writer, control),
        }
        Ok(())
    }
}

/// Takes the wish for an acknowledgement (NLM_F_ACK) from an encoded message. The kernel then answers only if it fails.
/// Nothing is done to less than a message's header.
pub fn without_acknowledgement(message: &mut [u8]) {
    const ACK: u16 = nix::libc::NLM_F_ACK as u16;
    // `struct nlmsghdr`: u32 length, u16 type, u16 flags.
    if let Some(flags) = message.get_mut(6..).and_then(<[u8]>::first_chunk_mut) {
        *flags = (u16::from_ne_bytes(*flags) & !ACK).to_ne_bytes();
    }
}

fn write(writer: &mut Writer<'_>, op: &Op) -> Result<(), EncodeError> {
    match op {
        Op::NewService { key, service } | Op::SetService { key, service } => setting(writer, key, service),
        Op::DeleteService { key } => {
            naming(writer, key);
            Ok(())
        }
        Op::NewDestination { service, key, destination }
        | Op::SetDestination { service, key, destination } => {
            naming(writer, service);
            writer.nest(command_attribute::DESTINATION, |writer| {
                destination_naming(writer, key);
                destination_setting(writer, destination)
            })
        }
        Op::DeleteDestination { service, key } => {
            naming(writer, service);
            writer.nest(command_attribute::DESTINATION, |writer| destination_naming(writer, key));
            Ok(())
        }
    }
}

/// The service attribute where it only says which: ipvsadm fills the rest with nothing.
pub(super) fn naming(writer: &mut Writer<'_>, key: &ServiceKey) {
    let whole_address = key.family().max_prefix_len();
    service(writer, key, "", None, (0, 0, whole_address));
}

/// The service attribute where it says what the service is set to.
fn setting(writer: &mut Writer<'_>, key: &ServiceKey, setting: &Service) -> Result<(), EncodeError> {
    if let Scheduler::Other(name) = setting.scheduler() {
        return Err(EncodeError::ReadOnly { what: format!("scheduler {name:?}") });
    }
    let family = key.family();
    let (timeout, prefix_len) = match setting.persistence() {
        None => (0, family.max_prefix_len()),
        Some(persistence) if !(1..=family.max_prefix_len()).contains(&persistence.prefix_len) => {
            return Err(EncodeError::PersistencePrefix { prefix_len: persistence.prefix_len, family });
        }
        Some(persistence) => (persistence.timeout_seconds, persistence.prefix_len),
    };
    let persistence_engine = setting.persistence_engine();
    service(
        writer,
        key,
        setting.scheduler().as_str(),
        persistence_engine,
        (flags(setting), timeout, prefix_len),
    );
    Ok(())
}

fn service(
    writer: &mut Writer<'_>,
    key: &ServiceKey,
    scheduler: &str,
    persistence_engine: Option<&str>,
    (flags, timeout, prefix_len): (u32, u32, u8),
) {
    writer.nest(command_attribute::SERVICE, |writer| {
        writer.u16(service_attr::FAMILY, family_number(key.family()));
        match *key {
            ServiceKey::Address { protocol, address, port } => {
                writer.u16(service_attr::PROTOCOL, protocol_number(protocol));
                writer.bytes(service_attr::ADDRESS, &address_bytes(address));
                writer.bytes(service_attr::PORT, &port.to_be_bytes());
            }
            ServiceKey::FwMark { mark, .. } => writer.u32(service_attr::FWMARK, mark.get()),
        }
        writer.string(service_attr::SCHEDULER, scheduler);
        if let Some(engine) = persistence_engine {
            writer.string(service_attr::PERSISTENCE_ENGINE, engine);
        }
        // `struct ip_vs_flags`.
        writer.bytes(service_attr::FLAGS, [flags.to_ne_bytes(), ALL_FLAGS.to_ne_bytes()].as_flattened());
        writer.u32(service_attr::TIMEOUT, timeout);
        writer.bytes(service_attr::NETMASK, &netmask(key.family(), prefix_len));
    });
}

fn flags(service: &Service) -> u32 {
    let scheduler = service.scheduler_flags();
    [
        (service.persistence().is_some(), service_flag::PERSISTENT),
        (service.one_packet(), service_flag::ONE_PACKET),
        (scheduler.fallback, service_flag::SCHEDULER_1),
        (scheduler.port, service_flag::SCHEDULER_2),
        (scheduler.third, service_flag::SCHEDULER_3),
    ]
    .into_iter()
    .filter_map(|(set, flag)| set.then_some(flag))
    .fold(0, |flags, flag| flags | flag)
}

/// IPv4 has its mask in network order, IPv6 its prefix length as a native number.
fn netmask(family: Family, prefix_len: u8) -> [u8; 4] {
    match family {
        Family::V4 => u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0).to_be_bytes(),
        Family::V6 => u32::from(prefix_len).to_ne_bytes(),
    }
}

fn destination_naming(writer: &mut Writer<'_>, key: &DestinationKey) {
    writer.u16(destination_attr::FAMILY, family_number(Family::of(key.address)));
    writer.bytes(destination_attr::ADDRESS, &address_bytes(key.address));
    writer.bytes(destination_attr::PORT, &key.port.to_be_bytes());
}

fn destination_setting(writer: &mut Writer<'_>, destination: &Destination) -> Result<(), EncodeError> {
    let no_tunnel = (tunnel_type::IPIP, 0u16, 0u16);
    let (method, (tunnel, port, flags)) = match destination.forward {
        Forward::Masquerade => (forward::MASQUERADE, no_tunnel),
        Forward::Local => (forward::LOCAL, no_tunnel),
        Forward::Tunnel(tunnel) => {
            (forward::TUNNEL, (tunnel_number(tunnel.kind)?, tunnel.port, tunnel.flags))
        }
        Forward::DirectRouting => (forward::DIRECT_ROUTING, no_tunnel),
        Forward::Other(_) => return Err(EncodeError::ReadOnly { what: destination.forward.to_string() }),
    };
    writer.u32(destination_attr::FORWARD, method);
    writer.u32(destination_attr::WEIGHT, destination.weight.get());
    writer.u8(destination_attr::TUNNEL_TYPE, tunnel);
    writer.bytes(destination_attr::TUNNEL_PORT, &port.to_be_bytes());
    writer.u16(destination_attr::TUNNEL_FLAGS, flags);
    writer.u32(destination_attr::UPPER_THRESHOLD, destination.upper_threshold);
    writer.u32(destination_attr::LOWER_THRESHOLD, destination.lower_threshold);
    Ok(())
}

fn tunnel_number(kind: TunnelKind) -> Result<u8, EncodeError> {
    match kind {
        TunnelKind::Ipip => Ok(tunnel_type::IPIP),
        TunnelKind::Gue => Ok(tunnel_type::GUE),
        TunnelKind::Gre => Ok(tunnel_type::GRE),
        TunnelKind::Other(_) => Err(EncodeError::ReadOnly { what: format!("tunnel {kind}") }),
    }
}

fn protocol_number(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => number::TCP,
        Protocol::Udp => number::UDP,
        Protocol::Sctp => number::SCTP,
    }
}

fn family_number(family: Family) -> u16 {
    match family {
        Family::V4 => number::INET,
        Family::V6 => number::INET6,
    }
}

/// `union nf_inet_addr`: an IPv4 address takes its first 4 bytes, the rest is zero.
fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}
