//! The kernel's IPVS, which a dry run does without where there is none.

use crate::exec::Mode;
use ipvs::{Control, Error, Ipvs, Op, OpError, Options, Settings, Snapshot};

/// The kernel's IPVS. In a dry run on a host without it is an empty one.
#[derive(Debug)]
pub struct Kernel(Option<Ipvs>);

impl Kernel {
    /// Opens it, with room for so many bytes of its answers.
    ///
    /// # Errors
    /// When there is none and something is to be written, or it does not let this process in.
    pub fn open(mode: Mode, receive_buffer_bytes: usize) -> Result<Self, Error> {
        match Ipvs::open(Options { receive_buffer_bytes, ..Options::default() }) {
            Err(Error::NoIpvs) if mode.is_dry() => {
                tracing::warn!("the kernel has no IPVS: this dry run goes on as with an empty table");
                Ok(Self(None))
            }
            opened => opened.map(|ipvs| Self(Some(ipvs))),
        }
    }

    /// As [`Ipvs::dump`].
    pub(super) async fn dump(&self) -> Result<Snapshot, Error> {
        match &self.0 {
            Some(ipvs) => ipvs.dump().await,
            None => Ok(Snapshot::default()),
        }
    }

    /// As [`Ipvs::apply`].
    pub(super) async fn apply(&self, ops: Vec<Op>) -> Result<Vec<Result<(), OpError>>, Error> {
        self.there()?.apply(ops).await
    }

    /// As [`Ipvs::settings`].
    pub(super) async fn settings(&self) -> Result<Settings, Error> {
        self.there()?.settings().await
    }

    /// As [`Ipvs::control`].
    pub(super) async fn control(
        &self,
        controls: Vec<Control>,
    ) -> Result<Vec<Result<(), OpError<Control>>>, Error> {
        self.there()?.control(controls).await
    }

    fn there(&self) -> Result<&Ipvs, Error> {
        self.0.as_ref().ok_or(Error::NoIpvs)
    }
}
