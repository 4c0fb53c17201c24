//! SBE messages as plain values: the only place that names the generated codecs.
//!
//! Every message is a fixed block behind the eight-byte SBE header, so encoding is a run of stores and decoding a run of
//! loads after one check of the header; nothing is allocated and no bytes can make it panic. A message is taken only if
//! its schema, version, block length and enumerated values are all known: an order whose meaning a newer schema may have
//! changed must not be half understood.
//!
//! This module must not know what the messages are for.

mod message;
mod wire;

pub mod journal;
pub mod market_data;
pub mod order_entry;

pub use message::{DecodeError, HEADER_BYTES, Message, template_of};
