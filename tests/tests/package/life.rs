//! Inside a guest: a balancer's package from its first installation to its purge, and a client that goes on meanwhile.

use anyhow::{Context, Result, ensure};
use lab::guest::run;
use lab::host::Host;
use lab::package;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for anything that lvsd does.
const LIMIT: Duration = Duration::from_secs(60);

/// Requests of the client that are to pass in each phase.
const REQUESTS: usize = 100;

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

const CONFIGURATION: &str = r#"
[service.web]
vips = ["192.0.2.10"]
port = 80
checks = [{ type = "http", url = "/", timeout = "10s" }]
backends = [
  { host = "rs1", addresses = ["10.64.0.11"] },
  { host = "rs2", addresses = ["10.64.0.12"] },
]
"#;

/// What the package is allowed to leave behind, or what belongs to others: logs, dpkg's and systemd's own books, caches, and what
/// is gone with the next boot.
const OTHERS: [&str; 8] = ["dev", "host", "proc", "run", "sys", "tmp", "var/log", "var/lib/dpkg"];

pub(crate) fn whole() -> Result<()> {
    let before = files()?;
    installed_it_runs_and_does_nothing()?;
    what_is_shipped_holds_and_doctor_is_quiet()?;
    let traffic = served()?;
    names_are_completed_in_bash()?;
    security()?;
    upgraded(&traffic)?;
    removed(&traffic)?;
    let report = traffic.stop()?;
    println!("{report}");
    report.expect_no_failure()?;
    purged(&before)
}

fn installed_it_runs_and_does_nothing() -> Result<()> {
    install(&first()?)?;
    ensure!(show("ActiveState")? == "active", "after the installation: {}", show("ActiveState")?);
    ensure!(show("SubState")? == "running" && show("Type")? == "notify", "ready is what lvsd says");
    ensure!(show("UnitFileState")? == "enabled", "{}", show("UnitFileState")?);
    ensure!(show("NRestarts")? == "0", "restarts: {}", show("NRestarts")?);
    let status = process_status()?;
    let uid = run("id", &["--user", "lvsd"])?;
    let lines: BTreeSet<&str> = status.lines().collect();
    let of = |key: &str| {
        lines.iter().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
    };
    ensure!(of("Uid:").split_whitespace().all(|id| id == uid.trim()), "its user: {}", of("Uid:"));
    // CAP_NET_BIND_SERVICE is 10, CAP_NET_ADMIN 12 (linux/capability.h).
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        ensure!(of(set) == "0000000000001400", "{set} {}", of(set));
    }
    ensure!(of("NoNewPrivs:") == "1" && of("Seccomp:") == "2", "{status}");
    let table = run("ipvsadm", &["--list", "--numeric"])?;
    ensure!(!table.contains("->  ") && table.lines().count() == 3, "the example touches nothing: {table}");
    println!("installed: active, enabled, no restart, its own user, two capabilities");
    Ok(())
}

fn what_is_shipped_holds_and_doctor_is_quiet() -> Result<()> {
    let table = fs::read_to_string("/proc/net/ip_vs")?;
    ensure!(table.contains("(size=1048576)"), "modprobe.d is obeyed: {table}");
    let shipped = fs::read_to_string("/usr/lib/sysctl.d/60-lvsd-balancer.conf")?;
    let mut count = 0;
    for line in shipped.lines().filter(|line| !line.starts_with('#') && !line.contains('*')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let path = Path::new("/proc/sys").join(key.trim().replace('.', "/"));
        let found = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        ensure!(
            found.trim() == value.trim(),
            "{}: {} in place of {}",
            key.trim(),
            found.trim(),
            value.trim()
        );
        count += 1;
    }
    ensure!(count > 8, "only {count} sysctls");
    let said = run("lvsctl", &["doctor", "--verbose"])?;
    println!("{count} sysctls and the module's option hold; lvsctl doctor exits with 0:\n{said}");
    Ok(())
}

/// A client and two servers on one bridge with the balancer, and requests to the VIP.
fn served() -> Result<Traffic> {
    run("ip", &["link", "add", "br0", "type", "bridge"])?;
    run("ip", &["address", "add", "10.64.0.1/24", "dev", "br0"])?;
    run("ip", &["link", "set", "br0", "up"])?;
    for (name, address) in [("rs1", "10.64.0.11"), ("rs2", "10.64.0.12")] {
        let server = host(name, address)?;
        server.sysctl(&[("net.ipv4.conf.all.arp_ignore", "1"), ("net.ipv4.conf.all.arp_announce", "2")])?;
        server.run(&["ip", "address", "add", &format!("{VIP}/32"), "dev", "lo"])?;
        answer(&server)?;
    }
    let client = host("client", "10.64.0.2")?;
    client.run(&["ip", "route", "add", &format!("{VIP}/32"), "via", "10.64.0.1"])?;

    fs::write("/etc/lvsd/lvsd.toml", CONFIGURATION)?;
    run("systemctl", &["reload", "lvsd"])?;
    let serves = || {
        let table = run("ipvsadm", &["--list", "--numeric"]).unwrap_or_default();
        table.contains("10.64.0.11:80")
            && table.contains("10.64.0.12:80")
            && client
                .output(&["bash", "-c", &format!("</dev/tcp/{VIP}/80")])
                .is_ok_and(|output| output.status.success())
    };
    wait_until("the VIP is served", LIMIT, serves)?;
    let load = Load { targets: vec![SocketAddr::from((VIP, 80))], rate: 20, kept_alive: 2 };
    let traffic = Traffic::start(&client, &load)?;
    traffic.let_pass(REQUESTS)?;
    Ok(traffic)
}

