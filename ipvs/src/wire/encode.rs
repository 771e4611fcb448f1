//! From operations to messages.

use std::io::Cursor;
use std::net::IpAddr;

use neli::consts::genl::{CtrlAttr, CtrlCmd};
use neli::consts::nl::{GenlId, NlmF};
use neli::genl::{AttrTypeBuilder, GenlmsghdrBuilder, Nlattr, NlattrBuilder};
use neli::nl::{NlPayload, NlmsghdrBuilder};
use neli::types::{Buffer, GenlBuffer};
use neli::{Size, ToBytes};

use super::{
    FAMILY_NAME, FAMILY_VERSION, command, command_attribute, destination_attribute as destination_attr,
    forward, number, service_attribute as service_attr, service_flag, settings, tunnel_type,
};
use crate::diff::{Control, Op};
use crate::model::{Destination, DestinationKey, Family, Forward, Protocol, Service, ServiceKey, TunnelKind};

pub(super) type Attribute = Nlattr<u16, Buffer>;
pub(super) type Attributes = GenlBuffer<u16, Buffer>;

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
        let acked = NlmF::REQUEST | NlmF::ACK;
        let dump = NlmF::REQUEST | NlmF::DUMP;
        let (command, flags, attributes) = match self {
            Self::ResolveFamily => {
                let name = attribute(CtrlAttr::FamilyName.into(), FAMILY_NAME);
                let header = (GenlId::Ctrl.into(), acked, sequence);
                append(header, CtrlCmd::Getfamily.into(), CONTROLLER_VERSION, list([name]), out);
                return Ok(());
            }
            Self::GetInfo => (command::GET_INFO, acked, Attributes::new()),
            Self::GetService(key) => (command::GET_SERVICE, acked, list([naming(key)])),
            Self::DumpServices => (command::GET_SERVICE, dump, Attributes::new()),
            Self::DumpDestinations(key) => (command::GET_DESTINATION, dump, list([naming(key)])),
            Self::GetTimeouts => (command::GET_CONFIG, acked, Attributes::new()),
            Self::DumpDaemons => (command::GET_DAEMON, dump, Attributes::new()),
            Self::Write(op) => {
                let (command, attributes) = write(op)?;
                (command, acked, attributes)
            }
            Self::Control(control) => {
                let (command, attributes) = settings::control(control);
                (command, acked, attributes)
            }
        };
        append((family, flags, sequence), command, FAMILY_VERSION, attributes, out);
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

fn write(op: &Op) -> Result<(u8, Attributes), EncodeError> {
    Ok(match op {
        Op::NewService { key, service } => (command::NEW_SERVICE, list([setting(key, service)?])),
        Op::SetService { key, service } => (command::SET_SERVICE, list([setting(key, service)?])),
        Op::DeleteService { key } => (command::DELETE_SERVICE, list([naming(key)])),
        Op::NewDestination { service, key, destination } => {
            (command::NEW_DESTINATION, list([naming(service), destination_setting(key, destination)?]))
        }
        Op::SetDestination { service, key, destination } => {
            (command::SET_DESTINATION, list([naming(service), destination_setting(key, destination)?]))
        }
        Op::DeleteDestination { service, key } => {
            let named = nest(command_attribute::DESTINATION, list(destination_naming(key)));
            (command::DELETE_DESTINATION, list([naming(service), named]))
        }
    })
}

/// The service attribute where it only says which: ipvsadm fills the rest with nothing.
pub(super) fn naming(key: &ServiceKey) -> Attribute {
    let whole_address = key.family().max_prefix_len();
    nest(
        command_attribute::SERVICE,
        service_attributes(key, "", None, 0, 0, netmask(key.family(), whole_address)),
    )
}

/// The service attribute where it says what the service is set to.
fn setting(key: &ServiceKey, service: &Service) -> Result<Attribute, EncodeError> {
    if let crate::Scheduler::Other(name) = service.scheduler() {
        return Err(EncodeError::ReadOnly { what: format!("scheduler {name:?}") });
    }
    let family = key.family();
    let (timeout, prefix_len) = match service.persistence() {
        None => (0, family.max_prefix_len()),
        Some(persistence) if !(1..=family.max_prefix_len()).contains(&persistence.prefix_len) => {
            return Err(EncodeError::PersistencePrefix { prefix_len: persistence.prefix_len, family });
        }
        Some(persistence) => (persistence.timeout_seconds, persistence.prefix_len),
    };
    let attributes = service_attributes(
        key,
        service.scheduler().as_str(),
        service.persistence_engine(),
        flags(service),
        timeout,
        netmask(family, prefix_len),
    );
    Ok(nest(command_attribute::SERVICE, attributes))
}

