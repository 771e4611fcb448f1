//! ProxyFetch: pages that have to be there.

use super::{Check, Checks, INTERVAL, LEFT_OUT, TIMEOUT, period, timing};
use crate::import::section::Reader;
use crate::import::written::{array, quoted};

/// The most URLs of one check of lvsd's.
const MAX_URLS: usize = health::spec::MAX_URLS;

/// A URL in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    is_secured: bool,
    host: String,
    port: Option<u16>,
    path: String,
}

/// How often and how strictly.
struct How {
    interval: u64,
    timeout: u64,
    expect: &'static str,
    asks_all: bool,
    max_failures: u64,
}

pub(super) fn read(reader: &Reader<'_>, port: u16, made: &mut Checks) {
    let mut how = how(reader);
    let texts = reader.texts("proxyfetch.url", LEFT_OUT);
    let Some(texts) = texts else {
        if !reader.has("proxyfetch.url") {
            reader.lost("monitors", format!("ProxyFetch without proxyfetch.url; {LEFT_OUT}"));
        }
        return;
    };
    let mut groups: Vec<((bool, String), Vec<String>)> = Vec::new();
    for text in &texts {
        let Some(Url { is_secured, host, port: its_port, path }) = url(text) else {
            reader.lost(
                "proxyfetch.url",
                format!("expected http://HOST/PATH or https://HOST/PATH, found {text:?}; it is left out"),
            );
            continue;
        };
        if its_port.is_some_and(|its_port| its_port != port) {
            reader.note(
                "proxyfetch.url",
                format!("PyBal asks at the service's port, {port}, whatever the URL says, and so does lvsd"),
            );
        }
        let of = (is_secured, host);
        match groups.iter_mut().find(|(known, paths)| *known == of && paths.len() < MAX_URLS) {
            Some((_, paths)) => paths.push(path),
            None => groups.push((of, vec![path])),
        }
    }
    remark(reader, &mut how, &groups, made);
    for ((is_secured, host), paths) in &groups {
        made.checks.push(check(*is_secured, host, paths, &how));
    }
}

fn how(reader: &Reader<'_>) -> How {
    let instead = "200 is taken, as PyBal does";
    let status =
        reader.given("proxyfetch.http_status", ("a status", instead), |text| text.parse::<u16>().ok());
    // Twisted takes 201 and 202 for 200, and PyBal any of the three redirects for the one that is expected.
    let expect = match status {
        Some(301..=303) => "301-303",
        None | Some(200..=202) => "200-202",
        Some(other) => {
            reader.note(
                "proxyfetch.http_status",
                format!(
                    "PyBal expects 200 to 202 all the same when told {other}: only 301 to 303 change that"
                ),
            );
            "200-202"
        }
    };
    How {
        interval: period(reader, "proxyfetch.interval", INTERVAL),
        timeout: period(reader, "proxyfetch.timeout", TIMEOUT),
        expect,
        asks_all: reader.boolean("proxyfetch.check_all", false),
        max_failures: reader.seconds("proxyfetch.max_failures", 0),
    }
}

/// Says what differs when there are several hosts, and where nobody looks at certificates.
fn remark(reader: &Reader<'_>, how: &mut How, groups: &[((bool, String), Vec<String>)], made: &mut Checks) {
    if groups.len() > 1 && !how.asks_all {
        made.remarks.push(
            "ProxyFetch: PyBal fetches one of its URLs at random; lvsd one of each host's, each time".into(),
        );
    }
    if !how.asks_all {
        how.max_failures = 0;
    } else if groups.len() > 1 && how.max_failures > 0 {
        reader.lost(
            "proxyfetch.max_failures",
            "lvsd counts failures by check, and URLs of several hosts are several checks; none may fail",
        );
        how.max_failures = 0;
    }
    let count = groups.first().map_or(0, |(_, paths)| paths.len() as u64);
    if how.max_failures > 0 && how.max_failures >= count {
        let most = count.saturating_sub(1);
        reader.lost(
            "proxyfetch.max_failures",
            format!("with {count} URLs every one may fail, which checks nothing; {most} is taken"),
        );
        how.max_failures = most;
    }
    if groups.iter().any(|((is_secured, _), _)| *is_secured) {
        reader.note("proxyfetch.url", "PyBal accepts anyone's certificate, so `verify = false` is written; take it out to have certificates verified");
    }
}

fn check(is_secured: bool, host: &str, paths: &[String], how: &How) -> Check {
    let mut check = vec![format!("type = \"{}\"", if is_secured { "https" } else { "http" })];
    check.push(format!("host = {}", quoted(host)));
    match paths {
        [only] => check.push(format!("url = {}", quoted(only))),
        several => {
            check.push(format!("urls = {}", array(several)));
            if how.asks_all {
                check.push("check_all = true".to_owned());
            }
            if how.max_failures > 0 {
                check.push(format!("max_failures = {}", how.max_failures));
            }
        }
    }
    check.push(format!("expect = [\"{}\"]", how.expect));
    if is_secured {
        check.push("verify = false".to_owned());
    }
    timing(&mut check, how.interval, Some(how.timeout));
    check
}

/// A URL in its parts; the fragment is not sent.
fn url(text: &str) -> Option<Url> {
    let (scheme, rest) = text.split_once("://")?;
    let is_secured = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let rest = rest.split('#').next()?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (authority, None),
    };
    let is_host = !host.is_empty() && !host.contains('@');
    is_host.then(|| Url { is_secured, host: host.to_owned(), port, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_to_parts() {
        let parts = |text: &str| url(text).map(|u| (u.is_secured, u.host, u.port, u.path));
        let made = |is_secured, host: &str, port, path: &str| {
            Some((is_secured, host.to_owned(), port, path.to_owned()))
        };
        assert_eq!(parts("http://www.example.com/"), made(false, "www.example.com", None, "/"));
        assert_eq!(parts("HTTPS://a.example:8443/x?y=1#z"), made(true, "a.example", Some(8443), "/x?y=1"));
        assert_eq!(parts("http://a.example?x"), made(false, "a.example", None, "/?x"));
        assert_eq!(parts("http://[2001:db8::1]/"), made(false, "[2001:db8::1]", None, "/"));
        assert_eq!(parts("http://[2001:db8::1]:81"), made(false, "[2001:db8::1]", Some(81), "/"));
        for text in ["", "www.example.com", "ftp://a/", "http:///x", "http://me@a/", "http://a:b/"] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
