//! Background participants, and the published feed against the exchange's own book.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests; a skip is told")]

mod sim_support;

use std::path::PathBuf;

use postern::feed::book::{Books, BooksConfig};
use postern::feed::channel::Channel;
use postern::feed::itch50;
use postern::sim::background::{
    BACKGROUND, CaptureFlow, CaptureScript, RandomFlow, RandomFlowConfig, RandomSymbol, Schedule,
    ScriptError,
};
use postern::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX};
use postern::sim::matching::{Exchange, ExchangeConfig, VenueInstrument};
use postern::sim::mold_out::{MoldConfig, MoldOut};
use postern::sim::order::{BookEvent, EventSink, NewOrder, OwnerId, Report};
use postern::sim::prng::SplitMix;
use postern::types::{ClOrdId, Nanos, OrdType, Price, Side, Symbol, TimeInForce, TradingStatus};
use sim_support::{Line, digest, feed, instrument, read};

/// Publishes as the exchange's agent does.
struct Publisher {
    instruments: Vec<VenueInstrument>,
    mold: MoldOut<Line>,
    trades: u64,
    participant_trades: u64,
}

impl EventSink for Publisher {
    fn on_report(&mut self, report: &Report) {
        if let Report::Trade { resting, aggressor, .. } = report {
            self.trades += 1;
            let foreign = resting.owner != BACKGROUND || aggressor.owner != BACKGROUND;
            self.participant_trades += u64::from(foreign);
        }
    }

    fn on_book(&mut self, event: &BookEvent) {
        let message = ItchMessage::of_event_in(event, |i| &self.instruments[usize::from(i)]);
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(34_200_000_000_000, &mut bytes);
        self.mold.push(&bytes[..length], Nanos(0));
    }
}

struct World {
    exchange: Exchange,
    publisher: Publisher,
    line: Line,
    feed: Channel,
}

impl World {
    fn new(instruments: &[VenueInstrument]) -> World {
        let config = ExchangeConfig {
            instruments: instruments.to_vec(),
            orders_max: 1 << 15,
            open_orders_max: 1 << 14,
            levels_max: 1_024,
            owners_max: 3,
        };
        let mut exchange = Exchange::new(&config).unwrap();
        exchange.set_open(true);
        let line = Line::default();
        let mold = MoldOut::new(MoldConfig::default(), line.clone(), None, Nanos(0));
        let symbols: Vec<Symbol> = instruments.iter().map(|i| i.symbol).collect();
        let instruments = instruments.to_vec();
        let mut publisher = Publisher { instruments, mold, trades: 0, participant_trades: 0 };
        for i in exchange.instruments().copied().collect::<Vec<_>>() {
            exchange.set_status(i.security_id, TradingStatus::Trading, &mut publisher);
        }
        World { exchange, publisher, line, feed: feed(&symbols) }
    }

    /// The feed has read all that was published, and has the exchange's books, order by order.
    fn check_feed(&mut self) {
        self.publisher.mold.flush(Nanos(1));
        read(&mut self.feed, &self.line);
        assert_eq!(self.feed.books().digest(), digest(&self.exchange, |order| order.reference));
        for (index, instrument) in (0..).zip(self.exchange.instruments()) {
            let book = self.feed.books().by_symbol(instrument.symbol).unwrap();
            for side in [Side::Buy, Side::Sell] {
                let levels = self.exchange.levels(index, side).map(|l| (l.price, l.qty, l.count));
                assert!(levels.eq(self.feed.books().levels(book, side)));
            }
        }
    }

    fn count(&self, letter: u8) -> u64 {
        self.feed.counts().by_type[usize::from(letter)]
    }
}

fn capture() -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/captures/itch/aapl_20200130_10k.itch50.bin");
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        println!("skipped: {} is not there", path.display());
    }
    bytes
}

fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        messages.push(message);
        bytes = rest;
    }
    messages
}

