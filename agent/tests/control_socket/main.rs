//! The control socket end to end: lvsctl on one side, the core behind the real server on the other.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod browser;
mod completion;
mod daemon;
mod log;
mod openapi;
mod output;
mod page;
mod remote;
mod schemathesis;
mod terminal;
mod top;
mod why;

use daemon::{Daemon, World, err, json, out};
use lvsd::api::control;
use lvsd::config;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn status_shows_services_and_backends_as_text_and_as_json() {
    let daemon = Daemon::start().await;
    let status = out(&daemon.lvsctl(&["status"]).await);
    assert!(status.contains("web  tcp port 80 on 192.0.2.10, scheduler wrr"), "{status}");
    assert!(status.contains("rs1      10.64.0.11  1       pooled"), "{status}");
    let status = json(&daemon.lvsctl(&["status", "web", "-o", "json"]).await);
    assert_eq!(status["services"][0]["pools"][0]["backends"][1]["host"], "rs2");
}

#[tokio::test]
async fn what_does_not_exist_exits_with_4_and_suggests_what_does() {
    let daemon = Daemon::start().await;
    let wrong = [
        (["status", "wbe"], "web"),
        (["why", "rs11"], "rs1"),
        (["depool", "rs3"], "rs1"),
        (["pool", "r1"], "rs1"),
    ];
    for (arguments, near) in wrong {
        let output = daemon.lvsctl(&arguments).await;
        assert_eq!(output.status.code(), Some(4), "{arguments:?}");
        assert!(err(&output).contains(&format!("did you mean {near}")), "{}", err(&output));
    }
}

#[tokio::test]
async fn without_bgp_nothing_can_be_withdrawn_and_that_is_said() {
    let daemon = Daemon::start().await;
    let bgp = daemon.lvsctl(&["bgp"]).await;
    assert_eq!(bgp.status.code(), Some(4));
    assert!(err(&bgp).contains("BGP is not configured"), "{}", err(&bgp));
    for arguments in [&["vip", "withdraw", "192.0.2.10"][..], &["drain", "--balancer"]] {
        let refused = daemon.lvsctl(arguments).await;
        assert_eq!(refused.status.code(), Some(5), "{arguments:?}");
        assert!(err(&refused).contains("the configuration has no [bgp]"), "{}", err(&refused));
    }
    let wrong = daemon.lvsctl(&["vip", "withdraw", "192.0.2.11"]).await;
    assert_eq!(wrong.status.code(), Some(4));
    assert!(err(&wrong).contains("did you mean 192.0.2.10?"), "{}", err(&wrong));
    assert_eq!(out(&daemon.lvsctl(&["undrain"]).await), "the balancer was not drained\n");
}

#[tokio::test]
async fn a_depool_says_who_and_why_and_one_too_many_exits_with_5() {
    let daemon = Daemon::start().await;
    let done = json(&daemon.lvsctl(&["depool", "RS1", "--reason", "disk", "-o", "json"]).await);
    assert_eq!(done["services"][0], "web");
    let why = out(&daemon.lvsctl(&["why", "rs1"]).await);
    assert!(why.contains("rs1 (10.64.0.11) in web is depooled with weight 0 since"), "{why}");
    assert!(why.contains("\"disk\""), "{why}");
    let refused = daemon.lvsctl(&["depool", "rs2"]).await;
    assert_eq!(refused.status.code(), Some(5));
    assert!(
        err(&refused).contains("0 of 2 backends would be left serving, 1 are needed"),
        "{}",
        err(&refused)
    );
    out(&daemon.lvsctl(&["depool", "rs2", "--force"]).await);
    out(&daemon.lvsctl(&["pool", "rs1"]).await);
    assert!(out(&daemon.lvsctl(&["why", "rs1"]).await).contains("is pooled with weight 1"));
}

