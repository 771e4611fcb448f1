//! What operators change where the truth is: in etcd, for the whole fleet.
//!
//! ```text
//! lvsctl ─▶ preview (a question) ─▶ the objects that match
//!        ─▶ ChangeSource(objects) ─ threshold ─▶ WriteSource ─▶ executor ─▶ etcd
//!                                      │                           │
//!                                      ▼                           ▼
//!                                   refused              SourceWritten ─▶ Reply, a line of the log for each object
//! ```
//!
//! The core decides, an executor compares and swaps, and the answer is given when etcd has it. What it does to this
//! balancer's pools comes back by the source, as it does to all others.

use super::action::{Action, Answer, Done, Level, Notice, Refusal};
use super::event::{Note, Request};
use super::operator;
use super::state::State;
use super::unheard;
use crate::config::{Admin, Backend, PoolId, Query, SourceSettings};
use crate::suggest::suggest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Objects that one request may change: more is a slip of the pen.
pub const MAX_OBJECTS: usize = 1_000;

/// Requests that may wait for etcd at the same time. Each holds a connection to the control socket.
pub const MAX_PENDING: usize = 64;

/// Which objects are meant; `*` and `?` stand for any letters and for any one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The hosts.
    pub hosts: String,
    /// Only in the pools of services of this name.
    #[serde(default)]
    pub service: Option<String>,
    /// Only in pools of this cluster, the last directory but one of a pool's path.
    #[serde(default)]
    pub cluster: Option<String>,
}

/// A host in a pool of a source: what one key of etcd is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// The source's name.
    pub source: Arc<str>,
    /// The pool's path in it.
    pub path: Arc<str>,
    /// The host.
    pub host: Arc<str>,
}

/// `cp1 in conftool:eqiad/cache/text`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}:{}", self.host, self.source, self.path)
    }
}

impl Object {
    /// The pool that it is in.
    pub fn pool(&self) -> PoolId {
        PoolId::Remote { source: Arc::clone(&self.source), query: Query::Path(Arc::clone(&self.path)) }
    }
}

/// What is to be said of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// `pooled` is `yes`, `no` or `inactive`.
    Pooled(Admin),
    /// The weight; 0 drains.
    Weight(u16),
}

impl Word {
    /// Whether a host serves on that did before.
    pub(super) fn takes_out(self) -> bool {
        !matches!(self, Self::Pooled(Admin::Pooled) | Self::Weight(1..))
    }
}

/// What a request would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// What is kept in etcd.
    pub objects: Vec<Previewed>,
    /// What is kept where lvsctl does not write: each service that has such a host, and where its pool is.
    pub elsewhere: Vec<Elsewhere>,
}

/// An object, and what it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Previewed {
    /// Which.
    #[serde(flatten)]
    pub object: Object,
    /// `yes`, `no` or `inactive`.
    pub pooled: String,
    /// Its weight.
    pub weight: u32,
    /// The services of this balancer that it is in.
    pub services: Vec<String>,
}

/// A host whose pool lvsctl does not write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Elsewhere {
    /// The host.
    pub host: String,
    /// The service.
    pub service: String,
    /// Where its pool is.
    pub pool: String,
}

/// What an executor is to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriteOrder {
    /// The request's id.
    pub id: u64,
    /// The objects, all of one source.
    pub objects: Vec<Object>,
    /// What is to be said of them.
    pub to: Word,
}

/// What came of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// Which.
    pub object: Object,
    /// What etcd has now, or why not.
    pub outcome: Result<Stored, String>,
}

/// What a store has of an object now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stored {
    /// What was there, such as `pooled yes`.
    pub was: String,
    /// What is there.
    pub is: String,
    /// The store's revision since which it is there (etcd v2: its index).
    pub revision: u64,
}

/// A request that waits for stores.
#[derive(Clone, Debug)]
pub struct Pending {
    who: String,
    reason: Option<String>,
    services: Vec<String>,
    pub(super) objects: Vec<Object>,
    pub(super) to: Word,
    /// Sources that have not answered.
    awaited: usize,
    pub(super) written: Vec<Written>,
}