#[test]
fn a_capture_alone_makes_the_captured_book_at_every_step() {
    let Some(bytes) = capture() else { return };
    let mut world = World::new(&[instrument("AAPL", 77, 500)]);
    let script = CaptureScript::from_binary_file(&bytes).unwrap();
    assert_eq!((script.len(), script.live_count()), (9_945, 215));
    let schedule = Schedule { at_once: 0, over_ns: 0 };
    let mut flow = CaptureFlow::new(script, schedule, &world.exchange);
    let books = BooksConfig {
        orders_max: 1 << 14,
        levels_max: 4_096,
        books_max: 1,
        follow_all_symbols: true,
    };
    let symbol = Symbol::new("AAPL").unwrap();
    let mut captured = Books::new(books, &[symbol]);
    let captured_book = captured.by_symbol(symbol).unwrap();
    for (index, message) in messages(&bytes).into_iter().enumerate() {
        captured.apply(&itch50::decode(message).unwrap()).unwrap();
        if matches!(message[0], b'A' | b'F' | b'E' | b'C' | b'X' | b'D' | b'U' | b'P') {
            assert_eq!(flow.poll(Nanos(0), 1, &mut world.exchange, &mut world.publisher), 1);
        }
        for side in [Side::Buy, Side::Sell] {
            let levels = world.exchange.levels(0, side).map(|l| (l.price, l.qty, l.count));
            assert!(levels.eq(captured.levels(captured_book, side)), "message {index}");
        }
        if index % 500 == 0 {
            assert_eq!(digest(&world.exchange, |order| order.client_id.0), captured.digest());
            world.check_feed();
        }
    }
    assert!(flow.is_finished());
    assert_eq!(flow.passed_over_count(), 0);
    assert_eq!(world.exchange.open_count(), 215);
    assert_eq!(digest(&world.exchange, |order| order.client_id.0), captured.digest());
    world.check_feed();
    let published = b"AEXDUP".map(|letter| world.count(letter));
    assert_eq!(published, [4_760, 849, 6, 4_083, 7, 240]);
}

#[test]
fn a_capture_goes_on_where_a_participant_trades_with_it() {
    let Some(bytes) = capture() else { return };
    let mut world = World::new(&[instrument("AAPL", 77, 500)]);
    let script = CaptureScript::from_binary_file(&bytes).unwrap();
    let schedule = Schedule { at_once: 4_000, over_ns: 1_000_000 };
    let mut flow = CaptureFlow::new(script, schedule, &world.exchange);
    let mut random = SplitMix::new(5);
    let mut id = 0;
    for now in (0..=1_000_000).step_by(250).map(Nanos) {
        while flow.poll(now, 100, &mut world.exchange, &mut world.publisher) > 0 {}
        let Some(bid) = world.exchange.best(0, Side::Buy) else { continue };
        id += 1;
        let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
        let ticks = i64::from(random.below(60)) - 30;
        let new = NewOrder {
            owner: OwnerId(1),
            client_id: ClOrdId(id),
            tag: 0,
            security_id: world.publisher.instruments[0].security_id,
            side,
            ord_type: OrdType::Limit,
            time_in_force: TimeInForce::Day,
            price: Some(Price::from_units(bid.units() + ticks * Price::UNITS / 100)),
            qty: random.below(150) + 1,
        };
        world.exchange.submit(&new, &mut world.publisher).unwrap();
        if id > 20 {
            let (owner, old) = (OwnerId(1), ClOrdId(id - 20));
            let _ =
                world.exchange.cancel(owner, ClOrdId(1_000_000 + id), old, &mut world.publisher);
        }
    }
    assert!(flow.is_finished());
    assert!(flow.passed_over_count() > 0, "nothing was taken from the capture");
    assert!(world.publisher.participant_trades > 500, "{}", world.publisher.participant_trades);
    assert!(world.exchange.open_count_of(BACKGROUND) <= 215);
    world.check_feed();
}

