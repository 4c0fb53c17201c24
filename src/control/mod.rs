//! People and scripts: commands, metrics and health over HTTP and a unix socket. Off the hot path.
//!
//! One thread of its own, on the housekeeping cores, runs all of it ([`Server::run`]). It reads what agents count and
//! never waits for one; the only way from here into the hot path is the ring `control_risk`, which carries kill switch
//! commands. Every command leaves a line in the log under the target `audit`, and risk journals it.
//!
//! This module must not decide anything about an order.

mod changes;
pub mod command;
mod desk;
mod http;
mod liveness;
pub mod notify;
mod server;
mod socket;

pub use liveness::Liveness;
pub use server::{ControlConfig, ControlError, Reach, Server};
