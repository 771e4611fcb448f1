//! How far the balancers of a fleet do the same.

use super::gauges::{Make, flag};
use crate::exec::fleet::Agreement;
use prometheus::Error;

pub(super) fn register(make: &Make, agreement: Agreement) -> Result<(), Error> {
    let Agreement { is_told, balancers, differing } = agreement;
    make.one(
        "lvsd_fleet_told",
        "Whether the other balancers hear of this one, and it of them.",
        flag(is_told),
    )?;
    make.one(
        "lvsd_fleet_balancers",
        "Balancers of the fleet that live, this one among them.",
        balancers as f64,
    )?;
    make.one(
        "lvsd_fleet_differing_pools",
        "Pools in which another balancer that runs has others pooled, or with other weights.",
        differing as f64,
    )
}
