use super::*;
use crate::config::Admin;

const TEXT: &str = "eqiad/cache/text";

fn queries(paths: &[&str]) -> BTreeSet<Query> {
    paths.iter().map(|path| Query::Path((*path).into())).collect()
}

fn key(host: &str) -> String {
    format!("/conftool/v1/pools/{TEXT}/{host}")
}

fn value(weight: u32, pooled: &str) -> String {
    format!(r#"{{"weight":{weight},"pooled":"{pooled}"}}"#)
}

/// A book that wants one pool, and has read it.
fn listed(hosts: &[(&str, &str)]) -> (Book, Vec<String>) {
    let mut book = Book::new("/conftool/v1/pools".into());
    book.want(&queries(&[TEXT]));
    let said = list(&mut book, hosts);
    (book, said)
}

fn list(book: &mut Book, hosts: &[(&str, &str)]) -> Vec<String> {
    book.begin();
    hosts.iter().for_each(|(host, value)| book.put(&key(host), value.as_bytes()));
    book.end();
    said(book)
}

/// What is said, each in a line.
fn said(book: &mut Book) -> Vec<String> {
    let line = |said| match said {
        Said::Pool { query: Query::Path(path), outcome: Ok(backends) } => {
            let hosts: Vec<_> = backends
                .iter()
                .map(|b| {
                    format!(
                        "{}*{}{}",
                        b.host,
                        b.weight.get(),
                        if b.pooled == Admin::Pooled { "" } else { "!" }
                    )
                })
                .collect();
            format!("{path}: {}", hosts.join(" "))
        }
        Said::Pool { outcome: Err(error), .. } => error,
        other => format!("{other:?}"),
    };
    book.say().into_iter().map(line).collect()
}

#[test]
fn a_pool_is_said_whole_and_then_only_when_it_changes() {
    let (mut book, first) = listed(&[("cp2", &value(10, "yes")), ("cp1", &value(10, "no"))]);
    assert_eq!(first, ["eqiad/cache/text: cp1*10! cp2*10"]);
    book.put(&key("cp1"), value(10, "yes").as_bytes());
    assert_eq!(said(&mut book), ["eqiad/cache/text: cp1*10 cp2*10"]);
    book.put(&key("cp1"), value(10, "yes").as_bytes());
    book.delete(&key("cp3"));
    assert!(said(&mut book).is_empty(), "nothing has changed");
    book.delete(&key("cp2"));
    assert_eq!(said(&mut book), ["eqiad/cache/text: cp1*10"]);
}

#[test]
fn a_value_that_cannot_be_read_takes_nobody_out_and_is_named() {
    let (mut book, _) = listed(&[("cp1", &value(10, "yes")), ("cp2", &value(10, "yes"))]);
    book.put(&key("cp1"), b"rubbish");
    let errors = said(&mut book);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("/conftool/v1/pools/eqiad/cache/text/cp1: not JSON"), "{errors:?}");
    book.put(&key("cp2"), value(10, "no").as_bytes());
    let others = said(&mut book);
    assert_eq!(others[0], "eqiad/cache/text: cp1*10 cp2*10!", "the others go on");
    assert!(others[1].contains("/cp1: not JSON"), "and the error stands: {others:?}");
    book.put(&key("cp1"), value(10, "yes").as_bytes());
    assert_eq!(said(&mut book), ["eqiad/cache/text: cp1*10 cp2*10!"], "said again: the error is over");
}

#[test]
fn a_bad_value_of_a_host_that_is_deleted_is_no_error_any_more() {
    let (mut book, _) = listed(&[("cp1", &value(10, "yes")), ("cp2", &value(10, "yes"))]);
    book.put(&key("cp1"), b"{}");
    said(&mut book);
    book.delete(&key("cp1"));
    assert_eq!(said(&mut book), ["eqiad/cache/text: cp2*10"]);
}

