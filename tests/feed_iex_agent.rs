//! The feed agent with channels of IEX, from segments to what risk and strategies are told, over a real ring and a real stream
//! in memory. The capture is third-party data; the test that needs it skips, saying so, where it is absent.

#![allow(clippy::print_stdout, reason = "tests say what they compared and what they skipped")]
#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use postern::client::BookMirror;
use postern::codec::journal::{FeedStatus, Journal, ReferencePrice};
use postern::codec::market_data::{MarketData, Trade};
use postern::feed::arbiter::{Join, Ordering};
use postern::feed::book::BookIndex;
use postern::feed::capture;
use postern::feed::channel::NoSink;
use postern::feed::iex::tp::{HEADER_BYTES, Header, ProtocolId, SessionNumber, StreamId};
use postern::feed::iex::{Books, BooksConfig, Feed, IexChannel, IexSettings};
use postern::feed::recovery::RecoverySettings;
use postern::feed::{
    ChannelConfig, ChannelRecovery, FeedAgent, FeedConfig, InstrumentConfig, MarketDataStreams,
};
use postern::net::capture::Capture;
use postern::net::{CaptureSource, Pace, PacketSource};
use postern::ring::{Backing, Consumer, RingConfig, ring};
use postern::runtime::{Agent, Clock, GuardedAllocator, HotZone, hot_allocation_count};
use postern::telemetry::Registry;
use postern::transport::Inbound;
use postern::transport::memory::{MemoryPublication, MemorySubscription, stream};
use postern::types::{
    BookState, ChannelId, CrossType, FeedState, ImbalanceSide, InstrumentId, Nanos, Price,
    SessionPhase, ShortSaleRestriction, Side, Symbol, TradingStatus, UtcNanos,
};

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const CAPTURE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures/iex/20170826_IEXTP1_DEEP1.0.pcap.gz");
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 5_000);
/// Line B of the same.
const GROUP_B: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 2), 5_000);
const CHANNEL: ChannelId = ChannelId(9);
const STALE_AFTER_NS: u64 = 1_000_000;
const DEPTH: usize = 10;
const SOURCE: i32 = 7;
const TIME_NS: u64 = 1_503_763_200_000_000_000;
const AAA: InstrumentId = InstrumentId(1);

fn symbol(text: &str) -> Symbol {
    Symbol::new(text).expect("a symbol")
}

fn settings(feed: Feed, books_max: usize, follow_all_symbols: bool) -> IexSettings {
    IexSettings {
        feed,
        stream: StreamId(1),
        join: Join::First,
        stale_after_ns: STALE_AFTER_NS,
        books: BooksConfig { levels_max: 16, books_max, follow_all_symbols },
    }
}

/// What was told of one instrument last.
type Told = (Option<Price>, Option<Price>);

/// An agent that takes one datagram a cycle, and all that it told.
struct Rig {
    agent: FeedAgent<CaptureSource, MemoryPublication>,
    risk: Consumer,
    strategy: MemorySubscription,
    registry: Registry,
    now: Nanos,
    prices: BTreeMap<InstrumentId, Told>,
    states: Vec<FeedState>,
    mirror: BookMirror,
    trades: Vec<Trade>,
    statuses: u64,
}

impl Rig {
    fn new(capture: Capture, feed: Feed, symbols: &[Symbol]) -> Rig {
        let mut source = CaptureSource::new(capture, Pace::Unpaced);
        source.subscribe_all(CHANNEL);
        source.subscribe(GROUP_B, CHANNEL, 1).expect("a capture has any line");
        let slots = symbols.len().max(64).next_power_of_two();
        let ring_config = RingConfig { name: "feed_risk", slots, backing: Backing::Heap };
        let (producer, risk) = ring(&ring_config).expect("a ring");
        let (publication, strategy) = stream(4_096, 128);
        let instrument = |(id, &symbol): (u32, &Symbol)| InstrumentConfig {
            id: InstrumentId(id),
            symbol,
            channel: CHANNEL,
            tick: Price::from_itch4(100),
            lot: 100,
        };
        let config = FeedConfig {
            channels: vec![ChannelConfig {
                id: CHANNEL,
                settings: settings(feed, symbols.len(), false).into(),
                midnight: UtcNanos(5), // means nothing to IEX
            }],
            instruments: (1..).zip(symbols).map(instrument).collect(),
            poll_budget: 1,
            status_interval_ns: 10_000,
        };
        let streams = MarketDataStreams {
            depth: DEPTH,
            own: Vec::new(),
            copies: Vec::new(),
            snapshots: None,
        };
        let registry = Registry::new();
        let cell = Arc::new(OnceLock::new());
        let clock = Clock::start();
        let agent = FeedAgent::new(&config, source, publication, producer, &registry, clock, cell)
            .with_market_data(streams, &registry);
        Rig {
            agent,
            risk,
            strategy,
            registry,
            now: Nanos(1_000_000_000),
            prices: BTreeMap::new(),
            states: Vec::new(),
            mirror: BookMirror::new(),
            trades: Vec::new(),
            statuses: 0,
        }
    }

