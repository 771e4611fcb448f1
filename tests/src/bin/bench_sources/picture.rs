//! The pictures: which share of changes had reached its end within a time.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::fleet::Samples;
use crate::kubernetes;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;

const COLOURS: [&str; 3] = ["#1f5f99", "#b5482a", "#777777"];

/// Draws commands of lvsctl and the balancers that they reach.
pub(crate) fn commands(path: &Path, samples: &Samples) -> Result<()> {
    let lines = [
        ("the kernel of the first".to_owned(), samples.first.clone()),
        ("the kernels of all".to_owned(), samples.last.clone()),
        ("lvsctl has ended".to_owned(), samples.answer.clone()),
    ];
    draw(path, "Commands of lvsctl that had reached the other balancers within a time", lines.into())
}

/// Draws changes of endpoints and the kernel that they reach.
pub(crate) fn services(path: &Path, samples: &kubernetes::Samples) -> Result<()> {
    let line = |(services, times): &(u32, Vec<f64>)| (format!("of {services} Services"), times.clone());
    let title = "Changes of one endpoint in Kubernetes that had reached the kernel within a time";
    draw(path, title, samples.iter().map(line).collect())
}

/// Draws one line for each name, of times in milliseconds.
fn draw(path: &Path, title: &str, lines: Vec<(String, Vec<f64>)>) -> Result<()> {
    let longest = lines.iter().flat_map(|(_, times)| times).copied().fold(1.0, f64::max);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">{title}</text>\n"
    );
    text += &axes(longest);
    for (number, ((name, times), colour)) in lines.into_iter().zip(COLOURS).enumerate() {
        text += &line(times, longest, colour);
        let (x, y) = (WIDTH - RIGHT + 12.0, TOP + 20.0 * number as f64 + 12.0);
        let _ = writeln!(text, "<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{name}</text>");
    }
    text += "</svg>\n";
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn axes(longest: f64) -> String {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let mut text = String::new();
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
    text
}

fn line(mut times: Vec<f64>, longest: f64, colour: &str) -> String {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    times.sort_by(f64::total_cmp);
    let count = times.len() as f64;
    let point = |(rank, time): (usize, &f64)| {
        let x = LEFT + (right - LEFT) * time / longest;
        let y = bottom - (bottom - TOP) * (rank + 1) as f64 / count;
        format!("{x:.1},{y:.1}")
    };
    let path: Vec<String> = times.iter().enumerate().map(point).collect();
    let points = path.join(" ");
    format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n")
}
