//! The example `check`: what it shows, and what its checks ask of the kernel.

mod system_calls;
mod table;

use std::path::PathBuf;

/// Where cargo has put it: beside the directory of this test.
fn program() -> PathBuf {
    let own = std::env::current_exe().expect("this program");
    let example = own.ancestors().nth(2).expect("the target directory").join("examples/check");
    let missing = "is missing: `cargo build -p lvsd-health --examples` first";
    assert!(example.exists(), "{} {missing}", example.display());
    example
}
