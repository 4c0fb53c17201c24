//! Snapshots for who comes late: every instrument in turn, evenly over the interval, on a stream of their own.
//!
//! A snapshot is what the readers of the instrument's stream know, with the `RptSeq` up to which they know it: who has the
//! snapshot and applies what comes after that number knows the same. Where nobody reads that stream it is the book itself.
//! A book of which a change is told in part, or which is about to be told anew or in transition, has its turn in the next
//! round.

use crate::codec::market_data::{ChannelStatus, MarketDataSnapshotFullRefresh, SecurityDefinition};
use crate::feed::publish::ladder::Level;
use crate::feed::publish::outlet::Outlet;
use crate::feed::publish::stream::Stream;
use crate::feed::publish::told::{levels, wanted};
use crate::feed::publish::{Home, SnapshotStream};
use crate::feed::view::{AnyBooks, BookView};
use crate::runtime::Fatal;
use crate::telemetry::{Counter, Registry};
use crate::transport::Outbound;
use crate::types::{BookState, Nanos, Side};

/// Messages sent in one duty cycle: what is left of a deep book follows in the next.
const MESSAGES_PER_CYCLE: usize = 32;

#[derive(Debug)]
pub(super) struct Snapshots<O> {
    stream: Stream<O>,
    depth: usize,
    interval_ns: u64,
    /// Between two instruments.
    step_ns: u64,
    /// When the next instrument has its turn.
    next: Nanos,
    /// Which one that is.
    place: usize,
    /// The definition of the instrument in hand, while it is still to be sent.
    definition: Option<SecurityDefinition>,
    /// What all messages of the snapshot in hand have in common.
    head: Option<MarketDataSnapshotFullRefresh>,
    /// Its levels, bids first.
    levels: Vec<(Side, Level)>,
    /// How many messages of it were sent.
    sent: usize,
    scratch: Vec<Level>,
    taken: Counter,
}

impl<O: Outbound> Snapshots<O> {
    /// # Panics
    /// If the interval is 0.
    pub(super) fn new(
        stream: SnapshotStream<O>,
        registry: &Registry,
        depth: usize,
        instruments: usize,
    ) -> Snapshots<O> {
        let SnapshotStream { out, interval_ns } = stream;
        assert!(interval_ns > 0, "a round of snapshots takes time");
        let count = u64::try_from(instruments.max(1)).unwrap_or(u64::MAX);
        let sent = registry.counter("feed_snapshot_message_count");
        Snapshots {
            stream: Stream::new(out, sent),
            depth,
            interval_ns,
            step_ns: (interval_ns / count).max(1),
            next: Nanos(0),
            place: 0,
            definition: None,
            head: None,
            levels: Vec::with_capacity(2 * depth),
            sent: 0,
            scratch: Vec::with_capacity(depth),
            taken: registry.counter("feed_snapshot_count"),
        }
    }

    /// Why the stream is gone for good, if it is.
    pub(super) const fn fatal(&self) -> Option<Fatal> {
        self.stream.fatal()
    }

    /// Goes on with the snapshot in hand, or takes the next when it is due; returns how many messages went. One
    /// comparison where neither is so.
    #[inline]
    pub(super) fn poll<'b>(
        &mut self,
        now: Nanos,
        outlets: &[Outlet<O>],
        homes: &[Vec<Home>],
        channels: &[Option<ChannelStatus>],
        books: &impl Fn(usize) -> AnyBooks<'b>,
    ) -> usize {
        if self.head.is_none() {
            if now < self.next || !self.is_wanted(now, homes.len()) {
                return 0;
            }
            let home = homes[self.place][0];
            self.place = if self.place + 1 == homes.len() { 0 } else { self.place + 1 };
            self.take(&outlets[home.outlet], home.member, channels, books);
        }
        self.send()
    }

    /// Whether somebody reads when the next instrument is due; sets when the one after is.
    fn is_wanted(&mut self, now: Nanos, instruments: usize) -> bool {
        // After a pause it goes on at its pace and does not hurry.
        let is_late = now.since(self.next) > self.interval_ns;
        self.next = if is_late { now } else { self.next }.plus(self.step_ns);
        self.stream.look();
        self.stream.is_connected() && instruments > 0
    }

    /// Takes the snapshot of a member of `outlet`, if it can be had now.
    fn take<'b>(
        &mut self,
        outlet: &Outlet<O>,
        member: usize,
        channels: &[Option<ChannelStatus>],
        books: &impl Fn(usize) -> AnyBooks<'b>,
    ) {
        let told = &outlet.told[member];
        let (listing, stream) = (&told.listing, &outlet.stream);
        let books = books(listing.channel);
        self.levels.clear();
        let state = if stream.is_connected() {
            if told.is_open || told.is_reset_due {
                return;
            }
            self.levels.extend(told.bids.iter().map(|&level| (Side::Buy, level)));
            self.levels.extend(told.asks.iter().map(|&level| (Side::Sell, level)));
            told.state
        } else {
            if books.is_in_transition(listing.book) {
                return;
            }
            let state = wanted(channels, listing, &books);
            for side in [Side::Buy, Side::Sell] {
                if state == Some(BookState::Current) {
                    levels(&books, listing.book, side, self.depth, &mut self.scratch);
                    self.levels.extend(self.scratch.iter().map(|&level| (side, level)));
                }
            }
            state
        };
        self.definition = Some(listing.definition);
        self.head = Some(MarketDataSnapshotFullRefresh {
            rpt_seq: 0,
            last_msg_seq_num_processed: stream.rpt_seq(),
            transact_time: told.time,
            md_entry_px: None,
            md_entry_size: 0,
            security_id: told.id(),
            number_of_orders: 0,
            source_id: u32::from_ne_bytes(stream.source().to_ne_bytes()),
            channel_id: listing.channel_id,
            md_entry_position_no: 1,
            tot_num_reports: u16::try_from(self.levels.len().max(1)).unwrap_or(u16::MAX),
            security_trading_status: books.status(listing.book),
            book_state: state.unwrap_or(BookState::Stale),
            md_entry_type: Side::Buy,
        });
        self.sent = 0;
        self.taken.increment();
    }

    /// Sends what is left of the snapshot in hand, as far as there is room.
    fn send(&mut self) -> usize {
        let mut count = 0;
        let Some(head) = self.head else { return 0 };
        if let Some(definition) = self.definition {
            if !self.stream.offer(|rpt_seq| SecurityDefinition { rpt_seq, ..definition }) {
                return self.give_up_if_alone(count);
            }
            self.definition = None;
            count += 1;
        }
        let total = self.levels.len().max(1);
        while self.sent < total && count < MESSAGES_PER_CYCLE {
            let position = u16::try_from(self.sent + 1).unwrap_or(u16::MAX);
            let mut message =
                MarketDataSnapshotFullRefresh { md_entry_position_no: position, ..head };
            if let Some(&(side, level)) = self.levels.get(self.sent) {
                message.md_entry_px = Some(level.price);
                message.md_entry_size = level.shares;
                message.number_of_orders = level.orders;
                message.md_entry_type = side;
            }
            let numbered = |rpt_seq| MarketDataSnapshotFullRefresh { rpt_seq, ..message };
            if !self.stream.offer(numbered) {
                return self.give_up_if_alone(count);
            }
            self.sent += 1;
            count += 1;
        }
        if self.sent == total {
            self.head = None;
        }
        count
    }

    /// The rest of a snapshot waits for room, but not for readers: later ones want a newer.
    #[cold]
    fn give_up_if_alone(&mut self, count: usize) -> usize {
        if !self.stream.is_connected() {
            self.head = None;
        }
        count
    }
}
