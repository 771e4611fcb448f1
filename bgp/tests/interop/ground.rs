//! The network: our end and the routers' end, next to each other and with a router between them.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};
use tokio::runtime::{Builder, Runtime};

/// Cells of the matrix, at most: each has a pair of addresses of its own.
pub(crate) const CELLS: u8 = 120;

/// Three namespaces; gone when it is dropped.
pub(crate) struct Ground {
    name: String,
    /// Its threads are in our namespace.
    runtime: Option<Runtime>,
}

/// Two ends that can reach each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) ours: IpAddr,
    pub(crate) theirs: IpAddr,
}

impl Ends {
    /// On one link, by the number of the cell.
    pub(crate) fn near(cell: u8) -> Self {
        Self { ours: Ipv4Addr::new(10, 99, 1, cell).into(), theirs: Ipv4Addr::new(10, 99, 2, cell).into() }
    }

    /// The same with IPv6.
    pub(crate) fn near_v6(cell: u8) -> Self {
        let address = |side| Ipv6Addr::new(0xfd00, 0x99, 0, 0, 0, 0, side, cell.into()).into();
        Self { ours: address(1), theirs: address(2) }
    }

    /// With a hop between.
    pub(crate) fn far(cell: u8) -> Self {
        Self { ours: Ipv4Addr::new(10, 98, 1, cell).into(), theirs: Ipv4Addr::new(10, 98, 2, cell).into() }
    }
}

impl Ground {
    pub(crate) fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "network namespaces need root: run this test as root");
        let mut ground = Self { name: format!("bgp{}", std::process::id()), runtime: None };
        let (us, routers, middle) = (ground.us(), ground.routers(), ground.middle());
        for space in [&us, &routers, &middle] {
            ground.ip(&[format!("netns add {space}")]);
            enter(space, || {
                std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").expect("a parameter");
                std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a parameter");
            });
        }
        let mut lines = vec![
            format!("link add near netns {us} type veth peer name near netns {routers}"),
            format!("link add far netns {us} type veth peer name us netns {middle}"),
            format!("link add far netns {routers} type veth peer name routers netns {middle}"),
        ];
        ground.ip(&lines);
        lines.clear();
        for (space, links) in [
            (&us, &["lo", "near", "far"]),
            (&routers, &["lo", "near", "far"]),
            (&middle, &["lo", "us", "routers"]),
        ] {
            let up = links.iter().map(|link| format!("link set {link} up")).collect::<Vec<_>>();
            ground.ip_in(space, &up);
        }
        ground.ip_in(
            &middle,
            &["addr add 10.98.1.254/24 dev us".into(), "addr add 10.98.2.254/24 dev routers".into()],
        );
        for (space, side, other) in [(&us, 1, 2), (&routers, 2, 1)] {
            let addresses = (1..=CELLS).flat_map(|cell| {
                [
                    format!("addr add 10.99.{side}.{cell}/16 dev near"),
                    format!("addr add fd00:99::{side}:{cell:x}/64 dev near nodad"),
                    format!("addr add 10.98.{side}.{cell}/24 dev far"),
                ]
            });
            let route = format!("route add 10.98.{other}.0/24 via 10.98.{side}.254");
            ground.ip_in(space, &addresses.chain([route]).collect::<Vec<_>>());
        }
        let file = Arc::new(namespace(&us));
        let builder = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || {
                setns(&*file, CloneFlags::CLONE_NEWNET).expect("the namespace is entered");
            })
            .build();
        ground.runtime = Some(builder.expect("a runtime"));
        ground
    }

    fn us(&self) -> String {
        format!("{}-us", self.name)
    }

    pub(crate) fn routers(&self) -> String {
        format!("{}-routers", self.name)
    }

    fn middle(&self) -> String {
        format!("{}-middle", self.name)
    }

    /// What runs on it opens its sockets at our end.
    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it lives as long as the ground")
    }

    fn ip(&self, lines: &[String]) {
        batch(Command::new("ip"), lines);
    }

    fn ip_in(&self, space: &str, lines: &[String]) {
        let mut command = Command::new("ip");
        command.args(["-n", space]);
        batch(command, lines);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
        for space in [self.us(), self.routers(), self.middle()] {
            // Fails only when it was not made.
            let _gone = Command::new("ip").args(["netns", "del", &space]).stderr(Stdio::null()).status();
        }
    }
}

fn batch(mut command: Command, lines: &[String]) {
    use std::io::Write as _;
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("ip: {error}: `make deps` installs it"));
    child.stdin.take().expect("a pipe").write_all(lines.join("\n").as_bytes()).expect("written");
    assert!(child.wait().expect("its end").success(), "ip: {lines:?}");
}

fn namespace(name: &str) -> File {
    File::open(Path::new("/run/netns").join(name)).expect("the namespace is there")
}

/// Runs `work` in a namespace, on a thread of its own; processes that it starts stay there.
pub(crate) fn enter<T: Send>(space: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = namespace(space);
    let run = || {
        setns(file, CloneFlags::CLONE_NEWNET).expect("the namespace is entered");
        work()
    };
    thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
