//! The feed agent from datagrams to what risk and strategies are told, over a real ring and a real stream in memory.

#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use postern::codec::journal::{FeedStatus, Journal, ReferencePrice};
use postern::codec::market_data::MarketData;
use postern::feed::arbiter::Join;
use postern::feed::book::BooksConfig;
use postern::feed::channel::ChannelSettings;
use postern::feed::moldudp64::{HEADER_BYTES, Header, Session};
use postern::feed::{BooksSnapshot, ChannelConfig, FeedAgent, FeedConfig, InstrumentConfig};
use postern::net::capture::Capture;
use postern::net::{CaptureSource, Pace};
use postern::ring::{Backing, Consumer, RingConfig, ring};
use postern::runtime::{Agent, Clock, GuardedAllocator, HotZone, hot_allocation_count};
use postern::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX};
use postern::telemetry::Registry;
use postern::transport::Inbound;
use postern::transport::memory::{MemoryPublication, MemorySubscription, stream};
use postern::types::{
    ChannelId, FeedState, InstrumentId, Nanos, Price, Side, Symbol, TradingStatus, UtcNanos,
};

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 5_000);
const CHANNEL: ChannelId = ChannelId(9);
const MIDNIGHT: UtcNanos = UtcNanos(1_580_360_400_000_000_000);
const STALE_AFTER_NS: u64 = 1_000_000;
const STATUS_INTERVAL_NS: u64 = 10_000;
const FIRST: InstrumentId = InstrumentId(71);
const SECOND: InstrumentId = InstrumentId(72);

fn stock(locate: u16) -> Symbol {
    Symbol::new(["", "AAA", "BBB", "CCC"][usize::from(locate)]).expect("a symbol")
}

/// A capture of packets, written by the simulated exchange's encoder.
struct Feed {
    capture: Capture,
    session: Session,
    sequence: u64,
}

impl Feed {
    fn new() -> Feed {
        Feed {
            capture: Capture::empty(Path::new("made")),
            session: Session(*b"SESSION001"),
            sequence: 1,
        }
    }

    fn packet(&mut self, messages: &[ItchMessage]) -> &mut Feed {
        let count = u16::try_from(messages.len()).expect("few");
        let header = Header { session: self.session, sequence: self.sequence, count };
        let mut head = [0; HEADER_BYTES];
        header.write(&mut head);
        let mut body = Vec::new();
        for message in messages {
            let mut bytes = [0; MESSAGE_BYTES_MAX];
            let length = message.encode(self.sequence, &mut bytes);
            body.extend_from_slice(&u16::try_from(length).expect("short").to_be_bytes());
            body.extend_from_slice(&bytes[..length]);
        }
        assert!(self.capture.push(GROUP, 0, &head, &body));
        self.sequence += u64::from(count);
        self
    }

    fn add(
        &mut self,
        locate: u16,
        reference: u64,
        side: Side,
        shares: u32,
        price: u32,
    ) -> &mut Feed {
        self.packet(&[add(locate, reference, side, shares, price)])
    }
}

fn add(locate: u16, reference: u64, side: Side, shares: u32, price: u32) -> ItchMessage {
    ItchMessage::Add { locate, reference, side, shares, stock: stock(locate), price }
}

struct Rig {
    agent: FeedAgent<CaptureSource, MemoryPublication>,
    risk: Consumer,
    strategy: MemorySubscription,
    snapshot: Arc<OnceLock<BooksSnapshot>>,
    registry: Registry,
    now: Nanos,
}

fn config(budget: u32) -> FeedConfig {
    let instrument = |id, locate| InstrumentConfig {
        id,
        symbol: stock(locate),
        channel: CHANNEL,
        tick: Price::from_itch4(100),
        lot: 100,
    };
    let settings = ChannelSettings {
        join: Join::First,
        stale_after_ns: STALE_AFTER_NS,
        books: BooksConfig {
            orders_max: 64,
            levels_max: 16,
            books_max: 2,
            follow_all_symbols: false,
        },
    };
    FeedConfig {
        channels: vec![ChannelConfig {
            id: CHANNEL,
            settings: settings.into(),
            midnight: MIDNIGHT,
        }],
        instruments: vec![instrument(FIRST, 1), instrument(SECOND, 2)],
        poll_budget: budget,
        status_interval_ns: STATUS_INTERVAL_NS,
    }
}

