//! A gateway that reads what another publishes: its books against those of the other, which were made order by order, and
//! against a naive reader of the same bytes; with messages lost, repeated, late, left out, damaged and of another run.

mod chain_support;
mod publish_support;
#[path = "support/random.rs"]
mod random;

use chain_support::{Reader, Way, Wire};
use postern::feed::book::BookIndex;
use postern::feed::sbe::{CHANGES_LINE, SNAPSHOTS_LINE};
use postern::net::PublisherChange;
use postern::types::{FeedState, Nanos, Side, TradingStatus};
use publish_support::{Market, Rig, STALE_AFTER_NS, Streams, levels};
use random::Random;

const RUN: i32 = -7;
const SNAPSHOTS: i32 = 21;
const STOCKS: u16 = 4;
/// How often the first gateway says that it is there.
const CHANNELS_NS: u64 = 100_000_000;

struct Chain {
    rig: Rig<Wire>,
    depth: usize,
    changes: Wire,
    snapshots: Wire,
    changes_way: Way,
    snapshots_way: Way,
    reader: Reader,
}

impl Chain {
    fn new(seed: u64, packets: usize, depth: usize) -> Chain {
        let (changes, snapshots) = (Wire::open(RUN), Wire::open(SNAPSHOTS));
        let streams = Streams {
            depth,
            shared: changes.clone(),
            own: Vec::new(),
            copies: Vec::new(),
            snapshots: Some(snapshots.clone()),
        };
        Chain {
            rig: Rig::new(Market::new(seed, STOCKS).feed(packets), STOCKS, streams),
            depth,
            changes,
            snapshots,
            changes_way: Way::good(seed ^ 1),
            snapshots_way: Way::good(seed ^ 2),
            reader: Reader::new(STOCKS, RUN),
        }
    }

    fn turn(&mut self) {
        self.rig.poll();
        for message in self.changes.take() {
            self.reader.changes(self.changes_way.pass(message), self.rig.now);
        }
        for message in self.snapshots.take() {
            self.reader.snapshots(self.snapshots_way.pass(message), self.rig.now);
        }
    }

    fn state(&mut self) -> FeedState {
        self.reader.channel.check(self.rig.now)
    }

    /// Turns until every instrument had its snapshot and the first gateway said that it is there.
    fn settle(&mut self) {
        self.changes_way.mend();
        self.snapshots_way.mend();
        self.changes.set_room(usize::MAX);
        self.rig.now = self.rig.now.plus(CHANNELS_NS);
        for _ in 0..200 {
            self.turn();
        }
    }

    /// Fails unless every book is known and the first gateway's.
    #[track_caller]
    fn assert_equal(&mut self) {
        assert_eq!(self.state(), FeedState::Current);
        assert_eq!(self.reader.stale_count(), 0);
        for locate in 1..=STOCKS {
            for side in [Side::Buy, Side::Sell] {
                let truth = levels(self.rig.books(), BookIndex(locate - 1), side, self.depth);
                assert_eq!(self.reader.levels(locate, side), truth, "{side:?} of {locate}");
            }
            let best = self.rig.books().best(BookIndex(locate - 1));
            assert_eq!(self.reader.channel.books().best(self.reader.book(locate)), best);
        }
    }
}

#[test]
fn the_books_are_those_of_the_first_gateway_after_every_datagram() {
    for seed in 0..12 {
        let depth = [1, 2, 3, 5, 10, 64][usize::try_from(seed % 6).expect("small")];
        let mut chain = Chain::new(seed, 400, depth);
        while !chain.rig.agent.is_over() {
            chain.turn();
            chain.assert_equal();
        }
        let counts = *chain.reader.channel.books().counts();
        assert_eq!((counts.misfits, counts.differed), (0, 0));
        assert!(counts.matched > 20, "{counts:?}");
        assert!(chain.reader.told.trades > 10);
        let upstream = *chain.reader.channel.upstream().counts();
        assert_eq!((upstream.gaps, upstream.repeated, upstream.publisher_changes), (0, 0, 0));
    }
}

#[test]
fn what_is_lost_makes_books_stale_until_a_snapshot_and_never_wrong() {
    let (mut holes, mut installed) = (0, 0);
    for seed in 0..20 {
        let mut chain = Chain::new(seed, 700, 1 + usize::try_from(seed % 12).expect("small"));
        chain.changes_way = Way::bad(seed);
        chain.snapshots_way = Way::bad(!seed);
        let mut stale = 0;
        while !chain.rig.agent.is_over() {
            chain.turn();
            stale += chain.reader.stale_count();
        }
        assert!(stale > 0);
        chain.settle();
        chain.assert_equal();
        let counts = *chain.reader.channel.books().counts();
        assert_eq!((counts.misfits, counts.differed), (0, 0), "{counts:?}");
        assert_eq!(chain.reader.told.clears, 1 + chain.reader.naive.holes, "one more at the start");
        holes += chain.reader.naive.holes;
        installed += counts.installed;
    }
    assert!(holes > 100 && installed > 100, "{holes} {installed}");
}

