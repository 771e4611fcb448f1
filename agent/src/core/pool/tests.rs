use super::*;
use proptest::prelude::*;

fn weight(value: u32) -> Weight {
    Weight::new(value).expect("a test's weight is valid")
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn backend(host: &str, health: Health) -> Candidate<'_> {
    Candidate {
        host,
        admin: Admin::Pooled,
        weight: weight(10),
        health,
        wish: None,
        adopted: None,
        is_off_link: false,
    }
}

fn up(host: &str) -> Candidate<'_> {
    backend(host, Health::Up { since: at(1) })
}

fn down(host: &str, since: u64) -> Candidate<'_> {
    backend(host, Health::Down { since: at(since) })
}

fn half() -> Threshold {
    Threshold::from_permille(500).expect("a half is a share")
}

fn standings(candidates: &[Candidate<'_>]) -> Vec<Standing> {
    decide(candidates, half()).into_iter().map(|d| d.standing).collect()
}

#[test]
fn a_healthy_backend_is_pooled_and_a_dead_one_is_not() {
    assert_eq!(
        standings(&[up("a"), up("b"), down("c", 5)]),
        [Standing::Pooled, Standing::Pooled, Standing::Down]
    );
}

#[test]
fn the_threshold_is_met_at_equality() {
    assert_eq!(standings(&[up("a"), down("b", 5)]), [Standing::Pooled, Standing::Down]);
}

#[test]
fn the_latest_to_fail_is_held_though_down() {
    assert_eq!(
        standings(&[down("a", 5), down("b", 7), down("c", 6)]),
        [Standing::Down, Standing::HeldThoughDown, Standing::HeldThoughDown]
    );
}

#[test]
fn among_equals_the_name_decides_who_is_held() {
    assert_eq!(standings(&[down("b", 5), down("a", 5)]), [Standing::Down, Standing::HeldThoughDown]);
}

#[test]
fn a_depooled_backend_is_not_held_for_the_threshold() {
    let mut depooled = down("a", 9);
    depooled.admin = Admin::Depooled;
    assert_eq!(standings(&[depooled, down("b", 5)]), [Standing::Depooled, Standing::HeldThoughDown]);
}

fn wishing(host: &str, wish: Wish) -> Candidate<'_> {
    Candidate { wish: Some(wish), ..up(host) }
}

#[test]
fn what_an_agent_asks_for_is_done_as_far_as_the_threshold_goes() {
    assert_eq!(
        standings(&[wishing("a", Wish::Drain), wishing("b", Wish::Maintenance), up("c"), up("d")]),
        [Standing::AgentDrain, Standing::AgentMaintenance, Standing::Pooled, Standing::Pooled]
    );
    assert_eq!(
        standings(&[wishing("a", Wish::Maintenance), wishing("b", Wish::Drain), down("c", 9)]),
        [Standing::HeldDespiteAgent, Standing::HeldDespiteAgent, Standing::Down]
    );
    assert_eq!(
        standings(&[wishing("a", Wish::Maintenance), wishing("b", Wish::Drain), up("c")]),
        [Standing::AgentMaintenance, Standing::HeldDespiteAgent, Standing::Pooled]
    );
}

#[test]
fn an_agent_is_not_asked_about_one_that_is_down_or_depooled() {
    let down = Candidate { wish: Some(Wish::Drain), ..down("a", 5) };
    let depooled = Candidate { admin: Admin::Depooled, ..wishing("b", Wish::Maintenance) };
    assert_eq!(
        standings(&[down, depooled, up("c"), up("d")]),
        [Standing::Down, Standing::Depooled, Standing::Pooled, Standing::Pooled]
    );
}

#[test]
fn an_agent_is_heard_before_the_other_checks_have_spoken_of_one_that_serves() {
    let mut adopted = backend("a", Health::Unknown);
    (adopted.adopted, adopted.wish) = (Some(weight(7)), Some(Wish::Drain));
    assert_eq!(standings(&[adopted, up("b")]), [Standing::AgentDrain, Standing::Pooled]);
}

#[test]
fn a_backend_off_link_is_neither_pooled_nor_held_nor_taken_over() {
    let off = |mut candidate: Candidate<'static>| {
        candidate.is_off_link = true;
        candidate
    };
    let mut adopted = off(backend("c", Health::Unknown));
    adopted.adopted = Some(weight(7));
    assert_eq!(
        standings(&[off(up("a")), off(down("b", 9)), adopted, down("d", 5)]),
        [Standing::OffLink, Standing::OffLink, Standing::OffLink, Standing::HeldThoughDown]
    );
}

#[test]
fn inactive_backends_do_not_count_in_the_denominator() {
    let mut inactive = up("a");
    inactive.admin = Admin::Inactive;
    assert_eq!(
        standings(&[inactive, up("b"), down("c", 5)]),
        [Standing::Inactive, Standing::Pooled, Standing::Down]
    );
}

#[test]
fn nobody_is_pooled_before_its_first_result() {
    assert_eq!(
        standings(&[backend("a", Health::Unknown), backend("b", Health::Unknown)]),
        [Standing::AwaitingChecks, Standing::AwaitingChecks]
    );
}

#[test]
fn what_the_kernel_serves_is_kept_until_the_checks_have_spoken() {
    let mut adopted = backend("a", Health::Unknown);
    adopted.adopted = Some(weight(7));
    let decision = decide(&[adopted], half());
    assert_eq!(decision, [Decision { weight: weight(7), standing: Standing::Adopted }]);
}

/// Hosts of a pool of chance.
const HOSTS: [&str; 9] = ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8"];

