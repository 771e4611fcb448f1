//! Has exactly the wanted VIPs, as /32 and /128, on a dummy device of lvsd's own.
//!
//! Everything on that device is ours, save the link-local address that the kernel gives it; nothing on any other
//! device is looked at.

use super::{Backoff, Mode};
use crate::core::Event;
use crate::engine::Inbox;
use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use rtnetlink::{Handle as Rtnetlink, LinkDummy, LinkUnspec};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// The handles by which the engine drives the executor.
#[derive(Debug)]
pub struct Handle {
    wanted: watch::Sender<Option<BTreeSet<IpAddr>>>,
    read: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Starts the executor for a device, which it makes when the first addresses are wanted; in a dry run it says that they
    /// are there. What the device has
    /// already is reported at once.
    ///
    /// # Errors
    /// When no netlink socket can be had.
    pub fn spawn(device: String, inbox: Inbox, mode: Mode) -> std::io::Result<Self> {
        let (connection, rtnetlink, _) = rtnetlink::new_connection()?;
        let (wanted, wanted_rx) = watch::channel(None);
        let read = Arc::new(Notify::new());
        let executor = Executor { rtnetlink, device, inbox, mode, reported: None, backoff: Backoff::new() };
        let notified = Arc::clone(&read);
        let task = tokio::spawn(async move {
            // The connection is the socket's driver; it ends with the executor.
            tokio::select! {
                () = connection => tracing::error!("the rtnetlink connection has ended"),
                () = executor.run(wanted_rx, notified) => {}
            }
        });
        Ok(Self { wanted, read, task })
    }

    /// Wants exactly these addresses from now on.
    pub fn set(&self, addresses: BTreeSet<IpAddr>) {
        self.wanted.send_replace(Some(addresses));
    }

    /// Has the device read again and repaired.
    pub fn read(&self) {
        self.read.notify_one();
    }

    /// Ends the executor where it is: the addresses stay.
    pub fn stop(&self) {
        self.task.abort();
    }
}

struct Executor {
    rtnetlink: Rtnetlink,
    device: String,
    inbox: Inbox,
    mode: Mode,
    reported: Option<(BTreeSet<IpAddr>, Vec<String>)>,
    backoff: Backoff,
}

impl Executor {
    async fn run(mut self, mut wanted: watch::Receiver<Option<BTreeSet<IpAddr>>>, read: Arc<Notify>) {
        loop {
            let want = wanted.borrow_and_update().clone();
            let (present, failures) = self.round(want.as_ref()).await;
            let pause = if failures.is_empty() {
                self.backoff.reset();
                None
            } else {
                Some(self.backoff.next())
            };
            self.report(present, failures).await;
            let retry = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            // Every branch can be dropped at any point: a watch, a permit and a timer lose nothing.
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = read.notified() => {}
                () = retry => {}
            }
        }
    }

    /// Brings the device to what is wanted. Gives what it has, and what went wrong.
    async fn round(&self, want: Option<&BTreeSet<IpAddr>>) -> (BTreeSet<IpAddr>, Vec<String>) {
        if let Some(want) = want.filter(|_| self.mode.is_dry()) {
            return (want.clone(), Vec::new());
        }
        let index = match self.device_index(want.is_some_and(|want| !want.is_empty())).await {
            Ok(Some(index)) => index,
            Ok(None) => return (BTreeSet::new(), Vec::new()),
            Err(error) => return (BTreeSet::new(), vec![error]),
        };
        let mut have = match self.read(index).await {
            Ok(have) => have,
            Err(error) => return (BTreeSet::new(), vec![format!("addresses of {}: {error}", self.device)]),
        };
        let mut failures = Vec::new();
        let Some(want) = want else { return (have.into_keys().collect(), failures) };
        for address in want {
            if !have.contains_key(address) {
                match self.add(index, *address).await {
                    Ok(()) => drop(have.insert(*address, AddressMessage::default())),
                    Err(error) => failures.push(format!("adding {address} to {}: {error}", self.device)),
                }
            }
        }
        for (address, message) in have.clone() {
            if !want.contains(&address) {
                match self.rtnetlink.address().del(message).execute().await {
                    Ok(()) => drop(have.remove(&address)),
                    Err(error) => failures.push(format!("removing {address} from {}: {error}", self.device)),
                }
            }
        }
        (have.into_keys().collect(), failures)
    }

    /// The device's index; it is made if it is missing and `make` says so, and brought up.
    async fn device_index(&self, make: bool) -> Result<Option<u32>, String> {
        if let Some(index) = self.find().await {
            return Ok(Some(index));
        }
        if !make {
            return Ok(None);
        }
        let message = LinkDummy::new(&self.device).up().build();
        if let Err(error) = self.rtnetlink.link().add(message).execute().await {
            return Err(format!(
                "making the dummy device {}: {error}; it needs CAP_NET_ADMIN and the kernel's module dummy",
                self.device
            ));
        }
        let index = self.find().await.ok_or_else(|| format!("{} was made but is not there", self.device))?;
        let up = LinkUnspec::new_with_index(index).up().build();
        self.rtnetlink
            .link()
            .set(up)
            .execute()
            .await
            .map_err(|e| format!("bringing {} up: {e}", self.device))?;
        tracing::info!(device = self.device, "made the device for the VIPs");
        Ok(Some(index))
    }

    async fn find(&self) -> Option<u32> {
        let mut links = self.rtnetlink.link().get().match_name(self.device.clone()).execute();
        links.try_next().await.ok().flatten().map(|link| link.header.index)
    }

    /// Our addresses on the device.
    async fn read(&self, index: u32) -> Result<BTreeMap<IpAddr, AddressMessage>, rtnetlink::Error> {
        let mut messages = self.rtnetlink.address().get().set_link_index_filter(index).execute();
        let mut have = BTreeMap::new();
        while let Some(message) = messages.try_next().await? {
            let is_own = message.header.scope != AddressScope::Link;
            let address = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
            if let Some(address) = address.filter(|_| is_own) {
                have.insert(address, message);
            }
        }
        Ok(have)
    }

    async fn add(&self, index: u32, address: IpAddr) -> Result<(), rtnetlink::Error> {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let mut request = self.rtnetlink.address().add(index, address, length);
        if request.message_mut().header.family == AddressFamily::Inet6 {
            // Without it the address is tentative at first, and unusable for a second.
            request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        request.execute().await
    }

    async fn report(&mut self, present: BTreeSet<IpAddr>, failures: Vec<String>) {
        let report = (present, failures);
        if self.reported.as_ref() != Some(&report) {
            self.reported = Some(report.clone());
            self.inbox.event(Event::AddressesSynced { present: report.0, failures: report.1 }).await;
        }
    }
}
