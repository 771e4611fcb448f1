//! What a cluster's Services cost that are served whole: the source that reads them, and the core that is told of them.

use crate::balancer::{Balancer, address};
use crate::counted;
use lvsd::config::{
    AddressPool, AddressRange, Cordon, KubernetesSettings, PoolId, Query, Service, WholeServices,
};
use lvsd::core::Event;
use lvsd::core::found::{Finding, FoundService};
use lvsd::sources::kubernetes::Kubernetes;
use lvsd::sources::{Said, Source as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const CLASS: &str = "example.org/lvsd";
const NODES: u32 = 100;
const ENDPOINTS: u32 = 10;

/// Objects in an answer to a list, as many as the source asks for.
const PAGE: usize = 500;

/// An API server that has lists, and watches of which nothing comes.
struct Api {
    kubeconfig: tempfile::NamedTempFile,
}

impl Api {
    fn start(services: u32) -> Self {
        let lists = [
            ("/api/v1/nodes", (0..NODES).map(node).collect::<Vec<_>>()),
            ("/api/v1/services", (0..services).map(service).collect()),
            ("/apis/discovery.k8s.io/v1/endpointslices", (0..services).map(slice).collect()),
        ];
        let pages: Arc<Vec<(&str, Vec<String>)>> =
            Arc::new(lists.into_iter().map(|(path, all)| (path, pages(&all))).collect());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let pages = Arc::clone(&pages);
                std::thread::spawn(move || answer(stream, &pages));
            }
        });
        let mut kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]
        });
        write!(kubeconfig, "{text}").unwrap();
        Self { kubeconfig }
    }

    fn settings(&self) -> KubernetesSettings {
        let all: AddressRange = "198.18.0.0/15".parse().unwrap();
        let pool =
            AddressPool { name: "all".into(), ranges: vec![all], auto: true, namespaces: BTreeSet::new() };
        let services = WholeServices {
            class: Some(CLASS.into()),
            external_ips: false,
            node_ports: false,
            vips_on_nodes: false,
            lease: None,
            pools: vec![pool],
        };
        KubernetesSettings {
            kubeconfig: Some(self.kubeconfig.path().into()),
            context: None,
            namespaces: BTreeSet::new(),
            cordon: Cordon::Ignore,
            connect_timeout: Duration::from_secs(30),
            watch_timeout: Duration::from_secs(300),
            max_backoff: Duration::from_secs(1),
            services: Some(services),
        }
    }
}

fn pages(all: &[Value]) -> Vec<String> {
    let count = all.len().div_ceil(PAGE);
    let page = |(place, items): (usize, &[Value])| {
        let token = if place + 1 < count { (place + 1).to_string() } else { String::new() };
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1", "continue": token},
            "items": items})
        .to_string()
    };
    all.chunks(PAGE).enumerate().map(page).collect()
}

/// Answers until whoever asks goes away.
fn answer(mut stream: TcpStream, pages: &[(&str, Vec<String>)]) {
    let mut asked = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut line, mut header) = (String::new(), String::new());
        if !asked.read_line(&mut line).is_ok_and(|length| length > 0) {
            return;
        }
        while asked.read_line(&mut header).is_ok_and(|length| length > 2) {
            header.clear();
        }
        let target = line.split(' ').nth(1).unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        if query.contains("watch=") {
            write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n").unwrap();
            // Nothing changes.
            let _ = asked.read(&mut [0]);
            return;
        }
        let place = query.split('&').find_map(|pair| pair.strip_prefix("continue="));
        let place: usize = place.map_or(0, |place| place.parse().unwrap());
        let (_, pages) = pages.iter().find(|(of, _)| *of == path).unwrap();
        write!(stream, "{head}Content-Length: {}\r\n\r\n{}", pages[place].len(), pages[place]).unwrap();
    }
}

fn name(service: u32) -> String {
    format!("s{service:05}")
}

