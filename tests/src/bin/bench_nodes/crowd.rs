//! All nodes at once: one process that answers on each node's address, tells that node's blocks, and moves one when it is
//! asked to.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bgp::wire::{
    Announcement, Capability, Extra, Framer, NextHop, Open, encode_announce, encode_end_of_rib,
    encode_keepalive, encode_withdraw,
};
use bgp::{Family, Path, Prefix};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What the program is told when it is to be all nodes.
pub(crate) const WORD: &str = "crowd";

/// Nodes, and blocks of each.
pub(crate) const NODES: u32 = 1_000;
pub(crate) const BLOCKS: u32 = 4;

/// Their AS and their port for BGP; where they are told what to do.
pub(crate) const ASN: u32 = 64_512;
pub(crate) const PORT: u16 = 1_791;
pub(crate) const ORDERS: u16 = 1_792;

/// Hold time that they offer, and how often they say that they live.
const HOLD_TIME: u16 = 240;
const ALIVE: Duration = Duration::from_secs(30);

/// The address of a node: 10.3.4.0 and those that follow.
pub(crate) const fn address(node: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a03_0400 + node)
}

/// A block, the first of 10.68.0.0/14.
pub(crate) fn block(number: u32) -> Result<Prefix> {
    let address = Ipv4Addr::from_bits(0x0a44_0000 + (number << 6));
    Prefix::new(address.into(), 26).with_context(|| format!("block {number}"))
}

/// What is to be said to each node's neighbour.
type Mouths = Arc<Mutex<HashMap<u32, mpsc::Sender<Vec<u8>>>>>;

/// Is all nodes, for ever.
pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mouths = Mouths::default();
        let sessions = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        let orders = TcpListener::bind((Ipv4Addr::LOCALHOST, ORDERS)).await?;
        loop {
            // Both can be dropped: a connection that was not accepted waits.
            tokio::select! {
                session = sessions.accept() => {
                    let (stream, _) = session?;
                    tokio::spawn(node(stream, Arc::clone(&mouths)));
                }
                order = orders.accept() => {
                    let (stream, _) = order?;
                    tokio::spawn(obey(stream, Arc::clone(&mouths)));
                }
            }
        }
    })
}

/// A line `BLOCK FROM TO` moves a block from a node to another.
async fn obey(stream: TcpStream, mouths: Mouths) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let numbers: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [number, from, to] = numbers[..] else { return };
        let Ok(block) = block(number) else { return };
        let mut gone = Vec::new();
        if encode_withdraw(&mut gone, Family::Ipv4, &[block]).is_err() {
            return;
        }
        for (node, words) in [(to, told(address(to), &[block])), (from, gone)] {
            let mouth = mouths.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned();
            if let Some(mouth) = mouth {
                drop(mouth.send(words).await);
            }
        }
    }
}

/// An UPDATE that tells blocks.
fn told(own: Ipv4Addr, blocks: &[Prefix]) -> Vec<u8> {
    let announcement = Announcement {
        as_path: Path::sequence(vec![ASN]),
        next_hop: NextHop::V4(own),
        med: None,
        local_pref: None,
        communities: &[],
        large_communities: &[],
        extra: Extra::default(),
    };
    let mut out = Vec::new();
    // Four blocks fit.
    encode_announce(&mut out, &announcement, blocks, true).map_or_else(|_| Vec::new(), |_| out)
}

/// One node, for as long as the connection lasts.
async fn node(mut stream: TcpStream, mouths: Mouths) {
    let Ok(IpAddr::V4(own)) = stream.local_addr().map(|address| address.ip()) else { return };
    let number = own.to_bits() - address(0).to_bits();
    let (mouth, mut words) = mpsc::channel(16);
    mouths.lock().unwrap_or_else(PoisonError::into_inner).insert(number, mouth);
    let open = Open {
        my_as: u16::try_from(ASN).unwrap_or(23_456),
        hold_time: HOLD_TIME,
        router_id: own,
        capabilities: vec![Capability::family(Family::Ipv4), Capability::FourOctetAsn(ASN)],
    };
    let mut out = Vec::new();
    if open.encode(&mut out).is_err() {
        return;
    }
    encode_keepalive(&mut out);
    let blocks: Vec<Prefix> = (0..BLOCKS).filter_map(|index| block(number * BLOCKS + index).ok()).collect();
    out.extend(told(own, &blocks));
    encode_end_of_rib(&mut out, Family::Ipv4);
    let mut framer = Framer::new();
    while stream.write_all(&out).await.is_ok() {
        out.clear();
        // Whatever comes, and however long nothing does, it is answered with a sign of life. What is read is not looked at.
        tokio::select! {
            said = words.recv() => out.extend(said.unwrap_or_default()),
            read = timeout(ALIVE, stream.read(framer.space())) => match read {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(count)) => {
                    framer.filled(count);
                    while let Ok(Some(_)) = framer.next_frame(false) {}
                    encode_keepalive(&mut out);
                }
                Err(_) => encode_keepalive(&mut out),
            }
        }
    }
}