#[test]
fn a_new_host_with_a_bad_value_waits_outside() {
    let (mut book, _) = listed(&[("cp1", &value(10, "yes"))]);
    book.put(&key("cp2"), br#"{"weight":-1,"pooled":"yes"}"#);
    let errors = said(&mut book);
    assert_eq!(
        errors,
        ["/conftool/v1/pools/eqiad/cache/text/cp2: weight: expected a weight 0-65535, found -1"]
    );
}

#[test]
fn a_pool_that_was_never_whole_is_refused_with_the_key() {
    let (mut book, first) = listed(&[("cp1", &value(10, "yes")), ("cp2", "rubbish")]);
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].contains("/cp2: not JSON"), "{first:?}");
    book.put(&key("cp2"), value(1, "yes").as_bytes());
    assert_eq!(said(&mut book), ["eqiad/cache/text: cp1*10 cp2*1"]);
}

#[test]
fn an_empty_pool_and_a_directory_that_vanishes_are_refused() {
    let (mut book, first) = listed(&[]);
    assert!(first[0].starts_with("/conftool/v1/pools/eqiad/cache/text/ holds no host"), "{first:?}");
    book.put(&key("cp1"), value(1, "yes").as_bytes());
    assert_eq!(said(&mut book), ["eqiad/cache/text: cp1*1"]);
    book.delete_below("/conftool/v1/pools/eqiad/cache/te");
    assert!(said(&mut book).is_empty(), "another directory");
    book.delete_below("/conftool/v1/pools/eqiad");
    assert!(said(&mut book)[0].contains("holds no host"));
    assert_eq!(list(&mut book, &[("cp1", &value(1, "yes"))]), ["eqiad/cache/text: cp1*1"]);
}

#[test]
fn a_new_listing_says_what_it_does_not_have_and_forgets_nothing_else() {
    let hosts = [("cp1", value(10, "yes")), ("cp2", value(10, "yes"))];
    let hosts: Vec<_> = hosts.iter().map(|(host, value)| (*host, value.as_str())).collect();
    let (mut book, _) = listed(&hosts);
    assert!(list(&mut book, &hosts).is_empty(), "the same again");
    assert_eq!(list(&mut book, &hosts[..1]), ["eqiad/cache/text: cp1*10"]);
    let still = list(&mut book, &[("cp1", "rubbish")]);
    assert!(still.len() == 1 && still[0].contains("/cp1: not JSON"), "its last good value stays: {still:?}");
}

#[test]
fn one_directory_serves_all_and_is_as_narrow_as_can_be() {
    let directory = |paths: &[&str]| {
        let mut book = Book::new("/p".into());
        book.want(&queries(paths));
        book.directory()
    };
    assert_eq!(directory(&[]), None);
    assert_eq!(directory(&["eqiad/cache/text"]).unwrap(), "/p/eqiad/cache/text/");
    assert_eq!(directory(&["eqiad/cache/text", "eqiad/cache/text2"]).unwrap(), "/p/eqiad/cache/");
    assert_eq!(directory(&["eqiad/cache/text", "eqiad/api/web"]).unwrap(), "/p/eqiad/");
    assert_eq!(directory(&["eqiad/cache/text", "codfw/cache/text"]).unwrap(), "/p/");
}

#[test]
fn what_is_no_host_of_a_wanted_pool_is_passed_over() {
    let (mut book, _) = listed(&[("cp1", &value(1, "yes"))]);
    for key in ["", "/", "/conftool/v1/pools", "/conftool/v1/poolsx/a", "/conftool/v1/pools/eqiad/cache/text"]
    {
        book.put(key, b"rubbish");
        book.delete(key);
    }
    book.put(&key("deeper/cp1"), b"rubbish");
    book.put("/conftool/v1/pools/eqiad/cache/upload/cp1", b"rubbish");
    assert!(said(&mut book).is_empty());
    book.put(&key("no host"), value(1, "yes").as_bytes());
    assert!(said(&mut book)[0].contains("/no host: expected a host name"));
}

#[test]
fn a_host_under_two_keys_is_an_error_and_the_first_counts() {
    let (mut book, _) = listed(&[("cp1", &value(1, "yes"))]);
    book.put(&key("CP1"), value(7, "yes").as_bytes());
    let all = said(&mut book);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[1].contains("/cp1: the host is there twice"), "{all:?}");
}

#[test]
fn a_query_that_is_asked_anew_is_answered_anew() {
    let (mut book, _) = listed(&[("cp1", &value(1, "yes"))]);
    book.want(&BTreeSet::new());
    book.want(&queries(&[TEXT]));
    assert_eq!(list(&mut book, &[("cp1", &value(1, "yes"))]), ["eqiad/cache/text: cp1*1"]);
}
