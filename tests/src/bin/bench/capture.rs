//! A capture of a balancer's BGP sessions, and the withdrawals in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::host::{Host, Process};
use lab::site::LIMIT;
use lab::wait::wait_until;

use crate::clock::Moment;

/// Lengths of headers: of the file and of a packet in it (pcap-savefile(5)), of Ethernet, IPv6 and BGP.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const ETHERNET: usize = 14;
const IPV6: usize = 40;
const BGP: usize = 19;

/// How long the kernel may keep packets before tcpdump gets them (its buffer timeout is 1 s); what it still has when
/// tcpdump ends is lost.
const BLOCK: Duration = Duration::from_millis(1500);

/// The file's magic number for times in microseconds, in this machine's byte order.
const MICROSECONDS: u32 = 0xa1b2_c3d4;

const UPDATE: u8 = 2;
const MP_UNREACH_NLRI: u8 = 15;
const EXTENDED_LENGTH: u8 = 0x10;

/// A capture under way.
#[derive(Debug)]
pub(crate) struct Capture {
    process: Process,
    file: PathBuf,
}

/// A VIP that a router was told to forget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Withdrawal {
    /// When the packet was handed to the interface.
    pub(crate) at: Moment,
    /// Who said it.
    pub(crate) from: IpAddr,
    /// The router.
    pub(crate) to: IpAddr,
    /// Which VIP.
    pub(crate) vip: IpAddr,
}

impl Capture {
    /// Starts it on the host's eth0.
    pub(crate) fn start(host: &Host) -> Result<Self> {
        let file = host.files().join("bgp.pcap");
        let mut command = Command::new("tcpdump");
        command
            .args(["-i", "eth0", "-n", "-U", "-s", "0", "-Z", "root", "-w"])
            .arg(&file)
            .args(["tcp", "port", "179"]);
        let process = host.spawn("tcpdump", command)?;
        let is_there = || std::fs::metadata(&file).is_ok_and(|file| file.len() >= FILE_HEADER as u64);
        wait_until("the capture has begun", LIMIT, is_there)?;
        Ok(Self { process, file })
    }

    /// Ends it and gives the withdrawals in it, in their order.
    pub(crate) fn withdrawals(mut self) -> Result<Vec<Withdrawal>> {
        std::thread::sleep(BLOCK);
        self.process.terminate(Duration::from_secs(5))?;
        let bytes = std::fs::read(&self.file).with_context(|| format!("read {}", self.file.display()))?;
        ensure!(word(&bytes, 0) == Some(MICROSECONDS), "{} is no capture", self.file.display());
        let mut found = Vec::new();
        let mut rest = &bytes[FILE_HEADER..];
        while let (Some(seconds), Some(micros), Some(length)) = (word(rest, 0), word(rest, 4), word(rest, 8))
        {
            let end = RECORD_HEADER + length as usize;
            let Some(packet) = rest.get(RECORD_HEADER..end) else { break };
            let at = Moment::captured(seconds, micros);
            if let Some((from, to, text)) = segment(packet) {
                let vips = withdrawn(text);
                found.extend(vips.into_iter().map(|vip| Withdrawal { at, from, to, vip }));
            }
            rest = &rest[end..];
        }
        Ok(found)
    }
}

/// A number of the capture file, in this machine's byte order.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

/// Who, to whom, and the text of a TCP segment.
fn segment(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let packet = packet.get(ETHERNET..)?;
    let (from, to, header, length) = if packet.first()? >> 4 == 4 {
        let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
        (
            IpAddr::V4(address(12)?),
            IpAddr::V4(address(16)?),
            usize::from(packet[0] & 15) * 4,
            short(packet, 2)?,
        )
    } else {
        let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
        (IpAddr::V6(address(8)?), IpAddr::V6(address(24)?), IPV6, IPV6 + short(packet, 4)?)
    };
    let tcp = packet.get(header..length)?;
    Some((from, to, tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?))
}

/// The VIPs that the BGP messages in a segment withdraw. A speaker writes messages whole, so that a segment begins
/// with one.
fn withdrawn(mut text: &[u8]) -> Vec<IpAddr> {
    let mut vips = Vec::new();
    while text.starts_with(&[0xff; 16]) {
        let Some(message) =
            short(text, 16).filter(|length| *length >= BGP).and_then(|length| text.get(..length))
        else {
            break;
        };
        if message[18] == UPDATE {
            vips.extend(of_update(&message[BGP..]).unwrap_or_default());
        }
        text = &text[message.len()..];
    }
    vips
}

/// RFC 4271 section 4.3 and RFC 4760 section 4.
fn of_update(body: &[u8]) -> Option<Vec<IpAddr>> {
    let length = short(body, 0)?;
    let mut vips = prefixes(body.get(2..2 + length)?);
    let body = &body[2 + length..];
    let mut attributes = body.get(2..2 + short(body, 0)?)?;
    while let [flags, kind, ..] = *attributes {
        let (header, length) = if flags & EXTENDED_LENGTH == 0 {
            (3, usize::from(*attributes.get(2)?))
        } else {
            (4, short(attributes, 2)?)
        };
        let value = attributes.get(header..header + length)?;
        if kind == MP_UNREACH_NLRI {
            vips.extend(prefixes(value.get(3..)?));
        }
        attributes = &attributes[header + length..];
    }
    Some(vips)
}

/// The host prefixes of a list; VIPs are nothing else.
fn prefixes(mut list: &[u8]) -> Vec<IpAddr> {
    let mut vips = Vec::new();
    while let Some((bits, rest)) = list.split_first() {
        let Some((prefix, rest)) = rest.split_at_checked(usize::from(*bits).div_ceil(8)) else { break };
        let v4 = <[u8; 4]>::try_from(prefix).map(IpAddr::from);
        let v6 = <[u8; 16]>::try_from(prefix).map(IpAddr::from);
        vips.extend(v4.or(v6));
        list = rest;
    }
    vips
}
