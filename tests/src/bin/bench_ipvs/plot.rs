//! The picture: time per event against size.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::native::Flaps;
use crate::scale::Point;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

/// Powers of ten that the axes show: services, and microseconds.
const SERVICES: [i32; 2] = [2, 4];
const MICROSECONDS: [i32; 2] = [0, 4];

/// Draws it, both axes logarithmic.
pub(crate) fn write(path: &Path, points: &[Point], native: &[Flaps]) -> Result<()> {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">One backend's flap: mean time against the number of services</text>\n"
    );
    axes(&mut text);
    let of = |value: fn(&Point) -> f64| points.iter().map(|p| (p.services, value(p))).collect::<Vec<_>>();
    line(&mut text, "verdict → kernel's answer", "#b5482a", &of(|point| point.programmed));
    line(&mut text, "bare netlink message", "#777777", &of(|point| point.bare));
    line(&mut text, "the core's step", "#1f5f99", &of(|point| point.step));
    let native: Vec<_> = native.iter().map(|flaps| (flaps.services, flaps.mean_us)).collect();
    line(&mut text, "the same without guest", "#2a8a4a", &native);
    text += "</svg>\n";
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// A line with its name at its end: microseconds by services.
fn line(text: &mut String, name: &str, colour: &str, points: &[(u32, f64)]) {
    let at: Vec<_> = points.iter().map(|(services, value)| (x(f64::from(*services)), y(*value))).collect();
    let path: Vec<_> = at.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        text,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.join(" ")
    );
    for (x, y) in &at {
        let _ = writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
    }
    if let Some((x, y)) = at.last() {
        let (x, y) = (x + 10.0, y + 4.0);
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{name}</text>");
    }
}

fn axes(text: &mut String) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for power in MICROSECONDS[0]..=MICROSECONDS[1] {
        let value = 10f64.powi(power);
        let (y, label) =
            (y(value), if power < 3 { format!("{value} µs") } else { format!("{} ms", value / 1000.0) });
        let _ = writeln!(text, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>");
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    for power in SERVICES[0]..=SERVICES[1] {
        let value = 10f64.powi(power);
        let x = x(value);
        let _ = writeln!(text, "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>");
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{value}</text>",
            bottom + 20.0
        );
    }
    let middle = (LEFT + right) / 2.0;
    let _ = writeln!(
        text,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">services with 10 backends each</text>",
        bottom + 44.0
    );
}

fn x(services: f64) -> f64 {
    on_axis(services, SERVICES, LEFT, WIDTH - RIGHT)
}

fn y(microseconds: f64) -> f64 {
    on_axis(microseconds, MICROSECONDS, HEIGHT - BOTTOM, TOP)
}

fn on_axis(value: f64, [first, last]: [i32; 2], begin: f64, end: f64) -> f64 {
    let share = (value.log10() - f64::from(first)) / f64::from(last - first);
    begin + share.clamp(0.0, 1.0) * (end - begin)
}
