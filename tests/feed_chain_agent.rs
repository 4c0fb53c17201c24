//! Two feed agents behind each other: what the second tells risk and strategies is what the first one's books are, and that it
//! is stale as soon as the first is.

#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]

mod publish_support;
#[path = "support/random.rs"]
mod random;

use std::sync::{Arc, OnceLock};

use postern::client::BookMirror;
use postern::codec::Message;
use postern::codec::journal::{FeedStatus, Journal, ReferencePrice};
use postern::codec::market_data::{
    AuctionImbalance, AuctionResult, MarketData, SecurityDefinition, SecurityStatus, TradeBreak,
};
use postern::feed::book::BookIndex;
use postern::feed::sbe::{CHANGES_LINE, SNAPSHOTS_LINE, SbeSettings};
use postern::feed::{
    ChannelConfig, FeedAgent, FeedConfig, InstrumentConfig, MarketDataStreams, SnapshotStream,
};
use postern::net::{AeronSource, SourceSet, StreamedSet};
use postern::ring::{Backing, Consumer, RingConfig, ring};
use postern::runtime::{Agent, Clock, Fatal, GuardedAllocator, HotZone, hot_allocation_count};
use postern::telemetry::Registry;
use postern::transport::memory::{MemoryPublication, MemorySubscription, SOURCE, stream};
use postern::transport::{Fragment, Inbound, Outbound, StreamEvent, TransportDown};
use postern::types::{
    BookState, ChannelId, CrossType, FeedState, ImbalanceSide, InstrumentId, Nanos, Price,
    ShortSaleRestriction, Side, TradingStatus, UtcNanos,
};
use publish_support::{
    Market, Pipe, Rig, SNAPSHOT_INTERVAL_NS, STALE_AFTER_NS, Streams, levels, stock,
};

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const STOCKS: u16 = 3;
const CHANNEL: ChannelId = ChannelId(40);
const DEPTH: usize = 5;
const OUT: i32 = 77;

/// The number of a stock at the second gateway: another than at the first.
fn number(locate: u16) -> InstrumentId {
    InstrumentId(500 - u32::from(locate))
}

struct Second<I, O> {
    agent: FeedAgent<StreamedSet<I>, O>,
    risk: Consumer,
    registry: Registry,
}

impl<I: Inbound, O: Outbound> Second<I, O> {
    fn new(changes: I, snapshots: Option<I>, out: O, own_snapshots: Option<O>) -> Second<I, O> {
        let instrument = |locate| InstrumentConfig {
            id: number(locate),
            symbol: stock(locate),
            channel: CHANNEL,
            tick: Price::from_itch4(100),
            lot: 100,
        };
        let settings = SbeSettings { stale_after_ns: STALE_AFTER_NS };
        let config = FeedConfig {
            channels: vec![ChannelConfig {
                id: CHANNEL,
                settings: settings.into(),
                midnight: UtcNanos(0),
            }],
            instruments: (1..=STOCKS).map(instrument).collect(),
            poll_budget: 64,
            status_interval_ns: 10_000,
        };
        let mut streams = vec![AeronSource::new(changes, CHANNEL, CHANGES_LINE)];
        streams.extend(snapshots.map(|inbound| AeronSource::new(inbound, CHANNEL, SNAPSHOTS_LINE)));
        let source = SourceSet::new(Vec::new()).with_streams(streams);
        let ring_config = RingConfig { name: "feed_risk", slots: 256, backing: Backing::Heap };
        let (producer, risk) = ring(&ring_config).expect("a ring");
        let registry = Registry::new();
        let (own, copies) = (Vec::new(), Vec::new());
        let interval_ns = SNAPSHOT_INTERVAL_NS;
        let snapshots = own_snapshots.map(|out| SnapshotStream { out, interval_ns });
        let cell = Arc::new(OnceLock::new());
        let agent = FeedAgent::new(&config, source, out, producer, &registry, Clock::start(), cell)
            .with_market_data(
                MarketDataStreams { depth: DEPTH, own, copies, snapshots },
                &registry,
            );
        Second { agent, risk, registry }
    }

