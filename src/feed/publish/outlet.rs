//! One stream with the instruments that are told on it: what its readers know of them, and what waits for room.

use std::collections::VecDeque;

use crate::codec::Message;
use crate::codec::market_data::{AuctionImbalance, ChannelStatus, SecurityStatus};
use crate::feed::publish::stream::{Readers, Stream};
use crate::feed::publish::told::{Listing, Room, Told, send, wanted};
use crate::feed::view::{AnyBooks, BookView};
use crate::telemetry::{Counter, Registry};
use crate::transport::Outbound;
use crate::types::{FeedState, Nanos, UtcNanos};

/// Messages told of what waited in one duty cycle; one instrument more may go beyond. A message takes some 25 ns.
const WAITING_PER_CYCLE: usize = 256;
/// Messages told of what datagrams changed in one duty cycle: beyond it, as where a session ends and all books are emptied
/// at once, instruments wait. One instrument more may go beyond.
const TOLD_PER_CYCLE: usize = 1024;

/// How often the states of channels are told though they did not change.
const CHANNELS_NS: u64 = 100_000_000;

#[derive(Debug)]
pub(super) struct Outlet<O> {
    pub(super) stream: Stream<O>,
    /// By member.
    pub(super) told: Vec<Told>,
    /// Members of which something is to be told, the longest waiting first.
    waiting: VecDeque<usize>,
    /// By channel; what is to be told of it.
    channels: Vec<Option<ChannelStatus>>,
    channels_waiting: usize,
    /// When the states of channels are told again.
    next_channels: Nanos,
    /// Messages told of what datagrams changed in this cycle.
    told_in_cycle: usize,
    /// Whether the stream refused something in this cycle: it is not asked again before the next.
    is_full: bool,
    conflated: Counter,
    dropped: Counter,
}

impl<O: Outbound> Outlet<O> {
    /// A stream for `listings`, in their order.
    pub(super) fn new(
        out: O,
        registry: &Registry,
        listings: impl Iterator<Item = Listing>,
        depth: usize,
        channels: usize,
    ) -> Outlet<O> {
        let told: Vec<Told> = listings.map(|listing| Told::new(listing, depth)).collect();
        Outlet {
            stream: Stream::new(out, registry.counter("feed_publish_count")),
            waiting: VecDeque::with_capacity(told.len()),
            told,
            channels: vec![None; channels],
            channels_waiting: 0,
            next_channels: Nanos(0),
            told_in_cycle: 0,
            is_full: false,
            conflated: registry.counter("feed_publish_conflated_count"),
            dropped: registry.counter("feed_publish_dropped_count"),
        }
    }

    /// The same stream for other instruments or another depth. Before anything was told.
    pub(super) fn rebuilt(
        self,
        registry: &Registry,
        listings: impl Iterator<Item = Listing>,
        depth: usize,
    ) -> Outlet<O> {
        let channels = self.channels.len();
        Outlet::new(self.stream.into_out(), registry, listings, depth, channels)
    }

    fn has_channel(&self, channel: usize) -> bool {
        self.told.iter().any(|told| told.listing.channel == channel)
    }

    /// Looks whether anybody reads the stream; to who is new on it everything is to be told.
    #[inline]
    pub(super) fn look(&mut self) {
        if self.stream.look() == Readers::Came {
            self.refresh();
        }
    }

    #[cold]
    fn refresh(&mut self) {
        // Before everything else, which is the next thing it does.
        self.next_channels = Nanos(0);
        self.waiting.clear();
        for (member, told) in self.told.iter_mut().enumerate() {
            told.forget();
            told.is_waiting = true;
            self.waiting.push_back(member);
        }
    }

    fn keep_channel(&mut self, channel: usize, status: ChannelStatus) {
        if self.channels[channel].replace(status).is_none() {
            self.channels_waiting += 1;
        }
    }

    /// The state of a channel, and whether its instruments' books turned stale or current with it.
    pub(super) fn channel(&mut self, channel: usize, status: ChannelStatus, has_turned: bool) {
        if !self.stream.is_connected() || !self.has_channel(channel) {
            return;
        }
        self.keep_channel(channel, status);
        for member in 0..self.told.len() {
            if has_turned && self.told[member].listing.channel == channel {
                self.wait(member);
            }
        }
    }

    /// All states of its channels that are known are to be told again.
    #[cold]
    fn repeat_channels(&mut self, now: Nanos, channels: &[Option<ChannelStatus>]) {
        self.next_channels = now.plus(CHANNELS_NS);
        for (channel, status) in channels.iter().enumerate() {
            if let Some(status) = *status
                && self.has_channel(channel)
            {
                self.keep_channel(channel, status);
            }
        }
    }

    /// Puts a member last among those that wait, unless it waits already.
    fn wait(&mut self, member: usize) {
        if !self.told[member].is_waiting {
            self.told[member].is_waiting = true;
            self.waiting.push_back(member);
        }
    }

