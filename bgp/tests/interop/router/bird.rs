//! BIRD 2, asked over its control socket.

use std::{fmt::Write as _, io::Write as _, os::unix::net::UnixStream, process::Command};

use super::{Program, Router, Shown, afi, announced, read_until};
use crate::{
    ground::Ground,
    plan::{Beside, Dials, Plan, Reach, Session},
    wait_until,
};

pub(super) struct Bird {
    program: Program,
    sessions: Vec<&'static str>,
}

impl Bird {
    pub(super) fn start(ground: &Ground, plan: &Plan) -> Result<Self, String> {
        let files = [("bird.conf", configuration(plan))];
        let program = Program::start(ground, &files, |directory| {
            let mut command = Command::new("bird");
            command.arg("-f").arg("-c").arg(directory.join("bird.conf"));
            command.arg("-s").arg(directory.join("ctl")).arg("-P").arg(directory.join("pid"));
            command
        })?;
        let sessions = plan.sessions().iter().map(|session| session.name).collect();
        let bird = Self { program, sessions };
        wait_until("BIRD answers", || bird.ask("show status").contains("up and"), || bird.program.output())?;
        Ok(bird)
    }

    fn ask(&self, question: &str) -> String {
        let Ok(mut socket) = UnixStream::connect(self.program.path("ctl")) else { return String::new() };
        // A reply ends with a line whose code, 4 digits, is followed by a space and starts with 0, 8 or 9.
        let over = |all: &[u8]| {
            let last = all.strip_suffix(b"\n").unwrap_or_default().rsplit(|octet| *octet == b'\n').next();
            last.is_some_and(|line| line.get(4) == Some(&b' ') && matches!(line[0], b'0' | b'8' | b'9'))
        };
        read_until(&socket, over);
        if writeln!(socket, "{question}").is_err() {
            return String::new();
        }
        String::from_utf8_lossy(&read_until(&socket, over)).into_owned()
    }
}

impl Router for Bird {
    fn route(&self, prefix: &str) -> Option<Shown> {
        let answer = self.ask(&format!("show route all for {prefix}"));
        let value = |name: &str| {
            let line = answer.lines().find(|line| line.contains(name))?;
            Some(line.split_once(": ")?.1.trim())
        };
        // `(64600,7) (64600,8)` and `(4200000001, 1, 2)`.
        let sets = |text: Option<&str>| {
            let all = text.unwrap_or_default().replace(", ", ",").replace(',', ":");
            all.split_whitespace().map(|one| one.trim_matches(['(', ')']).to_owned()).collect()
        };
        answer.contains("BGP.as_path").then(|| Shown {
            as_path: value("BGP.as_path")
                .into_iter()
                .flat_map(str::split_whitespace)
                .filter_map(|asn| asn.parse().ok())
                .collect(),
            next_hop: value("BGP.next_hop").and_then(|hop| hop.split_whitespace().next()?.parse().ok()),
            med: value("BGP.med").and_then(|med| med.parse().ok()),
            communities: sets(value("BGP.community")),
            large_communities: sets(value("BGP.large_community")),
        })
    }

    fn is_stale(&self, prefix: &str) -> bool {
        self.route(prefix).is_some()
            && self.ask("show protocols all").contains("Neighbor graceful restart active")
    }

    fn has_link_local(&self, prefix: &str) -> bool {
        let answer = self.ask(&format!("show route all for {prefix}"));
        answer.lines().any(|line| line.contains("BGP.next_hop") && line.contains(" fe80:"))
    }

    fn reset(&self) {
        for session in &self.sessions {
            self.ask(&format!("restart {session}"));
        }
    }

    fn ask_again(&self) {
        for session in &self.sessions {
            self.ask(&format!("reload in {session}"));
        }
    }

    fn goodbye(&self, text: &str) {
        for session in &self.sessions {
            self.ask(&format!("disable {session} \"{text}\""));
        }
    }

    fn told(&self) -> String {
        self.ask("show protocols all") + &self.program.output()
    }

    fn program(&self) -> &Program {
        &self.program
    }
}

fn configuration(plan: &Plan) -> String {
    let mut text = format!(
        "log stderr all;\nrouter id 192.0.2.254;\ndebug protocols {{ states, events }};\nprotocol device {{ }}\n\
         protocol static {{ ipv4; route {} blackhole; }}\nprotocol static {{ ipv6; route {} blackhole; }}\n",
        crate::plan::THEIRS[0],
        crate::plan::THEIRS[1]
    );
    for session in plan.sessions() {
        text += &protocol(plan, &session);
    }
    text
}

fn protocol(plan: &Plan, session: &Session) -> String {
    let mut text = format!(
        "protocol bgp {} {{\n local {} port 179 as {}; neighbor {} as {}; strict bind;\n hold time {}; connect retry time 1;\n \
         connect delay time 1; error wait time 1, 2; graceful restart on; graceful restart time 60;\n",
        session.name, session.ends.theirs, plan.their_asn, session.ends.ours, plan.our_asn, plan.hold_time
    );
    text += match plan.dials {
        Dials::Us => " passive;\n",
        Dials::Router | Dials::Both => "",
    };
    text += match plan.reach {
        Reach::Near | Reach::NearV6 => " direct;\n",
        Reach::Gtsm => " direct; ttl security on;\n",
        Reach::Far => " multihop 2;\n",
    };
    text += match plan.beside {
        Beside::Nothing | Beside::LinkLocal => "",
        Beside::LongLived => " long lived graceful restart on;\n",
        Beside::Roles => " local role provider;\n",
        // No row plans it for BIRD.
        Beside::Notification => "",
    };
    if let Some(password) = plan.password {
        let _ = writeln!(text, " password \"{password}\";");
    }
    for family in &session.families {
        let (_, next_hop) = announced(session, *family);
        let extended = if plan.reach == Reach::NearV6 { " extended next hop on;" } else { "" };
        let _ = writeln!(
            text,
            " {} {{ import all; export where source = RTS_STATIC; next hop address {next_hop};{extended} }};",
            afi(*family)
        );
    }
    text + "}\n"
}
