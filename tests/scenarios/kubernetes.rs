//! A cluster's Service from `kubectl apply` to its end, over a real API server and its controllers, which run on the machine itself.
//! The servers are its nodes: what their kubelets and kube-proxies do is done here.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::bird::{Bird, Settings};
use lab::cluster::{Cluster, pass_beside};
use lab::configuration::Configuration;
use lab::host::Host;
use lab::kube_proxy::KubeProxy;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4, v6};
use lab::nginx::Nginx;
use lab::site::{BALANCERS, SERVERS, both, routes};
use lab::table::{self, Table, weights_in};
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::watch::{Watcher, reaction};
use lab::world::World;
use serde_json::{Value, json};

/// What is run inside, for the test outside.
pub(crate) const INSIDE: [crate::Scenario; 1] = [("a_service_of_a_cluster", served)];

/// Longest that it may take inside.
const SCENARIO: Duration = Duration::from_secs(900);

/// Longest wait for anything; kubectl alone takes seconds in the lab's kernel.
const LIMIT: Duration = Duration::from_secs(120);

/// The API server's, on the servers' segment.
const ADDRESS: &str = "10.64.0.100";

const SERVICE: &str = "/api/v1/namespaces/prod/services/web";
const PODS: &str = "/api/v1/namespaces/prod/pods";

/// What is applied. The server is too old for `loadBalancerClass`: an annotation says it.
const MANIFEST: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: prod}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: prod
  annotations: {lvsd/class: example.org/lvsd, lvsd/scheduler: mh}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{name: http, port: 80}]
"#;

/// Outside: the cluster is started, then the lab's kernel beside it.
pub(crate) fn a_service_is_served_as_it_is_applied_and_its_pods_are_rolled_out_without_a_failed_request()
-> Result<()> {
    pass_beside(ADDRESS, INSIDE[0].0, SCENARIO)
}

fn served(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    lab.plug_in_the_machine()?;
    let cluster = Cluster::at(&world.directory().with_extension("cluster"));
    let mut site = Site::start(&lab, &cluster)?;
    // Two pods are of the version before; in the end there are two others.
    let mut nodes = site.nodes()?;
    nodes[0].starts("old-1")?;
    nodes[1].starts("old-2")?;
    site.expect("two nodes have a pod", |weights| *weights == [(11, 1), (12, 1)].into())?;
    reaction(LIMIT, routes(&site.routers, &FIRST, &both()), || Ok(()))?;

    let traffic = Traffic::start(&lab.client, &Load { kept_alive: 0, ..Load::usual(&FIRST) })?;
    traffic.let_pass(200)?;
    traffic.phase("rollout");
    nodes[2].starts("new-1")?;
    site.expect("a new pod serves", |weights| weights.get(&13) == Some(&1))?;
    replaces(&site, &traffic, &mut nodes[0], ("old-1", "new-2"))?;
    ends(&site, &traffic, &mut nodes[1], "old-2")?;
    traffic.let_those_under_way_end()?;
    traffic.phase("after");
    traffic.let_pass(300)?;
    traffic.phase("wrong annotation");
    goes_on_while_its_annotation_is_wrong(&mut site, &traffic, &mut nodes[1])?;
    traffic.phase("no API server");
    goes_on_without_the_api_server(&mut site, &traffic, &mut nodes[2])?;
    let report = traffic.stop()?;
    report.expect_no_failure()?;
    let after = &report.phase("after").context("a phase is missing")?.totals.servers;
    ensure!(after.keys().eq(["rs1", "rs3"]), "who answers after the rollout: {report}");

    // kubectl returns when the Service is gone: who has the Lease has taken its finalizer off.
    cluster.kubectl(&lab.servers[0], &["delete", "--namespace=prod", "service", "web"])?;
    reaction(LIMIT, routes(&site.routers, &FIRST, &[]), || Ok(()))?;
    site.expect("it is in no table", BTreeMap::is_empty)
}

