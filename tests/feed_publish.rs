//! What strategies are told, through the feed agent: levels, snapshots, stale books, and what happens when they do not keep up.

#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]

mod publish_support;
#[path = "support/random.rs"]
mod random;

use postern::client::BookMirror;
use postern::codec::market_data::{ConflationNotice, MarketData, TopOfBook};
use postern::runtime::{GuardedAllocator, HotZone, hot_allocation_count};
use postern::sim::itch_out::ItchMessage;
use postern::transport::Inbound;
use postern::transport::memory::{SOURCE, stream};
use postern::types::{BookState, FeedState, Price, Side, TradingStatus};
use publish_support::{
    CHANNEL, Feed, Market, Pipe, Rig, SNAPSHOT_INTERVAL_NS, STALE_AFTER_NS, Streams, add, id,
};
use random::Random;

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const SHARED: i32 = 11;
const COPY: i32 = -12;
const SNAPSHOTS: i32 = 13;
const OWN: i32 = 14;
/// Messages that one stream may be offered in a cycle: what waited, one instrument more, and what the datagram changed.
const OFFERS_MAX: usize = 256 + 3 * (5 + 4 * 12) + 8;

fn feed_mirror(mirror: &mut BookMirror, source: i32, messages: &[MarketData]) {
    for message in messages {
        mirror.on_message(source, message);
    }
}

fn only(shared: &Pipe, depth: usize) -> Streams<Pipe> {
    let (own, copies) = (Vec::new(), Vec::new());
    Streams { depth, shared: shared.clone(), own, copies, snapshots: None }
}

fn notices(messages: &[MarketData]) -> impl Iterator<Item = &ConflationNotice> {
    messages.iter().filter_map(|message| match message {
        MarketData::ConflationNotice(notice) => Some(notice),
        _ => None,
    })
}

#[test]
fn a_reader_that_keeps_up_has_the_books_after_every_datagram() {
    for seed in 0..12 {
        let depth = [1, 2, 3, 5, 10, 12][usize::try_from(seed % 6).expect("small")];
        let feed = Market::new(seed, 3).feed(300);
        let pipe = Pipe::open(SHARED);
        let mut rig = Rig::new(feed, 3, only(&pipe, depth));
        let (mut mirror, mut next) = (BookMirror::new(), 1);
        while !rig.agent.is_over() {
            rig.poll();
            for message in pipe.take() {
                assert_eq!(message.rpt_seq(), next, "numbers without a hole");
                next += 1;
                mirror.on_message(SHARED, &message);
            }
            rig.assert_mirrored(&mirror, 3, depth);
        }
        let counts = mirror.counts();
        assert_eq!((counts.holes, counts.conflated, counts.misfits), (0, 0, 0));
        assert!(counts.messages > 300, "{counts:?}");
        assert_eq!(rig.count("feed_publish_count"), counts.messages);
    }
}

#[test]
fn nothing_is_told_twice_and_no_side_is_deeper_than_configured() {
    let pipe = Pipe::open(SHARED);
    let mut feed = Feed::new();
    for step in 0..6_u32 {
        let price = 1_000_000 - 100 * step;
        feed.packet(&[add(1, u64::from(step) + 1, Side::Buy, 10, price)]);
    }
    // The best goes: what was beyond the depth comes in sight.
    feed.packet(&[ItchMessage::Delete { locate: 1, reference: 1 }]);
    let mut rig = Rig::new(feed, 1, only(&pipe, 2));
    for _ in 0..8 {
        rig.poll();
    }
    let told: Vec<(i64, u64, bool)> = pipe
        .take()
        .iter()
        .filter_map(|message| match message {
            MarketData::MarketDataIncrementalRefresh(m) => {
                Some((m.md_entry_px.units(), m.md_entry_size, m.last_fragment))
            }
            _ => None,
        })
        .collect();
    let price = |raw| Price::from_itch4(raw).units();
    let expected = [
        (price(1_000_000), 10, true),
        (price(999_900), 10, true),
        (price(1_000_000), 0, false),
        (price(999_800), 10, true),
    ];
    assert_eq!(told, expected);
}