#[test]
fn a_gap_is_stale_before_anything_else_is_told() {
    let mut chain = Chain::new(3, 300, 5);
    for _ in 0..100 {
        chain.turn();
    }
    chain.assert_equal();
    chain.snapshots_way.lost_in = 1;
    // One message is lost: the next one tells.
    while chain.changes.take().is_empty() {
        chain.rig.poll();
    }
    while chain.reader.naive.holes == 0 {
        chain.turn();
    }
    assert_eq!(
        (chain.reader.stale_count(), chain.state()),
        (usize::from(STOCKS), FeedState::Stale)
    );
    chain.rig.now = chain.rig.now.plus(CHANNELS_NS);
    chain.turn();
    chain.turn();
    assert_eq!(chain.state(), FeedState::Current, "the gateway said so again");
    assert_eq!(chain.reader.stale_count(), usize::from(STOCKS), "but the books are not known");
    chain.settle();
    chain.assert_equal();
}

#[test]
fn states_that_were_left_out_make_no_book_wrong_and_are_counted() {
    for seed in 0..12 {
        let mut random = Random::new(seed ^ 0x51_0e);
        let mut chain = Chain::new(seed, 600, 1 + usize::try_from(seed).expect("small"));
        while !chain.rig.agent.is_over() {
            if random.one_in(20) {
                chain.changes.set_room(random.index(12));
            }
            chain.turn();
        }
        chain.settle();
        chain.assert_equal();
        let conflated = chain.rig.count("feed_publish_conflated_count");
        let dropped = chain.rig.count("feed_publish_dropped_count");
        assert!(conflated > 20 && dropped > 3, "{conflated} {dropped}");
        assert_eq!(chain.reader.told.left_out, (conflated, dropped));
        let counts = chain.reader.channel.counts();
        assert_eq!((counts.conflated, counts.dropped_trades), (conflated, dropped));
        assert_eq!(chain.reader.channel.books().counts().differed, 0);
    }
}

#[test]
fn who_comes_late_has_the_books_by_snapshots() {
    for seed in 0..12 {
        let mut random = Random::new(seed ^ 0x1a7e);
        let mut chain = Chain::new(seed, 900, 6);
        for _ in 0..random.index(300) {
            chain.rig.poll();
        }
        // Somebody else read all along, so the first gateway did not notice that we came.
        chain.changes.take();
        chain.snapshots.take();
        chain.turn();
        assert_eq!(chain.state(), FeedState::Stale, "nothing was said of the channel");
        for _ in 0..300 {
            chain.turn();
        }
        chain.settle();
        chain.assert_equal();
        assert!(chain.reader.channel.books().counts().installed >= u64::from(STOCKS));
    }
}

#[test]
fn the_other_gateways_feed_and_its_silence_are_ours() {
    let mut chain = Chain::new(5, 50, 5);
    while !chain.rig.agent.is_over() {
        chain.turn();
    }
    chain.assert_equal();
    // Its own feed is silent: it says so, and goes on saying so.
    chain.rig.now = chain.rig.now.plus(STALE_AFTER_NS);
    for _ in 0..20 {
        chain.rig.now = chain.rig.now.plus(CHANNELS_NS);
        chain.turn();
    }
    assert_eq!(chain.state(), FeedState::Stale);
    assert_eq!(chain.reader.stale_count(), usize::from(STOCKS), "and of every book");
    assert_eq!(chain.reader.channel.upstream().counts().gaps, 0);

    // The gateway itself is silent.
    let mut chain = Chain::new(6, 50, 5);
    for _ in 0..20 {
        chain.turn();
    }
    chain.assert_equal();
    let later = chain.rig.now.plus(STALE_AFTER_NS + 1);
    assert_eq!(chain.reader.channel.check(later), FeedState::Stale);
}

