//! What a block has a reader type, what it shows for it, and whether that is what is printed.

use crate::pages::Block;

/// One command and what is shown below it.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The line of the page.
    pub line: usize,
    /// What is typed.
    pub command: String,
    /// The lines that are shown, empty ones left out.
    pub shown: Vec<String>,
}

/// The steps of a block: its lines with a prompt, each with what is shown below it, or, where none has one, all of its lines.
pub fn of(block: &Block) -> Vec<Step> {
    let has_prompts = block.text.lines().any(|line| line.starts_with("$ "));
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for (number, line) in block.text.lines().enumerate() {
        let typed =
            if has_prompts { line.strip_prefix("$ ") } else { Some(line).filter(|line| !line.is_empty()) };
        match (typed, steps.last_mut()) {
            (_, Some(step)) if goes_on => step.command += line.trim_start(),
            (Some(typed), _) => {
                steps.push(Step {
                    line: block.line + number,
                    command: uncommented(typed),
                    shown: Vec::new(),
                });
            }
            (None, Some(step)) if !line.is_empty() => step.shown.push(line.to_owned()),
            (None, _) => {}
        }
        goes_on = steps.last().is_some_and(|step| step.command.ends_with('\\'));
        if let Some(step) = steps.last_mut().filter(|_| goes_on) {
            step.command.pop();
        }
    }
    steps
}

/// A command without what is said about it after two spaces or more.
fn uncommented(line: &str) -> String {
    line.split_once("  #").map_or(line, |(command, _)| command).trim_end().to_owned()
}

/// The first shown line that is not among what was printed, in its order; `None` when all are.
pub fn missing<'a>(shown: &'a [String], printed: &str) -> Option<&'a str> {
    let mut printed = printed.lines();
    shown.iter().map(String::as_str).find(|line| !printed.any(|real| is_like(line, real)))
}

/// Whether a printed line is what a page shows: word by word, but for times, and with `…` for any words.
fn is_like(shown: &str, real: &str) -> bool {
    let (shown, real): (Vec<&str>, Vec<&str>) =
        (shown.split_whitespace().collect(), real.split_whitespace().collect());
    words_alike(&shown, &real)
}

fn words_alike(shown: &[&str], real: &[&str]) -> bool {
    match (shown, real) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=real.len()).any(|skipped| words_alike(rest, &real[skipped..])),
        (["revision", _, rest @ ..], ["revision", _, further @ ..]) => words_alike(rest, further),
        ([word, rest @ ..], [other, further @ ..]) => word_alike(word, other) && words_alike(rest, further),
        _ => false,
    }
}

fn word_alike(shown: &str, real: &str) -> bool {
    let bare = |word: &str| word.trim_matches(['(', ')', ',', ':', ';', '.']).to_owned();
    let (plain, other) = (bare(shown), bare(real));
    let end_alike = shown.replacen(&plain, "", 1) == real.replacen(&other, "", 1);
    shown == real
        || (end_alike && is_time(&plain) && is_time(&other))
        || shown.strip_suffix("…,").is_some_and(|begin| real.starts_with(begin))
}

/// A duration such as `22s` or `1h`, or a time such as `2026-11-20T11:19:32.147Z`.
fn is_time(word: &str) -> bool {
    let is_instant = word.ends_with('Z') && word.contains('T') && word.starts_with("20");
    let number = word.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    let unit = &word[number.len()..];
    let is_duration = !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && ["ms", "s", "m", "h", "d"].contains(&unit);
    is_instant || is_duration
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_their_lines_and_what_is_shown_below_them() {
        let block = |text: &str| Block { line: 7, language: None, text: text.to_owned() };
        let step = |line, command: &str, shown: &[&str]| Step {
            line,
            command: command.to_owned(),
            shown: shown.iter().map(|line| (*line).to_owned()).collect(),
        };
        let shown = of(&block("$ lvsctl status   # look\n  web\n\n$ a \\\n    b\n"));
        assert_eq!(shown, [step(7, "lvsctl status", &["  web"]), step(10, "a b", &[])]);
        let typed = of(&block("a\n\nb  # c\n"));
        assert_eq!(typed, [step(7, "a", &[]), step(9, "b", &[])]);
    }

    #[test]
    fn lines_are_alike_but_for_times_and_have_an_order() {
        for (page, real, is_alike) in [
            ("rs1  up  (4s ago): its check passes", "rs1 up     (13h ago): its check passes", true),
            ("rs1  up  (4s ago): its check passes", "rs1 down  (4s ago): its check passes", false),
            ("web  tcp port 80, …", "web tcp port 80, direct routing", true),
            ("since 2026-11-20T11:19:32.147Z: why", "since 2031-01-02T03:04:05.678Z: why", true),
            ("2 of 3", "2 of 4", false),
            ("one two", "one two three", false),
        ] {
            assert!(missing(&[page.to_owned()], real).is_none() == is_alike, "{page:?} and {real:?}");
        }
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(missing(&lines, "a\nx\nb"), None);
        assert_eq!(missing(&lines, "b\na"), Some("b"));
    }
}
