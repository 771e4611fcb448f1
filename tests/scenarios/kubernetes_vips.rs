//! Services of a cluster that are no load balancers, from `kubectl apply` to their end: one with `externalIPs`, one with node ports and
//! its VIP in an annotation, and one with node ports and its VIP in lvsd's configuration.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::bird::{Bird, Settings};
use lab::cluster::{Cluster, pass_beside};
use lab::configuration::Configuration;
use lab::host::Host;
use lab::kube_proxy::KubeProxy;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, SECOND, v4, v6};
use lab::nginx::NODE_PORTS;
use lab::site::{BALANCERS, SERVERS, both, routes};
use lab::table::{Table, weights_in};
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::watch::{Watcher, reaction};
use lab::world::World;
use serde_json::json;

/// What is run inside, for the test outside.
pub(crate) const INSIDE: [crate::Scenario; 1] = [("services_without_a_load_balancer", served)];

/// Longest that it may take inside.
const SCENARIO: Duration = Duration::from_secs(900);

/// Longest wait for anything; kubectl alone takes seconds in the lab's kernel.
const LIMIT: Duration = Duration::from_secs(120);

/// The API server's, on the servers' segment.
const ADDRESS: &str = "10.64.0.100";

const SERVICES: &str = "/api/v1/namespaces/prod/services";

/// Where kube-proxy says how it is.
const KUBE_PROXY: u16 = 10_256;

/// Outside: the cluster is started, then the lab's kernel beside it.
pub(crate) fn external_addresses_and_node_ports_are_served_from_kubectl_apply_until_they_are_deleted()
-> Result<()> {
    pass_beside(ADDRESS, INSIDE[0].0, SCENARIO)
}

/// A Service of both families; its clients come to the same port.
fn service(name: &str, annotations: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: prod, annotations: {{{annotations}}}}}\n\
         spec: {{ipFamilyPolicy: RequireDualStack, selector: {{app: web}}, {spec}}}\n"
    )
}

/// All three. Two of them have one VIP.
fn manifest() -> String {
    let node_port =
        |port: u16| format!("type: NodePort, ports: [{{name: http, port: 80, nodePort: {port}}}]");
    let external =
        format!("externalIPs: [\"{}\", \"{}\"], ports: [{{name: http, port: 80}}]", FIRST[0], FIRST[1]);
    let vips = format!("lvsd/vips: \"{},{}\"", FIRST[0], FIRST[1]);
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n".to_owned()
        + &service("external", "", &external)
        + &service("annotated", &vips, &node_port(NODE_PORTS[0]))
        + &service("configured", "", &node_port(NODE_PORTS[1]))
}

fn configuration(host: &Host, asn: u32, kubeconfig: &str) -> String {
    Configuration { services: Vec::new(), ..Configuration::with_web(asn) }.render(host)
        + &format!(
            "\n[source.k8s]\ntype = \"kubernetes\"\nkubeconfig = \"{kubeconfig}\"\nexternal_ips = true\nnode_ports = true\n\
             vips_on_nodes = true\n\n[[source.k8s.address_pool]]\nname = \"public\"\naddresses = [\"{}/32\", \"{}/128\"]\n\n\
             [service.configured]\nvips = [\"{}\", \"{}\"]\nport = {}\n\
             pool = {{ source = \"k8s\", service = \"prod/configured\", port = \"http\" }}\n\
             checks = [{{ type = \"http\", port = {KUBE_PROXY}, url = \"/healthz\", interval = \"200ms\", timeout = \"30s\", fall = 2, rise = 2 }}]\n",
            FIRST[0], FIRST[1], SECOND[0], SECOND[1], NODE_PORTS[1]
        )
}

