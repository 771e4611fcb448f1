//! `monitors` and the options of each: what becomes of them as checks.
//!
//! PyBal asks in its own time (every 10 s, commands every minute) and takes one failure for down and one success for up.
//! The checks that are written do the same, so that both agree while they run side by side.

mod fetch;

use super::section::Reader;
use super::written::{array, quoted};
use crate::python::{Literal, Value};

/// PyBal's time between two rounds of a monitor, in seconds.
const INTERVAL: u64 = 10;

/// That of RunCommand, and how long a command may take.
const COMMAND_INTERVAL: u64 = 60;
const COMMAND_TIMEOUT: u64 = 20;

/// How long PyBal waits for a page or a name server, in seconds.
const TIMEOUT: u64 = 5;

/// Where PyBal asks name servers, whatever the service's port.
const DNS_PORT: u16 = 53;

/// One check: the lines below `[[service.NAME.checks]]`.
pub(super) type Check = Vec<String>;

/// What is said of a monitor's option that makes no check.
const LEFT_OUT: &str = "the monitor is left out";

/// What is written of a service that nobody checks.
pub(super) struct Checks {
    /// The checks; none takes every server for up.
    pub(super) checks: Vec<Check>,
    /// What a reader should know of them.
    pub(super) remarks: Vec<String>,
    /// The monitors that they come from, in lower case.
    monitors: Vec<String>,
}

/// Reads `monitors` and what belongs to those that are in it; nothing when none of them could be carried over: a service
/// without any check would take every server for up.
pub(super) fn read(reader: &Reader<'_>, port: u16) -> Option<Checks> {
    let mut made = Checks { checks: Vec::new(), remarks: Vec::new(), monitors: Vec::new() };
    if !reader.has("monitors") {
        reader.note(
            "",
            "without `monitors` PyBal takes every server for up, and so does lvsd with `checks = []`",
        );
        return Some(made);
    }
    let names = reader.texts("monitors", "the section is left out")?;
    let mut seen: Vec<String> = Vec::new();
    for name in &names {
        let known = name.to_ascii_lowercase();
        if seen.contains(&known) {
            continue;
        }
        match known.as_str() {
            "proxyfetch" => fetch::read(reader, port, &mut made),
            "idleconnection" => idle(reader, &mut made),
            "runcommand" => command(reader, &mut made),
            "dnsquery" => dns(reader, port, &mut made),
            "udp" => udp(reader, &mut made),
            _ => reader.lost(
                "monitors",
                format!("PyBal has no monitor {name:?} that is known here; add a check that does the same"),
            ),
        }
        seen.push(known);
    }
    made.monitors = seen;
    if made.checks.is_empty() && !names.is_empty() {
        reader.lost(
            "monitors",
            "none could be carried over, and without a check lvsd would take every server for up; the section is left out",
        );
        return None;
    }
    Some(made)
}

impl Checks {
    /// What is said of an option that nobody has read, and whether it is lost.
    pub(super) fn of_unread(&self, key: &str) -> (String, bool) {
        const MONITORS: [&str; 5] = ["proxyfetch", "idleconnection", "runcommand", "dnsquery", "udp"];
        match key.split_once('.').map(|(monitor, _)| monitor) {
            Some(monitor)
                if MONITORS.contains(&monitor) && !self.monitors.iter().any(|known| known == monitor) =>
            {
                ("the monitor is not in `monitors`, and PyBal does not look at it; left out".into(), false)
            }
            Some(_) | None => (
                "not an option that is known here; look what it does, and take it out of pybal.conf".into(),
                true,
            ),
        }
    }
}

/// Whole seconds of which there has to be at least one.
fn period(reader: &Reader<'_>, key: &str, default: u64) -> u64 {
    match reader.seconds(key, default) {
        0 => {
            reader
                .note(key, format!("lvsd has no such time of 0 s; PyBal's default of {default} s is taken"));
            default
        }
        seconds => seconds,
    }
}

/// `interval`, `timeout`, and one result for each verdict.
fn timing(check: &mut Check, interval: u64, timeout: Option<u64>) {
    check.push(format!("interval = \"{interval}s\""));
    check.extend(timeout.map(|timeout| format!("timeout = \"{timeout}s\"")));
    check.extend(["fall = 1".to_owned(), "rise = 1".to_owned()]);
}

