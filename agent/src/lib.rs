//! lvsd
