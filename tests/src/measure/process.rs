//! What a process takes, by proc(5).

use std::fs;

use anyhow::{Context, Result};

/// Of USER_HZ (proc_pid_stat(5)).
const TICKS: f64 = 100.0;

/// Processor time that it has had so far, seconds.
pub fn processor(process: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
    // utime and stime, the 14th and 15th field of all.
    let times = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(times.sum::<Result<f64, _>>()? / TICKS)
}

/// Its resident memory, bytes.
pub fn resident(process: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: f64 = text.split_whitespace().nth(1).context("no second field in /proc/PID/statm")?.parse()?;
    Ok(pages * 4096.0)
}
