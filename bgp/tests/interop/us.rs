//! Our end of a cell.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use bgp::{
    Asn, Community, Family, HoldTime, LargeCommunity, LocalRole, Password, PeerConfig, PeerStatus, Prefix,
    Role, RouteAttributes, RouteSet, SessionKey, Speaker, SpeakerConfig, StateName,
    policy::{Import, Rule, Verdict},
};

use crate::{
    PATIENCE,
    ground::{Ends, Ground},
    plan::{Beside, Dials, LONG_LIVED, Plan, Reach, Session},
};

/// The attributes of everything that we announce.
pub(crate) const MED: u32 = 100;
pub(crate) const COMMUNITY: &str = "64600:7";
pub(crate) const LARGE_COMMUNITY: &str = "4200000001:1:2";

/// A speaker of ours.
pub(crate) struct Us<'a> {
    ground: &'a Ground,
    plan: Plan,
    speaker: Option<Speaker>,
}

impl<'a> Us<'a> {
    /// Not running yet.
    pub(crate) const fn new(ground: &'a Ground, plan: Plan) -> Self {
        Self { ground, plan, speaker: None }
    }

    /// Starts it; `restarting` as after a crash.
    pub(crate) fn start(&mut self, restarting: bool) {
        let peers = self.plan.sessions().iter().map(|session| self.peer(session)).collect();
        self.start_with(peers, restarting);
    }

    pub(crate) fn start_with(&mut self, peers: Vec<PeerConfig>, restarting: bool) {
        let ends = self.plan.sessions()[0].ends;
        let router_id = Ipv4Addr::new(192, 0, 2, self.plan.cell);
        let listen = (self.plan.dials != Dials::Us).then(|| SocketAddr::new(ends.ours, 179));
        let config = SpeakerConfig {
            restarting,
            restart_time: Duration::from_secs(self.plan.restart_time),
            peers,
            listen: listen.into_iter().collect(),
            ..SpeakerConfig::new(asn(self.plan.our_asn), router_id)
        };
        let _inside = self.ground.runtime().enter();
        // Events are not looked at: the status says the same.
        self.speaker = Some(Speaker::spawn(config).0);
    }

    /// Our end of a session.
    pub(crate) fn peer(&self, session: &Session) -> PeerConfig {
        let (near, six) = (Ends::near(self.plan.cell), Ends::near_v6(self.plan.cell));
        let mut peer = PeerConfig::new(session.name, session.ends.theirs, asn(self.plan.their_asn));
        peer.passive = self.plan.dials == Dials::Router;
        peer.key = self.plan.password.map(|text| SessionKey::Md5(Password::new(text).expect("a password")));
        peer.local_address = Some(session.ends.ours);
        peer.hold_time = HoldTime::from_secs(self.plan.hold_time).expect("a legal time");
        peer.connect_retry = Duration::from_secs(1);
        peer.families.clone_from(&session.families);
        peer.next_hop_v4 = Some(near.ours).and_then(|address| address.to_string().parse().ok());
        peer.next_hop_v6 = Some(six.ours).and_then(|address| address.to_string().parse().ok());
        if self.plan.reach == Reach::NearV6 {
            (peer.next_hop_v4, peer.extended_next_hop) = (None, true);
        }
        match self.plan.beside {
            Beside::Nothing => {}
            Beside::LongLived => peer.long_lived = Some(Duration::from_secs(LONG_LIVED)),
            Beside::Roles => peer.role = Some(LocalRole { role: Role::Customer, strict: true }),
            Beside::Notification => peer.graceful_notification = true,
            Beside::LinkLocal => peer.link_local_next_hop = true,
        }
        peer.gtsm = self.plan.reach == Reach::Gtsm;
        peer.multihop = (self.plan.reach == Reach::Far).then_some(2);
        peer.import = Some(Import::new(vec![Rule { verdict: Verdict::ACCEPT, ..Rule::default() }]));
        peer
    }

    pub(crate) fn speaker(&self) -> &Speaker {
        self.speaker.as_ref().expect("it runs")
    }

    /// Announces exactly these.
    pub(crate) fn announce(&self, prefixes: &[&str]) {
        let [one, two, three] = [4_200_000_001, 1, 2];
        let attributes = RouteAttributes {
            med: Some(MED),
            communities: vec![Community::new(64_600, 7)],
            large_communities: vec![LargeCommunity { global: one, local1: two, local2: three }],
            ..RouteAttributes::default()
        };
        let route = |prefix: &&str| (prefix.parse::<Prefix>().expect("a prefix"), attributes.clone());
        self.speaker().set_routes(prefixes.iter().map(route).collect::<RouteSet>());
    }

    /// As a process that is killed: the connections are closed without a word.
    pub(crate) fn vanish(&mut self) {
        self.speaker = None;
    }

    /// An orderly end.
    pub(crate) fn goodbye(&mut self, text: &str) {
        if let Some(speaker) = self.speaker.take() {
            self.ground.runtime().block_on(speaker.shutdown(text));
        }
    }

    /// Waits until a session's status is as wanted.
    pub(crate) fn status(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&PeerStatus) -> bool,
    ) -> Result<PeerStatus, String> {
        let mut statuses = self.speaker().status();
        let found = async {
            let found = statuses.wait_for(|all| all.get(name).is_some_and(&wanted)).await;
            found.map(|all| all[name].clone()).ok()
        };
        let found = self.ground.runtime().block_on(async { tokio::time::timeout(PATIENCE, found).await });
        found.ok().flatten().ok_or_else(|| {
            format!("waited for: {what}; our status is {:#?}", self.speaker().status().borrow().get(name))
        })
    }

    /// Waits until every session is up; what was agreed on is what was planned.
    pub(crate) fn established(&self) -> Result<(), String> {
        for planned in self.plan.sessions() {
            let up = |status: &PeerStatus| status.state == StateName::Established && status.session.is_some();
            let status = self.status(planned.name, "Established", up)?;
            let agreed = status.session.ok_or("no session")?;
            if agreed.families != planned.families {
                return Err(format!("agreed on {:?}", agreed.families));
            }
            if !agreed.four_octet_asn || !agreed.graceful_restart {
                return Err(format!("not agreed on: {agreed:?}"));
            }
            if agreed.hold_time.as_secs() != self.plan.hold_time {
                return Err(format!("a hold time of {}", agreed.hold_time));
            }
        }
        Ok(())
    }

    /// Who has marked the router's route to a prefix as one for customers only (RFC 9234).
    pub(crate) fn only_to_customer(&self, prefix: &str) -> Option<u32> {
        let prefix = prefix.parse::<Prefix>().expect("a prefix");
        self.speaker().learned().borrow().best(prefix)?.route.only_to_customer
    }

    /// The next hop of the router's route to a prefix.
    pub(crate) fn next_hop(&self, prefix: &str) -> Option<IpAddr> {
        let prefix = prefix.parse::<Prefix>().expect("a prefix");
        self.speaker().learned().borrow().best(prefix).map(|path| path.route.next_hop)
    }

    /// Waits until each session has given us the router's route of each of its families.
    pub(crate) fn learned(&self) -> Result<(), String> {
        for session in self.plan.sessions() {
            let all = |status: &PeerStatus| {
                let has = |family: &Family| status.learned.get(family) == Some(&1);
                session.families.iter().all(has)
            };
            self.status(session.name, "the router's routes", all)?;
        }
        Ok(())
    }
}

fn asn(number: u32) -> Asn {
    Asn::new(number).expect("a legal number")
}
