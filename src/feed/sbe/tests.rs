//! A channel against single messages: every kind, every state of a book, and every bound.

use crate::codec::Message;
use crate::codec::market_data::{
    BookStatus, ChannelStatus, ConflationNotice, MarketDataIncrementalRefresh,
    MarketDataSnapshotFullRefresh, SecurityDefinition, SecurityStatus, TopOfBook, Trade,
};
use crate::feed::book::{Best, BookIndex};
use crate::feed::channel::NoSink;
use crate::feed::sbe::books::{AHEAD_MAX, HISTORY_MESSAGES_MAX};
use crate::feed::sbe::{CHANGES_LINE, SNAPSHOTS_LINE, SbeChannel, SbeSettings};
use crate::net::PublisherChange;
use crate::types::{
    BookState, ChannelId, FeedState, InstrumentId, Nanos, Price, SessionPhase,
    ShortSaleRestriction, Side, Symbol, TradingStatus, UpdateAction, UtcNanos,
};

const RUN: i32 = -3;
const NUMBER: InstrumentId = InstrumentId(900);
const BOOK: BookIndex = BookIndex(1);
const TIME: UtcNanos = UtcNanos(5);

fn symbol(text: &str) -> Symbol {
    Symbol::new(text).expect("a symbol")
}

/// A channel that follows AAA and BBB, and what it was sent.
struct Rig {
    channel: SbeChannel,
    next: u64,
}

impl Rig {
    /// One whose first publisher is there.
    fn new() -> Rig {
        let settings = SbeSettings { stale_after_ns: 1_000 };
        let mut channel = SbeChannel::new(&settings, &[symbol("AAA"), symbol("BBB")]);
        channel.on_publisher(CHANGES_LINE, PublisherChange::Came(RUN), &mut NoSink);
        channel.on_publisher(CHANGES_LINE, PublisherChange::Speaks(RUN), &mut NoSink);
        Rig { channel, next: 1 }
    }

    /// One whose book BBB is known and empty.
    fn known() -> Rig {
        let mut rig = Rig::new();
        rig.define(NUMBER, "BBB");
        rig.begin(BookState::Current);
        assert!(!rig.is_stale());
        rig
    }

    fn line<M: Message>(&mut self, line: u8, message: &M) {
        let mut bytes = [0; 128];
        message.encode(&mut bytes);
        self.channel.on_message(line, &bytes[..M::BYTES], Nanos(0), &mut NoSink);
    }

    /// Sends the next message of the stream of market data.
    fn send<M: Message>(&mut self, numbered: impl FnOnce(u64) -> M) {
        let message = numbered(self.next);
        self.next += 1;
        self.line(CHANGES_LINE, &message);
    }

    fn define(&mut self, number: InstrumentId, text: &str) {
        self.send(|rpt_seq| definition(rpt_seq, number, text));
    }

    fn begin(&mut self, book_state: BookState) {
        self.send(|rpt_seq| BookStatus {
            rpt_seq,
            transact_time: TIME,
            security_id: NUMBER,
            book_state,
        });
    }

    fn change(&mut self, action: UpdateAction, price: i64, size: u64, last_fragment: bool) {
        self.send(|rpt_seq| MarketDataIncrementalRefresh {
            rpt_seq,
            transact_time: TIME,
            md_entry_px: Price::from_units(price),
            md_entry_size: size,
            security_id: NUMBER,
            number_of_orders: 1,
            md_update_action: action,
            md_entry_type: Side::Buy,
            last_fragment,
        });
    }

    fn top(&mut self, bid: i64) {
        self.send(|rpt_seq| TopOfBook {
            rpt_seq,
            transact_time: TIME,
            bid_px: Some(Price::from_units(bid)),
            offer_px: None,
            bid_size: 9,
            offer_size: 0,
            security_id: NUMBER,
        });
    }