/// The objects that match.
///
/// # Errors
/// When no pool has such a host, or there is no such service.
pub fn preview(state: &State, selector: &Selector) -> Result<Preview, Refusal> {
    let hosts = operator::canonical(&selector.hosts);
    let mut found: BTreeMap<Object, Previewed> = BTreeMap::new();
    let (mut elsewhere, mut knows_service) = (BTreeSet::new(), false);
    for (name, service) in state.services.iter() {
        if !selector.service.as_ref().is_none_or(|wanted| matches(wanted, name)) {
            continue;
        }
        knows_service = true;
        for (id, backends) in state.inventory.contents(&service.config) {
            for backend in backends.iter().filter(|backend| matches(&hosts, &backend.host)) {
                match id.and_then(|id| object(state, id, &backend.host)) {
                    Some(object) if selector.cluster.as_ref().is_none_or(|of| is_of(&object.path, of)) => {
                        let seen = found.entry(object.clone()).or_insert_with(|| seen(object, backend));
                        seen.services.push(name.to_string());
                    }
                    Some(_) => {}
                    None if selector.cluster.is_some() => {}
                    None => drop(elsewhere.insert(Elsewhere {
                        host: backend.host.to_string(),
                        service: name.to_string(),
                        pool: operator::source_of(&service.config),
                    })),
                }
            }
        }
    }
    let preview =
        Preview { objects: found.into_values().collect(), elsewhere: elsewhere.into_iter().collect() };
    match (&selector.service, preview.objects.is_empty() && preview.elsewhere.is_empty()) {
        (Some(service), true) if !knows_service => {
            let near = suggest(service, state.services.keys().map(|name| &**name));
            let near = near.into_iter().map(Into::into).collect();
            Err(Refusal::UnknownService { service: service.clone(), near })
        }
        // The name may be known, but not in this cluster or service.
        (_, true) => {
            let near = operator::services_of(state, &hosts).err();
            Err(near.unwrap_or(Refusal::UnknownHost { host: hosts, near: Vec::new() }))
        }
        (_, false) => Ok(preview),
    }
}

/// The object that a host is in a pool, if lvsctl writes such pools.
fn object(state: &State, id: &PoolId, host: &Arc<str>) -> Option<Object> {
    let PoolId::Remote { source, query: Query::Path(path) } = id else { return None };
    let settings = state.config.as_ref()?.sources.get(source)?;
    let (source, path, host) = (Arc::clone(source), Arc::clone(path), Arc::clone(host));
    matches!(settings, SourceSettings::Etcd(_)).then_some(Object { source, path, host })
}

fn seen(object: Object, backend: &Backend) -> Previewed {
    let pooled = in_source(backend.pooled).to_owned();
    Previewed { object, pooled, weight: backend.weight.get(), services: Vec::new() }
}

/// The state as conftool spells it.
pub fn in_source(admin: Admin) -> &'static str {
    match admin {
        Admin::Pooled => "yes",
        Admin::Drained | Admin::Depooled => "no",
        Admin::Inactive => "inactive",
    }
}

/// Whether a pool's path is of a cluster: its last directory but one.
fn is_of(path: &str, cluster: &str) -> bool {
    path.rsplit('/').nth(1).is_some_and(|found| matches(cluster, found))
}

/// Whether a pattern with `*` and `?` matches a text, whole.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Where to go on from after a star that may take one letter more.
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == text[from] => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, from) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// Begins a change: what is to be written, or why not.
pub(super) fn begin(
    state: &mut State,
    request: &Request,
    objects: &[Object],
    to: Word,
    note: &Note,
) -> Result<Vec<Action>, Refusal> {
    let refused = |message: String| Err(Refusal::Nothing { message });
    if state.config.as_ref().is_some_and(|config| config.daemon.dry_run) {
        return refused("lvsd runs dry and changes nothing, in etcd neither".into());
    }
    if objects.is_empty() || objects.len() > MAX_OBJECTS {
        return refused(format!("{} objects at once: 1 to {MAX_OBJECTS} can be changed", objects.len()));
    }
    if state.changes.len() >= MAX_PENDING {
        return refused(format!("{MAX_PENDING} changes wait for etcd already"));
    }
    if note.lasts.is_some() {
        return refused("what etcd has does not end by itself: leave --for away, or use --local".into());
    }
    let services = known(state, objects)?;
    if to.takes_out() {
        let hosts: BTreeSet<&str> = objects.iter().map(|object| &*object.host).collect();
        let leaves_denominator = to == Word::Pooled(Admin::Inactive);
        operator::check_threshold(state, &hosts, &services, leaves_denominator, note.force)?;
    }
    let mut by_source: BTreeMap<&Arc<str>, Vec<Object>> = BTreeMap::new();
    for object in objects {
        by_source.entry(&object.source).or_default().push(object.clone());
    }
    let pending = Pending {
        who: request.who.clone(),
        reason: note.reason.clone(),
        services,
        objects: objects.to_vec(),
        to,
        awaited: by_source.len(),
        written: Vec::new(),
    };
    state.changes.insert(request.id, pending);
    let order = |objects| Action::WriteSource(WriteOrder { id: request.id, objects, to });
    Ok(by_source.into_values().map(order).collect())
}