fn idle(reader: &Reader<'_>, made: &mut Checks) {
    let timeout = period(reader, "idleconnection.timeout-clean-reconnect", 3);
    let retries = reader.seconds("idleconnection.keepalive-retries", 3).max(1);
    let mut check = vec!["type = \"idle\"".to_owned()];
    check.push(format!("interval = \"{}s\"", period(reader, "idleconnection.keepalive-idle", INTERVAL)));
    check.push(format!("timeout = \"{timeout}s\""));
    check.push(format!("fall = {retries}"));
    if reader.has("idleconnection.max-delay") {
        check.push(format!("max_delay = \"{}s\"", period(reader, "idleconnection.max-delay", 300)));
    } else {
        made.remarks.push("IdleConnection: lvsd tries a server that is down again after 5 s at most; PyBal after up to 300 s".into());
    }
    if !reader.boolean("idleconnection.keepalive", true) {
        reader.note(
            "idleconnection.keepalive",
            "lvsd always sends keepalives, or a host that died silently would not be found",
        );
    }
    let between = reader.seconds("idleconnection.keepalive-interval", 30);
    if reader.has("idleconnection.keepalive-interval") && between != timeout {
        reader.lost(
            "idleconnection.keepalive-interval",
            format!("lvsd sends keepalives every `timeout`, which is the time for a connection as well: every {timeout} s; change `timeout` if that is too often"),
        );
    }
    made.checks.push(check);
}

fn command(reader: &Reader<'_>, made: &mut Checks) {
    let option = |name: &str| format!("runcommand.{name}");
    let program = reader.text(&option("command"));
    let arguments = reader.values(&option("arguments"), "the command gets none").unwrap_or_default();
    let (interval, timeout) = (
        period(reader, &option("interval"), COMMAND_INTERVAL),
        period(reader, &option("timeout"), COMMAND_TIMEOUT),
    );
    if reader.has(&option("log-output")) {
        reader.boolean(&option("log-output"), true);
        reader.note(
            &option("log-output"),
            "lvsd shows the last line that a failing command wrote, and no others",
        );
    }
    let Some(program) = program else {
        return reader.lost("monitors", format!("RunCommand without runcommand.command; {LEFT_OUT}"));
    };
    if !program.starts_with('/') {
        let what = format!("lvsd takes the absolute path of a program, found {program:?}; {LEFT_OUT}");
        return reader.lost(&option("command"), what);
    }
    let mut check = vec!["type = \"command\"".to_owned(), format!("command = {}", quoted(program))];
    let arguments: Option<Vec<String>> = arguments.iter().map(argument).collect();
    match arguments {
        Some(arguments) if arguments.is_empty() => {}
        Some(arguments) => check.push(format!("arguments = {}", array(arguments))),
        None => reader.lost(
            &option("arguments"),
            "expected texts in quotes, server.host, server.ip, server.port or server.lvsservice.name; the command gets no arguments",
        ),
    }
    timing(&mut check, interval, Some(timeout));
    reader.note(
        &option("command"),
        "PyBal ran it as root; lvsd runs it as nobody: give it `uid` and `gid` if it has to be another user",
    );
    made.checks.push(check);
}

/// A command's argument; what is the server's becomes lvsd's name for it.
fn argument(value: &Value) -> Option<String> {
    match &value.literal {
        Literal::Text(text) => Some(text.clone()),
        Literal::Name(name) => match name.as_str() {
            "server.host" => Some("{host}".into()),
            "server.ip" => Some("{address}".into()),
            "server.port" => Some("{port}".into()),
            "server.lvsservice.name" => Some("{service}".into()),
            _ => None,
        },
        Literal::Integer(_) | Literal::Boolean(_) | Literal::None | Literal::List(_) | Literal::Dict(_) => {
            None
        }
    }
}

fn dns(reader: &Reader<'_>, port: u16, made: &mut Checks) {
    let (interval, timeout) =
        (period(reader, "dnsquery.interval", INTERVAL), period(reader, "dnsquery.timeout", TIMEOUT));
    let fails_on_nxdomain = reader.boolean("dnsquery.fail-on-nxdomain", false);
    let Some(names) = reader.texts("dnsquery.hostnames", LEFT_OUT) else {
        if !reader.has("dnsquery.hostnames") {
            reader.lost("monitors", format!("DNSQuery without dnsquery.hostnames; {LEFT_OUT}"));
        }
        return;
    };
    for name in &names {
        for record_type in ["A", "AAAA"] {
            let mut check = vec!["type = \"dns\"".to_owned(), format!("name = {}", quoted(name))];
            check.push(format!("record_type = \"{record_type}\""));
            if !fails_on_nxdomain {
                check.push("rcodes = [\"NOERROR\", \"NXDOMAIN\"]".to_owned());
            }
            if port != DNS_PORT {
                check.push(format!("port = {DNS_PORT}"));
            }
            timing(&mut check, interval, Some(timeout));
            made.checks.push(check);
        }
    }
    made.remarks.push("DNSQuery: PyBal asks for one of the names at random, A or AAAA, always over IPv4; lvsd asks for each of them, each time, in the server's own family".into());
}

fn udp(reader: &Reader<'_>, made: &mut Checks) {
    let hold = reader.seconds("udp.icmp-timeout", 20);
    let mut check = vec!["type = \"udp\"".to_owned(), format!("hold = \"{hold}s\"")];
    timing(&mut check, period(reader, "udp.interval", INTERVAL), None);
    made.checks.push(check);
}
