//! Reading guide: to be written with the crate.
