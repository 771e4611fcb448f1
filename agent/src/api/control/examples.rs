//! Requests that are shown in the OpenAPI document, each as the type that is read.

use super::super::messages::{
    ChangeRequest, ConfirmRequest, DrainRequest, Levels, PoolRequest, SimulateRequest, TakeOutRequest,
    VipRequest, WantedOfVip, WeightRequest,
};
use crate::config::{self, Admin, Config};
use crate::core::change::{Object, Selector, Word};
use crate::core::saved::SetWeight;

const HOST: &str = "rs1";
const SERVICE: &str = "web";
const REASON: &str = "T12345: its disk is replaced";

/// Seconds that a change lasts: two hours.
const LASTS: u64 = 7200;

/// A configuration in its shortest form.
const CONFIGURATION: &str = "[service.web]\nvips = [\"192.0.2.10\"]\nport = 80\nchecks = [{ type = \"tcp\" }]\n\
    backends = [{ host = \"rs1\", addresses = [\"10.64.0.11\"] }]\n";

pub(super) fn take_out() -> TakeOutRequest {
    TakeOutRequest { host: HOST.into(), reason: Some(REASON.into()), force: false, lasts: Some(LASTS) }
}

pub(super) fn weight() -> WeightRequest {
    let weight = Some(SetWeight::Percent(50));
    WeightRequest { host: HOST.into(), weight, reason: Some(REASON.into()), force: false, lasts: Some(LASTS) }
}

pub(super) fn pool() -> PoolRequest {
    PoolRequest { host: HOST.into() }
}

pub(super) fn change() -> ChangeRequest {
    let object = Object { source: "conftool".into(), path: "eqiad/web/nginx".into(), host: HOST.into() };
    let to = Word::Pooled(Admin::Depooled);
    ChangeRequest { objects: vec![object], to, reason: Some(REASON.into()), force: false, lasts: None }
}

pub(super) fn confirm() -> ConfirmRequest {
    ConfirmRequest { service: SERVICE.into() }
}

pub(super) fn selector() -> Selector {
    Selector { hosts: "rs*".into(), service: Some(SERVICE.into()), cluster: None }
}

pub(super) fn simulate() -> SimulateRequest {
    SimulateRequest { down: vec![HOST.into()] }
}

/// None if it were not understood, which a test would say.
pub(super) fn configuration() -> Option<Config> {
    config::parse(&[("lvsd.toml".into(), CONFIGURATION.into())]).ok()
}

pub(super) fn vip() -> VipRequest {
    let to = Some(WantedOfVip::Withdrawn);
    let reason = Some("T12345: another site takes over".into());
    VipRequest { vip: "192.0.2.10".into(), to, reason, force: false, lasts: Some(LASTS) }
}

pub(super) fn balancer() -> DrainRequest {
    DrainRequest { reason: Some("T12345: a new kernel".into()), lasts: Some(LASTS) }
}

pub(super) fn levels() -> Levels {
    Levels { levels: Some("info,bgp=debug".into()) }
}