    /// A member's trading status, to be told with its book.
    pub(super) fn status(&mut self, member: usize, status: SecurityStatus) {
        let told = &mut self.told[member];
        let is_replaced = told.status.replace(status).is_some() && told.is_status_due;
        told.is_status_due = true;
        if is_replaced && self.stream.is_connected() {
            told.conflated = told.conflated.saturating_add(1);
            self.conflated.increment();
        }
    }

    /// How a member's coming cross stands, to be told with its book.
    pub(super) fn auction(&mut self, member: usize, auction: AuctionImbalance) {
        let told = &mut self.told[member];
        told.auction = Some(auction);
        let is_replaced = std::mem::replace(&mut told.is_auction_due, true);
        if is_replaced && self.stream.is_connected() {
            told.conflated = told.conflated.saturating_add(1);
            self.conflated.increment();
        }
    }

    /// What happened to a member once: sent now or never. It may overtake its book, but not what the instrument is.
    pub(super) fn event<M: Message>(&mut self, member: usize, numbered: impl FnOnce(u64) -> M) {
        if !self.stream.is_connected() {
            return;
        }
        let told = &mut self.told[member];
        if !self.is_full && !told.is_definition_due {
            if self.stream.offer(numbered) {
                return;
            }
            self.is_full = true;
        }
        self.dropped.increment();
        told.dropped = told.dropped.saturating_add(1);
        self.wait(member);
    }

    /// States and trades of a member that had been left out before they came to us.
    pub(super) fn left_out(&mut self, member: usize, conflated: u32, dropped: u32) {
        if self.stream.is_connected() {
            let told = &mut self.told[member];
            told.conflated = told.conflated.saturating_add(conflated);
            told.dropped = told.dropped.saturating_add(dropped);
            self.wait(member);
        }
    }

    /// Tells what changed of a member, or lets it wait.
    #[inline]
    pub(super) fn tell(
        &mut self,
        member: usize,
        books: &impl BookView,
        time: UtcNanos,
        channels: &[Option<ChannelStatus>],
        room: &mut Room,
    ) {
        let told = &mut self.told[member];
        told.time = time;
        if !self.stream.is_connected() {
            return;
        }
        if told.is_waiting {
            if !told.is_reset_due {
                told.conflated = told.conflated.saturating_add(1);
                self.conflated.increment();
            }
            return;
        }
        let wanted = wanted(channels, &told.listing, books);
        let is_free = self.waiting.is_empty() && self.told_in_cycle < TOLD_PER_CYCLE;
        let count = &mut self.told_in_cycle;
        if self.is_full || !is_free {
            self.wait(member);
        } else if !send(told, &mut self.stream, books, wanted, room, count) {
            self.is_full = true;
            self.wait(member);
        }
    }

    /// Tells what waits, in turn, as far as there is room and the cycle's share goes; returns how many messages that was.
    #[inline]
    pub(super) fn retry<'b>(
        &mut self,
        now: Nanos,
        books: &impl Fn(usize) -> AnyBooks<'b>,
        channels: &[Option<ChannelStatus>],
        room: &mut Room,
    ) -> usize {
        self.told_in_cycle = 0;
        self.is_full = false;
        if now >= self.next_channels && self.stream.is_connected() {
            self.repeat_channels(now, channels);
        }
        let is_idle = self.waiting.is_empty() && self.channels_waiting == 0;
        if is_idle || !self.stream.is_connected() {
            return 0;
        }
        let mut count = 0;
        if !self.send_channels(&mut count) {
            self.is_full = true;
            return count;
        }
        while count < WAITING_PER_CYCLE
            && let Some(&member) = self.waiting.front()
        {
            let told = &mut self.told[member];
            let books = books(told.listing.channel);
            let wanted = wanted(channels, &told.listing, &books);
            if !send(told, &mut self.stream, &books, wanted, room, &mut count) {
                self.is_full = true;
                break;
            }
            told.is_waiting = false;
            self.waiting.pop_front();
        }
        count
    }

    /// Sends the states of channels that are kept; `false` if one is left.
    fn send_channels(&mut self, count: &mut usize) -> bool {
        for channel in 0..self.channels.len() {
            if let Some(status) = self.channels[channel] {
                if !self.stream.offer(|rpt_seq| ChannelStatus { rpt_seq, ..status }) {
                    return false;
                }
                self.channels[channel] = None;
                self.channels_waiting -= 1;
                *count += 1;
            }
        }
        true
    }
}

/// Whether the books of a channel in this state may be wrong. When the exchange has ended the session they stay what they are.
pub(super) fn is_stale(status: ChannelStatus) -> bool {
    !matches!(status.channel_state, FeedState::Current | FeedState::Ended)
}
