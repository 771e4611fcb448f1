//! The other examples of this crate do what they say.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ipvs::Ipvs;

use super::ipvsadm::{ipvsadm, restore};
use super::random::all_kinds;
use super::{Checked, Failure, reach, same};

/// The program of an example, which lies beside this one.
fn example(name: &str) -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(format!("{} has not been built", path.display()).into()) }
}

pub(super) async fn table_is_ipvsadms(ipvs: &Ipvs) -> Checked {
    restore(&all_kinds()?)?;
    let printed = Command::new(example("table")?).output()?;
    let printed = String::from_utf8(printed.stdout)?;
    same("the table as printed", &printed, &ipvsadm(&["-L", "-n"])?)?;
    reach(ipvs, &ipvs::Table::new()).await?;
    Ok(format!("{} lines", printed.lines().count()))
}

/// Balances, and takes away what it added and no more, at the end of its input and on SIGTERM.
pub(super) async fn balance_cleans_up(ipvs: &Ipvs) -> Checked {
    ipvsadm(&["-A", "-t", "203.0.113.1:443", "-s", "rr"])?;
    let before = ipvs.dump().await?.table;
    for is_killed in [false, true] {
        let mut balance = Command::new(example("balance")?)
            .args(["192.0.2.10:80", "sh", "10.0.0.7:30", "10.0.0.8:10"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        let output = balance.stdout.take().ok_or("no output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut said)?;
        let lines = ipvsadm(&["-S", "-n"])?;
        for line in [
            "-A -t 192.0.2.10:80 -s sh -b sh-fallback,sh-port",
            "-r 10.0.0.7:80 -g -w 3",
            "-r 10.0.0.8:80 -g -w 1",
        ] {
            if !lines.contains(line) {
                return Err(format!("ipvsadm -Sn lacks {line:?}: {lines}").into());
            }
        }
        let mut input = balance.stdin.take().ok_or("no input")?;
        if is_killed {
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(balance.id().try_into()?),
                nix::sys::signal::Signal::SIGTERM,
            )?;
        } else {
            input.write_all(b"this is not the end")?;
            drop(input);
        }
        if !balance.wait()?.success() {
            return Err("balance failed".into());
        }
        same("the table afterwards", &ipvs.dump().await?.table, &before)?;
    }
    let refused = Command::new(example("balance")?)
        .args(["203.0.113.1:443", "rr", "10.0.0.7:1"])
        .stdin(Stdio::null())
        .output()?;
    same("the end of one that finds a service of another's", &refused.status.success(), &false)?;
    same("the table that it found", &ipvs.dump().await?.table, &before)?;
    ipvsadm(&["-D", "-t", "203.0.113.1:443"])?;
    Ok(String::new())
}