impl Rig {
    /// An agent that takes one datagram a cycle, with a ring and a stream of so many slots.
    fn new(feed: Feed, ring_slots: usize, stream_slots: usize) -> Rig {
        let mut source = CaptureSource::new(feed.capture, Pace::Unpaced);
        source.subscribe_all(CHANNEL);
        let backing = Backing::Heap;
        let config_of_ring = RingConfig { name: "feed_risk", slots: ring_slots, backing };
        let (producer, risk) = ring(&config_of_ring).expect("a ring");
        let (publication, strategy) = stream(stream_slots, 128);
        let registry = Registry::new();
        let snapshot = Arc::new(OnceLock::new());
        let agent = FeedAgent::new(
            &config(1),
            source,
            publication,
            producer,
            &registry,
            Clock::start(),
            Arc::clone(&snapshot),
        );
        Rig { agent, risk, strategy, snapshot, registry, now: Nanos(1_000_000_000) }
    }

    fn poll(&mut self) -> usize {
        self.now = self.now.plus(100);
        self.agent.poll(self.now).expect("runs")
    }

    fn poll_times(&mut self, times: usize) {
        for _ in 0..times {
            self.poll();
        }
    }

    fn prices_and_states(&mut self) -> (Vec<ReferencePrice>, Vec<FeedState>) {
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

    fn published(&mut self) -> Vec<MarketData> {
        let mut messages = Vec::new();
        let take = &mut |fragment: postern::transport::Fragment<'_>| {
            messages.push(MarketData::decode(fragment.bytes).expect("market data"));
        };
        self.strategy.poll(usize::MAX, take).expect("a stream");
        messages
    }

    fn count(&self, name: &'static str) -> u64 {
        self.registry.counter(name).get()
    }
}

fn price(raw: u32) -> Option<Price> {
    Some(Price::from_itch4(raw))
}

fn rpt_seq(message: &MarketData) -> u64 {
    message.rpt_seq()
}

#[test]
fn a_change_of_the_best_prices_reaches_risk_and_strategies_and_others_do_not() {
    let mut feed = Feed::new();
    feed.add(1, 1, Side::Buy, 300, 1_000_000).add(1, 2, Side::Sell, 200, 1_010_000);
    feed.add(1, 3, Side::Buy, 100, 990_000); // behind the best bid
    feed.add(3, 4, Side::Buy, 100, 500_000); // nobody's instrument
    feed.packet(&[
        add(2, 5, Side::Sell, 50, 70_000),
        ItchMessage::Delete { locate: 2, reference: 5 },
    ]);
    let mut rig = Rig::new(feed, 64, 64);
    rig.poll_times(6);
    let (prices, states) = rig.prices_and_states();
    let told: Vec<_> = prices.iter().map(|p| (p.security_id, p.bid_px, p.offer_px)).collect();
    let expected = [(FIRST, price(1_000_000), None), (FIRST, price(1_000_000), price(1_010_000))];
    assert_eq!(told, expected);
    assert_eq!(states.first(), Some(&FeedState::Current));
    assert!(states.iter().all(|&state| state == FeedState::Current), "{states:?}");
    let published = rig.published();
    let seqs: Vec<u64> = published.iter().map(rpt_seq).collect();
    // Two definitions, the channel's state, two books' states, two best prices.
    assert_eq!(seqs, (1..=7).collect::<Vec<_>>());
    let Some(MarketData::SecurityDefinition(definition)) = published.first() else {
        panic!("definitions come first: {published:?}")
    };
    assert_eq!((definition.symbol, definition.round_lot), (stock(1).wire(), 100));
    let Some(MarketData::TopOfBook(top)) = published.last() else { panic!("{published:?}") };
    assert_eq!((top.bid_size, top.offer_size), (300, 200));
    assert_eq!(top.transact_time, UtcNanos(MIDNIGHT.0 + 2));
    assert!(rig.agent.is_over());
}

#[test]
fn trades_and_statuses_are_published() {
    let mut feed = Feed::new();
    feed.packet(&[ItchMessage::TradingAction {
        locate: 1,
        stock: stock(1),
        state: TradingStatus::Halted,
    }]);
    feed.add(1, 1, Side::Sell, 300, 1_000_000);
    feed.packet(&[ItchMessage::Executed { locate: 1, reference: 1, shares: 100, match_number: 5 }]);
    feed.packet(&[ItchMessage::ExecutedWithPrice {
        locate: 1,
        reference: 1,
        shares: 50,
        match_number: 6,
        price: 990_000,
    }]);
    feed.packet(&[ItchMessage::Trade {
        locate: 1,
        shares: 10,
        stock: stock(1),
        price: 995_000,
        match_number: 7,
    }]);
    let mut rig = Rig::new(feed, 64, 64);
    rig.poll_times(6);
    let published = rig.published();
    let trades: Vec<_> = published
        .iter()
        .filter_map(|message| match message {
            MarketData::Trade(t) => Some((t.last_px, t.last_qty, t.trade_id, t.aggressor_side)),
            _ => None,
        })
        .collect();
    let at = |raw| Price::from_itch4(raw);
    assert_eq!(
        trades,
        [
            (at(1_000_000), 100, 5, Side::Sell),
            (at(990_000), 50, 6, Side::Sell),
            (at(995_000), 10, 7, Side::Buy)
        ]
    );
    let halted = published.iter().any(|message| {
        matches!(message, MarketData::SecurityStatus(s)
            if s.security_id == FIRST && s.security_trading_status == TradingStatus::Halted)
    });
    assert!(halted, "{published:?}");
}