    /// A message about nothing that is followed.
    fn other(&mut self) {
        self.send(|rpt_seq| Trade {
            rpt_seq,
            transact_time: TIME,
            last_px: Price::from_units(1),
            trade_id: 1,
            last_qty: 1,
            security_id: InstrumentId(1),
            aggressor_side: Side::Buy,
        });
    }

    /// A whole snapshot with these bids, taken at `at`.
    fn snapshot(&mut self, at: u64, bids: &[i64]) {
        for piece in pieces(at, bids) {
            self.line(SNAPSHOTS_LINE, &piece);
        }
    }

    fn is_stale(&self) -> bool {
        self.channel.books().is_stale(BOOK)
    }

    fn bids(&self) -> Vec<i64> {
        self.channel.books().levels(BOOK, Side::Buy).map(|(price, _, _)| price.units()).collect()
    }

    fn bid(&self) -> Option<i64> {
        self.channel.books().best(BOOK).bid.map(|(price, _)| price.units())
    }
}

fn definition(rpt_seq: u64, security_id: InstrumentId, text: &str) -> SecurityDefinition {
    SecurityDefinition {
        rpt_seq,
        min_price_increment: Price::from_units(1),
        round_lot: 1,
        security_id,
        symbol: symbol(text).wire(),
    }
}

fn pieces(at: u64, bids: &[i64]) -> Vec<MarketDataSnapshotFullRefresh> {
    let total = u16::try_from(bids.len().max(1)).expect("few");
    let piece = |position: u16| {
        let price = bids.get(usize::from(position) - 1);
        MarketDataSnapshotFullRefresh {
            rpt_seq: u64::from(position),
            last_msg_seq_num_processed: at,
            transact_time: TIME,
            md_entry_px: price.map(|&price| Price::from_units(price)),
            md_entry_size: 4,
            security_id: NUMBER,
            number_of_orders: 2,
            source_id: RUN.cast_unsigned(),
            channel_id: ChannelId(1),
            md_entry_position_no: position,
            tot_num_reports: total,
            security_trading_status: TradingStatus::Trading,
            book_state: BookState::Current,
            md_entry_type: Side::Buy,
        }
    };
    (1..=total).map(piece).collect()
}

#[test]
fn a_book_is_what_is_told_after_it_began() {
    let mut rig = Rig::new();
    rig.change(UpdateAction::New, 10, 5, true);
    rig.define(NUMBER, "BBB");
    rig.change(UpdateAction::New, 11, 5, true);
    assert!(rig.is_stale(), "it did not begin");
    rig.begin(BookState::Current);
    rig.top(12);
    assert_eq!((rig.bid(), rig.bids()), (Some(12), vec![]), "the best comes before its level");
    rig.change(UpdateAction::New, 11, 5, false);
    assert!(rig.channel.books().is_in_transition(BOOK));
    assert_eq!(rig.bid(), Some(12));
    rig.change(UpdateAction::New, 12, 5, true);
    assert_eq!((rig.bid(), rig.bids()), (Some(12), vec![12, 11]));
    rig.change(UpdateAction::Delete, 12, 0, true);
    assert_eq!((rig.bid(), rig.bids()), (Some(11), vec![11]));
    rig.begin(BookState::Stale);
    rig.top(13);
    assert!(rig.is_stale());
    assert_eq!(rig.channel.books().best(BOOK), Best::default(), "a stale book has no prices");
}

#[test]
fn a_gateway_that_tells_no_levels_is_believed_its_best_prices() {
    let mut rig = Rig::known();
    rig.top(7);
    assert_eq!((rig.bid(), rig.bids()), (Some(7), vec![]));
    rig.begin(BookState::Current);
    assert_eq!(rig.bid(), None);
}

