//! The package without a guest: its files, what lintian says, its manual pages.

use anyhow::{Context, Result, ensure};
use lab::guest::run;
use lab::package;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every installation is to have, and its mode.
const PLACES: &[(&str, &str)] = &[
    ("./usr/bin/lvsd", "-rwxr-xr-x"),
    ("./usr/bin/lvsctl", "-rwxr-xr-x"),
    ("./lib/systemd/system/lvsd.service", "-rw-r--r--"),
    ("./lib/systemd/system/lvsd-probes.service", "-rw-r--r--"),
    ("./lib/systemd/system/lvsd-probe-namespace.service", "-rw-r--r--"),
    ("./usr/lib/sysusers.d/lvsd.conf", "-rw-r--r--"),
    ("./usr/lib/sysctl.d/60-lvsd-balancer.conf", "-rw-r--r--"),
    ("./usr/lib/modules-load.d/lvsd.conf", "-rw-r--r--"),
    ("./usr/lib/modprobe.d/lvsd.conf", "-rw-r--r--"),
    ("./usr/share/bash-completion/completions/lvsctl", "-rw-r--r--"),
    ("./usr/share/zsh/vendor-completions/_lvsctl", "-rw-r--r--"),
    ("./usr/share/fish/vendor_completions.d/lvsctl.fish", "-rw-r--r--"),
    ("./usr/share/man/man8/lvsd.8.gz", "-rw-r--r--"),
    ("./usr/share/man/man8/lvsctl.8.gz", "-rw-r--r--"),
    ("./usr/share/man/man8/lvsctl-depool.8.gz", "-rw-r--r--"),
    ("./usr/share/man/man5/lvsd.toml.5.gz", "-rw-r--r--"),
    ("./usr/share/doc/lvsd/examples/60-lvsd-real-server.conf", "-rw-r--r--"),
    ("./usr/share/doc/lvsd/examples/lvsd-rules.yml", "-rw-r--r--"),
    ("./usr/share/doc/lvsd/examples/grafana-lvsd.json", "-rw-r--r--"),
    ("./usr/share/doc/lvsd/runbooks/LvsdDown.md", "-rw-r--r--"),
    ("./etc/lvsd/lvsd.toml", "-rw-r--r--"),
];

pub(crate) fn places() -> Result<()> {
    let deb = package::first()?.display().to_string();
    let listed = run("dpkg-deb", &["--contents", &deb])?;
    let mut found = BTreeMap::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [mode, owner, .., path] = words[..] else { continue };
        ensure!(owner == "root/root", "{path} belongs to {owner}");
        found.insert(path, mode);
    }
    for (path, mode) in PLACES {
        ensure!(found.get(path) == Some(mode), "{path} is to be {mode}, and is {:?}", found.get(path));
    }
    let conffiles = run("dpkg-deb", &["--info", &deb, "conffiles"])?;
    ensure!(conffiles.trim() == "/etc/lvsd/lvsd.toml", "conffiles: {conffiles:?}");
    Ok(())
}

pub(crate) fn lintian() -> Result<()> {
    let deb = package::first()?.display().to_string();
    let said = run("lintian", &["--allow-root", "--fail-on", "error", "--tag-display-limit", "0", &deb])?;
    // Warnings are for who changes the package; errors have ended it above.
    print!("{said}");
    Ok(())
}

pub(crate) fn manuals() -> Result<()> {
    let folder = lab::kernel::target()?.join("deb/manuals");
    let _ = fs::remove_dir_all(&folder);
    run("dpkg-deb", &["--extract", &package::first()?.display().to_string(), &folder.display().to_string()])?;
    let mut pages = Vec::new();
    for section in ["man5", "man8"] {
        for entry in fs::read_dir(folder.join("usr/share/man").join(section))? {
            pages.push(entry?.path());
        }
    }
    ensure!(pages.len() > 20, "only {} pages", pages.len());
    let rendered: BTreeMap<PathBuf, String> =
        pages.into_iter().map(|page| Ok((page.clone(), render(&page)?))).collect::<Result<_>>()?;
    let page = |name: &str| {
        let found = rendered.iter().find(|(path, _)| path.ends_with(name));
        found.map(|(_, text)| text.as_str()).with_context(|| format!("no page {name}"))
    };
    for (name, words) in [
        ("lvsctl.8.gz", ["lvsctl-depool(8)", "the depool threshold would be broken"]),
        ("lvsctl-depool.8.gz", ["EXAMPLES", "lvsctl depool cp1075 --reason 'disk, T12345'"]),
        ("lvsd.8.gz", ["--dry-run", "LVSD_LOG"]),
        ("lvsd.toml.5.gz", ["depool_threshold", "[service.web]"]),
    ] {
        for word in words {
            ensure!(page(name)?.contains(word), "{name} does not say {word:?}:\n{}", page(name)?);
        }
    }
    let broken = folder.join("broken.8");
    fs::write(&broken, ".TH x 8\n.SH NAME\nx \\- y\n.NOSUCHMACRO\n")?;
    ensure!(render(&broken).is_err(), "a page with an unknown macro is found");
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// A page as people read it; an error when man has anything to say about it.
fn render(page: &Path) -> Result<String> {
    let output = Command::new("man")
        .args(["--warnings", "-E", "UTF-8", "-l"])
        .arg(page)
        .envs([("LC_ALL", "C.UTF-8"), ("MANROFFSEQ", ""), ("MANWIDTH", "80"), ("MANPAGER", "cat")])
        .output()
        .context("start man (Debian's man-db)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{}: {said}", page.display());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
