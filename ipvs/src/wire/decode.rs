//! From attributes to the model. Unknown attributes are passed over: newer kernels have more of them.

use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use neli::FromBytesWithInput;
use neli::consts::genl::CtrlAttr;
use neli::err::DeError;
use neli::types::{Buffer, GenlBuffer};

use super::{
    command_attribute, destination_attribute as destination_attr, forward, number,
    service_attribute as service_attr, service_flag, tunnel_type,
};
use crate::model::{
    Connections, DaemonError, Destination, DestinationKey, Family, Forward, Persistence, Protocol, Scheduler,
    SchedulerFlags, Service, ServiceKey, Statistics, Tunnel, TunnelKind, Weight, WeightError,
};

/// Why bytes are not the message that they should be.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end within something.
    #[error("the kernel's answer ends within a {what}")]
    Truncated {
        /// Within what.
        what: &'static str,
    },
    /// The kernel says that it lost messages.
    #[error("the kernel says that it lost messages (NLMSG_OVERRUN)")]
    Overrun,
    /// Attributes whose lengths do not fit in one another.
    #[error("the attributes of a {what} do not fit in it")]
    Attributes {
        /// Of what.
        what: &'static str,
        /// As the reader of attributes has it.
        #[source]
        source: DeError,
    },
    /// An attribute that must be there is not.
    #[error("the kernel's answer lacks the {name}")]
    Missing {
        /// Which.
        name: &'static str,
    },
    /// An attribute of the wrong size.
    #[error("the kernel's answer has {length} bytes for the {name}")]
    Length {
        /// Which.
        name: &'static str,
        /// How many bytes it has.
        length: usize,
    },
    /// A weight that a kernel does not hold.
    #[error("the kernel's answer has an impossible weight")]
    Weight(#[from] WeightError),
    /// A sync daemon that a kernel does not run.
    #[error("the kernel's answer has an impossible sync daemon")]
    Daemon(#[from] DaemonError),
    /// Well formed, but nothing that the model has words for.
    #[error("{name} {value} is nothing that this program knows")]
    Unsupported {
        /// Of what.
        name: &'static str,
        /// What it is.
        value: u32,
    },
}

/// A service as the kernel gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Which.
    pub key: ServiceKey,
    /// What it is set to.
    pub service: Service,
    /// Its counters.
    pub statistics: Statistics,
}

/// A destination as the kernel gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationRecord {
    /// Which.
    pub key: DestinationKey,
    /// What it is set to.
    pub destination: Destination,
    /// Its connections.
    pub connections: Connections,
    /// Its counters.
    pub statistics: Statistics,
}

/// The number of the IPVS family, from the attributes of the controller's answer.
///
/// # Errors
/// Malformed attributes, or no number among them.
pub fn family_id(attributes: &[u8]) -> Result<u16, DecodeError> {
    Attributes::parse("generic netlink family", attributes)?.u16(CtrlAttr::FamilyId.into(), "family number")
}

/// A service, from the attributes of an answer to `GET_SERVICE`.
///
/// # Errors
/// [`DecodeError::Unsupported`] for what another program set and the model cannot hold; anything else is a damaged
/// message.
pub fn service(attributes: &[u8]) -> Result<ServiceRecord, DecodeError> {
    let attributes =
        Attributes::parse("message", attributes)?.nested(command_attribute::SERVICE, "service")?;
    let key = service_key(&attributes)?;
    Ok(ServiceRecord {
        service: service_setting(&attributes, key.family())?,
        statistics: statistics(&attributes, service_attr::STATISTICS)?,
        key,
    })
}

/// A destination, from the attributes of an answer to `GET_DEST`. `family` is its service's, which kernels before 3.18
/// do not repeat.
///
/// # Errors
/// As [`service`].
pub fn destination(attributes: &[u8], family: Family) -> Result<DestinationRecord, DecodeError> {
    let attributes =
        Attributes::parse("message", attributes)?.nested(command_attribute::DESTINATION, "destination")?;
    Ok(DestinationRecord {
        key: destination_key(&attributes, family)?,
        destination: destination_setting(&attributes)?,
        connections: Connections {
            active: attributes.u32(destination_attr::ACTIVE, "active connections")?,
            inactive: attributes.u32(destination_attr::INACTIVE, "inactive connections")?,
            persistent: attributes.u32(destination_attr::PERSISTENT, "persistent connections")?,
        },
        statistics: statistics(&attributes, destination_attr::STATISTICS)?,
    })
}

