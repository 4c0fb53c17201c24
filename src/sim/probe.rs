//! The floor a gateway is measured against: the same bytes over the same channels through a bare Aeron relay.
//!
//! Strategy → relay (on the gateway's thread) → echo (on the venue's thread) → relay → strategy. Relay and echo copy
//! what they read and decode nothing, so what the gateway takes longer is the gateway's own doing.

use crate::codec::Message;
use crate::codec::order_entry::{ExecutionReport, NewOrderSingle};
use crate::runtime::{Agent, Clock, Fatal};
use crate::telemetry::Recorder;
use crate::transport::{Inbound, Outbound, TransportDown};
use crate::types::Nanos;

/// Messages copied in one duty cycle.
const COPIES_PER_CYCLE: usize = 8;

/// Bytes at the start of every probe that tell when it was due.
const STAMP_BYTES: usize = 8;

/// The strategy's end.
#[derive(Debug)]
pub struct Probe<I, O> {
    /// Probes to the relay.
    pub out: O,
    /// Probes that came back.
    pub back: I,
    /// Their round trips.
    pub round_trip: Recorder,
}

impl<I: Inbound, O: Outbound> Probe<I, O> {
    /// Sends a probe as long as an order, due at `due`; `false` where the stream has no room.
    pub fn send(&mut self, due: Nanos) -> bool {
        let write = |slot: &mut [u8]| slot[..STAMP_BYTES].copy_from_slice(&due.0.to_le_bytes());
        self.out.offer(NewOrderSingle::BYTES, write).is_ok()
    }

    /// Takes what came back.
    ///
    /// # Errors
    /// [`TransportDown`].
    pub fn poll(&mut self, clock: &Clock) -> Result<usize, TransportDown> {
        let round_trip = &self.round_trip;
        while self.back.next_event().is_some() {}
        self.back.poll(COPIES_PER_CYCLE, &mut |fragment| {
            if let Some(stamp) = fragment.bytes.first_chunk::<STAMP_BYTES>() {
                round_trip.record(clock.now().since(Nanos(u64::from_le_bytes(*stamp))));
            }
        })
    }
}

/// Copies what comes in on one stream to another, and what comes back on a third to a fourth.
#[derive(Debug)]
pub struct RelayAgent<I, O> {
    /// From the strategy, and on to the venue.
    pub forth: (I, O),
    /// From the venue, and back to the strategy.
    pub back: (I, O),
}

impl<I: Inbound, O: Outbound> Agent for RelayAgent<I, O> {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn poll(&mut self, _now: Nanos) -> Result<usize, Fatal> {
        let mut work = 0;
        for (from, to) in [&mut self.back, &mut self.forth] {
            while from.next_event().is_some() {}
            let copied = from.poll(COPIES_PER_CYCLE, &mut |fragment| {
                // A probe that finds no room is lost: it counts as not measured.
                let _ = to.offer(fragment.bytes.len(), |slot| slot.copy_from_slice(fragment.bytes));
            });
            work += copied.map_err(|_| Fatal::TransportDown)?;
        }
        Ok(work)
    }
}

/// Answers each probe with one as long as an execution report.
#[derive(Debug)]
pub struct EchoAgent<I, O> {
    /// From the relay.
    pub from: I,
    /// Back to it.
    pub to: O,
}

impl<I: Inbound, O: Outbound> Agent for EchoAgent<I, O> {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn poll(&mut self, _now: Nanos) -> Result<usize, Fatal> {
        while self.from.next_event().is_some() {}
        let to = &mut self.to;
        self.from
            .poll(COPIES_PER_CYCLE, &mut |fragment| {
                let Some(stamp) = fragment.bytes.first_chunk::<STAMP_BYTES>() else { return };
                let write = |slot: &mut [u8]| slot[..STAMP_BYTES].copy_from_slice(stamp);
                let _ = to.offer(ExecutionReport::BYTES, write);
            })
            .map_err(|_| Fatal::TransportDown)
    }
}
