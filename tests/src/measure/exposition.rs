//! What lvsd says of itself on /metrics.

use std::collections::BTreeMap;

use crate::lvsd::Lvsd;
use anyhow::{Context, Result};

/// From an event in the core to the kernel's confirmation, by lvsd's own clock.
const PROGRAM: &str = "lvsd_ipvs_program_duration_seconds";

/// One reading of the page: value by series, as the page writes it.
#[derive(Clone, Debug)]
pub struct Exposition(BTreeMap<String, f64>);

impl Exposition {
    /// Reads the page.
    pub fn of(lvsd: &Lvsd) -> Result<Self> {
        Ok(Self::read(&lvsd.http("/metrics")?))
    }

    /// Reads its text.
    pub fn read(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(series.collect())
    }

    /// The value of a series, named as the page does.
    pub fn value(&self, series: &str) -> Result<f64> {
        self.0.get(series).copied().with_context(|| format!("no {series} on /metrics"))
    }

    /// The sum of the series whose names begin so.
    pub fn sum(&self, beginning: &str) -> f64 {
        self.0.iter().filter(|(name, _)| name.starts_with(beginning)).map(|(_, value)| value).sum()
    }

    /// How long programming the kernel took between an earlier reading and this one.
    pub fn programmed_since(&self, earlier: &Self) -> Result<Durations> {
        self.durations_since(PROGRAM, earlier)
    }

    /// What was counted in a histogram of seconds between an earlier reading and this one.
    pub fn durations_since(&self, histogram: &str, earlier: &Self) -> Result<Durations> {
        let grown = |name: &str| -> Result<f64> {
            Ok(self.value(name)? - earlier.0.get(name).copied().unwrap_or_default())
        };
        let count = grown(&format!("{histogram}_count"))?;
        let sum = grown(&format!("{histogram}_sum"))?;
        let prefix = format!("{histogram}_bucket{{le=\"");
        let mut buckets = Vec::new();
        for name in self.0.keys().filter(|name| name.starts_with(&prefix)) {
            let bound = name[prefix.len()..].trim_end_matches("\"}");
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
            buckets.push((bound * 1000.0, grown(name)?));
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(Durations { count, mean_ms: sum * 1000.0 / count.max(1.0), buckets })
    }

    /// The speaker's last time from decision to write, for each peer that has one; milliseconds.
    pub fn last_withdraws(&self) -> BTreeMap<&str, f64> {
        let of = |name: &str| name.starts_with("lvsd_bgp_last_withdraw_seconds");
        self.0.iter().filter(|(name, _)| of(name)).map(|(name, value)| (&**name, value * 1000.0)).collect()
    }
}

/// A part of a histogram.
#[derive(Clone, Debug)]
pub struct Durations {
    /// How many times.
    pub count: f64,
    /// Their mean.
    pub mean_ms: f64,
    /// Upper bounds, and how many were at most that long.
    buckets: Vec<(f64, f64)>,
}

impl Durations {
    /// The bound of the bucket that the quantile is in: it is at most that.
    pub fn at_most(&self, quantile: f64) -> f64 {
        let wanted = self.count * quantile;
        let bucket = self.buckets.iter().find(|(_, count)| *count >= wanted);
        bucket.map_or(f64::INFINITY, |(bound, _)| *bound)
    }
}