#[test]
fn a_full_ring_keeps_the_newest_price_and_never_says_current_before_it() {
    let mut feed = Feed::new();
    for step in 0..10_u32 {
        feed.add(1, u64::from(step), Side::Buy, 100, 1_000_000 + step * 100);
        feed.add(2, 100 + u64::from(step), Side::Sell, 100, 2_000_000 - step * 100);
    }
    let mut rig = Rig::new(feed, 2, 64);
    rig.poll_times(20);
    let (mut prices, mut states) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let (more_prices, more_states) = rig.prices_and_states();
        if !more_states.is_empty() && !prices.is_empty() {
            assert!(prices.len() + more_prices.len() >= 2, "current after the held prices");
        }
        prices.extend(more_prices);
        states.extend(more_states);
        rig.poll();
    }
    let last = |id| prices.iter().rfind(|p| p.security_id == id).expect("a price");
    assert_eq!(last(FIRST).bid_px, price(1_000_900));
    assert_eq!(last(SECOND).offer_px, price(1_999_100));
    assert_eq!(states.last(), Some(&FeedState::Current));
    let conflated = rig.count("feed_reference_conflated_count");
    assert!(conflated > 0);
    assert_eq!(u64::try_from(prices.len()).expect("few") + conflated, 20);
}

#[test]
fn a_full_stream_conflates_and_a_notice_says_so() {
    let mut feed = Feed::new();
    for step in 0..20_u32 {
        feed.add(1, u64::from(step), Side::Buy, 100, 1_000_000 + step * 100);
    }
    feed.packet(&[ItchMessage::Executed { locate: 1, reference: 19, shares: 1, match_number: 1 }]);
    let mut rig = Rig::new(feed, 64, 4);
    rig.poll_times(22);
    let mut published = rig.published();
    rig.poll();
    published.extend(rig.published());
    let tops: Vec<_> = published
        .iter()
        .filter_map(|message| match message {
            MarketData::TopOfBook(top) => Some((top.bid_px, top.bid_size)),
            _ => None,
        })
        .collect();
    assert_eq!(tops.last(), Some(&(price(1_001_900), 99)), "the newest is told in the end");
    let conflated = rig.count("feed_publish_conflated_count");
    let dropped = rig.count("feed_publish_dropped_count");
    assert!(conflated > 0);
    assert_eq!(dropped, 1, "the trade");
    let last = published.last().map(rpt_seq).expect("something");
    assert_eq!(last, rig.count("feed_publish_count"), "no number is left out");
    let told: Vec<(u32, u32)> = published
        .iter()
        .filter_map(|message| match message {
            MarketData::ConflationNotice(n) => Some((n.conflated_count, n.dropped_trade_count)),
            _ => None,
        })
        .collect();
    assert_eq!(told.iter().map(|&(states, _)| u64::from(states)).sum::<u64>(), conflated);
    assert_eq!(told.iter().map(|&(_, trades)| u64::from(trades)).sum::<u64>(), dropped);
}

#[test]
fn a_gap_tells_stale_at_once_and_for_good() {
    let mut feed = Feed::new();
    feed.add(1, 1, Side::Buy, 100, 1_000_000);
    feed.sequence += 1;
    feed.add(1, 2, Side::Buy, 100, 1_000_100).add(1, 3, Side::Buy, 100, 1_000_200);
    let mut rig = Rig::new(feed, 64, 64);
    rig.poll_times(5);
    let (_, states) = rig.prices_and_states();
    assert_eq!(states, [FeedState::Current, FeedState::Stale]);
    let told: Vec<FeedState> = rig
        .published()
        .iter()
        .filter_map(|message| match message {
            MarketData::ChannelStatus(status) => Some(status.channel_state),
            _ => None,
        })
        .collect();
    assert_eq!(told, [FeedState::Current, FeedState::Stale]);
    rig.agent.on_close(rig.now);
    assert_eq!((rig.count("feed_gap_count"), rig.count("feed_missing_count")), (1, 1));
}

