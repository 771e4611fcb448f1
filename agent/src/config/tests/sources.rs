//! `[source.NAME]` and `pool`: where pools are read from beside files.

use super::{errors, good};
use crate::config::{
    Cordon, HttpSettings, KubernetesSettings, Pool, PoolId, Query, SourceSettings, Target, TlsFiles,
};
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
            "6:10: service.web.pool: [source.master] is of type \"http\" and has no service prod/web at tcp 192.0.2.10:80",
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

const CLUSTER: &str = r#"
[source.k8s]
type = "kubernetes"
kubeconfig = "/etc/lvsd/k8s.kubeconfig"

[service.web]
vips = ["192.0.2.10"]
port = 443
checks = []
pool = { source = "k8s", service = "prod/web", port = "https" }
"#;

#[test]
fn a_cluster_has_defaults_and_is_told_what_a_pool_of_it_is_for() {
    let config = good(CLUSTER);
    let SourceSettings::Kubernetes(settings) = &config.sources["k8s"] else { panic!("{:?}", config.sources) };
    let expected = KubernetesSettings {
        kubeconfig: Some("/etc/lvsd/k8s.kubeconfig".into()),
        context: None,
        namespaces: [].into(),
        cordon: Cordon::Ignore,
        connect_timeout: Duration::from_secs(5),
        watch_timeout: Duration::from_secs(60),
        max_backoff: Duration::from_secs(10),
        services: None,
    };
    assert_eq!(*settings, expected);
    let to = |text: &str| match &good(text).services["web"].pool.sources()[0] {
        PoolId::Remote { query: Query::Service(asked), .. } => (asked.front.to, asked.front.backend_port),
        other => panic!("{other}"),
    };
    let with = |more: &str, pool: &str| CLUSTER.replace("checks = []", more).replace("\"https\"", pool);
    let nat = "checks = []\nforwarding = \"nat\"\nbackend_port = 8443";
    assert_eq!(to(CLUSTER), (Target::Nodes, 443));
    assert_eq!(to(&with("checks = []", "443, to = \"pods\"")), (Target::HostPods, 443));
    assert_eq!(to(&with(nat, "\"https\"")), (Target::Pods, 8443));
    assert_eq!(to(&with(nat, "\"https\", to = \"nodes\"")), (Target::NodePorts, 8443));
}

#[test]
fn a_cluster_s_settings_are_read_in_full_and_what_does_not_go_together_is_said() {
    let full = "namespaces = [\"prod\"]\ncontext = \"c\"\ncordon = \"drain\"\nconnect_timeout = \"2s\"\n\
                watch_timeout = \"30s\"\nmax_backoff = \"5s\"\nclass = \"example.org/lvsd\"\nexternal_ips = true\n\
                node_ports = true\nvips_on_nodes = true\nlease = \"lvsd/lvsd\"\n\
                address_pool = [{ name = \"public\", addresses = [\"192.0.2.0/28\"], auto = false, namespaces = [\"prod\"] }]\n";
    let with = |more: &str| CLUSTER.replace("[service.web]", &format!("{more}[service.web]"));
    let config = good(&with(full));
    let SourceSettings::Kubernetes(settings) = &config.sources["k8s"] else { panic!("{:?}", config.sources) };
    let services = settings.services.as_ref().expect("Services are served whole");
    assert_eq!((settings.cordon, settings.namespaces.len()), (Cordon::Drain, 1));
    assert_eq!(services.class.as_deref(), Some("example.org/lvsd"));
    assert!(
        services.external_ips && services.node_ports && services.vips_on_nodes && !services.pools[0].auto
    );
    assert_eq!(services.lease.as_ref().map(|lease| &*lease.name), Some("lvsd"));
    let pool = "address_pool = [{ name = \"a\", addresses = [\"192.0.2.0/28\"] }]\n";
    for (more, words) in [
        ("cordon = \"drian\"\n".to_owned(), "expected \"ignore\", \"drain\" or \"remove\""),
        ("namespaces = []\n".to_owned(), "an array of one or more namespaces"),
        ("namespaces = [\"Prod\"]\n".to_owned(), "a namespace: 1 to 63 of"),
        (pool.to_owned(), "no Service of the cluster is served"),
        ("class = \"lvsd\"\n".to_owned(), "Services get no VIP: say which they may have"),
        (format!("node_ports = true\n{pool}"), "set vips_on_nodes = true"),
        (format!("external_ips = true\nlease = \"a/b\"\n{pool}"), "only Services of a class get addresses"),
        (format!("class = \"lvsd\"\nlease = \"lvsd\"\n{pool}"), "a Lease as \"NAMESPACE/NAME\""),
        (
            "class = \"c\"\naddress_pool = [{ name = \"a\", addresses = [\"192.0.2.1/28\"] }]\n".to_owned(),
            "a prefix or a range",
        ),
    ] {
        let found = errors(&with(&more));
        assert!(found.iter().any(|error| error.contains(words)), "{more}: {found:#?}");
    }
}

#[test]
fn what_is_wrong_with_a_source_is_said_with_its_place() {
    for (old, new, expected) in [
        (
            "type = \"http\"\n",
            "",
            "2:9: source.master: missing: expected type = \"etcd\", \"http\" or \"kubernetes\"",
        ),
        (
            "\"http\"",
            "\"htp\"",
            "3:8: source.master.type: expected \"etcd\", \"http\" or \"kubernetes\", found \"htp\"",
        ),
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
