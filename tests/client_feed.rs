//! A captured market through the real feed agent and a real media driver into mirrors, one of which comes late. Skips, saying
//! so, where the capture is absent.

#![allow(clippy::print_stdout, reason = "a test says what it compared and why it skips")]

#[path = "support/random.rs"]
mod random;
#[path = "support/transport.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use postern::client::{BookMirror, Handler, Level, MarketReader};
use postern::codec::market_data::MarketData;
use postern::feed::arbiter::Join;
use postern::feed::book::{BookIndex, BooksConfig};
use postern::feed::channel::ChannelSettings;
use postern::feed::{
    ChannelConfig, FeedAgent, FeedConfig, InstrumentConfig, MarketDataStreams, SnapshotStream,
    capture,
};
use postern::net::{CaptureSource, Pace};
use postern::ring::{Backing, RingConfig, ring};
use postern::runtime::{Agent, Clock};
use postern::telemetry::Registry;
use postern::transport::{AeronConfig, Client, Outbound, Publication, Subscription};
use postern::types::{BookState, ChannelId, InstrumentId, Nanos, Price, Side, Symbol, UtcNanos};
use random::Random;
use support::{Directory, drive, free_port, now, wait_for};

const DEPTH: usize = 10;
const CHANNEL: ChannelId = ChannelId(1);
const STOCK: InstrumentId = InstrumentId(5);
const MARKET: i32 = 1002;
const SNAPSHOTS: i32 = 1003;

struct Watcher(BookMirror);

impl Handler for Watcher {
    fn on_market_data(&mut self, source: i32, message: &MarketData) {
        self.0.on_message(source, message);
    }

    fn on_snapshot(&mut self, message: &MarketData) {
        self.0.on_snapshot(message);
    }
}

/// A strategy that reads when it is let.
struct Reader {
    market: MarketReader<Subscription>,
    watcher: Watcher,
}

impl Reader {
    /// Joins both streams and waits until it has.
    fn join(client: &mut Client, channel: &str) -> Reader {
        let mut subscribe = |stream| client.add_subscription(channel, stream).expect("subscribed");
        let (changes, snapshots) = (subscribe(MARKET), subscribe(SNAPSHOTS));
        drive("publishers", &mut [client], || {
            (changes.is_connected() && snapshots.is_connected()).then_some(())
        });
        let market = MarketReader::new(Some(changes), Some(snapshots));
        Reader { market, watcher: Watcher(BookMirror::new()) }
    }

    fn poll(&mut self) -> usize {
        self.market.poll(&mut self.watcher).expect("up")
    }
}

fn config() -> FeedConfig {
    let settings = ChannelSettings {
        join: Join::First,
        stale_after_ns: u64::MAX / 2,
        books: BooksConfig {
            orders_max: 1 << 14,
            levels_max: 1024,
            books_max: 1,
            follow_all_symbols: false,
        },
    };
    FeedConfig {
        channels: vec![ChannelConfig {
            id: CHANNEL,
            settings: settings.into(),
            midnight: UtcNanos(0),
        }],
        instruments: vec![InstrumentConfig {
            id: STOCK,
            symbol: Symbol::new("AAPL").expect("a symbol"),
            channel: CHANNEL,
            tick: Price::from_itch4(100),
            lot: 100,
        }],
        poll_budget: 8,
        status_interval_ns: 5_000_000,
    }
}

type Agents = FeedAgent<CaptureSource, Publication>;

fn agent(
    [shared, snapshots]: [Publication; 2],
    copies: Vec<Publication>,
    file: &Path,
    registry: &Registry,
) -> Agents {
    let capture = capture::open(file).expect("a capture").whole().expect("whole");
    let mut source = CaptureSource::new(capture, Pace::Unpaced);
    source.subscribe_all(CHANNEL);
    let ring_config = RingConfig { name: "feed_risk", slots: 2, backing: Backing::Heap };
    let (producer, _risk) = ring(&ring_config).expect("a ring");
    let clock = Clock::start();
    FeedAgent::new(&config(), source, shared, producer, registry, clock, Arc::new(OnceLock::new()))
        .with_market_data(
            MarketDataStreams {
                depth: DEPTH,
                own: Vec::new(),
                copies,
                snapshots: Some(SnapshotStream { out: snapshots, interval_ns: 200_000 }),
            },
            registry,
        )
}

/// Whether the mirror has the agent's book.
fn is_equal(agent: &Agents, mirror: &BookMirror) -> bool {
    let (_, books) = agent.books().next().expect("a channel");
    let Some(book) = mirror.book(STOCK) else { return false };
    book.state() == BookState::Current
        && [Side::Buy, Side::Sell].into_iter().all(|side| {
            let all = books.levels(BookIndex(0), side).take(DEPTH);
            let levels: Vec<Level> =
                all.map(|(price, size, orders)| Level { price, size, orders }).collect();
            book.levels(side) == levels
        })
}

