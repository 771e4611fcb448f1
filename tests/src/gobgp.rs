//! GoBGP on a router, in BIRD's place: gobgpd takes the VIPs from the balancers, FRR's zebra puts them, ECMP, into the kernel.
//!
//! Debian's GoBGP 3.10 panics on what Debian's zebra 8.4 tells of interfaces (slice bounds in `interfaceUpdateBody`), which it
//! does not need for routes: a filter between the two leaves those messages out. GoBGP is never asked by its own client,
//! which times out in a slow kernel; its log and the router's kernel say what is to be known.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bird::Settings;
use crate::frr;
use crate::host::{Host, Process};
use crate::network::{v4, v6};
use crate::wait::wait_until;

/// Octets of a message's head (ZAPI 6): its length, a marker, the version, the VRF, the command.
const HEAD: usize = 10;

/// The first command that is not of interfaces (FRR 8.4, lib/zclient.h, `ZEBRA_ROUTE_ADD`).
const FIRST_OF_ROUTES: u16 = 8;

/// GoBGP on one router, and zebra; they run as long as the lab.
#[derive(Debug)]
pub struct Gobgp {
    host: Host,
    _processes: [Process; 2],
}

impl Gobgp {
    /// Starts zebra, the filter and gobgpd, and waits until gobgpd is through with zebra's greeting.
    pub fn start(host: &Host, settings: &Settings) -> Result<Self> {
        let (zebra, socket) = frr::zebra(host)?;
        let filtered = host.files().join("zserv.filtered");
        let listener = UnixListener::bind(&filtered).context("the filter's socket")?;
        thread::spawn(move || filter(&listener, &socket));
        let file = host.files().join("gobgpd.toml");
        fs::write(&file, configuration(settings, &filtered))
            .with_context(|| format!("write {}", file.display()))?;
        let mut command = Command::new("gobgpd");
        command.arg("-f").arg(&file).args(["--pprof-disable", "--api-hosts=127.0.0.1:50051"]);
        let daemon = host.spawn("gobgpd", command)?;
        let gobgp = Self { host: host.clone(), _processes: [zebra, daemon] };
        let what = format!("gobgpd runs on {}", host.name());
        wait_until(&what, Duration::from_secs(30), || gobgp.log().contains("success to connect to Zebra"))?;
        Ok(gobgp)
    }

    /// The router it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// How often a session with this neighbour came up, and how often it ended.
    pub fn sessions(&self, neighbour: IpAddr) -> [usize; 2] {
        let (log, key) = (self.log(), format!("\"Key\":\"{neighbour}\""));
        ["\"Peer Up\"", "\"Peer Down\""]
            .map(|words| log.lines().filter(|line| line.contains(&key) && line.contains(words)).count())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.host.log("gobgpd")).unwrap_or_default()
    }
}

/// Carries messages both ways between each client and zebra, but for what zebra says of interfaces. It ends with the lab.
fn filter(listener: &UnixListener, zebra: &PathBuf) {
    for client in listener.incoming().map_while(Result::ok) {
        let Ok((there, back)) = UnixStream::connect(zebra).and_then(|there| Ok((there.try_clone()?, there)))
        else {
            continue;
        };
        let Ok(answers) = client.try_clone() else { continue };
        thread::spawn(move || carry(&client, &there, |_| true));
        thread::spawn(move || carry(&back, &answers, |command| command >= FIRST_OF_ROUTES));
    }
}

/// Carries the messages whose command passes, until one end closes.
fn carry(mut from: &UnixStream, mut to: &UnixStream, passes: impl Fn(u16) -> bool) -> io::Result<()> {
    loop {
        let mut message = vec![0; HEAD];
        from.read_exact(&mut message)?;
        let number = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        let (length, command) = (usize::from(number(0)), number(8));
        message.resize(length.max(HEAD), 0);
        from.read_exact(&mut message[HEAD..])?;
        if passes(command) {
            to.write_all(&message)?;
        }
    }
}

/// Sessions with both balancers in both families, which it helps over a restart.
fn configuration(settings: &Settings, zebra: &Path) -> String {
    let mut text = format!(
        "[global.config]\nas = {}\nrouter-id = \"{}\"\nport = 179\n\
         [global.use-multiple-paths.config]\nenabled = true\n\
         [zebra.config]\nenabled = true\nurl = \"unix:{}\"\nredistribute-route-type-list = []\nversion = 6\n\
         software-name = \"frr8.1\"\n",
        settings.asn,
        v4(settings.last),
        zebra.display()
    );
    for (last, asn) in [1, 2].into_iter().zip(settings.balancers) {
        for (family, peer) in [("ipv4", IpAddr::V4(v4(last))), ("ipv6", IpAddr::V6(v6(last)))] {
            let _ = write!(
                text,
                "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{peer}\"\npeer-as = {asn}\n\
                 [neighbors.timers.config]\nhold-time = 30\nkeepalive-interval = 10\nconnect-retry = 2\n\
                 idle-hold-time-after-reset = 1\n\
                 [neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n\
                 [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}-unicast\"\n\
                 [neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n"
            );
        }
    }
    text
}
