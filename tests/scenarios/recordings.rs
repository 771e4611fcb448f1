//! What lvsd records and goes through again.

use std::process::Command;

use anyhow::{Result, ensure};
use lab::kernel::built;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, v4};
use lab::site::{LIMIT, SERVERS, Site, WEIGHT, web};
use lab::table;
use lab::wait::wait_until;
use lab::world::World;

pub(crate) fn a_recording_replays_to_the_same_actions_byte_for_byte(world: &World) -> Result<()> {
    let mut site = Site::start(world)?;
    let host = site.lab.balancers[0].clone();
    let file = host.files().join("lvsd.rec");
    let lvsd = &mut site.balancers[0];
    lvsd.stop(LIMIT)?;
    lvsd.record_to(&file);
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    let first = v4(SERVERS[0]).into();
    let weighs = |weight: u32| {
        wait_until("the kernel follows", LIMIT, || {
            table::weights(&host, web(&FIRST)[0]).is_ok_and(|weights| weights.get(&first) == Some(&weight))
        })
    };
    lvsd.ctl(&["depool", "rs1", "--reason", "a recording"])?;
    weighs(0)?;
    lvsd.ctl(&["pool", "rs1"])?;
    weighs(WEIGHT)?;
    host.run(&["ipvsadm", "-C"])?;
    weighs(WEIGHT)?;
    lvsd.kill()?;
    lvsd.start_again()?;
    lvsd.wait_ready(LIMIT)?;
    lvsd.ctl(&["weight", "rs1", "3"])?;
    weighs(3)?;
    lvsd.stop(LIMIT)?;

    let replay = || -> Result<(Vec<u8>, String)> {
        let output = Command::new(built("lvsd")?).arg("replay").arg(&file).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "lvsd replay: {}: {said}", output.status);
        Ok((output.stdout, said))
    };
    let (actions, said) = replay()?;
    println!("{}", said.trim());
    ensure!(said.contains("2 processes"), "the killed and the stopped one are in it: {said}");
    ensure!(replay()?.0 == actions, "a second replay prints others");
    let text = String::from_utf8(actions)?;
    for words in ["\"sync_ipvs\"", "rs1 is depooled", "rs1 gets the weight 3"] {
        ensure!(text.contains(words), "no action has {words}");
    }
    is_compared_with_what_was_done(lvsd, &file)
}

/// An event that is other than it was leads to other actions, and the replay says so.
fn is_compared_with_what_was_done(lvsd: &Lvsd, file: &std::path::Path) -> Result<()> {
    let recorded = std::fs::read_to_string(file)?;
    let forged = lvsd.host().files().join("forged.rec");
    std::fs::write(&forged, recorded.replace("\"host\":\"rs1\"", "\"host\":\"rs2\""))?;
    let output = Command::new(built("lvsd")?).arg("replay").arg(&forged).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(1) && said.contains("differs at event"),
        "{}: {said}",
        output.status
    );
    Ok(())
}
