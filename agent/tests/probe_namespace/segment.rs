//! A segment with a balancer and two servers, each a network namespace.

use lvsd::config::{self, Probes};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The VIPs, on `lo` of both servers and of the balancer.
pub(super) const VIPS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10))];

/// The port that the servers listen at.
pub(super) const PORT: u16 = 8080;

/// The address of a server, 1 or 2, in a family.
pub(super) fn address(family: usize, server: usize) -> IpAddr {
    let text = [format!("10.64.0.1{server}"), format!("fd00:64::1{server}")];
    text[family].parse().expect("an address")
}

/// A segment; gone when it is dropped.
pub(super) struct Segment {
    name: String,
    directory: TempDir,
    accepted: [Arc<AtomicUsize>; 2],
}

impl Segment {
    pub(super) fn new(name: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "network namespaces need root: run this test as root");
        let name = format!("lvsd{}-{name}", std::process::id());
        let directory = tempfile::tempdir().expect("a directory");
        let segment = Self { name, directory, accepted: Default::default() };
        segment.ip(&format!("netns add {}", segment.switch()));
        segment.ip(&format!("-n {} link add seg up type bridge mcast_snooping 0", segment.switch()));
        let hosts = [(segment.balancer(), 1), (segment.server(1), 11), (segment.server(2), 12)];
        for (host, last) in &hosts {
            segment.join(host, *last);
        }
        for server in [1, 2] {
            segment.listen(server);
        }
        std::fs::write(segment.file(), segment.text()).expect("a configuration");
        segment
    }

    fn join(&self, host: &str, last: u16) {
        let switch = self.switch();
        self.ip(&format!("netns add {host}"));
        let quiet = || {
            for (key, value) in [
                ("ipv6/conf/default/accept_dad", "0"),
                ("ipv6/conf/all/accept_dad", "0"),
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
                ("ipv4/conf/all/arp_ignore", "1"),
                ("ipv4/conf/all/arp_announce", "2"),
            ] {
                std::fs::write(Path::new("/proc/sys/net").join(key), value).expect("a parameter");
            }
        };
        enter(host, quiet);
        self.ip(&format!("-n {switch} link add p{last} type veth peer name eth0 netns {host}"));
        self.ip(&format!("-n {switch} link set p{last} master seg up"));
        self.ip(&format!("-n {host} link set lo up"));
        self.ip(&format!("-n {host} link set eth0 up"));
        self.ip(&format!("-n {host} addr add 10.64.0.{last}/24 dev eth0"));
        self.ip(&format!("-n {host} addr add fd00:64::{last}/64 dev eth0 nodad"));
        for vip in VIPS {
            let length = if vip.is_ipv4() { 32 } else { 128 };
            self.ip(&format!("-n {host} addr add {vip}/{length} dev lo"));
        }
    }

    /// Takes connections for as long as the process lives, and counts them.
    fn listen(&self, server: usize) {
        for any in ["0.0.0.0", "::"] {
            let listener = enter(&self.server(server), || {
                let socket = socket2::Socket::new(
                    if any == "::" { socket2::Domain::IPV6 } else { socket2::Domain::IPV4 },
                    socket2::Type::STREAM,
                    None,
                )
                .expect("a socket");
                if any == "::" {
                    socket.set_only_v6(true).expect("an option");
                }
                let any: IpAddr = any.parse().expect("an address");
                socket.bind(&std::net::SocketAddr::new(any, PORT).into()).expect("the port");
                socket.listen(64).expect("a listener");
                TcpListener::from(socket)
            });
            let count = Arc::clone(&self.accepted[server - 1]);
            thread::spawn(move || {
                while listener.accept().is_ok() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    }

    /// Connections that each server has taken.
    pub(super) fn accepted(&self) -> [usize; 2] {
        [&self.accepted[0], &self.accepted[1]].map(|count| count.load(Ordering::SeqCst))
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.name)
    }

    pub(super) fn balancer(&self) -> String {
        format!("{}-lb", self.name)
    }

    pub(super) fn server(&self, number: usize) -> String {
        format!("{}-rs{number}", self.name)
    }

    /// The probe namespace.
    pub(super) fn namespace(&self) -> String {
        format!("{}-probes", self.name)
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("lvsd.toml")
    }

    fn text(&self) -> String {
        let (namespace, socket) = (self.namespace(), self.directory.path().join("probes.sock"));
        format!(
            "[probes]\nnamespace = {namespace:?}\nsocket = {socket:?}\nfirst_mark = 4096\n\
             [[probes.segment]]\ninterface = \"eth0\"\naddresses = [\"10.64.0.201/24\", \"fd00:64::201/64\"]\n"
        )
    }

    /// The configuration of the probe namespace.
    pub(super) fn settings(&self) -> Probes {
        let text = self.text();
        config::parse(&[(self.file(), text)]).expect("a good configuration").probes.expect("[probes]")
    }

    /// Runs lvsd on a host to its end; what it said.
    pub(super) fn lvsd_in(&self, host: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lvsd"));
        command.arg("--config").arg(self.file()).args(arguments);
        said(&enter(host, || command.output()).expect("lvsd runs"))
    }

    pub(super) fn up(&self) {
        assert_eq!(self.lvsd_in(&self.balancer(), &["probes", "up"]), "");
    }

    pub(super) fn down(&self) {
        assert_eq!(self.lvsd_in(&self.balancer(), &["probes", "down"]), "");
    }

    /// Starts the process inside.
    pub(super) fn serve(&self) -> Serve {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lvsd"));
        command.arg("--config").arg(self.file()).args(["probes", "serve"]).stdin(Stdio::null());
        Serve(enter(&self.namespace(), || command.spawn()).expect("lvsd runs"))
    }

    /// Gives the switch the VIPs on the segment itself, so that it answers for them.
    pub(super) fn on_the_switch(&self) {
        self.ip(&format!("-n {} addr add {}/32 dev seg", self.switch(), VIPS[0]));
        self.ip(&format!("-n {} addr add {}/128 dev seg nodad", self.switch(), VIPS[1]));
    }

    /// Gives a server the VIPs on its interface instead of on `lo`.
    pub(super) fn let_answer(&self, server: usize) {
        let host = self.server(server);
        for vip in VIPS {
            let length = if vip.is_ipv4() { 32 } else { 128 };
            self.ip(&format!("-n {host} addr del {vip}/{length} dev lo"));
            self.ip(&format!("-n {host} addr add {vip}/{length} dev eth0"));
        }
    }

    /// The rules of the marks that lvsd has made, both families.
    pub(super) fn rules(&self) -> Vec<String> {
        let of = |family: &str| self.ip(&format!("{family} -n {} rule show pref 1000", self.namespace()));
        let text = of("-4") + &of("-6");
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// Runs `ip` with these words; its output.
    pub(super) fn ip(&self, words: &str) -> String {
        let output = Command::new("ip").args(words.split(' ')).output().expect("ip, of Debian's iproute2");
        assert!(output.status.success(), "ip {words}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        for host in [self.namespace(), self.balancer(), self.server(1), self.server(2), self.switch()] {
            // The probe namespace may be gone.
            drop(Command::new("ip").args(["netns", "del", &host]).stderr(Stdio::null()).status());
        }
    }
}

/// `lvsd probes serve`, killed when it is dropped.
pub(super) struct Serve(Child);

impl Serve {
    pub(super) fn kill(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it has ended");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Waits for a condition.
pub(super) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Does something on a thread inside a namespace.
fn enter<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(Path::new("/run/netns").join(name)).expect("the namespace");
    let inside = || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
        work()
    };
    thread::scope(|scope| scope.spawn(inside).join().expect("no panic"))
}
