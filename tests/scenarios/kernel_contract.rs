//! The crate `ipvs` against a real kernel: its own program, in a namespace of its own.

use anyhow::Result;
use lab::host::Host;
use lab::kernel::built;
use lab::world::World;

pub(crate) fn the_kernel_keeps_the_contract_of_ipvs(world: &World) -> Result<()> {
    let host = Host::create("lb1", world.directory())?;
    let program = built("examples/ipvs_kernel_contract")?;
    print!("{}", host.run(&[&program.to_string_lossy()])?);
    Ok(())
}
