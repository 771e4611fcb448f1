//! The core: what lvsd knows and decides, without a clock, a socket or a task.
//!
//! ```text
//! Event ─▶ step ─┬▶ inventory   what the sources say
//!                ├▶ reload      what another configuration changes
//!                ├▶ kernel      what the kernel says, and drains that end
//!                ├▶ verdicts    what the checks of each backend say together
//!                ├▶ member      each backend ─▶ pool: who is pooled, and why
//!                ├▶ path        whether direct routing gets there
//!                ├▶ desired     the kernel entries that follow
//!                ├▶ unclaimed   what the kernel has of ours while whose it is is not known
//!                ├▶ marks       those by which lvsd asks through IPVS itself; canary: what asks so for a service
//!                ├▶ advertise   the VIPs that the routers are to hear of; announced: what they are told
//!                ├▶ nodes       the routes of a cluster's nodes that the kernel is to have
//!                └▶ outcome ─▶ Actions: whole states that changed, answers, notices
//! ```
//!
//! Reading order: [`event`], [`action`], [`pool`] (the rules), [`verdicts`], [`advice`], [`member`], [`families`], [`path`],
//! [`inventory`], [`desired`], [`marks`], [`canary`], [`unclaimed`], [`advertise`], [`nodes`], [`state`], [`step`](mod@step), [`operator`], [`view`],
//! [`numbers`].
//! [`orders`] has what operators say of announcements.

pub mod action;
pub mod advertise;
pub mod advice;
mod alike;
mod announced;
pub mod canary;
pub mod change;
pub mod deadlines;
pub mod desired;
pub mod event;
pub mod families;
pub mod fleet;
pub mod found;
pub mod guard;
pub mod inventory;
mod kernel;
pub mod marks;
pub mod member;
pub mod nodes;
pub mod numbers;
pub mod operator;
pub mod orders;
mod outcome;
pub mod path;
pub mod plan;
pub mod pool;
pub mod pybal;
pub mod ramp;
mod reload;
pub mod saved;
pub mod services;
pub mod settings;
pub mod sorted;
mod sources;
pub mod state;
mod step;
#[cfg(test)]
mod tests;
pub mod time;
pub mod unclaimed;
mod unheard;
mod uses;
pub mod verdicts;
pub mod view;
pub mod vip;
pub mod why;

pub use action::Action;
pub use event::Event;
pub use state::State;
pub use step::step;
pub use time::Timestamp;
