//! The mirror of the books against a naive model that remembers every state: random changes, losses, restarts and joins.

#[path = "support/random.rs"]
mod random;

use std::collections::{BTreeMap, VecDeque};

use postern::client::{BookMirror, Difference, Level};
use postern::codec::market_data::{
    BookStatus, MarketData, MarketDataIncrementalRefresh, MarketDataSnapshotFullRefresh, Trade,
};
use postern::types::{
    BookState, ChannelId, InstrumentId, Price, Side, TradingStatus, UpdateAction, UtcNanos,
};
use random::Random;

const INSTRUMENTS: u32 = 3;
const TIME: UtcNanos = UtcNanos(1);

/// The levels of an instrument's side by price, and whether the book is current.
type Ladder = BTreeMap<i64, (u64, u32)>;
type Book = (BookState, [Ladder; 2]);

/// A gateway that remembers every state it told.
struct Naive {
    random: Random,
    source: i32,
    rpt_seq: u64,
    books: BTreeMap<u32, Book>,
    /// By source and `RptSeq`: the books then.
    past: BTreeMap<(i32, u64), BTreeMap<u32, Book>>,
    snapshot_seq: u64,
}

fn place(side: Side) -> usize {
    usize::from(side == Side::Sell)
}

impl Naive {
    fn new(seed: u64) -> Naive {
        let empty = || (BookState::Current, [Ladder::new(), Ladder::new()]);
        Naive {
            random: Random::new(seed),
            source: 1,
            rpt_seq: 0,
            books: (1..=INSTRUMENTS).map(|id| (id, empty())).collect(),
            past: BTreeMap::new(),
            snapshot_seq: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.rpt_seq += 1;
        self.rpt_seq
    }

    fn remember(&mut self) {
        self.past.insert((self.source, self.rpt_seq), self.books.clone());
    }

    fn change(
        &mut self,
        id: u32,
        side: Side,
        price: i64,
        now: Option<(u64, u32)>,
    ) -> Option<MarketData> {
        let ladder = &mut self.books.get_mut(&id).expect("there").1[place(side)];
        let was = match now {
            Some(level) => ladder.insert(price, level),
            None => ladder.remove(&price),
        };
        let action = match (was, now) {
            (None, None) => return None,
            (None, Some(_)) => UpdateAction::New,
            (Some(_), Some(_)) => UpdateAction::Change,
            (Some(_), None) => UpdateAction::Delete,
        };
        let (md_entry_size, number_of_orders) = now.unwrap_or((0, 0));
        let message = MarketDataIncrementalRefresh {
            rpt_seq: self.number(),
            transact_time: TIME,
            md_entry_px: Price::from_units(price),
            md_entry_size,
            security_id: InstrumentId(id),
            number_of_orders,
            md_update_action: action,
            md_entry_type: side,
            last_fragment: true,
        };
        self.remember();
        Some(message.into())
    }

    fn status(&mut self, id: u32, book_state: BookState) -> MarketData {
        self.books.insert(id, (book_state, [Ladder::new(), Ladder::new()]));
        let (rpt_seq, security_id) = (self.number(), InstrumentId(id));
        self.remember();
        BookStatus { rpt_seq, transact_time: TIME, security_id, book_state }.into()
    }

    fn trade(&mut self) -> MarketData {
        let rpt_seq = self.number();
        self.remember();
        Trade {
            rpt_seq,
            transact_time: TIME,
            last_px: Price::from_units(1),
            trade_id: 1,
            last_qty: 1,
            security_id: InstrumentId(1),
            aggressor_side: Side::Buy,
        }
        .into()
    }

    /// What happens next.
    fn step(&mut self) -> Vec<MarketData> {
        let id = 1 + self.random.small(INSTRUMENTS);
        if self.random.one_in(60) {
            let told = self.books[&id].clone();
            let mut all = vec![self.status(id, BookState::Stale), self.trade()];
            all.push(self.status(id, BookState::Current));
            for side in [Side::Buy, Side::Sell] {
                for (price, level) in &told.1[place(side)] {
                    all.extend(self.change(id, side, *price, Some(*level)));
                }
            }
            return all;
        }
        if self.random.one_in(10) {
            return vec![self.trade()];
        }
        let side = if self.random.one_in(2) { Side::Buy } else { Side::Sell };
        let price = i64::from(self.random.small(8));
        let is_gone = self.random.one_in(3);
        let level = (1 + self.random.below(5), 1 + self.random.small(3));
        self.change(id, side, price, (!is_gone).then_some(level)).into_iter().collect()
    }

    /// Another gateway takes over: numbers begin anew, and everything is told.
    fn restart(&mut self) -> Vec<MarketData> {
        self.source += 1;
        self.rpt_seq = 0;
        let mut all = Vec::new();
        for id in 1..=INSTRUMENTS {
            let told = self.books[&id].clone();
            all.push(self.status(id, BookState::Current));
            for side in [Side::Buy, Side::Sell] {
                for (price, level) in &told.1[place(side)] {
                    all.extend(self.change(id, side, *price, Some(*level)));
                }
            }
        }
        all
    }

    fn snapshot(&mut self, id: u32) -> Vec<MarketDataSnapshotFullRefresh> {
        let (state, ladders) = &self.books[&id];
        let mut levels: Vec<(Side, i64, (u64, u32))> = Vec::new();
        levels.extend(ladders[0].iter().rev().map(|(price, level)| (Side::Buy, *price, *level)));
        levels.extend(ladders[1].iter().map(|(price, level)| (Side::Sell, *price, *level)));
        let total = levels.len().max(1);
        let head = |position: usize| MarketDataSnapshotFullRefresh {
            rpt_seq: 0,
            last_msg_seq_num_processed: self.rpt_seq,
            transact_time: TIME,
            md_entry_px: None,
            md_entry_size: 0,
            security_id: InstrumentId(id),
            number_of_orders: 0,
            source_id: u32::from_ne_bytes(self.source.to_ne_bytes()),
            channel_id: ChannelId(1),
            md_entry_position_no: u16::try_from(position + 1).expect("few"),
            tot_num_reports: u16::try_from(total).expect("few"),
            security_trading_status: TradingStatus::Trading,
            book_state: *state,
            md_entry_type: Side::Buy,
        };
        let mut all: Vec<_> = (0..total).map(head).collect();
        for (message, (side, price, (size, orders))) in all.iter_mut().zip(levels) {
            message.md_entry_px = Some(Price::from_units(price));
            message.md_entry_size = size;
            message.number_of_orders = orders;
            message.md_entry_type = side;
        }
        for message in &mut all {
            self.snapshot_seq += 1;
            message.rpt_seq = self.snapshot_seq;
        }
        all
    }

    /// Fails unless every book that the mirror knows is the one of the moment it is known up to.
    #[track_caller]
    fn assert_right(&self, source: i32, mirror: &BookMirror) {
        for id in 1..=INSTRUMENTS {
            if let Some(known) = mirror.known(InstrumentId(id)) {
                let past = self.past.get(&(source, known));
                let (state, ladders) = &past.unwrap_or_else(|| panic!("no {source} {known}"))[&id];
                assert_is(mirror, id, *state, ladders);
            }
        }
    }

    #[track_caller]
    fn assert_newest(&self, mirror: &BookMirror) {
        for (&id, (state, ladders)) in &self.books {
            assert!(
                mirror.known(InstrumentId(id)).is_some(),
                "{id} is known: {:?}",
                mirror.counts()
            );
            assert_is(mirror, id, *state, ladders);
        }
    }
}

#[track_caller]
fn assert_is(mirror: &BookMirror, id: u32, state: BookState, ladders: &[Ladder; 2]) {
    let book = mirror.book(InstrumentId(id)).expect("known");
    assert_eq!(book.state(), state);
    let level = |(&price, &(size, orders)): (&i64, &(u64, u32))| Level {
        price: Price::from_units(price),
        size,
        orders,
    };
    let bids: Vec<Level> = ladders[0].iter().rev().map(level).collect();
    let asks: Vec<Level> = ladders[1].iter().map(level).collect();
    assert_eq!((book.levels(Side::Buy), book.levels(Side::Sell)), (&bids[..], &asks[..]));
    assert_eq!(book.best(Side::Buy), bids.first().copied());
}

/// A reader of both streams, each of which arrives when it does, or not at all.
struct Reader {
    random: Random,
    mirror: BookMirror,
    changes: VecDeque<(i32, MarketData)>,
    snapshots: VecDeque<MarketDataSnapshotFullRefresh>,
    /// Source of the last message read.
    source: i32,
    losses: u64,
}

impl Reader {
    fn new(seed: u64) -> Reader {
        Reader {
            random: Random::new(seed),
            mirror: BookMirror::new(),
            changes: VecDeque::new(),
            snapshots: VecDeque::new(),
            source: 1,
            losses: 0,
        }
    }

