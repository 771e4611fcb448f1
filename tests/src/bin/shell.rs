//! A shell in the demo's network, with lvsd running: `make lab`.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use lab::configuration::Configuration;
use lab::kernel::{Console, Run, built};
use lab::network::Lab;
use lab::program::run_twice;
use lab::site::Site;
use lab::world::World;

/// A working day; the shell ends the lab before.
const LIMIT: Duration = Duration::from_secs(8 * 3600);

const GUIDE: &str = "
  namespaces   client  r1 r2 (BIRD)  lb1 lb2 (lvsd)  rs1 rs2 rs3 (nginx)
  the service  web, port 80 on 192.0.2.10 and 2001:db8::10

  ip netns exec client curl -s http://192.0.2.10/          who answers?
  ip netns exec client curl -s 'http://[2001:db8::10]/'
  ip netns exec lb1 ipvsadm -Ln                            the kernel's table
  lb1 status      lb1 depool rs2      lb1 why rs2          lvsctl on lb1 (lb2: the same)
  birdc -s /run/lab/r1/bird.ctl show route                 a router's view
  rm /run/lab/rs1/healthy ; touch /run/lab/rs1/healthy     rs1's health page says 503, and 200 again
  less /run/lab/lb1/lvsd.toml                              lvsd's configuration

  Logs are in $LOGS. `exit` ends the lab.
";

fn main() -> ExitCode {
    run_twice("lab", inside, || Run::new("shell", LIMIT, Console::Terminal)?.pass())
}

fn inside(world: &World) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let site = Site::start_with(lab, |_, asn| Configuration::with_web(asn))?;
    println!("{}", GUIDE.replace("$LOGS", &world.directory().display().to_string()));
    let lvsctl = built("lvsctl")?;
    let mut profile = String::from("PS1='lab# '\n");
    for name in ["lb1", "lb2"] {
        let socket = lab::host::files_of(name).join("control.sock");
        profile += &format!("{name}() {{ '{}' --socket {} \"$@\"; }}\n", lvsctl.display(), socket.display());
    }
    let file = site.lab.client.files().join("profile");
    std::fs::write(&file, profile)?;
    // A session of its own with the console as its terminal, so that ^C reaches what runs in it.
    Command::new("setsid")
        .args(["--ctty", "--wait", "bash", "--noprofile", "--rcfile"])
        .arg(file)
        .arg("-i")
        .status()
        .context("run the shell")?;
    Ok(())
}