/// An annotation is wrong: what was understood before stays in force, over a restart as well, endpoints are followed, and all places
/// say what is wrong until it is mended.
fn goes_on_while_its_annotation_is_wrong(
    site: &mut Site<'_>,
    traffic: &Traffic,
    node: &mut Node<'_>,
) -> Result<()> {
    site.annotate("nonsense")?;
    for lvsd in &site.balancers {
        says_what_is_wrong(lvsd)?;
    }
    site.expect_status("lvsd/Refused".into())?;
    let events = || site.get("/api/v1/namespaces/prod/events")["items"].to_string();
    wait_until("an Event says why", LIMIT, || {
        let events = events();
        events.contains("\"FormerSettings\"") && events.contains(WHY) && events.contains(FORMER)
    })?;
    ensure!(!events().contains("NotServed"), "it is served: {}", events());
    site.expect_scheduler("mh")?;
    traffic.let_pass(100)?;
    node.starts("late")?;
    let last = node.last;
    site.expect("a pod that comes now serves", |weights| weights.get(&last) == Some(&1))?;
    // A process that has never seen it right goes on with what the one before has understood.
    let lvsd = site.balancers.first_mut().context("no balancer")?;
    lvsd.kill()?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    says_what_is_wrong(lvsd)?;
    site.expect_scheduler("mh")?;
    reaction(LIMIT, routes(&site.routers, &FIRST, &both()), || Ok(()))?;
    traffic.let_pass(200)?;
    site.annotate("wrr")?;
    site.expect_scheduler("wrr")?;
    site.expect_status(Value::Null)?;
    for lvsd in &site.balancers {
        wait_until("nothing is wrong any more", LIMIT, || {
            lvsd.metric(FAILED).is_ok_and(|failed| failed == 0.0)
        })?;
    }
    traffic.let_pass(200)
}

/// Nobody reaches the API server any more, and one balancer's lvsd is killed and starts meanwhile: what was known is served. What has
/// changed in the cluster is followed once the API server can be reached again.
fn goes_on_without_the_api_server(site: &mut Site<'_>, traffic: &Traffic, node: &mut Node<'_>) -> Result<()> {
    let way = |verb: &str| -> Result<()> {
        for host in &site.lab.balancers {
            host.run(&["ip", "route", verb, "unreachable", &format!("{ADDRESS}/32")])?;
        }
        Ok(())
    };
    way("add")?;
    traffic.let_pass(100)?;
    let lvsd = site.balancers.first_mut().context("no balancer")?;
    lvsd.kill()?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    let is_live = |lvsd: &Lvsd, wanted: f64| {
        wait_until("the source is said to be live or not", LIMIT, || {
            lvsd.metric(LIVE).is_ok_and(|live| live == wanted)
        })
    };
    is_live(lvsd, 0.0)?;
    let status = lvsd.ctl(&["status"])?;
    ensure!(status.contains("  away  "), "the status says that the source is away: {status}");
    reaction(LIMIT, routes(&site.routers, &FIRST, &both()), || Ok(()))?;
    site.expect("those that were known serve", |weights| weights.keys().eq(&[11, 12, 13]))?;
    traffic.let_pass(200)?;
    // Its pod ends meanwhile, which the cluster knows, and its node's health check says.
    node.is_told_to_end("new-1")?;
    let last = node.last;
    site.expect("its check takes it out", |weights| weights.get(&last) == Some(&0))?;
    way("del")?;
    for lvsd in &site.balancers {
        is_live(lvsd, 1.0)?;
    }
    site.watch("it has no connection", |table| open(table, last) == 0)?;
    node.has_ended("new-1")?;
    site.expect("it is no backend", |weights| !weights.contains_key(&last))?;
    traffic.let_pass(200)
}

const LIVE: &str = "lvsd_source_live{source=\"k8s\",type=\"kubernetes\"}";

/// What is wrong, and that it goes on.
const WHY: &str = "annotation lvsd/scheduler";
const FORMER: &str = "its former settings stay in force";
const FAILED: &str = "lvsd_source_failed{service=\"k8s.prod.web.http\"}";

fn says_what_is_wrong(lvsd: &Lvsd) -> Result<()> {
    for words in [&["why", "prod/web"][..], &["why", "k8s.prod.web.http"], &["status"]] {
        let mut said = String::new();
        wait_until("lvsctl says what is wrong", LIMIT, || {
            said = lvsd.ctl(words).unwrap_or_default();
            said.contains(WHY) && said.contains(FORMER)
        })
        .with_context(|| format!("lvsctl {}: {said}", words.join(" ")))?;
    }
    wait_until("it is counted", LIMIT, || lvsd.metric(FAILED).is_ok_and(|failed| failed == 1.0)).map(drop)
}

