//! Checks over TLS, agents, and several checks together.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::agent::{Agent, PORT};
use lab::configuration::{Configuration, Routers};
use lab::host::{Host, Process};
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab, v4};
use lab::site::{BALANCERS, LIMIT, SERVERS, WEIGHT};
use lab::table::weights;
use lab::wait::wait_until;
use lab::world::World;
use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, KeyPair, date_time_ymd};

/// The name that the servers' certificates are for.
pub(crate) const NAME: &str = "www.example.org";

const TIMING: &str = "interval = \"200ms\"\ntimeout = \"30s\"\nfall = 2\nrise = 2";

/// An authority of the scenario's own.
pub(crate) struct Authority(CertifiedKey);

/// nginx with TLS on a server, beside the one that clients use.
pub(crate) struct Secured {
    host: Host,
    process: Process,
}

/// Until when a certificate is good.
#[derive(Clone, Copy)]
pub(crate) enum Good {
    ForYears,
    NoMore,
}

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key_pair = KeyPair::generate()?;
        let cert = params.self_signed(&key_pair)?;
        Ok(Self(CertifiedKey { cert, key_pair }))
    }

    /// Writes a certificate for [`NAME`] and its key into the host's folder.
    pub(crate) fn certify(&self, host: &Host, good: Good) -> Result<()> {
        let mut params = CertificateParams::new(vec![NAME.to_owned()])?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = match good {
            Good::ForYears => date_time_ymd(2100, 1, 1),
            Good::NoMore => date_time_ymd(2021, 1, 1),
        };
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0.cert, &self.0.key_pair)?;
        fs::write(host.files().join("cert.pem"), certificate.pem())?;
        fs::write(host.files().join("key.pem"), key.serialize_pem())?;
        Ok(())
    }
}

impl Secured {
    pub(crate) fn start(host: &Host) -> Result<Self> {
        let files = host.files();
        let files = files.display();
        let text = format!(
            "master_process off;\ndaemon off;\npid {files}/tls.pid;\nerror_log stderr notice;\nevents {{}}\n\
             http {{ access_log off; client_body_temp_path {files}/tls-body; proxy_temp_path {files}/tls-proxy;\n\
             fastcgi_temp_path {files}/tls-fastcgi; uwsgi_temp_path {files}/tls-uwsgi; scgi_temp_path {files}/tls-scgi;\n\
             server {{ listen 0.0.0.0:443 ssl; listen [::]:443 ssl ipv6only=on;\n\
             ssl_certificate {files}/cert.pem; ssl_certificate_key {files}/key.pem;\n\
             location = /healthz {{ if (!-f {files}/healthy) {{ return 503; }} return 200 \"fine\\n\"; }} }} }}\n"
        );
        let file = host.files().join("tls.conf");
        fs::write(&file, text)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&file).args(["-e", "stderr"]);
        Ok(Self { host: host.clone(), process: host.spawn("nginx-tls", command)? })
    }

    /// Starts it again, with what is in its folder now.
    fn renew(&mut self) -> Result<()> {
        self.process.kill()?;
        *self = Self::start(&self.host)?;
        Ok(())
    }
}

/// A balancer's configuration with these checks, and what else its service says.
fn configuration(host: &Host, settings: &str, checks: &[&str]) -> String {
    let text = Configuration { routers: Routers::None, ..Configuration::with_web(BALANCERS[0]) }.render(host);
    let begin = text.find("\n[[service.web.checks]]").unwrap_or(text.len());
    let end = text.find("\n[[service.web.backends]]").unwrap_or(text.len());
    let checks = checks.iter().map(|check| format!("\n[[service.web.checks]]\n{check}\n{TIMING}\n"));
    format!("{}{settings}\n{}{}", &text[..begin], checks.collect::<String>(), &text[end..])
}

fn weight_of(host: &Host, last: u16) -> Option<u32> {
    let weights: BTreeMap<IpAddr, u32> = weights(host, SocketAddr::new(FIRST[0], 80)).unwrap_or_default();
    weights.get(&v4(last).into()).copied()
}

fn expect(host: &Host, last: u16, wanted: u32) -> Result<Duration> {
    let what = format!("weight {wanted} of .{last}");
    wait_until(&what, LIMIT, || weight_of(host, last) == Some(wanted))
}

/// Waits until `lvsctl why` says this of a server.
fn expect_said(lvsd: &Lvsd, server: &str, wanted: &str) -> Result<()> {
    let says = || lvsd.ctl(&["why", server]).is_ok_and(|text| text.contains(wanted));
    let waited = wait_until(&format!("{server}: {wanted}"), LIMIT, says);
    waited.map(drop).with_context(|| lvsd.ctl(&["why", server]).unwrap_or_default())
}

pub(crate) fn agents_weigh_certificates_expire_and_any_of_two_checks_is_enough(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    let servers = lab.start_servers()?;
    let authority = Authority::new()?;
    let (mut secured, mut agents) = (Vec::new(), Vec::new());
    for host in &lab.servers {
        authority.certify(host, Good::ForYears)?;
        secured.push(Secured::start(host)?);
        agents.push(Agent::start(host)?);
    }
    let host = &lab.balancers[0];
    fs::write(host.files().join("ca.pem"), authority.0.cert.pem())?;
    let https =
        format!("type = \"https\"\nport = 443\nhost = \"{NAME}\"\nurl = \"/healthz\"\nca = \"ca.pem\"");
    let agent = format!("type = \"agent\"\nport = {PORT}");
    let mut lvsd = Lvsd::start_with(host, &configuration(host, "", &[&https, &agent]))?;
    lvsd.wait_ready(LIMIT)?;
    SERVERS.iter().try_for_each(|last| expect(host, *last, WEIGHT).map(drop))?;

    agents[1].say("50%");
    expect(host, SERVERS[1], WEIGHT / 2)?;
    agents[1].say("drain #disk");
    expect(host, SERVERS[1], 0)?;
    expect_said(&lvsd, "rs2", "agent-drain")?;
    agents[1].say("up ready 100%");
    expect(host, SERVERS[1], WEIGHT)?;

    servers[0].set_healthy(false)?;
    expect(host, SERVERS[0], 0)?;
    expect_said(&lvsd, "rs1", "503")?;
    servers[0].set_healthy(true)?;
    expect(host, SERVERS[0], WEIGHT)?;

    authority.certify(&lab.servers[2], Good::NoMore)?;
    secured[2].renew()?;
    expect(host, SERVERS[2], 0)?;
    expect_said(&lvsd, "rs3", "expired")?;
    authority.certify(&lab.servers[2], Good::ForYears)?;
    secured[2].renew()?;
    expect(host, SERVERS[2], WEIGHT)?;
    expect_said(&lvsd, "rs3", "the certificate expires at 2100-01-01")?;
    // Of all checks the one that expires first: those of the other family follow.
    let expiry = || lvsd.metric("lvsd_certificate_expiry_timestamp_seconds{service=\"web\"}");
    wait_until("the metric says so", LIMIT, || expiry().is_ok_and(|expiry| expiry > 4e9))?;

    lvsd.configure_with(&configuration(host, "require = \"any\"", &[&https, "type = \"tcp\""]))?;
    lvsd.reload()?;
    expect_said(&lvsd, "rs1", "all of its 2 checks pass")?;
    servers[0].set_healthy(false)?;
    expect_said(&lvsd, "rs1", "1 of its 2 checks pass, 1 must")?;
    ensure!(weight_of(host, SERVERS[0]) == Some(WEIGHT), "one check that passes was not enough");
    lvsd.stop(LIMIT)?;
    Ok(())
}
