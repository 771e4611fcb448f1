//! Completion in the shell: what can be typed comes from `lvsctl`'s own command line, names come from the running lvsd.

use super::arguments::Arguments;
use super::client::Client;
use super::remote::{Remote, usual_directory};
use crate::core::view::{BackendView, ServiceView, Status};
use clap::{Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{self, EnvCompleter, Fish, Shells, Zsh};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Error, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long lvsd may take to name what it has: who presses a key waits for it. It answers within milliseconds; where it
/// hangs there are no names.
const PATIENCE: Duration = Duration::from_millis(500);

/// Answers a shell that asks, or prints what a shell has to be told (`COMPLETE=bash lvsctl`), and exits; returns where
/// neither is the case.
pub fn answer() {
    CompleteEnv::with_factory(Arguments::command)
        .bin("lvsctl")
        .completer("lvsctl")
        .shells(Shells(&[&Bash, &Fish, &Zsh]))
        .complete();
}

/// Services, by name.
pub(super) fn services() -> Vec<CompletionCandidate> {
    let describe = |service: ServiceView| {
        let vips: Vec<String> = service.vips.iter().map(ToString::to_string).collect();
        CompletionCandidate::new(service.name).help(Some(vips.join(" ").into()))
    };
    asked().map_or_else(Vec::new, |status| status.services.into_iter().map(describe).collect())
}

/// Hosts of backends, each with what it is in each of its services.
pub(super) fn hosts() -> Vec<CompletionCandidate> {
    let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for service in asked().map(|status| status.services).unwrap_or_default() {
        for BackendView { host, standing, .. } in service.pools.into_iter().flat_map(|pool| pool.backends) {
            let text = format!("{} in {}", standing, service.name);
            let texts = hosts.entry(host).or_default();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    let describe = |(host, texts): (String, Vec<String>)| {
        CompletionCandidate::new(host).help(Some(texts.join(", ").into()))
    };
    hosts.into_iter().map(describe).collect()
}

/// VIPs.
pub(super) fn vips() -> Vec<CompletionCandidate> {
    let vips = asked().map(|status| status.vips).unwrap_or_default();
    let describe = |announced| Some(if announced { "announced" } else { "withdrawn" }.into());
    vips.into_iter()
        .map(|vip| CompletionCandidate::new(vip.address.to_string()).help(describe(vip.announced)))
        .collect()
}

/// BGP peers, by name.
pub(super) fn peers() -> Vec<CompletionCandidate> {
    let peers = asked().map(|status| status.peers).unwrap_or_default();
    peers.into_iter().map(|peer| CompletionCandidate::new(peer.name).help(Some(peer.state.into()))).collect()
}

/// lvsd's status; `None` where it does not run, may not be asked, or does not answer in time.
fn asked() -> Option<Status> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let client = client(&words)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async { tokio::time::timeout(PATIENCE, client.status(None)).await.ok()?.ok() })
}

/// The lvsd that the words typed so far name, or else the usual one.
fn client(words: &[OsString]) -> Option<Client> {
    if let Some(balancer) = option(words, "--host") {
        let balancer = balancer.to_str()?.parse().ok()?;
        let directory = option(words, "--certificates").map_or_else(usual_directory, PathBuf::from);
        return Some(Client::of_remote(Remote::new(balancer, &directory)));
    }
    let socket = option(words, "--socket").unwrap_or_else(|| super::arguments::SOCKET.into());
    Some(Client::new(Path::new(&socket)))
}

/// The value of an option among the words typed so far.
fn option(words: &[OsString], name: &str) -> Option<OsString> {
    let mut words = words.iter().skip_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == name {
            return words.next().cloned();
        }
        if let Some(value) = word.to_str().and_then(|word| word.strip_prefix(name)?.strip_prefix('=')) {
            return Some(value.into());
        }
    }
    None
}

/// Bash. Its readline cuts words at `:` and `=`, which an IPv6 address and `--output=json` have in them; so the line is cut
/// at spaces here, and what readline has kept of a word is not given back a second time.
struct Bash;

const BASH: &str = r#"_lvsctl() {
    local word kept IFS=$' \t\n'
    local -a words
    read -r -a words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    word=${words[${#words[@]}-1]}
    kept=${word%"${word##*[:=]}"}
    IFS=$'\013'
    COMPREPLY=($(_CLAP_IFS=$'\013' _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) VAR=bash COMPLETER -- "${words[@]}" 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    if [[ ${COMPREPLY[0]-} == *[=/,] ]]; then
        compopt -o nospace
    fi
}
complete -o bashdefault -o nosort -F _lvsctl BIN
"#;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == "bash"
    }

    fn write_registration(
        &self,
        var: &str,
        _name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn Write,
    ) -> Result<(), Error> {
        let script = BASH.replace("VAR", var).replace("COMPLETER", completer).replace("BIN", bin);
        buf.write_all(script.as_bytes())
    }

    fn write_complete(
        &self,
        cmd: &mut Command,
        args: Vec<OsString>,
        current_dir: Option<&Path>,
        buf: &mut dyn Write,
    ) -> Result<(), Error> {
        env::Bash.write_complete(cmd, args, current_dir, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::option;
    use std::ffi::OsString;

    fn of(line: &str, name: &str) -> Option<OsString> {
        option(&line.split(' ').map(OsString::from).collect::<Vec<_>>(), name)
    }

    #[test]
    fn names_come_from_the_lvsd_that_the_line_is_for() {
        assert_eq!(of("lvsctl -- lvsctl why ", "--socket"), None);
        assert_eq!(of("lvsctl -- lvsctl --socket /tmp/a why ", "--socket"), Some("/tmp/a".into()));
        assert_eq!(of("lvsctl -- lvsctl why --socket=/tmp/b ", "--socket"), Some("/tmp/b".into()));
        assert_eq!(of("lvsctl -- lvsctl --host lb2:1 why ", "--host"), Some("lb2:1".into()));
    }
}
