//! The alerts, their pages and the dashboard say what lvsd has: Prometheus' own tool tests the alerts (Debian's package
//! `prometheus`), and rules, runbooks, dashboard and docs/metrics.md are held against one another.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RULES: &str = "systemd/prometheus/lvsd-rules.yml";
const CASES: &str = "agent/tests/monitoring/rules-test.yml";
const DASHBOARD: &str = "systemd/grafana-lvsd.json";
const RUNBOOKS: &str = "docs/runbooks";

/// What each page of a runbook has, in this order.
const PARTS: [&str; 3] = ["\n## What it means\n", "\n## What to look at\n", "\n## What to do\n"];

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    let path = root(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands behind `key` in the lines of a text.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(key)).map(str::trim).collect()
}

fn alerts() -> Vec<String> {
    let rules = read(RULES);
    let alerts: Vec<String> = values(&rules, "- alert:").into_iter().map(ToOwned::to_owned).collect();
    assert!(alerts.len() > 15, "{alerts:?}");
    alerts
}

/// Every expression of the dashboard's panels.
fn questions() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(&read(DASHBOARD)).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).output().expect("promtool (package prometheus)");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
fn alerts_are_rules_that_prometheus_takes() {
    promtool(&["check", "rules", &root(RULES).to_string_lossy()]);
}

#[test]
fn each_alert_fires_when_it_is_meant_to_and_not_when_it_is_not() {
    let cases = read(CASES);
    let names = values(&cases, "- name:");
    for alert in alerts() {
        for begin in [format!("\"{alert} fires"), format!("\"{alert} is quiet: ")] {
            assert!(names.iter().any(|name| name.starts_with(&begin)), "no case begins with {begin}");
        }
    }
    promtool(&["test", "rules", &root(CASES).to_string_lossy()]);
}

#[test]
fn each_alert_has_its_page_and_each_page_its_alert() {
    let alerts = alerts();
    let rules = read(RULES);
    let named: Vec<String> = alerts.iter().map(|alert| format!("{RUNBOOKS}/{alert}.md")).collect();
    assert_eq!(values(&rules, "runbook:"), named, "each alert names its own page");
    let pages: BTreeSet<String> = fs::read_dir(root(RUNBOOKS))
        .expect("the runbooks")
        .map(|page| format!("{RUNBOOKS}/{}", page.expect("a page").file_name().to_string_lossy()))
        .collect();
    assert_eq!(pages, named.iter().cloned().collect());
    for (alert, page) in alerts.iter().zip(&named) {
        let text = read(page);
        assert!(text.starts_with(&format!("# {alert}\n")), "{page} begins with its name");
        let places: Vec<Option<usize>> = PARTS.iter().map(|part| text.find(part)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{page} has {PARTS:?}");
    }
}

/// The names of lvsd's metrics in an expression.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
    words.filter(|word| word.starts_with("lvsd_") || word.starts_with("process_"))
}

#[test]
fn what_alerts_and_dashboard_ask_for_is_documented() {
    let page = read("docs/metrics.md");
    let documented: BTreeSet<&str> = page.split('`').collect();
    let rules = read(RULES);
    let mut asked = 0;
    for expression in values(&rules, "expr:").into_iter().map(ToOwned::to_owned).chain(questions()) {
        for name in metrics(&expression) {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(documented.contains(name), "{expression}: {name} is not in docs/metrics.md");
            asked += 1;
        }
    }
    assert!(asked > 80, "{asked}");
}
