//! A made day of 8,000 securities with more than 200,000 orders open through the feed agent: it allocates nothing, and its
//! books come out as plain ones do. With `POSTERN_LONG` 20 million messages, else 400,000.

#![allow(clippy::print_stdout, reason = "tests say what they measured")]
#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddrV4;
use std::sync::{Arc, OnceLock};

use postern::codec::journal::Journal;
use postern::codec::market_data::MarketData;
use postern::feed::arbiter::Join;
use postern::feed::book::{BookIndex, BooksConfig};
use postern::feed::channel::ChannelSettings;
use postern::feed::itch50::{Message, OrderEvent, OrderEventKind, decode};
use postern::feed::market_state::MarketState;
use postern::feed::moldudp64::{HEADER_BYTES, Header, Session};
use postern::feed::{
    BookDigest, ChannelConfig, FeedAgent, FeedConfig, InstrumentConfig, MarketDataStreams,
    SnapshotStream,
};
use postern::net::{Datagram, DatagramHandler, PacketSource, Polled, RxClock, RxStamp};
use postern::ring::{Backing, RingConfig, ring};
use postern::runtime::{
    Agent, Clock, GuardedAllocator, HotZone, OnHotAllocation, hot_allocation_count,
    on_hot_allocation,
};
use postern::sim::day::{BUFFER_BYTES, Day, DayConfig};
use postern::telemetry::Registry;
use postern::transport::Inbound;
use postern::transport::memory::stream;
use postern::types::{ChannelId, InstrumentId, Nanos, Price, SessionPhase, Side, Symbol, UtcNanos};

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const CHANNEL: ChannelId = ChannelId(1);
const SYMBOLS: u16 = 8_000;
const LIVE_ORDERS: usize = 200_000;
const PACKET_BYTES: usize = 1_400;
/// Levels told of each side.
const DEPTH: usize = 5;

/// The day as MoldUDP64 packets of one to 24 messages, made as they are asked for.
struct DaySource {
    day: Day,
    sequence: u64,
    packet: [u8; PACKET_BYTES],
    is_over: bool,
}

impl DaySource {
    fn new(config: DayConfig) -> DaySource {
        let day = Day::new(config).expect("a day");
        DaySource { day, sequence: 1, packet: [0; PACKET_BYTES], is_over: false }
    }

    /// Fills the packet; returns its size, or `None` at the end of the day.
    fn fill(&mut self) -> Option<usize> {
        let wanted = 1 + u16::try_from(self.sequence * 7 % 24).expect("few");
        let (mut at, mut count) = (HEADER_BYTES, 0);
        let mut message = [0; BUFFER_BYTES];
        while count < wanted && at + 2 + BUFFER_BYTES <= PACKET_BYTES {
            let Some(length) = self.day.next_message(&mut message) else { break };
            let length_bytes = u16::try_from(length).expect("short").to_be_bytes();
            self.packet[at..at + 2].copy_from_slice(&length_bytes);
            self.packet[at + 2..at + 2 + length].copy_from_slice(&message[..length]);
            at += 2 + length;
            count += 1;
        }
        let mut head = [0; HEADER_BYTES];
        let session = Session(*b"SESSION001");
        Header { session, sequence: self.sequence, count }.write(&mut head);
        self.packet[..HEADER_BYTES].copy_from_slice(&head);
        self.sequence += u64::from(count);
        (count > 0).then_some(at)
    }
}

impl PacketSource for DaySource {
    fn subscribe(&mut self, _: SocketAddrV4, _: ChannelId, _: u8) -> io::Result<()> {
        Ok(())
    }

    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        for taken in 0..budget {
            let Some(bytes) = self.fill() else {
                self.is_over = taken == 0;
                return Ok(if taken == 0 { Polled::End } else { Polled::Got(taken) });
            };
            let stamp = RxStamp { ns: 0, clock: RxClock::None };
            let payload = &self.packet[..bytes];
            handler.on_datagram(Datagram { channel: CHANNEL, line: 0, stamp, payload });
        }
        handler.on_burst_end(budget);
        Ok(Polled::Got(budget))
    }

    fn drops(&self) -> u64 {
        0
    }
}

/// The symbols of a day, by stock locate from 1 on.
fn symbols(config: DayConfig) -> Vec<Symbol> {
    let mut day = Day::new(config).expect("a day");
    let mut buffer = [0; BUFFER_BYTES];
    let mut symbols = Vec::new();
    while symbols.len() < usize::from(config.symbols) {
        let length = day.next_message(&mut buffer).expect("directories come first");
        if let Ok(Message::StockDirectory(m)) = decode(&buffer[..length]) {
            assert_eq!(usize::from(m.head.locate), symbols.len() + 1);
            symbols.push(m.symbol);
        }
    }
    symbols
}

