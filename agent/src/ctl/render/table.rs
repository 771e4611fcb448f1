//! Columns that line up, also when cells are coloured.

use std::fmt;

/// Spaces between columns.
const GAP: usize = 2;

/// A table with a heading.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<Row<N>>,
    /// Columns without anything in them are left out.
    only_filled: bool,
}

/// A row, and the lines beneath it.
#[derive(Debug)]
struct Row<const N: usize> {
    cells: [String; N],
    beneath: Vec<String>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(heading: [&str; N]) -> Self {
        let heading = Row { cells: heading.map(Into::into), beneath: Vec::new() };
        Self { rows: vec![heading], only_filled: false }
    }

    /// Leaves out columns in which no row has anything.
    pub(super) fn only_filled(mut self) -> Self {
        self.only_filled = true;
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
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        let mut is_filled = [!self.only_filled; N];
        for (index, row) in self.rows.iter().enumerate() {
            for (column, cell) in row.cells.iter().enumerate() {
                widths[column] = visible(cell).max(widths[column]);
                is_filled[column] |= index > 0 && !cell.is_empty();
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.cells.iter().enumerate().filter(|(column, _)| is_filled[*column]) {
                line += cell;
                line += &" ".repeat(widths[column] - visible(cell) + GAP);
            }
            writeln!(f, "{}", line.trim_end())?;
            row.beneath.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        }
        Ok(())
    }
}

/// How many columns a cell takes on a terminal: escape sequences take none.
fn visible(cell: &str) -> usize {
    let mut is_escape = false;
    cell.chars()
        .filter(|letter| {
            let counts = !is_escape && *letter != '\x1b';
            is_escape = if is_escape { *letter != 'm' } else { *letter == '\x1b' };
            counts
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whether_coloured_or_not() {
        let mut table = Table::new(["HOST", "STATE", "WHY"]);
        table.row(["rs1".into(), "\x1b[32mup\x1b[0m".into(), "a".into()]);
        table.row(["rs20000".into(), "down".into(), String::new()]);
        assert_eq!(
            table.to_string(),
            "HOST     STATE  WHY\nrs1      \x1b[32mup\x1b[0m     a\nrs20000  down\n"
        );
    }
}