/// Publishes to one channel what is read from another, which may be the same.
fn run(file: &Path, publish: &str, channel: &str) {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let registry = Registry::new();
    let streams = [MARKET, SNAPSHOTS]
        .map(|stream| client.add_publication(publish, stream).expect("published"));
    let mut early = Reader::join(&mut client, channel);
    drive("readers", &mut [&mut client], || {
        streams.iter().all(Outbound::is_connected).then_some(())
    });
    let mut agent = agent(streams, Vec::new(), file, &registry);
    let mut late: Option<Reader> = None;
    let mut random = Random::new(7);
    let mut cycles = 0_u32;
    let mut time = Nanos(1_000);
    while !agent.is_over() {
        client.service(now()).expect("up");
        time = time.plus(1_000);
        agent.poll(time).expect("runs");
        cycles += 1;
        // Now and then a reader pauses, so that its stream fills and is conflated.
        if cycles % 400 < 300 || random.one_in(10) {
            early.poll();
        }
        if cycles == 600 {
            late = Some(Reader::join(&mut client, channel));
        }
        if let Some(late) = &mut late {
            late.poll();
        }
    }
    let mut late = late.expect("the capture is longer");
    let readers = &mut [&mut early, &mut late];
    wait_for("equal books", || {
        client.service(now()).expect("up");
        time = time.plus(1_000);
        agent.poll(time).expect("runs");
        readers.iter_mut().for_each(|reader| {
            reader.poll();
        });
        readers.iter().all(|reader| is_equal(&agent, &reader.watcher.0)).then_some(())
    });
    wait_for("a snapshot that is compared", || {
        client.service(now()).expect("up");
        time = time.plus(1_000);
        agent.poll(time).expect("runs");
        readers.iter_mut().for_each(|reader| {
            reader.poll();
        });
        readers.iter().all(|reader| reader.watcher.0.counts().matched > 0).then_some(())
    });
    for reader in readers {
        let counts = reader.watcher.0.counts();
        assert_eq!(
            (counts.differed, counts.misfits),
            (0, 0),
            "{:?}",
            reader.watcher.0.difference()
        );
        assert!(is_equal(&agent, &reader.watcher.0));
        println!("{channel}: {counts:?}");
    }
    assert!(late_was_installed(&late), "{:?}", late.watcher.0.counts());
}

fn late_was_installed(late: &Reader) -> bool {
    late.watcher.0.counts().installed > 0
}

fn capture_file() -> Option<PathBuf> {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"))
        .join("captures/itch/aapl_20200130_10k.itch50.bin");
    if file.exists() {
        return Some(file);
    }
    println!("skipped: no {}", file.display());
    None
}

/// One strategy does not read at all while the whole market goes by: its stream is full, and the other's copy is not.
#[test]
fn a_reader_that_sleeps_holds_up_neither_the_agent_nor_a_reader_with_a_copy() {
    const COPY: i32 = 2101;
    let Some(file) = capture_file() else { return };
    let directory = Directory::new();
    // Room for a thousand cycles of who reads, and not for all that the sleeper leaves.
    let config = AeronConfig { term_length_bytes: 1 << 20, ..directory.calm() };
    let mut client = Client::start(&config).expect("started");
    let registry = Registry::new();
    let mut publish = |stream| client.add_publication("aeron:ipc", stream).expect("published");
    let (streams, copy) = ([MARKET, SNAPSHOTS].map(&mut publish), publish(COPY));
    let mut sleeper = Reader::join(&mut client, "aeron:ipc");
    let changes = client.add_subscription("aeron:ipc", COPY).expect("subscribed");
    let mut awake = Reader {
        market: MarketReader::new(Some(changes), None),
        watcher: Watcher(BookMirror::new()),
    };
    drive("readers", &mut [&mut client], || {
        (streams.iter().all(Outbound::is_connected) && copy.is_connected()).then_some(())
    });
    let mut agent = agent(streams, vec![copy], &file, &registry);
    let mut time = Nanos(1_000);
    let mut turn = |agent: &mut Agents, client: &mut Client| {
        client.service(now()).expect("up");
        time = time.plus(1_000);
        agent.poll(time).expect("runs");
    };
    let mut cycles = 0_u32;
    while !agent.is_over() {
        turn(&mut agent, &mut client);
        while awake.poll() > 0 {}
        cycles += 1;
        // From the moment on in which the channel's state is known.
        assert!(cycles < 10 || is_equal(&agent, &awake.watcher.0), "in cycle {cycles}");
    }
    assert_eq!(awake.watcher.0.counts().conflated, 0);
    wait_for("the sleeper's books", || {
        turn(&mut agent, &mut client);
        sleeper.poll();
        is_equal(&agent, &sleeper.watcher.0).then_some(())
    });
    let counts = sleeper.watcher.0.counts();
    assert_eq!((counts.holes, counts.differed), (0, 0));
    assert!(counts.conflated > 1_000, "{counts:?}");
    let conflated = registry.counter("feed_publish_conflated_count").get();
    assert_eq!(counts.conflated, conflated);
    println!("awake {:?}, asleep {counts:?}", awake.watcher.0.counts());
}

#[test]
fn a_captured_market_is_mirrored_over_aeron_also_by_who_comes_half_way() {
    let Some(file) = capture_file() else { return };
    run(&file, "aeron:ipc", "aeron:ipc");
    let multicast = format!("aeron:udp?endpoint=224.20.30.41:{}|interface=127.0.0.1", free_port());
    run(&file, &multicast, &multicast);
    let control = format!("control=127.0.0.1:{}|control-mode=dynamic", free_port());
    let asked = format!("aeron:udp?endpoint=127.0.0.1:0|{control}");
    run(&file, &format!("aeron:udp?{control}"), &asked);
}