fn feed_config(symbols: &[Symbol], orders: u32) -> FeedConfig {
    let settings = ChannelSettings {
        join: Join::First,
        stale_after_ns: u64::MAX,
        books: BooksConfig {
            orders_max: usize::try_from(orders).expect("it fits"),
            levels_max: 256,
            books_max: symbols.len(),
            follow_all_symbols: false,
        },
    };
    let instruments = (1..).zip(symbols).map(|(id, &symbol)| InstrumentConfig {
        id: InstrumentId(id),
        symbol,
        channel: CHANNEL,
        tick: Price::from_itch4(100),
        lot: 1,
    });
    FeedConfig {
        channels: vec![ChannelConfig {
            id: CHANNEL,
            settings: settings.into(),
            midnight: UtcNanos(0),
        }],
        instruments: instruments.collect(),
        poll_budget: 8,
        status_interval_ns: 1_000_000,
    }
}

/// An order as anybody would keep it: stock locate, side, price, shares, and when it came.
type Plain = (u16, Side, u32, u32, u64);

/// The digest of plain books that went through the day, and the most orders that were open.
fn plain_digest(config: DayConfig, symbols: &[Symbol]) -> (u64, usize) {
    let mut day = Day::new(config).expect("a day");
    let mut buffer = [0; BUFFER_BYTES];
    let mut orders: BTreeMap<u64, Plain> = BTreeMap::new();
    let mut peak = 0;
    while let Some(length) = day.next_message(&mut buffer) {
        let message = decode(&buffer[..length]).expect("a message");
        let Some(event) = OrderEvent::of(&message) else { continue };
        let now = day.made();
        match event.kind {
            OrderEventKind::Add => {
                let order = (event.locate, event.side, event.price, event.shares, now);
                assert!(orders.insert(event.reference, order).is_none());
            }
            OrderEventKind::Delete => drop(orders.remove(&event.reference).expect("it stands")),
            OrderEventKind::Replace => {
                let (locate, side, ..) = orders.remove(&event.reference).expect("it stands");
                orders.insert(event.second, (locate, side, event.price, event.shares, now));
            }
            OrderEventKind::Execute | OrderEventKind::ExecuteAtPrice | OrderEventKind::Cancel => {
                let order = orders.get_mut(&event.reference).expect("it stands");
                order.3 -= event.shares;
                if order.3 == 0 {
                    orders.remove(&event.reference);
                }
            }
        }
        peak = peak.max(orders.len());
    }
    let mut sorted: Vec<(Symbol, Side, u32, u64, u64, Plain)> = Vec::new();
    for (&reference, &order) in &orders {
        let (locate, side, price, _, entered) = order;
        let rank = if side == Side::Buy { !price } else { price };
        let symbol = symbols[usize::from(locate) - 1];
        sorted.push((symbol, side, rank, entered, reference, order));
    }
    sorted.sort_unstable();
    let mut digest = BookDigest::new();
    let mut last = None;
    for (symbol, side, _, _, reference, (_, _, price, shares, _)) in sorted {
        if last.replace(symbol) != Some(symbol) {
            digest.book(symbol);
        }
        digest.order(side, Price::from_itch4(price), shares, reference);
    }
    (digest.finish(), peak)
}

/// What was traded of a security: shares that stand, by match number, and the number of its opening and closing cross.
#[derive(Clone, Default)]
struct PlainMarket {
    sales: BTreeMap<u64, u64>,
    crosses: [Option<u64>; 2],
}

/// What a plain reading of the day says was traded, by stock locate from 1 on.
fn market_of(config: DayConfig) -> Vec<PlainMarket> {
    let mut day = Day::new(config).expect("a day");
    let mut buffer = [0; BUFFER_BYTES];
    let mut market = vec![PlainMarket::default(); usize::from(config.symbols)];
    while let Some(length) = day.next_message(&mut buffer) {
        let message = decode(&buffer[..length]).expect("a message");
        let Some(place) = usize::from(message.head().locate).checked_sub(1) else { continue };
        let PlainMarket { sales, crosses } = &mut market[place];
        match message {
            Message::OrderExecuted(m) => drop(sales.insert(m.match_number, m.shares.into())),
            Message::OrderExecutedWithPrice(m) if m.printable => {
                sales.insert(m.match_number, m.shares.into());
            }
            Message::Trade(m) => drop(sales.insert(m.match_number, m.shares.into())),
            Message::CrossTrade(m) => {
                if m.shares > 0 {
                    sales.insert(m.match_number, m.shares);
                }
                match m.cross {
                    b'O' => crosses[0] = Some(m.match_number),
                    b'C' => crosses[1] = Some(m.match_number),
                    _ => {}
                }
            }
            Message::BrokenTrade(m) => drop(sales.remove(&m.match_number)),
            _ => {}
        }
    }
    market
}

