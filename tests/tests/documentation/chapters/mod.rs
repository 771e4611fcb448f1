//! Inside a guest: the pages, in the order of a balancer's life.

mod installed;
mod migrated;
mod operated;
mod removed;
mod runbooks;
mod watched;

use crate::reader::Reader;
use crate::site::{MACHINE, Site};
use anyhow::{Context, Result, ensure};
use lab::guest::run;
use lab::pages;
use std::fs;
use std::path::{Path, PathBuf};

/// lvsd's configuration.
const CONFIGURATION: &str = "/etc/lvsd/lvsd.toml";

/// Pages of one part of a balancer's life.
type Chapter = fn(&mut Reader, &mut Site) -> Result<()>;

pub(crate) fn whole() -> Result<()> {
    let mut site = Site::build()?;
    let mut reader = Reader::new(pages::below(&project()?));
    let chapters: [(&str, Chapter); 6] = [
        ("installed", installed::whole),
        ("operated", operated::whole),
        ("watched", watched::whole),
        ("runbooks", runbooks::whole),
        ("migrated", migrated::whole),
        ("removed", removed::whole),
    ];
    for (name, chapter) in chapters {
        let done = chapter(&mut reader, &mut site);
        reader.closes(name, done);
    }
    reader.has_read_everything()
}

/// The folder of the project, as the guest sees it.
fn project() -> Result<PathBuf> {
    Ok(Path::new(MACHINE).join(pages::top().strip_prefix("/")?))
}

fn configure(text: &str) -> Result<()> {
    fs::write(CONFIGURATION, text).context("write the configuration")
}

/// Has lvsd start with this configuration, ready at the end.
fn start_with(text: &str) -> Result<()> {
    configure(text)?;
    systemctl("restart")
}

fn systemctl(verb: &str) -> Result<()> {
    run("systemctl", &[verb, "lvsd"]).map(drop)
}

/// README's balancer, its servers asked more often, and a second router.
fn of_the_site(reader: &Reader) -> Result<String> {
    let text = reader.fenced("README.md", "toml", "## A first balancer")?;
    let asked = "url = \"/healthz\"\n";
    ensure!(text.contains(asked), "README's check asks for /healthz");
    let mut text = text.replace(asked, &format!("{asked}interval = \"500ms\"\n"));
    for (name, router, own) in
        [("r2-v4", "10.64.0.252", "10.64.0.1"), ("r2-v6", "fd00:64::252", "fd00:64::1")]
    {
        text += &format!(
            "\n[[bgp.peer]]\nname = \"{name}\"\naddress = \"{router}\"\nasn = 65002\nlocal_address = \"{own}\"\n"
        );
    }
    Ok(text)
}
