//! One of thousands of services is changed in the configuration, which is read again (keepalived#2318: 100 s).

use std::fs;

use anyhow::{Context, Result};
use lab::lvsd::Lvsd;
use lab::measure::figures::{Report, Required};
use lab::site::LIMIT;

use crate::operator::{BACKEND, EDITED, Watch, once};
use crate::size::{Pool, Size, WEIGHT, balancer};

const SIZES: [Size; 2] = [Size { services: 1000, backends: 10 }, Size { services: 10_000, backends: 10 }];

/// Reloads, half of them back to what was.
const TIMES: usize = 10;

/// Measures it: from the new file's name to the kernel.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    for size in SIZES {
        let services = size.services;
        println!("a reload of {services} services, one of which is changed, {TIMES} times:");
        let (host, _servers) = balancer(&format!("reload{services}"))?;
        let plain = size.lvsd(&host, Pool::Inline);
        let edited = edited(&plain).context("no weight to change in the configuration")?;
        let mut lvsd = Lvsd::start_with(&host, &plain)?;
        lvsd.wait_ready(LIMIT)?;
        let watch = Watch::start(&host, services - 1)?;
        let (file, new) = (lvsd.configuration_file(), host.files().join("new.toml"));
        let mut samples = Vec::new();
        for (text, weight) in [(&edited, EDITED), (&plain, WEIGHT)].into_iter().cycle().take(TIMES) {
            fs::write(&new, text)?;
            samples.push(once(&watch, weight, || {
                fs::rename(&new, &file)?;
                lvsd.reload()
            })?);
        }
        let name = format!("reload with one of {services} services changed: rename, SIGHUP -> kernel");
        report.latency(&name, samples, Required::Nothing)?;
        lvsd.kill()?;
    }
    Ok(())
}

/// With another weight of one backend of the last service.
fn edited(plain: &str) -> Option<String> {
    let backend = plain.rfind(&format!("host = \"b{BACKEND}\""))?;
    let (before, rest) = plain.split_at(backend);
    Some(before.to_owned() + &rest.replacen(&format!("weight = {WEIGHT}"), &format!("weight = {EDITED}"), 1))
}
