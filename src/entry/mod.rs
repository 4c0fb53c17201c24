//! Strategies' order-entry sessions: authenticate, sequence, decode orders in, encode reports out.
//!
//! Orders come on one subscription shared by all strategies; each session's reports go to a publication of its own, whose
//! stream comes from configuration, never from the wire. Whether an order may pass is not decided here: entry says who
//! sent it and in which order, risk says the rest.
//!
//! Back pressure: orders wait unread in the transport while `entry_risk` is full, so its flow control holds the strategy.
//! Reports never wait for one another: each goes into its session's store, and a session whose store is full of reports
//! it does not read is ended, which cancels its orders.
//!
//! This module must not name another agent, nor the Aeron crates.

mod agent;
mod convert;
mod slot;
mod store;

pub use agent::{EntryAgent, EntryConfig, EntryRefusal, EntryTelemetry, SessionConfig};
pub use store::ReportStore;

#[cfg(test)]
mod tests;
