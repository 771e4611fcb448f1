//! A neighbour that is made of this project's codec and a blocking socket: it feeds daemons and hears them.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use bgp::{
    Family,
    wire::{Capability, Context, Framer, Message, MpReach, MpUnreach, Open, encode_keepalive},
};
use socket2::{Domain, Socket, Type};

/// The hold time that is offered to daemons: longer than any of them is measured. All have 0 configured, which is then the
/// session's, but GoBGP: it takes the hold time as the time that a write may take, and fails to send anything at all at 0.
pub(crate) const HOLD_TIME: u16 = 3600;

/// How long a daemon may take to accept a session.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const CONTEXT: Context = Context::new(true, false);

/// An OPEN after which no KEEPALIVEs follow: nothing but what is measured is on the wire.
pub(crate) fn open(asn: u32, router_id: Ipv4Addr, hold_time: u16) -> Open {
    Open {
        my_as: u16::try_from(asn).unwrap_or(23_456),
        hold_time,
        router_id,
        capabilities: vec![Capability::family(Family::Ipv4), Capability::FourOctetAsn(asn)],
    }
}

/// What an UPDATE does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) announced: usize,
    pub(crate) withdrawn: usize,
    pub(crate) at: Instant,
}

pub(crate) struct Neighbour {
    stream: TcpStream,
    framer: Framer,
}

impl Neighbour {
    /// A session from `local`, dialled again until the daemon takes it.
    pub(crate) fn establish(local: Ipv4Addr, asn: u32, daemon: SocketAddr) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(neighbour) = Self::attempt(local, asn, daemon) {
                return neighbour;
            }
            assert!(Instant::now() < deadline, "{daemon} takes no session from {local}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn attempt(local: Ipv4Addr, asn: u32, daemon: SocketAddr) -> Option<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
        socket.bind(&SocketAddr::new(local.into(), 0).into()).ok()?;
        socket.connect(&daemon.into()).ok()?;
        socket.set_tcp_nodelay(true).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        Self::over(socket.into(), &open(asn, local, HOLD_TIME))
    }

    /// A session over a connection that is there.
    pub(crate) fn over(stream: TcpStream, open: &Open) -> Option<Self> {
        let mut neighbour = Self { stream, framer: Framer::new() };
        let mut out = Vec::new();
        open.encode(&mut out).ok()?;
        encode_keepalive(&mut out);
        neighbour.stream.write_all(&out).ok()?;
        let (mut opened, mut confirmed) = (false, false);
        while !(opened && confirmed) {
            match neighbour.next(|message| match message {
                Message::Open(_) => Some(true),
                Message::Keepalive => Some(false),
                _ => None,
            })? {
                Some(true) => opened = true,
                Some(false) => confirmed = true,
                None => return None,
            }
        }
        Some(neighbour)
    }

    /// What `look` makes of the next message; `None` when the connection is over.
    fn next<T>(&mut self, look: impl FnOnce(Message<'_>) -> T) -> Option<T> {
        loop {
            if let Some(frame) = self.framer.next_frame(false).ok()? {
                return Some(look(Message::decode(frame, CONTEXT).ok()?));
            }
            let count = self.stream.read(self.framer.space()).ok().filter(|count| *count > 0)?;
            self.framer.filled(count);
        }
    }

    pub(crate) fn say(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).expect("the daemon reads");
    }

    /// The next UPDATE that announces or withdraws something; `None` when the session is over.
    pub(crate) fn hear(&mut self) -> Option<Heard> {
        loop {
            if let Some(heard) = self.next(|message| heard(&message))? {
                return Some(heard);
            }
        }
    }
}

/// What an UPDATE announces and withdraws, when it does.
pub(crate) fn heard(message: &Message<'_>) -> Option<Heard> {
    let at = Instant::now();
    let Message::Update(update) = message else { return None };
    let mut announced = update.nlri.iter().count();
    let mut withdrawn = update.withdrawn.iter().count();
    if let Some(MpReach::Known { nlri, .. }) = update.attributes.mp_reach {
        announced += nlri.iter().count();
    }
    if let Some(MpUnreach::Known(nlri)) = update.attributes.mp_unreach {
        withdrawn += nlri.iter().count();
    }
    (announced + withdrawn > 0).then_some(Heard { announced, withdrawn, at })
}