pub(super) fn service_key(attributes: &Attributes) -> Result<ServiceKey, DecodeError> {
    let family = family_of(attributes.u16(service_attr::FAMILY, "service's address family")?)?;
    if let Some(mark) = attributes.optional(service_attr::FWMARK, "firewall mark")?.map(u32::from_ne_bytes) {
        let mark =
            NonZeroU32::new(mark).ok_or(DecodeError::Unsupported { name: "firewall mark", value: 0 })?;
        return Ok(ServiceKey::FwMark { family, mark });
    }
    let protocol = match attributes.u16(service_attr::PROTOCOL, "service's protocol")? {
        number::TCP => Protocol::Tcp,
        number::UDP => Protocol::Udp,
        number::SCTP => Protocol::Sctp,
        other => return Err(DecodeError::Unsupported { name: "IP protocol", value: other.into() }),
    };
    let address = address(attributes.required(service_attr::ADDRESS, "service's address")?, family);
    let port = u16::from_be_bytes(attributes.required(service_attr::PORT, "service's port")?);
    Ok(ServiceKey::Address { protocol, address, port })
}

pub(super) fn service_setting(attributes: &Attributes, family: Family) -> Result<Service, DecodeError> {
    // `struct ip_vs_flags`: the flags, then a mask that says nothing when it is read.
    let [f0, f1, f2, f3, ..] = attributes.required::<8>(service_attr::FLAGS, "service's flags")?;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let timeout_seconds = attributes.u32(service_attr::TIMEOUT, "persistence time")?;
    let prefix_len = prefix_len(attributes.required(service_attr::NETMASK, "persistence netmask")?, family);
    Ok(Service {
        scheduler: Scheduler::from_kernel(
            &attributes.string(service_attr::SCHEDULER).ok_or(missing("scheduler"))?,
        ),
        scheduler_flags: SchedulerFlags {
            fallback: flags & service_flag::SCHEDULER_1 != 0,
            port: flags & service_flag::SCHEDULER_2 != 0,
            third: flags & service_flag::SCHEDULER_3 != 0,
        },
        one_packet: flags & service_flag::ONE_PACKET != 0,
        persistence: (flags & service_flag::PERSISTENT != 0)
            .then_some(Persistence { timeout_seconds, prefix_len }),
        persistence_engine: attributes
            .string(service_attr::PERSISTENCE_ENGINE)
            .filter(|name| !name.is_empty()),
    })
}

/// 0 for what is no prefix of the family.
fn prefix_len(netmask: [u8; 4], family: Family) -> u8 {
    let bits = match family {
        Family::V4 => {
            let mask = u32::from_be_bytes(netmask);
            if mask.leading_ones() == mask.count_ones() { mask.count_ones() } else { 0 }
        }
        Family::V6 => u32::from_ne_bytes(netmask),
    };
    u8::try_from(bits).ok().filter(|bits| *bits <= family.max_prefix_len()).unwrap_or(0)
}

pub(super) fn destination_key(
    attributes: &Attributes,
    family: Family,
) -> Result<DestinationKey, DecodeError> {
    let own = attributes.optional(destination_attr::FAMILY, "destination's address family")?;
    // Kernels that know the attribute give 0 when a destination has its service's family.
    let family = match own.map(u16::from_ne_bytes) {
        None | Some(0) => family,
        Some(number) => family_of(number)?,
    };
    Ok(DestinationKey {
        address: address(attributes.required(destination_attr::ADDRESS, "destination's address")?, family),
        port: u16::from_be_bytes(attributes.required(destination_attr::PORT, "destination's port")?),
    })
}

pub(super) fn destination_setting(attributes: &Attributes) -> Result<Destination, DecodeError> {
    let forward = match attributes.u32(destination_attr::FORWARD, "forwarding method")? {
        forward::MASQUERADE => Forward::Masquerade,
        forward::LOCAL => Forward::Local,
        forward::TUNNEL => Forward::Tunnel(tunnel(attributes)?),
        forward::DIRECT_ROUTING => Forward::DirectRouting,
        other => Forward::Other(other),
    };
    Ok(Destination {
        forward,
        weight: Weight::new(attributes.u32(destination_attr::WEIGHT, "weight")?)?,
        upper_threshold: attributes.u32(destination_attr::UPPER_THRESHOLD, "upper threshold")?,
        lower_threshold: attributes.u32(destination_attr::LOWER_THRESHOLD, "lower threshold")?,
    })
}