/// A pod ends, and another begins on its node.
fn replaces(site: &Site<'_>, traffic: &Traffic, node: &mut Node<'_>, (old, new): (&str, &str)) -> Result<()> {
    ends(site, traffic, node, old)?;
    let last = node.last;
    node.starts(new)?;
    site.expect("its successor serves", |weights| weights.get(&last) == Some(&1))
}

/// A pod is told to end, gets nothing any more, and is gone.
fn ends(site: &Site<'_>, traffic: &Traffic, node: &mut Node<'_>, pod: &str) -> Result<()> {
    let last = node.last;
    node.is_told_to_end(pod)?;
    site.expect("it gets no new connection", |weights| weights.get(&last).is_none_or(|weight| *weight == 0))?;
    // What it has is answered: a pod goes on until its grace is over.
    traffic.let_pass(100)?;
    site.watch("it has no connection", |table| open(table, last) == 0)?;
    node.has_ended(pod)?;
    site.expect("it is no backend", |weights| !weights.contains_key(&last))
}

/// What runs beside the cluster.
struct Site<'a> {
    lab: &'a Lab,
    cluster: &'a Cluster,
    routers: [Bird; 2],
    balancers: Vec<Lvsd>,
}

impl<'a> Site<'a> {
    /// The Service is applied, and both balancers are ready.
    fn start(lab: &'a Lab, cluster: &'a Cluster) -> Result<Self> {
        let router = |index: usize| Bird::start(&lab.routers[index], &Settings::of_router(index, BALANCERS));
        let (routers, admin) = ([router(0)?, router(1)?], &lab.servers[0]);
        let manifest = admin.files().join("web.yaml");
        fs::write(&manifest, MANIFEST)?;
        cluster.apply_with_permissions(admin, &manifest)?;
        let mut balancers = Vec::new();
        for (host, asn) in lab.balancers.iter().zip(BALANCERS) {
            let text = configuration(host, asn, &cluster.sign_in(host)?.to_string_lossy());
            let mut lvsd = Lvsd::start_with(host, &text)?;
            lvsd.wait_ready(LIMIT)?;
            balancers.push(lvsd);
        }
        Ok(Self { lab, cluster, routers, balancers })
    }

    /// The servers as nodes, whose kube-proxies answer where the API server has said.
    fn nodes(&self) -> Result<Vec<Node<'a>>> {
        let mut given = Value::Null;
        wait_until("it has an address of each family", LIMIT, || {
            given = self.cluster.get(&self.lab.servers[0], SERVICE).unwrap_or_default();
            given["status"]["loadBalancer"]["ingress"].as_array().is_some_and(|given| given.len() == 2)
        })?;
        let port = given["spec"]["healthCheckNodePort"].as_u64().and_then(|port| u16::try_from(port).ok());
        let port = port.with_context(|| format!("no healthCheckNodePort: {given}"))?;
        let node = |(host, last): (&'a Host, u16)| Node::joins(self.cluster, host, last, port);
        self.lab.servers.iter().zip(SERVERS).map(node).collect()
    }

    /// Waits until it is so on both balancers and in both families: the weights of nodes by the last part of their address.
    fn expect(&self, what: &str, is_so: impl Fn(&BTreeMap<u16, u32>) -> bool + Copy + Send) -> Result<()> {
        self.watch(what, move |table| FIRST.iter().all(|vip| is_so(&weights(table, *vip))))
    }

    fn annotate(&self, scheduler: &str) -> Result<()> {
        let text = format!("lvsd/scheduler={scheduler}");
        let words = ["annotate", "--overwrite", "--namespace=prod", "service", "web", &text];
        self.cluster.kubectl(&self.lab.servers[0], &words).map(drop)
    }

    fn get(&self, path: &str) -> Value {
        self.cluster.get(&self.lab.servers[0], path).unwrap_or_default()
    }

    /// Waits until the first address in the Service's status has this error.
    fn expect_status(&self, error: Value) -> Result<()> {
        let is_so =
            || self.get(SERVICE)["status"]["loadBalancer"]["ingress"][0]["ports"][0]["error"] == error;
        wait_until(&format!("the error in its status is {error}"), LIMIT, is_so).map(drop)
    }

