//! Datagrams in and out: kernel UDP, capture files. One monomorphised trait for all sources. And the way to the servers that
//! make good what multicast lost.
//!
//! This module must not know what the datagrams hold.

mod any;
mod batch;
mod frame;
mod recovery_link;
mod replay;
mod source;
mod udp;

pub mod capture;

pub use any::{AnySource, SourceSet};
pub use frame::{FrameError, UdpFrame, parse_udp};
pub use recovery_link::{KernelRecoveryLink, RecoveryLink, StreamState};
pub use replay::{CaptureSource, Pace};
pub use source::{Datagram, DatagramHandler, PacketSink, PacketSource, Polled, RxClock, RxStamp};
pub use udp::{KernelUdpSink, KernelUdpSource, UdpSinkConfig, UdpSourceConfig};
