//! From the package to the first service and what is done with it: README.md and docs/getting-started.md.

use super::{configure, systemctl};
use crate::reader::Reader;
use crate::site::Site;
use anyhow::{Result, ensure};
use lab::guest::run;
use std::fs;

pub(super) fn whole(reader: &mut Reader, site: &mut Site) -> Result<()> {
    the_package(reader)?;
    the_servers(reader, site)?;
    the_first_service(reader, site)?;
    what_readme_shows(reader, site)?;
    slips(reader)
}

fn the_package(reader: &mut Reader) -> Result<()> {
    // As `make deb` leaves it, and as it was brought to the balancer.
    fs::create_dir_all("/root/target/deb")?;
    run(
        "bash",
        &["-ec", "cd /host && cp $(ls lvsd_*.deb | grep -v later) /root && cp /root/*.deb /root/target/deb"],
    )?;
    reader.types("README.md", "make deb")?;
    reader.types_but("docs/getting-started.md", "apt install", &[("lvsctl doctor", 0)])?;
    reader.types("docs/installation.md", "make deb")
}

fn the_servers(reader: &mut Reader, site: &Site) -> Result<()> {
    reader.go_to(Some("rs1"), "/root");
    reader.types("README.md", "install -Dm 644 /usr/share/doc/lvsd/examples/60-lvsd-real-server.conf")?;
    reader.go_to(Some("rs3"), "/usr/share/doc/lvsd/examples");
    reader.types("docs/getting-started.md", "cp 60-lvsd-real-server.conf")?;
    reader.go_to(None, "/root");
    for server in [&site.servers[0], &site.servers[2]] {
        let set = server.host.run(&[
            "sysctl",
            "-n",
            "net.ipv4.conf.all.arp_ignore",
            "net.ipv4.conf.all.arp_announce",
        ])?;
        ensure!(set == "1\n2\n", "{}: {set}", server.host.name());
        let addresses = server.host.run(&["ip", "address", "show", "dev", "lo"])?;
        ensure!(addresses.contains(" 192.0.2.10/32 "), "{addresses}");
    }
    fs::remove_file("/etc/sysctl.d/60-lvsd-real-server.conf")?;
    site.servers.iter().try_for_each(crate::site::Server::has_the_vips)
}

fn the_first_service(reader: &mut Reader, site: &mut Site) -> Result<()> {
    site.r1.start(&reader.fenced("README.md", "bird", "### Its routers")?)?;
    configure(&reader.fenced("docs/getting-started.md", "toml", "## 4. The first service")?)?;
    reader.types("docs/getting-started.md", "lvsd check-config")?;
    reader.types("docs/getting-started.md", "lvsctl depool rs1 --reason 'first try'")
}

fn what_readme_shows(reader: &mut Reader, site: &mut Site) -> Result<()> {
    configure(&reader.fenced("README.md", "toml", "## A first balancer")?)?;
    reader.types("README.md", "lvsd check-config")?;
    reader.types_but("README.md", "$ lvsctl depool rs2", &[("lvsctl depool rs1", 5)])?;
    run("lvsctl", &["weight", "rs3", "--reset"])?;
    site.servers[0].nginx.kill()?;
    reader.types("README.md", "$ lvsctl why rs1")?;
    site.servers[0].returns()
}

fn slips(reader: &mut Reader) -> Result<()> {
    let good = reader.fenced("README.md", "toml", "## A first balancer")?;
    configure(&good.replacen("port = 80", "prot = 80", 1))?;
    reader.types_but("README.md", "$ lvsctl reload", &[("lvsctl reload", 7)])?;
    reader.types_but(
        "docs/runbooks/LvsdConfigurationRefused.md",
        "$ lvsd check-config",
        &[("lvsd check-config", 1)],
    )?;
    configure(&good)?;
    systemctl("reload")?;
    reader.types("docs/configuration.md", "lvsd check-config")?;
    let mut lines = vec![""; 66];
    for (line, text) in [
        (7, "[lvsd]"),
        (8, "drain_timout = \"10s\""),
        (28, "[service.web]"),
        (29, "vips = [\"192.0.2.10\"]"),
        (31, "port = 70000"),
        (32, "checks = []"),
        (33, "backends = [{ host = \"rs1\" }]"),
        (48, "[service.a]"),
        (50, "vips = [\"192.0.2.20\"]"),
        (51, "port = 443"),
        (52, "checks = []"),
        (53, "backends = [{ host = \"rs1\" }]"),
        (62, "[service.tls]"),
        (64, "vips = [\"192.0.2.20\", \"2001:db8::20\"]"),
        (65, "port = 443\nchecks = []"),
        (66, "backends = [{ host = \"rs1\" }]"),
    ] {
        lines[line - 1] = text;
    }
    fs::write("/root/lvsd.toml", lines.join("\n") + "\n")?;
    reader.sees("docs/configuration.md", "lvsd.toml:8:1:", "lvsd check-config lvsd.toml", 1)
}
