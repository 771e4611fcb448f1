//! What lvsd is monitored with: a real Prometheus reads what lvsd says under traffic, and has an answer to each question of
//! the dashboard and of the alerts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::bird::{Bird, Settings};
use lab::configuration::{Configuration, Service};
use lab::host::Host;
use lab::kernel::{Console, Run};
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4, v6};
use lab::prometheus::Prometheus;
use lab::site::BALANCERS;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

use crate::checks::{Authority, Good, NAME, Secured};

/// What is run inside, for the test outside.
pub(crate) const INSIDE: [crate::Scenario; 1] = [("what_lvsd_says_under_traffic", says)];

/// Longest wait for anything here.
const LIMIT: Duration = Duration::from_secs(120);

/// Pages that are kept, each with other counters than the one before.
const PAGES: usize = 3;

/// lvsd with everything that has metrics: a canary, a certificate, BFD, import rules, nodes, a source, a fleet. The source,
/// and so the fleet's etcd, is away, and so are the nodes and the second router, the one with BFD: that shows, too.
fn configuration(host: &Host) -> String {
    let web = Service { canary: true, ..Service::new("web", &FIRST) };
    let text = Configuration { services: vec![web], ..Configuration::with_web(BALANCERS[0]) }.render(host);
    let own: [std::net::IpAddr; 2] = [v4(1).into(), v6(1).into()];
    let mut text = text.replace("[[bgp.peer]]\nname = \"r2", "[[bgp.peer]]\nbfd = true\nname = \"r2");
    for own in own {
        let end = format!("local_address = \"{own}\"\n");
        let rule = "[[bgp.peer.import]]\naction = \"accept\"\n";
        text = text.replace(&end, &format!("{end}max_prefixes = 100\n{rule}"));
    }
    let https = format!(
        "\n[[service.web.checks]]\ntype = \"https\"\nport = 443\nhost = \"{NAME}\"\nurl = \"/healthz\"\n\
         verify = false\ninterval = \"1s\"\ntimeout = \"5s\"\n\n[[service.web.backends]]"
    );
    text.replacen("\n[[service.web.backends]]", &https, 1)
        + &format!(
            "\n[service.cached]\nvips = [\"192.0.2.20\"]\nport = 80\nchecks = [{{ type = \"tcp\" }}]\n\
             pool = {{ source = \"conftool\", path = \"eqiad/cache/text\" }}\n\
             \n[source.conftool]\ntype = \"etcd\"\nendpoints = [\"http://{0}:2379\"]\n\
             \n[fleet]\nsource = \"conftool\"\n\
             \n[nodes]\nmode = \"static\"\nlocal_ipv4 = \"{0}\"\nlocal_ipv6 = \"{1}\"\n\
             [[nodes.node]]\nname = \"n1\"\naddresses = [\"{2}\"]\nasn = 64512\n[[nodes.pool]]\ncidr = \"10.67.0.0/16\"\n",
            own[0],
            own[1],
            v4(21)
        )
}

/// Inside: keeps a few pages of a balancer that has something to do.
fn says(world: &World) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let servers = lab.start_servers()?;
    let authority = Authority::new()?;
    let mut secured = Vec::new();
    for host in &lab.servers {
        authority.certify(host, Good::ForYears)?;
        secured.push(Secured::start(host)?);
    }
    let _bird = Bird::start(&lab.routers[0], &Settings::of_router(0, BALANCERS))?;
    let host = &lab.balancers[0];
    host.sysctl(&[("net.ipv4.conf.eth0.accept_local", "1")])?;
    let mut lvsd = Lvsd::start_with(host, &configuration(host))?;
    lvsd.wait_ready(LIMIT)?;
    let is = |series: &str, wanted: f64| lvsd.metric(series).is_ok_and(|found| found == wanted);
    wait_until("everything that can be up is", LIMIT, || {
        is("lvsd_bgp_established{peer=\"r1-v4\"}", 1.0)
            && is("lvsd_bgp_taken_prefixes{family=\"ipv4\",peer=\"r1-v4\"}", 1.0)
            && is(&format!("lvsd_canary_up{{service=\"web\",vip=\"{}\"}}", FIRST[0]), 1.0)
            && lvsd.metric("lvsd_certificate_expiry_timestamp_seconds{service=\"web\"}").is_ok()
    })?;
    let load = Load { rate: 10, kept_alive: 2, ..Load::usual(&FIRST) };
    let traffic = Traffic::start(&lab.client, &load)?;
    traffic.let_pass(20)?;
    let mut before = -1.0;
    for page in 0..PAGES {
        servers[2].set_healthy(page % 2 == 1)?;
        lvsd.ctl(&["depool", "rs1", "--reason", "something to do"])?;
        lvsd.ctl(&["pool", "rs1"])?;
        let counted = || lvsd.metric("lvsd_service_connections_total{family=\"ipv4\",service=\"web\"}");
        wait_until("the kernel has counted more", LIMIT, || counted().is_ok_and(|now| now > before))?;
        before = counted()?;
        fs::write(world.directory().join(format!("metrics-{page}.txt")), lvsd.http("/metrics")?)?;
    }
    traffic.stop().map(drop)
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Outside: the whole of it.
pub(crate) fn a_prometheus_scrapes_lvsd_and_has_data_for_each_question_of_the_dashboard() -> Result<()> {
    let run = Run::new(INSIDE[0].0, crate::LIMIT, Console::File)?;
    run.pass()?;
    let read = |page| fs::read_to_string(run.directory.join(format!("metrics-{page}.txt")));
    let pages = (0..PAGES).map(read).collect::<Result<Vec<String>, _>>()?;
    follows_the_convention(&run.directory.join("metrics-0.txt"))?;
    let prometheus = Prometheus::start(
        &run.directory.join("prometheus"),
        pages,
        &root("systemd/prometheus/lvsd-rules.yml"),
    )?;
    prometheus.wait_for_scrapes(PAGES + 2, LIMIT)?;
    let mut missing = Vec::new();
    for question in questions()? {
        if prometheus.values(&question)?.iter().all(|value| value.is_nan()) {
            missing.push(question);
        }
    }
    ensure!(missing.is_empty(), "no data for {missing:#?}");
    let rules = prometheus.rules()?;
    ensure!(rules.len() > 15, "{rules:?}");
    // One that was not evaluated yet is neither ill nor well.
    let ill = || -> Result<Vec<_>> {
        Ok(prometheus.rules()?.into_iter().filter(|(_, health)| health != "ok").collect())
    };
    wait_until("Prometheus evaluates all rules", LIMIT, || ill().is_ok_and(|ill| ill.is_empty()))
        .map(drop)
        .with_context(|| format!("{:?}", ill()))
}

/// Names, units and help texts, as Prometheus' own tool wants them.
fn follows_the_convention(page: &Path) -> Result<()> {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(fs::File::open(page)?);
    let output = command.output().context("run promtool (package prometheus)")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.trim().is_empty(), "promtool check metrics: {said}");
    Ok(())
}

/// What the dashboard asks, with its variables as they are when everything is chosen.
fn questions() -> Result<Vec<String>> {
    let text = fs::read_to_string(root("systemd/grafana-lvsd.json"))?;
    let dashboard: serde_json::Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().context("the dashboard has panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let questions: Vec<String> = targets
        .filter_map(|target| target["expr"].as_str())
        .map(|expression| {
            expression.replace("$instance", ".*").replace("$service", ".*").replace("$__rate_interval", "1m")
        })
        .collect();
    ensure!(questions.len() > 50, "{} questions", questions.len());
    Ok(questions)
}
