//! Against other speakers: BIRD 2, FRR's bgpd, GoBGP and ExaBGP, each case with each of them, as a matrix.
//!
//! Each cell is a router of its own and a speaker of ours, in network namespaces, at the usual port. Needs root, and
//! Debian's packages bird2, frr, gobgpd, exabgp and iproute2. `INTEROP=words` runs the cells whose row or router has
//! one of the words in its name.

mod cases;
mod ground;
mod matrix;
mod plan;
mod router;
mod us;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use cases::{CASES, Case};
use ground::Ground;
use matrix::{Mark, Matrix};
use plan::Plan;
use router::{Brand, Router};
use us::Us;

/// How long anything may take on a busy machine; nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Cells at once: most of their time is waiting for timers of a second.
const AT_ONCE: usize = 12;

/// One cell at work.
pub(crate) struct Cell<'a> {
    pub(crate) plan: Plan,
    pub(crate) us: Us<'a>,
    pub(crate) router: Box<dyn Router>,
}

/// Waits for a condition; `shown` says what is there instead.
pub(crate) fn wait_until(
    what: &str,
    condition: impl Fn() -> bool,
    shown: impl Fn() -> String,
) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() >= deadline {
            return Err(format!("waited for: {what}; there is:\n{}", shown()));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn cell(ground: &Ground, case: &Case, brand: Brand, number: u8) -> Result<(), String> {
    let plan = (case.plan)(Plan::of(number));
    let router = brand.start(ground, &plan)?;
    let mut cell = Cell { plan, us: Us::new(ground, plan), router };
    (case.run)(&mut cell)
}

/// Runs a cell; a panic is a failure of this cell alone.
fn mark(ground: &Ground, case: &Case, brand: Brand, number: u8) -> Mark {
    if let Some(reason) = (case.cannot)(brand) {
        return Mark::Cannot(reason);
    }
    match catch_unwind(AssertUnwindSafe(|| cell(ground, case, brand, number))) {
        Ok(Ok(())) => Mark::Yes,
        Ok(Err(what)) => Mark::Failed(what),
        Err(_) => Mark::Failed("it panicked, see above".into()),
    }
}

/// Whether a cell is asked for.
fn wanted(case: &Case, brand: Brand) -> bool {
    let Ok(words) = std::env::var("INTEROP") else { return true };
    let has =
        |name: &str| words.split_whitespace().any(|word| name.to_lowercase().contains(&word.to_lowercase()));
    has(case.name) || has(brand.name())
}

#[test]
fn every_router_and_this_speaker_do_together_what_the_matrix_says() {
    let ground = Ground::new();
    let start = Instant::now();
    // What takes longest to start comes first.
    let cells = Brand::ALL.iter().rev().flat_map(|brand| CASES.iter().map(move |case| (case, *brand)));
    let numbered = (1..=ground::CELLS).zip(cells.filter(|(case, brand)| wanted(case, *brand)));
    let (queue, matrix) = (Mutex::new(numbered), Mutex::new(Matrix::default()));
    let work = || {
        loop {
            let Some((number, (case, brand))) = queue.lock().expect("no panic while locked").next() else {
                break;
            };
            let (begin, mark) = (Instant::now(), mark(&ground, case, brand, number));
            matrix.lock().expect("no panic while locked").set(case.name, brand, mark, begin.elapsed());
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let matrix = matrix.into_inner().expect("no panic while locked");
    matrix.show(start.elapsed());
    matrix.expect_no_failure();
    if std::env::var_os("INTEROP").is_none() {
        matrix.expect_documented(include_str!("../../../docs/bgp.md"));
    }
}