    /// A duty cycle in which nothing may be allocated, and then a look at what was told.
    fn poll(&mut self) {
        self.now = self.now.plus(100);
        let before = hot_allocation_count();
        let hot = HotZone::enter("feed");
        self.agent.poll(self.now).expect("runs");
        drop(hot);
        assert_eq!(hot_allocation_count(), before);
        self.listen();
    }

    fn listen(&mut self) {
        let Rig { prices, states, mirror, trades, statuses, .. } = self;
        self.risk.drain(usize::MAX, |bytes| match Journal::decode(bytes) {
            Ok(Journal::ReferencePrice(ReferencePrice {
                bid_px, offer_px, security_id, ..
            })) => {
                prices.insert(security_id, (bid_px, offer_px));
            }
            Ok(Journal::FeedStatus(FeedStatus { feed_state, channel_id, .. })) => {
                assert_eq!(channel_id, CHANNEL);
                if states.last() != Some(&feed_state) {
                    states.push(feed_state);
                }
            }
            other => panic!("not for risk: {other:?}"),
        });
        let take = &mut |fragment: postern::transport::Fragment<'_>| {
            let message = MarketData::decode(fragment.bytes).expect("market data");
            match message {
                MarketData::Trade(trade) => trades.push(trade),
                MarketData::SecurityStatus(_) => *statuses += 1,
                _ => {}
            }
            mirror.on_message(SOURCE, &message);
        };
        self.strategy.poll(usize::MAX, take).expect("a stream");
    }

    fn poll_times(&mut self, times: usize) {
        for _ in 0..times {
            self.poll();
        }
    }

    fn count(&self, name: &'static str) -> u64 {
        self.registry.counter(name).get()
    }

    /// Prices risk knows of the first instrument, in 1e-4.
    fn first(&self) -> (Option<i64>, Option<i64>) {
        let raw = |price: Option<Price>| price.map(|p| p.units() / Price::ITCH4_UNITS);
        let (bid, offer) = self.prices.get(&AAA).copied().unwrap_or_default();
        (raw(bid), raw(offer))
    }

    fn levels(&self, side: Side) -> Vec<(i64, u64)> {
        let book = self.mirror.book(AAA).expect("a book");
        let raw = |price: Price| price.units() / Price::ITCH4_UNITS;
        book.levels(side).iter().map(|level| (raw(level.price), level.size)).collect()
    }
}

/// Segments, one after the other.
struct Segments {
    capture: Capture,
    header: Header,
    /// The line they are sent to.
    group: SocketAddrV4,
}

impl Segments {
    fn new(protocol: ProtocolId) -> Segments {
        let header = Header {
            protocol,
            stream: StreamId(1),
            session: SessionNumber(1),
            count: 0,
            offset: 0,
            sequence: 1,
            sent: UtcNanos(TIME_NS),
        };
        Segments { capture: Capture::empty(Path::new("made")), header, group: GROUP }
    }

    fn segment(&mut self, messages: &[Vec<u8>]) -> &mut Segments {
        let mut body = Vec::new();
        for message in messages {
            body.extend_from_slice(&u16::try_from(message.len()).expect("short").to_le_bytes());
            body.extend_from_slice(message);
        }
        self.header.count = u16::try_from(messages.len()).expect("few");
        let mut head = [0; HEADER_BYTES];
        let bytes = u16::try_from(body.len()).expect("short");
        self.header.write(bytes, &mut head);
        assert!(self.capture.push(self.group, 0, &head, &body));
        self.header.sequence += u64::from(self.header.count);
        self.header.offset += u64::from(bytes);
        self
    }

