//! Tables by chance, others in each run: what this crate writes, ipvsadm says; what ipvsadm writes, this crate reads.
//! `LAB_SEED=7` makes the same ones again.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::{SystemTime, UNIX_EPOCH};

use ipvs::{
    Destination, DestinationKey, Entry, Family, Forward, Ipvs, Persistence, Protocol, Scheduler,
    SchedulerFlags, Service, ServiceKey, Table, Tunnel, TunnelChecksum, Weight, diff,
};

use super::ipvsadm::{restore, saved};
use super::{Checked, Failure, reach, same};

const TABLES: u32 = 60;

/// What the random tables are made from.
const SEED: &str = "LAB_SEED";

/// Numbers that look random (xorshift), the same for the same seed, which is not 0.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from((self.0 >> 16) % u64::from(limit)).unwrap_or_default()
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len().try_into().unwrap_or(u32::MAX)) as usize].clone()
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    fn family(&mut self) -> Family {
        self.of(&[Family::V4, Family::V6])
    }

    /// Few, so that tables overlap.
    fn address(&mut self, family: Family) -> IpAddr {
        let last = 1 + self.below(12);
        match family {
            Family::V4 => Ipv4Addr::from(0x0a01_0000 + last).into(),
            Family::V6 => Ipv6Addr::from(0x2001_0db8_0000_0009_u128 << 64 | u128::from(last)).into(),
        }
    }

    fn service_key(&mut self) -> Result<ServiceKey, Failure> {
        let family = self.family();
        if self.below(5) == 0 {
            let mark = NonZeroU32::new(1 + self.below(3)).ok_or("mark 0")?;
            return Ok(ServiceKey::FwMark { family, mark });
        }
        let protocol = self.of(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
        Ok(ServiceKey::Address { protocol, address: self.address(family), port: self.of(&[53, 80, 65_535]) })
    }

    fn service(&mut self, key: &ServiceKey) -> Result<Service, Failure> {
        let family = key.family();
        let scheduler = self.of(&Scheduler::KNOWN);
        let mut flags = SchedulerFlags::NONE;
        if scheduler.takes_flags() {
            (flags.fallback, flags.port) = (self.yes(), self.yes());
        }
        let mut service = Service::new(scheduler, flags)?;
        if self.below(3) == 0 {
            let prefix_len = 1 + u8::try_from(self.below(family.max_prefix_len().into()))?;
            service = service.with_persistence(Persistence::new(1 + self.below(86_400), prefix_len, family)?);
        }
        let is_udp = matches!(key, ServiceKey::Address { protocol: Protocol::Udp, .. });
        Ok(if is_udp && self.yes() { service.with_one_packet() } else { service })
    }

    fn tunnel(&mut self) -> Result<Tunnel, Failure> {
        let port = NonZeroU16::new(u16::try_from(1 + self.below(65_535))?).ok_or("port 0")?;
        let checksum = self.of(&[TunnelChecksum::None, TunnelChecksum::Full, TunnelChecksum::Remote]);
        Ok(match self.below(3) {
            0 => Tunnel::IPIP,
            1 => Tunnel::gue(port, checksum),
            _ => Tunnel::gre(self.yes()),
        })
    }

    fn destination(&mut self, service: &ServiceKey) -> Result<(DestinationKey, Destination), Failure> {
        let address = match self.below(4) {
            0 => self.family(),
            _ => service.family(),
        };
        let address = self.address(address);
        let forward = if Family::of(address) != service.family() || self.below(3) == 0 {
            Forward::Tunnel(self.tunnel()?)
        } else {
            self.of(&[Forward::Masquerade, Forward::DirectRouting])
        };
        // ipvsadm gives a destination its service's port wherever the port is not translated.
        let port = match *service {
            ServiceKey::Address { port, .. } if forward != Forward::Masquerade => port,
            _ => self.of(&[53, 80, 8080]),
        };
        let upper = self.of(&[0, 1, 1000]);
        let weight = Weight::new(self.of(&[0, 1, 100, 65_535]))?;
        let destination = Destination::new(forward, weight).with_thresholds(upper, self.below(upper + 1))?;
        Ok((DestinationKey { address, port }, destination))
    }

    fn table(&mut self) -> Result<Table, Failure> {
        let mut table = Table::new();
        for _ in 0..self.below(9) {
            let key = self.service_key()?;
            let mut entry = Entry::new(self.service(&key)?);
            for _ in 0..self.below(7) {
                let (destination_key, destination) = self.destination(&key)?;
                entry.add(&key, destination_key, destination)?;
            }
            table.insert(key, entry);
        }
        Ok(table)
    }
}

/// A table with something of everything.
pub(super) fn all_kinds() -> Result<Table, Failure> {
    let mut chance = Chance(0x5eed);
    let mut all = Table::new();
    for _ in 0..8 {
        let table = chance.table()?;
        for (key, entry) in table.iter() {
            all.insert(*key, entry.clone());
        }
    }
    Ok(all)
}

/// The same table as far as `ipvsadm -S` tells: it leaves out thresholds.
fn without_thresholds(table: &Table) -> Table {
    let plain = |entry: &Entry| {
        let mut entry = entry.clone();
        for destination in entry.destinations.values_mut() {
            (destination.upper_threshold, destination.lower_threshold) = (0, 0);
        }
        entry
    };
    table.iter().map(|(key, entry)| (*key, plain(entry))).collect()
}

/// From the environment, or else from the clock.
fn seed() -> Result<u64, Failure> {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().map_err(|error| format!("{SEED}={seed}: {error}"))?,
        Err(_) => u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
    };
    Ok(seed)
}

/// From each table to the next by its diff, and each also from ipvsadm's hand.
pub(super) async fn random_tables(ipvs: &Ipvs) -> Checked {
    let seed = seed()?;
    match random_tables_of(seed, ipvs).await {
        Ok(said) => Ok(format!("{said}, {SEED}={seed}")),
        Err(error) => Err(format!("{error}; to run it again: {SEED}={seed}").into()),
    }
}

async fn random_tables_of(seed: u64, ipvs: &Ipvs) -> Checked {
    let mut chance = Chance(seed.max(1));
    let (mut destinations, mut operations) = (0, 0);
    for number in 0..TABLES {
        let want = chance.table()?;
        operations += reach(ipvs, &want).await.map_err(|error| format!("table {number}: {error}"))?;
        same(&format!("table {number} as ipvsadm says it"), &saved()?, &without_thresholds(&want))?;
        let next = chance.table()?;
        reach(ipvs, &Table::new()).await?;
        restore(&next).map_err(|error| format!("table {number}: {error}"))?;
        let have = ipvs.dump().await?.table;
        same(&format!("table {number} as ipvsadm wrote it"), &have, &next)?;
        same("what is left to do", &diff(&have, &next, &BTreeSet::new()), &Vec::new())?;
        destinations += [want, next]
            .iter()
            .flat_map(Table::iter)
            .map(|(_, entry)| entry.destinations.len())
            .sum::<usize>();
    }
    reach(ipvs, &Table::new()).await?;
    Ok(format!("{TABLES} tables each way, {destinations} destinations, {operations} operations"))
}
