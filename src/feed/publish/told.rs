//! One instrument as the readers of one stream know it, and telling them what is different now.

use crate::codec::market_data::{
    AuctionImbalance, BookStatus, ChannelStatus, ConflationNotice, MarketDataIncrementalRefresh,
    SecurityDefinition, SecurityStatus, TopOfBook,
};
use crate::feed::book::{Best, BookIndex};
use crate::feed::publish::ladder::{self, Change, Level};
use crate::feed::publish::outlet::is_stale;
use crate::feed::publish::stream::Stream;
use crate::feed::view::BookView;
use crate::transport::Outbound;
use crate::types::{BookState, ChannelId, InstrumentId, Price, Side, UpdateAction, UtcNanos};

/// What the publisher has to know of an instrument.
#[derive(Clone, Copy, Debug)]
pub(in crate::feed) struct Listing {
    /// Place of its channel.
    pub(in crate::feed) channel: usize,
    pub(in crate::feed) channel_id: ChannelId,
    /// Its book in that channel.
    pub(in crate::feed) book: BookIndex,
    pub(in crate::feed) definition: SecurityDefinition,
}

/// One instrument as its stream's readers know it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) listing: Listing,
    pub(super) status: Option<SecurityStatus>,
    /// How its coming cross stands.
    pub(super) auction: Option<AuctionImbalance>,
    /// When the book changed last.
    pub(super) time: UtcNanos,
    pub(super) state: Option<BookState>,
    pub(super) top: Best,
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
    /// Whether a change was told in part.
    pub(super) is_open: bool,
    pub(super) is_definition_due: bool,
    pub(super) is_status_due: bool,
    pub(super) is_auction_due: bool,
    /// Whether its readers know nothing, or the wrong thing.
    pub(super) is_reset_due: bool,
    pub(super) is_waiting: bool,
    /// States left out since it waits.
    pub(super) conflated: u32,
    /// Trades left out and not told of.
    pub(super) dropped: u32,
}

impl Told {
    pub(super) fn new(listing: Listing, depth: usize) -> Told {
        Told {
            listing,
            status: None,
            auction: None,
            time: UtcNanos(0),
            state: None,
            top: Best::default(),
            bids: Vec::with_capacity(depth),
            asks: Vec::with_capacity(depth),
            is_open: false,
            is_definition_due: true,
            is_status_due: false,
            is_auction_due: false,
            is_reset_due: true,
            is_waiting: false,
            conflated: 0,
            dropped: 0,
        }
    }

    pub(super) fn id(&self) -> InstrumentId {
        self.listing.definition.security_id
    }

    /// Forgets what anybody knows: somebody new reads.
    pub(super) fn forget(&mut self) {
        self.is_definition_due = true;
        self.is_status_due = self.status.is_some();
        self.is_auction_due = self.auction.is_some();
        self.is_reset_due = true;
        self.top = Best::default();
        (self.conflated, self.dropped) = (0, 0);
    }
}

/// How deep books are told, and room to work in, so that nothing is allocated.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) depth: usize,
    levels: Vec<Level>,
    changes: Vec<Change>,
}

impl Room {
    pub(super) fn new(depth: usize) -> Room {
        let (levels, changes) = (Vec::with_capacity(depth), Vec::with_capacity(4 * depth));
        Room { depth, levels, changes }
    }
}

/// What readers ought to think of a book; `None` while its channel's state is not known yet.
#[inline]
pub(super) fn wanted(
    channels: &[Option<ChannelStatus>],
    listing: &Listing,
    books: &impl BookView,
) -> Option<BookState> {
    let status = channels[listing.channel]?;
    let is_stale = is_stale(status) || books.is_stale(listing.book);
    Some(if is_stale { BookState::Stale } else { BookState::Current })
}

/// Tells all that is due of one instrument; `false` if not all of it went. At most 6 messages and 4 a level.
#[inline]
pub(super) fn send<O: Outbound>(
    told: &mut Told,
    stream: &mut Stream<O>,
    books: &impl BookView,
    wanted: Option<BookState>,
    room: &mut Room,
    count: &mut usize,
) -> bool {
    let is_behind =
        told.is_definition_due || told.is_status_due || told.is_auction_due || told.is_reset_due;
    let has_skipped = told.conflated > 0 || told.dropped > 0;
    if (is_behind || has_skipped || told.state != wanted)
        && !send_about(told, stream, wanted, count)
    {
        return false;
    }
    let is_current = wanted == Some(BookState::Current);
    let best = if is_current { books.best(told.listing.book) } else { Best::default() };
    if best != told.top {
        if !stream.offer(|rpt_seq| top_of_book(told, best, rpt_seq)) {
            return false;
        }
        told.top = best;
        *count += 1;
    }
    room.depth == 0 || !is_current || send_levels(told, stream, books, room, count)
}

