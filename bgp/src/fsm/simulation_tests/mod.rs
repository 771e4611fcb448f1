//! Two peers on one virtual clock, with a network between them that is slow, refuses, breaks, and loses without a word.
//!
//! A connection is two one-way streams. Whatever one end sends arrives in order, later; closing one end makes the
//! other see it closed after what was sent before. Each announces a set of routes that changes, and holds what it was told.

mod fault;
mod world;

use std::time::Duration;

use fault::{Fault, Happening, Wrong};
use proptest::prelude::*;
use world::World;

#[test]
fn two_speakers_that_dial_at_the_same_moment_end_with_one_session() {
    let mut world = World::new(vec![10], 1, false);
    world.run_until(Duration::from_secs(30)).unwrap();
    assert!(world.one_session());
}

#[test]
fn a_session_stays_up_for_hours_by_its_keepalives() {
    let mut world = World::new(vec![3, 20], 2, false);
    world.run_until(Duration::from_secs(60)).unwrap();
    let sessions = world.sessions;
    world.run_until(Duration::from_secs(4 * 3600)).unwrap();
    assert!(world.one_session());
    assert_eq!(world.sessions, sessions, "it never went down");
}

#[test]
fn a_lost_connection_comes_back() {
    let mut world = World::new(vec![10], 3, false);
    for seconds in [60, 200, 201, 400] {
        let at = world.start + Duration::from_secs(seconds);
        world.at(at, Happening::Fault(Fault::Reset));
    }
    world.run_until(Duration::from_secs(600)).unwrap();
    assert!(world.one_session());
}

#[test]
fn two_speakers_whose_sessions_ended_again_and_again_let_each_other_in_after_the_idle_hold() {
    for seed in 0..40 {
        let mut world = World::new(vec![10, 130, 0, 270], seed, false);
        while world.now < world.start + Duration::from_secs(600) {
            world.fault(Fault::Reset);
            world.run_until(world.now - world.start + Duration::from_secs(7)).unwrap();
        }
        // The longest idle hold, of each after the other.
        world.run_until(Duration::from_secs(600 + 130)).unwrap();
        assert!(world.one_session(), "seed {seed}");
    }
}

#[test]
fn a_neighbour_that_crashed_and_came_back_is_found_without_waiting_for_the_hold_time() {
    for node in 0..2 {
        let mut world = World::new(vec![10], 4, false);
        let at = world.start + Duration::from_secs(120);
        world.at(at, Happening::Fault(Fault::Crash(node)));
        world.run_until(Duration::from_secs(150)).unwrap();
        assert!(world.one_session(), "node {node} is back within 30 s of a hold time of 90 s");
    }
}

#[test]
fn a_connection_that_loses_everything_without_a_word_is_over_with_the_hold_time_and_another_takes_its_place()
{
    let mut world = World::new(vec![10], 5, false);
    world.run_until(Duration::from_secs(60)).unwrap();
    let sessions = world.sessions;
    world.at(world.now, Happening::Fault(Fault::Silence));
    // Each has heard the other 30 s ago at most.
    world.run_until(Duration::from_secs(60 + 59)).unwrap();
    assert_eq!(world.sessions, sessions, "nobody has noticed");
    world.run_until(Duration::from_secs(60 + 90 + 30)).unwrap();
    assert!(world.one_session());
    assert_eq!(world.sessions, sessions + 2);
}

#[test]
fn a_network_in_two_parts_ends_the_session_at_both_ends_and_one_that_is_one_again_has_one() {
    for (seconds, lives) in [(45, true), (200, false)] {
        let mut world = World::new(vec![10], 6, false);
        world.run_until(Duration::from_secs(60)).unwrap();
        let sessions = world.sessions;
        world.at(world.now, Happening::Fault(Fault::Partition(seconds * 1000)));
        world.run_until(Duration::from_secs(60 + seconds - 1)).unwrap();
        assert!(world.nodes.iter().all(|node| node.peer.established().is_some() == lives), "{seconds}");
        world.run_until(Duration::from_secs(60 + seconds + 120)).unwrap();
        assert!(world.one_session(), "{seconds}");
        assert_eq!(world.sessions == sessions, lives, "{seconds}");
    }
}

#[test]
fn no_session_comes_of_an_open_that_has_to_be_refused_and_one_does_as_soon_as_it_is_right() {
    for (wrong, internal) in Wrong::ALL.into_iter().flat_map(|wrong| [(wrong, false), (wrong, true)]) {
        for node in 0..2 {
            let mut world = World::new(vec![10], 7, internal);
            world.fault(Fault::Opens(node, Some(wrong)));
            world.run_until(Duration::from_secs(600)).unwrap();
            assert_eq!(world.sessions, 0, "{wrong:?} of {node}, internal: {internal}");
            world.fault(Fault::Opens(node, None));
            world.run_until(Duration::from_secs(600 + 120)).unwrap();
            assert!(world.one_session(), "{wrong:?} of {node}, internal: {internal}");
        }
    }
}

fn faults() -> impl Strategy<Value = Fault> {
    let wrong = proptest::option::of(proptest::sample::select(&Wrong::ALL[..]));
    prop_oneof![
        Just(Fault::Reset),
        (0_usize..2).prop_map(Fault::Crash),
        Just(Fault::Silence),
        (0_u64..200_000).prop_map(Fault::Partition),
        (0_usize..2, wrong).prop_map(|(node, wrong)| Fault::Opens(node, wrong)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_the_network_does_there_are_never_two_sessions_and_in_the_end_one_with_all_routes(
        delays in proptest::collection::vec(0_u64..400, 1..40),
        seed: u64,
        internal: bool,
        faults in proptest::collection::vec((0_u64..300_000, faults()), 0..8),
        changes in proptest::collection::vec((0_u64..300_000, 0_usize..2, 0_u8..20), 0..12),
    ) {
        let mut world = World::new(delays, seed, internal);
        for (millis, fault) in faults {
            let at = world.start + Duration::from_millis(millis);
            world.at(at, Happening::Fault(fault));
        }
        for (millis, node, routes) in changes {
            let at = world.start + Duration::from_millis(millis);
            world.at(at, Happening::Wants { node, routes });
        }
        for node in 0..2 {
            let at = world.start + Duration::from_secs(300);
            world.at(at, Happening::Fault(Fault::Opens(node, None)));
        }
        // The last fault, the longest partition, an OPEN that never comes, a full idle hold on both ends, and some tries.
        world.run_until(Duration::from_secs(300 + 200 + 240 + 240))?;
        prop_assert!(world.one_session(), "{:?}", world.nodes.each_ref().map(|node| node.peer.state()));
        prop_assert!(world.agree(), "{:?}", world.nodes.each_ref().map(|node| (&node.wants, &node.holds)));
        prop_assert!(world.quiet > 0);
    }
}
