//! What came out, as a table for people and for docs/bgp.md.

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _, time::Duration};

use crate::{cases::CASES, router::Brand};

/// What a cell showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Yes,
    /// The router has no part in it, and why.
    Cannot(&'static str),
    Failed(String),
}

#[derive(Debug, Default)]
pub(crate) struct Matrix {
    marks: BTreeMap<(&'static str, &'static str), (Mark, Duration)>,
}

impl Matrix {
    pub(crate) fn set(&mut self, case: &'static str, brand: Brand, mark: Mark, took: Duration) {
        self.marks.insert((case, brand.name()), (mark, took));
    }

    /// The table, and below it the reasons.
    fn markdown(&self) -> String {
        let names = Brand::ALL.map(Brand::name);
        let mut text = format!("| | {} |\n|---|---|---|---|---|\n", names.join(" | "));
        let mut reasons = Vec::new();
        for case in CASES {
            let words = names.map(|name| match self.marks.get(&(case.name, name)) {
                None => "not run".to_owned(),
                Some((Mark::Yes, _)) => "yes".into(),
                Some((Mark::Failed(_), _)) => "FAILED".into(),
                Some((Mark::Cannot(reason), _)) => {
                    let known = reasons.iter().position(|known| known == reason).unwrap_or_else(|| {
                        reasons.push(*reason);
                        reasons.len() - 1
                    });
                    format!("({})", known + 1)
                }
            });
            let _ = writeln!(text, "| {} | {} |", case.name, words.join(" | "));
        }
        for (index, reason) in reasons.iter().enumerate() {
            let _ = write!(text, "\n({}) {reason}.\n", index + 1);
        }
        text
    }

    /// Prints it, also of a test that passes.
    pub(crate) fn show(&self, took: Duration) {
        let slow: Vec<_> = self.marks.iter().map(|((case, name), (_, took))| (took, name, case)).collect();
        let slowest = slow.iter().max().map(|(took, name, case)| format!("{took:.1?}: {name}, {case}"));
        let text = format!(
            "\n{}\n{} cells in {took:.1?}, the slowest {}\n",
            self.markdown(),
            self.marks.len(),
            slowest.unwrap_or_default()
        );
        std::io::stderr().write_all(text.as_bytes()).expect("standard error takes it");
    }

    pub(crate) fn expect_no_failure(&self) {
        let failed: Vec<_> = self
            .marks
            .iter()
            .filter_map(|((case, name), (mark, _))| match mark {
                Mark::Failed(what) => Some(format!("=== {name}, {case}: {what}")),
                Mark::Yes | Mark::Cannot(_) => None,
            })
            .collect();
        assert!(failed.is_empty(), "{} cells failed\n{}", failed.len(), failed.join("\n"));
    }

    /// The documentation has this very table.
    pub(crate) fn expect_documented(&self, text: &str) {
        let table = self.markdown();
        assert!(text.contains(&table), "docs/bgp.md does not have this table:\n{table}");
    }
}
