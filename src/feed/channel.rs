//! One channel from datagram to book: packet, sequence, messages, orders.

use crate::feed::arbiter::{Arbiter, Join, Take};
use crate::feed::book::{Books, BooksConfig, Effect, Refusal};
use crate::feed::itch50::{self, ItchError, Message};
use crate::feed::moldudp64::{self, Messages, Packet};
use crate::types::{FeedState, Nanos, Symbol};

/// What a channel needs to know of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelSettings {
    /// Where it may be joined.
    pub join: Join,
    /// Silence after which it is stale; exchanges send a heartbeat each second.
    pub stale_after_ns: u64,
    /// Room for its books.
    pub books: BooksConfig,
}

/// What a channel took in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelCounts {
    /// Datagrams, the refused ones too.
    pub packets: u64,
    /// Messages that were new.
    pub messages: u64,
    /// Those that are of a known type and well formed, by letter.
    pub by_type: [u64; 256],
    /// Datagrams refused as a whole.
    pub packet_errors: u64,
    /// Messages refused as malformed or of no known type.
    pub message_errors: u64,
    /// Messages that did not fit their book.
    pub misfits: u64,
}

impl Default for ChannelCounts {
    fn default() -> ChannelCounts {
        ChannelCounts {
            packets: 0,
            messages: 0,
            by_type: [0; 256],
            packet_errors: 0,
            message_errors: 0,
            misfits: 0,
        }
    }
}

/// Who wants to know what a channel's messages did.
pub trait FeedSink {
    /// `message` was applied to `books`, with this outcome.
    fn on_message(&mut self, books: &Books, message: &Message, outcome: &Result<Effect, Refusal>);

    /// All orders, statuses and locate codes were forgotten: a new session begins.
    fn on_clear(&mut self, books: &Books);
}

/// For whom the books themselves are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSink;

impl FeedSink for NoSink {
    #[inline]
    fn on_message(&mut self, _: &Books, _: &Message, _: &Result<Effect, Refusal>) {}

    #[inline]
    fn on_clear(&mut self, _: &Books) {}
}

/// A market data channel: its sequence and its books.
#[derive(Debug)]
pub struct Channel {
    arbiter: Arbiter,
    books: Books,
    counts: ChannelCounts,
}

impl Channel {
    /// A channel with books for `symbols`, in this order.
    ///
    /// # Panics
    /// As [`Books::new`].
    pub fn new(settings: &ChannelSettings, symbols: &[Symbol]) -> Channel {
        Channel {
            arbiter: Arbiter::new(settings.join, settings.stale_after_ns),
            books: Books::new(settings.books, symbols),
            counts: ChannelCounts::default(),
        }
    }

    /// Takes a datagram of either line and tells `sink` what its messages did.
    #[inline]
    pub fn on_datagram(&mut self, payload: &[u8], now: Nanos, sink: &mut impl FeedSink) {
        self.counts.packets += 1;
        let Ok(packet) = moldudp64::parse(payload) else {
            self.counts.packet_errors += 1;
            return;
        };
        let judgement = self.arbiter.judge(&packet, now);
        if judgement.new_session {
            self.books.clear();
            sink.on_clear(&self.books);
        }
        if let (Packet::Data(_, messages), Take::From { skip }) = (packet, judgement.take) {
            self.apply(messages, skip, sink);
        }
    }

    #[inline]
    fn apply(&mut self, messages: Messages<'_>, skip: u16, sink: &mut impl FeedSink) {
        for bytes in messages.skip(usize::from(skip)) {
            self.counts.messages += 1;
            let message = match itch50::decode(bytes) {
                Ok(message) => message,
                Err(error) => {
                    self.refuse(error);
                    continue;
                }
            };
            if let Some(&letter) = bytes.first() {
                self.counts.by_type[usize::from(letter)] += 1;
            }
            let outcome = self.books.apply(&message);
            self.counts.misfits += u64::from(outcome.is_err());
            sink.on_message(&self.books, &message, &outcome);
        }
    }

    /// A message of a type this build does not know is left out; one that is malformed may have changed a book, so
    /// nothing of the channel can be relied on any more.
    #[cold]
    fn refuse(&mut self, error: ItchError) {
        self.counts.message_errors += 1;
        match error {
            ItchError::UnknownType(_) => {}
            ItchError::Empty | ItchError::WrongLength { .. } | ItchError::BadSide(_) => {
                self.arbiter.mark_broken();
            }
        }
    }

    /// Its state at `now`.
    #[inline]
    pub fn check(&mut self, now: Nanos) -> FeedState {
        self.arbiter.check(now)
    }

    /// Its sequence.
    pub const fn arbiter(&self) -> &Arbiter {
        &self.arbiter
    }

    /// Its books.
    #[inline]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// What it took in.
    #[inline]
    pub const fn counts(&self) -> &ChannelCounts {
        &self.counts
    }
}
