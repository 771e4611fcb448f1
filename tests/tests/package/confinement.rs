//! Inside a guest: what a program can do that runs as lvsd.service does, and what it cannot.
//!
//! The unit is the installed one; only its program is another: this one, which tries everything that is listed here and
//! writes down how it went. Root tries the same and succeeds, so that an attempt that fails fails for the unit's sake.

use crate::life;
use anyhow::{Context, Result, ensure};
use lab::guest::run;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The argument by which this program knows that it is to try.
pub(crate) const TRY: &str = "try-everything";

/// Where the attempts are written down, in a folder that the unit may write.
const RESULTS: &str = "/var/lib/lvsd/attempts.json";

type Attempt = (&'static str, fn() -> Result<()>);

/// What lvsd needs: it succeeds in the unit.
const NEEDED: &[Attempt] = &[
    ("write its state", || written("/var/lib/lvsd/tried")),
    ("write its run-time folder", || written("/run/lvsd/tried")),
    ("read its configuration", || read("/etc/lvsd/lvsd.toml")),
    ("listen on BGP's port", listen),
    ("add a device for VIPs", || command("ip link add tried type dummy && ip link del tried")),
    ("put a service into IPVS", || command("ipvsadm -A -t 203.0.113.1:80 && ipvsadm -D -t 203.0.113.1:80")),
];

/// What lvsd does not need: root can do it, the unit cannot.
const NOT_NEEDED: &[Attempt] = &[
    ("write /etc", || written("/etc/tried")),
    ("write its own configuration", || written("/etc/lvsd/tried")),
    ("write /usr", || written("/usr/bin/tried")),
    ("write another's state", || written("/var/lib/tried")),
    ("write a home", || written("/home/tried")),
    ("read /root", || read("/root/secret")),
    ("read a home", || read("/home/secret")),
    ("read /etc/shadow", || read("/etc/shadow")),
    ("see what others leave in /tmp", || read("/tmp/of-others")),
    ("see another's process", || read("/proc/1/status")),
    ("signal another's process", || command("kill -0 1")),
    ("trace a process of its own", || {
        command("sleep 60 & p=$!; timeout 5 strace -p $p; s=$?; kill $p; [ $s = 124 ]")
    }),
    ("load a module", || command("modprobe sch_netem && modprobe -r sch_netem")),
    ("mount", || command("mount -t tmpfs none /mnt && umount /mnt")),
    ("change its root", || command("chroot / true")),
    ("become root", || {
        command("setpriv --reuid 0 --clear-groups true && [ $(setpriv --reuid 0 --clear-groups id -u) = 0 ]")
    }),
    ("make a network namespace", || command("unshare --net true")),
    ("make a user namespace", || command("unshare --user true")),
    ("make a device node", || command("mknod /var/lib/lvsd/device c 1 3 && rm /var/lib/lvsd/device")),
    ("open a kernel's memory", || command("head -c 0 /dev/mem")),
    ("give a file away", || {
        command("touch /var/lib/lvsd/given && chown 1 /var/lib/lvsd/given && rm /var/lib/lvsd/given")
    }),
    ("make a program setuid", setuid),
    ("set a sysctl", || {
        command("echo 1 >/proc/sys/net/ipv4/ip_forward && echo 0 >/proc/sys/net/ipv4/ip_forward")
    }),
    ("set the host's name", || command("hostname tried && hostname guest")),
    ("set the clock", || command("date --set=@$(date +%s)")),
    ("read the kernel's log", || command("dmesg")),
    ("run in real time", || command("chrt --fifo 1 true")),
    ("write a control group", || command("mkdir /sys/fs/cgroup/tried && rmdir /sys/fs/cgroup/tried")),
    ("open a raw IPv4 socket", || opened(AddressFamily::Inet, SockType::Raw, Some(SockProtocol::Icmp))),
    ("open a packet socket", || opened(AddressFamily::Packet, SockType::Raw, None)),
    ("open a socket to the kernel's crypto", || opened(AddressFamily::Alg, SockType::SeqPacket, None)),
];

pub(crate) fn whole() -> Result<()> {
    life::install_first()?;
    ensure!(life::show("ActiveState")? == "active", "lvsd runs");
    run("hostname", &["guest"])?;
    for secret in ["/root/secret", "/home/secret", "/tmp/of-others"] {
        fs::write(secret, "secret")?;
        fs::set_permissions(secret, fs::Permissions::from_mode(0o644))?;
    }
    fs::set_permissions("/root", fs::Permissions::from_mode(0o755))?;

    let unconfined = tried_by_root()?;
    let confined = tried_in_the_unit()?;
    let mut wrong = Vec::new();
    for (name, _) in NEEDED {
        if let Some(error) = &confined[*name] {
            wrong.push(format!("the unit cannot {name}: {error}"));
        }
    }
    for (name, _) in NOT_NEEDED {
        match &confined[*name] {
            None => wrong.push(format!("the unit can {name}")),
            Some(error) => println!("the unit cannot {name}: {error}"),
        }
        if let Some(error) = &unconfined[*name] {
            wrong.push(format!("not even root can {name}: {error}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Each attempt with its error, `None` where it succeeded.
type Results = BTreeMap<String, Option<String>>;

/// Tries everything, and writes down how it went.
pub(crate) fn try_everything() {
    let attempts = NEEDED.iter().chain(NOT_NEEDED);
    let results: Results = attempts
        .map(|(name, attempt)| ((*name).to_owned(), attempt().err().map(|error| format!("{error:#}"))))
        .collect();
    let text = serde_json::to_string(&results).expect("texts are JSON");
    fs::write(RESULTS, text).expect("the unit may write its state");
}

fn results() -> Result<Results> {
    let results = serde_json::from_slice(&fs::read(RESULTS).context("nothing was tried")?)?;
    fs::remove_file(RESULTS)?;
    Ok(results)
}

fn tried_by_root() -> Result<Results> {
    run("/host/inside", &[TRY])?;
    results()
}

/// The installed unit with another program in it, which ends.
fn tried_in_the_unit() -> Result<Results> {
    let unit = fs::read_to_string("/usr/lib/systemd/system/lvsd.service")?;
    fs::write("/run/systemd/system/attempts.service", unit)?;
    fs::create_dir_all("/run/systemd/system/attempts.service.d")?;
    // lvsd's own runs on beside it, and keeps its socket.
    let changes = format!(
        "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nRuntimeDirectoryPreserve=yes\nExecStart=\nExecStart=/host/inside {TRY}\n"
    );
    fs::write("/run/systemd/system/attempts.service.d/program.conf", changes)?;
    run("systemctl", &["daemon-reload"])?;
    if let Err(error) = run("systemctl", &["start", "attempts.service"]) {
        let journal = run("journalctl", &["--unit", "attempts.service", "--no-pager"])?;
        return Err(error.context(journal));
    }
    results()
}

fn read(path: &str) -> Result<()> {
    fs::read(path)?;
    Ok(())
}

/// Writes a file and takes it away again.
fn written(path: &str) -> Result<()> {
    fs::write(path, "")?;
    fs::remove_file(path)?;
    Ok(())
}

fn listen() -> Result<()> {
    TcpListener::bind("127.0.0.1:179")?;
    Ok(())
}

fn setuid() -> Result<()> {
    let path = "/var/lib/lvsd/setuid";
    fs::write(path, "")?;
    let set = fs::set_permissions(path, fs::Permissions::from_mode(0o4755));
    fs::remove_file(path)?;
    set?;
    Ok(())
}

fn opened(family: AddressFamily, kind: SockType, protocol: Option<SockProtocol>) -> Result<()> {
    socket(family, kind, SockFlag::empty(), protocol)?;
    Ok(())
}

/// Runs a line of shell; an error with what it said.
fn command(line: &str) -> Result<()> {
    let output = Command::new("sh").args(["-c", line]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(())
}