fn named(name: &str, number: u32) -> Value {
    json!({"name": name, "namespace": format!("team-{:02}", number % 50), "resourceVersion": "1",
        "uid": format!("{number:08x}-0000-4000-8000-000000000001"), "labels": {"app": name},
        "managedFields": [{"manager": "kube-controller-manager", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:type": {}}}}]})
}

fn service(number: u32) -> Value {
    let mut metadata = named(&name(number), number);
    metadata["annotations"] = json!({"lvsd/checks": "[]"});
    json!({
        "metadata": metadata,
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": CLASS, "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 30000 + number % 2768, "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "protocol": "TCP", "port": 80}]
        },
        "status": {"loadBalancer": {"ingress": [{"ip": address([198, 18, 0, 0], number), "ipMode": "VIP"}]}}
    })
}

fn slice(number: u32) -> Value {
    let endpoint = |endpoint: u32| {
        let pod = number * ENDPOINTS + endpoint;
        json!({
            "addresses": [address([10, 128, 0, 1], pod)],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("node-{:03}", (number * 7 + endpoint) % NODES),
            "targetRef": {"kind": "Pod", "name": format!("{}-7d9f8b6c5-{pod:05x}", name(number))}
        })
    };
    let mut metadata = named(&format!("{}-x7k2p", name(number)), number);
    metadata["labels"] = json!({"kubernetes.io/service-name": name(number)});
    json!({
        "metadata": metadata, "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": (0..ENDPOINTS).map(endpoint).collect::<Vec<_>>()
    })
}

fn node(number: u32) -> Value {
    let name = format!("node-{number:03}");
    json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"addresses": [{"type": "InternalIP", "address": address([10, 1, 0, 1], number)}]}})
}

/// A source that has said all, and what it has said.
struct Synced {
    source: Kubernetes,
    wanted: watch::Sender<BTreeSet<Query>>,
    services: Vec<FoundService>,
    pools: Vec<Event>,
}

fn queries(found: &FoundService) -> impl Iterator<Item = Query> {
    let Finding::Served(service) = &found.finding else { panic!("{found:?}") };
    let service: &Service = service;
    service.pool.sources().iter().filter_map(|id| match id {
        PoolId::Remote { query, .. } => Some(query.clone()),
        PoolId::File(_) => None,
    })
}

async fn sync(settings: KubernetesSettings) -> Synced {
    let (wanted, receiver) = watch::channel(BTreeSet::new());
    let (_, nothing_in_conflict) = watch::channel(BTreeMap::new());
    let mut source = Kubernetes::new("k8s".into(), settings, receiver, nothing_in_conflict);
    let (mut services, mut pools) = (Vec::new(), Vec::new());
    while services.is_empty() || pools.len() < services.len() {
        match source.next().await {
            Said::Services { services: found, .. } => {
                assert!(services.is_empty(), "they are said at once");
                wanted.send_replace(found.iter().flat_map(queries).collect());
                services = found;
            }
            Said::Pool { query, outcome } => {
                let pool = PoolId::Remote { source: "k8s".into(), query };
                pools.push(Event::PoolRead { pool, outcome });
            }
            Said::Stale(why) => panic!("{why}"),
            Said::Live | Said::Seen(_) => {}
            other => panic!("Kubernetes says {other:?}"),
        }
    }
    Synced { source, wanted, services, pools }
}

fn synced(services: u32) -> Synced {
    let api = Api::start(services);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(sync(api.settings()))
}

const CONFIGURATION: &str = "[source.k8s]\ntype = \"kubernetes\"\nclass = \"example.org/lvsd\"\n\
    address_pool = [{ name = \"all\", addresses = [\"198.18.0.0/15\"] }]\n";

fn said(services: Vec<FoundService>, whole: bool) -> Event {
    Event::ServicesSaid { source: "k8s".into(), services, whole }
}

