//! Approved orders to venue sessions, executions back; the router's own order table and state machine.
//!
//! What it sends comes from [`crate::gate::ApprovedReceiver`], so risk has approved it; the kill switch is looked at once
//! more as the last thing before bytes leave. An order whose fate is unknown (the venue's session broke) stays open here
//! until the venue says otherwise.
//!
//! This module must not name another agent, nor the Aeron crates.

mod agent;
mod latch;
pub mod lifecycle;
mod table;
mod venue;

pub use agent::{RouterAgent, RouterConfig, RouterTelemetry, VenueConfig};
pub use latch::{KillLatch, Scopes};
pub use table::OrderTable;

#[cfg(test)]
mod tests;
