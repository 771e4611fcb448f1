//! FRR's bgpd alone, without zebra, asked over the socket that vtysh would use.

use std::{fmt::Write as _, io::Write as _, os::unix::net::UnixStream, process::Command};

use bgp::Family;
use serde_json::Value;

use super::{Program, Router, Shown, afi, announced, read_until};
use crate::{
    ground::Ground,
    plan::{Beside, Dials, Plan, Reach},
    wait_until,
};

const BGPD: &str = "/usr/lib/frr/bgpd";

pub(super) struct Frr {
    program: Program,
    plan: Plan,
}

impl Frr {
    pub(super) fn start(ground: &Ground, plan: &Plan) -> Result<Self, String> {
        let files = [("bgpd.conf", configuration(plan))];
        let listen: Vec<_> = plan.sessions().iter().map(|session| session.ends.theirs.to_string()).collect();
        let program = Program::start(ground, &files, |directory| {
            let mut command = Command::new(BGPD);
            command.args(["-Z", "-n", "-S", "-P", "0", "-p", "179", "--log", "stdout"]);
            command.arg("-f").arg(directory.join("bgpd.conf")).arg("-i").arg(directory.join("pid"));
            command.arg("--vty_socket").arg(directory);
            command.args(listen.iter().flat_map(|address| ["-l", address.as_str()]));
            command
        })?;
        let frr = Self { program, plan: *plan };
        wait_until(
            "bgpd answers",
            || frr.ask(&["show bgp summary json"]).contains('{'),
            || frr.program.output(),
        )?;
        Ok(frr)
    }

    /// The answer to the last command. A command ends with a zero octet, an answer with three and a status.
    fn ask(&self, commands: &[&str]) -> String {
        let Ok(mut socket) = UnixStream::connect(self.program.path("bgpd.vty")) else { return String::new() };
        let mut answer = Vec::new();
        for command in commands {
            if socket.write_all(format!("{command}\0").as_bytes()).is_err() {
                return String::new();
            }
            answer = read_until(&socket, |all| all.len() >= 4 && all[all.len() - 4..].starts_with(&[0; 3]));
            answer.truncate(answer.len().saturating_sub(4));
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn path(&self, prefix: &str) -> Option<Value> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let answer = self.ask(&[&format!("show bgp {family} unicast {prefix} json")]);
        let answer: Value = serde_json::from_str(&answer).ok()?;
        answer["paths"].get(0).cloned()
    }
}

impl Router for Frr {
    fn route(&self, prefix: &str) -> Option<Shown> {
        let path = self.path(prefix)?;
        let words = |of: &Value| {
            of["string"].as_str().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        Some(Shown {
            as_path: path["aspath"]["string"]
                .as_str()
                .unwrap_or_default()
                .split_whitespace()
                .filter_map(|asn| asn.parse().ok())
                .collect(),
            next_hop: path["nexthops"][0]["ip"].as_str().and_then(|hop| hop.parse().ok()),
            med: path["metric"].as_u64(),
            communities: words(&path["community"]),
            large_communities: words(&path["largeCommunity"]),
        })
    }

    fn is_stale(&self, prefix: &str) -> bool {
        self.path(prefix).is_some_and(|path| path["stale"] == true)
    }

    fn has_link_local(&self, prefix: &str) -> bool {
        self.path(prefix).is_some_and(|path| path["nexthops"].to_string().contains("\"fe80:"))
    }

    fn reset(&self) {
        self.ask(&["enable", "clear bgp *"]);
    }

    fn ask_again(&self) {
        self.ask(&["enable", "clear bgp * soft in"]);
    }

    fn goodbye(&self, text: &str) {
        let router = format!("router bgp {}", self.plan.their_asn);
        for session in self.plan.sessions() {
            let goodbye = format!("neighbor {} shutdown message {text}", session.ends.ours);
            self.ask(&["enable", "configure terminal", &router, &goodbye]);
        }
    }

    fn told(&self) -> String {
        self.ask(&["show bgp neighbors"]) + &self.program.output()
    }

    fn program(&self) -> &Program {
        &self.program
    }
}

fn configuration(plan: &Plan) -> String {
    let mut text = format!(
        "log stdout\nrouter bgp {}\n bgp router-id 192.0.2.254\n bgp log-neighbor-changes\n no bgp default ipv4-unicast\n \
         no bgp ebgp-requires-policy\n no bgp network import-check\n bgp graceful-restart\n \
         bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time 60\n",
        plan.their_asn
    );
    text += match plan.beside {
        Beside::Nothing | Beside::Roles | Beside::LinkLocal => "",
        Beside::LongLived => " bgp long-lived-graceful-restart stale-time 600\n",
        Beside::Notification => " bgp graceful-restart notification\n no bgp hard-administrative-reset\n",
    };
    let mut maps = String::new();
    for session in plan.sessions() {
        let neighbor = format!(" neighbor {}", session.ends.ours);
        let _ = writeln!(
            text,
            "{neighbor} remote-as {}\n{neighbor} timers {} {}\n{neighbor} timers connect 1\n{neighbor} update-source {}",
            plan.our_asn,
            plan.hold_time / 3,
            plan.hold_time,
            session.ends.theirs
        );
        if plan.dials == Dials::Us {
            let _ = writeln!(text, "{neighbor} passive");
        }
        if plan.beside == Beside::Roles {
            let _ = writeln!(text, "{neighbor} local-role provider");
        }
        match plan.reach {
            Reach::Near => {}
            Reach::NearV6 => text += &format!("{neighbor} capability extended-nexthop\n"),
            Reach::Gtsm => text += &format!("{neighbor} ttl-security hops 1\n"),
            Reach::Far => text += &format!("{neighbor} ebgp-multihop 2\n"),
        }
        if let Some(password) = plan.password {
            let _ = writeln!(text, "{neighbor} password {password}");
        }
        for family in &session.families {
            let (prefix, next_hop) = announced(&session, *family);
            let (name, set) = match (family, plan.reach) {
                (Family::Ipv4, Reach::NearV6) => ("HOP4", "set ipv6 next-hop global"),
                (Family::Ipv4, _) => ("HOP4", "set ip next-hop"),
                (Family::Ipv6, _) => ("HOP6", "set ipv6 next-hop global"),
            };
            let _ = writeln!(
                text,
                " address-family {} unicast\n  network {prefix}\n {neighbor} activate\n {neighbor} route-map {name} out\n \
                 exit-address-family",
                afi(*family)
            );
            let _ = writeln!(maps, "route-map {name} permit 10\n {set} {next_hop}");
        }
    }
    text + "!\n" + &maps
}