    fn heard_by_risk(&mut self) -> (Vec<ReferencePrice>, Vec<FeedState>) {
        let (mut prices, mut states) = (Vec::new(), Vec::new());
        self.risk.drain(usize::MAX, |bytes| match Journal::decode(bytes) {
            Ok(Journal::ReferencePrice(price)) => prices.push(price),
            Ok(Journal::FeedStatus(FeedStatus { feed_state, channel_id, .. })) => {
                assert_eq!(channel_id, CHANNEL);
                states.push(feed_state);
            }
            other => panic!("not for risk: {other:?}"),
        });
        (prices, states)
    }
}

type Both = (Rig<MemoryPublication>, Second<MemorySubscription, Pipe>, Pipe);

/// The first gateway over `slots` messages of room to the second, and what strategies read of the second.
fn both(seed: u64, packets: usize, slots: usize) -> Both {
    let (shared, changes) = stream(slots, 128);
    let (snapshots, snapshots_in) = stream(64, 128);
    let (own, copies) = (Vec::new(), Vec::new());
    let streams = Streams { depth: DEPTH, shared, own, copies, snapshots: Some(snapshots) };
    let rig = Rig::new(Market::new(seed, STOCKS).feed(packets), STOCKS, streams);
    let out = Pipe::open(OUT);
    let second = Second::new(changes, Some(snapshots_in), out.clone(), None);
    (rig, second, out)
}

#[track_caller]
fn assert_mirrored(rig: &Rig<MemoryPublication>, mirror: &BookMirror) {
    for locate in 1..=STOCKS {
        let book = mirror.book(number(locate)).unwrap_or_else(|| panic!("{locate} is not known"));
        assert_eq!(book.state(), BookState::Current);
        for side in [Side::Buy, Side::Sell] {
            let truth = levels(rig.books(), BookIndex(locate - 1), side, DEPTH);
            assert_eq!(book.levels(side), truth, "{side:?} of {locate}");
        }
    }
}

#[test]
fn strategies_and_risk_of_the_second_gateway_have_the_books_of_the_first() {
    for seed in 0..8 {
        let (mut rig, mut second, out) = both(seed, 400, 1024);
        let mut mirror = BookMirror::new();
        let mut bests = vec![(None, None); usize::from(STOCKS)];
        let mut states = Vec::new();
        while !rig.agent.is_over() {
            rig.poll();
            second.agent.poll(rig.now).expect("runs");
            out.take().iter().for_each(|message| mirror.on_message(OUT, message));
            assert_mirrored(&rig, &mirror);
            let (prices, new_states) = second.heard_by_risk();
            states.extend(new_states);
            for ReferencePrice { security_id, bid_px, offer_px, channel_id, .. } in prices {
                assert_eq!(channel_id, CHANNEL);
                let at = usize::try_from(499 - security_id.0).expect("small");
                bests[at] = (bid_px, offer_px);
            }
            for (place, (bid, ask)) in (0..).zip(&bests) {
                let best = rig.books().best(BookIndex(place));
                assert_eq!((*bid, *ask), (best.bid.map(|b| b.0), best.ask.map(|a| a.0)));
            }
        }
        assert!(states.contains(&FeedState::Current), "{states:?}");
        assert_eq!(mirror.symbol(number(2)), Some(*b"BBB     "));
        let counts = mirror.counts();
        assert_eq!((counts.holes, counts.misfits, counts.conflated), (0, 0, 0));
        let (id, channel) = second.agent.sbe_channels().next().expect("a channel");
        assert_eq!((id, channel.upstream().counts().gaps), (CHANNEL, 0));
        let snapshot = second.agent.snapshot();
        assert_eq!((snapshot.books.len(), snapshot.channels[0].state), (3, FeedState::Current));
        assert_eq!(snapshot.digest, second.agent.digest());
        assert_eq!(second.agent.books().count(), 0, "no channel of ITCH");
    }
}

fn send(to: &mut MemoryPublication, message: &impl Message) {
    let write = |bytes: &mut [u8]| {
        message.encode(bytes);
    };
    let bytes = encoded_bytes(message);
    to.offer(bytes, write).expect("there is room");
}

/// Bytes of a message on the wire.
fn encoded_bytes<M: Message>(_: &M) -> usize {
    M::BYTES
}