    /// Waits until both balancers' kernels schedule it so.
    fn expect_scheduler(&self, scheduler: &str) -> Result<()> {
        for host in &self.lab.balancers {
            let is_so = |table: ipvs::Table| {
                table.iter().all(|(_, entry)| entry.service.scheduler().to_string() == scheduler)
                    && !table.is_empty()
            };
            let what = format!("{} schedules by {scheduler}", host.name());
            wait_until(&what, LIMIT, || table::whole(host).is_ok_and(is_so))?;
        }
        Ok(())
    }

    fn watch(&self, what: &str, is_so: impl Fn(&Table) -> bool + Copy + Send) -> Result<()> {
        let watchers = self.lab.balancers.iter().map(|host| Watcher::table(host, what, is_so));
        reaction(LIMIT, watchers.collect(), || Ok(())).map(drop)
    }
}

fn weights(table: &Table, vip: IpAddr) -> BTreeMap<u16, u32> {
    let all = weights_in(table, SocketAddr::new(vip, 80));
    SERVERS.into_iter().filter_map(|last| Some((last, *all.get(&address(last, vip.is_ipv6()))?))).collect()
}

/// The connections to a node that are open, as a balancer sees them.
fn open(table: &Table, last: u16) -> u32 {
    let is_it = |server: &SocketAddr| server.ip() == address(last, server.is_ipv6());
    let of = |servers: &BTreeMap<SocketAddr, lab::table::Destination>| {
        servers.iter().filter(|(server, _)| is_it(server)).map(|(_, found)| found.active).sum::<u32>()
    };
    table.values().map(of).sum()
}

fn address(last: u16, is_v6: bool) -> IpAddr {
    if is_v6 { v6(last).into() } else { v4(last).into() }
}

fn configuration(host: &Host, asn: u32, kubeconfig: &str) -> String {
    Configuration { services: Vec::new(), ..Configuration::with_web(asn) }.render(host)
        + &format!(
            "\n[source.k8s]\ntype = \"kubernetes\"\nkubeconfig = \"{kubeconfig}\"\nclass = \"example.org/lvsd\"\n\
             lease = \"lvsd/lvsd\"\n\n[[source.k8s.address_pool]]\nname = \"public\"\naddresses = [\"{}/32\", \"{}/128\"]\n",
            FIRST[0], FIRST[1]
        )
}

/// A node: its pod of prod/web is nginx, which has the node's network.
struct Node<'a> {
    cluster: &'a Cluster,
    host: &'a Host,
    last: u16,
    proxy: KubeProxy,
    pod: Option<Nginx>,
}

impl<'a> Node<'a> {
    fn joins(cluster: &'a Cluster, host: &'a Host, last: u16, port: u16) -> Result<Self> {
        let addresses = [v4(last).to_string(), v6(last).to_string()];
        let addresses = addresses.map(|address| json!({"type": "InternalIP", "address": address}));
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": host.name()},
            "status": {"addresses": addresses}});
        cluster.create(host, "/api/v1/nodes", &node)?;
        Ok(Self { cluster, host, last, proxy: KubeProxy::start(host, "prod/web", port)?, pod: None })
    }

    /// A pod is started, and is ready.
    fn starts(&mut self, pod: &str) -> Result<()> {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "labels": {"app": "web"}},
            "spec": {"nodeName": self.host.name(), "containers": [{"name": "web", "image": "web"}]}});
        self.cluster.create(self.host, PODS, &object)?;
        let mut nginx = Nginx::start(self.host)?;
        nginx.wait_ready(LIMIT)?;
        self.pod = Some(nginx);
        let ips = [v4(self.last).to_string(), v6(self.last).to_string()];
        let status = json!({"status": {"phase": "Running", "podIP": ips[0],
            "podIPs": [{"ip": ips[0]}, {"ip": ips[1]}], "conditions": [{"type": "Ready", "status": "True"}]}});
        self.cluster.patch(self.host, &format!("{PODS}/{pod}/status"), &status)?;
        self.proxy.has(1);
        Ok(())
    }

    /// It is deleted and has its grace, in which it serves.
    fn is_told_to_end(&self, pod: &str) -> Result<()> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        self.cluster.delete(self.host, &format!("{PODS}/{pod}"), &options)?;
        self.proxy.has(0);
        Ok(())
    }

    /// Its grace is over, and it is gone.
    fn has_ended(&mut self, pod: &str) -> Result<()> {
        self.pod.take().context("no pod is on this node")?.kill()?;
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        self.cluster.delete(self.host, &format!("{PODS}/{pod}"), &options).map(drop)
    }
}
