//! What is looked at when an alert fires, each with what it is about.

use super::{CONFIGURATION, configure, of_the_site, start_with, systemctl};
use crate::reader::Reader;
use crate::site::Site;
use anyhow::Result;
use lab::guest::run;
use std::fs;

pub(super) fn whole(reader: &mut Reader, site: &mut Site) -> Result<()> {
    start_with(&of_the_site(reader)?)?;
    the_process(reader)?;
    routers(reader, site)?;
    servers(reader, site)?;
    a_change_that_is_held_back(reader)?;
    what_the_kernel_refuses(reader)?;
    nodes(reader)
}

fn page(alert: &str) -> String {
    format!("docs/runbooks/{alert}.md")
}

fn the_process(reader: &mut Reader) -> Result<()> {
    reader.types(&page("LvsdDown"), "$ curl -s localhost:9090/healthz")?;
    reader.types(&page("LvsdFileDescriptorsNearLimit"), "$ grep 'open files'")?;
    // The guest's kernel does not tell of pressure, a Debian's own does.
    reader.types_but(&page("LvsdLoopLag"), "$ top", &[("cat /proc/pressure/cpu", 1)])?;
    reader.types(&page("LvsdChecksLate"), "$ lvsctl doctor")?;
    reader.types(&page("LvsdRestarting"), "$ journalctl")?;
    systemctl("stop")?;
    let exits = [("systemctl status lvsd", 3), ("lvsctl status", 3)];
    reader.types_but(&page("LvsdDown"), "$ systemctl status lvsd", &exits)?;
    systemctl("start")
}

fn routers(reader: &mut Reader, site: &mut Site) -> Result<()> {
    let bird = reader.fenced("README.md", "bird", "### Its routers")?;
    let with_bfd = bird.replace("neighbor ", "bfd on; neighbor ")
        + &reader.fenced("docs/bgp.md", "bird", "In BIRD 2 on the router, with `bfd on`")?;
    site.r1.start(&with_bfd)?;
    let text = of_the_site(reader)?.replacen("name = \"r1-v4\"", "name = \"r1-v4\"\nbfd = true", 1);
    start_with(&text)?;
    lab::wait::wait_until("BFD is up", std::time::Duration::from_secs(60), || {
        run("lvsctl", &["bgp", "neighbor", "r1-v4"]).is_ok_and(|text| text.contains("BFD: Up"))
    })?;
    site.r1.stop()?;
    reader.types(&page("LvsdBfdDown"), "$ lvsctl bgp neighbor r1-v4 | grep -i bfd")?;
    start_with(&of_the_site(reader)?)?;
    reader.types(&page("LvsdBgpSessionDown"), "$ lvsctl bgp")?;
    reader.types(&page("LvsdAllRoutersLost"), "$ lvsctl bgp")?;
    site.r1.start(&bird)
}

fn servers(reader: &mut Reader, site: &mut Site) -> Result<()> {
    site.servers[1].nginx.kill()?;
    reader.types(&page("LvsdBackendDown"), "$ lvsctl why rs2")?;
    site.servers[2].nginx.set_stopped(true)?;
    reader.types(&page("LvsdPoolBelowThreshold"), "$ lvsctl status web")?;
    site.servers[0].nginx.kill()?;
    reader.types(&page("LvsdVipNotAnnounced"), "$ lvsctl status | grep 192.0.2.10")?;
    site.servers[2].nginx.set_stopped(false)?;
    site.servers[0].returns()?;
    site.servers[1].returns()
}

fn a_change_that_is_held_back(reader: &mut Reader) -> Result<()> {
    let pool = |servers: &[&str]| {
        let members: Vec<String> =
            servers.iter().map(|name| format!("\"{name}\": {{\"weight\": 10}}")).collect();
        fs::write("/etc/lvsd/web.new", format!("{{{}}}\n", members.join(", ")))?;
        fs::rename("/etc/lvsd/web.new", "/etc/lvsd/web.json").map_err(anyhow::Error::from)
    };
    pool(&["rs1", "rs2", "rs3"])?;
    let text = of_the_site(reader)?;
    let (before, _) = text.split_once("[[service.web.backends]]").unwrap_or_default();
    let (_, routers) = text.split_once("\n[[bgp.peer]]\nname = \"r2-v4\"").unwrap_or_default();
    let before = before.replacen("port = 80", "port = 80\npool_file = \"web.json\"", 1);
    let addresses =
        "[service.web.addresses]\nrs1 = [\"10.64.0.11\"]\nrs2 = [\"10.64.0.12\"]\nrs3 = [\"10.64.0.13\"]\n";
    start_with(&format!("{before}{addresses}\n[[bgp.peer]]\nname = \"r2-v4\"{routers}"))?;
    pool(&["rs1"])?;
    reader.types(&page("LvsdChangeHeldBack"), "$ lvsctl status | grep 'lets it through'")?;
    fs::write("/etc/lvsd/web.json", "{\n  \"rs2\": {},\n   \"rs1\": {\"weight\": -1}\n}\n")?;
    let said = "lvsctl status web | sed -n 's/.*\\(web.json:.*\\)/\\1/p'";
    reader.sees("docs/configuration.md", "web.json:3:22:", said, 0)
}

/// A module that cannot be loaded.
fn what_the_kernel_refuses(reader: &mut Reader) -> Result<()> {
    fs::write("/etc/modprobe.d/refused.conf", "install ip_vs_lblcr /bin/false\n")?;
    let text = of_the_site(reader)?.replacen("scheduler = \"mh\"", "scheduler = \"lblcr\"", 1);
    run("bash", &["-ec", "systemctl stop lvsd; ipvsadm --clear"])?;
    configure(&text)?;
    run("systemctl", &["start", "--no-block", "lvsd"])?;
    reader.types(&page("LvsdNotReady"), "$ curl -s localhost:9090/readyz")?;
    reader.types_but(
        &page("LvsdKernelOutOfStep"),
        "$ lvsctl status | grep 'kernel refused'",
        &[("lvsctl diff", 9)],
    )?;
    fs::remove_file("/etc/modprobe.d/refused.conf")?;
    start_with(&of_the_site(reader)?)
}

/// A node that says nothing.
fn nodes(reader: &mut Reader) -> Result<()> {
    let text = fs::read_to_string(CONFIGURATION)?
        + "\n[nodes]\nmode = \"static\"\n\n[[nodes.node]]\nname = \"n1\"\naddresses = [\"10.64.0.13\"]\n\
           \n[[nodes.pool]]\ncidr = \"10.67.0.0/16\"\n";
    start_with(&text)?;
    reader.types(&page("LvsdNodePeerMissing"), "$ lvsctl nodes")?;
    reader.types(&page("LvsdNodeRoutesAlarmed"), "$ lvsctl nodes")?;
    reader.types("docs/nodes.md", "$ lvsctl nodes")?;
    start_with(&of_the_site(reader)?)
}