/// The services of this balancer that the objects are in; each has to be known.
fn known(state: &State, objects: &[Object]) -> Result<Vec<String>, Refusal> {
    let mut services = BTreeSet::new();
    for wanted in objects {
        let id = wanted.pool();
        let backends = state.inventory.pool(&id).and_then(|pool| pool.backends.as_ref());
        let is_there = backends.is_some_and(|all| all.iter().any(|backend| backend.host == wanted.host));
        if !is_there || object(state, &id, &wanted.host).as_ref() != Some(wanted) {
            return Err(Refusal::UnknownHost { host: wanted.to_string(), near: Vec::new() });
        }
        services.extend(state.pool_users.get(&id).into_iter().flatten().map(ToString::to_string));
    }
    Ok(services.into_iter().collect())
}

/// A store has answered. Gives the answer to the operator when it was the last.
pub(super) fn written(state: &mut State, id: u64, written: Vec<Written>) -> Option<Action> {
    let pending = state.changes.get_mut(&id)?;
    pending.written.extend(written);
    pending.awaited = pending.awaited.saturating_sub(1);
    if pending.awaited > 0 {
        return None;
    }
    let pending = state.changes.remove(&id)?;
    unheard::remember(state, &pending);
    state.notices.extend(pending.written.iter().map(|written| notice(written, &pending)));
    Some(Action::Reply { id, answer: answer(state, pending) })
}

/// The line of the log that says who has changed what, and why.
fn notice(written: &Written, pending: &Pending) -> Notice {
    let Pending { who, reason, .. } = pending;
    let why = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason:?}"));
    let (level, what) = match &written.outcome {
        Ok(stored) => (Level::Info, stored.to_string()),
        Err(error) => (Level::Error, format!("could not be changed ({error})")),
    };
    Notice {
        level,
        service: None,
        subject: Some(written.object.to_string()),
        what,
        reason: format!("{who} asked for it{why}"),
    }
}

/// `pooled yes became pooled no at revision 123`.
impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { was, is, revision } = self;
        match was == is {
            true => write!(f, "{is} already, since revision {revision}"),
            false => write!(f, "{was} became {is} at revision {revision}"),
        }
    }
}

fn answer(state: &State, pending: Pending) -> Answer {
    let line = |written: &Written| match &written.outcome {
        Ok(stored) => format!("{}: {stored}{}", written.object, but(state, &written.object)),
        Err(error) => format!("{}: not changed: {error}", written.object),
    };
    let message = pending.written.iter().map(line).collect::<Vec<_>>().join("\n");
    if pending.written.iter().any(|written| written.outcome.is_err()) {
        return Err(Refusal::NotWritten { message });
    }
    let hosts: BTreeSet<&str> = pending.written.iter().map(|written| &*written.object.host).collect();
    let host = hosts.into_iter().collect::<Vec<_>>().join(" ");
    Ok(Done { host, services: pending.services, message, written: pending.written })
}

/// What an operator's word on this balancer makes of it.
fn but(state: &State, object: &Object) -> String {
    let word = state.saved.admin.get(&*object.host).map(|change| change.to.as_str());
    let word = word.or_else(|| state.saved.weights.get(&*object.host).map(|_| "weighed"));
    word.map_or_else(String::new, |word| {
        let host = &object.host;
        format!("; but on this balancer {host} is {word} by an operator: see `lvsctl why {host}`")
    })
}

#[cfg(test)]
mod tests {
    use super::{is_of, matches};

    #[test]
    fn a_star_is_any_letters_and_a_question_mark_one() {
        for (pattern, text) in [
            ("cp1", "cp1"),
            ("*", "cp1"),
            ("*", ""),
            ("cp1*", "cp1"),
            ("cp*5", "cp1005"),
            ("c*1*5", "cp1005"),
            ("cp100?", "cp1005"),
            ("*.example.org", "cp1.example.org"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("cp1", "cp10"), ("cp?", "cp"), ("", "x"), ("?", ""), ("cp*6", "cp1005"), ("p1", "cp1")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_stars_costs_no_more_than_its_length_times_the_texts() {
        let begin = std::time::Instant::now();
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
        assert!(begin.elapsed().as_secs() < 1);
    }

    #[test]
    fn a_cluster_is_the_last_directory_but_one() {
        assert!(is_of("eqiad/cache_text/varnish", "cache_text"));
        assert!(is_of("eqiad/cache_text/varnish", "cache*"));
        assert!(!is_of("eqiad/cache_text/varnish", "eqiad"));
        assert!(!is_of("varnish", "varnish"));
    }
}
