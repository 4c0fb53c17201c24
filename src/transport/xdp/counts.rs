//! What a driver over AF_XDP counts: each half its own, without waiting.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::{Counter, Registry};
use crate::transport::xdp::XdpView;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Received,
    Sent,
    KernelReceived,
    KernelSent,
    Refused,
    RingFull,
    KickErrors,
}

/// How many there are of them.
const COUNTS: usize = 7;

/// What a driver over AF_XDP counted since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpStats {
    /// Datagrams from the rings.
    pub received: u64,
    /// Datagrams into the rings.
    pub sent: u64,
    /// Times something was read from the kernel's sockets of transports that are bypassed: what came before the program was
    /// told of them, by other interfaces, or in fragments.
    pub kernel_received: u64,
    /// Datagrams of such transports that were sent through the kernel, since it alone knew the way or they did not fit into a frame.
    pub kernel_sent: u64,
    /// Frames that held no datagram of ours, or one with a bad checksum.
    pub refused: u64,
    /// Times the transmit ring had no room.
    pub ring_full: u64,
    /// Times the kernel did not take what was to be sent: the interface is down or gone.
    pub kick_errors: u64,
}

/// The same numbers as counters.
#[derive(Debug)]
pub struct XdpCounters {
    view: XdpView,
    received: Counter,
    sent: Counter,
    kernel_received: Counter,
    kernel_sent: Counter,
    refused: Counter,
    ring_full: Counter,
    kick_errors: Counter,
    fallbacks: Counter,
}

impl XdpCounters {
    /// The writer's handles, of what is seen through `view`.
    ///
    /// # Panics
    /// If the counter table lacks a row: a bug of ours.
    pub fn new(registry: &Registry, view: XdpView) -> XdpCounters {
        XdpCounters {
            view,
            received: registry.counter("transport_xdp_received_count"),
            sent: registry.counter("transport_xdp_sent_count"),
            kernel_received: registry.counter("transport_xdp_kernel_received_count"),
            kernel_sent: registry.counter("transport_xdp_kernel_sent_count"),
            refused: registry.counter("transport_xdp_refused_count"),
            ring_full: registry.counter("transport_xdp_ring_full_count"),
            kick_errors: registry.counter("transport_xdp_kick_error_count"),
            fallbacks: registry.counter("transport_xdp_fallback_count"),
        }
    }

    /// Writes them.
    pub(in crate::transport) fn write(&self) {
        let stats = self.view.stats();
        self.received.set(stats.received);
        self.sent.set(stats.sent);
        self.kernel_received.set(stats.kernel_received);
        self.kernel_sent.set(stats.kernel_sent);
        self.refused.set(stats.refused);
        self.ring_full.set(stats.ring_full);
        self.kick_errors.set(stats.kick_errors);
        self.fallbacks.set(self.view.fallbacks());
    }
}

/// One half's. One thread writes.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct SideCounts([AtomicU64; COUNTS]);

impl SideCounts {
    #[inline]
    pub(super) fn add(&self, count: Count, more: u64) {
        let counter = &self.0[match count {
            Count::Received => 0,
            Count::Sent => 1,
            Count::KernelReceived => 2,
            Count::KernelSent => 3,
            Count::Refused => 4,
            Count::RingFull => 5,
            Count::KickErrors => 6,
        }];
        let value = counter.load(Ordering::Relaxed).wrapping_add(more);
        counter.store(value, Ordering::Relaxed);
    }

    pub(super) fn stats(sides: &[SideCounts; 2]) -> XdpStats {
        let sum = |place: usize| {
            let each = sides.iter().map(|side| side.0[place].load(Ordering::Relaxed));
            each.fold(0, u64::wrapping_add)
        };
        XdpStats {
            received: sum(0),
            sent: sum(1),
            kernel_received: sum(2),
            kernel_sent: sum(3),
            refused: sum(4),
            ring_full: sum(5),
            kick_errors: sum(6),
        }
    }
}