#[test]
fn silence_is_stale_and_while_current_risk_is_told_so_again_and_again() {
    let mut feed = Feed::new();
    feed.add(1, 1, Side::Buy, 100, 1_000_000);
    let mut rig = Rig::new(feed, 64, 64);
    rig.poll();
    let before = rig.prices_and_states().1.len();
    for _ in 0..3 {
        rig.now = rig.now.plus(STATUS_INTERVAL_NS);
        rig.poll();
    }
    assert_eq!(rig.prices_and_states().1, [FeedState::Current; 3], "after {before}");
    rig.now = rig.now.plus(STALE_AFTER_NS);
    rig.poll();
    assert_eq!(rig.prices_and_states().1, [FeedState::Stale]);
    rig.now = rig.now.plus(STATUS_INTERVAL_NS);
    rig.poll();
    assert_eq!(rig.prices_and_states().1, [], "nothing is repeated while stale");
}

#[test]
fn a_book_that_may_be_wrong_has_no_price() {
    let mut feed = Feed::new();
    feed.add(1, 1, Side::Buy, 100, 1_000_000).add(2, 2, Side::Buy, 100, 2_000_000);
    feed.packet(&[ItchMessage::Cancel { locate: 1, reference: 1, shares: 500 }]);
    let mut rig = Rig::new(feed, 64, 64);
    rig.poll_times(4);
    let (prices, _) = rig.prices_and_states();
    let last = prices.last().expect("prices");
    assert_eq!((last.security_id, last.bid_px, last.offer_px), (FIRST, None, None));
    rig.agent.on_close(rig.now);
    assert_eq!(rig.count("feed_misfit_count"), 1);
}

#[test]
fn a_new_session_takes_prices_back_until_it_has_its_own() {
    let mut feed = Feed::new();
    feed.add(1, 1, Side::Buy, 100, 1_000_000);
    feed.session = Session(*b"SESSION002");
    feed.sequence = 1;
    feed.packet(&[]);
    feed.add(1, 1, Side::Buy, 100, 1_500_000);
    let mut rig = Rig::new(feed, 64, 64);
    rig.poll_times(4);
    let bids: Vec<_> = rig.prices_and_states().0.iter().map(|p| p.bid_px).collect();
    assert_eq!(bids, [price(1_000_000), None, price(1_500_000)]);
}

#[test]
fn the_books_are_left_behind_when_the_agent_closes() {
    let mut feed = Feed::new();
    feed.add(1, 1, Side::Buy, 100, 1_000_000).add(1, 2, Side::Buy, 50, 1_000_000);
    feed.add(2, 3, Side::Sell, 70, 900_000);
    let mut rig = Rig::new(feed, 64, 64);
    rig.poll_times(4);
    rig.agent.on_close(rig.now);
    let snapshot = rig.snapshot.get().expect("left behind");
    assert_eq!(snapshot.books.len(), 2);
    let book = &snapshot.books[0];
    assert_eq!((book.symbol, book.orders, book.is_stale), (stock(1), 2, false));
    assert_eq!((book.bids[0].shares, book.bids[0].orders), (150, 2));
    assert_eq!((snapshot.channels[0].messages, snapshot.channels[0].errors), (3, 0));
    assert_eq!(snapshot.digest, rig.agent.snapshot().digest);
    assert_eq!(rig.count("feed_order_count"), 3);
}

#[test]
fn a_duty_cycle_allocates_nothing_even_when_all_is_full() {
    let mut feed = Feed::new();
    for step in 0..30_u32 {
        feed.add(1, u64::from(step), Side::Buy, 100, 1_000_000 + step * 100);
        feed.add(2, 100 + u64::from(step), Side::Sell, 100, 2_000_000 - step * 100);
    }
    let mut rig = Rig::new(feed, 2, 4);
    let before = hot_allocation_count();
    for cycle in 0..100 {
        let hot = HotZone::enter("feed");
        rig.poll();
        drop(hot);
        if cycle % 10 == 0 {
            rig.prices_and_states();
            rig.published();
        }
    }
    assert_eq!(hot_allocation_count() - before, 0);
}

#[test]
fn a_stream_without_reader_keeps_the_state_and_nothing_else() {
    let mut feed = Feed::new();
    feed.add(1, 1, Side::Buy, 100, 1_000_000);
    let Rig { mut agent, strategy, now, .. } = Rig::new(feed, 64, 64);
    drop(strategy);
    for step in 0..5 {
        agent.poll(now.plus(step)).expect("no reader is no failure");
    }
}
