//! lvsd's Debian package, of the programs that were built before, in two versions of the same programs.

use crate::guest::run;
use crate::{kernel, pages};
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The version that the second is told to be: later than any that the workspace may have.
pub const LATER: &str = "999.0.0";

type Built = OnceLock<Result<PathBuf, String>>;

/// The package of the programs beside this one.
pub fn first() -> Result<&'static Path> {
    static BUILT: Built = OnceLock::new();
    once(&BUILT, build)
}

/// The same in a later version.
pub fn second() -> Result<&'static Path> {
    static BUILT: Built = OnceLock::new();
    once(&BUILT, || later(first()?))
}

fn once(built: &'static Built, build: impl FnOnce() -> Result<PathBuf>) -> Result<&'static Path> {
    let built = built.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!("{error}"))
}

fn build() -> Result<PathBuf> {
    // Whatever is missing is named.
    for program in ["lvsd", "lvsctl", "examples/manuals"] {
        kernel::built(program)?;
    }
    let lvsd = kernel::built("lvsd")?;
    let programs = lvsd.parent().context("a program without a folder")?;
    let to = kernel::target()?.join("deb");
    let output = Command::new(pages::top().join("systemd/debian/build"))
        .args([programs, &to])
        .env("COMPRESSION", "-Zgzip -z1")
        .output()
        .context("start systemd/debian/build")?;
    if !output.status.success() {
        return Err(anyhow!("systemd/debian/build: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// The package, taken apart and put together under another version.
fn later(package: &Path) -> Result<PathBuf> {
    let folder = package.with_file_name("later");
    let _ = fs::remove_dir_all(&folder);
    let (from, apart) = (package.display().to_string(), folder.display().to_string());
    run("dpkg-deb", &["--raw-extract", &from, &apart])?;
    let control = folder.join("DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let lines = text.lines().map(|line| match line.strip_prefix("Version: ") {
        Some(_) => format!("Version: {LATER}\n"),
        None => format!("{line}\n"),
    });
    fs::write(&control, lines.collect::<String>())?;
    let to = package.with_file_name("lvsd_later.deb");
    run("dpkg-deb", &["--root-owner-group", "-Zgzip", "-z1", "--build", &apart, &to.display().to_string()])?;
    fs::remove_dir_all(&folder)?;
    Ok(to)
}
