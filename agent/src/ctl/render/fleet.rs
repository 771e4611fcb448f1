//! All balancers side by side, and where they differ.

use super::Paint;
use super::table::Table;
use crate::core::fleet::Pooled;
use crate::exec::fleet::Member;
use std::collections::BTreeMap;

/// `lvsctl fleet`.
pub fn fleet(members: &[Member], paint: Paint) -> String {
    let heading = ["BALANCER", "STATE", "VERSION", "UP", "POOLS", "LAST CHANGE", "SOURCES"];
    let mut table = Table::new(paint, heading).wide_only(&["VERSION", "UP"]);
    for member in members {
        let own = if member.is_self { " (this one)" } else { "" };
        let name = format!("{}{own}", member.name);
        let Some(report) = &member.report else {
            let silent = paint.odd("has not said anything");
            table.row([
                name,
                silent,
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]);
            continue;
        };
        let state = match &*report.state {
            "running" => paint.good(&report.state),
            other => paint.odd(other),
        };
        let source = |(source, state): (&String, &String)| {
            let at = member.seen.get(source).map_or_else(String::new, |revision| format!("@{revision}"));
            let state = if state == "live" { paint.good(state) } else { paint.bad(state) };
            format!("{source}{at} {state}")
        };
        let sources: Vec<_> = report.sources.iter().map(source).collect();
        let changed =
            if report.changed == Default::default() { String::new() } else { super::ago(report.changed) };
        table.row([
            name,
            state,
            report.version.clone(),
            super::ago(report.since),
            (report.pools.len() + report.untold).to_string(),
            changed,
            sources.join(", "),
        ]);
    }
    format!("{table}{}", differences(members, paint))
}

/// Pools of which balancers do not do the same, with what each does.
fn differences(members: &[Member], paint: Paint) -> String {
    let mut pools: BTreeMap<&str, Vec<(&str, &Pooled)>> = BTreeMap::new();
    for member in members {
        for (pool, does) in member.report.iter().flat_map(|report| &report.pools) {
            pools.entry(pool).or_default().push((&member.name, does));
        }
    }
    let told = members.iter().filter(|member| member.report.is_some()).count();
    let mut text = String::new();
    for (pool, all) in pools {
        let is_alike = all.iter().all(|(_, does)| does.digest == all[0].1.digest && !does.stale);
        if is_alike && all.len() == told {
            continue;
        }
        text += &format!("\n{pool}: {}\n", paint.odd("they differ"));
        for (name, does) in &all {
            let Pooled { pooled, total, needed, out, stale, .. } = does;
            let out = if out.is_empty() { String::new() } else { format!("; {}", out.join(", ")) };
            let stale = if *stale { "; not as its source says now" } else { "" };
            text += &format!("  {name}: {pooled} of {total} pooled, {needed} needed{out}{stale}\n");
        }
        for member in members.iter().filter(|member| member.report.is_some()) {
            if !all.iter().any(|(name, _)| *name == member.name) {
                text += &format!("  {}: does not have it\n", member.name);
            }
        }
    }
    match (text.is_empty(), told) {
        (true, 0 | 1) => String::new(),
        (true, _) => format!("\n{}\n", paint.good("they all do the same")),
        (false, _) => text,
    }
}