/// Streams that take messages now and then, and for long nothing. A copy for one reader is never held up by it.
#[test]
fn a_slow_reader_is_told_what_was_left_out_and_the_newest_and_holds_up_nobody() {
    for seed in 0..12 {
        let depth = 1 + usize::try_from(seed).expect("small");
        let mut random = Random::new(seed ^ 0x51_0e);
        let (slow, copy) = (Pipe::open(SHARED), Pipe::open(COPY));
        let streams = Streams { copies: vec![copy.clone()], ..only(&slow, depth) };
        let mut rig = Rig::new(Market::new(seed, 3).feed(600), 3, streams);
        let (mut behind, mut ahead) = (BookMirror::new(), BookMirror::new());
        let mut received = Vec::new();
        while !rig.agent.is_over() {
            if random.one_in(20) {
                slow.set_room(random.index(12));
            }
            slow.0.borrow_mut().offers = 0;
            let closed = slow.0.borrow().room == 0;
            rig.poll();
            let offers = slow.0.borrow().offers;
            // A stream that refused is not asked again in a cycle.
            assert!(offers <= if closed { 1 } else { OFFERS_MAX }, "{offers} offers");
            received.extend(slow.take());
            feed_mirror(&mut ahead, COPY, &copy.take());
            rig.assert_mirrored(&ahead, 3, depth);
        }
        slow.set_room(usize::MAX);
        for _ in 0..10 {
            rig.poll();
        }
        received.extend(slow.take());
        feed_mirror(&mut behind, SHARED, &received);
        rig.assert_mirrored(&behind, 3, depth);
        let (slow_counts, copy_counts) = (behind.counts(), ahead.counts());
        assert_eq!((slow_counts.holes, slow_counts.misfits), (0, 0));
        assert_eq!((copy_counts.conflated, copy_counts.dropped_trades), (0, 0));
        let conflated = rig.count("feed_publish_conflated_count");
        let dropped = rig.count("feed_publish_dropped_count");
        assert!(conflated > 20 && dropped > 3, "{conflated} {dropped}");
        assert_eq!((slow_counts.conflated, slow_counts.dropped_trades), (conflated, dropped));
        assert!(notices(&received).count() > 3);
    }
}

#[test]
fn a_reader_who_comes_to_a_stream_that_nobody_read_is_told_everything() {
    for seed in 0..6 {
        let pipe = Pipe::open(SHARED);
        pipe.connect(false);
        let mut rig = Rig::new(Market::new(seed, 3).feed(400), 3, only(&pipe, 8));
        for _ in 0..100 {
            rig.poll();
        }
        assert_eq!(rig.count("feed_publish_count"), 0);
        for round in 0..3 {
            pipe.connect(true);
            let mut mirror = BookMirror::new();
            for _ in 0..40 {
                rig.poll();
                feed_mirror(&mut mirror, SHARED, &pipe.take());
            }
            rig.assert_mirrored(&mirror, 3, 8);
            assert_eq!(mirror.symbol(id(2)), Some(*b"BBB     "), "round {round}");
            assert_eq!(mirror.counts().conflated, 0, "nobody was there to miss anything");
            pipe.connect(false);
            for _ in 0..20 {
                rig.poll();
            }
            assert!(pipe.take().is_empty());
        }
    }
}