/// A participant stands in front: the captured taker takes from it, and the captured order is cut down all the same.
#[test]
fn a_captured_taker_trades_with_whoever_is_first() {
    let mut world = World::new(&[instrument("AAPL", 77, 500)]);
    let (locate, stock, side) = (13, Symbol::new("AAPL").unwrap(), Side::Sell);
    let mut script = CaptureScript::new();
    let (reference, shares, price, match_number) = (7, 100, 10_000, 1);
    for message in [
        ItchMessage::Add { locate, reference, side, shares, stock, price },
        ItchMessage::Executed { locate, reference, shares: 60, match_number },
        ItchMessage::Executed { locate, reference, shares: 40, match_number },
    ] {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(1, &mut bytes);
        script.push_message(&bytes[..length]).unwrap();
    }
    let schedule = Schedule { at_once: 0, over_ns: 0 };
    let mut flow = CaptureFlow::new(script, schedule, &world.exchange);
    let mut step = |world: &mut World| {
        flow.poll(Nanos(0), 1, &mut world.exchange, &mut world.publisher);
        let leaves = |owner, id| world.exchange.find(owner, ClOrdId(id)).map(|o| o.leaves_qty);
        (leaves(BACKGROUND, reference), leaves(OwnerId(1), 1))
    };
    assert_eq!(step(&mut world), (Some(100), None));
    let new = NewOrder {
        owner: OwnerId(1),
        client_id: ClOrdId(1),
        tag: 0,
        security_id: world.publisher.instruments[0].security_id,
        side,
        ord_type: OrdType::Limit,
        time_in_force: TimeInForce::Day,
        price: Some("0.99".parse().unwrap()),
        qty: 80,
    };
    world.exchange.submit(&new, &mut world.publisher).unwrap();
    assert_eq!(step(&mut world), (Some(40), Some(20)));
    assert_eq!(step(&mut world), (Some(0), Some(0)));
    assert_eq!((world.publisher.participant_trades, world.exchange.open_count()), (2, 0));
    world.check_feed();
}

#[test]
fn a_capture_is_paced_by_the_time_it_is_given() {
    let Some(bytes) = capture() else { return };
    let mut world = World::new(&[instrument("AAPL", 77, 500)]);
    let script = CaptureScript::from_binary_file(&bytes).unwrap();
    assert!(script.steps_before(28_000_000_000_000) < script.len());
    assert_eq!(script.symbols().collect::<Vec<_>>(), [(13, Symbol::new("AAPL").unwrap())]);
    let schedule = Schedule { at_once: 5_000, over_ns: 4_945 };
    let mut flow = CaptureFlow::new(script, schedule, &world.exchange);
    let mut poll = |now, limit| {
        flow.poll(Nanos(now), limit, &mut world.exchange, &mut world.publisher);
        flow.done_count()
    };
    assert_eq!(poll(1_000, 3_000), 3_000);
    assert_eq!(poll(1_000, 9_999), 5_000);
    assert_eq!(poll(1_000, 9_999), 5_000);
    assert_eq!(poll(1_010, 9_999), 5_010);
    assert_eq!(poll(5_945, 9_999), 9_945);
}

