//! What a station was told, and what is different now.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

use super::{Session, Sightings, message, update};
use crate::{
    Family, Prefix,
    fsm::EndReason,
    rib::{LocRib, Received, Source},
    wire::{PathId, encode_end_of_rib},
};

/// Which of an Adj-RIB-In's two sides (RFC 7854 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum View {
    /// What the neighbour told.
    PrePolicy,
    /// What the import rules took of it.
    PostPolicy,
}

/// A path on one side.
pub(crate) type Sight = (View, Prefix, Arc<Source>, Arc<Received>);

/// What there is, copied so that nobody waits while it is compared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) sightings: Sightings,
    /// Of which families each peer has told everything.
    pub(crate) complete: BTreeMap<String, BTreeSet<Family>>,
    /// The sides that are looked at.
    pub(crate) views: Vec<View>,
    pub(crate) paths: Vec<Sight>,
}

impl Seen {
    /// Looks at one side: the paths of its table that have no identifier.
    pub(crate) fn see(&mut self, view: View, table: &LocRib) {
        self.views.push(view);
        let plain = table.paths().filter(|(_, path)| path.path_id == PathId::default());
        self.paths.extend(
            plain.map(|(prefix, path)| (view, prefix, Arc::clone(&path.source), Arc::clone(&path.route))),
        );
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Up(Arc<Session>),
    /// With the reason; without one when the peer is no longer configured.
    Down(Arc<Session>, Option<EndReason>),
    Announced(Arc<Session>, View, Arc<Received>, Vec<Prefix>),
    /// Prefixes of one family.
    Withdrawn(Arc<Session>, View, Family, Vec<Prefix>),
    EndOfRib(Arc<Session>, View, Family),
}

#[derive(Debug)]
struct Known {
    peer: Arc<str>,
    session: Arc<Session>,
    ended: BTreeSet<(Family, View)>,
}

/// See the module. A new connection begins with nothing told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    sessions: BTreeMap<String, Known>,
    routes: BTreeMap<(Arc<str>, View, Prefix), Arc<Received>>,
}

impl Told {
    /// What is different from what was told, in the order in which it is to be told; it counts as told from then on.
    pub(crate) fn look(&mut self, seen: &Seen) -> Vec<News> {
        let mut news = Vec::new();
        self.look_for_ends(seen, &mut news);
        self.look_for_sessions(seen, &mut news);
        self.look_at_routes(seen, &mut news);
        for (name, known) in &mut self.sessions {
            let families = seen.complete.get(name).into_iter().flatten();
            for (family, view) in families.flat_map(|family| seen.views.iter().map(|view| (*family, *view))) {
                if known.ended.insert((family, view)) {
                    news.push(News::EndOfRib(Arc::clone(&known.session), view, family));
                }
            }
        }
        news
    }

    /// The sessions that are told to be up.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = (&str, &Session)> {
        self.sessions.iter().map(|(name, known)| (&**name, &*known.session))
    }

    fn look_for_ends(&mut self, seen: &Seen, news: &mut Vec<News>) {
        let is_up = |name: &str, known: &Known| {
            let sighting = seen.sightings.get(name);
            sighting.is_some_and(|sighting| sighting.ended.is_none() && sighting.session == *known.session)
        };
        let gone: Vec<_> = self
            .sessions
            .iter()
            .filter(|(name, known)| !is_up(name, known))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            let Some(known) = self.sessions.remove(&name) else { continue };
            // Of a session whose successor is there already it is not known how it ended: as if the peer had closed it.
            let vanished = || EndReason::TcpClosed(String::new());
            let reason =
                seen.sightings.get(&name).map(|sighting| sighting.ended.clone().unwrap_or_else(vanished));
            news.push(News::Down(known.session, reason));
            self.routes.retain(|(peer, ..), _| *peer != known.peer);
        }
    }

    fn look_for_sessions(&mut self, seen: &Seen, news: &mut Vec<News>) {
        for (name, sighting) in seen.sightings.iter().filter(|(_, sighting)| sighting.ended.is_none()) {
            if !self.sessions.contains_key(name) {
                let session = Arc::new(sighting.session.clone());
                news.push(News::Up(Arc::clone(&session)));
                let known = Known { peer: name.as_str().into(), session, ended: BTreeSet::new() };
                self.sessions.insert(name.clone(), known);
            }
        }
    }

    fn look_at_routes(&mut self, seen: &Seen, news: &mut Vec<News>) {
        let (mut now, mut announced) = (BTreeMap::new(), BTreeMap::<_, Vec<Prefix>>::new());
        for (view, prefix, source, route) in &seen.paths {
            let Some(known) = self.sessions.get(&source.peer) else { continue };
            let key = (Arc::clone(&known.peer), *view, *prefix);
            if self.routes.get(&key) != Some(route) {
                let group = (Arc::clone(&known.peer), *view, prefix.family(), Arc::clone(route));
                announced.entry(group).or_default().push(*prefix);
            }
            now.insert(key, Arc::clone(route));
        }
        let mut withdrawn = BTreeMap::<_, Vec<Prefix>>::new();
        for (peer, view, prefix) in self.routes.keys().filter(|key| !now.contains_key(*key)) {
            withdrawn.entry((Arc::clone(peer), *view, prefix.family())).or_default().push(*prefix);
        }
        let session = |peer: &Arc<str>| self.sessions.get(&**peer).map(|known| Arc::clone(&known.session));
        for ((peer, view, family), prefixes) in withdrawn {
            news.extend(session(&peer).map(|session| News::Withdrawn(session, view, family, prefixes)));
        }
        for ((peer, view, _, route), prefixes) in announced {
            news.extend(session(&peer).map(|session| News::Announced(session, view, route, prefixes)));
        }
        self.routes = now;
    }
}

