//! The guard against large changes: a source that takes out much of a pool at once is not obeyed at once.

use crate::config::{Admin, Backend, Threshold};
use ipvs::Weight;
use std::collections::BTreeSet;

/// The numbers, when a push takes out more of a pool than it may: more than `max_change` of the backends that are to
/// serve. One backend may always go.
pub fn too_much(before: &[Backend], after: &[Backend], max_change: Threshold) -> Option<String> {
    let staying: BTreeSet<&str> = after.iter().filter(|backend| serves(backend)).map(|b| &*b.host).collect();
    let serving = before.iter().filter(|backend| serves(backend));
    let (kept, lost): (Vec<&Backend>, Vec<&Backend>) =
        serving.partition(|backend| staying.contains(&*backend.host));
    let total = kept.len() + lost.len();
    let most = max_change.rounded_down(total).max(1);
    (lost.len() > most).then(|| {
        format!(
            "it takes out {} of {total} backends at once, and max_change lets {most} go; `lvsctl confirm` lets it through",
            lost.len()
        )
    })
}

fn serves(backend: &Backend) -> bool {
    backend.pooled == Admin::Pooled && backend.weight > Weight::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(hosts: &[&str]) -> Vec<Backend> {
        let weight = Weight::new(1).unwrap();
        hosts
            .iter()
            .map(|host| Backend {
                host: (*host).into(),
                weight,
                pooled: Admin::Pooled,
                limits: Default::default(),
                addresses: None,
            })
            .collect()
    }

    fn is_held(after: &[Backend]) -> bool {
        too_much(&pool(&["a", "b", "c", "d"]), after, Threshold::HALF).is_some()
    }

    #[test]
    fn half_may_go_and_one_more_may_not() {
        assert!(!is_held(&pool(&["a", "b"])));
        assert!(is_held(&pool(&["a"])));
        assert!(is_held(&[]));
    }

    #[test]
    fn to_disable_or_to_weigh_nothing_is_to_take_out() {
        let mut after = pool(&["a", "b", "c", "d"]);
        after[0].pooled = Admin::Depooled;
        after[1].weight = Weight::ZERO;
        assert!(!is_held(&after));
        after[2].pooled = Admin::Inactive;
        assert!(is_held(&after));
    }

    #[test]
    fn others_in_their_place_do_not_make_up_for_those_that_go() {
        assert!(is_held(&pool(&["a", "x", "y", "z"])));
    }

    #[test]
    fn one_may_always_go() {
        assert!(too_much(&pool(&["a"]), &[], Threshold::from_permille(0).unwrap()).is_none());
    }
}
