//! What is held for each backend of thousands of services, once all is known and decided.

use crate::balancer::{Balancer, address};
use crate::counted;
use health::Verdict;
use lvsd::config::{Backend, PoolId, Query};
use lvsd::core::Event;
use std::fmt::Write as _;

const SERVICES: u32 = 1000;
const BACKENDS: u32 = 10;

/// Where services have their backends from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// All have the same, without checks.
    Shared,
    /// Each has its own, with a check each.
    Own,
    /// Each has its own, from a pool of a source, without checks.
    Source,
}

fn configuration(from: From) -> String {
    let mut text = String::new();
    if from == From::Source {
        text += "[source.etcd]\ntype = \"http\"\nurl = \"http://192.0.2.1\"\n";
    }
    for service in 0..SERVICES {
        let vip = address([198, 18, 0, 0], service);
        let _ = write!(text, "[service.s{service:05}]\nvips = [\"{vip}\"]\nport = 80\n");
        let checks = if from == From::Own { "[{ type = \"tcp\" }]" } else { "[]" };
        let _ = writeln!(text, "checks = {checks}");
        if from == From::Source {
            let _ = writeln!(text, "pool = {{ source = \"etcd\", path = \"s{service:05}\" }}");
            continue;
        }
        for backend in 0..BACKENDS {
            let number = if from == From::Own { service * BACKENDS + backend } else { backend };
            let server = address([10, 0, 0, 1], number);
            let _ = write!(
                text,
                "[[service.s{service:05}.backends]]\nhost = \"b{number}\"\naddresses = [\"{server}\"]\nweight = 10\n"
            );
        }
    }
    text
}

/// A service's pool as its source has it.
fn pool_read(service: u32) -> Event {
    let backend = |number: u32| Backend {
        host: format!("b{number}").into(),
        weight: ipvs::Weight::new(10).unwrap(),
        pooled: Default::default(),
        limits: Default::default(),
        addresses: Some([address([10, 0, 0, 1], number).into()].into()),
    };
    Event::PoolRead {
        pool: PoolId::Remote { source: "etcd".into(), query: Query::Path(format!("s{service:05}").into()) },
        outcome: Ok((0..BACKENDS).map(|number| backend(service * BACKENDS + number)).collect()),
    }
}

/// Bytes held for each backend, what its service takes among them.
fn held_for_each(from: From) -> u64 {
    let text = configuration(from);
    let before = counted::held();
    let mut balancer = Balancer::start(&text);
    if from == From::Source {
        // As a source says them that has all of them ready.
        balancer.take(Event::Several((0..SERVICES).map(pool_read).collect()));
        balancer.take(Event::SourceSaid { source: "etcd".into(), outcome: Ok(()) });
    }
    balancer.wait();
    if from == From::Own {
        balancer.all_say(Verdict::Up);
    }
    assert_eq!(balancer.told.wanted.table.len(), SERVICES as usize);
    let serves = |entry: &ipvs::Entry| entry.destinations.values().all(|of| of.weight.get() == 10);
    assert!(balancer.told.wanted.table.iter().all(|(_, entry)| serves(entry)));
    (counted::held() - before) / u64::from(SERVICES * BACKENDS)
}

#[test]
fn a_backend_takes_no_more_memory_than_it_is_allowed() {
    let _alone = counted::alone();
    let most =
        [("shared", From::Shared, 380), ("its own", From::Own, 1240), ("of a source", From::Source, 720)];
    let held = most.map(|(name, from, most)| (name, held_for_each(from), most));
    println!("bytes held for a backend, and allowed: {held:?}");
    for (name, held, most) in held {
        assert!(held <= most, "{name}: {held} bytes for a backend, {most} are allowed");
    }
}
