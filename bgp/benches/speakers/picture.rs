//! The picture: routes a second of each daemon.

use std::{fmt::Write as _, fs, path::Path};

use crate::table::{ROUTES, Table};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 70.0;
const BAR: f64 = 18.0;
const GROUP: f64 = 2.0 * BAR + 22.0;

/// Powers of ten that the axis shows.
const POWERS: [i32; 2] = [4, 7];

/// Announced, withdrawn.
const COLOURS: [(&str, &str); 2] = [("told", "#1f5f99"), ("taken back", "#b5482a")];

/// Draws it, the axis logarithmic.
pub(crate) fn write(path: &Path, tables: &[Table]) {
    let height = TOP + GROUP * tables.len() as f64 + 40.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">{ROUTES} routes: how many a second</text>\n"
    );
    for (index, (name, colour)) in COLOURS.iter().enumerate() {
        let x = LEFT + 110.0 * index as f64;
        let _ = writeln!(text, "<rect x=\"{x}\" y=\"40\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
        let _ = writeln!(text, "<text x=\"{}\" y=\"51\">{name}</text>", x + 18.0);
    }
    for power in POWERS[0]..=POWERS[1] {
        let (x, bottom) = (x(10f64.powi(power)), height - 34.0);
        let _ = writeln!(text, "<path d=\"M{x:.1} {TOP}V{bottom:.1}\" stroke=\"#ddd\"/>");
        let label = if power < 6 {
            format!("{} k", 10_i32.pow(power.unsigned_abs()) / 1000)
        } else {
            format!("{} M", 10_i32.pow(power.unsigned_abs()) / 1_000_000)
        };
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            bottom + 18.0
        );
    }
    for (index, table) in tables.iter().enumerate() {
        let y = TOP + 6.0 + GROUP * index as f64;
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + BAR + 4.0,
            table.name
        );
        for (bar, rate) in [table.announced_per_second, table.withdrawn_per_second].into_iter().enumerate() {
            let (y, end) = (y + BAR * bar as f64, x(rate));
            let _ = writeln!(
                text,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\"/>",
                (end - LEFT).max(1.0),
                BAR - 2.0,
                COLOURS[bar].1
            );
            let _ = writeln!(
                text,
                "<text x=\"{:.1}\" y=\"{:.1}\">{:.0} k</text>",
                end + 6.0,
                y + 13.0,
                rate / 1000.0
            );
        }
    }
    fs::write(path, text + "</svg>\n").expect("the picture is written");
}

fn x(rate: f64) -> f64 {
    let [first, last] = POWERS.map(f64::from);
    LEFT + (WIDTH - LEFT - RIGHT) * ((rate.max(1.0).log10() - first) / (last - first)).clamp(0.0, 1.0)
}
