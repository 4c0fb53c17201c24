//! Aeron's media driver over AF_XDP: the table of functions by which the driver sends and receives UDP
//! (`aeron_udp_channel_transport_bindings.h`), with the kernel's network stack bypassed where that can be.
//!
//! Every transport still has its kernel socket, opened by Aeron's own functions: it holds the port and the membership of a
//! group, finds and confirms neighbours, and takes whatever does not come by a ring. So there is nothing that works without
//! this module and not with it; what cannot be bypassed goes the usual way, and why is told. Described in the README beside
//! this file.
//!
//! This module must not know what the streams are for.

mod bindings;
mod counts;
mod endpoint;
mod lane;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
#[allow(
    clippy::disallowed_types,
    reason = "what the driver's threads tell people, now and then"
)]
use std::sync::{Mutex, PoisonError};

use crate::net::xdp::kernel::Watcher;
use crate::net::xdp::{FrameCount, Port, SocketStatistics};

pub(in crate::transport) use bindings::Bindings;
use counts::SideCounts;
pub use counts::{XdpCounters, XdpStats};
use lane::Lane;
pub use lane::XdpInterface;

/// Lines that are kept for people; those beyond are counted only.
const TOLD_MAX: usize = 64;

/// The queues of interfaces that a media driver takes over. For one driver.
#[derive(Debug)]
pub struct XdpTransport {
    shared: Arc<Shared>,
}

/// What the driver's halves, and those who look on, share.
#[derive(Debug)]
struct Shared {
    lanes: Vec<Lane>,
    watcher: Arc<Watcher>,
    /// Routers that unicast may pass.
    unicast_ttl: u8,
    counts: [SideCounts; 2],
    #[allow(clippy::disallowed_types, reason = "as the import says")]
    told: Mutex<Vec<Told>>,
    fallbacks: AtomicU64,
}

/// How a transport goes, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// In one line.
    pub line: String,
    /// Whether it stays with the kernel.
    pub is_fallback: bool,
}

/// A view of a driver over AF_XDP, for who reports on it.
#[derive(Clone, Debug)]
pub struct XdpView(Arc<Shared>);

impl XdpTransport {
    /// A transport over these ports. `watcher` was started in the network namespace of the interfaces.
    ///
    /// # Errors
    /// What the kernel says, where it gives no more descriptors.
    pub fn new(
        ports: Vec<(XdpInterface, Port)>,
        watcher: Arc<Watcher>,
    ) -> io::Result<XdpTransport> {
        let lanes = ports.into_iter().map(|(interface, port)| Lane::new(interface, port));
        let shared = Shared {
            lanes: lanes.collect::<io::Result<_>>()?,
            watcher,
            unicast_ttl: unicast_ttl(),
            counts: <[SideCounts; 2]>::default(),
            told: Default::default(),
            fallbacks: AtomicU64::new(0),
        };
        Ok(XdpTransport { shared: Arc::new(shared) })
    }

    /// What it does, to be asked while a driver has it.
    pub fn view(&self) -> XdpView {
        XdpView(Arc::clone(&self.shared))
    }
}

/// As the kernel has it in the calling thread's network namespace: 64 unless somebody has set another (ip(7), `ip_default_ttl`).
fn unicast_ttl() -> u8 {
    let told = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").ok();
    told.and_then(|text| text.trim().parse().ok()).unwrap_or(64)
}

impl XdpView {
    /// What was counted.
    pub fn stats(&self) -> XdpStats {
        SideCounts::stats(&self.0.counts)
    }

    /// Transports that stayed with the kernel since the start.
    pub fn fallbacks(&self) -> u64 {
        self.0.fallbacks.load(Ordering::Relaxed)
    }

    /// What was told since this was last asked: a line for each transport, how it goes and why.
    pub fn take_told(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.told())
    }

    /// Packets that were lost for want of room in a ring or of frames. A system call for each interface.
    pub fn drops(&self) -> u64 {
        let of = |lane: &Lane| {
            let told = lane.statistics();
            told.receive_dropped.saturating_add(told.receive_ring_full)
        };
        self.0.lanes.iter().map(of).fold(0, u64::saturating_add)
    }

    /// What the kernel counted, by interface. A system call each.
    pub fn statistics(&self) -> Vec<(String, SocketStatistics)> {
        let of = |lane: &Lane| (lane.interface().name.clone(), lane.statistics());
        self.0.lanes.iter().map(of).collect()
    }

    /// Who has how many frames, by interface.
    pub fn count_frames(&self) -> Vec<(String, FrameCount)> {
        let of = |lane: &Lane| (lane.interface().name.clone(), lane.count_frames());
        self.0.lanes.iter().map(of).collect()
    }
}

impl Shared {
    #[allow(clippy::disallowed_types, reason = "as the import says")]
    fn told(&self) -> std::sync::MutexGuard<'_, Vec<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a line for people.
    fn tell(&self, line: String, is_fallback: bool) {
        self.fallbacks.fetch_add(u64::from(is_fallback), Ordering::Relaxed);
        let mut told = self.told();
        if told.len() < TOLD_MAX {
            told.push(Told { line, is_fallback });
        }
    }
}
