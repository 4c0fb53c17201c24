//! The latest of every market, kept until a request needs it.
//!
//! Prices change far more often than orders come. Only what a decision was made with is applied to the engine, and so
//! recorded: a price or status waits here, overwritten by later ones, until the next request that is checked against it.

use crate::codec::journal::{FeedStatus, ReferencePrice};
use crate::types::Nanos;

/// The latest price of each instrument and status of each channel, with when they came.
#[derive(Debug)]
pub(super) struct FeedCache {
    prices: Box<[Option<(Nanos, ReferencePrice)>]>,
    statuses: Box<[Option<(Nanos, FeedStatus)>]>,
}

impl FeedCache {
    pub(super) fn new(instruments: usize, channels: usize) -> FeedCache {
        FeedCache { prices: vec![None; instruments].into(), statuses: vec![None; channels].into() }
    }

    #[inline]
    pub(super) fn keep_price(&mut self, instrument: usize, now: Nanos, price: ReferencePrice) {
        self.prices[instrument] = Some((now, price));
    }

    #[inline]
    pub(super) fn keep_status(&mut self, channel: usize, now: Nanos, status: FeedStatus) {
        self.statuses[channel] = Some((now, status));
    }

    /// The price, if it has come since it was last taken.
    #[inline]
    pub(super) fn take_price(&mut self, instrument: usize) -> Option<(Nanos, ReferencePrice)> {
        self.prices[instrument].take()
    }

    /// The status, if it has come since it was last taken.
    #[inline]
    pub(super) fn take_status(&mut self, channel: usize) -> Option<(Nanos, FeedStatus)> {
        self.statuses[channel].take()
    }
}
