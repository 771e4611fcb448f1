//! Who gets the processor when several want it.
//!
//! The lab's kernel has one processor, and its scheduler counts in ticks of 10 ms: among equals, whoever is running
//! when the tick comes is charged for all of it and waits behind all others. A figure of a few milliseconds would be
//! about that. Real-time priorities are free of it.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Real-time priorities, in their order; everything else has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// What is measured.
    Measured,
    /// Who looks at it.
    Watch,
}

/// Gives a process and all its threads, or the one thread of this id, a rank.
pub fn put_first(id: i32, rank: Rank) -> Result<()> {
    let (scope, priority): (&[&str], _) = match rank {
        Rank::Measured => (&["--all-tasks"], "1"),
        Rank::Watch => (&[], "2"),
    };
    let mut command = Command::new("chrt");
    command.args(scope).args(["--fifo", "--pid", priority]).arg(id.to_string());
    let status = command.status().context("run chrt")?;
    ensure!(status.success(), "chrt (util-linux): {status}");
    Ok(())
}