    fn session(&mut self, number: u32) -> &mut Segments {
        self.header =
            Header { session: SessionNumber(number), offset: 0, sequence: 1, ..self.header };
        self
    }

    fn rig(self, feed: Feed) -> Rig {
        Rig::new(self.capture, feed, &[symbol("AAA"), symbol("BBB")])
    }
}

fn head(letter: u8, flags: u8, stock: &str) -> Vec<u8> {
    let mut bytes = vec![letter, flags];
    bytes.extend_from_slice(&TIME_NS.to_le_bytes());
    bytes.extend_from_slice(format!("{stock:8}").as_bytes());
    bytes
}

/// A level of DEEP; `is_last` of its event.
fn level(stock: &str, side: Side, price: i64, size: u32, is_last: bool) -> Vec<u8> {
    let letter = match side {
        Side::Buy => b'8',
        Side::Sell => b'5',
    };
    let mut bytes = head(letter, u8::from(is_last), stock);
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&price.to_le_bytes());
    bytes
}

fn quote(stock: &str, bid: (u32, i64), ask: (i64, u32)) -> Vec<u8> {
    let mut bytes = head(b'Q', 0, stock);
    bytes.extend_from_slice(&bid.0.to_le_bytes());
    bytes.extend_from_slice(&bid.1.to_le_bytes());
    bytes.extend_from_slice(&ask.0.to_le_bytes());
    bytes.extend_from_slice(&ask.1.to_le_bytes());
    bytes
}

fn trade(letter: u8, stock: &str, size: u32, price: i64, number: i64) -> Vec<u8> {
    let mut bytes = head(letter, 0, stock);
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&price.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes
}

fn status(stock: &str, letter: u8) -> Vec<u8> {
    let mut bytes = head(b'H', letter, stock);
    bytes.extend_from_slice(b"    ");
    bytes
}

/// The capture played into books of all its symbols, without an agent.
fn played(capture: &Capture) -> IexChannel {
    let mut channel = IexChannel::new(&settings(Feed::Deep, 20_000, true), &[]);
    for (_, _, payload) in capture.iter() {
        channel.on_datagram(payload, Nanos(0), &mut NoSink);
    }
    channel
}

fn assert_mirrored(rig: &Rig, books: &Books, book: BookIndex, id: InstrumentId) -> usize {
    let symbol = books.symbol(book);
    let mirrored = rig.mirror.book(id).unwrap_or_else(|| panic!("{symbol} is not known"));
    assert_eq!(mirrored.state(), BookState::Current, "{symbol}");
    assert!(mirrored.is_whole(), "{symbol}");
    let mut count = 0;
    for side in [Side::Buy, Side::Sell] {
        let levels = mirrored.levels(side).iter().map(|l| (l.price, l.size, l.orders));
        let expected = books.levels(book, side).expect("not in transition").take(DEPTH);
        let expected: Vec<(Price, u64, u32)> =
            expected.map(|(price, size)| (price, u64::from(size), 0)).collect();
        assert_eq!(levels.collect::<Vec<_>>(), expected, "{side:?} of {symbol}");
        count += expected.len();
    }
    count
}

#[test]
fn a_captured_day_tells_risk_and_strategies_what_the_books_say() {
    if !Path::new(CAPTURE).exists() {
        println!("skipped: no {CAPTURE}");
        return;
    }
    let capture = capture::open(Path::new(CAPTURE)).and_then(Capture::whole).expect("a capture");
    let alone = played(&capture);
    let books = alone.books();
    let symbols: Vec<Symbol> = books.indices().map(|book| books.symbol(book)).collect();
    let mut rig = Rig::new(capture, Feed::Deep, &symbols);
    while !rig.agent.is_over() {
        rig.poll();
    }
    rig.poll_times(100); // what waits for its turn
    let price = |side: Option<(Price, u64)>| side.map(|(price, _)| price);
    let (mut priced, mut levels) = (0, 0);
    for (id, book) in (1..).map(InstrumentId).zip(books.indices()) {
        let best = books.best(book);
        let told = rig.prices.get(&id).copied().unwrap_or_default();
        assert_eq!(told, (price(best.bid), price(best.ask)), "{}", books.symbol(book));
        priced += u64::from(told != (None, None));
        levels += assert_mirrored(&rig, books, book, id);
        if let Some(status) = rig.mirror.status(id) {
            assert_eq!(status, books.state(book).status(), "{}", books.symbol(book));
        }
    }
    println!(
        "{} instruments, {priced} with a price, {levels} levels, {} trades, {} statuses, states {:?}",
        symbols.len(),
        rig.trades.len(),
        rig.statuses,
        rig.states
    );
    assert_eq!(rig.agent.digest(), books.digest());
    assert_eq!(rig.states.last(), Some(&alone.arbiter().state()));
    assert_eq!(rig.trades.len(), 165);
    assert_eq!(rig.mirror.counts().misfits, 0);
    let counted = ["feed_packet_count", "feed_message_count", "feed_gap_count"];
    rig.agent.on_close(rig.now);
    assert_eq!(counted.map(|name| rig.count(name)), [20_145, 48_635, 0]);
}

