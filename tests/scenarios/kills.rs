//! lvsd is killed while it writes to the kernel, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ipvs::ServiceKey;
use lab::configuration::{Configuration, Routers, Service};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::many;
use lab::network::{Lab, v4, v6};
use lab::site::{LIMIT, SERVERS};
use lab::table;
use lab::traffic::{Load, Traffic};
use lab::wait::wait_until;
use lab::world::World;

/// How often it is killed, unless LAB_KILLS says otherwise.
const KILLS: usize = 100;

/// So often on a machine that is too busy for more within [`ENOUGH`].
const LEAST: usize = 32;

/// No further kill is begun then.
const ENOUGH: Duration = Duration::from_secs(150);

/// Where the random numbers begin, unless LAB_SEED says otherwise.
const SEED: u64 = 1;

/// Services that are always there, with their weights changing; the client uses them.
const STAYING: u8 = 10;

/// All services, those that come and go among them.
const SERVICES: u8 = 60;

/// Pool files: of the services that stay, of the others.
const POOLS: [&str; 2] = ["pools/staying.json", "pools/others.json"];

/// The longest from a change to the kill when that does not wait for the kernel's table.
const SPAN: Duration = Duration::from_millis(60);

/// The longest from the first change in the kernel to the kill.
const WRITING: Duration = Duration::from_millis(6);

/// What the kernel is to have, as far as it varies.
type Weights = BTreeMap<ServiceKey, BTreeMap<IpAddr, u32>>;

/// lb1 is killed at random times after each change, and carries all traffic; lb2 gets the same changes and lives: the
/// two tables must become one.
pub(crate) fn lvsd_killed_at_any_point_of_a_change_completes_it_at_its_next_start(
    world: &World,
) -> Result<()> {
    let kills = setting("LAB_KILLS", KILLS)?;
    let seed = setting("LAB_SEED", SEED)?;
    let mut random = Random(seed);
    let lab = Lab::build(world)?;
    many::carry(&lab, STAYING)?;
    let _servers = lab.start_servers()?;
    lab.route_over_first_balancer((0..STAYING).flat_map(many::vips))?;
    let mut wanted = Wanted::whole();
    let mut balancers = Vec::new();
    for host in &lab.balancers {
        wanted.write(host)?;
        balancers.push(Lvsd::start(host, &wanted.configuration())?);
    }
    let readers = [table::Reader::open(&lab.balancers[0])?, table::Reader::open(&lab.balancers[1])?];
    settled(&readers, &wanted)?;

    let targets = (0..STAYING).flat_map(many::vips).map(|vip| SocketAddr::new(vip, 80)).collect();
    let traffic = Traffic::start(&lab.client, &Load { targets, rate: 60, kept_alive: 20 })?;
    traffic.let_pass(200)?;
    let (mut in_between, mut before_it, mut slowest) = (0, 0, Duration::ZERO);
    let mut done = 0;
    for number in 1..=kills {
        if number > LEAST && world.elapsed() > ENOUGH {
            println!("a busy machine: {done} kills instead of {kills}");
            break;
        }
        done = number;
        let before = wanted.weights();
        wanted.change(&mut random);
        let at_first_change = random.below(2) == 0;
        let delay = random.time(if at_first_change { WRITING } else { SPAN });
        change(&balancers, &wanted)?;
        let lvsd = &mut balancers[0];
        if at_first_change {
            lvsd.host().enter(|| wait_for_writes(SPAN))??;
        }
        std::thread::sleep(delay);
        lvsd.kill()?;
        let left = weights(&readers[0].whole()?);
        before_it += usize::from(left == before);
        in_between += usize::from(left != before && left != wanted.weights());
        readable_state(lvsd.host())?;
        lvsd.start_again()?;
        let took =
            settled(&readers, &wanted).with_context(|| format!("after kill {number} of seed {seed}"))?;
        slowest = slowest.max(took);
    }
    println!(
        "{done} kills: {before_it} before the first write, {in_between} between two writes, {} after the last; \
         the table was right {slowest:?} after the start at the latest; {:?} in all",
        done - before_it - in_between,
        world.elapsed()
    );
    let report = traffic.stop()?;
    println!("{report}");
    report.expect_no_failure()?;
    ensure!(report.reconnects == 0, "{} kept connections were closed: {report}", report.reconnects);
    Ok(())
}

/// Both balancers have exactly what is wanted, to the last attribute the same. A look takes the guest as long as a good
/// deal of the start does: the other balancer, which had longer, is not looked at before the killed one is right.
fn settled([killed, other]: &[table::Reader; 2], wanted: &Wanted) -> Result<Duration> {
    let weights_wanted = wanted.weights();
    let mut first = ipvs::Table::new();
    let is_right = || {
        first = killed.whole().unwrap_or_default();
        weights(&first) == weights_wanted
    };
    let told = |error: anyhow::Error, name: &str, table: ipvs::Table| {
        error.context(format!("{name}: {:?}", wrong(&weights(&table), &weights_wanted)))
    };
    let took = wait_until("the table is as wanted", LIMIT, is_right);
    let took = took.map_err(|error| told(error, "lb1", killed.whole().unwrap_or_default()))?;
    let is_same = || other.whole().is_ok_and(|table| table == first);
    let same = wait_until("both tables are the same", LIMIT, is_same);
    same.map_err(|error| told(error, "lb2", other.whole().unwrap_or_default()))?;
    Ok(took)
}

