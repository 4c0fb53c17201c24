//! `postern`: a kernel-bypass, ultra-low-latency gateway for electronic trading.
//!
//! `ARCHITECTURE.md` is the map; [`topology`] is the wiring and the place to start reading.

pub mod client;
pub mod cmd;
pub mod codec;
pub mod config;
pub mod control;
pub mod entry;
pub mod feed;
pub mod gate;
pub mod host;
pub mod journal;
mod mirror;
pub mod net;
pub mod ring;
pub mod risk;
pub mod router;
pub mod runtime;
pub mod session;
pub mod sim;
pub mod telemetry;
pub mod topology;
pub mod transport;
pub mod types;
