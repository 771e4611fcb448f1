//! The crate `ipvs` against a real kernel: its own program, in a namespace of its own.

use anyhow::{Result, ensure};
use lab::host::Host;
use lab::kernel::built;
use lab::world::World;

pub(crate) fn the_kernel_keeps_the_contract_of_ipvs(world: &World) -> Result<()> {
    let host = Host::create("lb1", world.directory())?;
    // Without a single address a namespace has no table of local ones, and every destination is refused.
    host.run(&["ip", "link", "set", "lo", "up"])?;
    // A kernel may be built without the persistence engine of SIP; where it is there it is to be tried.
    let has_sip = world.load(&["ip_vs_pe_sip"]).inspect_err(|error| println!("{error:#}")).is_ok();
    let program = built("examples/ipvs_kernel_contract")?;
    let output = host.output(&[&program.to_string_lossy()])?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    ensure!(output.status.success(), "{}:\n{said}", output.status);
    let tried_sip = !said.contains("NOT TRIED: persistence engine");
    ensure!(tried_sip || !has_sip, "persistence engine sip is loaded and was not tried:\n{said}");
    Ok(())
}
