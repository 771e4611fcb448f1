//! One horrible file and every message that it gives.

use super::read;

#[test]
fn a_horrible_file_gives_every_message_at_once() {
    let errors = read(&[("lvsd.toml", include_str!("horrible.toml"))]).expect_err("the file is refused");
    let expected: Vec<_> = include_str!("horrible.txt").lines().collect();
    assert_eq!(errors, expected, "\n{}", errors.join("\n"));
}