    /// One message of either stream, or none.
    fn read(&mut self, naive: &Naive, is_lossy: bool) {
        if self.random.one_in(4) {
            if let Some(message) = self.snapshots.pop_front()
                && !(is_lossy && self.random.one_in(30))
            {
                self.mirror.on_snapshot(&message.into());
                if self.mirror.counts().messages > 0 {
                    naive.assert_right(self.source, &self.mirror);
                }
            }
        } else if is_lossy && self.random.one_in(150) {
            let lost = 1 + self.random.index(20);
            self.changes.drain(..lost.min(self.changes.len()));
            self.losses += 1;
        } else if let Some((source, message)) = self.changes.pop_front() {
            self.source = source;
            self.mirror.on_message(source, &message);
            naive.assert_right(source, &self.mirror);
        }
    }

    fn read_all(&mut self, naive: &Naive) {
        while !self.changes.is_empty() || !self.snapshots.is_empty() {
            self.read(naive, false);
        }
    }
}

fn run(seed: u64) -> (u64, u64, u64) {
    let mut naive = Naive::new(seed);
    let mut reader = Reader::new(!seed);
    let joins = naive.random.below(300);
    let steps = 600;
    for step in 0..steps {
        let told = naive.step();
        let source = naive.source;
        let mut told: Vec<_> = told.into_iter().map(|message| (source, message)).collect();
        if step > 50 && naive.random.one_in(250) {
            let (more, source) = (naive.restart(), naive.source);
            told.extend(more.into_iter().map(|message| (source, message)));
        }
        if step >= joins {
            reader.changes.extend(told);
            if naive.random.one_in(12) {
                let id = 1 + naive.random.small(INSTRUMENTS);
                let snapshot = naive.snapshot(id);
                reader.snapshots.extend(snapshot);
            }
        }
        // Sometimes the reader is far behind, sometimes the snapshots are far ahead.
        for _ in 0..reader.random.index(5) {
            reader.read(&naive, true);
        }
    }
    // One message more, so that what was lost before it shows; then every book's snapshot.
    let last = naive.trade();
    reader.read_all(&naive);
    reader.mirror.on_message(naive.source, &last);
    reader.source = naive.source;
    for id in 1..=INSTRUMENTS {
        reader.snapshots.extend(naive.snapshot(id));
    }
    reader.read_all(&naive);
    naive.assert_newest(&reader.mirror);
    let counts = reader.mirror.counts();
    assert_eq!(counts.differed, 0, "seed {seed}: {:?}", reader.mirror.difference());
    (counts.matched, counts.installed, reader.losses)
}

#[test]
fn whatever_is_lost_the_mirror_is_right_or_knows_that_it_is_not_and_the_next_snapshot_heals_it() {
    let seeds = if std::env::var_os("POSTERN_LONG").is_some() { 5_000 } else { 300 };
    let (mut matched, mut installed, mut losses) = (0, 0, 0);
    for seed in 0..seeds {
        let (more_matched, more_installed, more_losses) = run(seed);
        matched += more_matched;
        installed += more_installed;
        losses += more_losses;
    }
    assert!(matched > 2 * seeds && installed > 2 * seeds && losses > 3 * seeds);
}

#[test]
fn a_snapshot_that_is_not_the_book_is_told_and_believed() {
    let mut naive = Naive::new(1);
    let mut mirror = BookMirror::new();
    mirror.on_message(1, &naive.status(1, BookState::Current));
    let first = naive.change(1, Side::Buy, 5, Some((10, 1))).expect("new");
    mirror.on_message(1, &first);
    for message in naive.snapshot(1) {
        mirror.on_snapshot(&message.into());
    }
    assert_eq!((mirror.counts().matched, mirror.difference()), (1, None));
    let mut wrong = naive.snapshot(1);
    wrong[0].md_entry_size = 11;
    for message in wrong {
        mirror.on_snapshot(&message.into());
    }
    let level = |size| Some(Level { price: Price::from_units(5), size, orders: 1 });
    let expected = Difference::Level {
        instrument: InstrumentId(1),
        side: Side::Buy,
        position: 0,
        mirror: level(10),
        snapshot: level(11),
    };
    assert_eq!(mirror.difference(), Some(expected));
    assert_eq!(mirror.book(InstrumentId(1)).expect("known").best(Side::Buy), level(11));
    assert_eq!((mirror.counts().matched, mirror.counts().differed), (1, 1));
    let text = expected.to_string();
    assert!(text.contains("10 in 1 at") && text.contains("11 in 1 at"), "{text}");
}

#[test]
fn where_the_end_of_the_stream_is_lost_the_second_snapshot_heals() {
    let mut naive = Naive::new(1);
    let mut mirror = BookMirror::new();
    mirror.on_message(1, &naive.status(1, BookState::Current));
    let _lost = naive.change(1, Side::Buy, 5, Some((10, 1))).expect("new");
    for round in 0..2 {
        assert!(mirror.book(InstrumentId(1)).expect("known").best(Side::Buy).is_none(), "{round}");
        for message in naive.snapshot(1) {
            mirror.on_snapshot(&message.into());
        }
    }
    assert!(mirror.book(InstrumentId(1)).expect("known").best(Side::Buy).is_some());
    // The stream is there again: what came before the snapshot passes, what comes after it counts.
    let next = naive.change(1, Side::Buy, 4, Some((3, 1))).expect("new");
    mirror.on_message(1, &next);
    assert_eq!(mirror.book(InstrumentId(1)).expect("known").levels(Side::Buy).len(), 2);
}

#[test]
fn a_market_in_which_nothing_happens_is_known_and_compared() {
    let mut naive = Naive::new(1);
    naive.change(1, Side::Buy, 5, Some((10, 1))).expect("new");
    let mut mirror = BookMirror::new();
    for _ in 0..3 {
        for message in naive.snapshot(1) {
            mirror.on_snapshot(&message.into());
        }
    }
    assert_eq!((mirror.counts().installed, mirror.counts().matched), (1, 2));
    // It moved before we heard of it: the snapshot is newer, and no difference.
    naive.change(1, Side::Buy, 4, Some((10, 1))).expect("new");
    for message in naive.snapshot(1) {
        mirror.on_snapshot(&message.into());
    }
    assert_eq!(mirror.counts().differed, 0);
    assert_eq!(mirror.book(InstrumentId(1)).expect("known").levels(Side::Buy).len(), 2);
}

#[test]
fn snapshots_of_a_gateway_that_is_gone_are_passed_over() {
    let mut naive = Naive::new(1);
    let mut mirror = BookMirror::new();
    naive.change(1, Side::Buy, 5, Some((10, 1))).expect("new");
    let old = naive.snapshot(1);
    for message in naive.restart() {
        mirror.on_message(2, &message);
    }
    let moved = naive.change(1, Side::Buy, 5, None).expect("gone");
    mirror.on_message(2, &moved);
    for message in &old {
        mirror.on_snapshot(&(*message).into());
    }
    naive.assert_newest(&mirror);
    assert_eq!(mirror.counts().passed, 1);
    // Known by snapshots alone, and then the stream is another's.
    let mut mirror = BookMirror::new();
    for message in &old {
        mirror.on_snapshot(&(*message).into());
    }
    assert!(mirror.book(InstrumentId(1)).is_some());
    mirror.on_message(2, &moved);
    assert!(mirror.book(InstrumentId(1)).is_none(), "a change of a book that is not known");
}

/// Shared memory first brings a new reader what was written after the last one left, on each stream.
#[test]
fn a_snapshot_older_than_the_changes_that_are_kept_is_not_believed() {
    let mut naive = Naive::new(1);
    naive.status(1, BookState::Current);
    naive.change(1, Side::Buy, 5, Some((10, 1))).expect("new");
    let left_over = naive.snapshot(1);
    naive.change(1, Side::Buy, 4, Some((10, 1))).expect("nobody reads it");
    let first = naive.change(1, Side::Buy, 3, Some((10, 1))).expect("new");
    for snapshot_is_first in [false, true] {
        let mut mirror = BookMirror::new();
        if snapshot_is_first {
            left_over.iter().for_each(|message| mirror.on_snapshot(&(*message).into()));
            assert_eq!(mirror.known(InstrumentId(1)), Some(2), "nothing says that it is old");
        }
        mirror.on_message(1, &first);
        assert_eq!(mirror.book(InstrumentId(1)), None, "a hole");
        for _ in 0..2 {
            left_over.iter().for_each(|message| mirror.on_snapshot(&(*message).into()));
            assert_eq!(mirror.book(InstrumentId(1)), None, "older than what is kept");
        }
        naive.snapshot(1).into_iter().for_each(|message| mirror.on_snapshot(&message.into()));
        assert_is(&mirror, 1, BookState::Current, &naive.books[&1].1);
    }
}

/// While nobody reads the changes, books move under the same `RptSeq`; who comes is told all anew.
#[test]
fn what_is_left_over_on_both_streams_never_outlives_the_book_told_anew() {
    let id = InstrumentId(1);
    let mut naive = Naive::new(1);
    let mut changes = vec![naive.status(1, BookState::Current)];
    changes.extend(naive.change(1, Side::Buy, 5, Some((10, 1))));
    let left_over = naive.snapshot(1);
    // The book moved, and nobody was told.
    let moved: Ladder = [(6, (20, 2))].into();
    naive.books.insert(1, (BookState::Current, [moved, Ladder::new()]));
    let fresh = naive.snapshot(1);
    changes.push(naive.trade());
    let anew = changes.len();
    changes.push(naive.status(1, BookState::Current));
    changes.extend(naive.change(1, Side::Buy, 6, Some((20, 2))));
    changes.push(naive.trade());
    // Wherever the snapshots come among the changes, and wherever the reader comes in.
    for begin in 0..=anew {
        for old_at in begin..=changes.len() {
            for fresh_at in old_at..=changes.len() {
                let mut mirror = BookMirror::new();
                for at in begin..=changes.len() {
                    for (snapshot, place) in [(&left_over, old_at), (&fresh, fresh_at)] {
                        if place == at {
                            snapshot.iter().for_each(|m| mirror.on_snapshot(&(*m).into()));
                        }
                    }
                    if let Some(message) = changes.get(at) {
                        mirror.on_message(1, message);
                    }
                    let is_old = mirror.book(id).and_then(|book| book.best(Side::Buy));
                    let is_old = is_old.is_some_and(|level| level.price == Price::from_units(5));
                    assert!(!(is_old && at >= anew), "{begin} {old_at} {fresh_at} {at}");
                }
                assert_is(&mirror, 1, BookState::Current, &naive.books[&1].1);
            }
        }
    }
}

#[test]
fn a_change_that_fits_no_book_makes_it_unknown_until_a_snapshot_beyond_it() {
    let mut naive = Naive::new(1);
    let mut mirror = BookMirror::new();
    mirror.on_message(1, &naive.status(1, BookState::Current));
    let before = naive.snapshot(1);
    let mut change = naive.change(1, Side::Sell, 5, Some((10, 1))).expect("new");
    if let MarketData::MarketDataIncrementalRefresh(change) = &mut change {
        change.md_update_action = UpdateAction::Delete;
    }
    mirror.on_message(1, &change);
    assert_eq!((mirror.book(InstrumentId(1)), mirror.counts().misfits), (None, 1));
    for message in before {
        mirror.on_snapshot(&message.into());
    }
    assert_eq!(mirror.book(InstrumentId(1)), None, "a snapshot from before does not help");
    for message in naive.snapshot(1) {
        mirror.on_snapshot(&message.into());
    }
    assert!(mirror.book(InstrumentId(1)).is_some());
}

/// Any messages in any order: nothing panics, and what is held is bounded by what was sent.
#[test]
fn no_messages_panic() {
    let mut random = Random::new(9);
    let mut mirror = BookMirror::new();
    for _ in 0..200_000 {
        let size = random.below(3);
        let change = MarketDataIncrementalRefresh {
            rpt_seq: if random.one_in(2) { random.below(20) } else { random.next() },
            transact_time: TIME,
            md_entry_px: Price::from_units(i64::from(random.small(5))),
            md_entry_size: size,
            security_id: InstrumentId(random.small(3)),
            number_of_orders: random.small(3),
            md_update_action: UpdateAction::ALL[random.index(3)],
            md_entry_type: Side::ALL[random.index(2)],
            last_fragment: random.one_in(2),
        };
        let source = i32::from(random.one_in(9));
        match random.index(3) {
            0 => mirror.on_message(source, &change.into()),
            1 => {
                let (rpt_seq, security_id) = (change.rpt_seq, change.security_id);
                let book_state = BookState::Current;
                let status = BookStatus { rpt_seq, transact_time: TIME, security_id, book_state };
                mirror.on_message(source, &status.into());
            }
            _ => {
                let total = random.small(4);
                let snapshot = MarketDataSnapshotFullRefresh {
                    rpt_seq: 0,
                    last_msg_seq_num_processed: change.rpt_seq,
                    transact_time: TIME,
                    md_entry_px: random.one_in(4).then_some(change.md_entry_px),
                    md_entry_size: size,
                    security_id: change.security_id,
                    number_of_orders: 1,
                    source_id: random.small(2),
                    channel_id: ChannelId(1),
                    md_entry_position_no: u16::try_from(random.small(4)).expect("small"),
                    tot_num_reports: u16::try_from(total).expect("small"),
                    security_trading_status: TradingStatus::Trading,
                    book_state: BookState::ALL[random.index(2)],
                    md_entry_type: change.md_entry_type,
                };
                mirror.on_snapshot(&snapshot.into());
            }
        }
    }
    assert!(mirror.instruments().count() <= 3);
}
