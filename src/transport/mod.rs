//! Ordered, reliable streams of messages between processes: Aeron, and a memory stand-in with the same rules for
//! measurements without a network. The only module that names the Aeron crates.
//!
//! [`Driver`] is the media driver (embedded, or found in a directory), [`Client`] one thread's connection to it,
//! [`Publication`] and [`Subscription`] the streams. All of them stay on the thread that made them. What Aeron can do
//! to a program that is not careful (reading a header after its callback, a log function that is null, a poll that
//! reports nothing on a dead driver) cannot be reached from here.
//!
//! This module must not know what the messages are.

mod client;
mod config;
mod directory;
mod driver;
mod error;
pub mod memory;
mod publication;
mod shared;
mod stream;
mod subscription;
pub mod xdp;

pub use client::{Client, PendingPublication, PendingSubscription};
pub use config::{AeronConfig, DriverCores, DriverIdle, DriverMode};
pub use driver::Driver;
pub use error::{DownReason, TransportError};
pub use publication::Publication;
pub use shared::{TransportCounters, TransportStats};
pub use stream::{Fragment, Inbound, OfferError, Outbound, StreamEvent, TransportDown};
pub use subscription::Subscription;
