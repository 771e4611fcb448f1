//! Another configuration while requests go on.

use std::fs;

use anyhow::{Result, ensure};
use lab::configuration::Configuration;
use lab::network::{FIRST, SECOND};
use lab::site::{BALANCERS, LIMIT, Site, both, web};
use lab::table;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

pub(crate) fn a_reload_adds_and_removes_a_service_and_the_other_goes_on(world: &World) -> Result<()> {
    let site = Site::start(world)?;
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(100)?;
    let configure = |change: fn(Configuration) -> Configuration| -> Result<()> {
        for (lvsd, asn) in site.balancers.iter().zip(BALANCERS) {
            lvsd.configure(&change(Configuration::with_web(asn)))?;
            lvsd.reload()?;
        }
        Ok(())
    };
    configure(Configuration::and_second)?;
    site.expect_routes(&SECOND, &both())?;
    let second = Traffic::start(&site.lab.client, &Load { kept_alive: 0, ..Load::usual(&SECOND) })?;
    second.let_pass(200)?;
    second.stop()?.expect_no_failure()?;

    configure(|same| same)?;
    site.expect_routes(&SECOND, &[])?;
    let is_gone = |host| table::weights(host, web(&SECOND)[0]).is_ok_and(|weights| weights.is_empty());
    wait_until("the second service is gone", LIMIT, || site.lab.balancers.iter().all(is_gone))?;
    traffic.let_pass(100)?;
    traffic.stop()?.expect_no_failure()
}

pub(crate) fn a_configuration_with_errors_is_refused_and_the_old_one_goes_on(world: &World) -> Result<()> {
    let mut site = Site::start(world)?;
    let lvsd = &mut site.balancers[0];
    ensure!(lvsd.check_configuration()?.status.success(), "check-config refuses what lvsd runs with");
    let file = lvsd.configuration_file();
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replace("port = 80", "port = 80000").replace("[lvsd]", "[lvsd]\nhtpp = \"off\""))?;
    let refused = lvsd.ctl_output(&["reload"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success(), "a wrong configuration was taken");
    ensure!(lvsd.check_configuration()?.status.code() == Some(1), "check-config takes a wrong configuration");
    for word in ["lvsd.toml:", "80000", "htpp"] {
        ensure!(said.contains(word), "the refusal does not name {word}: {said}");
    }
    ensure!(lvsd.is_running(), "lvsd ended of a wrong configuration");
    site.expect_routes(&FIRST, &both())?;
    let traffic = Traffic::start(&site.lab.client, &Load::usual(&FIRST))?;
    traffic.let_pass(100)?;
    traffic.stop()?.expect_no_failure()
}