/// What is not about prices is told on under the second gateway's own number.
#[test]
fn auctions_breaks_and_statuses_are_told_on() {
    let (mut changes, changes_in) = stream(64, 128);
    let out = Pipe::open(OUT);
    let mut second = Second::new(changes_in, None, out.clone(), None);
    let (upstream, time) = (InstrumentId(7), UtcNanos(9));
    second.agent.poll(Nanos(0)).expect("runs");
    let symbol = *stock(1).wire().first_chunk().expect("eight bytes");
    let (min_price_increment, round_lot) = (Price::from_itch4(100), 100);
    send(
        &mut changes,
        &SecurityDefinition {
            rpt_seq: 1,
            min_price_increment,
            round_lot,
            security_id: upstream,
            symbol,
        },
    );
    let status = SecurityStatus {
        rpt_seq: 2,
        transact_time: time,
        security_id: upstream,
        security_trading_status: TradingStatus::Halted,
        short_sale_restriction: ShortSaleRestriction::InEffect,
        halt_reason: *b"T1  ",
    };
    send(&mut changes, &status);
    let imbalance = AuctionImbalance {
        rpt_seq: 3,
        transact_time: time,
        paired_qty: 5,
        imbalance_qty: 6,
        reference_px: Some(Price::from_itch4(100)),
        near_px: None,
        far_px: None,
        security_id: upstream,
        imbalance_side: ImbalanceSide::Buy,
        cross_type: CrossType::Halt,
    };
    send(&mut changes, &imbalance);
    second.agent.poll(Nanos(1)).expect("runs");
    let result = AuctionResult {
        rpt_seq: 4,
        transact_time: time,
        trade_id: 3,
        md_entry_px: Price::from_itch4(100),
        md_entry_size: 5,
        security_id: upstream,
        cross_type: CrossType::Halt,
    };
    send(&mut changes, &result);
    let broken = TradeBreak {
        rpt_seq: 5,
        transact_time: time,
        trade_id: 3,
        md_entry_px: Some(Price::from_itch4(100)),
        md_entry_size: 5,
        security_id: upstream,
    };
    send(&mut changes, &broken);
    second.agent.poll(Nanos(2)).expect("runs");
    let told: Vec<MarketData> = out.take().into_iter().collect();
    let security_id = number(1);
    let has = |wanted: &dyn Fn(u64) -> MarketData| told.iter().any(|m| *m == wanted(m.rpt_seq()));
    assert!(has(&|rpt_seq| SecurityStatus { rpt_seq, security_id, ..status }.into()), "{told:?}");
    assert!(
        has(&|rpt_seq| AuctionImbalance { rpt_seq, security_id, ..imbalance }.into()),
        "{told:?}"
    );
    assert!(has(&|rpt_seq| AuctionResult { rpt_seq, security_id, ..result }.into()), "{told:?}");
    assert!(has(&|rpt_seq| TradeBreak { rpt_seq, security_id, ..broken }.into()), "{told:?}");
}

/// A second gateway that reads slowly is told what was left out, and tells its own strategies.
#[test]
fn what_the_first_gateway_left_out_is_told_on() {
    let (mut rig, mut second, out) = both(4, 600, 32);
    let mut mirror = BookMirror::new();
    let mut turn = 0_u32;
    while !rig.agent.is_over() {
        rig.poll();
        turn += 1;
        if turn.is_multiple_of(20) {
            second.agent.poll(rig.now).expect("runs");
            out.take().iter().for_each(|message| mirror.on_message(OUT, message));
        }
    }
    for _ in 0..50 {
        rig.poll();
        second.agent.poll(rig.now).expect("runs");
        out.take().iter().for_each(|message| mirror.on_message(OUT, message));
    }
    assert_mirrored(&rig, &mirror);
    second.agent.on_close(rig.now);
    let conflated = rig.count("feed_publish_conflated_count");
    let dropped = rig.count("feed_publish_dropped_count");
    assert!(conflated > 20 && dropped > 3, "{conflated} {dropped}");
    let count = |name: &'static str| second.registry.counter(name).get();
    assert_eq!(count("feed_upstream_conflated_count"), conflated);
    assert_eq!(count("feed_upstream_dropped_count"), dropped);
    assert_eq!(count("feed_upstream_unnamed_count"), 0);
    let counts = mirror.counts();
    assert!(counts.conflated >= conflated && counts.dropped_trades >= dropped, "{counts:?}");
}

