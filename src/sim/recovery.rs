//! What the exchange offers to those who missed something: messages again, and a snapshot of the books.

use crate::net::PacketSink;
use crate::sim::glimpse::{GlimpseCounts, GlimpseServer, Standing};
use crate::sim::itch_out::SystemEvent;
use crate::sim::matching::Exchange;
use crate::sim::mold_out::MoldOut;
use crate::sim::rerequest::{RerequestCounts, RerequestServer};
use crate::types::Nanos;

/// How often the servers' sockets are looked at, in nanoseconds: each look costs a system call a server and client.
pub const LOOK_NS: u64 = 50_000;

/// For how long nobody may have asked until everybody has what it missed, in nanoseconds.
const QUIET_NS: u64 = 100_000_000;

/// The servers, where there are any.
#[derive(Debug, Default)]
pub struct RecoveryServers {
    /// Messages of the session again.
    pub rerequest: Option<RerequestServer>,
    /// The books as they stand.
    pub glimpse: Option<GlimpseServer>,
    looked_at: Option<Nanos>,
    asked_at: Option<Nanos>,
}

impl RecoveryServers {
    /// These servers.
    pub fn new(
        rerequest: Option<RerequestServer>,
        glimpse: Option<GlimpseServer>,
    ) -> RecoveryServers {
        RecoveryServers { rerequest, glimpse, looked_at: None, asked_at: None }
    }

    /// Serves whoever asks, at most once in [`LOOK_NS`]; returns how much was done.
    pub(super) fn poll<K: PacketSink>(
        &mut self,
        now: Nanos,
        mold: &MoldOut<K>,
        exchange: &Exchange,
        (event, stamp_ns): (SystemEvent, u64),
    ) -> usize {
        if self.looked_at.is_some_and(|at| now.since(at) < LOOK_NS) {
            return 0;
        }
        if self.rerequest.is_none() && self.glimpse.is_none() {
            return 0;
        }
        self.looked_at = Some(now);
        let mut work = self.rerequest.as_mut().map_or(0, |server| server.poll(mold));
        if let Some(server) = &mut self.glimpse {
            let sequence = mold.next_sequence();
            work += server.poll(now, &Standing { exchange, event, stamp_ns, sequence });
        }
        if work > 0 {
            self.asked_at = Some(now);
        }
        work
    }

    /// Whether nobody has asked for anything lately: who missed something has it by now, as far as it asks at all.
    pub fn is_quiet(&self) -> bool {
        match (self.looked_at, self.asked_at) {
            (Some(looked_at), Some(asked_at)) => looked_at.since(asked_at) >= QUIET_NS,
            (_, None) | (None, _) => true,
        }
    }

    /// What the servers did.
    pub fn counts(&self) -> (RerequestCounts, GlimpseCounts) {
        (
            self.rerequest.as_ref().map_or_else(RerequestCounts::default, RerequestServer::counts),
            self.glimpse.as_ref().map_or_else(GlimpseCounts::default, GlimpseServer::counts),
        )
    }

    /// Tells the clients that the day is over.
    pub(super) fn end_session(&mut self) {
        if let Some(server) = &mut self.glimpse {
            server.end_session();
        }
    }
}
