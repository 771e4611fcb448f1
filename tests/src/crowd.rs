//! Many nodes of a cluster at once: one process, this one, speaks BGP as all of them. Each has an address and blocks of its
//! own, takes one session, and lives for as long as that lasts.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as threads};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, Result};
use bgp::wire::{
    Announcement, Capability, Context, Framer, Message, NextHop, Open, encode_announce, encode_end_of_rib,
    encode_keepalive, encode_withdraw,
};
use bgp::{Family, Path, Prefix};
use nix::sys::resource::{Resource, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::host::Host;

/// The AS of all nodes.
pub const ASN: u32 = 64_512;

/// The balancer's own end of the sessions, in the nodes' network of this length.
pub const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 1);
const LENGTH: u8 = 16;

/// The IP pool that all blocks are of.
pub const POOL: &str = "10.68.0.0/14";

const PORT: u16 = 179;

/// What they offer: BIRD's own.
const HOLD_TIME: u16 = 240;

/// How long a node is silent at most: a third of the shortest hold time that is asked of it here (RFC 4271 §4.4).
const ALIVE: Duration = Duration::from_secs(10);

/// Descriptors of the lab's processes, as many as lvsd's unit lets it have: each session is one, at both ends.
const DESCRIPTORS: u64 = 65_536;

/// What a balancer's host is set to, as it is installed.
const SYSCTLS: &str = include_str!("../../systemd/sysctl.d/60-lvsd-balancer.conf");

/// Nodes with the numbers from 0, each with as many blocks. They go with this process.
#[derive(Clone, Debug)]
pub struct Crowd {
    nodes: u32,
    blocks: u32,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What is to be said to each node's neighbour.
    mouths: Mutex<HashMap<u32, mpsc::Sender<Vec<u8>>>>,
    confirmed: AtomicUsize,
    told: AtomicUsize,
}

/// The address of a node: 10.3.4.0 and those that follow.
pub fn address(node: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a03_0400 + node)
}

/// A block of [`POOL`].
fn block(number: u32) -> Result<Prefix> {
    let address = Ipv4Addr::from_bits(0x0a44_0000 + (number << 6));
    Prefix::new(address.into(), 26).with_context(|| format!("block {number}"))
}

