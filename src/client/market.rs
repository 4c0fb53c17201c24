//! The streams of market data and of snapshots, read and decoded.

use crate::client::Handler;
use crate::codec::market_data::MarketData;
use crate::transport::{Inbound, TransportDown};

/// Messages taken from each stream in one poll.
const MESSAGES_PER_POLL: usize = 256;

/// Reads market data. Allocates nothing.
#[derive(Debug)]
pub struct MarketReader<S> {
    changes: Option<S>,
    snapshots: Option<S>,
    undecoded: u64,
}

impl<S: Inbound> MarketReader<S> {
    /// Reads the stream of changes and that of snapshots, either of which may be left out.
    pub const fn new(changes: Option<S>, snapshots: Option<S>) -> MarketReader<S> {
        MarketReader { changes, snapshots, undecoded: 0 }
    }

    /// Hands what arrived to `handler`, changes first; returns how many messages that was.
    ///
    /// # Errors
    /// [`TransportDown`] once a stream is closed.
    pub fn poll(&mut self, handler: &mut impl Handler) -> Result<usize, TransportDown> {
        let undecoded = &mut self.undecoded;
        let mut count = 0;
        if let Some(changes) = &mut self.changes {
            // Who comes and goes shows in the source of each message.
            while changes.next_event().is_some() {}
            count += changes.poll(MESSAGES_PER_POLL, &mut |fragment| {
                match MarketData::decode(fragment.bytes) {
                    Ok(message) => handler.on_market_data(fragment.source, &message),
                    // Lenient on purpose: what a newer gateway adds is skipped. Its hole in RptSeq is seen.
                    Err(_) => *undecoded += 1,
                }
            })?;
        }
        if let Some(snapshots) = &mut self.snapshots {
            while snapshots.next_event().is_some() {}
            count += snapshots.poll(
                MESSAGES_PER_POLL,
                &mut |fragment| match MarketData::decode(fragment.bytes) {
                    Ok(message) => handler.on_snapshot(&message),
                    Err(_) => *undecoded += 1,
                },
            )?;
        }
        Ok(count)
    }

    /// Messages that could not be decoded.
    pub const fn undecoded(&self) -> u64 {
        self.undecoded
    }
}
