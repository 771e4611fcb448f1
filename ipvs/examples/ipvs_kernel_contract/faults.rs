//! Lost answers, other writers, and modules that go away.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use ipvs::{
    Error, ErrorKind, Family, Ipvs, Op, Options, Protocol, Scheduler, ServiceKey, Table, diff, foreign,
};

use super::full_table::big_table;
use super::ipvsadm::ipvsadm;
use super::{Checked, Failure, entry, plain, reach, same, service_key};

/// A receive buffer that holds a few answers: writes that succeed need no more, and of those that fail none is taken for
/// done.
pub(super) async fn overrun() -> Checked {
    let options = Options { receive_buffer_bytes: 1, ..Options::default() };
    let ipvs = Ipvs::open(options)?;
    let want: Table = big_table()?.iter().take(100).map(|(key, entry)| (*key, entry.clone())).collect();
    reach(&ipvs, &want).await?;
    let again = want.keys().map(|&key| Op::NewService { key, service: want_service(&want, &key) });
    let Err(error) = ipvs.apply(again.collect()).await else {
        return Err("no answer was lost".into());
    };
    same("what to do about it", &error.kind(), &ErrorKind::Resync)?;
    same("what is left to do", &diff(&ipvs.dump().await?.table, &want, &BTreeSet::new()), &Vec::new())?;
    reach(&ipvs, &Table::new()).await?;
    Ok(format!("{error}"))
}

fn want_service(table: &Table, key: &ServiceKey) -> ipvs::Service {
    table.get(key).expect("a key of the table").service.clone()
}

pub(super) async fn foreign_service(ipvs: &Ipvs) -> Checked {
    ipvsadm(&["-A", "-t", "203.0.113.1:443", "-s", "rr", "-p", "60", "-M", "255.0.255.0"])?;
    ipvsadm(&["-a", "-t", "203.0.113.1:443", "-r", "10.9.9.9:443", "-m", "-w", "3"])?;
    let have = ipvs.dump().await?.table;
    let key = service_key(Family::V4, Protocol::Tcp, 1);
    let want = Table::from_iter([(key, entry(plain(Scheduler::Wrr)?, Family::V4, 2)?)]);
    let owned = BTreeSet::from([key]);
    same("foreign services", &foreign(&have, &want, &owned), &1)?;
    for ops in [diff(&have, &want, &owned), diff(&want, &Table::new(), &owned)] {
        for result in ipvs.apply(ops).await? {
            result?;
        }
    }
    same("the table afterwards", &ipvs.dump().await?.table, &have)?;
    ipvsadm(&["-D", "-t", "203.0.113.1:443"])?;
    Ok(String::new())
}

pub(super) async fn foreign_writer(ipvs: &Ipvs) -> Checked {
    const ROUNDS: u32 = 30;
    let other = Ipvs::open(Options::default())?;
    let want: Table = big_table()?.iter().take(60).map(|(key, entry)| (*key, entry.clone())).collect();
    let owned: BTreeSet<ServiceKey> = want.keys().copied().collect();
    reach(ipvs, &want).await?;
    let writer = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            let gone = diff(&want, &Table::new(), &owned);
            let back = diff(&Table::new(), &want, &owned);
            for result in other.apply(gone.into_iter().chain(back).collect()).await? {
                result.map_err(Box::new)?;
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(want)
    });
    let mut dumps = 0;
    while !writer.is_finished() {
        ipvs.dump().await?;
        dumps += 1;
        tokio::task::yield_now().await;
    }
    let want = writer.await?.map_err(|error| error.to_string())?;
    same("the table afterwards", &ipvs.dump().await?.table, &want)?;
    reach(ipvs, &Table::new()).await?;
    Ok(format!("{dumps} dumps in {ROUNDS} rounds"))
}

