//! Checks that go a client's way: probes by VIP, canaries.

use super::{of_the_site, project, start_with, systemctl};
use crate::reader::Reader;
use crate::site::Site;
use anyhow::Result;
use lab::guest::run;

const PAGE: &str = "docs/operations.md";

pub(super) fn whole(reader: &mut Reader, _site: &mut Site) -> Result<()> {
    canaries(reader)?;
    probes(reader)
}

/// Without accept_local a balancer does not take the VIP's own answer.
fn canaries(reader: &mut Reader) -> Result<()> {
    let canary = "\n[service.web.canary]\ntype = \"http\"\nurl = \"/\"\ninterval = \"500ms\"\n";
    start_with(&(of_the_site(reader)? + canary))?;
    run("sysctl", &["-qw", "net.ipv4.conf.eth0.accept_local=0"])?;
    reader.types(PAGE, "$ lvsctl status web")?;
    reader.types("docs/runbooks/LvsdCanaryDown.md", "$ lvsctl status web | grep canary")?;
    reader.types(PAGE, "sysctl -w net.ipv4.conf.eth0.accept_local=1")
}

fn probes(reader: &mut Reader) -> Result<()> {
    run("modprobe", &["macvlan"])?;
    let by_vip = "\n[[service.web.checks]]\ntype = \"tcp\"\npath = \"vip\"\n\n[[probes.segment]]\ninterface = \"eth0\"\n\
        addresses = [\"10.64.0.201/24\", \"fd00:64::201/64\"]\n";
    start_with(&(of_the_site(reader)? + by_vip))?;
    reader.go_to(None, &project()?.display().to_string());
    reader.types(PAGE, "install -m 644 systemd/lvsd-probe-namespace.service")?;
    reader.go_to(None, "/root");
    reader.types(PAGE, "ip netns exec lvsd-probes ip rule")?;
    run("systemctl", &["stop", "lvsd-probes"])?;
    let units = "systemctl status lvsd-probe-namespace lvsd-probes";
    reader.types_but("docs/runbooks/LvsdProbesMissing.md", "$ systemctl status", &[(units, 3)])?;
    run("systemctl", &["stop", "lvsd-probe-namespace"])?;
    run("bash", &["-ec", "rm /etc/systemd/system/lvsd-probe*.service; systemctl daemon-reload"])?;
    systemctl("restart")
}