#[tokio::test]
async fn only_root_changes_things_and_others_who_can_open_the_socket_look() {
    const NOBODY: u32 = 65534;
    let daemon = Daemon::start().await;
    let closed = daemon.lvsctl_as(Some(NOBODY), &["status"]).await;
    assert_eq!(closed.status.code(), Some(6), "{}", err(&closed));
    std::fs::set_permissions(daemon.socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    out(&daemon.lvsctl_as(Some(NOBODY), &["status"]).await);
    for arguments in [vec!["depool", "rs1"], vec!["pool", "rs1"], vec!["reload"]] {
        let denied = daemon.lvsctl_as(Some(NOBODY), &arguments).await;
        assert_eq!(denied.status.code(), Some(6), "{arguments:?}");
        assert!(err(&denied).contains("nobody may look but not change anything"), "{}", err(&denied));
    }
    assert!(out(&daemon.lvsctl(&["why", "rs1"]).await).contains("is pooled"));
}

#[tokio::test]
async fn a_reload_says_what_changed_and_refuses_a_bad_configuration_with_7() {
    let daemon = Daemon::start().await;
    let file = daemon.directory.path().join("lvsd.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(out(&daemon.lvsctl(&["reload"]).await), "reloaded: nothing changed\n");
    std::fs::write(&file, text.replace("port = 80", "port = 81")).unwrap();
    assert_eq!(out(&daemon.lvsctl(&["reload"]).await), "reloaded: changed web\n");
    std::fs::write(&file, text.replace("port = 80", "port = 0")).unwrap();
    let refused = daemon.lvsctl(&["reload"]).await;
    assert_eq!(refused.status.code(), Some(7));
    assert!(
        err(&refused).contains("the old one goes on") && err(&refused).contains("lvsd.toml:6:"),
        "{}",
        err(&refused)
    );
    std::fs::write(&file, text.replace("[lvsd]", "[lvsd]\nhttp = \"127.0.0.1:9999\"")).unwrap();
    let refused = daemon.lvsctl(&["reload"]).await;
    assert_eq!(refused.status.code(), Some(7));
    assert!(
        err(&refused).contains("lvsd.http changed: a reload cannot change it; restart lvsd"),
        "{}",
        err(&refused)
    );
    let metrics = daemon.get("/metrics").await;
    assert!(metrics.contains("lvsd_reloads_total{result=\"ok\"} 2\n"), "{metrics}");
    assert!(metrics.contains("lvsd_reloads_total{result=\"refused\"} 2\n"), "{metrics}");
}

#[tokio::test]
async fn a_second_lvsd_on_the_same_socket_is_refused_and_a_left_over_one_replaced() {
    let daemon = Daemon::start().await;
    let mut config = config::load(&daemon.directory.path().join("lvsd.toml")).unwrap().daemon;
    let error = control::listen(&config).await.unwrap_err().to_string();
    assert!(error.contains("another lvsd is running"), "{error}");
    config.control_socket = daemon.directory.path().join("left-over.sock");
    drop(std::os::unix::net::UnixListener::bind(&config.control_socket).unwrap());
    control::listen(&config).await.unwrap();
    let mode = std::fs::metadata(&config.control_socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[tokio::test]
async fn requests_that_make_no_sense_get_an_error_and_harm_nobody() {
    let daemon = Daemon::start().await;
    for request in [
        "POST /v1/depool HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{{{",
        "POST /v1/depool HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"hots\":\"rs\"}",
        "GET /v1/nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/status?service=%ff%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        "\0\0\0\r\n\r\n",
    ] {
        let answer = raw(&daemon.socket(), request).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{request:?}: {answer:?}");
    }
    out(&daemon.lvsctl(&["status"]).await);
}

async fn raw(socket: &Path, request: &str) -> String {
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn http_tells_monitoring_what_it_asks() {
    let daemon = Daemon::start().await;
    assert!(daemon.get("/healthz").await.starts_with("HTTP/1.1 200"));
    let ready = daemon.get("/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("waiting for"), "{ready}");
    let metrics = daemon.get("/metrics").await;
    for line in [
        "lvsd_backend_weight{backend=\"rs1\",family=\"ipv4\",service=\"web\"} 1",
        "lvsd_pool_serving{family=\"ipv4\",service=\"web\"} 2",
        "# TYPE lvsd_reloads_total counter",
        "lvsd_ready 0",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(daemon.get("/nowhere").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn what_the_kernel_cannot_answer_exits_with_1_and_says_why() {
    let daemon = Daemon::start().await;
    let diff = daemon.lvsctl(&["diff"]).await;
    assert_eq!(diff.status.code(), Some(1));
    assert_eq!(err(&diff), "lvsctl: no kernel here\n");
}

#[tokio::test]
async fn a_plan_shows_what_would_change_and_changes_nothing() {
    let daemon = Daemon::start().await;
    let file = daemon.directory.path().join("lvsd.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let other = daemon.directory.path().join("other.toml");
    std::fs::write(&other, &text).unwrap();
    let path = other.display().to_string();
    assert_eq!(out(&daemon.lvsctl(&["plan", &path]).await), "nothing would change\n");
    std::fs::write(&other, text.replace("10.64.0.12", "10.64.0.22") + "\n[service.dns]\nvips = [\"192.0.2.53\"]\nport = 53\nchecks = []\nbackends = [{ host = \"10.64.0.11\" }]\n").unwrap();
    let said = out(&daemon.lvsctl(&["plan", &path]).await);
    for line in [
        "add service tcp 192.0.2.53:53",
        "add destination 10.64.0.22:80 to tcp 192.0.2.10:80",
        "addresses added:\n  192.0.2.53\n",
    ] {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
    std::fs::write(&other, text.replace("port = 80", "port = 0")).unwrap();
    assert_eq!(daemon.lvsctl(&["plan", &path]).await.status.code(), Some(7));
    assert!(out(&daemon.lvsctl(&["status"]).await).contains("10.64.0.12"));
}

/// One VIP that a service serves, another that is withdrawn as one of two services on it fails.
const ANNOUNCED: &str = r#"
[bgp]
local_asn = 64600
router_id = "10.64.0.1"
peer = [{ name = "r1", address = "10.64.0.251", asn = 65001 }]

[service.web]
vips = ["192.0.2.10", "192.0.2.11"]
port = 80
backends = [{ host = "rs1", addresses = ["10.64.0.11"] }]
checks = []

[service.api]
vips = ["192.0.2.10"]
port = 81
backends = [{ host = "rs1", addresses = ["10.64.0.11"] }]
checks = [{ type = "tcp", port = 8081 }]

[vip."192.0.2.10"]
announce = "all"
"#;

#[tokio::test]
async fn a_plan_names_the_routes_and_the_checks_that_come_and_go() {
    let daemon = Daemon::start_in(ANNOUNCED, World::Obedient).await;
    let text = std::fs::read_to_string(daemon.directory.path().join("lvsd.toml")).unwrap();
    let other = daemon.directory.path().join("other.toml");
    let path = other.display().to_string();
    let planned = text
        .replace("\"192.0.2.10\", \"192.0.2.11\"", "\"192.0.2.10\"")
        .replace("announce = \"all\"", "announce = \"any\"")
        .replace("8081", "8082");
    std::fs::write(&other, planned).unwrap();
    assert_eq!(
        out(&daemon.lvsctl(&["plan", &path]).await),
        "kernel, once the routers have moved the traffic:\n\
         \x20 delete service tcp 192.0.2.11:80\n\
         addresses removed:\n\
         \x20 192.0.2.11\n\
         routes announced:\n\
         \x20 192.0.2.10/32\n\
         routes withdrawn:\n\
         \x20 192.0.2.11/32\n\
         checks started:\n\
         \x20 tcp 10.64.0.11:8082\n\
         checks stopped:\n\
         \x20 tcp 10.64.0.11:8081\n"
    );
}

#[tokio::test]
async fn a_wait_that_is_over_before_the_traffic_has_moved_exits_with_10() {
    let daemon = Daemon::start_in(ANNOUNCED, World::Whole).await;
    let waited = daemon.lvsctl(&["drain", "--balancer", "--wait", "1s"]).await;
    assert_eq!(waited.status.code(), Some(10), "{}", err(&waited));
    assert!(err(&waited).contains("connections established"), "how far it is: {}", err(&waited));
}

#[tokio::test]
async fn a_simulation_shows_who_would_be_held() {
    let daemon = Daemon::start().await;
    let said = out(&daemon.lvsctl(&["simulate", "--down", "rs1,rs2,rs9"]).await);
    assert!(said.contains("no pool has a backend named rs9"), "{said}");
    assert!(said.contains("web ipv4: 0 of 2 would serve, threshold 1"), "{said}");
    assert!(said.contains("rs1      1       1     held-though-down"), "{said}");
    assert!(out(&daemon.lvsctl(&["why", "rs1"]).await).contains("is pooled"));
}
