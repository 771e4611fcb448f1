//! The diff against a model of the kernel: what it leads to, that it does no more than it must, and its order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::arbitrary;
use crate::model::{Scheduler, SchedulerFlags, Weight};

/// Does what the kernel would, and refuses what it would.
fn apply(table: &mut BTreeMap<ServiceKey, Entry>, op: &Op) -> Result<(), &'static str> {
    match op {
        Op::NewService { key, service } => {
            if table.insert(*key, Entry::new(service.clone())).is_some() {
                return Err("EEXIST");
            }
        }
        Op::SetService { key, service } => {
            table.get_mut(key).ok_or("ESRCH")?.service = service.clone();
        }
        Op::DeleteService { key } => {
            table.remove(key).ok_or("ESRCH")?;
        }
        Op::NewDestination { service, key, destination } => {
            let entry = table.get_mut(service).ok_or("ESRCH")?;
            if entry.destinations.insert(*key, *destination).is_some() {
                return Err("EEXIST");
            }
        }
        Op::SetDestination { service, key, destination } => {
            let entry = table.get_mut(service).ok_or("ESRCH")?;
            entry.destinations.insert(*key, *destination).ok_or("ENOENT")?;
        }
        Op::DeleteDestination { service, key } => {
            table.get_mut(service).ok_or("ESRCH")?.destinations.remove(key).ok_or("ENOENT")?;
        }
    }
    Ok(())
}

fn unshared(table: &Table) -> BTreeMap<ServiceKey, Entry> {
    table.iter().map(|(key, entry)| (*key, entry.as_ref().clone())).collect()
}

/// Two tables that have much in common, and keys that were ours.
fn tables() -> impl Strategy<Value = (Table, Table, BTreeSet<ServiceKey>)> {
    (arbitrary::table(), arbitrary::table(), arbitrary::table(), any::<u64>()).prop_map(
        |(both, have, want, pick)| {
            let bit = |at: usize| pick >> (at % 64) & 1 == 1;
            let with = |other: &Table| -> Table {
                let both = both.iter().map(|(key, entry)| (*key, entry.as_ref().clone()));
                both.chain(other.iter().map(|(key, entry)| (*key, entry.as_ref().clone()))).collect()
            };
            let (have, mut want) = (with(&have), with(&want));
            let mut changed = Vec::new();
            for (at, (key, entry)) in both.iter().enumerate() {
                let mut entry = entry.as_ref().clone();
                let mut place = 0;
                entry.destinations.retain(|_, destination| {
                    place += 1;
                    if bit(at + 3 * place) {
                        destination.weight = Weight::ZERO;
                    }
                    bit(at + place)
                });
                if bit(at) {
                    changed.push((*key, entry));
                }
            }
            for (key, entry) in changed {
                want.insert(key, entry);
            }
            let owned = have.keys().enumerate().filter(|(at, _)| bit(at + 20)).map(|(_, key)| *key).collect();
            (have, want, owned)
        },
    )
}