/// The first services that are not as wanted.
fn wrong(have: &Weights, wanted: &Weights) -> Vec<String> {
    let keys: BTreeSet<_> = have.keys().chain(wanted.keys()).copied().collect();
    let differs = |key: &ServiceKey| have.get(key) != wanted.get(key);
    let told = |key: ServiceKey| format!("{key}: {:?}, not {:?}", have.get(&key), wanted.get(&key));
    keys.into_iter().filter(differs).take(3).map(told).collect()
}

/// Says the same to both balancers.
fn change(balancers: &[Lvsd], wanted: &Wanted) -> Result<()> {
    for lvsd in balancers {
        wanted.write(lvsd.host())?;
        lvsd.configure(&wanted.configuration())?;
        lvsd.reload()?;
    }
    Ok(())
}

/// Waits until the beginning of the table is not what it was, or the time is over: it need not be in the beginning.
fn wait_for_writes(limit: Duration) -> Result<()> {
    let beginning = || -> Result<Vec<u8>> {
        let mut text = vec![0; 4096];
        let length = File::open("/proc/thread-self/net/ip_vs")?.read(&mut text)?;
        text.truncate(length);
        Ok(text)
    };
    let (first, deadline) = (beginning()?, Instant::now() + limit);
    while beginning()? == first && Instant::now() < deadline {
        std::thread::sleep(Duration::from_micros(300));
    }
    Ok(())
}

fn readable_state(host: &Host) -> Result<()> {
    let path = host.files().join("state/state.json");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let _: serde_json::Value = serde_json::from_str(&text).with_context(|| format!("{text:?}"))?;
    Ok(())
}

fn weights(table: &ipvs::Table) -> Weights {
    let of = |(key, weight): (&ipvs::DestinationKey, &ipvs::Destination)| (key.address, weight.weight.get());
    table.iter().map(|(key, entry)| (*key, entry.destinations.iter().map(of).collect())).collect()
}

/// What the balancers are told.
#[derive(Clone, Debug)]
struct Wanted {
    services: BTreeSet<u8>,
    /// Weight of each server, if it is there, in each pool file.
    pools: [[Option<u32>; SERVERS.len()]; POOLS.len()],
}

impl Wanted {
    fn whole() -> Self {
        Self { services: (0..SERVICES).collect(), pools: [[Some(10); SERVERS.len()]; POOLS.len()] }
    }

    /// Another set of services, or other weights, or other servers; often several at once.
    fn change(&mut self, random: &mut Random) {
        let what = 1 + random.below(7);
        if what & 1 != 0 {
            self.services =
                (0..SERVICES).filter(|number| *number < STAYING || random.below(2) == 0).collect();
        }
        if what & 2 != 0 {
            self.pools[0] = [(); SERVERS.len()].map(|()| Some(1 + random.below(20) as u32));
        }
        if what & 4 != 0 {
            let last = random.below(SERVERS.len() as u64) as usize;
            let weight = |random: &mut Random| (random.below(3) > 0).then(|| 1 + random.below(20) as u32);
            self.pools[1] = [(); SERVERS.len()].map(|()| weight(random));
            self.pools[1][last].get_or_insert(7);
        }
    }

    /// Writes the pool files as they should be written.
    fn write(&self, host: &Host) -> Result<()> {
        fs::create_dir_all(host.files().join("pools"))?;
        for (name, pool) in POOLS.iter().zip(&self.pools) {
            let servers = ["rs1", "rs2", "rs3"].iter().zip(pool);
            let lines = servers
                .filter_map(|(name, weight)| Some(format!("\"{name}\": {{\"weight\": {}}}", (*weight)?)));
            let text = format!("{{{}}}", lines.collect::<Vec<_>>().join(", "));
            let new = host.files().join("pools/.new");
            fs::write(&new, text)?;
            fs::rename(new, host.files().join(name))?;
        }
        Ok(())
    }

    fn configuration(&self) -> Configuration {
        let service = |number: &u8| {
            let pool_file = Some(POOLS[pool_of(*number)]);
            Service { pool_file, max_change: 1.0, depool_threshold: 0.0, ..many::service(*number) }
        };
        let services = self.services.iter().map(service).collect();
        // Longer than the scenario: what is right again was put right by the start.
        Configuration {
            resync_interval: "1h",
            routers: Routers::None,
            services,
            ..Configuration::with_web(64600)
        }
    }

    fn weights(&self) -> Weights {
        let mut table = Weights::new();
        for number in &self.services {
            for vip in many::vips(*number) {
                let key = ServiceKey::Address { protocol: ipvs::Protocol::Tcp, address: vip, port: 80 };
                let servers = SERVERS.iter().zip(self.pools[pool_of(*number)]);
                let address = |last: u16| if vip.is_ipv4() { v4(last).into() } else { v6(last).into() };
                let servers = servers.filter_map(|(last, weight)| Some((address(*last), weight?)));
                table.insert(key, servers.collect());
            }
        }
        table
    }
}

fn pool_of(service: u8) -> usize {
    usize::from(service >= STAYING)
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn time(&mut self, limit: Duration) -> Duration {
        Duration::from_micros(self.below(limit.as_micros() as u64))
    }
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    std::env::var(name).map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text}")))
}
