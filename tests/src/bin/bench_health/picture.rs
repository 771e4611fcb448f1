//! The pictures: for each cause, the share of deaths that were seen within a time; and processor time against checks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The times of one checker.
#[derive(Debug)]
pub(crate) struct Curve {
    /// The panel that it is drawn in.
    pub(crate) panel: &'static str,
    /// Its line in the legend.
    pub(crate) name: &'static str,
    pub(crate) is_lvsd: bool,
    pub(crate) seconds: Vec<f64>,
}

/// What a number of checks took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Who checks.
    pub(crate) name: String,
    /// Checks per second that were asked for, and those that were done.
    pub(crate) wanted: f64,
    pub(crate) done: f64,
    /// Processor time per second.
    pub(crate) cores: f64,
}

/// Sizes of a panel and of its margins.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 60.0;
const GAP: f64 = 70.0;

/// The axis, seconds.
const SECONDS: f64 = 20.0;

/// lvsd's lines, and those of others.
const OURS: [&str; 3] = ["#1f5f99", "#3fa0d0", "#10304d"];
const OTHERS: [&str; 3] = ["#b5482a", "#e0a080", "#777777"];

/// Draws the panels of all causes, two in a row.
pub(crate) fn deaths(path: &Path, curves: &[Curve]) -> Result<()> {
    let mut panels: Vec<&str> = Vec::new();
    for curve in curves {
        if !panels.contains(&curve.panel) {
            panels.push(curve.panel);
        }
    }
    let rows = panels.len().div_ceil(2) as f64;
    let (width, height) = (LEFT + 2.0 * (WIDTH + GAP), TOP + rows * (HEIGHT + GAP + 70.0));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">Share of deaths that were out of IPVS within a time</text>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let x = LEFT + (number % 2) as f64 * (WIDTH + GAP);
        let y = TOP + (number / 2) as f64 * (HEIGHT + GAP + 70.0);
        let of: Vec<_> = curves.iter().filter(|curve| curve.panel == *panel).collect();
        draw(&mut text, (x, y), panel, &of);
    }
    text += "</svg>\n";
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn draw(text: &mut String, (left, top): (f64, f64), title: &str, curves: &[&Curve]) {
    let (right, bottom) = (left + WIDTH, top + HEIGHT);
    let _ = writeln!(text, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 8.0);
    for tick in (0..=SECONDS as u32).step_by(5) {
        let x = left + WIDTH * f64::from(tick) / SECONDS;
        let _ = writeln!(text, "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"#ddd\"/>");
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick} s</text>",
            bottom + 18.0
        );
    }
    for share in [0.0, 0.5, 1.0] {
        let y = bottom - HEIGHT * share;
        let _ = writeln!(text, "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ddd\"/>");
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{} %</text>",
            left - 6.0,
            y + 4.0,
            share * 100.0
        );
    }
    let (mut ours, mut others) = (OURS.iter().cycle(), OTHERS.iter().cycle());
    for (number, curve) in curves.iter().enumerate() {
        let colour = if curve.is_lvsd { ours.next() } else { others.next() }.unwrap_or(&"black");
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            steps(&curve.seconds, (left, bottom))
        );
        let y = bottom + 38.0 + 16.0 * number as f64;
        let _ = writeln!(text, "<text x=\"{left}\" y=\"{y}\" fill=\"{colour}\">{}</text>", curve.name);
    }
}

/// A stair with a step for each sample, cut off where the axis ends.
fn steps(seconds: &[f64], (left, bottom): (f64, f64)) -> String {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut points = format!("{left:.1},{bottom:.1}");
    for (number, time) in sorted.iter().enumerate() {
        let x = left + WIDTH * (time / SECONDS).min(1.0);
        let height = |count: usize| bottom - HEIGHT * count as f64 / sorted.len() as f64;
        let _ = write!(points, " {x:.1},{:.1} {x:.1},{:.1}", height(number), height(number + 1));
    }
    points
}

/// Draws two panels: the machine's own kernel, and the lab's.
pub(crate) fn loads(path: &Path, native: &[Load], lab: &[Load]) -> Result<()> {
    let (width, height) = (LEFT + 2.0 * (WIDTH + GAP), TOP + HEIGHT + GAP + 40.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">Processor time against TCP checks done per second</text>\n"
    );
    load_panel(&mut text, LEFT, "the machine's own kernel", native);
    load_panel(&mut text, LEFT + WIDTH + GAP, "the lab's kernel (slow system calls)", lab);
    text += "</svg>\n";
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn load_panel(text: &mut String, left: f64, title: &str, loads: &[Load]) {
    let (right, bottom) = (left + WIDTH, TOP + HEIGHT);
    let most = loads.iter().map(|load| load.done).fold(1.0, f64::max);
    let _ = writeln!(text, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>", TOP - 8.0);
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let (x, y) = (left + WIDTH * share, bottom - HEIGHT * share);
        let _ = writeln!(text, "<path d=\"M{x:.1} {TOP}V{bottom}M{left} {y:.1}H{right}\" stroke=\"#ddd\"/>");
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{:.0}</text>",
            bottom + 18.0,
            most * share
        );
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            left - 6.0,
            y + 4.0,
            share * 100.0
        );
    }
    let mut names: Vec<&str> = Vec::new();
    for load in loads {
        if !names.contains(&load.name.as_str()) {
            names.push(&load.name);
        }
    }
    for (number, name) in names.into_iter().enumerate() {
        let colour = if name.starts_with("lvsd") { OURS[0] } else { OTHERS[0] };
        let mut points = String::new();
        for load in loads.iter().filter(|load| load.name == name) {
            let (x, y) = (left + WIDTH * load.done / most, bottom - HEIGHT * load.cores.min(1.0));
            let _ = write!(points, "{x:.1},{y:.1} ");
            let _ = writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
        }
        let _ = writeln!(
            text,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        let y = bottom + 38.0 + 16.0 * number as f64;
        let _ = writeln!(text, "<text x=\"{left}\" y=\"{y}\" fill=\"{colour}\">{name}</text>");
    }
}
