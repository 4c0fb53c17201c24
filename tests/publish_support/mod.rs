//! A feed agent over made-up packets, with streams whose room a test decides.
#![allow(dead_code, reason = "each test uses its part of it")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use postern::client::{BookMirror, Level};
use postern::codec::market_data::MarketData;
use postern::feed::arbiter::Join;
use postern::feed::book::{BookIndex, Books, BooksConfig};
use postern::feed::channel::ChannelSettings;
use postern::feed::moldudp64::{HEADER_BYTES, Header, Session};
use postern::feed::{
    ChannelConfig, FeedAgent, FeedConfig, InstrumentConfig, MarketDataStreams, SnapshotStream,
};
use postern::net::capture::Capture;
use postern::net::{CaptureSource, Pace};
use postern::ring::{Backing, Consumer, RingConfig, ring};
use postern::runtime::{Agent, Clock};
use postern::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX};
use postern::telemetry::Registry;
use postern::transport::{OfferError, Outbound};
use postern::types::{BookState, ChannelId, InstrumentId, Nanos, Price, Side, Symbol, UtcNanos};

use crate::random::Random;

pub const CHANNEL: ChannelId = ChannelId(9);
pub const MIDNIGHT: UtcNanos = UtcNanos(1_580_360_400_000_000_000);
pub const STALE_AFTER_NS: u64 = 1_000_000_000;
pub const SNAPSHOT_INTERVAL_NS: u64 = 3_000;
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 5_000);
const STEP_NS: u64 = 100;

pub const fn id(locate: u16) -> InstrumentId {
    #[allow(clippy::as_conversions, reason = "in a constant")]
    InstrumentId(70 + locate as u32)
}

pub fn stock(locate: u16) -> Symbol {
    let named = ["", "AAA", "BBB", "CCC", "DDD"].get(usize::from(locate));
    let text = named.map_or_else(|| format!("S{locate}"), |name| (*name).to_owned());
    Symbol::new(&text).expect("a symbol")
}

pub fn add(locate: u16, reference: u64, side: Side, shares: u32, price: u32) -> ItchMessage {
    ItchMessage::Add { locate, reference, side, shares, stock: stock(locate), price }
}

/// A capture of packets, written by the simulated exchange's encoder.
pub struct Feed {
    pub capture: Capture,
    pub session: Session,
    pub sequence: u64,
}

impl Feed {
    pub fn new() -> Feed {
        let capture = Capture::empty(Path::new("made"));
        Feed { capture, session: Session(*b"SESSION001"), sequence: 1 }
    }

    pub fn packet(&mut self, messages: &[ItchMessage]) -> &mut Feed {
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
}

impl Feed {
    /// A packet of messages that are bytes already.
    pub fn raw(&mut self, messages: &[Vec<u8>]) -> &mut Feed {
        let count = u16::try_from(messages.len()).expect("few");
        let mut head = [0; HEADER_BYTES];
        Header { session: self.session, sequence: self.sequence, count }.write(&mut head);
        let length = |message: &Vec<u8>| u16::try_from(message.len()).expect("short").to_be_bytes();
        let body = messages.iter().flat_map(|m| [&length(m)[..], m].concat()).collect::<Vec<u8>>();
        assert!(self.capture.push(GROUP, 0, &head, &body));
        self.sequence += u64::from(count);
        self
    }
}

/// Orders that come and go at random, in `1..=stocks`.
pub struct Market {
    pub random: Random,
    orders: Vec<(u16, u64, u32)>,
    next: u64,
    stocks: u16,
}

impl Market {
    pub fn new(seed: u64, stocks: u16) -> Market {
        Market { random: Random::new(seed), orders: Vec::new(), next: 1, stocks }
    }

    fn locate(&mut self) -> u16 {
        1 + u16::try_from(self.random.below(u64::from(self.stocks))).expect("few")
    }

    fn side_and_price(&mut self) -> (Side, u32) {
        let away = 100 * self.random.small(30);
        if self.random.one_in(2) {
            (Side::Buy, 1_000_000 - away)
        } else {
            (Side::Sell, 1_000_100 + away)
        }
    }

    /// The next message.
    pub fn message(&mut self) -> ItchMessage {
        let is_full = self.orders.len() > 150;
        if self.orders.is_empty() || (!is_full && self.random.one_in(2)) {
            let (locate, (side, price)) = (self.locate(), self.side_and_price());
            let shares = 1 + self.random.small(500);
            let reference = self.next;
            self.next += 1;
            self.orders.push((locate, reference, shares));
            return add(locate, reference, side, shares, price);
        }
        let at = self.random.index(self.orders.len());
        let (locate, reference, shares) = self.orders[at];
        match self.random.index(4) {
            0 if shares > 1 => {
                let taken = 1 + self.random.small(shares - 1);
                self.orders[at].2 -= taken;
                ItchMessage::Cancel { locate, reference, shares: taken }
            }
            1 => {
                let taken = 1 + self.random.small(shares);
                if taken == shares {
                    self.orders.swap_remove(at);
                } else {
                    self.orders[at].2 -= taken;
                }
                ItchMessage::Executed { locate, reference, shares: taken, match_number: reference }
            }
            _ => {
                self.orders.swap_remove(at);
                ItchMessage::Delete { locate, reference }
            }
        }
    }

