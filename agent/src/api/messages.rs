//! What goes over the control socket, besides the views of [`crate::core::view`]: plain data, both ways.

use crate::core::change::{Object, Word};
use crate::core::saved::SetWeight;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// `POST /v1/depool`, `/v1/drain` and `/v1/inactive`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeOutRequest {
    /// The backend's host name.
    pub host: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Also when a pool falls below its threshold.
    #[serde(default)]
    pub force: bool,
    /// For how long, in seconds; for good when absent.
    #[serde(default)]
    pub lasts: Option<u64>,
}

/// `POST /v1/weight`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightRequest {
    /// The backend's host name.
    pub host: String,
    /// The weight; the source's again when absent.
    #[serde(default, deserialize_with = "within_the_whole")]
    pub weight: Option<SetWeight>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Also when a pool falls below its threshold.
    #[serde(default)]
    pub force: bool,
    /// For how long, in seconds; for good when absent.
    #[serde(default)]
    pub lasts: Option<u64>,
}

/// What has more than the whole of its source's weight is to be said as a weight.
fn within_the_whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SetWeight>, D::Error> {
    let weight = Option::deserialize(from)?;
    match weight {
        Some(SetWeight::Percent(percent @ 101..)) => Err(D::Error::custom(format!(
            "weight: expected a share of 0 to 100 percent, found {percent}; more is said as a weight, {{\"absolute\": 15}}"
        ))),
        Some(SetWeight::Percent(_) | SetWeight::Absolute(_)) | None => Ok(weight),
    }
}

/// `POST /v1/pool`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolRequest {
    /// The backend's host name.
    pub host: String,
}

/// `POST /v1/change`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// The hosts in pools of sources, as `POST /v1/preview` has found them.
    pub objects: Vec<Object>,
    /// What is to be said of them.
    pub to: Word,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Also when a pool falls below its threshold.
    #[serde(default)]
    pub force: bool,
    /// For how long, in seconds: what a source says does not end by itself, so that this is refused.
    #[serde(default)]
    pub lasts: Option<u64>,
}

/// `POST /v1/resync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResyncRequest {
    /// Whether the servers of services that hash by them are put in their order as well.
    #[serde(default)]
    pub sort: bool,
}

/// `POST /v1/confirm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRequest {
    /// The service whose source is to be obeyed.
    pub service: String,
}

/// `POST /v1/vip`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VipRequest {
    /// The VIP.
    pub vip: String,
    /// What is wanted of it; left to its services when absent.
    #[serde(default)]
    pub to: Option<WantedOfVip>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Also when nothing on it can serve.
    #[serde(default)]
    pub force: bool,
    /// For how long, in seconds; for good when absent.
    #[serde(default)]
    pub lasts: Option<u64>,
}

/// What an operator wants of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WantedOfVip {
    /// Not announced.
    Withdrawn,
    /// Announced.
    Announced,
}

/// `POST /v1/balancer/drain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// For how long, in seconds; for good when absent.
    #[serde(default)]
    pub lasts: Option<u64>,
}

/// `GET` and `POST /v1/log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// What is written, as `LVSD_LOG` has it; asked for without, as lvsd was started.
    #[serde(default)]
    pub levels: Option<String>,
}

/// `POST /v1/simulate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateRequest {
    /// Host names of backends that are to be thought down.
    pub down: Vec<String>,
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What kind; `lvsctl` makes its exit code of it.
    pub kind: ProblemKind,
    /// What, where, and what to do.
    pub message: String,
}

/// Kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The request makes no sense.
    BadRequest,
    /// There is no such host or service.
    NotFound,
    /// It can be done, but must not: the threshold, or the truth is elsewhere.
    Refused,
    /// Whoever asks may not.
    Denied,
    /// The configuration has errors.
    BadConfiguration,
    /// lvsd is stopping.
    Stopping,
    /// The kernel did not do what was asked of it.
    Kernel,
}
