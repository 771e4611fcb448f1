//! What is asked of the kernel. Another program can write between two questions, so answers are not atomic.

use std::collections::BTreeMap;

use nix::errno::Errno;
use tracing::debug;

use super::Error;
use super::socket::{Connection, Outcome};
use crate::model::{Entry, Info, ServiceKey, Settings, Snapshot, Timeouts};
use crate::wire::{self, DecodeError};

/// Reads everything: all services, then the destinations of each.
pub(super) fn table(connection: &mut Connection) -> Result<Snapshot, Error> {
    let mut snapshot = Snapshot::default();
    let mut entries = dump_services(connection, &mut snapshot)?;
    let keys: Vec<ServiceKey> = entries.keys().copied().collect();
    for key in keys {
        let mut there = true;
        if let Some(entry) = entries.get_mut(&key) {
            dump_destinations(connection, &key, entry, &mut snapshot)?;
            // A service that another program deleted after the first dump has no destinations either.
            there = !entry.destinations.is_empty() || exists(connection, &key)?;
        }
        if !there {
            entries.remove(&key);
            snapshot.service_statistics.remove(&key);
        }
    }
    snapshot.table = entries.into_iter().collect();
    Ok(snapshot)
}

fn dump_services(
    connection: &mut Connection,
    snapshot: &mut Snapshot,
) -> Result<BTreeMap<ServiceKey, Entry>, Error> {
    let doing = "read the services";
    let mut entries = BTreeMap::new();
    let outcome = connection.ask(doing, &wire::Request::DumpServices, |attributes| {
        if let Some(record) = supported(doing, wire::service(attributes), snapshot)? {
            snapshot.service_statistics.insert(record.key, record.statistics);
            entries.insert(record.key, Entry::new(record.service));
        }
        Ok(())
    })?;
    finished(doing, outcome)?;
    Ok(entries)
}

fn dump_destinations(
    connection: &mut Connection,
    service: &ServiceKey,
    entry: &mut Entry,
    snapshot: &mut Snapshot,
) -> Result<(), Error> {
    let doing = "read the destinations of a service";
    let mut newest_first = Vec::new();
    let outcome = connection.ask(doing, &wire::Request::DumpDestinations(service), |attributes| {
        if let Some(record) = supported(doing, wire::destination(attributes, service.family()), snapshot)? {
            snapshot.connections.insert((*service, record.key), record.connections);
            snapshot.destination_statistics.insert((*service, record.key), record.statistics);
            entry.destinations.insert(record.key, record.destination);
            newest_first.push(record.key);
        }
        Ok(())
    })?;
    finished(doing, outcome)?;
    newest_first.reverse();
    snapshot.insert_order(*service, entry.service.scheduler(), newest_first);
    Ok(())
}

fn exists(connection: &mut Connection, service: &ServiceKey) -> Result<bool, Error> {
    let doing = "read a service";
    match connection.ask(doing, &wire::Request::GetService(service), |_| Ok(()))? {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(Error::kernel(doing, errno)),
    }
}

/// Another program's entry that the model has no words for is counted and passed over; a damaged one is an error.
fn supported<T>(
    doing: &'static str,
    record: Result<T, DecodeError>,
    snapshot: &mut Snapshot,
) -> Result<Option<T>, Error> {
    match record {
        Ok(record) => Ok(Some(record)),
        Err(error @ DecodeError::Unsupported { .. }) => {
            debug!(error = &error as &dyn std::error::Error, "an entry of another program is passed over");
            snapshot.unsupported += 1;
            Ok(None)
        }
        Err(source) => Err(Error::Decode { doing, source }),
    }
}

fn finished(doing: &'static str, outcome: Outcome) -> Result<(), Error> {
    outcome.map_err(|errno| Error::kernel(doing, errno))
}

/// Reads what is beside the table.
pub(super) fn settings(connection: &mut Connection) -> Result<Settings, Error> {
    let mut settings = Settings { timeouts: timeouts(connection)?, ..Settings::default() };
    let doing = "read the sync daemons";
    let outcome = connection.ask(doing, &wire::Request::DumpDaemons, |attributes| {
        let (role, daemon) = wire::daemon(attributes).map_err(|source| Error::Decode { doing, source })?;
        settings.set_daemon(role, Some(daemon));
        Ok(())
    })?;
    finished(doing, outcome)?;
    Ok(settings)
}

fn timeouts(connection: &mut Connection) -> Result<Timeouts, Error> {
    one(connection, "read the timeouts", &wire::Request::GetTimeouts, wire::timeouts)
}

/// Asks which IPVS this is.
pub(super) fn info(connection: &mut Connection) -> Result<Info, Error> {
    one(connection, "ask IPVS for its version", &wire::Request::GetInfo, wire::info)
}

/// Asks for what comes in one message.
fn one<T>(
    connection: &mut Connection,
    doing: &'static str,
    request: &wire::Request<'_>,
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, Error> {
    let mut answer = None;
    let outcome = connection.ask(doing, request, |attributes| {
        answer = Some(decode(attributes).map_err(|source| Error::Decode { doing, source })?);
        Ok(())
    })?;
    finished(doing, outcome)?;
    answer.ok_or(Error::Decode { doing, source: DecodeError::Missing { name: "answer" } })
}