/// Kernels before 5.2 tunnel IP in IP and do not say so.
fn tunnel(attributes: &Attributes) -> Result<Tunnel, DecodeError> {
    let kind = match attributes.optional::<1>(destination_attr::TUNNEL_TYPE, "tunnel type")? {
        None | Some([tunnel_type::IPIP]) => TunnelKind::Ipip,
        Some([tunnel_type::GUE]) => TunnelKind::Gue,
        Some([tunnel_type::GRE]) => TunnelKind::Gre,
        Some([other]) => TunnelKind::Other(other),
    };
    let port =
        attributes.optional(destination_attr::TUNNEL_PORT, "tunnel port")?.map_or(0, u16::from_be_bytes);
    let flags =
        attributes.optional(destination_attr::TUNNEL_FLAGS, "tunnel flags")?.map_or(0, u16::from_ne_bytes);
    Ok(Tunnel { kind, port, flags })
}

/// `IPVS_STATS_ATTR_*` of STATS64 (since Linux 4.0); without it everything is 0.
fn statistics(attributes: &Attributes, kind: u16) -> Result<Statistics, DecodeError> {
    let Some(nested) = attributes.get(kind) else { return Ok(Statistics::default()) };
    let counters = Attributes::parse("statistics", nested)?;
    let counter = |kind| -> Result<u64, DecodeError> {
        Ok(counters.optional(kind, "counter")?.map_or(0, u64::from_ne_bytes))
    };
    Ok(Statistics {
        connections: counter(1)?,
        packets_in: counter(2)?,
        packets_out: counter(3)?,
        bytes_in: counter(4)?,
        bytes_out: counter(5)?,
        connections_per_second: counter(6)?,
        packets_in_per_second: counter(7)?,
        packets_out_per_second: counter(8)?,
        bytes_in_per_second: counter(9)?,
        bytes_out_per_second: counter(10)?,
    })
}

fn family_of(value: u16) -> Result<Family, DecodeError> {
    match value {
        number::INET => Ok(Family::V4),
        number::INET6 => Ok(Family::V6),
        other => Err(DecodeError::Unsupported { name: "address family", value: other.into() }),
    }
}

fn address(bytes: [u8; 16], family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(bytes)),
    }
}

pub(super) fn missing(name: &'static str) -> DecodeError {
    DecodeError::Missing { name }
}

/// One level of attributes.
pub(super) struct Attributes(GenlBuffer<u16, Buffer>);

impl Attributes {
    pub(super) fn parse(what: &'static str, bytes: &[u8]) -> Result<Self, DecodeError> {
        GenlBuffer::from_bytes_with_input(&mut Cursor::new(bytes), bytes.len())
            .map(Self)
            .map_err(|source| DecodeError::Attributes { what, source })
    }

    pub(super) fn get(&self, kind: u16) -> Option<&[u8]> {
        let found = self.0.iter().find(|attribute| *attribute.nla_type().nla_type() == kind)?;
        Some(found.nla_payload().as_ref())
    }

    pub(super) fn nested(&self, kind: u16, what: &'static str) -> Result<Self, DecodeError> {
        Self::parse(what, self.get(kind).ok_or(missing(what))?)
    }

    pub(super) fn optional<const N: usize>(
        &self,
        kind: u16,
        name: &'static str,
    ) -> Result<Option<[u8; N]>, DecodeError> {
        let Some(payload) = self.get(kind) else { return Ok(None) };
        let wrong = DecodeError::Length { name, length: payload.len() };
        payload.try_into().map(Some).map_err(|_| wrong)
    }

    pub(super) fn required<const N: usize>(
        &self,
        kind: u16,
        name: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        self.optional(kind, name)?.ok_or(missing(name))
    }

    fn u16(&self, kind: u16, name: &'static str) -> Result<u16, DecodeError> {
        self.required(kind, name).map(u16::from_ne_bytes)
    }

    pub(super) fn u32(&self, kind: u16, name: &'static str) -> Result<u32, DecodeError> {
        self.required(kind, name).map(u32::from_ne_bytes)
    }

    /// Up to the first NUL. The kernel's names are ASCII; what is not is shown as well as can be.
    pub(super) fn string(&self, kind: u16) -> Option<String> {
        let payload = self.get(kind)?;
        let text = payload.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    }
}
