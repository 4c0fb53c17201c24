//! Agents and the threads that run them: duty cycle, idling, placement, memory, time.
//!
//! This module must not know what the agents do.

mod agent;
mod clock;
mod sys;

pub use agent::{Agent, Fatal, Phase};
pub use clock::{Clock, ClockSource, FallbackReason};