#[test]
fn a_change_that_does_not_fit_makes_its_book_stale_until_a_later_snapshot() {
    let faults = [(UpdateAction::New, 10), (UpdateAction::Change, 11), (UpdateAction::Delete, 9)];
    for (action, price) in faults {
        let mut rig = Rig::known();
        rig.change(UpdateAction::New, 10, 5, true);
        let before = rig.next - 1;
        rig.change(action, price, 5, true);
        assert!(rig.is_stale());
        assert_eq!(rig.channel.books().counts().misfits, 1);
        rig.change(UpdateAction::New, 20, 5, true);
        rig.snapshot(before, &[10]);
        assert!(rig.is_stale(), "it is older than the fault");
        rig.snapshot(before + 1, &[15, 10]);
        assert!(!rig.is_stale());
        assert_eq!(
            (rig.bid(), rig.bids()),
            (Some(20), vec![20, 15, 10]),
            "what came since is in it"
        );
    }
}

#[test]
fn levels_beyond_what_a_gateway_tells_do_not_fit() {
    let mut rig = Rig::known();
    for price in 0..64 {
        rig.change(UpdateAction::New, price, 1, true);
        assert!(!rig.is_stale());
    }
    rig.change(UpdateAction::New, 64, 1, true);
    assert!(rig.is_stale());
    let bids: Vec<i64> = (0..65).rev().collect();
    rig.snapshot(rig.next - 1, &bids);
    assert!(rig.is_stale(), "neither does such a snapshot");
    rig.snapshot(rig.next - 1, &bids[..64]);
    assert_eq!((rig.is_stale(), rig.bids().len()), (false, 64));
}

#[test]
fn a_snapshot_from_before_what_is_kept_is_passed_over() {
    let mut rig = Rig::new();
    rig.define(NUMBER, "BBB");
    let kept = u64::try_from(HISTORY_MESSAGES_MAX).expect("it fits");
    for _ in 0..=kept {
        rig.change(UpdateAction::New, 10, 5, true);
    }
    // The first of them is forgotten.
    rig.snapshot(1, &[9]);
    assert!(rig.is_stale());
    assert_eq!(rig.channel.books().counts().passed, 1);
    rig.snapshot(rig.next - 2, &[9]);
    assert_eq!((rig.is_stale(), rig.bids()), (false, vec![10, 9]));
}

#[test]
fn a_snapshot_ahead_of_the_stream_passes_over_changes_but_not_for_ever() {
    for (ahead, is_taken) in [(3, true), (AHEAD_MAX, true), (AHEAD_MAX + 1, false)] {
        let mut rig = Rig::new();
        rig.define(NUMBER, "BBB");
        let at = rig.next - 1 + ahead;
        rig.snapshot(at, &[9]);
        assert_eq!(rig.is_stale(), !is_taken, "{ahead}");
        rig.change(UpdateAction::New, 9, 5, true);
        rig.top(9);
        assert_eq!(rig.bids(), if is_taken { vec![9] } else { vec![] });
        assert_eq!(rig.channel.books().counts().misfits, 0);
    }
    let mut rig = Rig::known();
    rig.snapshot(u64::MAX, &[9]);
    assert_eq!(rig.bids(), Vec::<i64>::new(), "a known book waits for none");
}

#[test]
fn a_snapshot_is_of_its_run_and_of_books_that_are_followed() {
    let mut rig = Rig::new();
    rig.line(SNAPSHOTS_LINE, &definition(1, NUMBER, "BBB"));
    rig.snapshot(0, &[9]);
    assert!(rig.is_stale(), "nothing was heard of the stream yet");
    rig.other();
    rig.line(SNAPSHOTS_LINE, &definition(1, NUMBER, "BBB"));
    let mut foreign = pieces(1, &[9])[0];
    foreign.source_id += 1;
    rig.line(SNAPSHOTS_LINE, &foreign);
    assert!(rig.is_stale());
    rig.snapshot(1, &[9]);
    assert_eq!((rig.is_stale(), rig.bids()), (false, vec![9]), "the definition came with it");
    assert_eq!(rig.channel.books().status(BOOK), TradingStatus::Trading);
    assert!(rig.channel.books().is_stale(BookIndex(0)), "and AAA is not known");
}

