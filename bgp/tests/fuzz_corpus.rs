//! A bounded run over the fuzz targets' corpus: every seed, what fuzzing has found from there, and both hit by chance, through the
//! decoders.
//! `bgp/fuzz` has the unbounded one, with the same [`looks`]; `every_target_is_there` that it has no other.

#[path = "../fuzz/looks.rs"]
mod looks;

use std::{env, fs, path::Path as File};

use proptest::{prelude::*, sample::Index};

/// What speakers say, or what was made from it by hand; all of it is well-formed.
const SEEDS: &str = "corpus";

/// What reaches code that no seed reaches; most of it is refused.
const FOUND: &str = "found";

fn inputs(kind: &str, target: &str) -> Vec<Vec<u8>> {
    let directory = File::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
    let mut files: Vec<_> =
        fs::read_dir(directory).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}

/// A target and what it does.
type Target = (&'static str, fn(&[u8]) -> bool);

const TARGETS: [Target; 6] = [
    ("stream", looks::stream),
    ("open", looks::open),
    ("update", looks::update),
    ("notification", looks::notification),
    ("refresh", looks::refresh),
    ("bfd", looks::bfd),
];

/// How many seeds are hit: some thousands, or what `FUZZ_CASES` says.
fn cases() -> u32 {
    env::var("FUZZ_CASES").map_or(2048, |number| number.parse().expect("FUZZ_CASES is a number"))
}

#[test]
fn every_seed_is_taken() {
    for (target, feed) in TARGETS {
        for (index, seed) in inputs(SEEDS, target).iter().enumerate() {
            assert!(feed(seed), "{target}, seed {index}");
        }
    }
}

#[test]
fn what_was_found_breaks_nothing() {
    for (target, feed) in TARGETS {
        let refused = inputs(FOUND, target).iter().filter(|input| !feed(input)).count();
        assert!(refused > 0, "{target}: nothing was found that is refused");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_seed_hit_by_chance_breaks_nothing(
        (target, feed) in proptest::sample::select(&TARGETS[..]), which: Index, other: Index, cut: Index,
        hits in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..6), cross: bool,
    ) {
        let seeds = [inputs(SEEDS, target), inputs(FOUND, target)].concat();
        let mut seed = seeds[which.index(seeds.len())].clone();
        if cross {
            let tail = &seeds[other.index(seeds.len())];
            seed.truncate(cut.index(seed.len()) + 1);
            seed.extend_from_slice(&tail[cut.index(tail.len())..]);
        }
        for (at, octet) in hits {
            let at = at.index(seed.len());
            seed[at] = octet;
        }
        feed(&seed);
    }
}

/// Each target of `bgp/fuzz` hands its octets on to the function of its name, which is run here.
#[test]
fn every_target_is_there() {
    let directory = File::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let manifest = fs::read_to_string(directory.join("../Cargo.toml")).expect("a manifest");
    let mut targets = 0;
    for entry in fs::read_dir(&directory).expect("targets") {
        let file = entry.expect("an entry").path();
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "{name} is not run here");
        let text = fs::read_to_string(&file).expect("a target");
        assert!(text.contains(&format!("looks::{name}(octets);")), "{text}");
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name} is no target of cargo-fuzz"
        );
        targets += 1;
    }
    assert_eq!(targets, TARGETS.len());
}
