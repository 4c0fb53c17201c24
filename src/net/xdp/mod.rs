//! AF_XDP: datagrams between an interface's queue and memory of ours, past the kernel's network stack.
//!
//! [`Port`] is what others use: a program on the interface that sorts out what is subscribed to, and a socket whose rings take
//! it. What is not subscribed to stays the kernel's, and so does everything once the process ends, however it ends.
//!
//! This module must not know what the datagrams hold.

pub mod frame;
pub mod kernel;

mod bpf;
mod btf;
mod cover;
mod error;
mod flows;
mod frames;
mod memory;
mod mender;
mod mode;
mod port;
mod program;
mod ring;
mod socket;
mod source;

pub use bpf::{FLOWS_MAX, Program, QUEUES_MAX};
pub use error::{Step, XdpError};
pub use flows::{FrameCounts, Sorter};
pub use frame::{Path, ReceivedUdp, Refused, multicast_mac, read_udp, write_udp};
pub use frames::FrameCount;
pub use mode::{AttachMode, Mode, WantedMode};
pub use port::{Port, PortConfig};
pub use program::{XDP_PASS, XDP_REDIRECT};
pub use socket::{
    BusyPoll, FramePart, ReceivedFrame, SocketConfig, SocketStatistics, UnboundSocket, XdpSocket,
    kick,
};
pub use source::XdpSource;
