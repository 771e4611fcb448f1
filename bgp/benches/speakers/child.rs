//! This speaker as a process of its own, so that its memory and processor time are its own. It takes a line, and
//! answers with a line.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use bgp::{
    Asn, HoldTime, PeerConfig, Prefix, Route, RouteSet, Speaker, SpeakerConfig, StateName,
    policy::{Import, MaxPrefixes, Rule, Verdict},
};

use crate::{DAEMON_ASN, FEEDER, FEEDER_ASN, PORT, peers};

/// Where the speaker's own end is.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 2, 4);

/// VIPs that are told to many neighbours.
pub(crate) const VIPS: u32 = 100;

/// A process that answers lines; killed when dropped.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// This very program, to do something else.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, input, output }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The numbers that it answers a question with.
    pub(crate) fn ask(&mut self, question: &str) -> Vec<usize> {
        writeln!(self.input, "{question}").expect("it reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Answers every line of the standard input.
pub(crate) fn answer(mut how: impl FnMut(&str) -> Vec<usize>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let numbers: Vec<_> = how(&line).iter().map(usize::to_string).collect();
        println!("{}", numbers.join(" "));
    }
}

fn asn(number: u32) -> Asn {
    Asn::new(number).expect("a legal number")
}

fn taking_everything() -> Import {
    let most = MaxPrefixes { warn: usize::MAX, limit: usize::MAX, ..MaxPrefixes::DEFAULT };
    Import { max_prefixes: most, ..Import::new(vec![Rule { verdict: Verdict::ACCEPT, ..Rule::default() }]) }
}

/// The feeder alone, which dials us, or so many neighbours, which are dialled.
fn configured(neighbours: u32) -> Vec<PeerConfig> {
    let common = |mut peer: PeerConfig| {
        peer.import = Some(taking_everything());
        peer.multihop = Some(2);
        peer.local_address = Some(ADDRESS.into());
        peer
    };
    if neighbours > 0 {
        let peer = |n| {
            let mut peer = PeerConfig::new(format!("n{n:04}"), peers::address(n).into(), asn(peers::ASN));
            peer.port = peers::PORT;
            common(peer)
        };
        return (0..neighbours).map(peer).collect();
    }
    let mut feeder = PeerConfig::new("feeder", FEEDER.into(), asn(FEEDER_ASN));
    feeder.passive = true;
    feeder.hold_time = HoldTime::from_secs(0).expect("no KEEPALIVEs");
    vec![common(feeder)]
}

/// What the child does.
pub(crate) fn speaker(neighbours: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _inside = runtime.enter();
    let (speaker, _events) = Speaker::spawn(SpeakerConfig {
        listen: vec![SocketAddr::new(ADDRESS.into(), PORT)],
        peers: configured(neighbours),
        ..SpeakerConfig::new(asn(DAEMON_ASN), ADDRESS)
    });
    speaker.set_routes(RouteSet::new());
    answer(|question| match question {
        "learned" => vec![speaker.learned().borrow().len()],
        "sessions" => {
            let statuses = speaker.status();
            let statuses = statuses.borrow();
            let up = statuses.values().filter(|peer| peer.state == StateName::Established);
            let (mut sessions, mut ever) = (0, 0);
            up.for_each(|peer| {
                sessions += 1;
                ever += usize::try_from(peer.counters.established).unwrap_or(0);
            });
            vec![sessions, ever]
        }
        "announce" => {
            let vip = |n| Route::new(Prefix::host(Ipv4Addr::from_bits(0xc612_0000 + n).into()));
            speaker.set_routes((0..VIPS).map(vip).collect());
            Vec::new()
        }
        _ => {
            speaker.set_routes(RouteSet::new());
            Vec::new()
        }
    });
}
