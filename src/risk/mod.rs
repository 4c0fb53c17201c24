//! The gate and the sequencer: executions first, then orders; approve or deny.
//!
//! [`Engine`] is the whole of it as a deterministic state machine: the same inputs give the same decisions, byte for byte.
//! [`check`] holds the checks as pure functions; the rest keeps what they compare with: order table, exposure, throttles.
//! [`RiskAgent`] joins the engine to its rings and records every input and decision before its effect.
//!
//! This module must not reach the network, the transport or the configuration files, read a clock to decide, or
//! iterate over anything in an order that could differ between two runs.

mod agent;
pub mod check;
mod engine;
mod executions;
mod exposure;
mod feed_cache;
mod keys;
pub mod limits;
mod links;
mod orders;
mod recovery;
mod requests;
mod sweep;
mod tables;
mod throttle;

pub use agent::{RiskAgent, RiskRings, RiskSummary};
pub use engine::{Counts, Effects, Engine, Position};
pub use limits::{
    AccountConfig, Band, CollarConfig, CollarReference, CollarSides, DuplicateConfig,
    InstrumentConfig, OrderLimits, PositionLimits, RateConfig, RiskConfig, RiskConfigError,
    SessionConfig,
};
