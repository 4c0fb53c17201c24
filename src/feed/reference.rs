//! What risk is told: best bids and offers, and whether a channel can be relied on.
//!
//! When the ring is full the newest value of each instrument is kept and sent later. The order in which held values go is
//! what keeps risk from ever taking an old price for a current one: first that a channel is stale, then prices, and that a
//! channel is current only when no price is held.

use std::collections::VecDeque;

use crate::codec::journal::{FeedStatus, ReferencePrice};
use crate::ring::Producer;
use crate::runtime::Clock;
use crate::telemetry::{Counter, Recorder, Registry};
use crate::types::FeedState;

/// The newest value of something, and whether it is still to be sent.
#[derive(Clone, Copy, Debug)]
struct Held<T> {
    value: Option<T>,
    is_held: bool,
}

impl<T> Held<T> {
    const NONE: Held<T> = Held { value: None, is_held: false };
}

#[derive(Debug)]
pub(super) struct References {
    ring: Producer,
    clock: Clock,
    /// By instrument.
    prices: Vec<Held<ReferencePrice>>,
    /// Instruments whose price is held, the longest held first.
    waiting: VecDeque<usize>,
    /// By channel.
    statuses: Vec<Held<FeedStatus>>,
    held_statuses: usize,
    hop: Recorder,
    sent: Counter,
    conflated: Counter,
}

impl References {
    pub(super) fn new(
        ring: Producer,
        clock: Clock,
        registry: &Registry,
        instruments: usize,
        channels: usize,
    ) -> References {
        References {
            ring,
            clock,
            prices: vec![Held::NONE; instruments],
            waiting: VecDeque::with_capacity(instruments),
            statuses: vec![Held::NONE; channels],
            held_statuses: 0,
            hop: registry.recorder("hop_feed"),
            sent: registry.counter("feed_reference_count"),
            conflated: registry.counter("feed_reference_conflated_count"),
        }
    }

    /// Tells risk the price of the instrument at `place`, now or as soon as there is room.
    #[inline]
    pub(super) fn price(&mut self, place: usize, price: ReferencePrice) {
        self.prices[place].value = Some(price);
        if self.prices[place].is_held {
            self.conflated.increment();
        } else if !self.waiting.is_empty() || !self.send_price(&price) {
            self.prices[place].is_held = true;
            self.waiting.push_back(place);
        }
    }

    #[inline]
    fn send_price(&mut self, price: &ReferencePrice) -> bool {
        if self.ring.send(price).is_err() {
            return false;
        }
        self.sent.increment();
        self.hop.record(self.clock.now().since(price.ingress_time));
        true
    }

    /// Tells risk the state of the channel at `place`, now or as soon as there is room.
    pub(super) fn status(&mut self, place: usize, status: FeedStatus) {
        let held = &mut self.statuses[place];
        held.value = Some(status);
        if !held.is_held {
            held.is_held = true;
            self.held_statuses += 1;
        }
        self.retry();
    }

    /// Sends what is held, as far as there is room; returns how much that was.
    #[inline]
    pub(super) fn retry(&mut self) -> usize {
        if self.waiting.is_empty() && self.held_statuses == 0 {
            return 0;
        }
        self.retry_held()
    }

    fn retry_held(&mut self) -> usize {
        let mut count = self.send_statuses(|state| state != FeedState::Current);
        while let Some(&place) = self.waiting.front() {
            if let Some(price) = self.prices[place].value
                && !self.send_price(&price)
            {
                return count;
            }
            self.prices[place].is_held = false;
            self.waiting.pop_front();
            count += 1;
        }
        count += self.send_statuses(|_| true);
        count
    }

    fn send_statuses(&mut self, which: impl Fn(FeedState) -> bool) -> usize {
        let mut count = 0;
        for held in self.statuses.iter_mut().filter(|held| held.is_held) {
            let Some(status) = held.value.filter(|status| which(status.feed_state)) else {
                continue;
            };
            if self.ring.send(&status).is_err() {
                break;
            }
            held.is_held = false;
            self.held_statuses -= 1;
            count += 1;
        }
        count
    }
}
