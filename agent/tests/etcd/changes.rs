//! What lvsctl changes in etcd, and what every balancer makes of it.

use crate::balancer::Balancer;
use crate::server::{Plan, Server, http};
use crate::watched::{key, value};

/// Two services with the same pool in etcd, and one with a pool of its own.
pub(crate) fn configuration(version: u8, ports: &[u16]) -> String {
    let endpoints: Vec<_> = ports.iter().map(|port| format!("\"http://127.0.0.1:{port}\"")).collect();
    let addresses: String = (1..=4).map(|n| format!("cp{n} = [\"10.64.0.{n}\"]\n")).collect();
    let service = |name: &str, vip: u8, pool: &str| {
        format!(
            "[service.{name}]\nvips = [\"192.0.2.{vip}\"]\nport = 80\nchecks = []\n{pool}\n[service.{name}.addresses]\n{addresses}"
        )
    };
    format!(
        "[source.conftool]\ntype = \"etcd\"\nversion = {version}\ntimeout = \"30s\"\nendpoints = [{}]\n{}{}{}",
        endpoints.join(", "),
        service("text", 10, "pool = { source = \"conftool\", path = \"eqiad/cache/text\" }"),
        service("text-too", 11, "pool = { source = \"conftool\", path = \"eqiad/cache/text\" }"),
        "[service.api]\nvips = [\"192.0.2.12\"]\nport = 80\nchecks = []\nbackends = [{ host = \"rs1\", addresses = [\"10.64.0.99\"] }]\n",
    )
}

pub(crate) const ALL: &str = "cp1 pooled, cp2 pooled, cp3 pooled, cp4 pooled";

pub(crate) fn fill(server: &Server, version: u8) {
    for host in ["cp1", "cp2", "cp3", "cp4"] {
        match version {
            2 => server.put_v2(&key(host), &value(10, "yes")),
            _ => drop(server.etcdctl(&["put", "--", &key(host), &value(10, "yes")])),
        }
    }
}

fn stored(server: &Server, version: u8, host: &str) -> serde_json::Value {
    let text = match version {
        2 => {
            let answer = http(server.plan.client, "GET", &format!("/v2/keys{}", key(host)), "").unwrap();
            let answer: serde_json::Value =
                serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap().trim()).unwrap();
            answer["node"]["value"].as_str().unwrap().to_owned()
        }
        _ => server.etcdctl(&["get", "--print-value-only", &key(host)]),
    };
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_depool_on_one_balancer_is_one_on_all() {
    for version in [2, 3] {
        let server = Server::start(Plan::alone());
        fill(&server, version);
        let text = configuration(version, &[server.plan.client]);
        let (one, other) = (Balancer::start(&text).await, Balancer::start(&text).await);
        one.until("text", ALL).await;
        other.until("text-too", ALL).await;
        let said = one.done(&["depool", "CP1", "--reason", "disk swap, T12345"]).await;
        assert!(
            said.starts_with("cp1 in conftool:eqiad/cache/text: pooled yes became pooled no at revision "),
            "{said}"
        );
        for balancer in [&one, &other] {
            for service in ["text", "text-too"] {
                balancer.until(service, "cp1 depooled, cp2 pooled, cp3 pooled, cp4 pooled").await;
            }
        }
        assert_eq!(stored(&server, version, "cp1"), serde_json::json!({"pooled": "no", "weight": 10}));
        let audit = one.log().into_iter().find(|line| line.contains("became")).unwrap();
        assert!(
            audit.starts_with("cp1 in conftool:eqiad/cache/text: pooled yes became pooled no"),
            "{audit}"
        );
        assert!(audit.ends_with("root asked for it: \"disk swap, T12345\""), "{audit}");
        let again = one.done(&["depool", "cp1"]).await;
        assert!(again.contains("pooled no already, since revision"), "{again}");
        one.done(&["pool", "cp1"]).await;
        other.until("text", ALL).await;
    }
}

