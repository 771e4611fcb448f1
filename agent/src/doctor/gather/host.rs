//! /proc, /sys and what systemd has, without lvsd.

use crate::doctor::facts::{Conntrack, IpvsTable, Modules, Process, Restore, Unit, Wanted};
use crate::doctor::rules::{SYSCTLS, WRITERS};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;

/// Tracked connections that are looked at: enough to meet one of a busy VIP, and no minute's work.
const MOST_TRACKED: usize = 20_000;

/// Where units are enabled.
const ENABLED: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// Where units are.
const UNITS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

pub(super) fn modules() -> Modules {
    let release = word("/proc/sys/kernel/osrelease").unwrap_or_default();
    let list = |file: &str| fs::read_to_string(format!("/lib/modules/{release}/{file}")).ok();
    let loaded = fs::read_to_string("/proc/modules").unwrap_or_default();
    let shown = entries("/sys/module");
    Modules {
        loaded: loaded.lines().filter_map(first_word).chain(shown).collect(),
        builtin: list("modules.builtin").map(|text| module_names(&text)).unwrap_or_default(),
        loadable: list("modules.dep").map(|text| module_names(&text)),
        is_locked: number("/proc/sys/kernel/modules_disabled") == Some(1),
    }
}

/// The names of the modules whose files begin the lines: `kernel/net/netfilter/ipvs/ip_vs_mh.ko.xz: …`.
fn module_names(text: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let path = line.split([':', ' ']).next()?;
        let (name, _) = path.rsplit('/').next()?.split_once(".ko")?;
        Some(name.replace('-', "_"))
    };
    text.lines().filter_map(name).collect()
}

pub(super) fn table() -> Option<IpvsTable> {
    ipvs_table(BufReader::new(File::open("/proc/net/ip_vs").ok()?))
}

/// The table of `IP Virtual Server version 1.2.1 (size=4096)`, its services and, behind arrows, their destinations.
fn ipvs_table(text: impl BufRead) -> Option<IpvsTable> {
    let mut lines = text.lines().map_while(Result::ok);
    let heading = lines.next()?;
    let (_, size) = heading.rsplit_once("(size=")?;
    let size = size.trim_end_matches(')').parse().ok()?;
    let mut table = IpvsTable { size, is_persistent: false, is_masquerading: false };
    for line in lines {
        let mut words = line.split_whitespace();
        if words.next() == Some("->") {
            table.is_masquerading |= words.nth(1) == Some("Masq");
        } else {
            table.is_persistent |= words.any(|word| word == "persistent");
        }
    }
    Some(table)
}

pub(super) fn sysctls() -> BTreeMap<String, i64> {
    let keys = SYSCTLS.iter().map(|wanted| wanted.key).chain(["net.ipv4.ip_forward"]);
    keys.filter_map(|key| {
        let value = number(&format!("/proc/sys/{}", key.replace('.', "/")))?;
        Some((key.to_owned(), value))
    })
    .collect()
}

/// A parameter that each interface has, by interface.
pub(super) fn by_interface(parameter: &str) -> BTreeMap<String, i64> {
    let value = |name: String| {
        let value = number(&format!("/proc/sys/net/ipv4/conf/{name}/{parameter}"))?;
        Some((name, value))
    };
    entries("/proc/sys/net/ipv4/conf").into_iter().filter_map(value).collect()
}

pub(super) fn conntrack(wanted: Option<&Wanted>) -> Option<Conntrack> {
    let of = |name: &str| {
        let value = number(&format!("/proc/sys/net/netfilter/nf_conntrack_{name}"))?;
        u64::try_from(value).ok()
    };
    let tracked = File::open("/proc/net/nf_conntrack").ok().and_then(|file| {
        let vips = &wanted?.vips;
        tracked(BufReader::new(file), vips)
    });
    Some(Conntrack { count: of("count")?, max: of("max")?, tracked })
}

/// The first connection's VIP among those tracked: `… src=10.9.0.2 dst=192.0.2.10 sport=…`.
fn tracked(text: impl BufRead, vips: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    text.lines().take(MOST_TRACKED).map_while(Result::ok).find_map(|line| {
        let to = line.split_whitespace().find_map(|word| word.strip_prefix("dst="))?;
        to.parse().ok().filter(|address| vips.contains(address))
    })
}

/// Running [`WRITERS`] of this network namespace; those whose namespace cannot be seen are taken for its own.
pub(super) fn writers() -> Vec<Process> {
    let own = fs::read_link("/proc/self/ns/net").ok();
    let process = |pid: u32| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let name = writer(&word(&format!("/proc/{pid}/comm"))?, &command)?;
        let namespace = fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let is_here = namespace.is_none() || namespace == own;
        is_here.then(|| Process { pid, name: name.into(), command: command.replace('\0', " ") })
    };
    entries("/proc").iter().filter_map(|name| process(name.parse().ok()?)).collect()
}

/// Which of [`WRITERS`] it is: by its own name, or by that of the script that an interpreter runs.
fn writer(name: &str, command: &str) -> Option<&'static str> {
    let is_interpreter = ["python", "perl"].iter().any(|interpreter| name.starts_with(interpreter));
    let script = command.split('\0').nth(1).and_then(|path| path.rsplit('/').next());
    let its = script.filter(|_| is_interpreter).unwrap_or(name);
    WRITERS.into_iter().find(|writer| *writer == its)
}

