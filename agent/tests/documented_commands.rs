//! Every `lvsctl …` and `lvsd …` that README.md and docs/ name is a command line that they take.

use clap::Parser;
use clap::error::ErrorKind;
use lab::pages::{self, Block};
use lab::steps::{self, Step};

/// What stands for a word of the reader's own, and a word in its place.
const PLACEHOLDERS: &[(&str, &str)] =
    &[("…", "some"), ("VIP", "192.0.2.10"), ("PREFIX", "192.0.2.0/24"), ("A,B", "rs1,rs2")];

/// The words of a command line without what shells do to it: redirections and pipes end it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, ' ') => words.push(String::new()),
            (None, '|' | '>' | '&' | ';') => break,
            _ => words.last_mut().expect("there is one").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    let own = |word: String| {
        PLACEHOLDERS.iter().find(|(name, _)| *name == word).map_or(word, |(_, own)| (*own).to_owned())
    };
    words.into_iter().map(own).collect()
}

/// What the program says against a command line; `None` when it takes it.
fn refusal(line: &str) -> Option<clap::Error> {
    let words = words(line);
    if words[0] == "lvsd" {
        return lvsd::arguments::Arguments::try_parse_from(words).err();
    }
    lvsd::ctl::arguments::Arguments::try_parse_from(words).err()
}

/// Whether it would be taken with more words at its end: such lines speak of a command, they do not give it.
fn only_lacks_words(error: &clap::Error) -> bool {
    let lacks_a_value = || error.to_string().contains("a value is required for");
    matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) || lacks_a_value()
}

/// Whether it is a command line of lvsd's or lvsctl's, not only the program's name.
fn is_ours(command: &str) -> bool {
    ["lvsctl ", "lvsd "].iter().any(|program| command.starts_with(program))
}

#[test]
fn every_command_in_the_text_is_one_that_there_is() {
    let (mut found, mut wrong) = (0, Vec::new());
    for page in pages::all() {
        for (line, command) in page.code_spans().into_iter().filter(|(_, span)| is_ours(span)) {
            found += 1;
            if let Some(error) = refusal(&command).filter(|error| !only_lacks_words(error)) {
                wrong.push(format!("{}:{line}: `{command}`: {error}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found > 100, "only {found} commands were found");
}

#[test]
fn every_command_in_a_block_is_one_that_there_is() {
    let (mut found, mut wrong) = (0, Vec::new());
    for page in pages::all() {
        let is_drawn = |block: &Block| block.text.contains('─');
        let blocks = page.blocks().into_iter().filter(|block| block.language.is_none() && !is_drawn(block));
        for (line, command) in blocks.flat_map(|block| commands(&block)) {
            // `[X]` may be left out: it is taken with and without.
            for command in [without_brackets(&command), command.replace(['[', ']'], "")] {
                found += 1;
                let (typed, is_whole) =
                    command.strip_suffix(" …").map_or((&*command, true), |begin| (begin, false));
                if let Some(error) = refusal(typed).filter(|error| is_whole || !only_lacks_words(error)) {
                    wrong.push(format!("{}:{line}: `{command}`: {error}", page.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found > 100, "only {found} commands were found");
}

/// The command lines of ours in a block, with their lines of the page; `… --option` goes on the block's first.
fn commands(block: &Block) -> Vec<(usize, String)> {
    let steps = steps::of(block);
    let first = steps.first().map(|step| step.command.clone()).unwrap_or_default();
    let whole = |step: Step| match step.command.trim_start().strip_prefix("… ") {
        Some(more) => (step.line, format!("{first} {more}")),
        None => (step.line, step.command),
    };
    steps.into_iter().map(whole).filter(|(_, command)| is_ours(command)).collect()
}

/// A command without each `[…]` in it.
fn without_brackets(command: &str) -> String {
    let mut pieces = command.split(['[', ']']).step_by(2);
    pieces.by_ref().collect()
}

#[test]
fn a_command_that_is_gone_and_an_option_that_is_misspelt_are_found() {
    for wrong in ["lvsctl repool rs1", "lvsctl depool rs1 --reson x", "lvsd --dryrun", "lvsctl status -o xml"]
    {
        assert!(refusal(wrong).is_some_and(|error| !only_lacks_words(&error)), "{wrong}");
    }
    for unfinished in ["lvsctl depool", "lvsctl vip", "lvsctl drain --balancer --wait", "lvsctl --host"] {
        assert!(refusal(unfinished).is_some_and(|error| only_lacks_words(&error)), "{unfinished}");
    }
}
