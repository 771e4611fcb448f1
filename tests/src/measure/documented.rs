//! A report as tables of `docs/performance.md`.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use serde_json::Value;

/// A table: its name in the page, and what the names of its figures begin with.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// As in `<!-- make bench-NAME: PART -->`.
    pub name: &'static str,
    /// What is left of a figure's name is its row's.
    pub prefix: &'static str,
}

impl Part {
    /// The table of a report's figures that are of this part.
    ///
    /// # Errors
    /// When there is none.
    pub fn table(&self, report: &Value) -> Result<String> {
        let of = |kind: &str| {
            let all = report[kind].as_array().map(Vec::as_slice).unwrap_or_default().iter();
            all.filter_map(|figure| Some((figure["name"].as_str()?.strip_prefix(self.prefix)?, figure)))
        };
        let values: Vec<String> = of("values").map(|(name, figure)| value(name, figure)).collect();
        let latencies: Vec<String> = of("latencies").map(|(name, figure)| latency(name, figure)).collect();
        ensure!(!values.is_empty() || !latencies.is_empty(), "no figure begins with {:?}", self.prefix);
        let mut text = String::new();
        if !values.is_empty() {
            let _ = write!(text, "| | seen | required |\n|---|---|---|\n{}", values.concat());
        }
        if !latencies.is_empty() {
            let begin = if text.is_empty() { "" } else { "\n" };
            let head =
                "| milliseconds | samples | p50 | p99 | longest | required p99 |\n|---|---|---|---|---|---|";
            let _ = write!(text, "{begin}{head}\n{}", latencies.concat());
        }
        Ok(text)
    }
}

/// What was measured on, and what: rows of a table.
pub fn machine(rows: &[(&str, String)]) -> String {
    let mut text = String::from("| measured with | |\n|---|---|\n");
    for (what, is) in rows {
        let _ = writeln!(text, "| {what} | {is} |");
    }
    text
}

fn value(name: &str, figure: &Value) -> String {
    let unit = figure["unit"].as_str().unwrap_or_default();
    let (seen, limit) = (figure["value"].as_f64().unwrap_or_default(), figure["required_at_most"].as_f64());
    format!("| {name} | {} {unit} | {} |\n", number(seen), judged(seen, limit))
}

fn latency(name: &str, figure: &Value) -> String {
    let of = |key: &str| figure[key].as_f64();
    let [p50, p99, longest] = ["p50_ms", "p99_ms", "max_ms"].map(|key| of(key).unwrap_or_default());
    let judged = judged(p99, of("required_p99_ms"));
    let (samples, [p50, p99, longest]) = (&figure["samples"], [p50, p99, longest].map(number));
    format!("| {name} | {samples} | {p50} | {p99} | {longest} | {judged} |\n")
}

/// Three digits are as many as a run has in common with the next.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn judged(value: f64, limit: Option<f64>) -> String {
    match limit {
        Some(limit) if value <= limit => format!("{limit}: met"),
        Some(limit) => format!("{limit}: **missed**"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::page::replaced;
    use serde_json::json;

    #[test]
    fn a_part_has_its_own_figures_and_says_what_is_met_and_what_is_missed() {
        let report = json!({
            "values": [
                {"name": "it: memory", "value": 70.04, "unit": "MB", "required_at_most": 60.0},
                {"name": "it: start", "value": 1580.0, "unit": "ms", "required_at_most": null},
                {"name": "other: memory", "value": 1.0, "unit": "MB", "required_at_most": null},
            ],
            "latencies": [{
                "name": "it: a change", "samples": 500, "min_ms": 0.1, "p50_ms": 1.978, "p99_ms": 4.301, "max_ms": 0.04,
                "required_p99_ms": 5.0
            }],
        });
        let table = Part { name: "it", prefix: "it: " }.table(&report).unwrap();
        assert_eq!(
            table,
            "| | seen | required |\n|---|---|---|\n| memory | 70.0 MB | 60: **missed** |\n| start | 1580 ms |  |\n\n\
             | milliseconds | samples | p50 | p99 | longest | required p99 |\n|---|---|---|---|---|---|\n\
             | a change | 500 | 1.98 | 4.30 | 0.040 | 5: met |\n"
        );
        assert!(Part { name: "none", prefix: "none" }.table(&report).is_err());
    }

    #[test]
    fn a_table_takes_the_place_of_its_own_and_of_nothing_else() {
        let page = "# P\n\n<!-- make bench-x: one -->\n\n| 1 |\n<!-- end -->\n\nprose\n\n<!-- make bench-x: two -->\n<!-- end -->\n";
        let once = replaced(page, "bench-x", "one", "\n| 2 |\n").unwrap();
        assert_eq!(once, page.replace("| 1 |", "| 2 |"));
        assert_eq!(replaced(&once, "bench-x", "one", "| 2 |"), Ok(once.clone()));
        let both = replaced(&once, "bench-x", "two", "| 3 |").unwrap();
        assert!(both.ends_with("prose\n\n<!-- make bench-x: two -->\n\n| 3 |\n<!-- end -->\n"), "{both}");
        let error = replaced(page, "bench-x", "three", "").unwrap_err();
        assert!(error.contains("no place for three: <!-- make bench-x: three -->"), "{error}");
    }
}