#[test]
fn a_reader_who_comes_late_has_the_books_by_snapshots() {
    for seed in 0..12 {
        let mut random = Random::new(seed ^ 0x1a7e);
        let (shared, snapshots) = (Pipe::open(SHARED), Pipe::open(SNAPSHOTS));
        let streams = Streams { snapshots: Some(snapshots.clone()), ..only(&shared, 6) };
        let mut rig = Rig::new(Market::new(seed, 4).feed(900), 4, streams);
        for _ in 0..random.index(300) {
            rig.poll();
        }
        // Somebody else reads all along, so nobody notices that we come.
        shared.take();
        snapshots.take();
        let mut mirror = BookMirror::new();
        let (mut changes, mut whole) = (Vec::new(), Vec::new());
        while !rig.agent.is_over() {
            // The stream may be full for a while, and either of the two may be read late.
            if random.one_in(10) {
                shared.set_room([0, 3, usize::MAX][random.index(3)]);
            }
            rig.poll();
            changes.extend(shared.take());
            whole.extend(snapshots.take());
            if random.one_in(3) {
                feed_mirror(&mut mirror, SHARED, &changes);
                changes.clear();
            }
            if random.one_in(3) {
                whole.drain(..).for_each(|message| mirror.on_snapshot(&message));
            }
        }
        shared.set_room(usize::MAX);
        let rounds = 3 * SNAPSHOT_INTERVAL_NS / 100;
        for _ in 0..rounds {
            rig.poll();
            changes.extend(shared.take());
            feed_mirror(&mut mirror, SHARED, &changes);
            changes.clear();
            whole.extend(snapshots.take());
            whole.drain(..).for_each(|message| mirror.on_snapshot(&message));
        }
        rig.assert_mirrored(&mirror, 4, 6);
        let counts = mirror.counts();
        assert_eq!((counts.differed, counts.misfits, counts.holes), (0, 0, 0), "{counts:?}");
        assert!(counts.installed == 4 && counts.matched > 20, "{counts:?}");
        assert!(rig.count("feed_snapshot_count") > 20);
    }
}

#[test]
fn snapshots_alone_are_the_books_where_nobody_reads_the_changes() {
    let (shared, snapshots) = (Pipe::open(SHARED), Pipe::open(SNAPSHOTS));
    shared.connect(false);
    let streams = Streams { snapshots: Some(snapshots.clone()), ..only(&shared, 6) };
    let mut rig = Rig::new(Market::new(1, 2).feed(200), 2, streams);
    let mut mirror = BookMirror::new();
    for _ in 0..200 + 2 * SNAPSHOT_INTERVAL_NS / 100 {
        rig.poll();
        snapshots.take().iter().for_each(|message| mirror.on_snapshot(message));
    }
    rig.assert_mirrored(&mirror, 2, 6);
    // Who comes then is told all anew, and the snapshots of before do not disturb that.
    shared.connect(true);
    for _ in 0..40 {
        rig.poll();
        feed_mirror(&mut mirror, SHARED, &shared.take());
        snapshots.take().iter().for_each(|message| mirror.on_snapshot(message));
    }
    rig.assert_mirrored(&mirror, 2, 6);
    assert_eq!(mirror.counts().differed, 0);
}

#[test]
fn no_snapshot_is_made_while_nobody_reads_them() {
    let (shared, snapshots) = (Pipe::open(SHARED), Pipe::open(SNAPSHOTS));
    snapshots.connect(false);
    let streams = Streams { snapshots: Some(snapshots.clone()), ..only(&shared, 6) };
    let mut rig = Rig::new(Market::new(1, 2).feed(200), 2, streams);
    for _ in 0..200 {
        rig.poll();
    }
    assert_eq!((rig.count("feed_snapshot_count"), snapshots.0.borrow().offers), (0, 0));
    // A reader that goes in the middle of one does not get its rest when another comes.
    snapshots.connect(true);
    snapshots.set_room(3);
    for _ in 0..100 {
        rig.poll();
    }
    snapshots.connect(false);
    for _ in 0..100 {
        rig.poll();
    }
    snapshots.take();
    snapshots.set_room(usize::MAX);
    snapshots.connect(true);
    let mut mirror = BookMirror::new();
    for _ in 0..100 {
        rig.poll();
        snapshots.take().iter().for_each(|message| mirror.on_snapshot(message));
    }
    assert_eq!(mirror.counts().misfits, 0);
    rig.assert_mirrored(&mirror, 2, 6);
}