#[test]
fn a_service_takes_no_more_memory_in_its_source_and_in_the_core_than_it_is_allowed() {
    let _alone = counted::alone();
    let count = 2000;
    let api = Api::start(count);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let each = |held: u64| held / u64::from(count);
    let before = counted::held();
    let Synced { source, wanted, services, pools } = runtime.block_on(sync(api.settings()));
    let mut balancer = Balancer::start(CONFIGURATION);
    let with_all = counted::held();
    balancer.take(said(services, true));
    pools.chunks(1024).for_each(|together| balancer.take(Event::Several(together.to_vec())));
    drop(pools);
    balancer.take(Event::SourceSaid { source: "k8s".into(), outcome: Ok(()) });
    balancer.wait();
    assert_eq!(balancer.told.wanted.table.len(), count as usize);
    let both = counted::held() - before;
    let (most_in_source, most_in_core) = (3200, 4050);
    drop((balancer, wanted));
    let alone = counted::held() - before;
    drop(source);
    println!(
        "bytes held for a Service with {ENDPOINTS} endpoints: {} in the source and {} in the core, of {} that were there while all was said",
        each(alone),
        each(both - alone),
        each(with_all - before),
    );
    let (in_source, in_core) = (each(alone), each(both - alone));
    assert!(in_source <= most_in_source, "{in_source} bytes in the source, {most_in_source} are allowed");
    assert!(in_core <= most_in_core, "{in_core} bytes in the core, {most_in_core} are allowed");
}

#[test]
fn a_start_with_thousands_of_services_has_a_few_lines_and_is_written_down_a_few_times() {
    let _alone = counted::alone();
    let Synced { services, pools, .. } = synced(3000);
    let mut balancer = Balancer::start(CONFIGURATION);
    balancer.take(said(services, true));
    let heard: Vec<Vec<Event>> = pools.chunks(1024).map(<[Event]>::to_vec).collect();
    let times = heard.len();
    heard.into_iter().for_each(|together| balancer.take(Event::Several(together)));
    balancer.take(Event::SourceSaid { source: "k8s".into(), outcome: Ok(()) });
    balancer.wait();
    let (lines, writings) = (balancer.told.lines, balancer.told.writings);
    println!("{lines} lines and {writings} writings for what was heard {times} times");
    // Of each time: that services are pooled, and that VIPs can be announced. Beside: that lvsd is ready.
    assert!(lines <= 3 * times, "{lines} lines");
    assert!(writings <= 4 * times + 4, "{writings} writings");
}

/// Bytes that the core allocates for each service: while all are said in one list and their pools are, and while they are said
/// one after the other and heard together.
fn costs(count: u32) -> [u64; 2] {
    let Synced { services, pools, .. } = synced(count);
    let each = |bytes: u64| bytes / u64::from(count);
    let mut balancer = Balancer::start(CONFIGURATION);
    let begin = counted::allocated();
    balancer.take(said(services.clone(), true));
    balancer.take(Event::Several(pools));
    let all = counted::allocated() - begin;
    assert_eq!(balancer.told.wanted.table.len(), count as usize);
    let mut balancer = Balancer::start(CONFIGURATION);
    balancer.take(said(Vec::new(), true));
    let one_by_one = services.into_iter().map(|found| said(vec![found], false)).collect();
    let begin = counted::allocated();
    balancer.take(Event::Several(one_by_one));
    [each(all), each(counted::allocated() - begin)]
}

#[test]
fn a_service_costs_the_core_no_more_among_thousands_than_among_hundreds() {
    let _alone = counted::alone();
    let (few, many) = (200, 1600);
    let (among_few, among_many) = (costs(few), costs(many));
    println!(
        "bytes for each service, in a list and one by one: {among_few:?} among {few}, {among_many:?} among {many}"
    );
    for (few, many) in among_few.into_iter().zip(among_many) {
        assert!(many < few * 3 / 2, "{many} bytes for a service, {few} among a few");
    }
}
