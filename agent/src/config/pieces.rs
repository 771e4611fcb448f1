//! A file in pieces: each service's part by itself. The parser's tree is many times as large as the configuration that
//! comes of it, and so it is never there for all services at once.
//!
//! A piece begins at a line that looks like the header of another table. Where that line is no header, because it stands
//! in an array or a text of several lines, the piece before it ends in the middle, which the parser refuses: whoever
//! parses pieces parses the whole instead when anything is wrong with one.

use std::collections::HashSet;

/// What all headers of services begin with.
const SERVICE: &str = "service.";

/// A file in pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces<'t> {
    /// What is no service's, with empty lines where the services were: places in it are those of the file.
    pub(super) rest: String,
    /// The services in the order of the file, no two of one name.
    pub(super) services: Vec<Piece<'t>>,
}

/// What a file says of one service.
#[derive(Debug)]
pub(super) struct Piece<'t> {
    /// The service, as its headers name it.
    pub(super) name: &'t str,
    /// Lines of the file before it.
    pub(super) lines_before: usize,
    /// Its part of the file.
    pub(super) text: &'t str,
}

/// Takes a file to pieces; `None` when a service's name is quoted, or its part is not in one place.
pub(super) fn split(text: &str) -> Option<Pieces<'_>> {
    let mut pieces = Pieces::default();
    let mut names = HashSet::new();
    let mut current = None;
    let (mut lines, mut offset) = (0, 0);
    for line in text.split_inclusive('\n') {
        match header(line) {
            Header::None => {}
            Header::Unclear => return None,
            Header::Other => current = None,
            Header::Service(name) if current == Some(name) => {}
            Header::Service(name) => {
                if !names.insert(name) {
                    return None;
                }
                current = Some(name);
                pieces.services.push(Piece { name, lines_before: lines, text: &text[offset..offset] });
            }
        }
        let (begin, end) = (offset, offset + line.len());
        match pieces.services.last_mut().filter(|_| current.is_some()) {
            Some(piece) => {
                piece.text = &text[begin - piece.text.len()..end];
                pieces.rest.extend(line.ends_with('\n').then_some('\n'));
            }
            None => pieces.rest.push_str(line),
        }
        (lines, offset) = (lines + 1, end);
    }
    Some(pieces)
}

/// What a line looks like.
enum Header<'t> {
    None,
    Service(&'t str),
    Other,
    /// A service's, whose name is not in plain letters.
    Unclear,
}

fn header(line: &str) -> Header<'_> {
    let Some(inner) = line.trim_start().strip_prefix('[') else { return Header::None };
    let Some(path) = inner.strip_prefix('[').unwrap_or(inner).strip_prefix(SERVICE) else {
        return Header::Other;
    };
    let end = path.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(path.len());
    match path[end..].chars().next() {
        Some('.' | ']') if end > 0 => Header::Service(&path[..end]),
        Some(_) | None => Header::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_is_a_piece_and_all_else_keeps_its_lines() {
        let text = "[lvsd]\nhttp = 1\n[service.a]\nport = 1\n[[service.a.backends]]\n[bgp]\nx = 1\n[service.b]\ny = 1";
        let pieces = split(text).unwrap();
        assert_eq!(pieces.rest, "[lvsd]\nhttp = 1\n\n\n\n[bgp]\nx = 1\n\n");
        let found: Vec<_> = pieces.services.iter().map(|p| (p.name, p.lines_before, p.text)).collect();
        assert_eq!(
            found,
            [("a", 2, "[service.a]\nport = 1\n[[service.a.backends]]\n"), ("b", 7, "[service.b]\ny = 1")]
        );
    }

    #[test]
    fn what_is_not_in_one_place_or_not_plain_is_not_taken_to_pieces() {
        for text in [
            "[service.a]\n[service.b]\n[service.a.addresses]\n",
            "[service.\"a\"]\n",
            "[service.a b]\n",
            "[service.]\n",
        ] {
            assert!(split(text).is_none(), "{text}");
        }
    }
}
