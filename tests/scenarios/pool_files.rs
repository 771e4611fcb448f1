//! Pools that are written in files, by people and by other programs.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use lab::configuration::{Configuration, Service};
use lab::network::{FIRST, Lab};
use lab::site::{LIMIT, SERVERS, Site};
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

const POOL: &str = "pools/web.json";
const WHOLE: &str = r#"{"rs1": {"weight": 10}, "rs2": {"weight": 10}, "rs3": {"weight": 10}}"#;

pub(crate) fn a_pool_file_is_followed_and_a_broken_one_changes_nothing(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    for host in &lab.balancers {
        fs::create_dir_all(host.files().join("pools"))?;
        fs::write(host.files().join(POOL), WHOLE)?;
    }
    let site = Site::start_with(lab, |_, asn| {
        let web = Service { pool_file: Some(POOL), ..Service::new("web", &FIRST) };
        Configuration { services: vec![web], ..Configuration::with_web(asn) }
    })?;
    let traffic = Traffic::start(&site.lab.client, &Load { kept_alive: 0, ..Load::usual(&FIRST) })?;

    // In place, and by renaming a new file over it.
    write(&site, &WHOLE.replace(r#""rs2": {"weight": 10}"#, r#""rs2": {"weight": 10, "pooled": "no"}"#))?;
    site.expect_weight(SERVERS[1], 0)?;
    rename(&site, &WHOLE.replace(r#""rs3": {"weight": 10}"#, r#""rs3": {"weight": 4}"#))?;
    site.expect_weight(SERVERS[2], 4)?;
    site.expect_weight(SERVERS[1], 10)?;

    let file = site.lab.balancers[0].files().join(POOL);
    for broken in [
        "",
        "{}",
        r#"{"rs1": {"wei"#,
        r#"{"rs1": {"weight": -1}}"#,
        r#"{"rs1": {"weight": 70000}}"#,
        r#"["rs1"]"#,
    ] {
        refuses(&site, &file, broken)?;
    }
    site.expect_weight(SERVERS[2], 4)?;
    traffic.let_pass(100)?;
    traffic.stop()?.expect_no_failure()
}

/// Each refusal is counted and told with the file's name.
fn refuses(site: &Site, file: &Path, text: &str) -> Result<()> {
    let lvsd = &site.balancers[0];
    let errors = || -> u64 {
        let status = lvsd.ctl_json(&["status"]).unwrap_or_default();
        status["services"][0]["source_errors"].as_u64().unwrap_or_default()
    };
    let before = errors();
    fs::write(file, text)?;
    wait_until(&format!("{text:?} is counted as an error"), LIMIT, || errors() > before)?;
    let status = lvsd.ctl_json(&["status"])?;
    let said = status["services"][0]["source_error"].as_str().unwrap_or_default();
    ensure!(said.contains("web.json"), "the error of {text:?} does not name the file: {said}");
    Ok(())
}

fn write(site: &Site, text: &str) -> Result<()> {
    Ok(site.lab.balancers.iter().try_for_each(|host| fs::write(host.files().join(POOL), text))?)
}

fn rename(site: &Site, text: &str) -> Result<()> {
    for host in &site.lab.balancers {
        let new = host.files().join("pools/.web.json.new");
        fs::write(&new, text)?;
        fs::rename(new, host.files().join(POOL))?;
    }
    Ok(())
}