#[test]
fn what_an_instrument_is_may_come_late_but_not_change() {
    let mut rig = Rig::new();
    rig.change(UpdateAction::New, 10, 5, true);
    rig.other();
    rig.line(SNAPSHOTS_LINE, &definition(1, NUMBER, "BBB"));
    // A change after this snapshot went unread, since it was not known whose it is.
    rig.snapshot(0, &[9]);
    assert!(rig.is_stale());
    rig.snapshot(2, &[10, 9]);
    assert_eq!((rig.is_stale(), rig.bids()), (false, vec![10, 9]));
    rig.define(NUMBER, "BBB");
    assert!(!rig.is_stale(), "nothing new");
    for text in ["AAA", "CCC"] {
        let mut rig = Rig::known();
        rig.send(|rpt_seq| ChannelStatus {
            rpt_seq,
            channel_id: ChannelId(1),
            channel_state: FeedState::Current,
            session_phase: SessionPhase::MarketHours,
            circuit_breaker_level: 1,
        });
        assert_eq!(rig.channel.check(Nanos(0)), FeedState::Current);
        assert_eq!(rig.channel.session(), (SessionPhase::MarketHours, 1));
        rig.define(NUMBER, text);
        assert_eq!((rig.is_stale(), rig.channel.check(Nanos(0))), (true, FeedState::Stale));
        assert_eq!(rig.channel.counts().message_errors, 1);
        rig.define(NUMBER, "BBB");
        rig.begin(BookState::Current);
        assert!(!rig.is_stale());
    }
}

#[test]
fn messages_in_the_wrong_place_are_counted() {
    let mut rig = Rig::known();
    let misplaced = pieces(1, &[9])[0];
    rig.send(|rpt_seq| MarketDataSnapshotFullRefresh { rpt_seq, ..misplaced });
    assert!(!rig.is_stale());
    rig.line(
        SNAPSHOTS_LINE,
        &ConflationNotice {
            rpt_seq: 9,
            security_id: NUMBER,
            conflated_count: 1,
            dropped_trade_count: 1,
        },
    );
    assert_eq!(rig.channel.counts().message_errors, 2);
    assert_eq!(rig.channel.counts().conflated, 0);
}

#[test]
fn a_trading_status_is_the_last_told_until_something_is_lost() {
    let mut rig = Rig::known();
    let status = |rpt_seq| SecurityStatus {
        rpt_seq,
        transact_time: TIME,
        security_id: NUMBER,
        security_trading_status: TradingStatus::Halted,
        short_sale_restriction: ShortSaleRestriction::InEffect,
        halt_reason: *b"T1  ",
    };
    rig.send(status);
    rig.snapshot(rig.next - 1, &[]);
    assert_eq!(rig.channel.books().counts().matched, 1);
    assert_eq!(rig.channel.books().status(BOOK), TradingStatus::Halted, "told, so it is newer");
    rig.next += 1;
    rig.other();
    assert_eq!(rig.channel.books().status(BOOK), TradingStatus::Unknown);
    assert!(rig.is_stale());
    rig.snapshot(rig.next - 1, &[]);
    assert_eq!(rig.channel.books().status(BOOK), TradingStatus::Trading);
}

#[test]
fn a_snapshot_that_differs_makes_the_book_anew_and_is_counted() {
    let mut rig = Rig::known();
    rig.change(UpdateAction::New, 10, 5, true);
    rig.snapshot(rig.next - 1, &[11]);
    assert_eq!((rig.bid(), rig.bids()), (Some(11), vec![11]));
    assert_eq!(rig.channel.books().counts().differed, 1);
    rig.snapshot(rig.next - 2, &[12]);
    assert_eq!(rig.bids(), [11], "that one is older than the book");
}
