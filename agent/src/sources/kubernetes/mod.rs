//! A Kubernetes cluster as a source.
//!
//! ```text
//! API ─▶ reader (list, watch, again) ─▶ objects (made small) ─▶ index ─▶ pools ─▶ said
//!                                                                 ▲        ▲
//!                                              endpoints, selector ┘  serve ┘  pure, as is everything but reader and client
//! ```
//!
//! Reading order: [`model`] (what is kept), [`objects`] (as it comes), [`endpoints`] (slices put together), [`serve`] (the table
//! of what direct routing can serve), [`selector`], [`pools`] (the backends of a pool), [`index`]; `reader`, `client`,
//! [`source`] (the shell); `words` (its errors).
//! Services that are served whole: [`whole`] (what becomes of each), [`allocate`] (their addresses), [`services`] (what is said and
//! written of them), `lease` and `publish` (the shell that writes). [`calico`] is apart: the nodes of `[nodes]`.

pub mod allocate;
pub mod calico;
mod client;
pub mod endpoints;
pub mod index;
mod lease;
mod metadata;
pub mod model;
pub mod names;
pub mod objects;
pub mod pods;
pub mod pools;
mod publish;
mod reader;
pub mod selector;
pub mod serve;
pub mod services;
pub mod source;
#[cfg(test)]
mod tests;
mod wanted;
pub mod whole;
mod words;

pub use calico::CalicoNodes;
pub use source::Kubernetes;
