//! Market data: arbitrate, decode, keep books, tell risk and strategies.
//!
//! This module must not know where datagrams come from or how strategies are reached.

mod digest;
mod levels;
mod order_table;

pub mod arbiter;
pub mod book;
pub mod capture;
pub mod channel;
pub mod itch50;
pub mod moldudp64;

pub use digest::BookDigest;
