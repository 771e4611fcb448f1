//! `manuals DIRECTORY` writes the manual pages of lvsd, lvsctl and all their commands there, from the command lines
//! themselves: what the help says, the pages say.

use anyhow::Context as _;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Commands of those who administer a system (man(1)).
const SECTION: &str = "8";

fn main() -> anyhow::Result<()> {
    let directory = std::env::args_os().nth(1).context("usage: manuals DIRECTORY")?;
    for program in [lvsd::arguments::Arguments::command(), lvsd::ctl::arguments::Arguments::command()] {
        // Every page is of this version, and no page is about `help`.
        let mut program = program.disable_help_subcommand(true);
        program.build();
        let source = format!("{} {}", program.get_name(), env!("CARGO_PKG_VERSION"));
        pages(&program, &source, Path::new(&directory))?;
    }
    Ok(())
}

/// The page of a command, and those of the commands below it.
fn pages(command: &Command, source: &str, directory: &Path) -> anyhow::Result<()> {
    let man = Man::new(command.clone()).section(SECTION).source(source).manual("LVS load balancer");
    let path = directory.join(man.get_filename());
    let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    page(&man, command, &mut file).with_context(|| format!("write {}", path.display()))?;
    command.get_subcommands().try_for_each(|below| pages(below, source, directory))
}

fn page(man: &Man, command: &Command, file: &mut File) -> std::io::Result<()> {
    man.render_title(file)?;
    man.render_name_section(file)?;
    man.render_synopsis_section(file)?;
    man.render_description_section(file)?;
    man.render_options_section(file)?;
    if command.has_subcommands() {
        man.render_subcommands_section(file)?;
    }
    if let Some(text) = command.get_after_help() {
        after_help(&text.to_string(), file)?;
    }
    see_also(command, file)
}

/// What stands at the end of the help: a heading with a colon and indented lines, or a sentence.
fn after_help(text: &str, file: &mut File) -> std::io::Result<()> {
    let mut roff = Roff::default();
    match text.split_once(":\n") {
        Some((heading, lines)) => {
            roff.control("SH", [heading.to_uppercase().as_str()]).control("nf", []);
            for line in lines.lines() {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
        }
        None => drop(roff.control("SH", ["NOTES"]).text([roman(text)])),
    }
    roff.to_writer(file)
}

/// The other pages; a command's own is found from its program's.
fn see_also(command: &Command, file: &mut File) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let pages = [("lvsd", "8"), ("lvsctl", "8"), ("lvsd.toml", "5"), ("ipvsadm", "8")];
    let others = pages.iter().filter(|(page, _)| *page != name);
    let others: Vec<String> = others.map(|(page, section)| format!("{page}({section})")).collect();
    let mut roff = Roff::default();
    roff.control("SH", ["SEE ALSO"]).text([roman(others.join(", "))]);
    roff.to_writer(&mut *file)?;
    file.flush()
}
