//! The configurations that README.md and docs/ show are configurations that lvsd takes; every setting and every metric
//! has its place in docs/.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The line by which an example says that it is a whole configuration.
const MARK: &str = "# lvsd.toml";

/// Every page that people read.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).expect("docs/");
    let mut pages: Vec<PathBuf> = docs
        .map(|entry| entry.expect("an entry of docs/").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(root.join("README.md"));
    pages.sort();
    pages
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

/// The fenced blocks of a language in a page, each with the line at which its text begins.
fn blocks(page: &str, language: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        open = match (open, line.strip_prefix("```")) {
            (None, Some(named)) => Some((named.trim().to_owned(), number + 2, String::new())),
            (None, None) => None,
            (Some((named, begin, text)), Some(_)) => {
                if named == language {
                    blocks.push((begin, text));
                }
                None
            }
            (Some((named, begin, text)), None) => Some((named, begin, text + line + "\n")),
        };
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
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
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for (begin, example) in blocks(&text, "toml") {
            assert!(example.starts_with(MARK), "{}:{begin}: its first line is not {MARK:?}", page.display());
            found += 1;
            wrong.extend(errors(&page, begin, &example));
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(found >= 5, "only {found} configurations were found");
}

#[test]
fn every_pool_file_in_the_documentation_is_accepted() {
    let mut found = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for (begin, example) in blocks(&text, "json") {
            found += 1;
            let pool = lvsd::pool_file::parse(&page, example.as_bytes());
            assert!(pool.is_ok(), "{}:{begin}: {pool:?}", page.display());
        }
    }
    assert!(found > 0, "no pool file was found");
}

#[test]
fn a_configuration_that_is_wrong_is_found_at_its_place_in_the_page() {
    let page = "# Title\n\n```toml\n# lvsd.toml\n[lvsd]\ndrain_timout = \"5s\"\n```\n";
    let found = blocks(page, "toml");
    assert_eq!(found.len(), 1);
    let errors = errors(Path::new("page.md"), found[0].0, &found[0].1);
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

#[test]
fn every_setting_is_documented() {
    // An unknown key is answered with the known ones.
    let probes = [
        "[lvsd]\nx = 1\n",
        "[bgp]\nx = 1\n",
        "[bgp]\n[bgp.bmp]\nx = 1\n",
        "[bgp]\n[[bgp.peer]]\nx = 1\n",
        "[bgp]\n[[bgp.group]]\nx = 1\n",
        "[service.a.canary]\nx = 1\n",
        "[nodes]\nx = 1\n",
        "[nodes.fib]\nx = 1\n",
        "[[nodes.node]]\nx = 1\n",
        "[[nodes.pool]]\nx = 1\n",
        "[[nodes.listen]]\nx = 1\n",
        "[source.a]\ntype = \"etcd\"\nx = 1\n",
        "[source.a]\ntype = \"http\"\nx = 1\n",
        "[fleet]\nx = 1\n",
        "[probes]\nx = 1\n",
        "[pybal]\nx = 1\n",
        "[[probes.segment]]\nx = 1\n",
        "[bgp]\n[[bgp.peer]]\n[[bgp.peer.import]]\nx = 1\n",
        "[bgp]\n[[bgp.peer]]\n[[bgp.peer.export]]\nx = 1\n",
        "[vip.\"192.0.2.1\"]\nx = 1\n",
        "[service.a.route]\nx = 1\n",
        "[service.a]\nx = 1\n",
        "[service.a]\npool = { x = 1 }\n",
        "[source.a]\ntype = \"http\"\nx = 1\n",
        "[source.a]\ntype = \"kubernetes\"\nx = 1\n",
        "[source.a]\ntype = \"kubernetes\"\nclass = \"a\"\naddress_pool = [{ x = 1 }]\n",
        "[nodes]\ncluster = { x = 1 }\n",
        "[service.a]\nbackends = [{ x = 1 }]\n",
        "[service.a]\nchecks = [{ type = \"tcp\", x = 1 }]\n",
        "[service.a]\nchecks = [{ type = \"https\", x = 1 }]\n",
        "[service.a]\nchecks = [{ type = \"dns\", x = 1 }]\n",
        "[service.a]\nchecks = [{ type = \"idle\", x = 1 }]\n",
        "[service.a]\nchecks = [{ type = \"grpc\", x = 1 }]\n",
        "[service.a]\nchecks = [{ type = \"openapi\", x = 1 }]\n",
        "[service.a]\nchecks = [{ type = \"node-port\", x = 1 }]\n",
        "[service.a]\nchecks = [{ type = \"command\", x = 1 }]\n",
        "[service.a]\nchecks = [{ type = \"udp\", x = 1 }]\n",
        "[service.a]\nchecks = [{ type = \"agent\", x = 1 }]\n",
    ];
    let page = read("../docs/configuration.md");
    let documented: BTreeSet<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split(',').map(|key| key.trim().trim_matches('`')))
        .collect();
    let mut known = 0;
    for probe in probes {
        let errors =
            lvsd::config::parse(&[(PathBuf::from("a.toml"), probe.to_owned())]).expect_err("x is unknown");
        let keys = errors.iter().find_map(|error| match &error.problem {
            lvsd::config::Problem::Unknown { known, .. } => Some(*known),
            _ => None,
        });
        for key in keys.expect("the known keys").iter().filter(|key| {
            !["peer", "group", "bmp", "segment", "node", "pool", "listen", "fib", "address_pool"]
                .contains(key)
        }) {
            known += 1;
            assert!(documented.contains(key), "{probe:?}: {key} has no row in docs/configuration.md");
        }
    }
    assert!(known > 40, "{known}");
}
