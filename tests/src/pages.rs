//! What the documentation shows: README.md, docs/*.md and docs/runbooks/*.md, their blocks, and commands in their text.

use std::fs;
use std::path::{Path, PathBuf};

/// A page that people read.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its path below the top folder, such as `docs/bgp.md`.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// A block of a page: one between fences, or one that is indented by four.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of the page at which its text begins.
    pub line: usize,
    /// What its opening fence says; `None` of an indented block.
    pub language: Option<String>,
    /// What it shows, without the indentation.
    pub text: String,
}

impl Block {
    /// Its first line.
    pub fn first(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }
}

/// Every page, in the order of their paths.
pub fn all() -> Vec<Page> {
    below(&top())
}

/// The folder that this was built in.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page of the copy of the project in this folder.
pub fn below(top: &Path) -> Vec<Page> {
    let mut paths = vec![PathBuf::from("README.md")];
    for folder in ["docs", "docs/runbooks"] {
        let entries = fs::read_dir(top.join(folder)).expect("the folder of the documentation");
        let names = entries.map(|entry| entry.expect("an entry of the folder").file_name());
        let pages = names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"));
        paths.extend(pages.map(|name| Path::new(folder).join(name)));
    }
    paths.sort();
    let read = |path: PathBuf| Page {
        text: fs::read_to_string(top.join(&path)).expect("a page is text"),
        path: path.display().to_string(),
    };
    paths.into_iter().map(read).collect()
}

impl Page {
    /// Its blocks, from the top.
    pub fn blocks(&self) -> Vec<Block> {
        let lines: Vec<&str> = self.text.lines().collect();
        let (mut blocks, mut at, mut after_empty) = (Vec::new(), 0, true);
        while let Some(line) = lines.get(at) {
            let begin = at;
            if let Some(language) = line.trim_start().strip_prefix("```") {
                let length =
                    lines[at + 1..].iter().take_while(|line| !line.trim_start().starts_with("```")).count();
                assert!(at + 1 + length < lines.len(), "{}:{}: a fence is not closed", self.path, at + 1);
                let text = lines[at + 1..=at + length].iter().map(|line| format!("{line}\n")).collect();
                blocks.push(Block { line: at + 2, language: Some(language.trim().to_owned()), text });
                at += length + 2;
            } else if after_empty && line.starts_with("    ") {
                let is_of_it = |line: &&&str| line.starts_with("    ") || line.is_empty();
                at += lines[at..].iter().take_while(is_of_it).count();
                blocks.push(Block {
                    line: begin + 1,
                    language: None,
                    text: without_indentation(&lines[begin..at]),
                });
            } else {
                at += 1;
            }
            after_empty = lines[at - 1].is_empty();
        }
        blocks
    }

    /// What stands in backticks in its text, outside of blocks, each with its line; one that goes on in the next line is whole.
    pub fn code_spans(&self) -> Vec<(usize, String)> {
        let mut text: Vec<&str> = self.text.lines().collect();
        for block in self.blocks() {
            let fences = usize::from(block.language.is_some());
            let begin = block.line - 1 - fences;
            let end = block.line - 1 + block.text.lines().count() + fences;
            text[begin..end].fill("");
        }
        let (mut spans, mut number) = (Vec::new(), 1);
        for (index, piece) in text.join("\n").split('`').enumerate() {
            if index % 2 == 1 {
                spans.push((number, piece.replace('\n', " ")));
            }
            number += piece.matches('\n').count();
        }
        spans
    }
}

/// The lines as far to the left as they go together.
fn without_indentation(lines: &[&str]) -> String {
    let filled = lines.iter().filter(|line| !line.is_empty());
    let common = filled.map(|line| line.len() - line.trim_start().len()).min().unwrap_or_default();
    let text: String =
        lines.iter().map(|line| format!("{}\n", line.get(common..).unwrap_or_default())).collect();
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Title\n\nUse `lvsctl\nstatus`:\n\n    $ lvsctl status\n      web\n\n    done\n\n```toml\na = 1\n\n    b\n```\n\
                        1. One\n\n        deep `x`\n\nEnd, `why`.\n";

    fn page() -> Page {
        Page { path: "page.md".to_owned(), text: TEXT.to_owned() }
    }

    #[test]
    fn blocks_are_found_with_their_lines() {
        let block = |line, language: Option<&str>, text: &str| Block {
            line,
            language: language.map(ToOwned::to_owned),
            text: text.to_owned(),
        };
        let expected = [
            block(6, None, "$ lvsctl status\n  web\n\ndone\n"),
            block(12, Some("toml"), "a = 1\n\n    b\n"),
            block(18, None, "deep `x`\n"),
        ];
        assert_eq!(page().blocks(), expected);
    }

    #[test]
    fn spans_are_whole_and_none_is_of_a_block() {
        let expected = [(3, "lvsctl status".to_owned()), (20, "why".to_owned())];
        assert_eq!(page().code_spans(), expected);
    }

    #[test]
    fn every_page_is_found() {
        let paths: Vec<String> = all().into_iter().map(|page| page.path).collect();
        for path in ["README.md", "docs/operations.md", "docs/runbooks/LvsdDown.md"] {
            assert!(paths.iter().any(|found| found == path), "{path} is missing in {paths:?}");
        }
    }
}
