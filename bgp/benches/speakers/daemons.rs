//! The daemons, each asked for its own count of routes in its own way.

use std::{
    cell::RefCell,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    DAEMON_ASN, FEEDER, FEEDER_ASN, PORT, RECEIVER, RECEIVER_ASN,
    child::{self, Process},
    neighbour::HOLD_TIME,
};

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lvsd,
    Bird,
    Frr,
    Gobgp,
}

enum Running {
    Own(RefCell<Process>),
    Other { child: Child, directory: tempfile::TempDir },
}

/// A daemon that runs; killed when dropped.
pub(crate) struct Daemon {
    pub(crate) kind: Kind,
    running: Running,
}

/// Starts all four and waits until each can be asked.
pub(crate) fn start_all() -> Vec<Daemon> {
    let own =
        Daemon { kind: Kind::Lvsd, running: Running::Own(RefCell::new(Process::start(&["speaker", "0"]))) };
    let mut all = vec![own];
    all.extend([Kind::Bird, Kind::Frr, Kind::Gobgp].map(Daemon::other));
    for daemon in &all {
        daemon.wait_for(0);
    }
    all
}

impl Daemon {
    fn other(kind: Kind) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = command(kind, directory.path());
        let output = fs::File::create(directory.path().join("output")).expect("a file");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("the same file")).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        Self { kind, running: Running::Other { child, directory } }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Lvsd => "lvsd-bgp",
            Kind::Bird => "BIRD",
            Kind::Frr => "FRR",
            Kind::Gobgp => "GoBGP",
        }
    }

    /// What it says that it is.
    pub(crate) fn version(&self) -> String {
        let (program, argument) = match self.kind {
            Kind::Lvsd => return concat!("lvsd-bgp ", env!("CARGO_PKG_VERSION")).to_owned(),
            Kind::Bird => ("bird", "--version"),
            Kind::Frr => ("/usr/lib/frr/bgpd", "--version"),
            Kind::Gobgp => ("gobgpd", "--version"),
        };
        let output = Command::new(program).arg(argument).output().expect("it is installed");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(address(self.kind)), PORT)
    }

    fn id(&self) -> u32 {
        match &self.running {
            Running::Own(process) => process.borrow().id(),
            Running::Other { child, .. } => child.id(),
        }
    }

    /// Octets in memory.
    pub(crate) fn resident(&self) -> f64 {
        resident(self.id())
    }

    /// Its own count of the routes in its table; `None` while it cannot be asked.
    pub(crate) fn count(&self) -> Option<usize> {
        let text = match &self.running {
            Running::Own(process) => return process.borrow_mut().ask("learned").first().copied(),
            Running::Other { directory, .. } => match self.kind {
                Kind::Lvsd => return None,
                Kind::Bird => ask_bird(&directory.path().join("ctl"), "show route count")?,
                Kind::Frr => {
                    ask_frr(&directory.path().join("bgpd.vty"), "show bgp ipv4 unicast summary json")?
                }
                Kind::Gobgp => gobgp(&["global", "rib", "summary", "-a", "ipv4", "-j"])?,
            },
        };
        match self.kind {
            Kind::Lvsd => None,
            Kind::Bird => text.lines().find(|line| line.contains("in table master4")).and_then(first_number),
            // Of all neighbours, the one that has told most.
            Kind::Frr => text.contains("ribCount").then(|| after(&text, "\"pfxRcd\":").max().unwrap_or(0)),
            Kind::Gobgp => {
                text.contains('{').then(|| after(&text, "\"num_destination\":").max().unwrap_or(0))
            }
        }
    }

    /// Waits until it counts exactly so many; when that was seen.
    pub(crate) fn wait_for(&self, wanted: usize) -> Instant {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let count = self.count();
            let now = Instant::now();
            if count == Some(wanted) {
                return now;
            }
            assert!(now < deadline, "{} has {count:?} routes instead of {wanted}", self.name());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A word to BIRD.
    pub(crate) fn tell_bird(&self, command: &str) {
        if let Running::Other { directory, .. } = &self.running {
            ask_bird(&directory.path().join("ctl"), command).expect("BIRD answers");
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Running::Other { child, .. } = &mut self.running {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// Octets of a process that are in memory.
pub(crate) fn resident(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024.0
}

const fn address(kind: Kind) -> Ipv4Addr {
    match kind {
        Kind::Lvsd => child::ADDRESS,
        Kind::Bird => Ipv4Addr::new(10, 99, 2, 1),
        Kind::Frr => Ipv4Addr::new(10, 99, 2, 2),
        Kind::Gobgp => Ipv4Addr::new(10, 99, 2, 3),
    }
}

/// Of `1007-5 of 5 routes for 5 networks in table master4`, whose code is not on every line.
fn first_number(text: &str) -> Option<usize> {
    text.split_whitespace().next()?.rsplit('-').next()?.parse().ok()
}

/// Every number that follows this word.
fn after<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.split(word).skip(1).filter_map(|rest| {
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

fn read_until(mut stream: &UnixStream, end: impl Fn(&[u8]) -> bool) -> Option<String> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    while !end(&all) {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        all.extend_from_slice(&buffer[..count]);
    }
    Some(String::from_utf8_lossy(&all).into_owned())
}

fn ask_bird(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let over = |all: &[u8]| {
        let last = all.strip_suffix(b"\n").unwrap_or_default().rsplit(|octet| *octet == b'\n').next();
        last.is_some_and(|line| line.get(4) == Some(&b' ') && matches!(line[0], b'0' | b'8' | b'9'))
    };
    read_until(&stream, over)?;
    writeln!(stream, "{command}").ok()?;
    read_until(&stream, over)
}

fn ask_frr(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(format!("{command}\0").as_bytes()).ok()?;
    read_until(&stream, |all| all.len() >= 4 && all[all.len() - 4..].starts_with(&[0; 3]))
}

/// What GoBGP's command line prints.
pub(crate) fn gobgp(words: &[&str]) -> Option<String> {
    let output = Command::new("gobgp").args(words).stderr(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

const NEIGHBOURS: [(&str, Ipv4Addr, u32); 2] =
    [("feeder", FEEDER, FEEDER_ASN), ("receiver", RECEIVER, RECEIVER_ASN)];

fn command(kind: Kind, directory: &Path) -> Command {
    let own = address(kind).to_string();
    let file = directory.join("conf");
    let (text, mut command) = match kind {
        Kind::Lvsd | Kind::Bird => (bird(&own), Command::new("bird")),
        Kind::Frr => (frr(&own), Command::new("/usr/lib/frr/bgpd")),
        Kind::Gobgp => (gobgpd(&own), Command::new("gobgpd")),
    };
    fs::write(&file, text).expect("the configuration is written");
    match kind {
        Kind::Lvsd | Kind::Bird => {
            command.arg("-f").arg("-c").arg(&file).arg("-s").arg(directory.join("ctl"));
            command.arg("-P").arg(directory.join("pid"));
        }
        Kind::Frr => {
            command.args([
                "-Z",
                "-n",
                "-S",
                "-P",
                "0",
                "-p",
                &PORT.to_string(),
                "-l",
                &own,
                "--log",
                "stdout",
            ]);
            command
                .arg("-f")
                .arg(&file)
                .arg("-i")
                .arg(directory.join("pid"))
                .arg("--vty_socket")
                .arg(directory);
        }
        Kind::Gobgp => {
            command.arg("-f").arg(&file).args(["--pprof-disable", "--api-hosts=127.0.0.1:50051"]);
        }
    }
    command
}

fn bird(own: &str) -> String {
    let mut text = format!(
        "log stderr all;\nrouter id {own};\nprotocol device {{ scan time 3600; }}\n\
         protocol static vip {{ disabled; ipv4; route 198.51.100.1/32 blackhole; }}\n"
    );
    for (name, address, asn) in NEIGHBOURS {
        text += &format!(
            "protocol bgp {name} {{ local {own} port {PORT} as {DAEMON_ASN}; neighbor {address} as {asn}; \
             strict bind; passive; multihop; hold time 0; ipv4 {{ import all; {} next hop self; }}; }}\n",
            if name == "receiver" { "export all;" } else { "export none;" }
        );
    }
    text
}

fn frr(own: &str) -> String {
    let mut text =
        format!("log stdout\nrouter bgp {DAEMON_ASN}\n bgp router-id {own}\n no bgp ebgp-requires-policy\n");
    for (name, address, asn) in NEIGHBOURS {
        text += &format!(
            " neighbor {address} remote-as {asn}\n neighbor {address} passive\n neighbor {address} timers 0 0\n \
             neighbor {address} ebgp-multihop 2\n neighbor {address} disable-connected-check\n \
             neighbor {address} advertisement-interval 0\n"
        );
        if name == "feeder" {
            text += &format!(" neighbor {address} route-map NOTHING out\n");
        }
    }
    text + "!\nroute-map NOTHING deny 10\n"
}

fn gobgpd(own: &str) -> String {
    let mut text = format!(
        "[global.config]\nas = {DAEMON_ASN}\nrouter-id = \"{own}\"\nport = {PORT}\nlocal-address-list = [\"{own}\"]\n"
    );
    for (_, address, asn) in NEIGHBOURS {
        text += &format!(
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{address}\"\npeer-as = {asn}\n\
             [neighbors.transport.config]\npassive-mode = true\nlocal-address = \"{own}\"\n\
             [neighbors.timers.config]\nhold-time = {HOLD_TIME}\nkeepalive-interval = {}\n\
             [neighbors.ebgp-multihop.config]\nenabled = true\nmultihop-ttl = 2\n\
             [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"ipv4-unicast\"\n",
            HOLD_TIME / 3
        );
    }
    text
}