#[test]
fn a_capture_that_contradicts_itself_is_refused() {
    let encode = |message: ItchMessage| {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(1, &mut bytes);
        bytes[..length].to_vec()
    };
    let stock = Symbol::new("AAPL").unwrap();
    let add = |reference| {
        let (locate, side) = (1, Side::Buy);
        encode(ItchMessage::Add { locate, reference, side, shares: 100, stock, price: 10_000 })
    };
    let cancel = |shares| encode(ItchMessage::Cancel { locate: 1, reference: 7, shares });
    let mut script = CaptureScript::new();
    script.push_message(&add(7)).unwrap();
    assert_eq!(script.push_message(&add(7)), Err(ScriptError::Contradiction(7)));
    assert_eq!(script.push_message(&add(1 << 63)), Err(ScriptError::Contradiction(1 << 63)));
    assert_eq!(script.push_message(&cancel(101)), Err(ScriptError::Contradiction(7)));
    assert_eq!(script.push_message(&cancel(0)), Err(ScriptError::Contradiction(7)));
    let delete = encode(ItchMessage::Delete { locate: 1, reference: 8 });
    assert_eq!(script.push_message(&delete), Err(ScriptError::UnknownReference(8)));
    for cut in 0..add(9).len() {
        assert_eq!(script.push_message(&add(9)[..cut]), Err(ScriptError::Truncated));
    }
    assert_eq!(script.push_packet(&[0; 19]), Err(ScriptError::Truncated));
    assert_eq!(script.len(), 1);
    assert_eq!(CaptureScript::from_binary_file(&[0, 9, b'D']).err(), Some(ScriptError::Truncated));
}

fn random_world() -> (World, RandomFlow) {
    let instruments = [instrument("ALPHA", 1, 10), instrument("BETA", 2, 20)];
    let world = World::new(&instruments);
    let symbol = |i: &VenueInstrument| RandomSymbol {
        security_id: i.security_id,
        middle: "100".parse().unwrap(),
        tick: i.tick,
        lot: i.lot,
    };
    let flow = RandomFlow::new(&RandomFlowConfig {
        seed: 42,
        symbols: instruments.iter().map(symbol).collect(),
        orders_max: 400,
        at_once: 1_000,
        steps_per_second: 1_000_000,
        steps_max: Some(60_000),
    });
    (world, flow)
}

#[test]
fn generated_liquidity_is_the_same_for_the_same_seed_however_it_is_polled() {
    let (mut one, mut flow) = random_world();
    flow.poll(Nanos(0), usize::MAX, &mut one.exchange, &mut one.publisher);
    assert_eq!(flow.done_count(), 1_000, "the opening book at once");
    flow.poll(Nanos(59_000_000), usize::MAX, &mut one.exchange, &mut one.publisher);
    assert!(flow.is_finished());
    one.check_feed();

    let (mut other, mut flow) = random_world();
    let mut now = 0;
    while !flow.is_finished() {
        flow.poll(Nanos(now), 7, &mut other.exchange, &mut other.publisher);
        now += 5_000;
        if now % 1_000_000 == 0 {
            other.check_feed();
        }
    }
    other.check_feed();
    assert_eq!(one.feed.books().digest(), other.feed.books().digest());
    assert_eq!(one.feed.counts().by_type, other.feed.counts().by_type);
}

#[test]
fn generated_liquidity_has_two_sides_and_about_the_mix_of_a_trading_day() {
    let (mut world, mut flow) = random_world();
    let mut now = 0;
    while !flow.is_finished() {
        flow.poll(Nanos(now), 64, &mut world.exchange, &mut world.publisher);
        now += 50_000;
        for index in 0..2 {
            let [bid, ask] = [Side::Buy, Side::Sell].map(|s| world.exchange.best(index, s));
            assert!(bid.unwrap() < ask.unwrap());
        }
    }
    world.check_feed();
    let total: u64 = b"AEXDUP".iter().map(|&letter| world.count(letter)).sum();
    let share = |letter| world.count(letter) * 1_000 / total;
    println!("per thousand: {:?}", b"AEXDUP".map(|letter| (char::from(letter), share(letter))));
    assert!((350..550).contains(&share(b'A')), "A {}", share(b'A'));
    assert!((250..450).contains(&share(b'D')), "D {}", share(b'D'));
    assert!((40..110).contains(&share(b'U')), "U {}", share(b'U'));
    assert!((10..150).contains(&share(b'E')), "E {}", share(b'E'));
    assert!(share(b'X') > 3 && share(b'P') > 2);
}
