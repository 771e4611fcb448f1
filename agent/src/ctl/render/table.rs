//! Columns that line up, also when cells are coloured.

use super::Paint;
use super::fold::{visible, wrap};
use std::fmt;

/// Spaces between columns.
const GAP: usize = 2;

/// Columns of a terminal that the last cell of a row needs to stand beside the others; a few words.
const LEAST: usize = 20;

/// A table with a heading. The last column may hold texts of any length: on a terminal that is too narrow for them they go on
/// in more lines, or stand beneath their rows.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<Row<N>>,
    /// Columns without anything in them are left out.
    only_filled: bool,
    /// Columns that are there.
    shown: [bool; N],
    paint: Paint,
}

/// A row, and the lines beneath it.
#[derive(Debug)]
struct Row<const N: usize> {
    cells: [String; N],
    beneath: Vec<String>,
}

/// Where the last cell of each row goes.
#[derive(Clone, Copy)]
enum Last {
    Beside,
    /// Beside, in lines of so many columns.
    Wrapped(usize),
    Beneath,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(paint: Paint, heading: [&str; N]) -> Self {
        let heading = Row { cells: heading.map(Into::into), beneath: Vec::new() };
        Self { rows: vec![heading], only_filled: false, shown: [true; N], paint }
    }

    /// Leaves out columns in which no row has anything.
    pub(super) fn only_filled(mut self) -> Self {
        self.only_filled = true;
        self
    }

    /// Leaves out these columns unless everything is wanted.
    pub(super) fn wide_only(mut self, names: &[&str]) -> Self {
        if let (false, Some(heading)) = (self.paint.is_wide, self.rows.first()) {
            self.shown = std::array::from_fn(|column| !names.contains(&heading.cells[column].as_str()));
        }
        self
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(Row { cells, beneath: Vec::new() });
    }

    /// A line beneath the last row, for a text of any length.
    pub(super) fn beneath(&mut self, line: String) {
        if let Some(row) = self.rows.last_mut() {
            row.beneath.push(line);
        }
    }

    /// The widths of the columns that are there, by column.
    fn widths(&self) -> Vec<(usize, usize)> {
        let of = |column: usize| {
            let cells = || self.rows.iter().map(move |row| &row.cells[column]);
            let is_there = self.shown[column] && !(self.only_filled && cells().skip(1).all(String::is_empty));
            is_there.then(|| (column, cells().map(|cell| visible(cell)).max().unwrap_or_default()))
        };
        (0..N).filter_map(of).collect()
    }

    /// Where the cells of the last column go, which comes behind so many columns of a terminal and has such a width.
    fn last(&self, last: usize, before: usize, width: usize) -> Last {
        let Some(columns) = self.paint.columns.filter(|columns| before + width > *columns) else {
            return Last::Beside;
        };
        let words = self.rows.iter().flat_map(|row| row.cells[last].split(' '));
        let least = words.map(visible).max().unwrap_or_default().max(LEAST);
        match columns.checked_sub(before).filter(|room| *room >= least) {
            Some(room) => Last::Wrapped(room),
            None => Last::Beneath,
        }
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let Some(((last, width), others)) = widths.split_last() else { return Ok(()) };
        let before: usize = others.iter().map(|(_, width)| width + GAP).sum();
        let place = self.last(*last, before, *width);
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, width) in others {
                let cell = &row.cells[*column];
                line += cell;
                line += &" ".repeat(width - visible(cell) + GAP);
            }
            let text = row.cells[*last].as_str();
            let pieces = match place {
                Last::Wrapped(room) => wrap(text, room, room),
                Last::Beside => vec![text],
                Last::Beneath => Vec::new(),
            };
            let (first, more) = pieces.split_first().map_or(("", &[][..]), |(first, more)| (*first, more));
            writeln!(f, "{}", (line + first).trim_end())?;
            more.iter().try_for_each(|piece| writeln!(f, "{:before$}{piece}", ""))?;
            if matches!(place, Last::Beneath) && index > 0 && !text.is_empty() {
                writeln!(f, "    {text}")?;
            }
            row.beneath.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paint: Paint) -> Table<3> {
        let mut table = Table::new(paint, ["HOST", "STATE", "WHY"]);
        table.row(["rs1".into(), "\x1b[32mup\x1b[0m".into(), "its check passes".into()]);
        table.row(["rs20000".into(), "down".into(), "connection refused by the server, once more".into()]);
        table
    }

    #[test]
    fn columns_line_up_whether_coloured_or_not() {
        assert_eq!(
            table(Paint::new(false)).to_string(),
            "HOST     STATE  WHY\nrs1      \x1b[32mup\x1b[0m     its check passes\n\
             rs20000  down   connection refused by the server, once more\n"
        );
    }

    #[test]
    fn the_last_column_goes_on_in_more_lines_where_it_is_too_wide() {
        assert_eq!(
            table(Paint::new(false).within(Some(40))).to_string(),
            "HOST     STATE  WHY\nrs1      \x1b[32mup\x1b[0m     its check passes\n\
             rs20000  down   connection refused by\n                the server, once more\n"
        );
    }

    #[test]
    fn the_last_column_stands_beneath_where_there_is_no_room_beside() {
        assert_eq!(
            table(Paint::new(false).within(Some(30))).to_string(),
            "HOST     STATE\nrs1      \x1b[32mup\x1b[0m\n    its check passes\n\
             rs20000  down\n    connection refused by the server, once more\n"
        );
    }

    #[test]
    fn columns_for_those_with_room_are_there_when_they_are_asked_for() {
        let plain = table(Paint::new(false)).wide_only(&["STATE"]).to_string();
        assert!(plain.starts_with("HOST     WHY\nrs1      its"), "{plain}");
        let wide = table(Paint::new(false).wide()).wide_only(&["STATE"]).to_string();
        assert!(wide.starts_with("HOST     STATE  WHY\n"), "{wide}");
    }
}
