//! What a peer holds of us, and what it has yet to be told.
//!
//! [`AdjRibOut`] lives as long as a session. It is given whole sets and gives out batches, as fast as the session
//! can take them: withdrawals first, always; then announcements grouped by their attributes; then End-of-RIB. A
//! set that arrives while batches are outstanding replaces what is outstanding, so a slow neighbour is told the
//! latest state and never a history. There is no minimum interval between advertisements (RFC 4271 §9.2.1.1 has
//! one against flapping transit routes): who decides what is announced damps it.
//!
//! [`Export`] says what a session can be told at all.
//!
//! [`AdjRibIn`] keeps what the import rules take of what a neighbour tells, and gives out what changed; [`LocRib`] has
//! all neighbours' paths and the best to each prefix. Where we are a route reflector, [`Reflected`] is what of that is
//! told to clients beside the owner's routes.

mod adj_in;
mod adj_out;
mod export;
mod loc;
mod received;
mod reflect;
mod said;
mod told;

#[cfg(test)]
mod in_tests;
#[cfg(test)]
mod reflect_tests;
#[cfg(test)]
mod tests;

pub use adj_in::{AdjRibIn, Change, Neighbourhood, PathKey, Refusal};
pub use adj_out::{AdjRibOut, Batch, Pending};
pub use export::{Export, WithheldReason};
pub use loc::{Candidate, LocRib, Source, Step};
pub use received::Received;
pub use reflect::{Complete, Permits, Reflected, Way};
pub use said::Said;
pub use told::{ToldAttributes, ToldRoute, nothing_told};
