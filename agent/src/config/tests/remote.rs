//! `[remote]`.

use super::{error, good};
use crate::config::Names;

const FILES: &str = "certificate_file = \"lb1.pem\"\nkey_file = \"lb1.key\"\nca_file = \"ca.pem\"\n";

fn names(names: &Names) -> Vec<&str> {
    names.0.iter().map(|name| &**name).collect()
}

#[test]
fn everybody_with_a_certificate_may_look_and_nobody_may_change_unless_it_is_said() {
    let config = good(&format!("[remote]\nlisten = \"[::]:7391\"\n{FILES}"));
    let remote = config.remote.unwrap();
    assert_eq!((names(&remote.read), names(&remote.write)), (vec!["*"], vec![]));
    assert!(remote.identity.0.is_absolute() || remote.identity.0.ends_with("lb1.pem"));
    assert!(good("").remote.is_none(), "nobody is listened for unless it is asked for");
}

#[test]
fn a_name_counts_as_a_whole() {
    let write = "write = [\"alice\", \"ops1.example.org\"]\n";
    let remote = good(&format!("[remote]\nlisten = \"[::1]:1\"\n{FILES}{write}")).remote.unwrap();
    let has = |name: &str| remote.write.first_of(&[name.to_owned()]).is_some();
    assert!(has("alice") && has("ops1.example.org"));
    assert!(!has("Alice") && !has("alice ") && !has("example.org") && !has("*") && !has(""));
    assert_eq!(Names::all().first_of(&["x".to_owned(), "y".to_owned()]), Some(&"x".to_owned()));
    assert_eq!(Names::all().first_of(&[]), None, "a certificate without a name is nobody's");
}

#[test]
fn what_is_missing_or_no_name_is_said() {
    assert_eq!(
        error(&format!("[remote]\n{FILES}")),
        "1:2: remote.listen: missing: expected an address with a port, such as \"[::]:7391\""
    );
    assert_eq!(
        error(&format!("[remote]\nlisten = \"[::1]:1\"\n{FILES}read = [\"\"]\n")),
        "6:9: remote.read[0]: expected a name in a client's certificate of 1 to 255 characters, or \"*\" for all, found \"\""
    );
}
