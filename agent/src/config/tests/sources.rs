//! `[source.NAME]` and `pool`: where pools are read from beside files.

use super::{errors, good};
use crate::config::{HttpSettings, Pool, PoolId, Query, SourceSettings, TlsFiles};
use std::time::Duration;

const TEXT: &str = r#"
[source.master]
type = "http"
url = "https://config-master.example.org/pybal/"

[service.web]
vips = ["192.0.2.10"]
port = 80
checks = []
pool = { source = "master", path = "eqiad/text" }
"#;

fn with(pool: &str) -> String {
    TEXT.replace("{ source = \"master\", path = \"eqiad/text\" }", pool)
}

#[test]
fn a_source_has_defaults_and_a_service_names_its_pool() {
    let config = good(TEXT);
    let settings = HttpSettings {
        url: "https://config-master.example.org/pybal".into(),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
        max_bytes: 4 * 1024 * 1024,
        tls: TlsFiles::default(),
    };
    assert_eq!(config.sources["master"], SourceSettings::Http(settings));
    let query = Query::Path("eqiad/text".into());
    let pool = Pool::Sources(vec![PoolId::Remote { source: "master".into(), query }]);
    assert_eq!(config.services["web"].pool, pool);
}

#[test]
fn several_pools_keep_their_order() {
    let text = with(
        "[{ source = \"master\", path = \"b\" }, { source = \"master\", path = \"a\" }, { file = \"c.json\" }]",
    );
    let pools = good(&text).services["web"].pool.sources().to_vec();
    let names: Vec<_> = pools.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["master:b", "master:a", "c.json"]);
}

#[test]
fn what_cannot_be_a_pool_is_said_with_its_place() {
    for (pool, expected) in [
        (
            "{ source = \"mastre\", path = \"a\" }",
            "6:10: service.web.pool: there is no [source.mastre]; did you mean master?",
        ),
        (
            "{ source = \"master\", service = \"prod/web\" }",
            "6:10: service.web.pool: [source.master] is of type \"http\" and has no service prod/web",
        ),
        (
            "{ source = \"master\", path = \"../a\" }",
            "10:36: service.web.pool.path: expected the path of a pool below what its source is set to, such as \"eqiad/cache/text\", found \"../a\"",
        ),
        (
            "{ source = \"master\", path = \"a\", nodes = \"\" }",
            "10:41: service.web.pool.nodes: path and nodes exclude each other",
        ),
        (
            "{ source = \"master\" }",
            "10:1: service.web.pool.path: missing: expected the path of a pool below what its source is set to, such as \"eqiad/cache/text\"",
        ),
        ("[]", "10:8: service.web.pool: expected 1 to 16 pools, found an empty array"),
        (
            "[{ file = \"a\" }, { file = \"a\" }]",
            "10:25: service.web.pool[1]: pool a for the second time; the first is at lvsd.toml:10:9",
        ),
    ] {
        assert_eq!(errors(&with(pool)), [expected], "{pool}");
    }
}

#[test]
fn what_is_wrong_with_a_source_is_said_with_its_place() {
    for (old, new, expected) in [
        ("type = \"http\"\n", "", "2:9: source.master: missing: expected type = \"http\""),
        ("\"http\"", "\"htp\"", "3:8: source.master.type: expected \"http\", found \"htp\""),
        (
            "https://config-master.example.org/pybal/",
            "ftp://config-master.example.org/pybal/",
            "4:7: source.master.url: expected the URL that pools' paths are below, such as \"https://config-master.example.org/pybal\", found \"ftp://config-master.example.org/pybal/\"",
        ),
        (
            "url = \"https:",
            "ca_file = \"ca.pem\"\nurl = \"http:",
            "4:1: source.master.ca_file: only https is secured, and the url is http",
        ),
        (
            "url",
            "key_file = \"key.pem\"\nurl",
            "4:1: source.master.key_file: a key is of no use without its certificate_file",
        ),
    ] {
        let found = errors(&TEXT.replacen(old, new, 1));
        assert!(found.iter().any(|error| error == expected), "{found:#?}");
    }
}
