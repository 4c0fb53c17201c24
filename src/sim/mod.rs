//! A simulated exchange, a strategy, and faults: they drive the real topology.

pub mod account;
pub mod prng;
pub mod probe;
pub mod strategy;
