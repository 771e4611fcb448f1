//! The configurations that README.md and docs/ show are configurations that lvsd takes, and its schema too; every metric has
//! its place in docs/. That every setting has its own is looked at where the settings are.

use lab::pages::{self, Block, Page};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// The line by which an example says that it is a whole configuration.
const MARK: &str = "# lvsd.toml";

/// Every block of a language that the documentation shows, with its page's path.
fn examples(language: &str) -> Vec<(PathBuf, Block)> {
    let blocks = pages::all().into_iter().flat_map(|page| {
        let path = PathBuf::from(&page.path);
        page.blocks().into_iter().map(move |block| (path.clone(), block))
    });
    blocks.filter(|(_, block)| block.language.as_deref() == Some(language)).collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of metrics between two marks in a text.
fn metrics(text: &str, mark: char) -> BTreeSet<String> {
    named("lvsd_", text, mark)
}

fn named(prefix: &str, text: &str, mark: char) -> BTreeSet<String> {
    let is_name =
        |word: &&str| word.starts_with(prefix) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    text.split(mark).filter(is_name).map(ToOwned::to_owned).collect()
}

/// A file that an example names: a key where its name says so, a certificate otherwise.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    static MADE: LazyLock<(String, String)> = LazyLock::new(|| {
        let made = rcgen::generate_simple_self_signed(["example.org".to_owned()]).expect("a certificate");
        (made.cert.pem(), made.key_pair.serialize_pem())
    });
    let is_key = path.to_string_lossy().contains("key");
    Ok(if is_key { MADE.1.clone() } else { MADE.0.clone() }.into_bytes())
}

/// Everything that is wrong with an example, with its place in the page.
fn errors(page: &Path, begin: usize, text: &str) -> Vec<String> {
    // Empty lines before it give each error the line that it has in the page.
    let text = "\n".repeat(begin - 1) + text;
    match lvsd::config::parse_with(&[(page.to_owned(), text)], &read_file) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_configuration_in_the_documentation_is_accepted() {
    let (mut found, mut wrong) = (0, Vec::new());
    for (page, Block { line, text, .. }) in examples("toml") {
        assert!(text.starts_with(MARK), "{}:{line}: its first line is not {MARK:?}", page.display());
        found += 1;
        wrong.extend(errors(&page, line, &text));
    }
    assert_eq!(wrong, [""; 0]);
    assert!(found >= 5, "only {found} configurations were found");
}

#[test]
fn every_pool_file_in_the_documentation_is_accepted() {
    let found = examples("json");
    for (page, Block { line, text, .. }) in &found {
        let pool = lvsd::pool_file::parse(page, text.as_bytes());
        assert!(pool.is_ok(), "{}:{line}: {pool:?}", page.display());
    }
    assert!(!found.is_empty(), "no pool file was found");
}

#[test]
fn a_configuration_that_is_wrong_is_found_at_its_place_in_the_page() {
    let page = "# Title\n\n```toml\n# lvsd.toml\n[lvsd]\ndrain_timout = \"5s\"\n```\n";
    let page = Page { path: "page.md".to_owned(), text: page.to_owned() };
    let found = page.blocks();
    assert_eq!(found.len(), 1);
    let errors = errors(Path::new("page.md"), found[0].line, &found[0].text);
    assert_eq!(errors, ["page.md:6:1: lvsd.drain_timout: unknown key; did you mean `drain_timeout`?"]);
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics");
    let files = fs::read_dir(folder).expect("src/metrics/").map(|file| file.expect("a file").path());
    let texts = files.map(|file| fs::read_to_string(file).expect("a text"));
    let made = metrics(&texts.chain([read("src/metrics.rs")]).collect::<String>(), '"');
    assert!(made.len() > 20, "{made:?}");
    let page = read("../docs/metrics.md");
    assert_eq!(made, metrics(&page, '`'));
    let usual = named("process_", &read("src/metrics/process.rs"), '"');
    assert!(usual.len() > 3, "{usual:?}");
    assert_eq!(usual, named("process_", &page, '`'));
    let pybals = named("pybal_", &read("src/metrics/pybal.rs"), '"');
    let documented = named("pybal_", &read("../docs/metrics.md"), '`');
    let not_there = "pybal_monitor_proxyfetch_request_duration_seconds".to_owned();
    assert_eq!(pybals.into_iter().chain([not_there]).collect::<BTreeSet<_>>(), documented);
}

/// A text of TOML as JSON.
fn as_json(text: &str) -> serde_json::Value {
    toml::from_str(text).expect("it is TOML")
}

/// What a validator that is none of ours says: of the schema, of what has to be valid under it and is not, and the other way
/// round.
const VALIDATE: &str = "
import json, sys, jsonschema
told = json.load(sys.stdin)
jsonschema.Draft7Validator.check_schema(told['schema'])
validator = jsonschema.Draft7Validator(told['schema'])
for good in told['good']:
    for error in validator.iter_errors(good):
        print('refused:', list(error.absolute_path), error.message[:300])
for bad in told['bad']:
    if validator.is_valid(bad):
        print('taken:', json.dumps(bad))
";

#[test]
fn the_schema_takes_the_documentations_configurations_and_no_slip_in_them() {
    let lvsd = env!("CARGO_BIN_EXE_lvsd");
    let printed = Command::new(lvsd).arg("schema").output().expect("lvsd can be started");
    let schema: serde_json::Value = serde_json::from_slice(&printed.stdout).expect("lvsd prints JSON");
    let mut good =
        vec![as_json(&read("src/config/tests/full.toml")), as_json(&read("../systemd/debian/lvsd.toml"))];
    good.extend(examples("toml").iter().map(|(_, example)| as_json(&example.text)));
    assert!(good.len() > 7, "only {} configurations were found", good.len());
    let slips = [
        "colour = 1",
        "[lvsd]\ndrain_timout = \"5s\"",
        "[lvsd]\ndrain_timeout = 5",
        "[lvsd]\ndrain_timeout = \"soon\"",
        "[bgp]\nlocal_asn = 0\nrouter_id = \"10.64.0.1\"",
        "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80",
        "[service.web]\nvips = []\nport = 80\nchecks = []",
        "[service.web]\nvips = [\"192.0.2.10\"]\nport = 70000\nchecks = []",
        "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nchecks = [{ type = \"tcp\", url = \"/\" }]",
        "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nchecks = [{ type = \"tpc\" }]",
        "[source.a]\ntype = \"http\"\nendpoints = [\"http://a:1\"]",
    ];
    let bad: Vec<_> = slips.iter().map(|slip| as_json(slip)).collect();
    let told = serde_json::json!({"schema": schema, "good": good, "bad": bad}).to_string();
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", VALIDATE]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().expect("Debian's python3 can be started");
    child.stdin.take().expect("it is piped").write_all(told.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "Debian's python3-jsonschema is installed: make deps");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}
