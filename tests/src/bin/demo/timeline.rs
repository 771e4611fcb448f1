//! The picture: answers and failures a second over time, with the events marked.

use std::fmt::Write as _;

use lab::traffic;

use crate::report::Event;

/// The picture's file in the demo's directory.
pub(crate) const FILE: &str = "timeline.svg";

/// The whole picture, and the chart within it; pixels.
const WIDTH: f64 = 1280.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 1260.0;
const TOP: f64 = 190.0;
const BOTTOM: f64 = 470.0;

/// Labels of events stand in this many rows above the chart, so that neighbours do not overlap.
const ROWS: usize = 5;
const ROW_HEIGHT: f64 = 24.0;

/// The background, and the halo of what is written over lines.
const PAPER: &str = "#fbfcfd";

/// About the width of a letter.
const LETTER: f64 = 7.0;

/// About so many marks on an axis.
const MARKS: f64 = 5.0;

/// Scales of the chart: seconds to x, a second's count to y.
struct Scale {
    seconds: usize,
    most: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds / self.seconds as f64 * (RIGHT - LEFT)
    }

    fn y(&self, count: f64) -> f64 {
        BOTTOM - count / self.most * (BOTTOM - TOP)
    }
}

/// Draws it.
pub(crate) fn draw(report: &traffic::Report, events: &[Event]) -> String {
    let answers = per_second(report, |request| request.answer.is_ok());
    let failures = per_second(report, |request| request.answer.is_err());
    let most = answers.iter().chain(&failures).copied().max().unwrap_or_default().max(1);
    let step = round_step(most as f64 / MARKS);
    let scale = Scale { seconds: answers.len().max(1), most: (most as f64 / step).ceil() * step };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#334155\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"{PAPER}\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"19\" font-weight=\"600\" fill=\"#0f172a\">\
         {} requests, {} failed</text>\n",
        report.totals.requests, report.totals.failed
    );
    legend(&mut svg);
    axes(&mut svg, &scale, step);
    area(&mut svg, &scale, &answers);
    bars(&mut svg, &scale, &failures);
    marks(&mut svg, &scale, events);
    svg + "</svg>\n"
}

/// Counts by the second in which a request ended.
fn per_second(report: &traffic::Report, counts: impl Fn(&traffic::Request) -> bool) -> Vec<usize> {
    let second = |request: &traffic::Request| (request.at + request.took).as_secs() as usize;
    let last = report.requests.iter().map(second).max().unwrap_or_default();
    let mut seconds = vec![0; last + 1];
    for request in report.requests.iter().filter(|request| counts(request)) {
        seconds[second(request)] += 1;
    }
    // The last second is not a whole one: its count would look like a loss.
    if seconds.len() > 1 {
        seconds.pop();
    }
    seconds
}

/// The next of 1, 2, 5, 10, 20, 50, … that is at least `wanted`.
fn round_step(wanted: f64) -> f64 {
    let mut step = 1.0;
    for factor in [2.0, 2.5, 2.0].into_iter().cycle() {
        if step >= wanted {
            break;
        }
        step *= factor;
    }
    step
}

fn legend(svg: &mut String) {
    for (x, colour, text) in
        [(980.0, "#2563eb", "answers a second"), (1125.0, "#dc2626", "failures a second")]
    {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"19\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"30\">{text}</text>",
            x + 18.0
        );
    }
}

fn axes(svg: &mut String, scale: &Scale, step: f64) {
    let mut count = 0.0;
    while count <= scale.most {
        let y = scale.y(count);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"#e2e8f0\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{count}</text>",
            LEFT - 8.0,
            y + 4.0
        );
        count += step;
    }
    let every = round_step(scale.seconds as f64 / (2.0 * MARKS)) as usize;
    for second in (0..=scale.seconds).step_by(every.max(1)) {
        let x = scale.x(second as f64);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{BOTTOM}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"#94a3b8\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{second} s</text>",
            BOTTOM + 5.0,
            BOTTOM + 22.0
        );
    }
}

/// A line through the middle of each second, and what is below it.
fn area(svg: &mut String, scale: &Scale, answers: &[usize]) {
    let points: Vec<_> = answers
        .iter()
        .enumerate()
        .map(|(second, count)| format!("{:.1},{:.1}", scale.x(second as f64 + 0.5), scale.y(*count as f64)))
        .collect();
    let points = points.join(" ");
    let (first, last) = (scale.x(0.5), scale.x(answers.len() as f64 - 0.5));
    let _ = writeln!(
        svg,
        "<polygon points=\"{first:.1},{BOTTOM} {points} {last:.1},{BOTTOM}\" fill=\"#2563eb\" fill-opacity=\"0.12\"/>\n\
         <polyline points=\"{points}\" fill=\"none\" stroke=\"#2563eb\" stroke-width=\"2\" stroke-linejoin=\"round\"/>"
    );
}

fn bars(svg: &mut String, scale: &Scale, failures: &[usize]) {
    for (second, count) in failures.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (x, next) = (scale.x(second as f64), scale.x(second as f64 + 1.0));
        // One failure among hundreds of answers is to be seen.
        let height = (BOTTOM - scale.y(*count as f64)).max(4.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"#dc2626\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#dc2626\" font-weight=\"600\">{count}</text>",
            x + 1.0,
            BOTTOM - height,
            next - x - 2.0,
            (x + next) / 2.0,
            BOTTOM - height - 5.0
        );
    }
}

fn marks(svg: &mut String, scale: &Scale, events: &[Event]) {
    let mut labels = String::new();
    for (index, event) in events.iter().enumerate() {
        let x = scale.x(event.at.as_secs_f64());
        let y = 62.0 + (index % ROWS) as f64 * ROW_HEIGHT;
        let colour = if event.planned { "#475569" } else { "#b45309" };
        let label = format!("{} · {:.0} ms", event.name, event.reaction.as_secs_f64() * 1000.0);
        // What would not fit is written to the left of its line.
        let fits = x + label.chars().count() as f64 * LETTER < RIGHT;
        let (anchor, offset) = if fits { ("start", 6.0) } else { ("end", -6.0) };
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{BOTTOM}\" stroke=\"{colour}\" \
             stroke-dasharray=\"4 3\"/>",
            y - 10.0
        );
        let _ = writeln!(
            labels,
            "<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\" stroke=\"{PAPER}\" \
             stroke-width=\"5\" paint-order=\"stroke\">{label}</text>",
            x + offset
        );
    }
    // Above all lines.
    svg.push_str(&labels);
}