#[test]
fn a_book_in_transition_is_not_told_until_its_event_is_complete() {
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    let buy = |price, size, is_last| level("AAA", Side::Buy, price, size, is_last);
    segments.segment(&[buy(100, 5, true), level("AAA", Side::Sell, 110, 6, true)]);
    segments.segment(&[buy(100, 0, false)]);
    segments.segment(&[buy(101, 7, false)]);
    segments.segment(&[buy(99, 8, true)]);
    // Complete and in transition again within one segment: the best of what was complete is told.
    segments.segment(&[buy(102, 1, true), buy(103, 1, false)]);
    segments.segment(&[buy(103, 0, true)]);
    let mut rig = segments.rig(Feed::Deep);
    rig.poll_times(2);
    assert_eq!(rig.first(), (Some(100), Some(110)));
    assert_eq!(rig.levels(Side::Buy), [(100, 5)]);
    rig.poll();
    assert_eq!(rig.first(), (Some(100), Some(110)));
    assert_eq!(rig.levels(Side::Buy), [(100, 5)]);
    rig.poll();
    assert_eq!(rig.first(), (Some(101), Some(110)));
    assert_eq!(rig.levels(Side::Buy), [(101, 7), (99, 8)]);
    rig.poll();
    assert_eq!(rig.first(), (Some(102), Some(110)));
    assert_eq!(rig.levels(Side::Buy), [(101, 7), (99, 8)], "not to be looked at");
    rig.poll();
    assert_eq!(rig.levels(Side::Buy), [(102, 1), (101, 7), (99, 8)]);
    assert_eq!(rig.levels(Side::Sell), [(110, 6)]);
    assert_eq!(rig.states, [FeedState::Current]);
}

#[test]
fn trades_and_statuses_are_told_and_breaks_are_not() {
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    segments.segment(&[status("AAA", b'T'), head(b'O', b'N', "AAA")]);
    segments.segment(&[trade(b'T', "AAA", 300, 1_005_000, 77), trade(b'T', "ZZZ", 1, 1, 78)]);
    segments.segment(&[trade(b'B', "AAA", 300, 1_005_000, 77), head(b'O', b'O', "AAA")]);
    let mut rig = segments.rig(Feed::Deep);
    rig.poll(); // nobody is known to listen before the first look
    rig.poll();
    assert_eq!(rig.mirror.status(AAA), Some(TradingStatus::Trading));
    rig.poll_times(4);
    let [trade] = rig.trades.as_slice() else { panic!("{:?}", rig.trades) };
    assert_eq!((trade.last_qty, trade.trade_id, trade.security_id), (300, 77, AAA));
    assert_eq!(
        (trade.last_px, trade.transact_time),
        (Price::from_itch4(1_005_000), UtcNanos(TIME_NS))
    );
    assert_eq!(rig.mirror.status(AAA), Some(TradingStatus::Halted), "IEX alone halted it");
}

