//! The configurations that README.md and docs/ show are configurations that lvsd takes.

use std::fs;
use std::path::{Path, PathBuf};

/// The line by which an example says that it is a whole configuration.
const MARK: &str = "# lvsd.toml";

/// Every page that people read.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).expect("docs/");
    let mut pages: Vec<PathBuf> = docs
        .map(|entry| entry.expect("an entry of docs/").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(root.join("README.md"));
    pages.sort();
    pages
}

/// The fenced blocks of a language in a page, each with the line at which its text begins.
fn blocks(page: &str, language: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        open = match (open, line.strip_prefix("```")) {
            (None, Some(named)) => Some((named.trim().to_owned(), number + 2, String::new())),
            (None, None) => None,
            (Some((named, begin, text)), Some(_)) => {
                if named == language {
                    blocks.push((begin, text));
                }
                None
            }
            (Some((named, begin, text)), None) => Some((named, begin, text + line + "\n")),
        };
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// Everything that is wrong with an example, with its place in the page.
fn errors(page: &Path, begin: usize, text: &str) -> Vec<String> {
    // Empty lines before it give each error the line that it has in the page.
    let text = "\n".repeat(begin - 1) + text;
    match lvsd::config::parse(&[(page.to_owned(), text)]) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_configuration_in_the_documentation_is_accepted() {
    let (mut found, mut wrong) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for (begin, example) in blocks(&text, "toml") {
            assert!(example.starts_with(MARK), "{}:{begin}: its first line is not {MARK:?}", page.display());
            found += 1;
            wrong.extend(errors(&page, begin, &example));
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(found >= 5, "only {found} configurations were found");
}

#[test]
fn every_pool_file_in_the_documentation_is_accepted() {
    let mut found = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for (begin, example) in blocks(&text, "json") {
            found += 1;
            let pool = lvsd::pool_file::parse(&page, example.as_bytes());
            assert!(pool.is_ok(), "{}:{begin}: {pool:?}", page.display());
        }
    }
    assert!(found > 0, "no pool file was found");
}

#[test]
fn a_configuration_that_is_wrong_is_found_at_its_place_in_the_page() {
    let page = "# Title\n\n```toml\n# lvsd.toml\n[lvsd]\ndrain_timout = \"5s\"\n```\n";
    let found = blocks(page, "toml");
    assert_eq!(found.len(), 1);
    let errors = errors(Path::new("page.md"), found[0].0, &found[0].1);
    assert_eq!(errors, ["page.md:6:1: lvsd.drain_timout: unknown key; did you mean `drain_timeout`?"]);
}