impl Crowd {
    /// Starts all nodes on one host, and gives `balancer` an address in their network.
    pub fn start(host: &Host, balancer: &Host, nodes: u32, blocks: u32) -> Result<Self> {
        setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS).context("room for descriptors")?;
        make_room_for_neighbours()?;
        balancer.run(&["ip", "address", "add", &format!("{BALANCER}/{LENGTH}"), "dev", "eth0"])?;
        let mut lines = String::new();
        (0..nodes).try_for_each(|node| writeln!(lines, "address add {}/{LENGTH} dev eth0", address(node)))?;
        let file = host.files().join("addresses");
        fs::write(&file, lines)?;
        host.run(&["ip", "-batch", &file.display().to_string()])?;
        let crowd = Self { nodes, blocks, shared: Arc::default() };
        let (ready, is_ready) = threads::channel();
        let (its, host) = (crowd.clone(), host.clone());
        std::thread::spawn(move || host.enter(|| its.serve(&ready)));
        is_ready.recv().context("the nodes' thread has ended")??;
        Ok(crowd)
    }

    /// The nodes as `[nodes]` names them, from the first on.
    pub fn named(&self, count: u32) -> String {
        let node =
            |node| format!("[[nodes.node]]\nname = \"node{node}\"\naddresses = [\"{}\"]\n", address(node));
        (0..count).map(node).collect()
    }

    /// Sessions that have come up so far, as they see it: the balancer has confirmed their OPEN. As many as nodes when each has kept
    /// its first.
    pub fn confirmed(&self) -> usize {
        self.shared.confirmed.load(Ordering::SeqCst)
    }

    /// Routes that they were told.
    pub fn told(&self) -> usize {
        self.shared.told.load(Ordering::SeqCst)
    }

    /// The first block of a node.
    pub fn first_block(&self, node: u32) -> Result<Prefix> {
        block(node * self.blocks)
    }

    /// Moves a node's first block to another: that one tells it first.
    pub fn move_first_block(&self, from: u32, to: u32) -> Result<()> {
        let block = self.first_block(from)?;
        let mut gone = Vec::new();
        encode_withdraw(&mut gone, Family::Ipv4, &[block])?;
        for (node, words) in [(to, told(address(to), &[block])?), (from, gone)] {
            let mouths = self.shared.mouths.lock().unwrap_or_else(PoisonError::into_inner);
            let mouth = mouths.get(&node).cloned().with_context(|| format!("node {node} has no session"))?;
            drop(mouths);
            mouth.blocking_send(words).with_context(|| format!("node {node} has no session any more"))?;
        }
        Ok(())
    }

    /// Is all nodes, for ever. Whoever waits until they are ready is told of an error; later the sessions tell.
    fn serve(&self, ready: &threads::Sender<Result<()>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime.and_then(|runtime| runtime.block_on(self.accept(ready)));
        drop(ready.send(outcome.context("the nodes listen")));
    }

    async fn accept(&self, ready: &threads::Sender<Result<()>>) -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        drop(ready.send(Ok(())));
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(self.clone().node(stream));
        }
    }

    /// One node, for as long as the connection lasts.
    async fn node(self, mut stream: TcpStream) {
        let Ok(IpAddr::V4(own)) = stream.local_addr().map(|address| address.ip()) else { return };
        let number = own.to_bits() - address(0).to_bits();
        let (mouth, mut words) = mpsc::channel(16);
        self.shared.mouths.lock().unwrap_or_else(PoisonError::into_inner).insert(number, mouth);
        let Ok(mut out) = self.first_words(number, own) else { return };
        let (mut framer, mut is_confirmed) = (Framer::new(), false);
        while stream.write_all(&out).await.is_ok() {
            out.clear();
            // Whatever comes, and however long nothing does, it is answered with a sign of life. Cancel-safe: what recv and read
            // have not returned is still there.
            tokio::select! {
                said = words.recv() => match said {
                    Some(said) => out.extend(said),
                    // Another session has taken this one's place.
                    None => return,
                },
                read = timeout(ALIVE, stream.read(framer.space())) => {
                    if let Ok(read) = read {
                        let Ok(count @ 1..) = read else { return };
                        framer.filled(count);
                        if self.hear(&mut framer) && !std::mem::replace(&mut is_confirmed, true) {
                            self.shared.confirmed.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    encode_keepalive(&mut out);
                }
            }
        }
    }

    /// OPEN, KEEPALIVE, the blocks, and their end.
    fn first_words(&self, number: u32, own: Ipv4Addr) -> Result<Vec<u8>> {
        let open = Open {
            my_as: u16::try_from(ASN)?,
            hold_time: HOLD_TIME,
            router_id: own,
            capabilities: vec![Capability::family(Family::Ipv4), Capability::FourOctetAsn(ASN)],
        };
        let mut out = Vec::new();
        open.encode(&mut out)?;
        encode_keepalive(&mut out);
        let blocks = (0..self.blocks).map(|index| block(number * self.blocks + index));
        out.extend(told(own, &blocks.collect::<Result<Vec<_>>>()?)?);
        encode_end_of_rib(&mut out, Family::Ipv4);
        Ok(out)
    }

    /// Counts the routes that it is told. Whether a KEEPALIVE was among what it hears.
    fn hear(&self, framer: &mut Framer) -> bool {
        let mut is_alive = false;
        while let Ok(Some(frame)) = framer.next_frame(false) {
            match Message::decode(frame, Context::new(true, false)) {
                Ok(Message::Keepalive) => is_alive = true,
                Ok(Message::Update(update)) => {
                    let routes: usize = update.announced().map(|nlri| nlri.iter().count()).sum();
                    self.shared.told.fetch_add(routes, Ordering::SeqCst);
                }
                _ => {}
            }
        }
        is_alive
    }

    /// How many there are, and how many routes they tell.
    pub fn size(&self) -> (u32, u32) {
        (self.nodes, self.nodes * self.blocks)
    }
}

/// An UPDATE that tells blocks.
fn told(own: Ipv4Addr, blocks: &[Prefix]) -> Result<Vec<u8>> {
    let announcement = Announcement::new(Path::sequence(vec![ASN]), NextHop::V4(own));
    let mut out = Vec::new();
    encode_announce(&mut out, &announcement, blocks, true)?;
    Ok(out)
}

/// Gives the kernel's tables of neighbours, which all hosts of the lab share, the size that they have on a balancer. On a
/// machine whose own kernel the lab is in they are that machine's, and not to be seen.
fn make_room_for_neighbours() -> Result<()> {
    let sizes = SYSCTLS.lines().filter(|line| line.contains(".neigh.default.gc_thresh"));
    for (key, value) in sizes.filter_map(|line| line.split_once(" = ")) {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        if fs::exists(&path)? {
            fs::write(&path, value).with_context(|| format!("{path} = {value}"))?;
        }
    }
    Ok(())
}
