//! Single settings that several tables share: durations, ports, names, addresses.

use super::walk::{Node, Section, shortened};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a port must be, in words.
pub(super) const PORT: &str = "a port 1-65535";

/// What a weight must be, in words.
pub(crate) const WEIGHT: &str = "a weight 0-65535";

/// The greatest weight that is taken. The kernel has `INT_MAX`, but its schedulers multiply weights with
/// connection counts; 16 bits are also what `ipvsadm` takes.
pub(crate) const MAX_WEIGHT: u32 = 65_535;

/// What a limit of connections must be, in words.
pub(crate) const CONNECTIONS: &str = "a number of connections 0-4294967295";

/// What is wrong with such limits.
pub(crate) const LOWER_ABOVE_UPPER: &str = "lower_threshold is above upper_threshold";

/// The longest name of a service or peer: it becomes a metric's label and a column of a table.
const MAX_NAME: usize = 64;

/// A port that something can listen on.
pub(super) fn port(node: &Node<'_>) -> Option<u16> {
    node.integer(PORT, 1..=u32::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
}

/// A duration within limits, such as `"200ms"`.
pub(super) fn duration(node: &Node<'_>, limits: RangeInclusive<Duration>) -> Option<Duration> {
    let (least, most) = (in_words(*limits.start()), in_words(*limits.end()));
    let expected = format!("a duration from {least} to {most}, such as \"200ms\", \"2s\", \"1m\" or \"1h\"");
    node.parsed(&expected, |text| read_duration(text).filter(|duration| limits.contains(duration)))
}

/// The duration at `key`, or its default.
pub(super) fn duration_or(
    section: &Section<'_>,
    key: &str,
    limits: RangeInclusive<Duration>,
    default: Duration,
) -> Duration {
    section.get(key).and_then(|node| duration(&node, limits)).unwrap_or(default)
}

/// Reads a duration as the configuration spells it: a whole number and `ms`, `s`, `m` or `h`.
pub fn read_duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = digits.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// A duration as it is written in the configuration.
fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (duration.subsec_millis(), seconds % 60, seconds % 3600) {
        (1.., ..) => format!("{}ms", duration.as_millis()),
        (0, 0, 0) if seconds > 0 => format!("{}h", seconds / 3600),
        (0, 0, 1..) => format!("{}m", seconds / 60),
        (0, ..) => format!("{seconds}s"),
    }
}

/// true or false.
pub(super) fn boolean(node: &Node<'_>) -> Option<bool> {
    node.as_boolean().or_else(|| {
        node.unexpected("true or false");
        None
    })
}

/// Whether a service or a peer can have this name: it stands in labels, logs and command lines.
pub(super) fn is_name(name: &str, upper_case: bool) -> bool {
    let first =
        |c: char| c.is_ascii_digit() || c.is_ascii_lowercase() || (upper_case && c.is_ascii_uppercase());
    name.len() <= MAX_NAME
        && name.starts_with(first)
        && name.chars().all(|c| first(c) || matches!(c, '_' | '.' | '-'))
}

/// An address with a port that is not 0.
pub(super) fn port_address(node: &Node<'_>, expected: &str) -> Option<SocketAddr> {
    node.parsed(expected, |text| text.parse().ok().filter(|address: &SocketAddr| address.port() > 0))
}

/// An address, never an IPv4 address in the guise of an IPv6 one: the kernel takes the two for different.
pub(super) fn address(node: &Node<'_>, expected: &str) -> Option<IpAddr> {
    let address: IpAddr = node.parsed(expected, |text| text.parse().ok())?;
    match refusal(address) {
        Some(reason) => {
            node.refused(expected, &reason);
            None
        }
        None => Some(address),
    }
}

/// Why an address can be no host's, if it cannot.
fn refusal(address: IpAddr) -> Option<String> {
    let mapped = match address {
        IpAddr::V6(address) => address.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    if let Some(inner) = mapped {
        return Some(format!("an IPv4-mapped address is written as {inner}"));
    }
    if address.is_multicast() {
        return Some("a multicast address is no host's".to_owned());
    }
    if address.is_unspecified() {
        return Some("the unspecified address is no host's".to_owned());
    }
    match address {
        IpAddr::V4(address) if address.is_broadcast() => {
            Some("the broadcast address is no host's".to_owned())
        }
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            Some("a link-local address means nothing without its interface".to_owned())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// An address for clients to connect to.
pub(super) fn vip(node: &Node<'_>) -> Option<IpAddr> {
    const EXPECTED: &str = "an IPv4 or IPv6 address that clients can reach";
    let vip = address(node, EXPECTED)?;
    if vip.is_loopback() {
        node.refused(EXPECTED, "a loopback address never leaves its host");
        return None;
    }
    Some(vip)
}

/// The name of a host in the form that it is compared in: lower case, or an address as it is usually written.
///
/// # Errors
/// What was found instead, in words.
pub(crate) fn host(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return match refusal(address) {
            Some(reason) => Err(format!("{text:?} ({reason})")),
            None => Ok(address.to_string()),
        };
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // No top-level domain is a number; "10.0.0.300" or "10.0.0" is an address gone wrong (RFC 3696, section 2).
    let number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if text.len() > 253 || number || !text.split('.').all(label) {
        return Err(format!("{:?}", shortened(text)));
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(read_duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(read_duration("0s"), Some(Duration::ZERO));
        assert_eq!(read_duration("1m"), Some(Duration::from_secs(60)));
        assert_eq!(read_duration("24h"), Some(Duration::from_secs(86_400)));
        for text in ["", "2", "s", "2 s", "-2s", "1.5s", "2S", "1h30m", "99999999999999999h", "2sec", "٣s"] {
            assert_eq!(read_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn limits_are_said_as_they_are_written() {
        for text in ["1ms", "1500ms", "0s", "1s", "90s", "2m", "1h", "24h"] {
            assert_eq!(in_words(read_duration(text).expect("a duration")), text);
        }
    }

    #[test]
    fn hosts_are_compared_in_one_form() {
        assert_eq!(host("RS1.Example.org"), Ok("rs1.example.org".to_owned()));
        assert_eq!(host("FD00:0::11"), Ok("fd00::11".to_owned()));
        assert_eq!(host("10.0.0.11"), Ok("10.0.0.11".to_owned()));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in
            ["", ".", "a..b", "-a", "a-", "a b", "10.0.0.300", "10.0.0", "rs1.", "ré", "a\n", "0.0.0.0"]
        {
            assert!(host(text).is_err(), "{text:?}");
        }
        assert!(host(&"a".repeat(64)).is_err());
        assert!(host(&["a"; 130].join(".")).is_err());
        let mapped = host("::ffff:10.0.0.1").expect_err("an IPv4-mapped address is refused");
        assert!(mapped.contains("10.0.0.1"), "{mapped}");
    }
}
