//! Several files, and files on a disk.

use super::{SERVICE, read};
use crate::config::{Pool, PoolId, load};
use std::fs;
use std::path::Path;

fn other(name: &str, port: u16) -> String {
    SERVICE.replace("web", name).replace("port = 80", &format!("port = {port}"))
}

#[test]
fn services_may_be_spread_and_each_table_may_come_from_any_file() {
    let files = [
        ("lvsd.toml", SERVICE),
        ("conf.d/10-lvsd.toml", "[lvsd]\ndevice = \"vips\"\n"),
        ("conf.d/20-api.toml", &other("api", 8080)),
    ];
    let config = read(&files).expect("the files are valid");
    assert_eq!(config.daemon.device, "vips");
    assert_eq!(config.services.keys().collect::<Vec<_>>(), ["api", "web"]);
    assert_eq!(config.services["api"].origin.to_string(), "conf.d/20-api.toml:1:10");
}

#[test]
fn what_is_in_two_files_names_both_places() {
    let files = [
        ("lvsd.toml", format!("[lvsd]\n{SERVICE}")),
        ("conf.d/a.toml", format!("{}\n[lvsd]\n", other("web", 81))),
        ("conf.d/b.toml", other("api", 80)),
    ];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(
        read(&files).expect_err("the files are refused"),
        [
            "conf.d/a.toml:1:10: service.web: service web for the second time; the first is at lvsd.toml:2:10",
            "conf.d/a.toml:7:2: lvsd: [lvsd] for the second time; the first is at lvsd.toml:1:2",
            "conf.d/b.toml:2:9: service.api.vips[0]: tcp 192.0.2.10:80 for the second time; \
             the first is at lvsd.toml:3:9",
        ]
    );
}

#[test]
fn a_file_that_is_not_toml_does_not_hide_the_errors_of_the_others() {
    let files = [("lvsd.toml", "http = \n[lvsd\n"), ("conf.d/a.toml", "[lvsd]\nhttp = 1\n")];
    let errors = read(&files).expect_err("the files are refused");
    assert_eq!(errors.len(), 3, "{errors:#?}");
    assert!(errors[0].starts_with("lvsd.toml:1:8: not TOML: "), "{errors:#?}");
    assert_eq!(errors[1], "lvsd.toml:2:6: not TOML: unclosed table, expected `]`");
    assert!(errors[2].starts_with("conf.d/a.toml:2:8: lvsd.http: expected an address"), "{errors:#?}");
}

#[test]
fn a_relative_pool_file_starts_where_the_file_is_that_names_it() {
    let pooled = |name: &str, port, path: &str| {
        other(name, port).replace("backends = [{host = \"rs1\"}]", &format!("pool_file = \"{path}\""))
    };
    let files = [
        ("/etc/lvsd/lvsd.toml", pooled("one", 1, "pools/one.json")),
        ("/etc/lvsd/conf.d/two.toml", pooled("two", 2, "../pools/two.json")),
        ("lvsd.toml", pooled("three", 3, "three.json")),
        ("/etc/lvsd/conf.d/four.toml", pooled("four", 4, "/srv/four.json")),
    ];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let config = read(&files).expect("the files are valid");
    for (name, path) in [
        ("one", "/etc/lvsd/pools/one.json"),
        ("two", "/etc/lvsd/conf.d/../pools/two.json"),
        ("three", "three.json"),
        ("four", "/srv/four.json"),
    ] {
        assert_eq!(config.services[name].pool, Pool::Sources(vec![PoolId::File(path.into())]));
    }
}

fn messages(path: &Path) -> Vec<String> {
    let errors = load(path).expect_err("the configuration is refused");
    let folder = path.parent().expect("a file is in a folder").display().to_string();
    errors.iter().map(|error| error.to_string().replace(&format!("{folder}/"), "")).collect()
}

#[test]
fn conf_d_is_read_by_name_and_nothing_else_in_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let main = folder.path().join("lvsd.toml");
    let conf_d = folder.path().join("conf.d");
    fs::write(&main, SERVICE).expect("a file can be written");
    assert_eq!(load(&main).expect("the file is valid").services.len(), 1);
    fs::create_dir(&conf_d).expect("a folder can be made");
    for (name, text) in [
        ("20-tls.toml", other("tls", 443).as_str()),
        ("10-api.toml", other("api", 8080).as_str()),
        (".hidden.toml", "not toml"),
        ("README", "not toml"),
        ("30-old.toml.bak", "not toml"),
    ] {
        fs::write(conf_d.join(name), text).expect("a file can be written");
    }
    let config = load(&main).expect("the files are valid");
    assert_eq!(config.services.keys().collect::<Vec<_>>(), ["api", "tls", "web"]);
    fs::write(conf_d.join("99-again.toml"), SERVICE).expect("a file can be written");
    let errors = messages(&main);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].starts_with("conf.d/99-again.toml:1:10: service.web: service web for the second time"));
}

#[test]
fn a_file_that_cannot_be_read_is_named_along_with_all_other_errors() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let main = folder.path().join("lvsd.toml");
    let conf_d = folder.path().join("conf.d");
    fs::create_dir_all(conf_d.join("folder.toml")).expect("a folder can be made");
    fs::write(conf_d.join("latin1.toml"), b"[lvsd]\ndevice = \"\xe4\"\n").expect("a file can be written");
    fs::write(conf_d.join("port.toml"), "[lvsd]\nhttp = 1\n").expect("a file can be written");
    let errors = messages(&main);
    assert_eq!(errors.len(), 4, "{errors:#?}");
    assert_eq!(errors[0], "lvsd.toml: cannot be read: No such file or directory (os error 2)");
    assert_eq!(errors[1], "conf.d/folder.toml: cannot be read: it is no regular file");
    assert_eq!(errors[2], "conf.d/latin1.toml:2: not TOML: a byte that is no UTF-8");
    assert!(errors[3].starts_with("conf.d/port.toml:2:8: lvsd.http: expected"), "{errors:#?}");
}
