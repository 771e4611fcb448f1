//! The state machines.

mod state;

pub use state::StateName;
