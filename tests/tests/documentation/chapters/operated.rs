//! What an operator types: docs/operations.md.

use super::{of_the_site, start_with, systemctl};
use crate::reader::Reader;
use crate::site::Site;
use anyhow::Result;
use lab::guest::run;

const PAGE: &str = "docs/operations.md";

pub(super) fn whole(reader: &mut Reader, site: &mut Site) -> Result<()> {
    site.start_second_router()?;
    start_with(&of_the_site(reader)?)?;
    reader.means("…", "status");
    // Nobody is lb2, and no route of a router's is taken.
    let exits = [("lvsctl --host lb2", 3), ("lvsctl bgp rib in", 4)];
    reader.types_but(PAGE, "lvsctl status [SERVICE]", &exits)?;
    reader.types(PAGE, "lvsctl depool HOST")?;
    run("lvsctl", &["weight", "rs1", "--reset"])?;
    reader.types(PAGE, "lvsctl vip withdraw VIP")?;
    reader.types("docs/runbooks/LvsdVipWordForgotten.md", "$ lvsctl status -o wide")?;
    reader.types(PAGE, "curl --unix-socket /run/lvsd/control.sock http://localhost/v1/openapi.json")?;
    run("lvsctl", &["pool", "rs1"])?;
    reader.types(PAGE, "lvsctl drain --balancer --reason 'kernel upgrade' --wait 5m")?;
    reader.types("docs/runbooks/LvsdDrainForgotten.md", "$ lvsctl status | head -2")?;
    run("lvsctl", &["undrain"])?;
    // The sysctls are the package's.
    reader.types_but(PAGE, "lvsctl plan FILE", &[("lvsctl resync --sort", 5)])?;
    reader.types(PAGE, "sysctl -w net.ipv4.vs.expire_nodest_conn=0")?;
    reader.types(PAGE, "lvsctl doctor [-v] [-o json] [--config FILE]")?;
    let broken = "ip address del 192.0.2.10/32 dev lvsd0; sysctl -qw net.ipv4.vs.sloppy_tcp=0; lvsctl doctor";
    reader.sees(PAGE, "error    VIP 192.0.2.10 is not on lvsd0", broken, 8)?;
    run("sysctl", &["-qw", "net.ipv4.vs.sloppy_tcp=1"])?;
    the_log(reader)?;
    a_recording(reader)
}

fn the_log(reader: &mut Reader) -> Result<()> {
    reader.types(PAGE, "journalctl -u lvsd")?;
    let lines = "journalctl -u lvsd -o cat | sed 's/^/lvsd[812]: /'";
    reader.sees(PAGE, "lvsd[812]: web: rs2 (10.64.0.12)", lines, 0)?;
    // Ctrl-C ends it.
    reader.types(PAGE, "lvsctl events --since 30m")?;
    reader.types(PAGE, "lvsctl log-level info,bgp=debug")
}

/// By hand, in place of the unit's process.
fn a_recording(reader: &mut Reader) -> Result<()> {
    systemctl("stop")?;
    reader.go_to(None, "/var/lib/lvsd");
    reader.types(PAGE, "lvsd --record /var/lib/lvsd/lvsd.rec")?;
    reader.go_to(None, "/root");
    run("bash", &["-ec", "rm /var/lib/lvsd/lvsd.rec; chown -R lvsd: /var/lib/lvsd; rm -rf /run/lvsd"])?;
    systemctl("start")
}