fn any_candidate(host: &'static str) -> impl Strategy<Value = Candidate<'static>> {
    let admin = prop_oneof![4 => Just(Admin::Pooled), 1 => Just(Admin::Depooled), 1 => Just(Admin::Inactive)];
    let health = prop_oneof![
        Just(Health::Unknown),
        (0..4u64).prop_map(|s| Health::Up { since: at(s) }),
        (0..4u64).prop_map(|s| Health::Down { since: at(s) }),
    ];
    let off_link = prop_oneof![4 => Just(false), 1 => Just(true)];
    let wish = prop_oneof![4 => Just(None), 1 => Just(Some(Wish::Drain)), 1 => Just(Some(Wish::Maintenance))];
    let parts = (admin, health, 0..3u32, proptest::option::of(0..3u32), off_link, wish);
    parts.prop_map(move |(admin, health, w, adopted, is_off_link, wish)| Candidate {
        host,
        admin,
        weight: weight(w),
        health,
        wish,
        adopted: adopted.map(weight),
        is_off_link,
    })
}

fn any_pool() -> impl Strategy<Value = (Vec<Candidate<'static>>, Threshold)> {
    let candidates = (0..HOSTS.len())
        .prop_flat_map(|n| HOSTS[..n].iter().map(|host| any_candidate(host)).collect::<Vec<_>>());
    (candidates, 0..=1000u16)
        .prop_map(|(c, t)| (c, Threshold::from_permille(t).expect("0..=1000 is a share")))
}

/// A pool, and the same pool in another order.
fn any_order() -> impl Strategy<Value = (Vec<Candidate<'static>>, Vec<Candidate<'static>>, Threshold)> {
    any_pool().prop_flat_map(|(c, t)| (Just(c.clone()), Just(c).prop_shuffle(), Just(t)))
}

proptest! {
    #[test]
    fn the_pool_is_never_below_its_threshold_while_anyone_enabled_could_be_pooled((pool, threshold) in any_pool()) {
        let decisions = decide(&pool, threshold);
        let total = pool.iter().filter(|c| c.admin != Admin::Inactive).count();
        let pooled = decisions.iter().filter(|d| d.standing.is_pooled() && d.weight > Weight::ZERO).count();
        let left_out = pool.iter().zip(&decisions).any(|(c, d)| {
            let could = c.admin == Admin::Pooled && c.health != Health::Unknown && !c.is_off_link;
            could && c.weight > Weight::ZERO && !d.standing.is_pooled()
        });
        prop_assert!(pooled >= threshold.needed(total) || !left_out);
    }

    #[test]
    fn a_disabled_backend_never_has_a_weight((pool, threshold) in any_pool()) {
        for (c, d) in pool.iter().zip(decide(&pool, threshold)) {
            prop_assert!(c.admin == Admin::Pooled || d.weight == Weight::ZERO);
            prop_assert!(d.standing.is_pooled() || d.weight == Weight::ZERO);
        }
    }

    #[test]
    fn an_agent_is_obeyed_unless_the_threshold_asks_for_its_backend((pool, threshold) in any_pool()) {
        let decisions = decide(&pool, threshold);
        let total = pool.iter().filter(|c| c.admin != Admin::Inactive).count();
        let pooled = decisions.iter().filter(|d| d.standing.is_pooled() && d.weight > Weight::ZERO).count();
        for (c, d) in pool.iter().zip(&decisions) {
            let is_held = d.standing == Standing::HeldDespiteAgent;
            prop_assert!(!is_held || (pooled <= threshold.needed(total) && d.weight > Weight::ZERO));
            let is_pooled = d.standing.is_pooled() && d.standing != Standing::HeldThoughDown;
            prop_assert!(c.wish.is_none() || !is_pooled || is_held);
            let is_down = matches!(c.health, Health::Down { .. });
            prop_assert!(!is_held || !is_down);
        }
    }

    #[test]
    fn who_is_off_link_never_has_a_weight_and_changes_nothing_for_others_but_as_one_who_is_depooled(
        (pool, threshold) in any_pool()
    ) {
        let depooled: Vec<Candidate<'_>> = pool.iter().cloned().map(|mut c| {
            if c.is_off_link && c.admin == Admin::Pooled {
                (c.admin, c.is_off_link) = (Admin::Depooled, false);
            }
            c
        }).collect();
        for ((c, d), other) in pool.iter().zip(decide(&pool, threshold)).zip(decide(&depooled, threshold)) {
            prop_assert!(!c.is_off_link || d.weight == Weight::ZERO);
            prop_assert_eq!(d.weight, other.weight);
        }
    }

    #[test]
    fn the_outcome_does_not_depend_on_the_order((pool, other, threshold) in any_order()) {
        let (one, two) = (decide(&pool, threshold), decide(&other, threshold));
        for (c, d) in pool.iter().zip(one) {
            let there = other.iter().position(|o| o.host == c.host).expect("the same hosts");
            prop_assert_eq!(d, two[there]);
        }
    }

    #[test]
    fn a_recovery_never_depools_a_healthy_backend((pool, threshold) in any_pool(), index: proptest::sample::Index) {
        prop_assume!(!pool.is_empty());
        let index = index.index(pool.len());
        let before = decide(&pool, threshold);
        let mut after = pool.clone();
        after[index].health = Health::Up { since: at(9) };
        for (i, d) in decide(&after, threshold).iter().enumerate() {
            // One that is held against its agent's word is let go.
            let serves = matches!(before[i].standing, Standing::Pooled | Standing::Adopted);
            prop_assert!(i == index || !serves || d.standing.can_serve());
        }
    }
}
