//! What schedulers that hash make of weights: the shares of sh, and clients of a destination at weight 0.

use std::net::SocketAddr;

use ipvs::sh::scaled_weights;
use ipvs::{Destination, Entry, Scheduler, Weight};

use super::order::{CLIENTS, Choices, destination, equal, hashing, pool_of, told};
use super::{Checked, Failure, same};

fn weights(numbers: &[u32]) -> Result<Vec<Weight>, Failure> {
    Ok(numbers.iter().map(|number| Weight::new(*number)).collect::<Result<_, _>>()?)
}

/// Destinations numbered from 1, with these weights.
fn weighted(weights: &[Weight]) -> Result<Entry, Failure> {
    let mut entry = Entry::new(hashing(Scheduler::Sh, true)?);
    for (number, weight) in (1..).zip(weights) {
        entry.destinations.insert(destination(number), Destination::direct_routing(*weight));
    }
    Ok(entry)
}

fn socket(number: u32) -> SocketAddr {
    SocketAddr::new(destination(number).address, destination(number).port)
}

fn clients_of(number: u32, choices: &Choices) -> usize {
    choices.values().filter(|got| **got == socket(number)).count()
}

/// The share of the clients that the first has, in percent.
fn share(choices: &Choices) -> f64 {
    clients_of(1, choices) as f64 * 100.0 / f64::from(CLIENTS)
}

/// Weights as people write them fill the buckets before all have their share (100 and 156, the last added first); divided,
/// each gets it, on every balancer.
pub(super) fn shares_of_sh() -> Checked {
    let written = weights(&[300, 100])?;
    let divided = scaled_weights(&written)?;
    same("the divided weights", &divided, &weights(&[3, 1])?)?;
    let raw = told(|balancer| {
        balancer.reach(weighted(&written)?)?;
        balancer.choices(4000)
    })?;
    let at_once = told(|balancer| {
        balancer.reach(weighted(&divided)?)?;
        balancer.choices(4000)
    })?;
    let in_steps = told(|balancer| {
        balancer.reach(weighted(&weights(&[7])?)?)?;
        balancer.reach(weighted(&weights(&[1, 0, 5])?)?)?;
        balancer.reach(weighted(&divided)?)?;
        balancer.choices(4000)
    })?;
    equal("programmed at once and in steps", &at_once, &in_steps)?;
    // Buckets are 192 and 64; clients are not spread over them evenly.
    let fair = 73.0..=77.0;
    let (share, raw) = (share(&at_once), share(&raw));
    if !fair.contains(&share) || fair.contains(&raw) {
        return Err(format!("the first of 3:1 has {share:.1} % of the clients, of 300:100 {raw:.1} %").into());
    }
    scaled_weights(&weights(&[255, 1])?)?;
    let refused = scaled_weights(&weights(&[256, 1])?).err().map(|error| error.sum);
    same("the sum that is refused", &refused, &Some(257))?;
    Ok(format!("300:100 divided: {share:.1} % of {CLIENTS} clients; as written {raw:.1} %"))
}

/// Without fallback clients of a destination at weight 0 are turned away, with it they go elsewhere.
pub(super) fn fallback() -> Checked {
    const DOWN: u32 = 2;
    let mut said = Vec::new();
    for scheduler in [Scheduler::Sh, Scheduler::Mh] {
        let choices = |fallback| {
            told(|balancer| {
                balancer.reach(pool_of(hashing(scheduler.clone(), fallback)?, 1..=3, None)?)?;
                balancer.reach(pool_of(hashing(scheduler.clone(), fallback)?, 1..=3, Some(DOWN))?)?;
                balancer.choices(4000)
            })
        };
        let (without, with) = (choices(false)?, choices(true)?);
        for choices in [&without, &with] {
            same("clients of the destination at weight 0", &clients_of(DOWN, choices), &0)?;
        }
        same("clients with fallback that got one", &with.len(), &(CLIENTS as usize))?;
        let turned_away = CLIENTS as usize - without.len();
        if turned_away == 0 {
            return Err(format!("{scheduler} without fallback turns nobody away").into());
        }
        if without.iter().any(|(client, got)| with.get(client) != Some(got)) {
            return Err(format!("{scheduler}: fallback moves clients of destinations that serve").into());
        }
        said.push(format!("{scheduler} without it turns away {turned_away} of {CLIENTS}, with it none"));
    }
    Ok(said.join("; "))
}