/// While another writer adds and deletes its services, ours are brought from one table to another.
pub(super) async fn writing_beside_a_foreign_writer(ipvs: &Ipvs) -> Checked {
    const ROUNDS: usize = 60;
    let (theirs, ours): (Vec<_>, Vec<_>) = big_table()?
        .iter()
        .take(80)
        .map(|(key, entry)| (*key, entry.clone()))
        .partition(|(key, _)| key.family() == Family::V6);
    let (theirs, ours): (Table, Table) = (theirs.into_iter().collect(), ours.into_iter().collect());
    let stay: Table = theirs.iter().skip(10).map(|(key, entry)| (*key, entry.clone())).collect();
    let (other, all) = (Ipvs::open(Options::default())?, theirs.clone());
    let writer = tokio::spawn(async move {
        let keys: BTreeSet<ServiceKey> = all.keys().copied().collect();
        for _ in 0..ROUNDS {
            other.apply(diff(&Table::new(), &all, &keys)).await?;
            other.apply(diff(&all, &Table::new(), &keys)).await?;
            tokio::task::yield_now().await;
        }
        other.apply(diff(&Table::new(), &stay, &keys)).await?;
        Ok::<_, Error>(stay)
    });
    let owned: BTreeSet<ServiceKey> = ours.keys().copied().collect();
    let mut rounds = 0;
    while !writer.is_finished() || rounds < 2 {
        for want in [&ours, &Table::new(), &ours] {
            let have = ipvs.dump().await?.table;
            for result in ipvs.apply(diff(&have, want, &owned)).await? {
                result?;
            }
            let have = ipvs.dump().await?.table;
            same("what is left to do", &diff(&have, want, &owned), &Vec::new())?;
            tokio::task::yield_now().await;
        }
        rounds += 1;
    }
    let stay = writer.await??;
    let expected: Table = stay.iter().chain(ours.iter()).map(|(key, entry)| (*key, entry.clone())).collect();
    same("the table afterwards", &ipvs.dump().await?.table, &expected)?;
    reach(ipvs, &Table::new()).await?;
    Ok(format!("{rounds} times over"))
}

/// The modules of this kernel's IPVS, schedulers first, as far as they can be taken out and put back.
fn modules() -> Result<Vec<(String, PathBuf)>, Failure> {
    let release = String::from_utf8(Command::new("uname").arg("-r").output()?.stdout)?;
    let roots = ["/usr/lib/uml/modules", "/lib/modules"];
    let directories =
        roots.map(|root| PathBuf::from(root).join(release.trim()).join("kernel/net/netfilter/ipvs"));
    let loaded = std::fs::read_to_string("/proc/modules")?;
    let mut modules = Vec::new();
    for line in loaded.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let file = directories
            .iter()
            .map(|directory| directory.join(format!("{name}.ko")))
            .find(|file| file.exists());
        if let (true, Some(file)) = (name.starts_with("ip_vs"), file) {
            modules.push((name.to_owned(), file));
        }
    }
    modules.sort_by_key(|(name, _)| name == "ip_vs");
    Ok(modules)
}

fn run(program: &str, argument: &std::ffi::OsStr) -> Result<bool, Failure> {
    Ok(Command::new(program).arg(argument).output()?.status.success())
}

/// IPVS goes away under an open handle and returns.
pub(super) async fn unloaded(ipvs: &Ipvs) -> Checked {
    let modules = modules()?;
    let in_use =
        Op::NewService { key: service_key(Family::V4, Protocol::Tcp, 1), service: plain(Scheduler::Rr)? };
    ipvs.apply(vec![in_use.clone()]).await?.into_iter().collect::<Result<Vec<()>, _>>()?;
    if run("rmmod", "ip_vs_rr".as_ref())? {
        return Err("a scheduler that is in use was unloaded".into());
    }
    ipvs.apply(vec![Op::DeleteService { key: in_use.service() }]).await?;
    let mut out = Vec::new();
    for (name, file) in &modules {
        if !run("rmmod", name.as_ref())? {
            break;
        }
        out.push(file);
    }
    let is_gone = !modules.is_empty() && out.len() == modules.len();
    let outcome = if is_gone { without_ipvs(ipvs).await } else { Ok(()) };
    for file in out.iter().rev() {
        if !run("insmod", file.as_os_str())? {
            return Err(format!("{} could not be loaded again", file.display()).into());
        }
    }
    outcome?;
    let key = service_key(Family::V4, Protocol::Tcp, 1);
    reach(ipvs, &Table::from_iter([(key, entry(plain(Scheduler::Mh)?, Family::V4, 3)?)])).await?;
    reach(ipvs, &Table::new()).await?;
    Ok(match is_gone {
        true => format!("{} modules out and in again", out.len()),
        false => format!("NOT TRIED: the kernel kept a module ({} of {} went)", out.len(), modules.len()),
    })
}

async fn without_ipvs(ipvs: &Ipvs) -> Result<(), Failure> {
    let key = service_key(Family::V4, Protocol::Tcp, 1);
    let written = ipvs.apply(vec![Op::NewService { key, service: plain(Scheduler::Rr)? }]).await;
    if matches!(&written, Ok(results) if results.iter().any(Result::is_ok)) {
        return Err("a write was done without IPVS".into());
    }
    // The first may only notice; from then on it is known what is missing.
    let _ = ipvs.dump().await;
    match ipvs.dump().await {
        Err(Error::NoIpvs) => Ok(()),
        other => Err(format!("without IPVS the kernel's table is {other:?}").into()),
    }
}
