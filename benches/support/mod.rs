//! What measuring between two threads needs on a machine whose cores are moved about: placement, the floor of one bounced
//! cache line before and after every sample, and statistics over interleaved rounds.
//!
//! Each benchmark uses a part of it.

#![allow(dead_code, reason = "each benchmark is a crate of its own and uses a part")]
#![allow(unsafe_code, reason = "scheduling and resource usage are system calls")]
#![allow(clippy::as_conversions, reason = "statistics of timings")]
#![allow(clippy::float_arithmetic, reason = "statistics of timings")]
#![allow(clippy::print_stdout, reason = "the report of a benchmark")]

pub mod machine;
pub mod pair;
pub mod table;
