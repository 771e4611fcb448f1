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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fleet::Report;
    use std::time::{Duration, SystemTime};

    const PLAIN: Paint = Paint::new(false);

    fn pooled(digest: &str, out: &[&str]) -> Pooled {
        let out: Vec<String> = out.iter().map(ToString::to_string).collect();
        Pooled { digest: digest.into(), pooled: 4 - out.len(), total: 4, needed: 2, out, stale: false }
    }

    fn member(name: &str, pools: &[(&str, Pooled)]) -> Member {
        let ago = |hours: u64| (SystemTime::now() - Duration::from_secs(hours * 3_600 + 60)).into();
        let report = Report {
            version: "0.9.1".into(),
            state: "running".into(),
            since: ago(3),
            sources: [("conftool".to_owned(), "live".to_owned())].into(),
            changed: ago(1),
            pools: pools.iter().map(|(name, does)| ((*name).to_owned(), does.clone())).collect(),
            untold: 0,
        };
        let seen = [("conftool".to_owned(), 4711)].into();
        Member { name: name.into(), is_self: false, seen, report: Some(report) }
    }

    #[test]
    fn each_balancer_has_a_line_with_its_version_and_one_without_a_report_has_said_nothing() {
        let mut own = member("lvs1", &[("text ipv4", pooled("a", &[]))]);
        own.is_self = true;
        let mut older = member("lvs2", &[("text ipv4", pooled("a", &[]))]);
        if let Some(report) = &mut older.report {
            (report.version, report.untold) = ("0.8.0".into(), 6);
            drop(report.sources.insert("conftool".into(), "no leader".into()));
        }
        let silent = Member { name: "lvs3".into(), ..Member::default() };
        let text = fleet(&[own, older, silent], PLAIN.wide());
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "BALANCER         STATE                  VERSION  UP      POOLS  LAST CHANGE  SOURCES",
                "lvs1 (this one)  running                0.9.1    3h ago  1      1h ago       conftool@4711 live",
                "lvs2             running                0.8.0    3h ago  7      1h ago       conftool@4711 no leader",
                "lvs3             has not said anything",
                "",
                "they all do the same",
            ]
        );
    }

    #[test]
    fn where_balancers_differ_each_is_said_with_what_it_does() {
        let stale = |digest: &str| Pooled { stale: true, ..pooled(digest, &[]) };
        let all = [
            member("lvs1", &[("api", pooled("a", &[])), ("held", stale("a")), ("text", pooled("a", &[]))]),
            member(
                "lvs2",
                &[
                    ("api", pooled("a", &[])),
                    ("held", pooled("a", &[])),
                    ("text", pooled("b", &["cp1 is down"])),
                ],
            ),
            member("lvs3", &[("api", pooled("a", &[])), ("held", pooled("a", &[]))]),
            Member { name: "lvs4".into(), ..Member::default() },
        ];
        let text = fleet(&all, PLAIN);
        let (_, differences) = text.split_once("\n\n").unwrap();
        assert_eq!(
            differences,
            "held: they differ\n\
            \x20 lvs1: 4 of 4 pooled, 2 needed; not as its source says now\n\
            \x20 lvs2: 4 of 4 pooled, 2 needed\n\
            \x20 lvs3: 4 of 4 pooled, 2 needed\n\
            \ntext: they differ\n\
            \x20 lvs1: 4 of 4 pooled, 2 needed\n\
            \x20 lvs2: 3 of 4 pooled, 2 needed; cp1 is down\n\
            \x20 lvs3: does not have it\n"
        );
    }
}
