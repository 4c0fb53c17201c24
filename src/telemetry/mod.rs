//! Counters, latency histograms and their dumps.
//!
//! A counter or histogram has one writer, the agent that owns it, and any number of readers on the slow lane; recording
//! is a load, an addition and a store, without a lock or a locked instruction.

mod agent;
mod counter;
mod hops;
mod latency;
mod link;
mod recorder;
mod registry;
mod snapshot;
mod table;

pub mod hlog;
pub mod hlog_reader;
pub mod prometheus;

pub use agent::{AGENT_COUNTERS, AgentMetrics};
pub use counter::Counter;
pub use hops::{HISTOGRAMS, HistogramRow};
pub(crate) use latency::plain_table;
pub use latency::{Latency, human_ns, latency_table};
pub use link::{LinkGauge, Need};
pub use recorder::{RECORDED_NS_MAX, Recorder, SIGNIFICANT_DIGITS, empty_histogram};
pub use registry::{AGENTS_MAX, CounterKind, CounterRow, LINKS_MAX, Registry};
pub use snapshot::{AgentValue, CounterValue, HistogramValue, Intervals, LinkValue, Snapshot};
pub use table::COUNTERS;
