//! What is beside the table: timeouts, sync daemons, counters, the version.

use std::num::{NonZeroU8, NonZeroU16};
use std::process::Command;

use ipvs::{
    Control, Daemon, DaemonRole, Ipvs, Refusal, Settings, SyncGroup, SyncMaxLen, TimeoutSeconds, Timeouts,
    diff_settings,
};

use super::ipvsadm::ipvsadm;
use super::{Checked, Failure, same};

/// The interface that daemons are bound to.
const INTERFACE: &str = "sync0";

/// Brings the settings to what is wanted and gives the number of writes.
async fn reach_settings(ipvs: &Ipvs, want: &Settings) -> Result<usize, Failure> {
    let controls = diff_settings(&ipvs.settings().await?, want);
    let count = controls.len();
    for result in ipvs.control(controls).await? {
        result?;
    }
    same("writes that are left", &diff_settings(&ipvs.settings().await?, want), &Vec::new())?;
    Ok(count)
}

pub(super) async fn timeouts(ipvs: &Ipvs) -> Checked {
    let before = ipvs.settings().await?;
    let seconds = |seconds| TimeoutSeconds::new(seconds).map(Some);
    let mut want = before.clone();
    want.timeouts = Timeouts { tcp: seconds(100)?, tcp_fin: seconds(50)?, udp: None };
    same("writes", &reach_settings(ipvs, &want).await?, &1)?;
    let left = before.timeouts.udp.map_or(0, TimeoutSeconds::get);
    let expected = format!("Timeout (tcp tcpfin udp): 100 50 {left}");
    same("what ipvsadm says", &ipvsadm(&["-L", "-n", "--timeout"])?.trim().to_owned(), &expected)?;
    let longest = Timeouts { udp: Some(TimeoutSeconds::MAX), ..Timeouts::NONE };
    for result in ipvs.control(vec![Control::SetTimeouts(longest)]).await? {
        result?;
    }
    ipvsadm(&["--set", "7", "0", "0"])?;
    let read = ipvs.settings().await?.timeouts;
    same(
        "after ipvsadm's turn",
        &read,
        &Timeouts { tcp: seconds(7)?, tcp_fin: seconds(50)?, udp: longest.udp },
    )?;
    reach_settings(ipvs, &before).await?;
    Ok(before.timeouts.to_string())
}

pub(super) async fn daemons(ipvs: &Ipvs) -> Checked {
    let ip = |arguments: &[&str]| -> Result<(), Failure> {
        let status = Command::new("ip").args(arguments).status()?;
        if status.success() { Ok(()) } else { Err(format!("ip {arguments:?}: {status}").into()) }
    };
    ip(&["link", "add", INTERFACE, "type", "dummy"])?;
    ip(&["link", "set", INTERFACE, "up"])?;
    ip(&["address", "add", "10.77.0.1/24", "dev", INTERFACE])?;
    let checked = daemons_on(ipvs).await;
    ip(&["link", "delete", INTERFACE])?;
    checked
}

async fn daemons_on(ipvs: &Ipvs) -> Checked {
    let before = ipvs.settings().await?;
    let master = Daemon::new(INTERFACE.parse()?, 5);
    let backup = Daemon::new(INTERFACE.parse()?, 6)
        .with_group(SyncGroup::new("239.1.2.3".parse()?)?)
        .with_port(NonZeroU16::new(9000).ok_or("port 0")?)
        .with_ttl(NonZeroU8::new(5).ok_or("ttl 0")?)
        .with_max_len(SyncMaxLen::MIN);
    let want = Settings { master: Some(master.clone()), backup: Some(backup.clone()), ..before.clone() };
    same("writes", &reach_settings(ipvs, &want).await?, &2)?;
    has_begun();
    let said = ipvsadm(&["-L", "--daemon"])?;
    for line in [
        "master sync daemon (mcast=sync0, syncid=5, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)",
        "backup sync daemon (mcast=sync0, syncid=6, maxlen=1024, group=239.1.2.3, port=9000, ttl=5)",
    ] {
        if !said.contains(line) {
            return Err(format!("ipvsadm says {said:?}, not {line:?}").into());
        }
    }
    let missing = Daemon::new("none-such".parse()?, 5);
    let (start, stop) = (
        |role, daemon: &Daemon| Control::StartDaemon { role, daemon: daemon.clone() },
        |role| Control::StopDaemon { role },
    );
    let cases = [
        (start(DaemonRole::Master, &master), Some(Refusal::Exists)),
        (stop(DaemonRole::Master), None),
        (stop(DaemonRole::Master), Some(Refusal::NoDaemon)),
        (start(DaemonRole::Master, &missing), Some(Refusal::NoInterface)),
    ];
    let results = ipvs.control(cases.iter().map(|(control, _)| control.clone()).collect()).await?;
    for ((control, refusal), result) in cases.into_iter().zip(results) {
        same(&control.to_string(), &result.err().map(|error| error.refusal), &refusal)?;
    }
    let v6 = backup.with_group(SyncGroup::new("ff02::81".parse()?)?).with_max_len(SyncMaxLen::new(1300)?);
    let want = Settings { master: None, backup: Some(v6), ..before.clone() };
    same("writes of a change", &reach_settings(ipvs, &want).await?, &2)?;
    has_begun();
    same("writes of the end", &reach_settings(ipvs, &before).await?, &1)?;
    Ok(String::new())
}

/// Gives the kernel's threads time to begin: of stopping one that has not, it says nothing at all (`kthread_stop` gives
/// EINTR, for which there is no acknowledgement).
fn has_begun() {
    std::thread::sleep(std::time::Duration::from_millis(200));
}

pub(super) async fn version(ipvs: &Ipvs) -> Checked {
    let info = ipvs.info().await?;
    let (major, minor, patch) = info.version;
    let expected = format!("version {major}.{minor}.{patch} (size={})", info.connection_table_size);
    let said = ipvsadm(&["-L", "-n"])?;
    if !said.contains(&expected) {
        return Err(format!("ipvsadm says {said:?}, not {expected:?}").into());
    }
    Ok(expected)
}