/// The first gateway dies and is started anew, numbers its messages from 1, and tells everything, since nobody reads.
#[test]
fn another_run_of_the_first_gateway_begins_anew() {
    let mut first = Chain::new(8, 300, 5);
    for _ in 0..200 {
        first.turn();
    }
    first.assert_equal();
    let mut rest = first.rig;
    let mut second = Chain::new(9, 300, 5);
    const NEXT: i32 = 1_000;
    let (changes, snapshots) = (Wire::open(NEXT), Wire::open(SNAPSHOTS + 1));
    let streams = Streams {
        depth: 5,
        shared: changes.clone(),
        own: Vec::new(),
        copies: Vec::new(),
        snapshots: Some(snapshots.clone()),
    };
    second.rig = Rig::new(Market::new(9, STOCKS).feed(300), STOCKS, streams);
    (second.changes, second.snapshots) = (changes, snapshots);
    second.reader = first.reader;
    // Its stream is there before that of the run that died is gone.
    second.reader.publisher(PublisherChange::Came(NEXT));
    second.reader.naive.restart();
    second.reader.source = NEXT;
    assert_eq!(second.reader.stale_count(), usize::from(STOCKS));
    assert_eq!(second.state(), FeedState::Stale);
    // What was left of the run before is no news, neither are its snapshots.
    rest.poll();
    rest.poll();
    let (left, late) = (first.changes.take(), first.snapshots.take());
    let foreign = u64::try_from(left.len()).expect("few");
    let now = second.rig.now;
    for bytes in left {
        second.reader.channel.on_message(CHANGES_LINE, &bytes, now, &mut second.reader.told);
    }
    for bytes in late {
        second.reader.channel.on_message(SNAPSHOTS_LINE, &bytes, now, &mut second.reader.told);
    }
    assert_eq!(second.reader.channel.upstream().counts().foreign, foreign);
    assert_eq!(second.reader.stale_count(), usize::from(STOCKS));
    second.reader.publisher(PublisherChange::Speaks(NEXT));
    second.turn();
    second.reader.publisher(PublisherChange::Went(RUN));
    for _ in 0..20 {
        second.turn();
    }
    second.assert_equal();
    assert_eq!(second.reader.channel.upstream().counts().publisher_changes, 1);
    // And now it is gone, too.
    second.reader.publisher(PublisherChange::Went(NEXT));
    assert_eq!((second.reader.stale_count(), second.state()), (4, FeedState::Stale));
    let books = second.reader.channel.books();
    assert!(books.indices().all(|book| books.status(book) == TradingStatus::Unknown));
}

/// Damaged messages, whole ones in the wrong place, and publishers that come and go at random.
#[test]
fn any_bytes_are_taken_and_what_cannot_be_read_makes_every_book_stale() {
    for seed in 0..30 {
        let mut random = Random::new(seed ^ 0xbad);
        let mut chain = Chain::new(seed, 300, 6);
        let (mut kept, mut errors) = (Vec::new(), 0);
        while !chain.rig.agent.is_over() {
            chain.rig.poll();
            kept.extend(chain.changes.take());
            kept.extend(chain.snapshots.take());
        }
        let reader = &mut chain.reader;
        for step in 0..3_000_u64 {
            let mut bytes = kept[random.index(kept.len())].clone();
            match random.index(6) {
                0 => bytes = random.bytes(96),
                1 | 2 => random.damage(&mut bytes),
                3 if random.one_in(20) => {
                    let source = RUN + i32::from(random.byte() % 3);
                    let change = match random.index(3) {
                        0 => PublisherChange::Came(source),
                        1 => PublisherChange::Went(source),
                        _ => PublisherChange::Speaks(source),
                    };
                    let line = random.byte() % 3;
                    reader.channel.on_publisher(line, change, &mut reader.told);
                }
                _ => {}
            }
            let line = random.byte() % 3;
            let before = reader.channel.counts().message_errors;
            reader.channel.on_message(line, &bytes, Nanos(step), &mut reader.told);
            reader.channel.check(Nanos(step));
            let has_failed = reader.channel.counts().message_errors > before;
            errors += u64::from(has_failed);
            if has_failed && line == CHANGES_LINE && reader.channel.upstream().is_heard() {
                let books = reader.channel.books();
                let is_unreadable = reader.channel.upstream().next().is_none();
                assert!(!is_unreadable || books.indices().all(|book| books.is_stale(book)));
            }
        }
        assert!(errors > 300, "{errors}");
        // Whatever it was told: a new run makes it good.
        reader.publisher(PublisherChange::Came(RUN + 10));
        reader.publisher(PublisherChange::Speaks(RUN + 10));
        let streams = Streams {
            depth: 6,
            shared: chain.changes.clone(),
            own: Vec::new(),
            copies: Vec::new(),
            snapshots: None,
        };
        reader.naive.restart();
        reader.naive.holes = reader.channel.upstream().counts().gaps;
        chain.rig = Rig::new(Market::new(seed, STOCKS).feed(100), STOCKS, streams);
        while !chain.rig.agent.is_over() {
            chain.turn();
        }
        chain.assert_equal();
    }
}
