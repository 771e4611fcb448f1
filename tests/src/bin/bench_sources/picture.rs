//! The picture: the share of commands that had reached the other balancers within a time.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::fleet::Samples;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;

/// Draws it.
pub(crate) fn write(path: &Path, samples: &Samples) -> Result<()> {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let all = || samples.first.iter().chain(&samples.last).chain(&samples.answer);
    let longest = all().copied().fold(1.0, f64::max);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">Commands of lvsctl that had reached the other balancers within a time</text>\n"
    );
    for tenth in [0, 5, 10] {
        let y = bottom - (bottom - TOP) * f64::from(tenth) / 10.0;
        let _ = writeln!(text, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>");
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{} %</text>",
            LEFT - 8.0,
            y + 4.0,
            tenth * 10
        );
        let x = LEFT + (right - LEFT) * f64::from(tenth) / 10.0;
        let milliseconds = longest * f64::from(tenth) / 10.0;
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{milliseconds:.0} ms</text>",
            bottom + 20.0
        );
    }
    let lines = [
        ("the kernel of the first", "#1f5f99", &samples.first),
        ("the kernels of all", "#b5482a", &samples.last),
        ("lvsctl has ended", "#777777", &samples.answer),
    ];
    for (number, (name, colour, times)) in lines.into_iter().enumerate() {
        let mut times = times.clone();
        times.sort_by(f64::total_cmp);
        let count = times.len() as f64;
        let point = |(rank, time): (usize, &f64)| {
            let x = LEFT + (right - LEFT) * time / longest;
            let y = bottom - (bottom - TOP) * (rank + 1) as f64 / count;
            format!("{x:.1},{y:.1}")
        };
        let path: Vec<String> = times.iter().enumerate().map(point).collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        let y = TOP + 20.0 * number as f64 + 12.0;
        let _ = writeln!(text, "<text x=\"{}\" y=\"{y}\" fill=\"{colour}\">{name}</text>", right + 12.0);
    }
    text += "</svg>\n";
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
