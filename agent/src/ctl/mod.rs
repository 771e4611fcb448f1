//! What `lvsctl` is made of: a client of the control socket, and text for people.

pub mod client;
pub mod render;
