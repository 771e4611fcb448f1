//! What is typed in a copy of the project: targets of make, and cargo.

use anyhow::{Result, ensure};
use lab::{pages, steps};
use std::fs;
use std::process::Command;

/// Every `make TARGET` in blocks and text is a target that make would make, and every `cargo …` in blocks builds what there is.
pub(crate) fn are_there() -> Result<()> {
    let mut typed = Vec::new();
    for page in pages::all() {
        let of_block =
            |block: &pages::Block| steps::of(block).into_iter().map(|step| (step.line, step.command));
        let blocks = page.blocks().into_iter().filter(|block| block.language.is_none());
        let all = blocks.flat_map(|block| of_block(&block).collect::<Vec<_>>()).chain(page.code_spans());
        let tools = all.filter(|(_, command)| command.starts_with("make ") || command.starts_with("cargo "));
        typed.extend(tools.map(|(line, command)| (format!("{}:{line}", page.path), command)));
    }
    ensure!(typed.len() > 10, "only {typed:?}");
    for (place, command) in &typed {
        let (tool, words) = command.split_once(' ').unwrap_or_default();
        let words: Vec<&str> = words.split_whitespace().collect();
        if tool == "make" {
            made(place, words[0])?;
        } else {
            ensure!(is_of_a_package(&words)?, "{place}: `{command}` names no package of the workspace");
        }
    }
    Ok(())
}

fn made(place: &str, target: &str) -> Result<()> {
    let output = Command::new("make").args(["-n", target]).current_dir(pages::top()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{place}: `make {target}`: {said}");
    Ok(())
}

/// Whether what follows `-p` is a package of the workspace's.
fn is_of_a_package(words: &[&str]) -> Result<bool> {
    let Some(at) = words.iter().position(|word| *word == "-p") else { return Ok(true) };
    let line = format!("name = \"{}\"\n", words.get(at + 1).copied().unwrap_or_default());
    for folder in fs::read_dir(pages::top())? {
        let manifest = folder?.path().join("Cargo.toml");
        if fs::read_to_string(manifest).is_ok_and(|text| text.contains(&line)) {
            return Ok(true);
        }
    }
    Ok(false)
}
