//! What is installed for systemd is understood by systemd itself (Debian's package `systemd`; it need not be running).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Exposure that `systemd-analyze security` may find at most, in tenths.
const MOST_EXPOSURE: &str = "--threshold=20";

/// Units that every installation has and that lvsd.service or systemd's defaults name.
const AROUND: [&str; 8] = [
    "basic.target",
    "multi-user.target",
    "network-online.target",
    "nss-lookup.target",
    "shutdown.target",
    "sysinit.target",
    "systemd-modules-load.service",
    "systemd-sysctl.service",
];

/// The units of checks by VIP: what makes the namespace, and what runs inside it.
const PROBES: [&str; 2] = ["lvsd-probe-namespace.service", "lvsd-probes.service"];

fn installed(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A root directory with lvsd.service of this text and what it refers to.
fn root(name: &str, unit: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("systemd_unit").join(name);
    let units = root.join("usr/lib/systemd/system");
    let programs = root.join("usr/bin");
    for directory in [&units, &programs] {
        fs::create_dir_all(directory).expect("a directory for the test");
    }
    for around in AROUND {
        let text =
            if around.ends_with(".service") { "[Service]\nExecStart=/usr/bin/lvsd\n" } else { "[Unit]\n" };
        fs::write(units.join(around), text).expect("a unit beside lvsd's");
    }
    for program in ["lvsd", "lvsctl"] {
        let program = programs.join(program);
        fs::write(&program, "").expect("a program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("an executable program");
    }
    for beside in PROBES {
        fs::write(units.join(beside), installed(beside)).expect("a unit of the probes");
    }
    fs::write(units.join("lvsd.service"), unit).expect("the unit");
    root
}

fn analyze(root: &Path, arguments: &[&str]) -> Output {
    Command::new("systemd-analyze")
        .arg(format!("--root={}", root.display()))
        .args(arguments)
        .env("SYSTEMD_COLORS", "0")
        .output()
        .expect("systemd-analyze, from Debian's package systemd, can be run")
}

/// Everything that `systemd-analyze verify` has to say: it exits with 0 even on an unknown key.
fn complaints(name: &str, unit: &str) -> String {
    complaints_about("lvsd.service", name, unit)
}

fn complaints_about(file: &str, name: &str, unit: &str) -> String {
    let output = analyze(&root(name, unit), &["verify", "--man=no", file]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if said.is_empty() && !output.status.success() { output.status.to_string() } else { said }
}

/// The values of each key in a section; an empty assignment would reset the list and is not used.
fn settings(unit: &str, section: &str) -> BTreeMap<String, Vec<String>> {
    let mut settings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut is_inside = false;
    for line in unit.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            is_inside = name.strip_suffix(']') == Some(section);
        } else if is_inside {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}: no assignment"));
            settings.entry(key.to_owned()).or_default().push(value.to_owned());
        }
    }
    settings
}

/// The assignments of a sysctl.d(5) file.
fn sysctls(text: &str) -> Result<BTreeMap<String, i64>, String> {
    let mut settings = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        let (key, value) = line.split_once('=').ok_or_else(|| format!("{line}: no assignment"))?;
        let (key, value) = (key.trim(), value.trim());
        let kinds = ["net.ipv4.vs.", "net.ipv4.conf.", "net.ipv4.neigh.", "net.ipv6.neigh."];
        let is_known_kind = kinds.iter().any(|kind| key.starts_with(kind));
        if !is_known_kind || key.split('.').any(str::is_empty) {
            return Err(format!("{line}: not a parameter of IPVS, of an interface or of neighbours"));
        }
        let value = value.parse().map_err(|error| format!("{line}: {error}"))?;
        if settings.insert(key.to_owned(), value).is_some() {
            return Err(format!("{line}: for the second time"));
        }
    }
    Ok(settings)
}

#[test]
fn systemd_has_nothing_to_say_against_the_unit() {
    assert_eq!(complaints("as-it-is", &installed("lvsd.service")), "");
}

#[test]
fn systemd_has_nothing_to_say_against_the_units_of_the_probes() {
    for file in PROBES {
        assert_eq!(complaints_about(file, file, &installed("lvsd.service")), "", "{file}");
    }
}

#[test]
fn what_hands_sockets_over_has_one_capability_in_a_namespace_that_it_finds() {
    let service = settings(&installed("lvsd-probes.service"), "Service");
    for key in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        assert_eq!(service[key], ["CAP_NET_ADMIN"], "{key}");
    }
    assert_eq!(service["User"], settings(&installed("lvsd.service"), "Service")["User"]);
    let probes = lvsd_probes();
    assert_eq!(service["NetworkNamespacePath"], [format!("/run/netns/{}", probes.0)]);
    assert!(probes.1.starts_with(&format!("/run/{}/", service["RuntimeDirectory"][0])), "{probes:?}");
}

/// The defaults of `probes.namespace` and `probes.socket`, as the documentation has them.
fn lvsd_probes() -> (String, String) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = fs::read_to_string(page).expect("the documentation");
    let default = |key: &str| {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |"))).expect("a row");
        let cell = row.split('|').nth(2).expect("a default");
        cell.trim().trim_matches(['`', '"']).to_owned()
    };
    (default("namespace"), default("socket"))
}

