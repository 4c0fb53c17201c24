//! Datagrams in and out: kernel UDP, capture files. One monomorphised trait for all sources. And the way to the servers that
//! make good what multicast lost, and what the kernel tells of network interfaces.
//!
//! This module must not know what the datagrams hold.

mod any;
mod batch;
mod frame;
mod nic;
mod pcapng;
mod player;
mod recovery_link;
mod replay;
mod source;
mod stream;
mod udp;

pub mod capture;
pub mod interface;
pub mod xdp;

pub use any::{AnySource, SourceSet, StreamedSet};
pub use frame::{FrameError, Link, UdpFrame, parse_link_udp, parse_udp};
pub use player::{CaptureRecording, Player, Recorded, Recording, Speed};
pub use recovery_link::{KernelRecoveryLink, RecoveryLink, StreamState};
pub use replay::{CaptureSource, Pace};
pub use source::{
    BypassCounts, Datagram, DatagramHandler, PacketSink, PacketSource, Polled, PublisherChange,
    RxClock, RxStamp,
};
pub use stream::AeronSource;
pub use udp::{KernelUdpSink, KernelUdpSource, Timestamps, UdpSinkConfig, UdpSourceConfig};
