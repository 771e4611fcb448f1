//! What both ends of a session sign with.

use std::{fmt, str::FromStr};

use crate::Password;

/// The key of a session, and how it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionKey {
    /// TCP-MD5 (RFC 2385).
    Md5(Password),
    /// TCP-AO (RFC 5925): Linux 6.7 or later, built with `CONFIG_TCP_AO`.
    Ao(AoKey),
}

/// A master key tuple of TCP-AO (RFC 5925 §3.1), for both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AoKey {
    /// `SendID` and `RecvID`: the other end has the same number.
    pub id: u8,
    /// What signs.
    pub algorithm: AoAlgorithm,
    /// What the traffic keys are derived from.
    pub secret: Password,
}

/// The algorithms that every implementation has (RFC 5926).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum AoAlgorithm {
    /// HMAC-SHA-1-96.
    #[default]
    #[serde(rename = "hmac-sha-1-96")]
    HmacSha1,
    /// AES-128-CMAC-96.
    #[serde(rename = "aes-128-cmac-96")]
    AesCmac,
}

impl AoAlgorithm {
    /// Its name, as configurations have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha-1-96",
            Self::AesCmac => "aes-128-cmac-96",
        }
    }

    /// Its name in the kernel's crypto API.
    pub(crate) const fn kernel_name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac(sha1)",
            Self::AesCmac => "cmac(aes128)",
        }
    }
}

impl fmt::Display for AoAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// It is not one of the names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no algorithm of TCP-AO; use hmac-sha-1-96 or aes-128-cmac-96")]
pub struct UnknownAlgorithm(String);

impl FromStr for AoAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::HmacSha1, Self::AesCmac];
        all.into_iter().find(|one| one.as_str() == text).ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}
