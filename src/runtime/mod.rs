//! Agents and the threads that run them: duty cycle, idling, placement, memory, time.
//!
//! This module must not know what the agents do.

mod agent;
mod alloc;
pub mod capabilities;
mod clock;
mod cores;
mod duty;
mod idle;
mod lanes;
mod large;
pub mod layout;
mod lifecycle;
pub mod memory;
mod namespace;
mod prefetch;
mod supervisor;
mod sys;
mod tasks;
mod thread;

pub use agent::{Agent, Fatal, Phase};
pub use alloc::{
    GuardedAllocator, HotZone, OnHotAllocation, hot_allocation_count, on_hot_allocation,
};
pub use clock::{Clock, ClockSource, FallbackReason};
pub use cores::{CORE_COUNT_MAX, CoreSet, Cores, ParseCoreSetError, isolated, siblings, start_on};
pub use duty::{AgentSlot, Death, DutyCycle, EVERY_MAX, TimeSource};
pub use idle::{Idle, Idler, PARK_DEFAULT, PARK_MAX, ParseIdleError};
pub use lanes::lanes_equal;
pub use large::{ask_for_large_pages, table as large_table};
pub use lifecycle::{Lifecycle, ThreadPulse, all_drained, all_quiet};
pub use namespace::NetworkNamespace;
pub use prefetch::{prefetch, prefetch_address, prefetch_row};
pub use supervisor::{
    Cause, EXIT_NOT_DRAINED, Ending, Signals, Supervisor, SupervisorConfig, THREAD_COUNT_MAX,
    ThreadState,
};
pub use tasks::{Misplaced, PlacementFault, TaskInfo, misplaced, own_tasks, tasks_under};
pub use thread::{BuildAgents, STACK_BYTES, StartError, THREAD_NAME_BYTES_MAX, ThreadSpec};