pub(super) fn restores() -> Option<Restore> {
    if is_systemd() && is_enabled("ipvsadm.service") {
        return Some(Restore::Unit);
    }
    let settings = fs::read_to_string("/etc/default/ipvsadm").unwrap_or_default();
    restores_by(&settings).then_some(Restore::Default)
}

fn restores_by(settings: &str) -> bool {
    let value = settings.lines().filter_map(|line| line.trim().strip_prefix("AUTO=")).next_back();
    value.is_some_and(|value| value.trim_matches(['"', '\'']) == "true")
}

pub(super) fn unit() -> Option<Unit> {
    const NAME: &str = "lvsd.service";
    let is_there = || UNITS.iter().any(|directory| Path::new(directory).join(NAME).exists());
    is_systemd().then(|| match (is_there(), is_enabled(NAME)) {
        (false, _) => Unit::Missing,
        (true, false) => Unit::Disabled,
        (true, true) => Unit::Enabled,
    })
}

/// sd_booted(3).
fn is_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn is_enabled(unit: &str) -> bool {
    ENABLED.iter().any(|directory| is_wanted(directory, unit))
}

/// Whether some target wants or requires it: a link to it, which may point to what is not there.
fn is_wanted(directory: &str, unit: &str) -> bool {
    let targets = entries(directory);
    let mut targets = targets.iter().filter(|name| name.ends_with(".wants") || name.ends_with(".requires"));
    targets.any(|target| Path::new(directory).join(target).join(unit).symlink_metadata().is_ok())
}

fn entries(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn number(path: &str) -> Option<i64> {
    word(path)?.parse().ok()
}

fn word(path: &str) -> Option<String> {
    first_word(&fs::read_to_string(path).ok()?)
}

fn first_word(text: &str) -> Option<String> {
    text.split_whitespace().next().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
IP Virtual Server version 1.2.1 (size=1048576)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  C000020A:0050 mh (mh-fallback,mh-port)
  -> 0A40000C:0050      Route   0      1          2
";

    #[test]
    fn the_table_tells_its_size_and_what_is_persistent_or_masqueraded() {
        let read = |text: &str| ipvs_table(text.as_bytes());
        let plain = IpvsTable { size: 1 << 20, is_persistent: false, is_masquerading: false };
        assert_eq!(read(TABLE), Some(plain.clone()));
        let persistent = format!("{TABLE}FWM  00000001 wlc persistent 360 ffffffff \n");
        assert_eq!(read(&persistent), Some(IpvsTable { is_persistent: true, ..plain.clone() }));
        let masquerading = TABLE.replace("Route", "Masq");
        assert_eq!(read(&masquerading), Some(IpvsTable { is_masquerading: true, ..plain }));
        assert_eq!(read("something else\n"), None);
    }

    #[test]
    fn modules_are_listed_by_their_kernel_names_whatever_their_files_endings() {
        let text = "kernel/net/netfilter/ipvs/ip_vs_mh.ko.xz: kernel/net/netfilter/ipvs/ip_vs.ko.xz\n\
                    kernel/drivers/net/dummy.ko:\nkernel/x/nf-some-thing.ko.zst\n";
        let names: Vec<String> = module_names(text).into_iter().collect();
        assert_eq!(names, ["dummy", "ip_vs_mh", "nf_some_thing"]);
    }

    #[test]
    fn a_tracked_connection_to_a_vip_is_found_in_both_families() {
        let text = "ipv4     2 tcp      6 431999 ESTABLISHED src=10.9.0.2 dst=10.64.0.1 sport=1 dport=22\n\
                    ipv6     10 tcp      6 9 SYN_SENT src=fd00:0009:0000:0000:0000:0000:0000:0002 \
                    dst=2001:0db8:0000:0000:0000:0000:0000:0010 sport=2 dport=80\n";
        let vip: IpAddr = "2001:db8::10".parse().expect("an address");
        assert_eq!(tracked(text.as_bytes(), &[vip].into()), Some(vip));
        assert_eq!(tracked(text.as_bytes(), &["192.0.2.10".parse().expect("an address")].into()), None);
    }

    #[test]
    fn a_script_is_known_by_its_name_and_an_argument_is_not_taken_for_a_program() {
        assert_eq!(writer("keepalived", "/usr/sbin/keepalived\0--dont-fork\0"), Some("keepalived"));
        assert_eq!(writer("python2.7", "/usr/bin/python2.7\0/usr/sbin/pybal\0"), Some("pybal"));
        assert_eq!(writer("perl", "/usr/bin/perl\0/usr/sbin/ldirectord\0"), Some("ldirectord"));
        assert_eq!(writer("vim", "vim\0keepalived\0"), None);
    }

    #[test]
    fn a_unit_is_enabled_when_a_target_wants_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_str().expect("a path of text");
        assert!(!is_wanted(path, "lvsd.service"));
        let target = directory.path().join("multi-user.target.wants");
        fs::create_dir(&target).expect("a target's directory");
        std::os::unix::fs::symlink("/nowhere/lvsd.service", target.join("lvsd.service")).expect("a link");
        assert!(is_wanted(path, "lvsd.service"));
        assert!(!is_wanted(path, "ipvsadm.service"));
    }

    #[test]
    fn a_table_is_loaded_at_boot_when_the_last_word_on_it_is_true() {
        assert!(restores_by("# AUTO=\"false\"\nAUTO=\"true\"\nDAEMON=\"none\"\n"));
        assert!(!restores_by("AUTO=\"true\"\nAUTO=\"false\"\n"));
        assert!(!restores_by("#AUTO=\"true\"\n"));
    }
}