/// Tells what there is to tell of an instrument besides its prices; `false` if not all of it went.
#[cold]
fn send_about<O: Outbound>(
    told: &mut Told,
    stream: &mut Stream<O>,
    wanted: Option<BookState>,
    count: &mut usize,
) -> bool {
    if told.is_definition_due {
        let definition = told.listing.definition;
        if !stream.offer(|rpt_seq| SecurityDefinition { rpt_seq, ..definition }) {
            return false;
        }
        told.is_definition_due = false;
        *count += 1;
    }
    if let (true, Some(status)) = (told.is_status_due, told.status) {
        if !stream.offer(|rpt_seq| SecurityStatus { rpt_seq, ..status }) {
            return false;
        }
        told.is_status_due = false;
        *count += 1;
    }
    if let (true, Some(auction)) = (told.is_auction_due, told.auction) {
        if !stream.offer(|rpt_seq| AuctionImbalance { rpt_seq, ..auction }) {
            return false;
        }
        told.is_auction_due = false;
        *count += 1;
    }
    if told.conflated > 0 || told.dropped > 0 {
        let notice = ConflationNotice {
            rpt_seq: 0,
            security_id: told.id(),
            conflated_count: told.conflated,
            dropped_trade_count: told.dropped,
        };
        if !stream.offer(|rpt_seq| ConflationNotice { rpt_seq, ..notice }) {
            return false;
        }
        (told.conflated, told.dropped) = (0, 0);
        *count += 1;
    }
    match wanted {
        Some(state) if told.is_reset_due || told.state != Some(state) => {
            let status = BookStatus {
                rpt_seq: 0,
                transact_time: told.time,
                security_id: told.id(),
                book_state: state,
            };
            if !stream.offer(|rpt_seq| BookStatus { rpt_seq, ..status }) {
                return false;
            }
            told.bids.clear();
            told.asks.clear();
            told.is_open = false;
            told.state = Some(state);
            told.is_reset_due = false;
            *count += 1;
            true
        }
        Some(_) | None => true,
    }
}

/// Tells how the levels differ from those told; `false` if not all of it went. Of a book in transition nothing is told: the
/// message that completes it touches it again.
#[inline]
fn send_levels<O: Outbound>(
    told: &mut Told,
    stream: &mut Stream<O>,
    books: &impl BookView,
    room: &mut Room,
    count: &mut usize,
) -> bool {
    if books.is_in_transition(told.listing.book) {
        return true;
    }
    room.changes.clear();
    for side in [Side::Buy, Side::Sell] {
        levels(books, told.listing.book, side, room.depth, &mut room.levels);
        let last = match side {
            Side::Buy => &told.bids,
            Side::Sell => &told.asks,
        };
        ladder::compare(side, last, &room.levels, &mut room.changes);
    }
    if room.changes.is_empty() {
        return !told.is_open || close(told, stream, count);
    }
    let last = room.changes.len() - 1;
    for (at, change) in room.changes.iter().enumerate() {
        if !send_change(told, stream, change, at == last) {
            return false;
        }
        *count += 1;
    }
    true
}

#[inline]
fn send_change<O: Outbound>(
    told: &mut Told,
    stream: &mut Stream<O>,
    change: &Change,
    last_fragment: bool,
) -> bool {
    let Change { action, side, level } = *change;
    let (transact_time, security_id) = (told.time, told.id());
    let is_sent = stream.offer(|rpt_seq| MarketDataIncrementalRefresh {
        rpt_seq,
        transact_time,
        md_entry_px: level.price,
        md_entry_size: level.shares,
        security_id,
        number_of_orders: level.orders,
        md_update_action: action,
        md_entry_type: side,
        last_fragment,
    });
    if is_sent {
        let levels = match side {
            Side::Buy => &mut told.bids,
            Side::Sell => &mut told.asks,
        };
        ladder::apply(levels, change);
        told.is_open = !last_fragment;
    }
    is_sent
}

/// Ends a change that was told in part, where nothing is left to tell of it.
#[cold]
fn close<O: Outbound>(told: &mut Told, stream: &mut Stream<O>, count: &mut usize) -> bool {
    let of = |side, level: &Level| Change { action: UpdateAction::Change, side, level: *level };
    let bid = told.bids.first().map(|level| of(Side::Buy, level));
    let any = bid.or_else(|| told.asks.first().map(|level| of(Side::Sell, level)));
    let is_closed = match any {
        Some(change) => send_change(told, stream, &change, true),
        None => {
            let (transact_time, security_id) = (told.time, told.id());
            let book_state = BookState::Current;
            stream.offer(|rpt_seq| BookStatus { rpt_seq, transact_time, security_id, book_state })
        }
    };
    if is_closed {
        told.is_open = false;
        *count += 1;
    }
    is_closed
}

/// The best levels of one side, best first, into `into`.
#[inline]
pub(super) fn levels(
    books: &impl BookView,
    book: BookIndex,
    side: Side,
    depth: usize,
    into: &mut Vec<Level>,
) {
    into.clear();
    books.each_level(book, side, depth, |price, shares, orders| {
        into.push(Level { price, shares, orders });
    });
}

fn top_of_book(told: &Told, best: Best, rpt_seq: u64) -> TopOfBook {
    let price = |side: Option<(Price, u64)>| side.map(|(price, _)| price);
    let shares = |side: Option<(Price, u64)>| side.map_or(0, |(_, shares)| shares);
    TopOfBook {
        rpt_seq,
        transact_time: told.time,
        bid_px: price(best.bid),
        offer_px: price(best.ask),
        bid_size: shares(best.bid),
        offer_size: shares(best.ask),
        security_id: told.id(),
    }
}