#[tokio::test]
async fn each_verb_is_what_confctl_would_write() {
    let server = Server::start(Plan::alone());
    fill(&server, 3);
    let balancer = Balancer::start(&configuration(3, &[server.plan.client])).await;
    balancer.until("text", ALL).await;
    server.etcdctl(&["put", "--", &key("cp1"), r#"{"weight":10,"pooled":"yes","rack":"a1"}"#]);
    balancer.done(&["drain", "cp1"]).await;
    let expected = serde_json::json!({"pooled": "yes", "rack": "a1", "weight": 0});
    assert_eq!(stored(&server, 3, "cp1"), expected, "what belongs to others stays");
    balancer.done(&["inactive", "cp2"]).await;
    assert_eq!(stored(&server, 3, "cp2")["pooled"], "inactive");
    balancer.done(&["weight", "cp3", "77"]).await;
    assert_eq!(stored(&server, 3, "cp3")["weight"], 77);
    for (arguments, words) in [
        (["weight", "cp3", "10%"], "etcd has whole weights"),
        (["weight", "cp3", "--reset"], "etcd has whole weights"),
        (["depool", "cp3", "--for=1h"], "does not end by itself"),
    ] {
        let said = balancer.refused(&arguments).await;
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn several_objects_are_shown_and_asked_about() {
    let server = Server::start(Plan::alone());
    fill(&server, 3);
    let balancer = Balancer::start(&configuration(3, &[server.plan.client])).await;
    balancer.until("text", ALL).await;
    let said = balancer.refused(&["weight", "cp?", "5"]).await;
    assert!(said.contains("HOST"), "a table: {said}");
    assert!(
        said.contains("cp4   conftool:eqiad/cache/text  yes, weight 10  yes, weight 5  text text-too"),
        "{said}"
    );
    assert!(said.contains("4 objects match: --yes changes them all"), "{said}");
    assert_eq!(stored(&server, 3, "cp1")["weight"], 10, "nothing was changed");
    balancer.done(&["weight", "cp?", "5", "--yes", "--cluster", "cache", "--service", "text*"]).await;
    for host in ["cp1", "cp2", "cp3", "cp4"] {
        assert_eq!(stored(&server, 3, host)["weight"], 5);
    }
    let said = balancer.refused(&["depool", "cp?", "--yes"]).await;
    assert!(said.contains("0 of 4 backends would be left serving, 2 are needed"), "{said}");
    assert_eq!(stored(&server, 3, "cp1")["pooled"], "yes", "nothing was changed");
    balancer.done(&["depool", "cp?", "--yes", "--force"]).await;
    assert_eq!(stored(&server, 3, "cp4")["pooled"], "no");
}

#[tokio::test]
async fn local_is_this_balancer_alone_and_so_is_what_is_not_in_etcd() {
    let server = Server::start(Plan::alone());
    fill(&server, 3);
    let text = configuration(3, &[server.plan.client]);
    let (one, other) = (Balancer::start(&text).await, Balancer::start(&text).await);
    one.until("text", ALL).await;
    other.until("text", ALL).await;
    one.done(&["depool", "cp1", "--local", "--for", "1h"]).await;
    one.until("text", "cp1 depooled, cp2 pooled, cp3 pooled, cp4 pooled").await;
    assert_eq!(stored(&server, 3, "cp1")["pooled"], "yes");
    assert_eq!(other.backends("text").await, ALL);
    let said = one.done(&["weight", "cp1", "20"]).await;
    assert!(said.contains("but on this balancer cp1 is depooled by an operator"), "{said}");
    one.done(&["pool", "cp1", "--local"]).await;
    one.until("text", ALL).await;
    one.done(&["depool", "rs1", "--force"]).await;
    one.until("api", "rs1 depooled").await;
    let said = one.refused(&["depool", "rs*"]).await;
    assert!(said.contains("nothing that matches is kept in etcd") && said.contains("rs1 in api"), "{said}");
}

#[tokio::test]
async fn two_that_change_the_same_key_both_have_their_way() {
    for version in [2, 3] {
        let server = Server::start(Plan::alone());
        fill(&server, version);
        let text = configuration(version, &[server.plan.client]);
        let (one, other) = (Balancer::start(&text).await, Balancer::start(&text).await);
        one.until("text", ALL).await;
        other.until("text", ALL).await;
        for weight in 1..10 {
            let (weight, pooled) = (weight.to_string(), if weight % 2 == 0 { "pool" } else { "depool" });
            let (weigh, take) = (["weight", "cp1", &*weight], [pooled, "cp1"]);
            tokio::join!(one.done(&weigh), other.done(&take));
            let stored = stored(&server, version, "cp1");
            let expected = serde_json::json!({
                "weight": weight.parse::<u32>().unwrap(),
                "pooled": if pooled == "pool" { "yes" } else { "no" },
            });
            assert_eq!(stored, expected, "version {version}");
        }
    }
}

#[tokio::test]
async fn at_a_terminal_several_are_changed_after_a_yes_and_nothing_else() {
    let server = Server::start(Plan::alone());
    fill(&server, 3);
    let balancer = Balancer::start(&configuration(3, &[server.plan.client])).await;
    balancer.until("text", ALL).await;
    let question = "Change all 4? [y/N] ";
    // The last is the key that ends the input.
    for no in ["n\n", "\n", "yy\n", "\x04"] {
        let (said, code) = balancer.at_a_terminal("weight 'cp?' 5", question, no).await;
        assert!(said.contains("cp2") && said.contains("yes, weight 5"), "what would be changed: {said}");
        assert!(said.contains("nothing was changed"), "{no:?}: {said}");
        assert_eq!(
            (code, stored(&server, 3, "cp1")["weight"].as_u64()),
            (Some(5), Some(10)),
            "{no:?}: {said}"
        );
    }
    let (said, code) = balancer.at_a_terminal("weight 'cp?' 5", question, "y\n").await;
    assert_eq!(code, Some(0), "{said}");
    for host in ["cp1", "cp2", "cp3", "cp4"] {
        assert_eq!(stored(&server, 3, host)["weight"], 5, "{host}");
    }
}

#[tokio::test]
async fn etcd_that_is_away_is_said_and_another_member_is_asked() {
    let plans = Plan::cluster(3).into_iter();
    let mut servers: Vec<_> = plans.map(|plan| Server::launch(plan, tempfile::tempdir().unwrap())).collect();
    servers.iter().for_each(Server::wait);
    fill(&servers[0], 3);
    let ports: Vec<_> = servers.iter().map(|server| server.plan.client).collect();
    let balancer = Balancer::start(&configuration(3, &ports)).await;
    balancer.until("text", ALL).await;
    drop(servers.remove(0).kill());
    servers[0].wait();
    balancer.done(&["depool", "cp1"]).await;
    balancer.until("text", "cp1 depooled, cp2 pooled, cp3 pooled, cp4 pooled").await;
    drop(servers);
    let said = balancer.refused(&["depool", "cp2"]).await;
    assert!(said.contains("cp2 in conftool:eqiad/cache/text: not changed: http://127.0.0.1:"), "{said}");
    assert_eq!(balancer.backends("text").await, "cp1 depooled, cp2 pooled, cp3 pooled, cp4 pooled");
}
