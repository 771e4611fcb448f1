//! What BIRD answers to `show route all`.

use super::reading::{Route, Table};

/// A line without what the protocol of the control socket puts before it: a code and a dash, or a blank.
fn text(line: &str) -> &str {
    match line.as_bytes() {
        [a, b, c, d, b'-' | b' ', ..] if [a, b, c, d].iter().all(|octet| octet.is_ascii_digit()) => {
            &line[5..]
        }
        [b' ', ..] => &line[1..],
        _ => line,
    }
}

/// The routes, with their attributes in BIRD's own words.
pub(crate) fn parse(answer: &str) -> Table {
    let (mut table, mut route, mut last) = (Table::default(), None::<(String, Route)>, String::new());
    for line in answer.lines().map(text) {
        if let Some(more) = line.strip_prefix("\t\t") {
            if let Some((_, route)) = &mut route {
                route.extend(&last, more);
            }
        } else if let Some(attribute) = line.strip_prefix("\tBGP.") {
            let (name, value) = attribute.split_once(':').expect("a name and a value");
            last = name.to_owned();
            if let Some((_, route)) = &mut route {
                route.set(name, value.trim());
            }
        } else if line.contains(" [feeder ") {
            let (prefix, _) = line.split_once(' ').expect("a prefix and more");
            let whole = route.replace((prefix.to_owned(), Route::default()));
            whole.into_iter().for_each(|whole| table.insert_text(whole));
        }
    }
    route.into_iter().for_each(|whole| table.insert_text(whole));
    table
}