    /// A capture of so many packets of one to four messages.
    pub fn feed(&mut self, packets: usize) -> Feed {
        let mut feed = Feed::new();
        for _ in 0..packets {
            let count = 1 + self.random.index(4);
            let messages: Vec<ItchMessage> = (0..count).map(|_| self.message()).collect();
            feed.packet(&messages);
        }
        feed
    }
}

/// The inside of a [`Pipe`].
#[derive(Debug)]
pub struct PipeState {
    pub is_connected: bool,
    /// Messages it takes before it is full.
    pub room: usize,
    /// Offers since this was last set to 0.
    pub offers: usize,
    pub messages: VecDeque<MarketData>,
    source: i32,
}

/// A stream that a test opens, fills and closes.
#[derive(Clone, Debug)]
pub struct Pipe(pub Rc<RefCell<PipeState>>);

impl Pipe {
    pub fn open(source: i32) -> Pipe {
        Pipe(Rc::new(RefCell::new(PipeState {
            is_connected: true,
            room: usize::MAX,
            offers: 0,
            messages: VecDeque::new(),
            source,
        })))
    }

    pub fn take(&self) -> Vec<MarketData> {
        self.0.borrow_mut().messages.drain(..).collect()
    }

    pub fn set_room(&self, room: usize) {
        self.0.borrow_mut().room = room;
    }

    pub fn connect(&self, is_connected: bool) {
        self.0.borrow_mut().is_connected = is_connected;
    }
}

impl Outbound for Pipe {
    fn offer(&mut self, bytes: usize, write: impl FnOnce(&mut [u8])) -> Result<(), OfferError> {
        let mut pipe = self.0.borrow_mut();
        pipe.offers += 1;
        if !pipe.is_connected {
            return Err(OfferError::NotConnected);
        }
        if pipe.room == 0 {
            return Err(OfferError::BackPressured);
        }
        pipe.room -= usize::from(pipe.room != usize::MAX);
        let mut message = vec![0; bytes];
        write(&mut message);
        pipe.messages.push_back(MarketData::decode(&message).expect("market data"));
        Ok(())
    }

    fn is_connected(&self) -> bool {
        self.0.borrow().is_connected
    }

    fn source(&self) -> i32 {
        self.0.borrow().source
    }
}

/// What the agent is asked to do for the first `stocks` stocks.
pub fn config(stocks: u16) -> FeedConfig {
    let settings = ChannelSettings {
        join: Join::First,
        stale_after_ns: STALE_AFTER_NS,
        books: BooksConfig {
            orders_max: 4096,
            levels_max: 128,
            books_max: usize::from(stocks),
            follow_all_symbols: false,
        },
    };
    let instrument = |locate| InstrumentConfig {
        id: id(locate),
        symbol: stock(locate),
        channel: CHANNEL,
        tick: Price::from_itch4(100),
        lot: 100,
    };
    FeedConfig {
        channels: vec![ChannelConfig {
            id: CHANNEL,
            settings: settings.into(),
            midnight: MIDNIGHT,
        }],
        instruments: (1..=stocks).map(instrument).collect(),
        poll_budget: 1,
        status_interval_ns: 10_000,
    }
}

/// An agent that takes one datagram a cycle.
pub struct Rig<O> {
    pub agent: FeedAgent<CaptureSource, O>,
    pub registry: Registry,
    pub now: Nanos,
    risk: Consumer,
}

/// Streams of every kind.
pub struct Streams<O> {
    pub depth: usize,
    pub shared: O,
    pub own: Vec<(InstrumentId, O)>,
    pub copies: Vec<O>,
    pub snapshots: Option<O>,
}

impl<O: Outbound> Rig<O> {
    pub fn new(feed: Feed, stocks: u16, streams: Streams<O>) -> Rig<O> {
        Rig::with(feed, &config(stocks), streams)
    }

    pub fn with(feed: Feed, config: &FeedConfig, streams: Streams<O>) -> Rig<O> {
        let mut source = CaptureSource::new(feed.capture, Pace::Unpaced);
        source.subscribe_all(CHANNEL);
        let ring_config = RingConfig { name: "feed_risk", slots: 64, backing: Backing::Heap };
        let (producer, risk) = ring(&ring_config).expect("a ring");
        let registry = Registry::new();
        let Streams { depth, shared, own, copies, snapshots } = streams;
        let interval_ns = SNAPSHOT_INTERVAL_NS;
        let snapshots = snapshots.map(|out| SnapshotStream { out, interval_ns });
        let agent = FeedAgent::new(
            config,
            source,
            shared,
            producer,
            &registry,
            Clock::start(),
            Arc::new(OnceLock::new()),
        )
        .with_market_data(MarketDataStreams { depth, own, copies, snapshots }, &registry);
        Rig { agent, registry, now: Nanos(1_000_000_000), risk }
    }

    pub fn poll(&mut self) -> usize {
        self.now = self.now.plus(STEP_NS);
        let work = self.agent.poll(self.now).expect("runs");
        self.risk.drain(usize::MAX, |_| {});
        work
    }

    pub fn books(&self) -> &Books {
        self.agent.books().next().expect("a channel").1
    }

    pub fn count(&self, name: &'static str) -> u64 {
        self.registry.counter(name).get()
    }

    /// Fails unless the mirror has the agent's books to `depth`.
    #[track_caller]
    pub fn assert_mirrored(&self, mirror: &BookMirror, stocks: u16, depth: usize) {
        for locate in 1..=stocks {
            let book = mirror.book(id(locate)).unwrap_or_else(|| panic!("{locate} is not known"));
            assert_eq!(book.state(), BookState::Current);
            assert!(book.is_whole());
            for side in [Side::Buy, Side::Sell] {
                let levels = levels(self.books(), BookIndex(locate - 1), side, depth);
                assert_eq!(book.levels(side), levels, "{side:?} of {locate}");
            }
        }
    }
}

/// The best levels of a book, as a mirror has them.
pub fn levels(books: &Books, book: BookIndex, side: Side, depth: usize) -> Vec<Level> {
    let all = books.levels(book, side).take(depth);
    all.map(|(price, size, orders)| Level { price, size, orders }).collect()
}