impl News {
    /// Appends its messages; how many.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, at: SystemTime) -> u64 {
        let updates = |out: &mut Vec<u8>, session: &Session, view: View, updates: Vec<Vec<u8>>| {
            updates.iter().for_each(|update| message::route_monitoring(out, session, view, update, at));
            u64::try_from(updates.len()).unwrap_or(0)
        };
        match self {
            Self::Up(session) => message::peer_up(out, session),
            Self::Down(session, reason) => message::peer_down(out, session, reason.as_ref(), at),
            Self::Announced(session, view, route, prefixes) => {
                return updates(out, session, *view, update::announce(route, prefixes));
            }
            Self::Withdrawn(session, view, family, prefixes) => {
                return updates(out, session, *view, update::withdraw(*family, prefixes));
            }
            Self::EndOfRib(session, view, family) => {
                let mut end = Vec::new();
                encode_end_of_rib(&mut end, *family);
                return updates(out, session, *view, vec![end]);
            }
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::bmp::Sighting;

    fn session(number: u64) -> Session {
        let end = |last| std::net::SocketAddr::new(Ipv4Addr::new(192, 0, 2, last).into(), 179);
        Session {
            number,
            since: SystemTime::UNIX_EPOCH,
            local: end(1),
            remote: end(2),
            asn: 65_001,
            router_id: Ipv4Addr::new(192, 0, 2, 2),
            sent: vec![1],
            received: vec![2],
        }
    }

    fn seen(number: u64, ended: Option<EndReason>, prefixes: &[&str]) -> Seen {
        let source = Arc::new(Source {
            peer: "r1".into(),
            address: Ipv4Addr::new(192, 0, 2, 2).into(),
            router_id: Ipv4Addr::new(192, 0, 2, 2),
            internal: false,
        });
        let route = Arc::new(Received::default());
        let path =
            |text: &&str| (View::PostPolicy, text.parse().unwrap(), Arc::clone(&source), Arc::clone(&route));
        Seen {
            sightings: [("r1".into(), Sighting { session: session(number), ended })].into(),
            complete: [("r1".into(), [Family::Ipv4].into())].into(),
            views: vec![View::PostPolicy],
            paths: prefixes.iter().map(path).collect(),
        }
    }

    fn words(news: &[News]) -> Vec<String> {
        let mark = |view| if view == View::PrePolicy { " before" } else { "" };
        let list =
            |prefixes: &[Prefix]| prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let word = |one: &News| match one {
            News::Up(session) => format!("up {}", session.number),
            News::Down(session, Some(_)) => format!("down {}", session.number),
            News::Down(session, None) => format!("gone {}", session.number),
            News::Announced(_, view, _, prefixes) => format!("+ {}{}", list(prefixes), mark(*view)),
            News::Withdrawn(_, view, _, prefixes) => format!("- {}{}", list(prefixes), mark(*view)),
            News::EndOfRib(_, view, family) => format!("end {family}{}", mark(*view)),
        };
        news.iter().map(word).collect()
    }

    #[test]
    fn a_station_hears_of_what_is_different_and_of_nothing_twice() {
        let mut told = Told::default();
        let mut look = |seen: Seen| words(&told.look(&seen));
        let both = seen(1, None, &["10.67.1.0/26", "10.67.2.0/26"]);
        assert_eq!(look(both.clone()), ["up 1", "+ 10.67.1.0/26 10.67.2.0/26", "end ipv4"]);
        assert_eq!(look(both.clone()), [""; 0]);
        assert_eq!(
            look(seen(1, None, &["10.67.2.0/26", "10.67.3.0/26"])),
            ["- 10.67.1.0/26", "+ 10.67.3.0/26"]
        );
        // Kept over a restart: the session is gone all the same, and what it told with it.
        let ended = Some(EndReason::SendHold);
        assert_eq!(look(seen(1, ended, &["10.67.2.0/26"])), ["down 1"]);
        assert_eq!(look(seen(2, None, &["10.67.2.0/26"])), ["up 2", "+ 10.67.2.0/26", "end ipv4"]);
        // A session that came and went between two looks.
        assert_eq!(look(seen(4, None, &["10.67.2.0/26"])), ["down 2", "up 4", "+ 10.67.2.0/26", "end ipv4"]);
        assert_eq!(look(Seen::default()), ["gone 4"]);
    }

    #[test]
    fn what_was_told_and_what_was_taken_of_it_are_told_apart() {
        let mut told = Told::default();
        let mut look = |told_before: &[&str], taken: &[&str]| {
            let mut both = seen(1, None, taken);
            both.views.push(View::PrePolicy);
            let before = seen(1, None, told_before).paths.into_iter();
            both.paths
                .extend(before.map(|(_, prefix, source, route)| (View::PrePolicy, prefix, source, route)));
            words(&told.look(&both))
        };
        assert_eq!(
            look(&["10.67.1.0/26", "192.0.2.0/24"], &["10.67.1.0/26"]),
            ["up 1", "+ 10.67.1.0/26 192.0.2.0/24 before", "+ 10.67.1.0/26", "end ipv4", "end ipv4 before"]
        );
        assert_eq!(look(&["10.67.1.0/26"], &["10.67.1.0/26"]), ["- 192.0.2.0/24 before"]);
        assert_eq!(look(&["10.67.1.0/26"], &[]), ["- 10.67.1.0/26"]);
        assert_eq!(look(&[], &[]), ["- 10.67.1.0/26 before"]);
    }
}
