//! Lines that are longer than the terminal is wide.

use super::Paint;

/// A terminal that is narrower than this is left to cope by itself.
const NARROWEST: usize = 20;

/// What the rest of a line is indented by, beyond the line itself.
const HANGING: usize = 2;

/// Cuts lines at spaces, so that none is wider than the terminal for which it is; the rest of a line is indented.
pub fn fold(text: &str, paint: Paint) -> String {
    let Some(columns) = paint.columns.filter(|columns| *columns >= NARROWEST) else { return text.to_owned() };
    let mut folded = String::with_capacity(text.len());
    for line in text.lines() {
        let indent = (line.len() - line.trim_start().len() + HANGING).min(columns / 2);
        for (index, piece) in wrap(line, columns, columns - indent).into_iter().enumerate() {
            if index > 0 {
                folded.extend(std::iter::repeat_n(' ', indent));
            }
            folded.push_str(piece);
            folded.push('\n');
        }
    }
    folded
}

/// Cuts a line at spaces: the first piece takes no more than `first` columns, each other one no more than `others`. A word
/// that is longer stays whole.
pub(super) fn wrap(text: &str, first: usize, others: usize) -> Vec<&str> {
    let (mut pieces, mut rest, mut room) = (Vec::new(), text, first);
    while visible(rest) > room {
        let Some(at) = break_at(rest, room) else { break };
        pieces.push(rest[..at].trim_end());
        rest = rest[at..].trim_start();
        room = others;
    }
    pieces.push(rest);
    pieces
}

/// The last space within the room, or else the first one; never one that indents the line.
fn break_at(text: &str, room: usize) -> Option<usize> {
    let indent = text.len() - text.trim_start().len();
    let mut found = None;
    for (at, _) in text.match_indices(' ').filter(|(at, _)| *at > indent) {
        if found.is_some() && visible(&text[..at]) > room {
            break;
        }
        found = Some(at);
    }
    found
}

/// How many columns a text takes on a terminal: escape sequences take none.
pub(super) fn visible(text: &str) -> usize {
    let mut is_escape = false;
    text.chars()
        .filter(|letter| {
            let counts = !is_escape && *letter != '\x1b';
            is_escape = if is_escape { *letter != 'm' } else { *letter == '\x1b' };
            counts
        })
        .count()
}

/// The beginning of a line that takes no more than so many columns. Escape sequences stay, also those behind it: a colour
/// ends.
pub(in crate::ctl) fn clip(line: &str, columns: usize) -> String {
    let (mut clipped, mut taken, mut is_escape) = (String::with_capacity(line.len()), 0, false);
    for letter in line.chars() {
        let counts = !is_escape && letter != '\x1b';
        is_escape = if is_escape { letter != 'm' } else { letter == '\x1b' };
        taken += usize::from(counts);
        if !counts || taken <= columns {
            clipped.push(letter);
        }
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Paint = Paint::new(false).within(Some(30));

    #[test]
    fn a_long_line_is_cut_at_spaces_and_its_rest_is_indented() {
        let text = "short\n  rs1 is down since yesterday: connection refused\n";
        assert_eq!(fold(text, NARROW), "short\n  rs1 is down since yesterday:\n    connection refused\n");
        assert_eq!(fold(text, Paint::new(false)), text);
    }

    #[test]
    fn what_fits_to_the_column_stays_and_a_word_that_never_fits_stays_whole() {
        let exact = "123456789 123456789 1234567890\n";
        assert_eq!(fold(exact, NARROW), exact);
        let long = format!("http://{}/ failed\n", "a".repeat(40));
        assert_eq!(fold(&long, NARROW), format!("http://{}/\n  failed\n", "a".repeat(40)));
    }

    #[test]
    fn colours_take_no_room_and_end_where_a_line_is_clipped() {
        let line = "\x1b[32mup\x1b[0m and \x1b[31mdown\x1b[0m";
        assert_eq!(visible(line), 11);
        assert_eq!(clip(line, 8), "\x1b[32mup\x1b[0m and \x1b[31md\x1b[0m");
        assert_eq!(clip(line, 11), line);
    }
}