#[test]
fn nothing_hides_the_namespace_that_is_made_from_others() {
    let service = settings(&installed("lvsd-probe-namespace.service"), "Service");
    // Each of them gives the service a mount namespace (systemd.exec(5)).
    for key in [
        "ProtectSystem",
        "ProtectHome",
        "PrivateTmp",
        "PrivateDevices",
        "PrivateMounts",
        "ProtectKernelTunables",
    ] {
        assert_eq!(service.get(key), None, "{key}");
    }
}

#[test]
fn an_unknown_key_a_wrong_value_and_a_missing_program_are_found() {
    let unit = installed("lvsd.service");
    for (name, right, wrong, found) in [
        ("unknown-key", "WatchdogSec=", "WatchDogSec=", "Unknown key"),
        ("wrong-value", "ProtectSystem=strict", "ProtectSystem=strictly", "strictly"),
        ("missing-program", "/usr/bin/lvsd ", "/usr/bin/lvsdd ", "/usr/bin/lvsdd"),
    ] {
        assert!(unit.contains(right), "{right} is in the unit");
        let said = complaints(name, &unit.replace(right, wrong));
        assert!(said.contains(found), "{name}: {said:?}");
    }
}

#[test]
fn the_unit_is_exposed_to_less_than_two_of_ten() {
    let security = |name: &str, unit: &str| {
        let arguments = ["security", "--offline=yes", MOST_EXPOSURE, "--no-pager", "lvsd.service"];
        analyze(&root(name, unit), &arguments)
    };
    let unit = installed("lvsd.service");
    let hardened = security("hardened", &unit);
    let table = String::from_utf8_lossy(&hardened.stdout).into_owned();
    assert!(hardened.status.success(), "{table}{}", String::from_utf8_lossy(&hardened.stderr));
    assert!(table.contains("Overall exposure level for lvsd.service"), "{table}");
    let softened = unit.replace("ProtectSystem=strict", "").replace("NoNewPrivileges=yes", "");
    assert!(!security("softened", &softened).status.success(), "the threshold finds a softer unit");
}

#[test]
fn the_daemon_has_exactly_the_two_capabilities_that_it_needs() {
    let service = settings(&installed("lvsd.service"), "Service");
    for key in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        assert_eq!(service[key], ["CAP_NET_ADMIN CAP_NET_BIND_SERVICE"], "{key}");
    }
    assert_eq!(service["User"], ["lvsd"]);
    assert_eq!(service["NoNewPrivileges"], ["yes"]);
}

#[test]
fn nothing_that_keeps_ipvs_out_of_reach_is_set() {
    let service = settings(&installed("lvsd.service"), "Service");
    for key in ["PrivateUsers", "PrivateNetwork", "DynamicUser"] {
        assert_eq!(service.get(key), None, "{key}");
    }
    let families: Vec<&str> = service["RestrictAddressFamilies"][0].split(' ').collect();
    assert_eq!(families, ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"]);
}

#[test]
fn the_user_of_the_unit_is_the_one_that_sysusers_makes() {
    let service = settings(&installed("lvsd.service"), "Service");
    let made = installed("sysusers.d/lvsd.conf");
    let line = made.lines().find(|line| !line.starts_with('#')).expect("a line of sysusers.d(5)");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..2], ["u", &*service["User"][0]]);
    assert_eq!(service["Group"], service["User"]);
}

#[test]
fn the_sysctls_of_a_balancer_and_of_a_real_server_are_assignments_of_numbers() {
    let balancer = sysctls(&installed("sysctl.d/60-lvsd-balancer.conf")).expect("the balancer's");
    assert_eq!(balancer["net.ipv4.vs.expire_nodest_conn"], 1);
    assert_eq!(balancer["net.ipv4.vs.conn_reuse_mode"], 1);
    assert_eq!(balancer["net.ipv4.conf.all.rp_filter"], 0);
    let server = sysctls(&installed("sysctl.d/60-lvsd-real-server.conf")).expect("the real server's");
    assert_eq!(server["net.ipv4.conf.all.arp_ignore"], 1);
    assert_eq!(server["net.ipv4.conf.all.arp_announce"], 2);
    assert_eq!(server.len(), 2);
}

#[test]
fn a_sysctl_that_is_no_assignment_of_a_number_is_found() {
    for text in
        ["net.ipv4.vs.drop_entry 1", "net.ipv4.vs.drop_entry = on", "net.ipv4..rp_filter = 0", "x = 1"]
    {
        assert!(sysctls(text).is_err(), "{text}");
    }
    assert!(sysctls("net.ipv4.vs.drop_entry = 1\nnet.ipv4.vs.drop_entry = 0").is_err());
}

#[test]
fn the_module_whose_sysctls_are_set_is_loaded_at_boot() {
    let lines = |file: &str| -> Vec<String> {
        installed(file).lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
    };
    assert_eq!(lines("modules-load.d/lvsd.conf"), ["ip_vs"]);
    assert_eq!(lines("modprobe.d/lvsd.conf"), ["options ip_vs conn_tab_bits=20"]);
}
