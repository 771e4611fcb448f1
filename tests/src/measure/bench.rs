//! A benchmark in the lab, from the command line to its report.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use super::figures::Report;
use crate::kernel::{Console, Run, target};
use crate::program::run_twice;
use crate::world::World;

/// What a benchmark is beside what it measures.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// Its name: `ipvs` leaves `target/bench/ipvs.json`, and its logs in `target/bench/ipvs/`.
    pub name: &'static str,
    /// The pictures that it leaves beside, by their files' names.
    pub pictures: &'static [&'static str],
    /// After this it has failed.
    pub limit: Duration,
    /// Memory of the lab's kernel, as [`Run`] takes it.
    pub memory: &'static str,
}

impl Bench {
    /// The whole program. Inside, `measure` fills the report; outside, `before` measures what needs no lab, and leaves it in
    /// the directory that it is given.
    pub fn main(
        self,
        before: fn(&Path) -> Result<()>,
        measure: fn(&World, &mut Report) -> Result<()>,
    ) -> ExitCode {
        let name = format!("bench-{}", self.name);
        run_twice(&name, move |world| self.inside(world, measure), || self.outside(&name, before))
    }

    fn outside(self, name: &str, before: fn(&Path) -> Result<()>) -> Result<()> {
        let bench = target()?.join("bench");
        before(&bench)?;
        let run = Run {
            name: name.to_owned(),
            directory: bench.join(self.name),
            limit: self.limit,
            console: Console::Shown,
            memory: self.memory,
            cable: None,
        };
        run.pass()?;
        for file in [&*self.figures()].iter().chain(self.pictures) {
            let (from, to) = (run.directory.join(file), bench.join(file));
            fs::rename(&from, &to).with_context(|| format!("no report {}", from.display()))?;
            println!("report: {}", to.display());
        }
        Ok(())
    }

    fn inside(self, world: &World, measure: fn(&World, &mut Report) -> Result<()>) -> Result<()> {
        let mut report = Report::new()?;
        println!("{}", report.machine());
        measure(world, &mut report)?;
        report.write(&world.directory().join(self.figures()))?;
        println!("\n{}", report.table());
        Ok(())
    }

    fn figures(self) -> String {
        format!("{}.json", self.name)
    }
}
