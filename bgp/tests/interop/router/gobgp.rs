//! GoBGP, asked with its own command line.

use std::{fmt::Write as _, process::Command};

use bgp::Family;
use serde_json::Value;

use super::{Program, Router, Shown, afi, announced};
use crate::{
    ground::Ground,
    plan::{Beside, Dials, LONG_LIVED, Plan, Reach, Session},
    wait_until,
};

pub(super) struct Gobgp {
    program: Program,
    plan: Plan,
    /// Where its interface for programs listens.
    port: String,
}

impl Gobgp {
    pub(super) fn start(ground: &Ground, plan: &Plan) -> Result<Self, String> {
        let files = [("gobgpd.toml", configuration(plan))];
        let port = (50_000 + u16::from(plan.cell)).to_string();
        let program = Program::start(ground, &files, |directory| {
            let mut command = Command::new("gobgpd");
            command.arg("-f").arg(directory.join("gobgpd.toml")).arg("--pprof-disable");
            command.arg(format!("--api-hosts=127.0.0.1:{port}"));
            command
        })?;
        let gobgp = Self { program, plan: *plan, port };
        let configured = || {
            let all = gobgp.ask(&["neighbor"]);
            plan.sessions().iter().all(|session| all.contains(&session.ends.ours.to_string()))
        };
        wait_until("gobgpd answers", configured, || gobgp.program.output())?;
        for session in plan.sessions() {
            for family in &session.families {
                let (prefix, next_hop) = announced(&session, *family);
                gobgp.ask(&[
                    "global",
                    "rib",
                    "add",
                    "-a",
                    afi(*family),
                    prefix,
                    "nexthop",
                    &next_hop.to_string(),
                ]);
            }
        }
        Ok(gobgp)
    }

    fn ask(&self, words: &[&str]) -> String {
        self.program.run("gobgp", &[&["-p", &self.port, "-j"], words].concat())
    }

    fn path(&self, prefix: &str) -> Option<Value> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let answer: Value = serde_json::from_str(&self.ask(&["global", "rib", "-a", family, prefix])).ok()?;
        answer.get(prefix).unwrap_or(&answer).get(0).cloned()
    }

    fn each_neighbour(&self, words: &[&str]) {
        for session in self.plan.sessions() {
            self.ask(&[&["neighbor", &session.ends.ours.to_string()], words].concat());
        }
    }
}

/// The attribute of this type.
fn attribute(path: &Value, kind: u64) -> &Value {
    let all = path["attrs"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|one| one["type"] == kind).unwrap_or(&Value::Null)
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

impl Router for Gobgp {
    fn route(&self, prefix: &str) -> Option<Shown> {
        let path = self.path(prefix)?;
        let next_hop = attribute(&path, 3)["nexthop"].as_str().or(attribute(&path, 14)["nexthop"].as_str());
        let large = attribute(&path, 32)["value"].as_array().cloned().unwrap_or_default();
        Some(Shown {
            as_path: numbers(&attribute(&path, 2)["as_paths"][0]["asns"]),
            next_hop: next_hop.and_then(|hop| hop.parse().ok()),
            med: attribute(&path, 4)["metric"].as_u64(),
            communities: numbers(&attribute(&path, 8)["communities"])
                .into_iter()
                .map(|one| format!("{}:{}", one >> 16, one & 0xffff))
                .collect(),
            large_communities: large
                .iter()
                .map(|one| format!("{}:{}:{}", one["ASN"], one["LocalData1"], one["LocalData2"]))
                .collect(),
        })
    }

    fn is_stale(&self, prefix: &str) -> bool {
        self.path(prefix).is_some_and(|path| path["stale"] == true)
    }

    fn has_link_local(&self, _prefix: &str) -> bool {
        false
    }

    fn reset(&self) {
        self.each_neighbour(&["reset"]);
    }

    fn ask_again(&self) {
        self.each_neighbour(&["softresetin"]);
    }

    fn goodbye(&self, text: &str) {
        self.each_neighbour(&["shutdown", "--reason", text]);
    }

    fn told(&self) -> String {
        self.program.output()
    }

    fn program(&self) -> &Program {
        &self.program
    }
}

fn configuration(plan: &Plan) -> String {
    let addresses: Vec<_> = plan.sessions().iter().map(|session| session.ends.theirs.to_string()).collect();
    let mut text = format!(
        "[global.config]\nas = {}\nrouter-id = \"192.0.2.254\"\nport = 179\nlocal-address-list = {addresses:?}\n",
        plan.their_asn
    );
    for session in plan.sessions() {
        text += &neighbour(plan, &session);
    }
    text
}

fn neighbour(plan: &Plan, session: &Session) -> String {
    let mut text = format!(
        "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{}\"\npeer-as = {}\n\
         auth-password = \"{}\"\n[neighbors.timers.config]\nhold-time = {}\nkeepalive-interval = {}\nconnect-retry = 1\n\
         idle-hold-time-after-reset = 1\n\
         [neighbors.transport.config]\nlocal-address = \"{}\"\npassive-mode = {}\n\
         [neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\nlong-lived-enabled = {}\n\
         notification-enabled = {}\n",
        session.ends.ours,
        plan.our_asn,
        plan.password.unwrap_or_default(),
        plan.hold_time,
        plan.hold_time / 3,
        session.ends.theirs,
        plan.dials == Dials::Us,
        plan.beside == Beside::LongLived,
        plan.beside == Beside::Notification
    );
    text += match plan.reach {
        // Over IPv6 it offers IPv6 next hops of IPv4 routes by itself.
        Reach::Near | Reach::NearV6 => "",
        Reach::Gtsm => "[neighbors.ttl-security.config]\nenabled = true\nttl-min = 255\n",
        Reach::Far => "[neighbors.ebgp-multihop.config]\nenabled = true\nmultihop-ttl = 2\n",
    };
    for family in &session.families {
        let name = match family {
            Family::Ipv4 => "ipv4-unicast",
            Family::Ipv6 => "ipv6-unicast",
        };
        let _ = writeln!(
            text,
            "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{name}\"\n\
             [neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true"
        );
        if plan.beside == Beside::LongLived {
            let _ = writeln!(
                text,
                "[neighbors.afi-safis.long-lived-graceful-restart.config]\nenabled = true\nrestart-time = {LONG_LIVED}"
            );
        }
    }
    text
}
