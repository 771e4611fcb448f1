//! A picture: bars on a logarithmic axis.

use std::{fmt::Write as _, fs, path::Path};

const WIDTH: f64 = 640.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 70.0;
const BAR: f64 = 18.0;

const COLOURS: [&str; 4] = ["#1f5f99", "#8db8dc", "#b5482a", "#e3a58f"];

pub(crate) struct Chart<'a> {
    pub(crate) title: String,
    /// What each of a row's bars is; four at most.
    pub(crate) series: &'a [&'a str],
    /// Each row with its bars; a bar that there is none of is `None`.
    pub(crate) rows: Vec<(String, Vec<Option<f64>>)>,
    /// The powers of ten at which the axis begins and ends.
    pub(crate) powers: [i32; 2],
    /// Room for the rows' names.
    pub(crate) left: f64,
    /// A value in words.
    pub(crate) words: fn(f64) -> String,
}

impl Chart<'_> {
    pub(crate) fn write(&self, path: &Path) {
        let height = TOP + self.group() * self.rows.len() as f64 + 40.0;
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
             <text x=\"12\" y=\"26\" font-size=\"16\">{}</text>\n",
            self.title
        );
        self.legend(&mut text);
        self.axis(&mut text, height - 34.0);
        for (index, (name, bars)) in self.rows.iter().enumerate() {
            let top = TOP + 6.0 + self.group() * index as f64;
            let middle = top + BAR * self.series.len() as f64 / 2.0 + 4.0;
            let end = self.left - 8.0;
            let _ = writeln!(text, "<text x=\"{end}\" y=\"{middle:.1}\" text-anchor=\"end\">{name}</text>");
            for (bar, value) in bars.iter().enumerate() {
                self.bar(&mut text, top + BAR * bar as f64, COLOURS[bar], *value);
            }
        }
        fs::write(path, text + "</svg>\n").expect("the picture is written");
        println!("left in {}", path.display());
    }

    fn group(&self) -> f64 {
        BAR * self.series.len() as f64 + 22.0
    }

    fn legend(&self, text: &mut String) {
        for (index, name) in self.series.iter().enumerate() {
            let (x, colour) = (12.0 + 150.0 * index as f64, COLOURS[index]);
            let _ = writeln!(text, "<rect x=\"{x}\" y=\"40\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
            let _ = writeln!(text, "<text x=\"{}\" y=\"51\">{name}</text>", x + 18.0);
        }
    }

    fn axis(&self, text: &mut String, bottom: f64) {
        for power in self.powers[0]..=self.powers[1] {
            let (value, below) = (10f64.powi(power), bottom + 18.0);
            let (x, label) = (self.x(value), (self.words)(value));
            let _ = writeln!(text, "<path d=\"M{x:.1} {TOP}V{bottom:.1}\" stroke=\"#ddd\"/>");
            let _ =
                writeln!(text, "<text x=\"{x:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{label}</text>");
        }
    }

    fn bar(&self, text: &mut String, y: f64, colour: &str, value: Option<f64>) {
        let end = value.map_or(self.left, |value| self.x(value));
        let (width, height) = ((end - self.left).max(1.0), BAR - 2.0);
        let words = value.map_or("none".to_owned(), self.words);
        let left = self.left;
        let _ = writeln!(
            text,
            "<rect x=\"{left}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{colour}\"/>"
        );
        let _ = writeln!(text, "<text x=\"{:.1}\" y=\"{:.1}\">{words}</text>", end + 6.0, y + 13.0);
    }

    fn x(&self, value: f64) -> f64 {
        let [first, last] = self.powers.map(f64::from);
        let share = (value.max(f64::MIN_POSITIVE).log10() - first) / (last - first);
        self.left + (WIDTH - self.left - RIGHT) * share.clamp(0.0, 1.0)
    }
}

/// How many a second.
pub(crate) fn rate(value: f64) -> String {
    if value < 999_500.0 { format!("{:.0} k", value / 1e3) } else { format!("{:.1} M", value / 1e6) }
}