#[test]
fn an_instrument_with_a_stream_of_its_own_is_told_there_alone() {
    let (shared, own) = (Pipe::open(SHARED), Pipe::open(OWN));
    let snapshots = Pipe::open(SNAPSHOTS);
    let streams = Streams {
        own: vec![(id(2), own.clone())],
        snapshots: Some(snapshots.clone()),
        ..only(&shared, 6)
    };
    let mut rig = Rig::new(Market::new(5, 3).feed(300), 3, streams);
    let (mut others, mut second) = (BookMirror::new(), BookMirror::new());
    while !rig.agent.is_over() {
        rig.poll();
        for message in shared.take() {
            assert_ne!(message.security_id(), Some(id(2)), "{message:?}");
            others.on_message(SHARED, &message);
        }
        for message in own.take() {
            assert!(message.security_id().is_none_or(|of| of == id(2)), "{message:?}");
            second.on_message(OWN, &message);
        }
        for message in snapshots.take() {
            others.on_snapshot(&message);
            second.on_snapshot(&message);
        }
    }
    for locate in [1, 2, 3] {
        let mirror = if locate == 2 { &second } else { &others };
        let book = mirror.book(id(locate)).expect("known");
        for side in [Side::Buy, Side::Sell] {
            let index = postern::feed::book::BookIndex(locate - 1);
            assert_eq!(book.levels(side), publish_support::levels(rig.books(), index, side, 6));
        }
    }
    assert_eq!((others.counts().differed, second.counts().differed), (0, 0));
    assert!(second.counts().matched > 3 && others.counts().matched > 3);
    // Each is known by its own stream's snapshots only.
    assert!(others.book(id(2)).is_none() && second.book(id(1)).is_none());
}

fn tops(messages: &[MarketData]) -> Vec<&TopOfBook> {
    messages.iter().filter_map(top_of).collect()
}

fn top_of(message: &MarketData) -> Option<&TopOfBook> {
    match message {
        MarketData::TopOfBook(top) => Some(top),
        _ => None,
    }
}

fn states(messages: &[MarketData]) -> Vec<BookState> {
    let state = |message: &MarketData| match message {
        MarketData::BookStatus(status) if status.security_id == id(1) => Some(status.book_state),
        _ => None,
    };
    messages.iter().filter_map(state).collect()
}

#[test]
fn a_book_that_may_be_wrong_is_told_so_and_shown_again_whole_when_it_is_right() {
    let mut feed = Feed::new();
    feed.packet(&[add(1, 1, Side::Buy, 100, 1_000_000), add(1, 2, Side::Buy, 50, 990_000)]);
    feed.packet(&[ItchMessage::Cancel { locate: 1, reference: 1, shares: 500 }]);
    feed.packet(&[add(1, 3, Side::Buy, 100, 1_000_100)]);
    let pipe = Pipe::open(SHARED);
    let mut rig = {
        feed.session = postern::feed::moldudp64::Session(*b"SESSION002");
        feed.sequence = 1;
        feed.packet(&[add(1, 1, Side::Sell, 70, 1_200_000)]);
        Rig::new(feed, 1, only(&pipe, 4))
    };
    rig.poll();
    assert_eq!(states(&pipe.take()), [BookState::Current]);
    rig.poll();
    let told = pipe.take();
    assert_eq!(states(&told), [BookState::Stale]);
    let top = tops(&told);
    assert_eq!((top.len(), top[0].bid_px, top[0].bid_size), (1, None, 0));
    assert_eq!(told.len(), 2, "{told:?}");
    rig.poll();
    assert!(pipe.take().is_empty(), "a stale book is not told");
    rig.poll();
    let told = pipe.take();
    assert_eq!(states(&told), [BookState::Current]);
    let mut mirror = BookMirror::new();
    feed_mirror(&mut mirror, SHARED, &told);
    rig.assert_mirrored(&mirror, 1, 4);
    assert_eq!(mirror.book(id(1)).expect("known").levels(Side::Sell).len(), 1);
}

