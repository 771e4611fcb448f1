//! A benchmark in the lab, from the command line to its report.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::documented::{self, Part};
use super::figures::Report;
use super::page;
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
    /// The tables that it writes into `docs/performance.md`, and with what else than lvsd it measures: a table of its own.
    pub documented: Option<Documented>,
    /// After this it has failed.
    pub limit: Duration,
    /// Memory of the lab's kernel, as [`Run`] takes it.
    pub memory: &'static str,
}

/// What of a report is in the documentation.
#[derive(Clone, Copy, Debug)]
pub struct Documented {
    /// Its tables.
    pub parts: &'static [Part],
    /// Programs that were measured with, and their versions.
    pub versions: fn() -> Result<Vec<(&'static str, String)>>,
}

/// The name of the table that says with what was measured.
const MACHINE: &str = "machine";

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
        let machine = page::machine();
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
        match self.documented {
            Some(documented) => documented.write(name, &machine, &bench.join(self.figures())),
            None => Ok(()),
        }
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

impl Documented {
    fn write(self, name: &str, machine: &Value, figures: &Path) -> Result<()> {
        let report: Value = serde_json::from_str(&fs::read_to_string(figures)?)?;
        let processors = match report["machine"]["processors"].as_u64() {
            Some(1) => "one processor".to_owned(),
            count => format!("{} processors", count.unwrap_or_default()),
        };
        let lab = report["machine"]["kernel"].as_str().unwrap_or_default();
        let mut rows = vec![
            ("the machine", page::machine_in_words(machine)),
            ("the lab's kernel", format!("User-mode Linux {lab}, {processors}")),
            ("lvsd", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        rows.extend((self.versions)()?);
        let mut tables = vec![(MACHINE, documented::machine(&rows))];
        for part in self.parts {
            tables.push((part.name, part.table(&report)?));
        }
        let written = |(part, table): (&str, String)| page::document(name, part, &table);
        tables.into_iter().try_for_each(written).map_err(|error| anyhow!(error))
    }
}
