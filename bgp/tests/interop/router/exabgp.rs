//! ExaBGP: it has no table; what it tells its program of our routes is kept for it.

use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, process::Command};

use serde_json::Value;

use super::{Program, Router, Shown, afi, announced};
use crate::{
    ground::Ground,
    plan::{Dials, Plan, Reach, Session},
    wait_until,
};

/// The program at its interface: writes down what it is told, and says what is appended to a file.
const PROGRAM: &str = "\
import os, select, sys
commands = open(sys.argv[1] + '/commands')
told = open(sys.argv[1] + '/told', 'ab', 0)
while True:
    for line in commands:
        sys.stdout.write(line)
        sys.stdout.flush()
    if select.select([0], [], [], 0.05)[0]:
        lines = os.read(0, 65536)
        if not lines:
            break
        told.write(lines)
";

pub(super) struct Exabgp {
    program: Program,
    plan: Plan,
}

impl Exabgp {
    pub(super) fn start(ground: &Ground, plan: &Plan) -> Result<Self, String> {
        let files = [
            ("exabgp.conf", configuration(plan)),
            ("program.py", PROGRAM.into()),
            ("commands", String::new()),
        ];
        let listen: Vec<_> = plan.sessions().iter().map(|session| session.ends.theirs.to_string()).collect();
        let program = Program::start(ground, &files, |directory| {
            let mut command = Command::new("exabgp");
            command.current_dir(directory).arg("exabgp.conf");
            command.env("exabgp.tcp.bind", listen.join(" ")).env("exabgp.tcp.port", "179");
            command
                .env("exabgp.daemon.user", "root")
                .env("exabgp.api.cli", "false")
                .env("exabgp.api.ack", "false");
            command.env("exabgp.log.enable", "true").env("exabgp.log.all", "false");
            command
        })?;
        let exabgp = Self { program, plan: *plan };
        wait_until(
            "ExaBGP has started",
            || exabgp.program.path("told").exists(),
            || exabgp.program.output(),
        )?;
        Ok(exabgp)
    }

    fn say(&self, command: &str) {
        let file = OpenOptions::new().append(true).open(self.program.path("commands"));
        let written = file.and_then(|mut file| writeln!(file, "{command}"));
        written.expect("a line is appended");
    }
}

impl Router for Exabgp {
    fn route(&self, prefix: &str) -> Option<Shown> {
        let mut known = None;
        for line in self.program.text("told").lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let neighbour = &line["neighbor"];
            if neighbour["state"] == "down" {
                known = None;
            }
            let update = &neighbour["message"]["update"];
            let family = if prefix.contains(':') { "ipv6 unicast" } else { "ipv4 unicast" };
            let names = |list: &Value| {
                list.as_array().into_iter().flatten().any(|one| one["nlri"] == prefix || *one == prefix)
            };
            if names(&update["withdraw"][family]) {
                known = None;
            }
            let hops = update["announce"][family].as_object();
            if let Some((hop, _)) = hops.into_iter().flatten().find(|(_, list)| names(list)) {
                known = Some(shown(hop, &update["attribute"]));
            }
        }
        known
    }

    fn is_stale(&self, _prefix: &str) -> bool {
        false
    }

    fn has_link_local(&self, _prefix: &str) -> bool {
        self.program.text("told").contains("\"fe80:")
    }

    fn reset(&self) {
        self.goodbye("");
    }

    fn ask_again(&self) {
        for family in ["ipv4", "ipv6"] {
            self.say(&format!("announce route-refresh {family} unicast"));
        }
    }

    fn goodbye(&self, _text: &str) {
        for session in self.plan.sessions() {
            self.say(&format!("neighbor {} teardown 2", session.ends.ours));
        }
    }

    fn told(&self) -> String {
        self.program.text("told") + &self.program.output()
    }

    fn program(&self) -> &Program {
        &self.program
    }
}

fn shown(next_hop: &str, attributes: &Value) -> Shown {
    let lists = |of: &Value| {
        let joined = |one: &Value| {
            let numbers = one.as_array().into_iter().flatten().map(Value::to_string);
            numbers.collect::<Vec<_>>().join(":")
        };
        of.as_array().into_iter().flatten().map(joined).collect()
    };
    Shown {
        as_path: attributes["as-path"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect(),
        next_hop: next_hop.parse().ok(),
        med: attributes["med"].as_u64(),
        communities: lists(&attributes["community"]),
        large_communities: lists(&attributes["large-community"]),
    }
}

fn configuration(plan: &Plan) -> String {
    let mut text =
        "process watch { run /usr/bin/python3 @directory/program.py @directory; encoder json; }\n".to_owned();
    for session in plan.sessions() {
        text += &neighbour(plan, &session);
    }
    text
}

fn neighbour(plan: &Plan, session: &Session) -> String {
    let mut text = format!(
        "neighbor {} {{\n router-id 192.0.2.254; local-address {}; local-as {}; peer-as {}; hold-time {}; passive {};\n \
         capability {{ asn4 enable; route-refresh enable; graceful-restart 60;{} }}\n \
         api {{ processes [ watch ]; neighbor-changes; receive {{ parsed; update; }} }}\n",
        session.ends.ours,
        session.ends.theirs,
        plan.their_asn,
        plan.our_asn,
        plan.hold_time,
        plan.dials == Dials::Us,
        if plan.reach == Reach::NearV6 { " nexthop enable;" } else { "" }
    );
    text += match plan.reach {
        Reach::Near => "",
        Reach::NearV6 => " nexthop { ipv4 unicast ipv6; }\n",
        Reach::Gtsm => " incoming-ttl 255; outgoing-ttl 255;\n",
        Reach::Far => " outgoing-ttl 2;\n",
    };
    if let Some(password) = plan.password {
        let _ = writeln!(text, " md5-password '{password}';");
    }
    let families: Vec<_> =
        session.families.iter().map(|family| format!("{} unicast;", afi(*family))).collect();
    let _ = writeln!(text, " family {{ {} }}\n announce {{", families.join(" "));
    for family in &session.families {
        let (prefix, next_hop) = announced(session, *family);
        let _ = writeln!(text, "  {} {{ unicast {prefix} next-hop {next_hop}; }}", afi(*family));
    }
    text + " }\n}\n"
}