#[test]
fn a_channel_that_falls_silent_takes_its_books_along_and_brings_them_back() {
    let mut feed = Feed::new();
    feed.packet(&[add(1, 1, Side::Buy, 100, 1_000_000), add(1, 2, Side::Buy, 50, 990_000)]);
    feed.packet(&[add(1, 3, Side::Sell, 10, 1_100_000)]);
    let pipe = Pipe::open(SHARED);
    let snapshots = Pipe::open(SNAPSHOTS);
    let streams = Streams { snapshots: Some(snapshots.clone()), ..only(&pipe, 4) };
    let mut rig = Rig::new(feed, 1, streams);
    let mut mirror = BookMirror::new();
    rig.poll();
    feed_mirror(&mut mirror, SHARED, &pipe.take());
    rig.assert_mirrored(&mirror, 1, 4);
    rig.now = rig.now.plus(STALE_AFTER_NS + 1);
    // In this very cycle the next packet comes, but the silence was there.
    rig.poll();
    for _ in 0..3 {
        rig.poll();
    }
    let told = pipe.take();
    feed_mirror(&mut mirror, SHARED, &told);
    rig.assert_mirrored(&mirror, 1, 4);
    rig.now = rig.now.plus(STALE_AFTER_NS + 1);
    for _ in 0..3 {
        rig.poll();
    }
    let told = pipe.take();
    assert_eq!(states(&told), [BookState::Stale]);
    assert_eq!(tops(&told).last().expect("told").bid_px, None);
    let is_stale = |message: &MarketData| {
        matches!(message, MarketData::ChannelStatus(s)
            if s.channel_state == FeedState::Stale && s.channel_id == CHANNEL)
    };
    let is_repeated = |message: &&MarketData| matches!(message, MarketData::ChannelStatus(s) if s.channel_state == FeedState::Current);
    let first = told.iter().find(|message| !is_repeated(message));
    assert!(first.is_some_and(is_stale), "the channel first: {told:?}");
    feed_mirror(&mut mirror, SHARED, &told);
    assert_eq!(mirror.book(id(1)).expect("known").levels(Side::Buy), []);
    snapshots.take();
    for _ in 0..2 * SNAPSHOT_INTERVAL_NS / 100 {
        rig.poll();
    }
    snapshots.take().iter().for_each(|message| mirror.on_snapshot(message));
    assert_eq!(mirror.counts().differed, 0, "a snapshot says the same");
    assert!(mirror.counts().matched > 0);
}

/// So that who comes late to a stream that others read knows them too, and silence means that the gateway is gone.
#[test]
fn states_of_channels_are_told_ten_times_a_second_on_every_stream() {
    let (shared, copy) = (Pipe::open(SHARED), Pipe::open(COPY));
    let streams = Streams { copies: vec![copy.clone()], ..only(&shared, 4) };
    let mut rig = Rig::new(Market::new(5, 1).feed(400), 1, streams);
    rig.poll();
    shared.take();
    copy.take();
    let statuses = |pipe: &Pipe| {
        let is_status = |message: &&MarketData| matches!(message, MarketData::ChannelStatus(_));
        pipe.take().iter().filter(is_status).count()
    };
    const TENTH_NS: u64 = 100_000_000;
    for _ in 0..5 {
        rig.poll();
        assert_eq!((statuses(&shared), statuses(&copy)), (0, 0));
        rig.now = rig.now.plus(TENTH_NS);
        rig.poll();
        assert_eq!((statuses(&shared), statuses(&copy)), (1, 1));
    }
    // What a full stream did not take follows once, as it then is.
    shared.set_room(0);
    rig.now = rig.now.plus(5 * TENTH_NS);
    rig.poll();
    shared.set_room(usize::MAX);
    rig.poll();
    assert_eq!((statuses(&shared), statuses(&copy)), (1, 1));
}

