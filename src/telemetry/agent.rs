//! The numbers that every agent has: one row here is one number for each of them.

use std::sync::Arc;

use crate::telemetry::Counter;
use crate::telemetry::counter::{BLOCK_CELLS, Block};
use crate::telemetry::registry::{CounterRow, gauge, row};

/// The numbers of an agent, in the order of [`AgentMetrics`]'s fields.
pub const AGENT_COUNTERS: &[CounterRow] = &[
    row("agent_cycle_count", "Duty cycles run."),
    row("agent_busy_cycle_count", "Duty cycles that found work."),
    row("agent_work_count", "Work done, in the agent's own units: messages, packets, commands."),
    row("agent_busy_ns", "Time spent in duty cycles that found work."),
    row("agent_stall_count", "Duty cycles longer than the stall threshold."),
    gauge("agent_cycle_ns_max", "The longest duty cycle so far."),
    row("agent_allocation_count", "Allocations made in a duty cycle after start; 0 is right."),
];

const _: () = assert!(AGENT_COUNTERS.len() <= BLOCK_CELLS);

/// What the thread that runs an agent counts about it. Written by that thread only.
#[derive(Debug)]
pub struct AgentMetrics {
    /// Duty cycles run.
    pub cycle_count: Counter,
    /// Duty cycles that found work.
    pub busy_cycle_count: Counter,
    /// Work done, as the agent's `poll` returned it.
    pub work_count: Counter,
    /// Nanoseconds spent in duty cycles that found work.
    pub busy_ns: Counter,
    /// Duty cycles longer than the stall threshold.
    pub stall_count: Counter,
    /// The longest duty cycle so far, in nanoseconds.
    pub cycle_ns_max: Counter,
    /// Allocations made in a duty cycle after start.
    pub allocation_count: Counter,
}

impl AgentMetrics {
    pub(super) fn over(block: &Arc<Block>) -> AgentMetrics {
        let cell = |name: &str| {
            let slot = AGENT_COUNTERS.iter().position(|row| row.name == name);
            Counter::over(block, slot.expect("each field has its row"))
        };
        AgentMetrics {
            cycle_count: cell("agent_cycle_count"),
            busy_cycle_count: cell("agent_busy_cycle_count"),
            work_count: cell("agent_work_count"),
            busy_ns: cell("agent_busy_ns"),
            stall_count: cell("agent_stall_count"),
            cycle_ns_max: cell("agent_cycle_ns_max"),
            allocation_count: cell("agent_allocation_count"),
        }
    }
}
