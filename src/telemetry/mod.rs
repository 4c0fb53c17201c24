//! Counters, latency histograms and their dumps.
//!
//! A counter or histogram has one writer, the agent that owns it, and any number of readers on the slow lane; recording
//! is a load, an addition and a store, without a lock or a locked instruction.

mod agent;
mod counter;
mod hops;
mod recorder;
mod registry;
mod table;

pub use agent::{AGENT_COUNTERS, AgentMetrics};
pub use counter::Counter;
pub use hops::{HISTOGRAMS, HistogramRow};
pub use recorder::{RECORDED_NS_MAX, Recorder, SIGNIFICANT_DIGITS, empty_histogram};
pub use registry::{AGENTS_MAX, CounterKind, CounterRow, Registry};
pub use table::COUNTERS;