fn service_attributes(
    key: &ServiceKey,
    scheduler: &str,
    persistence_engine: Option<&str>,
    flags: u32,
    timeout: u32,
    netmask: [u8; 4],
) -> Attributes {
    let mut attributes = list([attribute(service_attr::FAMILY, family_number(key.family()))]);
    match *key {
        ServiceKey::Address { protocol, address, port } => {
            attributes.push(attribute(service_attr::PROTOCOL, protocol_number(protocol)));
            attributes.push(attribute(service_attr::ADDRESS, address_bytes(address)));
            attributes.push(attribute(service_attr::PORT, port.to_be_bytes()));
        }
        ServiceKey::FwMark { mark, .. } => attributes.push(attribute(service_attr::FWMARK, mark.get())),
    }
    attributes.push(attribute(service_attr::SCHEDULER, scheduler));
    if let Some(engine) = persistence_engine {
        attributes.push(attribute(service_attr::PERSISTENCE_ENGINE, engine));
    }
    attributes.push(attribute(service_attr::FLAGS, vec![flags, ALL_FLAGS]));
    attributes.push(attribute(service_attr::TIMEOUT, timeout));
    attributes.push(attribute(service_attr::NETMASK, netmask));
    attributes
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

fn destination_naming(key: &DestinationKey) -> [Attribute; 3] {
    [
        attribute(destination_attr::FAMILY, family_number(Family::of(key.address))),
        attribute(destination_attr::ADDRESS, address_bytes(key.address)),
        attribute(destination_attr::PORT, key.port.to_be_bytes()),
    ]
}

fn destination_setting(key: &DestinationKey, destination: &Destination) -> Result<Attribute, EncodeError> {
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
    let mut attributes = list(destination_naming(key));
    attributes.push(attribute(destination_attr::FORWARD, method));
    attributes.push(attribute(destination_attr::WEIGHT, destination.weight.get()));
    attributes.push(attribute(destination_attr::TUNNEL_TYPE, tunnel));
    attributes.push(attribute(destination_attr::TUNNEL_PORT, port.to_be_bytes()));
    attributes.push(attribute(destination_attr::TUNNEL_FLAGS, flags));
    attributes.push(attribute(destination_attr::UPPER_THRESHOLD, destination.upper_threshold));
    attributes.push(attribute(destination_attr::LOWER_THRESHOLD, destination.lower_threshold));
    Ok(nest(command_attribute::DESTINATION, attributes))
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

pub(super) fn list(attributes: impl IntoIterator<Item = Attribute>) -> Attributes {
    attributes.into_iter().collect()
}

pub(super) fn attribute(kind: u16, payload: impl Size + ToBytes) -> Attribute {
    build(kind, false, payload)
}

pub(super) fn nest(kind: u16, attributes: Attributes) -> Attribute {
    build(kind, true, attributes)
}

fn build(kind: u16, nested: bool, payload: impl Size + ToBytes) -> Attribute {
    let kind = AttrTypeBuilder::default().nla_type(kind).nla_nested(nested).build();
    NlattrBuilder::default()
        .nla_type(kind.expect("the type is given"))
        .nla_payload(payload)
        .build()
        .expect("type and payload are given, and a vector takes what is written to it")
}

fn append(
    (family, flags, sequence): (u16, NlmF, u32),
    command: u8,
    version: u8,
    attributes: Attributes,
    out: &mut Vec<u8>,
) {
    let message = GenlmsghdrBuilder::default()
        .cmd(command)
        .version(version)
        .attrs(attributes)
        .build()
        .expect("command and version are given");
    let message = NlmsghdrBuilder::default()
        .nl_type(family)
        .nl_flags(flags)
        .nl_seq(sequence)
        .nl_payload(NlPayload::Payload(message))
        .build()
        .expect("type, flags and payload are given");
    let mut bytes = Cursor::new(std::mem::take(out));
    bytes.set_position(bytes.get_ref().len() as u64);
    message.to_bytes(&mut bytes).expect("a vector takes what is written to it");
    *out = bytes.into_inner();
}
