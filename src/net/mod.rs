//! Datagrams in and out: kernel UDP, capture files. One monomorphised trait for all sources.
//!
//! This module must not know what the datagrams hold.

mod source;

pub use source::{Datagram, DatagramHandler, PacketSink, PacketSource, Polled, RxClock, RxStamp};
