//! Ordered, reliable streams of messages between processes: Aeron, and a memory stand-in with the same rules for
//! measurements without a network. The only module that names the Aeron crates.
//!
//! This module must not know what the messages are.

mod stream;

pub use stream::{Fragment, Inbound, OfferError, Outbound, StreamEvent, TransportDown};
