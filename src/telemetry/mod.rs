//! Counters, latency histograms and their dumps.
//!
//! A counter or histogram has one writer, the agent that owns it, and any number of readers on the slow lane; recording
//! is a load, an addition and a store, without a lock or a locked instruction.

mod counter;
mod registry;

pub use counter::Counter;
pub use registry::{COUNTERS, CounterRow, Registry};