fn served(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    lab.plug_in_the_machine()?;
    let cluster = Cluster::at(&world.directory().with_extension("cluster"));
    let router = |index: usize| Bird::start(&lab.routers[index], &Settings::of_router(index, BALANCERS));
    let routers = [router(0)?, router(1)?];
    let admin = &lab.servers[0];
    // What is lvsd's own is there; the Services come when both run.
    let nothing = admin.files().join("nothing.yaml");
    fs::write(&nothing, "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n")?;
    cluster.apply_with_permissions(admin, &nothing)?;
    let mut balancers = Vec::new();
    for (host, asn) in lab.balancers.iter().zip(BALANCERS) {
        let text = configuration(host, asn, &cluster.sign_in(host)?.to_string_lossy());
        balancers.push(Lvsd::start_with(host, &text)?);
    }
    let _servers = lab.start_servers()?;
    let proxies = nodes(&lab, &cluster)?;
    for lvsd in &mut balancers {
        lvsd.wait_ready(LIMIT)?;
    }
    let manifest_file = admin.files().join("services.yaml");
    fs::write(&manifest_file, manifest())?;
    let applied = || {
        cluster.kubectl(admin, &["apply", "-f", &manifest_file.to_string_lossy()])?;
        Ok(())
    };
    let all = [(FIRST, 80), (FIRST, NODE_PORTS[0]), (SECOND, NODE_PORTS[1])];
    let vips = [FIRST, SECOND].concat();
    let hops = both();
    let mut seen = routes(&routers, &vips, &hops);
    seen.extend(tables(&lab, &all));
    reaction(LIMIT, seen, applied)?;
    let external = Traffic::start(&lab.client, &load(&[(FIRST, 80)]))?;
    let others = Traffic::start(&lab.client, &load(&all[1..]))?;
    external.let_pass(100)?;
    external.stop()?.expect_no_failure()?;

    // One goes: the VIP that it had is another's, too, and stays.
    others.let_pass(100)?;
    delete(&cluster, admin, "external")?;
    reaction(LIMIT, tables(&lab, &all[1..]), || Ok(()))?;
    others.let_pass(100)?;
    reaction(LIMIT, routes(&routers, &vips, &both()), || Ok(()))?;
    let report = others.stop()?;
    report.expect_no_failure()?;
    ensure!(report.totals.servers.len() == SERVERS.len(), "all nodes serve: {report}");

    // The next one goes, and the VIP with it. The configuration's goes on with what was known, until its nodes say otherwise.
    let configured = Traffic::start(&lab.client, &load(&all[2..]))?;
    delete(&cluster, admin, "annotated")?;
    let mut seen = routes(&routers, &FIRST, &[]);
    seen.extend(tables(&lab, &all[2..]));
    reaction(LIMIT, seen, || Ok(()))?;
    delete(&cluster, admin, "configured")?;
    for lvsd in &balancers {
        let words = "prod/configured: the cluster has no such Service";
        wait_until("lvsctl says that it is gone", LIMIT, || {
            lvsd.ctl(&["why", "configured"]).is_ok_and(|said| said.contains(words))
        })?;
    }
    configured.let_pass(100)?;
    configured.stop()?.expect_no_failure()?;
    reaction(LIMIT, routes(&routers, &SECOND, &both()), || Ok(()))?;
    proxies.iter().for_each(|proxy| proxy.has(0));
    reaction(LIMIT, routes(&routers, &SECOND, &[]), || Ok(())).map(drop)
}

/// The servers as nodes, whose kube-proxies say that they take packets.
fn nodes(lab: &Lab, cluster: &Cluster) -> Result<Vec<KubeProxy>> {
    let joins = |(host, last): (&Host, u16)| {
        let addresses = [v4(last).to_string(), v6(last).to_string()];
        let addresses = addresses.map(|address| json!({"type": "InternalIP", "address": address}));
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": host.name()},
            "status": {"addresses": addresses}});
        cluster.create(host, "/api/v1/nodes", &node)?;
        let proxy = KubeProxy::start(host, "prod/web", KUBE_PROXY)?;
        proxy.has(1);
        Ok(proxy)
    };
    lab.servers.iter().zip(SERVERS).map(joins).collect()
}

fn delete(cluster: &Cluster, admin: &Host, name: &str) -> Result<()> {
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    cluster.delete(admin, &format!("{SERVICES}/{name}"), &options).map(drop)
}

fn sockets(services: &[([IpAddr; 2], u16)]) -> Vec<SocketAddr> {
    services.iter().flat_map(|(vips, port)| vips.map(|vip| SocketAddr::new(vip, *port))).collect()
}

fn load(services: &[([IpAddr; 2], u16)]) -> Load {
    Load { targets: sockets(services), rate: 100, kept_alive: 0 }
}

/// Watchers for both balancers' tables to have exactly these services, each with every node.
fn tables<'a>(lab: &'a Lab, services: &'a [([IpAddr; 2], u16)]) -> Vec<Watcher<'a>> {
    let is_so = move |table: &Table| {
        let sockets = sockets(services);
        table.len() == sockets.len()
            && sockets.iter().all(|socket| {
                weights_in(table, *socket).values().filter(|weight| **weight > 0).count() == SERVERS.len()
            })
    };
    let what = format!("services at {services:?}");
    lab.balancers.iter().map(|host| Watcher::table(host, &what, is_so)).collect()
}
