//! Columns that line up, also when cells are coloured.

use std::fmt;

/// Spaces between columns.
const GAP: usize = 2;

/// A table with a heading.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(Into::into)] }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = visible(cell).max(*width);
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                line += cell;
                line += &" ".repeat(width - visible(cell) + GAP);
            }
            writeln!(f, "{}", line.trim_end())?;
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
