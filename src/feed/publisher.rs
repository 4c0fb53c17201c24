//! What strategies are told: normalised market data, conflated where they do not keep up.
//!
//! Of definition, status and best bid and offer the newest of each instrument is kept and sent when there is room; trades
//! cannot be conflated and are dropped. `RptSeq` counts what was made, not what was sent: a hole tells a reader that
//! something was replaced by what follows, or dropped. While nobody reads, values are kept without a hole, so that the
//! first reader is told the state of everything.

use std::collections::VecDeque;

use crate::codec::Message;
use crate::codec::market_data::{
    ChannelStatus, SecurityDefinition, SecurityStatus, TopOfBook, Trade,
};
use crate::runtime::Fatal;
use crate::telemetry::{Counter, Registry};
use crate::transport::{OfferError, Outbound};

/// The newest values of one instrument that are still to be sent.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    definition: Option<SecurityDefinition>,
    status: Option<SecurityStatus>,
    top: Option<TopOfBook>,
    is_waiting: bool,
}

#[derive(Debug)]
pub(super) struct Publisher<O> {
    out: O,
    rpt_seq: u64,
    /// By instrument.
    held: Vec<Held>,
    /// Instruments with something held, the longest held first.
    waiting: VecDeque<usize>,
    /// By channel.
    channels: Vec<Option<ChannelStatus>>,
    held_channels: usize,
    fatal: Option<Fatal>,
    sent: Counter,
    conflated: Counter,
    dropped: Counter,
}

impl<O: Outbound> Publisher<O> {
    pub(super) fn new(out: O, registry: &Registry, instruments: usize, channels: usize) -> Self {
        Publisher {
            out,
            rpt_seq: 0,
            held: vec![Held::default(); instruments],
            waiting: VecDeque::with_capacity(instruments),
            channels: vec![None; channels],
            held_channels: 0,
            fatal: None,
            sent: registry.counter("feed_publish_count"),
            conflated: registry.counter("feed_publish_conflated_count"),
            dropped: registry.counter("feed_publish_dropped_count"),
        }
    }

    /// Why the stream is gone for good, if it is.
    #[inline]
    pub(super) fn fatal(&self) -> Option<Fatal> {
        self.fatal
    }

    /// The newest best bid and offer of the instrument at `place`. Its `rpt_seq` is set here, as everywhere.
    #[inline]
    pub(super) fn top(&mut self, place: usize, top: TopOfBook) {
        let replaced = self.held[place].top.replace(top).is_some();
        self.keep(place, replaced);
    }

    pub(super) fn status(&mut self, place: usize, status: SecurityStatus) {
        let replaced = self.held[place].status.replace(status).is_some();
        self.keep(place, replaced);
    }

    pub(super) fn definition(&mut self, place: usize, definition: SecurityDefinition) {
        let replaced = self.held[place].definition.replace(definition).is_some();
        self.keep(place, replaced);
    }

    #[inline]
    fn keep(&mut self, place: usize, replaced: bool) {
        if replaced && self.out.is_connected() {
            self.conflated.increment();
            self.rpt_seq += 1;
        }
        if !self.held[place].is_waiting {
            self.held[place].is_waiting = true;
            self.waiting.push_back(place);
            if self.waiting.len() == 1 {
                self.retry();
            }
        }
    }

    /// A trade: sent now or never.
    pub(super) fn trade(&mut self, trade: Trade) {
        let is_free = self.waiting.is_empty();
        if is_free && self.offer(|rpt_seq| Trade { rpt_seq, ..trade }) {
            return;
        }
        if self.out.is_connected() {
            self.rpt_seq += 1;
            self.dropped.increment();
        }
    }

    pub(super) fn channel(&mut self, place: usize, status: ChannelStatus) {
        if self.channels[place].replace(status).is_none() {
            self.held_channels += 1;
        }
        self.retry();
    }

    /// Sends what is held, as far as there is room; returns how much that was.
    #[inline]
    pub(super) fn retry(&mut self) -> usize {
        if self.waiting.is_empty() && self.held_channels == 0 {
            return 0;
        }
        self.retry_held()
    }

    fn retry_held(&mut self) -> usize {
        let mut count = 0;
        for place in 0..self.channels.len() {
            if let Some(status) = self.channels[place] {
                if !self.offer(|rpt_seq| ChannelStatus { rpt_seq, ..status }) {
                    return count;
                }
                self.channels[place] = None;
                self.held_channels -= 1;
                count += 1;
            }
        }
        while let Some(&place) = self.waiting.front() {
            if !self.send_held(place, &mut count) {
                break;
            }
            self.held[place].is_waiting = false;
            self.waiting.pop_front();
        }
        count
    }

    /// Sends what is held for one instrument; `false` if not all of it went.
    #[inline]
    fn send_held(&mut self, place: usize, count: &mut usize) -> bool {
        if let Some(definition) = self.held[place].definition {
            if !self.offer(|rpt_seq| SecurityDefinition { rpt_seq, ..definition }) {
                return false;
            }
            self.held[place].definition = None;
            *count += 1;
        }
        if let Some(status) = self.held[place].status {
            if !self.offer(|rpt_seq| SecurityStatus { rpt_seq, ..status }) {
                return false;
            }
            self.held[place].status = None;
            *count += 1;
        }
        if let Some(top) = self.held[place].top {
            if !self.offer(|rpt_seq| TopOfBook { rpt_seq, ..top }) {
                return false;
            }
            self.held[place].top = None;
            *count += 1;
        }
        true
    }

    #[inline]
    fn offer<M: Message>(&mut self, numbered: impl FnOnce(u64) -> M) -> bool {
        if self.fatal.is_some() {
            return false;
        }
        let message = numbered(self.rpt_seq + 1);
        match self.out.offer(M::BYTES, |bytes| message.encode(bytes)) {
            Ok(()) => {
                self.rpt_seq += 1;
                self.sent.increment();
                true
            }
            Err(OfferError::NotConnected | OfferError::BackPressured | OfferError::AdminAction) => {
                false
            }
            Err(OfferError::MaxPositionExceeded) => {
                self.fatal = Some(Fatal::MaxPosition);
                false
            }
            // A stream that does not take a message of this size never will: as good as gone.
            Err(OfferError::Closed | OfferError::TooLong) => {
                self.fatal = Some(Fatal::TransportDown);
                false
            }
        }
    }
}