fn assert_market_is_right(state: &MarketState, plain: &[PlainMarket]) {
    for (book, PlainMarket { sales, crosses }) in (0..).zip(plain) {
        let told = state.sales(BookIndex(book));
        assert_eq!(told.volume, sales.values().sum::<u64>(), "shares of {book}");
        assert_eq!(told.trades, u64::try_from(sales.len()).expect("few"), "trades of {book}");
        // Its numbers grow, so the last is the largest.
        let last = sales.last_key_value().map(|(&number, _)| number);
        assert_eq!(told.last.map(|sale| sale.match_number), last, "last of {book}");
        let security = state.security(BookIndex(book));
        let told = [security.opening, security.closing].map(|c| c.map(|c| c.match_number));
        assert_eq!(told, *crosses, "crosses of {book}");
    }
    assert_eq!((state.phase(), state.breached_level()), (SessionPhase::AfterEndOfMessages, 1));
    assert!(state.is_since_start());
}

#[test]
fn a_day_of_many_orders_allocates_nothing_and_gives_the_right_books() {
    // So few messages bring as many orders only where far more may be open.
    let is_long = std::env::var_os("POSTERN_LONG").is_some();
    let (messages, orders) = if is_long { (20_000_000, 230_000) } else { (400_000, 450_000) };
    let config = DayConfig { messages, symbols: SYMBOLS, orders, seed: 11 };
    let symbols = symbols(config);
    let (digest, peak) = plain_digest(config, &symbols);
    assert!(peak >= LIVE_ORDERS, "{peak} orders at most");

    let ring_config = RingConfig { name: "feed_risk", slots: 1_024, backing: Backing::Heap };
    let (feed_risk, mut risk) = ring(&ring_config).expect("a ring");
    let (out, mut strategies) = stream(4_096, 128);
    let (snapshots_out, mut snapshots) = stream(256, 128);
    let registry = Registry::new();
    let streams = MarketDataStreams {
        depth: DEPTH,
        own: Vec::new(),
        copies: Vec::new(),
        snapshots: Some(SnapshotStream { out: snapshots_out, interval_ns: 100_000_000 }),
    };
    let mut agent = FeedAgent::new(
        &feed_config(&symbols, orders),
        DaySource::new(config),
        out,
        feed_risk,
        &registry,
        Clock::start(),
        Arc::new(OnceLock::new()),
    )
    .with_market_data(streams, &registry);

    on_hot_allocation(OnHotAllocation::Abort);
    let mut now = Nanos(1_000_000_000);
    let (mut live, mut told, mut prices) = (0, 0_u64, 0_u64);
    while !agent.is_over() {
        now = now.plus(10_000);
        let hot = HotZone::enter("feed");
        agent.poll(now).expect("runs");
        drop(hot);
        let (_, books) = agent.books().next().expect("a channel");
        live = live.max(books.order_count_total());
        // What reads is quick here; what a slow reader does is for other tests.
        let mut take = |fragment: postern::transport::Fragment<'_>| {
            MarketData::decode(fragment.bytes).expect("market data");
            told += 1;
        };
        strategies.poll(usize::MAX, &mut take).expect("a stream");
        snapshots.poll(usize::MAX, &mut take).expect("a stream");
        risk.drain(usize::MAX, |bytes| {
            Journal::decode(bytes).expect("for risk");
            prices += 1;
        });
    }
    assert_eq!(hot_allocation_count(), 0);
    let (_, channel) = agent.channels().next().expect("a channel");
    let counts = channel.counts();
    assert_eq!((counts.messages, counts.message_errors, counts.misfits), (messages, 0, 0));
    assert_eq!(agent.digest(), digest);
    assert_market_is_right(channel.market(), &market_of(config));
    assert!(live >= LIVE_ORDERS, "{live} orders at most, seen between bursts");
    agent.on_close(now);
    for name in ["feed_crossed_count", "feed_contradicted_count", "feed_state_misfit_count"] {
        assert_eq!(registry.counter(name).get(), 0, "{name}: the day is a good one");
    }
    println!(
        "{messages} messages of {SYMBOLS} securities, {peak} orders open at most: 0 allocations; \
         {told} messages to strategies, {prices} to risk"
    );
}