#[test]
fn quotes_of_tops_are_best_bids_and_offers() {
    let mut segments = Segments::new(ProtocolId::TOPS_1_6);
    segments.segment(&[quote("AAA", (5, 100), (110, 6)), quote("BBB", (1, 7), (0, 0))]);
    segments.segment(&[quote("AAA", (0, 0), (109, 2))]);
    let mut rig = segments.rig(Feed::Tops);
    rig.poll();
    assert_eq!(rig.first(), (Some(100), Some(110)));
    rig.poll_times(2);
    assert_eq!(rig.first(), (None, Some(109)));
    assert_eq!((rig.levels(Side::Buy), rig.levels(Side::Sell)), (vec![], vec![(109, 2)]));
    let snapshot = rig.agent.snapshot();
    let of_aaa = snapshot.books.iter().find(|book| book.symbol == symbol("AAA")).expect("a book");
    assert_eq!((of_aaa.orders, of_aaa.asks.len(), of_aaa.is_stale), (0, 1, false));
    assert_eq!((snapshot.channels[0].messages, snapshot.channels[0].next_sequence), (3, 4));
}

#[test]
fn a_gap_tells_stale_for_good_and_a_new_session_takes_prices_back() {
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    segments.segment(&[level("AAA", Side::Buy, 100, 5, true)]);
    segments.header.sequence += 1;
    segments.segment(&[level("AAA", Side::Buy, 101, 5, true)]);
    segments.segment(&[]);
    segments.session(2).segment(&[]);
    segments.segment(&[level("AAA", Side::Sell, 120, 5, true)]);
    let mut rig = segments.rig(Feed::Deep);
    rig.poll();
    assert_eq!(rig.states, [FeedState::Current]);
    rig.poll_times(2);
    assert_eq!(rig.states, [FeedState::Current, FeedState::Stale]);
    assert_eq!(rig.mirror.book(AAA).map(|book| book.state()), Some(BookState::Stale));
    rig.poll();
    assert_eq!(rig.states.last(), Some(&FeedState::Current), "the new session");
    assert_eq!(rig.first(), (None, None));
    rig.poll_times(2);
    assert_eq!(rig.first(), (None, Some(120)));
    assert_eq!((rig.levels(Side::Buy), rig.levels(Side::Sell)), (vec![], vec![(120, 5)]));
    rig.agent.on_close(rig.now);
    let counted = ["feed_gap_count", "feed_missing_count", "feed_session_change_count"];
    assert_eq!(counted.map(|name| rig.count(name)), [1, 1, 1]);
}

#[test]
fn silence_is_stale_until_the_next_heartbeat() {
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    segments.segment(&[level("AAA", Side::Buy, 100, 5, true)]).segment(&[]);
    let mut rig = segments.rig(Feed::Deep);
    rig.poll();
    rig.now = rig.now.plus(STALE_AFTER_NS + 1);
    rig.poll(); // the heartbeat comes in the same cycle
    assert_eq!(rig.states, [FeedState::Current]);
    rig.now = rig.now.plus(STALE_AFTER_NS + 1);
    rig.poll();
    assert_eq!(rig.states, [FeedState::Current, FeedState::Stale]);
}

#[test]
fn what_is_not_of_the_stream_is_counted_and_changes_nothing() {
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    segments.segment(&[level("AAA", Side::Buy, 100, 5, true)]);
    let own = segments.header;
    segments.header.protocol = ProtocolId::TOPS_1_6;
    segments.segment(&[quote("AAA", (5, 90), (91, 6))]);
    segments.header = own;
    assert!(segments.capture.push(GROUP, 0, b"no segment at all", b""));
    segments.segment(&[vec![b'z'; 20], level("AAA", Side::Buy, 101, 5, true)]);
    let mut rig = segments.rig(Feed::Deep);
    rig.poll_times(4);
    assert_eq!(rig.first(), (Some(101), None));
    assert_eq!(rig.states, [FeedState::Current]);
    rig.agent.on_close(rig.now);
    let counted = ["feed_packet_error_count", "feed_message_error_count", "feed_gap_count"];
    assert_eq!(counted.map(|name| rig.count(name)), [2, 1, 0]);
}

#[test]
fn levels_there_is_no_room_for_leave_a_book_without_prices() {
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    for price in 100..=116 {
        segments.segment(&[level("AAA", Side::Sell, price, 5, true)]);
    }
    let mut rig = segments.rig(Feed::Deep);
    rig.poll_times(16);
    assert_eq!(rig.first(), (None, Some(100)));
    rig.poll_times(2);
    assert_eq!(rig.first(), (None, None), "the book may be wrong");
    assert_eq!(rig.mirror.book(AAA).map(|book| book.state()), Some(BookState::Stale));
    rig.agent.on_close(rig.now);
    assert_eq!(rig.count("feed_misfit_count"), 1);
}

