//! When a Lease may be ours: by how long its holder has been silent for us, whatever its clock and ours say.

use super::super::lease::Candidate;
use crate::config::Lease;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::time::{Duration, Instant};

fn candidate() -> Candidate {
    Candidate::new(Lease { namespace: "lvsd".into(), name: "lvsd".into() }, "we".into())
}

fn of(holder: &str, length: Option<i32>, renewed: &str) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(holder.into()),
        lease_duration_seconds: length,
        lease_transitions: Some(7),
        renew_time: Some(MicroTime(renewed.parse().expect("a time"))),
        ..LeaseSpec::default()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_holder_whose_clock_is_years_behind_keeps_it_as_long_as_it_renews() {
    let (mut ours, begin) = (candidate(), Instant::now());
    for round in 0..20 {
        let found = of("other", Some(15), &format!("1970-01-01T00:00:{round:02}Z"));
        assert_eq!(ours.judge(&found, begin + seconds(14 * round)), None, "{round}");
        assert_eq!(ours.judge(&found, begin + seconds(14 * round) + seconds(13)), None, "{round}");
    }
}

#[test]
fn a_holder_whose_clock_is_years_ahead_loses_it_when_it_is_silent_for_its_length() {
    for (length, until) in [(Some(15), 15), (Some(60), 60), (Some(1), 1), (None, 15), (Some(-1), 15)] {
        let (mut ours, begin) = (candidate(), Instant::now());
        let found = of("other", length, "2099-01-01T00:00:00Z");
        assert_eq!(ours.judge(&found, begin), None, "{length:?}: what was seen only now may be new");
        let just = seconds(until);
        assert_eq!(ours.judge(&found, begin + just - Duration::from_millis(1)), None, "{length:?}");
        assert_eq!(ours.judge(&found, begin + just), Some(8), "{length:?}: it changes hands");
    }
}

#[test]
fn one_that_nobody_has_is_free_at_once_and_ours_stays_ours() {
    let now = Instant::now();
    assert_eq!(candidate().judge(&of("", Some(15), "2026-01-01T00:00:00Z"), now), Some(8));
    assert_eq!(candidate().judge(&LeaseSpec::default(), now), Some(1));
    assert_eq!(candidate().judge(&of("we", Some(15), "1970-01-01T00:00:00Z"), now), Some(7));
    assert_eq!(candidate().until(), None, "who has not renewed it may write nothing");
}