#[test]
fn statuses_go_with_the_book_and_the_newest_waits() {
    let halt =
        |state| ItchMessage::TradingAction { locate: 1, stock: publish_support::stock(1), state };
    let mut feed = Feed::new();
    feed.packet(&[add(1, 1, Side::Buy, 100, 1_000_000)]);
    feed.packet(&[halt(TradingStatus::Halted)]);
    feed.packet(&[halt(TradingStatus::QuotationOnly)]);
    feed.packet(&[halt(TradingStatus::Trading)]);
    let pipe = Pipe::open(SHARED);
    let mut rig = Rig::new(feed, 1, only(&pipe, 4));
    rig.poll();
    pipe.take();
    pipe.set_room(0);
    for _ in 0..4 {
        rig.poll();
    }
    pipe.set_room(usize::MAX);
    rig.poll();
    let told: Vec<TradingStatus> = pipe
        .take()
        .iter()
        .filter_map(|message| match message {
            MarketData::SecurityStatus(m) => Some(m.security_trading_status),
            _ => None,
        })
        .collect();
    assert_eq!(told, [TradingStatus::Trading]);
}

#[test]
fn a_duty_cycle_that_publishes_allocates_nothing() {
    let (shared, mut shared_in) = stream(32, 128);
    let (snapshots, mut snapshots_in) = stream(64, 128);
    let (own, mut own_in) = stream(16, 128);
    let streams = Streams {
        depth: 10,
        shared,
        own: vec![(id(3), own)],
        copies: Vec::new(),
        snapshots: Some(snapshots),
    };
    let mut rig = Rig::new(Market::new(3, 3).feed(2_000), 3, streams);
    let mut mirror = BookMirror::new();
    let before = hot_allocation_count();
    let mut cycle = 0_u32;
    while !rig.agent.is_over() {
        let hot = HotZone::enter("feed");
        rig.poll();
        drop(hot);
        cycle += 1;
        // Now and then all are full.
        if cycle % 100 > 50 {
            continue;
        }
        shared_in
            .poll(usize::MAX, &mut |fragment| {
                let message = MarketData::decode(fragment.bytes).expect("market data");
                mirror.on_message(SOURCE, &message);
            })
            .expect("up");
        snapshots_in.poll(usize::MAX, &mut |_| {}).expect("up");
        own_in.poll(usize::MAX, &mut |_| {}).expect("up");
    }
    assert_eq!(hot_allocation_count() - before, 0);
    assert!(mirror.counts().conflated > 10, "{:?}", mirror.counts());
    assert!(rig.count("feed_snapshot_message_count") > 100);
}

/// 300 deep books are emptied by one datagram: what goes out in one cycle is bounded, and all are told in the end.
#[test]
fn a_new_session_of_many_books_is_told_over_several_cycles() {
    const STOCKS: u16 = 300;
    let mut feed = Feed::new();
    let mut reference = 0;
    for locate in 1..=STOCKS {
        let mut messages = Vec::new();
        for level in 0..10 {
            reference += 1;
            messages.push(add(locate, reference, Side::Buy, 10, 1_000_000 - 100 * level));
        }
        feed.packet(&messages);
    }
    feed.session = postern::feed::moldudp64::Session(*b"SESSION002");
    feed.sequence = 1;
    feed.packet(&[add(1, 1, Side::Sell, 70, 1_200_000)]);
    let pipe = Pipe::open(SHARED);
    let mut rig = Rig::new(feed, STOCKS, only(&pipe, 10));
    let mut mirror = BookMirror::new();
    let mut longest = 0;
    for _ in 0..350 {
        pipe.0.borrow_mut().offers = 0;
        rig.poll();
        longest = longest.max(pipe.0.borrow().offers);
        feed_mirror(&mut mirror, SHARED, &pipe.take());
    }
    assert!((1_000..1_400).contains(&longest), "{longest} messages in one cycle");
    rig.assert_mirrored(&mirror, STOCKS, 10);
    let levels = |side| mirror.book(id(1)).expect("known").levels(side).len();
    assert_eq!((levels(Side::Buy), levels(Side::Sell)), (0, 1));
}

#[test]
#[should_panic(expected = "no instrument 999")]
fn a_stream_for_nothing_is_refused() {
    let streams = Streams {
        own: vec![(postern::types::InstrumentId(999), Pipe::open(1))],
        ..only(&Pipe::open(2), 1)
    };
    let _ = Rig::new(Feed::new(), 1, streams);
}