fn upgraded(traffic: &Traffic) -> Result<()> {
    traffic.phase("upgrade");
    let (before, process) = (table()?, show("MainPID")?);
    install(Path::new("/host/lvsd_later.deb"))?;
    ensure!(show("ActiveState")? == "active" && show("NRestarts")? == "0", "after the upgrade");
    ensure!(show("MainPID")? != process, "the new version runs");
    let version = run("dpkg-query", &["--show", "--showformat=${Version}", "lvsd"])?;
    ensure!(version == package::LATER, "{version}");
    ensure!(
        fs::read_to_string("/etc/lvsd/lvsd.toml")? == CONFIGURATION,
        "the configuration is the operator's"
    );
    ensure!(table()? == before, "the kernel's table before:\n{before}and after:\n{}", table()?);
    traffic.let_pass(REQUESTS)?;
    println!("upgraded: another process, the same table");
    Ok(())
}

fn removed(traffic: &Traffic) -> Result<()> {
    traffic.phase("remove");
    let before = table()?;
    let said = run("dpkg", &["--remove", "lvsd"])?;
    println!("{said}");
    ensure!(show("ActiveState")? != "active", "it is stopped");
    ensure!(Path::new("/etc/lvsd/lvsd.toml").exists(), "the configuration stays until the purge");
    ensure!(Path::new("/var/lib/lvsd/state.json").exists(), "so does what lvsd remembers");
    ensure!(table()? == before, "the kernel goes on serving");
    traffic.let_pass(REQUESTS)?;
    Ok(())
}

fn purged(before: &BTreeSet<PathBuf>) -> Result<()> {
    run("dpkg", &["--purge", "lvsd"])?;
    let after = files()?;
    let left: Vec<_> = after.difference(before).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    ensure!(run("id", &["lvsd"]).is_err(), "the user is gone");
    let units = run("systemctl", &["list-unit-files", "--no-legend", "lvsd*"]).unwrap_or_default();
    ensure!(units.trim().is_empty(), "units: {units}");
    println!("purged: no file, no user, no unit");
    Ok(())
}

/// `systemd-analyze security`, of the unit as it runs here.
fn security() -> Result<()> {
    let said = run("systemd-analyze", &["security", "--no-pager", "--threshold=20", "lvsd.service"])?;
    println!("{}", said.lines().last().unwrap_or_default());
    Ok(())
}

/// The packaged completion is found by bash-completion, and knows what lvsd has.
fn names_are_completed_in_bash() -> Result<()> {
    let script = ". /usr/share/bash-completion/bash_completion; __load_completion lvsctl
        COMP_LINE='lvsctl why r'; COMP_POINT=12; _lvsctl lvsctl r why; printf '%s ' \"${COMPREPLY[@]}\"";
    let knows = || run("bash", &["-c", script]).is_ok_and(|names| names.trim() == "rs1 rs2");
    // On a busy machine an answer may come later than who presses Tab would wait for it.
    wait_until("bash completes rs1 and rs2", LIMIT, knows)?;
    Ok(())
}

fn first() -> Result<PathBuf> {
    let packages = fs::read_dir("/host")?.flatten().map(|entry| entry.path());
    let mut packages = packages.filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
    packages.find(|path| !path.ends_with("lvsd_later.deb")).context("no package in /host")
}

pub(crate) fn install(package: &Path) -> Result<()> {
    // It says nothing of a service that does not start: callers look.
    run("dpkg", &["--install", &package.display().to_string()]).map(drop)
}

/// Installs the first version.
pub(crate) fn install_first() -> Result<()> {
    install(&first()?)
}

pub(crate) fn show(property: &str) -> Result<String> {
    Ok(run("systemctl", &["show", "--value", "--property", property, "lvsd"])?.trim().to_owned())
}

fn process_status() -> Result<String> {
    let path = format!("/proc/{}/status", show("MainPID")?);
    fs::read_to_string(&path).with_context(|| format!("read {path}"))
}

/// The kernel's table, without counters.
fn table() -> Result<String> {
    run("ipvsadm", &["--save", "--numeric"])
}

fn host(name: &str, address: &str) -> Result<Host> {
    let host = Host::create(name, Path::new("/tmp"))?;
    run(
        "ip",
        &[
            "link",
            "add",
            &format!("to-{name}"),
            "master",
            "br0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            name,
        ],
    )?;
    run("ip", &["link", "set", &format!("to-{name}"), "up"])?;
    for command in [
        vec!["ip", "link", "set", "lo", "up"],
        vec!["ip", "address", "add", &format!("{address}/24"), "dev", "eth0"],
        vec!["ip", "link", "set", "eth0", "up"],
    ] {
        host.run(&command)?;
    }
    Ok(host)
}

/// Answers HTTP on a server until the guest ends.
fn answer(server: &Host) -> Result<()> {
    let name = server.name().to_owned();
    let listener = server.enter(|| TcpListener::bind("0.0.0.0:80"))??;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let name = name.clone();
            std::thread::spawn(move || drop(talk(&stream, &name)));
        }
    });
    Ok(())
}

/// Answers each request of a connection with the server's name.
fn talk(mut stream: &TcpStream, name: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut keeps = true;
    while let Some(line) = lines.next().transpose()? {
        keeps &= !line.eq_ignore_ascii_case("connection: close");
        if line.is_empty() {
            let length = name.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}")?;
            if !keeps {
                break;
            }
        }
    }
    Ok(())
}

/// Every file of the root, but [`OTHERS`].
fn files() -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from("/")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            if OTHERS.iter().any(|other| path == Path::new("/").join(other)) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path);
        }
    }
    Ok(found)
}