#[test]
fn risk_and_strategies_hear_that_the_first_gateway_is_gone() {
    let (mut rig, mut second, out) = both(5, 100, 1024);
    let mut mirror = BookMirror::new();
    for _ in 0..90 {
        rig.poll();
        second.agent.poll(rig.now).expect("runs");
    }
    out.take().iter().for_each(|message| mirror.on_message(OUT, message));
    assert_mirrored(&rig, &mirror);
    second.heard_by_risk();
    let now = rig.now;
    drop(rig);
    for step in 1..4 {
        second.agent.poll(now.plus(step)).expect("a gateway that is gone is no fault of ours");
    }
    let (prices, states) = second.heard_by_risk();
    assert_eq!(states.last(), Some(&FeedState::Stale));
    second.agent.on_close(now);
    let unnamed = second.registry.counter("feed_upstream_unnamed_count").get();
    assert_eq!(unnamed, u64::from(STOCKS), "the next run may number them as it likes");
    assert_eq!(prices.len(), usize::from(STOCKS));
    assert!(prices.iter().all(|price| price.bid_px.is_none() && price.offer_px.is_none()));
    out.take().iter().for_each(|message| mirror.on_message(OUT, message));
    for locate in 1..=STOCKS {
        assert_eq!(mirror.book(number(locate)).map(|book| book.state()), Some(BookState::Stale));
    }
}

/// A stream that is closed.
struct Closed;

impl Inbound for Closed {
    fn poll(&mut self, _: usize, _: &mut impl FnMut(Fragment<'_>)) -> Result<usize, TransportDown> {
        Err(TransportDown)
    }

    fn next_event(&mut self) -> Option<StreamEvent> {
        None
    }
}

#[test]
fn a_dead_media_driver_ends_the_agent_as_it_ends_the_others() {
    let mut second = Second::new(Closed, None, Pipe::open(OUT), None);
    assert_eq!(second.agent.poll(Nanos(1)), Err(Fatal::TransportDown));
}

#[test]
fn a_duty_cycle_that_reads_another_gateway_allocates_nothing() {
    let (shared, changes) = stream(32, 128);
    let (snapshots, snapshots_in) = stream(64, 128);
    let (own, copies) = (Vec::new(), Vec::new());
    let streams = Streams { depth: DEPTH, shared, own, copies, snapshots: Some(snapshots) };
    let mut rig = Rig::new(Market::new(6, STOCKS).feed(2_000), STOCKS, streams);
    let (out, mut out_in) = stream(256, 128);
    let (own_snapshots, mut own_snapshots_in) = stream(256, 128);
    let mut second = Second::new(changes, Some(snapshots_in), out, Some(own_snapshots));
    let mut mirror = BookMirror::new();
    let before = hot_allocation_count();
    let mut cycle = 0_u32;
    while !rig.agent.is_over() {
        rig.poll();
        cycle += 1;
        // Now and then it reads nothing, so that it has to catch up.
        if cycle % 100 < 60 {
            let hot = HotZone::enter("feed");
            second.agent.poll(rig.now).expect("runs");
            drop(hot);
        }
        second.risk.drain(usize::MAX, |_| {});
        out_in
            .poll(usize::MAX, &mut |fragment| {
                let message = MarketData::decode(fragment.bytes).expect("market data");
                mirror.on_message(SOURCE, &message);
            })
            .expect("up");
        own_snapshots_in.poll(usize::MAX, &mut |_| {}).expect("up");
    }
    // The end of the first gateway is part of it.
    let now = rig.now;
    drop(rig);
    let hot = HotZone::enter("feed");
    for step in 1..1_000 {
        second.agent.poll(now.plus(step)).expect("runs");
    }
    drop(hot);
    assert_eq!(hot_allocation_count() - before, 0);
    assert!(mirror.counts().conflated > 0, "{:?}", mirror.counts());
    let (_, channel) = second.agent.sbe_channels().next().expect("a channel");
    assert!(channel.counts().messages > 1_000, "{:?}", channel.counts());
    assert!(channel.books().counts().matched > 100, "{:?}", channel.books().counts());
}