proptest! {
    #[test]
    fn applying_a_diff_gives_what_is_wanted_and_leaves_foreign_services((have, want, owned) in tables()) {
        let mut kernel = unshared(&have);
        for op in diff(&have, &want, &owned) {
            prop_assert_eq!(apply(&mut kernel, &op), Ok(()), "{}", op);
        }
        let ours = |key: &ServiceKey| want.contains_key(key) || owned.contains(key);
        let mut expected = unshared(&want);
        expected.extend(unshared(&have).into_iter().filter(|(key, _)| !ours(key)));
        prop_assert_eq!(kernel, expected);
        prop_assert_eq!(foreign(&have, &want, &owned), have.keys().filter(|key| !ours(key)).count());
    }

    #[test]
    fn recording_each_confirmed_write_keeps_a_table_in_step_with_the_kernel((have, want, owned) in tables()) {
        let (mut kernel, mut remembered) = (unshared(&have), have.clone());
        for op in diff(&have, &want, &owned) {
            prop_assert_eq!(apply(&mut kernel, &op), Ok(()), "{}", op);
            remembered.record(&op);
            prop_assert_eq!(&unshared(&remembered), &kernel);
        }
        prop_assert_eq!(&unshared(&settled(&have, &want, &owned)), &kernel);
    }

    #[test]
    fn a_diff_has_no_operation_for_what_is_equal((have, want, owned) in tables()) {
        let (before, after) = (unshared(&have), unshared(&want));
        let mut touched = BTreeSet::new();
        for op in diff(&have, &want, &owned) {
            let service = op.service();
            let there = before.get(&service);
            let key = match &op {
                Op::NewService { .. } => { prop_assert!(there.is_none()); None }
                Op::DeleteService { .. } => { prop_assert!(!after.contains_key(&service)); None }
                Op::SetService { .. } if there.is_none() => {
                    prop_assert!(touched.remove(&(service, None)), "the scheduler of a new service");
                    None
                }
                Op::SetService { key, .. } => {
                    prop_assert_ne!(&before[key].service, &after[key].service);
                    None
                }
                Op::NewDestination { key, .. } => {
                    prop_assert!(there.is_none_or(|entry| !entry.destinations.contains_key(key)));
                    Some(*key)
                }
                Op::SetDestination { key, .. } => {
                    prop_assert_ne!(before[&service].destinations[key], after[&service].destinations[key]);
                    Some(*key)
                }
                Op::DeleteDestination { key, .. } => {
                    prop_assert!(!after[&service].destinations.contains_key(key));
                    Some(*key)
                }
            };
            prop_assert!(touched.insert((service, key)), "{} is touched twice", op);
        }
    }

    #[test]
    fn the_order_of_a_diff_is_services_sorted_then_additions_and_changes_sorted_then_deletions(
        (have, want, owned) in tables()
    ) {
        let order: Vec<_> = diff(&have, &want, &owned)
            .iter()
            .map(|op| match op {
                Op::SetService { key, .. } if !have.contains_key(key) => (*key, 2, None),
                Op::NewService { key, .. } | Op::SetService { key, .. } | Op::DeleteService { key } => (*key, 0, None),
                Op::NewDestination { service, key, .. } | Op::SetDestination { service, key, .. } => {
                    (*service, 1, Some(*key))
                }
                Op::DeleteDestination { service, key } => (*service, 2, Some(*key)),
            })
            .collect();
        prop_assert!(order.is_sorted(), "{:?}", order);
    }

    #[test]
    fn a_table_needs_nothing_to_become_itself(table in arbitrary::table()) {
        let owned = table.keys().copied().collect();
        let read_again: Table = unshared(&table).into_iter().collect();
        prop_assert_eq!(diff(&table, &table, &owned), vec![]);
        prop_assert_eq!(diff(&table, &read_again, &owned), vec![]);
    }
}

#[test]
fn a_new_service_hashes_when_all_its_destinations_are_there() {
    let service = key("tcp 192.0.2.10:80");
    let flags = SchedulerFlags { port: true, ..SchedulerFlags::NONE };
    let hashing = |destinations| {
        let mut entry = entry(destinations);
        entry.service = Service::new(Scheduler::Sh, flags)
            .unwrap()
            .with_persistence(crate::Persistence::default_for(crate::Family::V4));
        Table::from_iter([(service, entry)])
    };
    assert_eq!(
        texts(&Table::new(), &hashing(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)]), &[]),
        [
            "add service tcp 192.0.2.10:80, scheduler none, persistent 300 s for /32",
            "add destination 10.0.0.1:80 to tcp 192.0.2.10:80, weight 1, direct routing",
            "add destination 10.0.0.2:80 to tcp 192.0.2.10:80, weight 1, direct routing",
            "set service tcp 192.0.2.10:80, scheduler sh (port), persistent 300 s for /32",
        ]
    );
    assert_eq!(texts(&Table::new(), &hashing(&[("10.0.0.1:80", 1)]), &[]).len(), 2);
    // One that was left half done is finished.
    let mut half = hashing(&[("10.0.0.1:80", 1)]);
    let mut begun = half.remove(&service).unwrap().as_ref().clone();
    begun.service = begun.service.without_scheduler();
    half.insert(service, begun);
    assert_eq!(texts(&half, &hashing(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)]), &[]).len(), 2);
}

fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

fn entry(destinations: &[(&str, u32)]) -> Entry {
    let mut entry = Entry::new(Service::new(Scheduler::Wrr, SchedulerFlags::NONE).unwrap());
    for (key, weight) in destinations {
        let destination = Destination::direct_routing(Weight::new(*weight).unwrap());
        entry.destinations.insert(key.parse().unwrap(), destination);
    }
    entry
}

fn texts(have: &Table, want: &Table, owned: &[&str]) -> Vec<String> {
    let owned = owned.iter().map(|text| key(text)).collect();
    diff(have, want, &owned).iter().map(ToString::to_string).collect()
}

#[test]
fn a_whole_pool_is_replaced_without_being_empty_in_between() {
    let service = key("tcp 192.0.2.10:80");
    let have = Table::from_iter([(service, entry(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)]))]);
    let want = Table::from_iter([(service, entry(&[("10.0.0.3:80", 1), ("10.0.0.9:80", 2)]))]);
    assert_eq!(
        texts(&have, &want, &[]),
        [
            "add destination 10.0.0.3:80 to tcp 192.0.2.10:80, weight 1, direct routing",
            "add destination 10.0.0.9:80 to tcp 192.0.2.10:80, weight 2, direct routing",
            "delete destination 10.0.0.1:80 of tcp 192.0.2.10:80",
            "delete destination 10.0.0.2:80 of tcp 192.0.2.10:80",
        ]
    );
}

#[test]
fn a_new_service_comes_before_its_destinations_and_a_deleted_one_takes_them_along() {
    let have = Table::from_iter([
        (key("tcp [2001:db8::1]:80"), entry(&[("[2001:db8::7]:80", 1)])),
        (key("udp 192.0.2.99:53"), entry(&[("10.0.0.1:53", 1)])),
    ]);
    let want = Table::from_iter([(key("tcp 192.0.2.10:80"), entry(&[("10.0.0.7:80", 10)]))]);
    assert_eq!(
        texts(&have, &want, &["tcp [2001:db8::1]:80", "tcp 192.0.2.10:443"]),
        [
            "add service tcp 192.0.2.10:80, scheduler wrr",
            "add destination 10.0.0.7:80 to tcp 192.0.2.10:80, weight 10, direct routing",
            "delete service tcp [2001:db8::1]:80",
        ]
    );
}

#[test]
fn a_changed_forwarding_method_is_set_and_not_deleted_and_added() {
    let service = key("fwmark 7 v4");
    let have = Table::from_iter([(service, entry(&[("10.0.0.1:0", 3)]))]);
    let mut changed = entry(&[("10.0.0.1:0", 3)]);
    for destination in changed.destinations.values_mut() {
        destination.forward = crate::model::Forward::Masquerade;
    }
    let want = Table::from_iter([(service, changed)]);
    assert_eq!(texts(&have, &want, &[]), ["set destination 10.0.0.1:0 of fwmark 7 v4, weight 3, masquerade"]);
}

#[test]
fn a_service_that_was_there_is_adopted_and_only_set_where_it_differs() {
    let service = key("tcp 192.0.2.10:80");
    let mut other = entry(&[("10.0.0.1:80", 1)]);
    other.service.scheduler = Scheduler::Other("twos".to_owned());
    let have = Table::from_iter([(service, other)]);
    let want = Table::from_iter([(service, entry(&[("10.0.0.1:80", 1)]))]);
    assert_eq!(texts(&have, &want, &[]), ["set service tcp 192.0.2.10:80, scheduler wrr"]);
}
