//! YAML in block style: what `-o json` says, for people who read it.
//!
//! Keys come in the order of the alphabet, as kubectl has them. Texts stand plain where every version of YAML takes them for
//! texts, and quoted as JSON does otherwise, which is YAML, too.

use serde_json::Value;

/// Columns that a level is indented by.
const STEP: usize = 2;

/// Words that are no text where they stand plain, in YAML 1.1 or 1.2 (of the latter's core schema).
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// One document, with the line's end.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value, 0);
    text.push('\n');
    text
}

/// Writes a value whose first line begins where the text ends, at this column.
fn write(text: &mut String, value: &Value, column: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    new_line(text, column);
                }
                text.push_str(&scalar(key));
                text.push(':');
                match is_block(value) {
                    true => new_line(text, column + STEP),
                    false => text.push(' '),
                }
                write(text, value, column + STEP);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    new_line(text, column);
                }
                text.push_str("- ");
                write(text, item, column + STEP);
            }
        }
        Value::String(string) => text.push_str(&scalar(string)),
        other => text.push_str(&other.to_string()),
    }
}

fn new_line(text: &mut String, column: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', column));
}

/// Whether a value has lines of its own.
fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Whether nobody can take it for anything but a text.
fn is_plain(text: &str) -> bool {
    let is_harmless = |c: char| c.is_ascii_alphanumeric() || " _-./".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(is_harmless)
        && !text.ends_with(' ')
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// JSON leaves characters as they are that YAML does not take, or takes for the end of a line (YAML 1.2.2, §5.1 and §5.4).
fn quoted(text: &str) -> String {
    let is_odd = |c: char| ('\u{7f}'..'\u{a0}').contains(&c) || "\u{2028}\u{2029}\u{feff}".contains(c);
    let mut quoted = String::with_capacity(text.len() + 2);
    for letter in Value::from(text).to_string().chars() {
        match is_odd(letter) {
            true => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => quoted.push(letter),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::document;
    use serde_json::json;

    #[test]
    fn what_is_within_something_is_indented_and_what_is_empty_stands_in_its_line() {
        let value = json!({
            "ready": true, "drain": null, "vips": [], "more": {},
            "services": [{"name": "web", "pools": [{"needed": 2, "share": 0.5}, {}]}, ["a", ["b"]]],
        });
        assert_eq!(
            document(&value),
            "\
drain: null
more: {}
ready: true
services:
  - name: web
    pools:
      - needed: 2
        share: 0.5
      - {}
  - - a
    - - b
vips: []
"
        );
        assert_eq!(document(&json!([])), "[]\n");
    }

    #[test]
    fn a_text_that_could_be_read_as_something_else_is_quoted() {
        for plain in
            ["web", "cp1075.example.org", "held-though-down", "/etc/lvsd/lvsd.toml", "its check passes"]
        {
            assert_eq!(document(&json!(plain)), format!("{plain}\n"));
        }
        let odd = [
            "",
            "No",
            "null",
            "10.64.0.11",
            "2001:db8::1",
            "-",
            "a: b",
            "a #b",
            "a ",
            "*",
            "é",
            "1e3",
            "~",
            "a\nb",
        ];
        for odd in odd {
            let text = document(&json!(odd));
            assert!(text.starts_with('"') && text.ends_with("\"\n"), "{odd:?}: {text}");
            assert_eq!(serde_json::from_str::<String>(&text).unwrap(), odd);
        }
        assert_eq!(document(&json!("\u{7f}\u{85}\u{2028}")), "\"\\u007f\\u0085\\u2028\"\n");
    }
}