#[test]
fn a_stream_without_servers_takes_a_recovery_that_has_none() {
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    segments.segment(&[level("AAA", Side::Buy, 100, 5, true)]);
    let mut rig = segments.rig(Feed::Deep);
    let ordering = Ordering { lines: 2, ..Ordering::OFF };
    let settings = RecoverySettings::default();
    let recovery = ChannelRecovery { ordering, settings, link: None };
    rig.agent = rig.agent.with_recovery(vec![recovery]);
    rig.poll();
    assert_eq!(rig.first(), (Some(100), None));
}

/// Two lines and some patience.
fn wait(rig: Rig) -> Rig {
    let ordering = Ordering {
        lines: 2,
        packets_max: 8,
        wait_ns: 1_000,
        line_wait_ns: 500,
        messages_max: 64,
        confirm_packets: 3,
    };
    let settings = RecoverySettings::default();
    let recovery = ChannelRecovery { ordering, settings, link: None };
    let agent = rig.agent.with_recovery(vec![recovery]);
    Rig { agent, ..rig }
}

#[test]
fn what_one_line_lost_is_waited_for_and_each_lines_packets_are_counted() {
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    segments.segment(&[level("AAA", Side::Buy, 100, 5, true)]);
    let lost = segments.header;
    segments.header.sequence += 1;
    segments.header.offset += 32;
    segments.segment(&[level("AAA", Side::Buy, 100, 7, true)]);
    // A forged number, which the other line does not confirm; and what is no segment.
    let own = std::mem::replace(&mut segments.header, Header { sequence: 1 << 40, ..lost });
    segments.segment(&[level("AAA", Side::Buy, 1_000, 1, true)]);
    segments.group = GROUP_B;
    assert!(segments.capture.push(GROUP_B, 0, b"no segment at all", b""));
    segments.header = lost;
    segments.segment(&[level("AAA", Side::Sell, 120, 6, true)]);
    segments.segment(&[level("AAA", Side::Buy, 100, 7, true)]);
    assert_eq!((segments.header.sequence, segments.header.offset), (own.sequence, own.offset));
    segments.segment(&[level("AAA", Side::Sell, 119, 1, true)]);
    let mut rig = wait(segments.rig(Feed::Deep));
    rig.poll_times(4);
    assert_eq!(rig.first(), (Some(100), None));
    assert_eq!(rig.levels(Side::Buy), [(100, 5)]);
    rig.poll_times(2);
    assert_eq!((rig.levels(Side::Buy), rig.levels(Side::Sell)), (vec![(100, 7)], vec![(120, 6)]));
    rig.poll_times(3);
    assert_eq!(rig.first(), (Some(100), Some(119)));
    assert_eq!(rig.states, [FeedState::Current]);
    rig.agent.on_close(rig.now);
    let counted = ["feed_gap_count", "feed_reordered_count", "feed_duplicate_count"];
    assert_eq!(counted.map(|name| rig.count(name)), [0, 1, 1]);
    let counted = [
        "feed_line_a_packet_count",
        "feed_line_a_first_count",
        "feed_line_a_missing_count",
        "feed_line_a_doubted_count",
        "feed_line_a_error_count",
    ];
    assert_eq!(counted.map(|name| rig.count(name)), [2, 2, 1, 1, 0]);
    let counted = [
        "feed_line_b_packet_count",
        "feed_line_b_first_count",
        "feed_line_b_late_count",
        "feed_line_b_duplicate_count",
        "feed_line_b_error_count",
    ];
    assert_eq!(counted.map(|name| rig.count(name)), [3, 2, 1, 0, 1]);
}

#[test]
fn what_no_line_brings_is_told_as_stale_once_time_is_up_though_nothing_comes() {
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    segments.segment(&[level("AAA", Side::Buy, 100, 5, true)]);
    segments.header.sequence += 1;
    segments.segment(&[level("AAA", Side::Buy, 101, 5, true)]);
    segments.segment(&[]).segment(&[]);
    let mut rig = wait(segments.rig(Feed::Deep));
    rig.poll_times(10);
    assert_eq!(
        (rig.states.as_slice(), rig.first()),
        (&[FeedState::Current][..], (Some(100), None))
    );
    rig.poll_times(10);
    assert_eq!(rig.states, [FeedState::Current, FeedState::Stale]);
    assert_eq!(rig.mirror.book(AAA).map(|book| book.state()), Some(BookState::Stale));
    rig.agent.on_close(rig.now);
    let counted = ["feed_gap_count", "feed_missing_count", "feed_line_a_missing_count"];
    assert_eq!(counted.map(|name| rig.count(name)), [1, 1, 1]);
}

/// What an agent told strategies of these segments, after the definitions and the first states.
fn told(segments: Segments, count: usize) -> Vec<MarketData> {
    let mut rig = segments.rig(Feed::Deep);
    let mut told = Vec::new();
    for _ in 0..count {
        rig.agent.poll(rig.now).expect("runs");
        rig.now = rig.now.plus(100);
        let take = &mut |fragment: postern::transport::Fragment<'_>| {
            told.push(MarketData::decode(fragment.bytes).expect("market data"));
        };
        rig.strategy.poll(usize::MAX, take).expect("a stream");
    }
    told
}

#[test]
fn auctions_official_prices_and_broken_trades_are_told() {
    let mut auction = head(b'A', b'C', "AAA");
    auction.extend_from_slice(&500_u32.to_le_bytes());
    for price in [101_i64, 102] {
        auction.extend_from_slice(&price.to_le_bytes());
    }
    auction.extend_from_slice(&70_u32.to_le_bytes());
    auction.extend_from_slice(b"B\x00");
    auction.extend_from_slice(&[0; 4]);
    for price in [0_i64, 100, 90, 110] {
        auction.extend_from_slice(&price.to_le_bytes());
    }
    let mut official = head(b'X', b'M', "AAA");
    official.extend_from_slice(&103_i64.to_le_bytes());
    let mut restricted = head(b'P', 1, "AAA");
    restricted.push(b'A');
    let mut open = vec![b'S', b'R'];
    open.extend_from_slice(&TIME_NS.to_le_bytes());
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    segments.segment(&[open]).segment(&[auction]).segment(&[official]);
    segments.segment(&[trade(b'T', "AAA", 5, 100, 9)]).segment(&[trade(b'B', "AAA", 5, 100, 9)]);
    segments.segment(&[restricted]);
    let told = told(segments, 6);
    let raw = |price: Option<Price>| price.map(|p| p.units() / Price::ITCH4_UNITS);
    let (mut found, mut phases) = (Vec::new(), Vec::new());
    for message in &told {
        match message {
            MarketData::ChannelStatus(m) => phases.push(m.session_phase),
            MarketData::AuctionImbalance(m) => {
                assert_eq!(
                    (m.cross_type, m.imbalance_side),
                    (CrossType::Closing, ImbalanceSide::Buy)
                );
                assert_eq!((m.paired_qty, m.imbalance_qty), (500, 70));
                let prices = [m.reference_px, m.near_px, m.far_px].map(raw);
                assert_eq!(prices, [Some(101), Some(102), None]);
                found.push("imbalance");
            }
            MarketData::AuctionResult(m) => {
                assert_eq!(
                    (m.cross_type, raw(Some(m.md_entry_px))),
                    (CrossType::Closing, Some(103))
                );
                found.push("result");
            }
            MarketData::TradeBreak(m) => {
                assert_eq!((m.trade_id, raw(m.md_entry_px), m.md_entry_size), (9, Some(100), 5));
                found.push("break");
            }
            MarketData::SecurityStatus(m) => {
                assert_eq!(m.short_sale_restriction, ShortSaleRestriction::InEffect);
                found.push("status");
            }
            _ => {}
        }
    }
    assert_eq!(found, ["imbalance", "result", "break", "status"]);
    assert_eq!(phases, [SessionPhase::MarketHours]);
}

#[test]
fn a_crossed_book_is_counted() {
    let mut segments = Segments::new(ProtocolId::DEEP_1_0);
    let mut halt = head(b'O', b'N', "AAA");
    halt.truncate(18);
    segments.segment(&[status("AAA", b'T'), halt]);
    segments
        .segment(&[level("AAA", Side::Buy, 101, 5, true), level("AAA", Side::Sell, 100, 5, true)]);
    let mut rig = segments.rig(Feed::Deep);
    rig.poll_times(2);
    rig.agent.on_close(rig.now);
    assert_eq!(rig.count("feed_crossed_count"), 1);
}
