//! From a tick to an order, in process and in one thread: ITCH bytes, decode, book, best bid and offer, all checks of risk, the
//! order in the router's ring.
//!
//! `cargo bench --bench tick_to_order`; `-- --quick` for a short form; `-- --hlog FILE` writes the histograms, for `postern
//! hist`; `cargo test --benches` runs some thousands. The input is a generated day, back to back, one message at a time: the
//! caches hold what they would after a burst. Twice: `hot` is a day of the hundred securities that a strategy trades, whose books
//! and limits the caches hold; `cold` one of eight thousand, of which every message finds another's there. A message that
//! moves a best price is a tick: an order that joins the side it moved is sent at once. Timed are, from the message's first
//! byte, its application to the book, and the order's arrival in the ring. Two looks at the clock are in each figure and not
//! taken off; what two with nothing between them cost at the same place is beside them. The venue's answers, which keep the
//! order table at work, are not timed. Each day once with risk's records in a journal, and once without.

#![allow(clippy::as_conversions, reason = "statistics of timings")]
#![allow(clippy::print_stdout, reason = "the report of a benchmark")]

#[path = "support/desk.rs"]
mod desk;
#[path = "../tests/risk_support/mod.rs"]
mod risk_support;

use std::fs::File;
use std::hint::black_box;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use postern::codec::journal::{OrderRequest, ReferencePrice};
use postern::feed::book::{Best, BookIndex, Books, BooksConfig, Effect};
use postern::feed::itch50;
use postern::feed::lookahead::Lookahead;
use postern::feed::moldudp64::{HEADER_BYTES, Messages, split_block};
use postern::risk::{PositionLimits, RiskConfig};
use postern::runtime::{Clock, prefetch};
use postern::sim::day::{BUFFER_BYTES, Day, DayConfig};
use postern::telemetry::hlog::{Environment, LogWriter};
use postern::types::{
    AccountId, ChannelId, ClOrdId, FeedState, InstrumentId, LinkState, Nanos, OrdType, OrderId,
    Price, SessionId, Side, TimeInForce, UtcNanos,
};

use desk::Desk;

/// How much is run.
struct Scale {
    messages: u64,
    hot: u16,
    cold: u16,
}

/// Every security of the day, open to one account without a limit that would be met.
fn config(symbols: u16) -> RiskConfig {
    let mut config = risk_support::config();
    let mut instrument = config.instruments[0].clone();
    (instrument.lot, instrument.qty_min, instrument.tick) = (1, 1, Price::from_itch4(1));
    config.instruments = (1..=u32::from(symbols))
        .map(|id| {
            instrument.id = InstrumentId(id);
            instrument.clone()
        })
        .collect();
    config.accounts.truncate(1);
    let limits = PositionLimits { long_max: Some(i64::MAX), short_max: Some(i64::MAX) };
    let account = &mut config.accounts[0];
    account.instruments = config.instruments.iter().map(|i| (i.id, limits)).collect();
    account.limits.notional_max = Some(i128::MAX);
    config.sessions.truncate(1);
    config.sessions[0].open_orders_max = 4_096;
    config.open_orders_max = 4_096;
    config.feed_stale_ns = u64::MAX;
    config
}

/// Books, risk and ring, and what they were told last.
struct Gateway {
    books: Books,
    ahead: Lookahead,
    best: Vec<Best>,
    desk: Desk,
}

/// Books and securities are numbered in one order.
#[inline]
fn security(book: BookIndex) -> InstrumentId {
    InstrumentId(u32::from(book.0) + 1)
}

impl Gateway {
    fn new(symbols: u16, journal: Option<&Path>) -> Gateway {
        let books = BooksConfig {
            orders_max: 2 * usize::try_from(DayConfig::orders_of(symbols)).expect("it fits"),
            levels_max: 1_024,
            books_max: usize::from(symbols),
            follow_all_symbols: true,
        };
        let mut desk = Desk::new(&config(symbols), journal);
        desk.apply(&risk_support::session(1, LinkState::Up).into());
        desk.apply(&risk_support::link(1, LinkState::Up).into());
        desk.apply(&risk_support::status(FeedState::Current).into());
        Gateway {
            books: Books::new(books, &[]),
            ahead: Lookahead::default(),
            best: vec![Best::default(); usize::from(symbols)],
            desk,
        }
    }

    /// Takes a packet of one message; the book whose best price it moved, with what it is now.
    #[inline]
    fn tick(&mut self, packet: &[u8]) -> Option<(BookIndex, Best)> {
        let mut changed = None;
        let messages = Messages::new(packet, HEADER_BYTES);
        let Gateway { books, ahead, best: last, desk } = self;
        ahead.each(messages, books, |books, bytes, event| match event {
            Some(event) => {
                if let Some(book) = books.by_locate(event.locate) {
                    desk.engine.prefetch(security(book));
                    prefetch(last, book.index());
                }
                match books.apply_order(event) {
                    Ok(Effect::Changed(book)) => changed = Some(book),
                    Ok(Effect::Executed(execution)) => changed = Some(execution.book),
                    Ok(Effect::None) | Err(_) => {}
                }
            }
            None => {
                if let Ok(message) = itch50::decode(bytes) {
                    books.apply(&message).expect("a generated day fits its books");
                }
            }
        });
        let book = changed?;
        let best = books.best(book);
        let last = &mut last[book.index()];
        if best == *last {
            return None;
        }
        *last = best;
        Some((book, best))
    }

    /// Tells risk the prices, and sends an order that joins the better side.
    #[inline]
    fn order(&mut self, book: BookIndex, best: Best) -> Option<(OrderId, u16)> {
        let (Some((bid, _)), Some((ask, _))) = (best.bid, best.ask) else { return None };
        let security_id = security(book);
        let price = ReferencePrice {
            bid_px: Some(bid),
            offer_px: Some(ask),
            ingress_time: Nanos(0),
            security_id,
            channel_id: ChannelId(1),
        };
        let number = self.desk.count + 1;
        let is_buy = number.is_multiple_of(2);
        let request = OrderRequest {
            cl_ord_id: ClOrdId(number),
            ingress_time: Nanos(0),
            price: Some(if is_buy { bid } else { ask }),
            session_id: SessionId(1),
            // Not one of many alike.
            order_qty: 100 + u32::try_from(number % 61).expect("few"),
            security_id,
            account: AccountId(1),
            sent_delta: 0,
            side: if is_buy { Side::Buy } else { Side::Sell },
            ord_type: OrdType::Limit,
            time_in_force: TimeInForce::Day,
        };
        Some(self.desk.order(Some(&price), &request))
    }
}

/// What is timed, by the tags of the histogram log; all but the first once hot and once cold.
const STAGES: [&str; 7] = [
    "clock",
    "hot_tick_to_book",
    "hot_tick_to_order",
    "hot_tick_to_order_recorded",
    "cold_tick_to_book",
    "cold_tick_to_order",
    "cold_tick_to_order_recorded",
];

type Stages = [Histogram<u64>; STAGES.len()];

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("three digits")
}

/// A header's room, and the day: length-framed messages.
fn day(messages: u64, symbols: u16) -> Vec<u8> {
    let orders = DayConfig::orders_of(symbols);
    let mut day = Day::new(DayConfig { messages, symbols, orders, seed: 7 }).expect("a day");
    let mut bytes = vec![0; HEADER_BYTES];
    let mut message = [0; BUFFER_BYTES];
    while let Some(length) = day.next_message(&mut message) {
        bytes.extend_from_slice(&u16::try_from(length).expect("short").to_be_bytes());
        bytes.extend_from_slice(&message[..length]);
    }
    bytes
}

/// Plays the day into a gateway, one message after the other. A message alone is of stage `book`, one with an order of stage
/// `order`.
fn play(
    bytes: &[u8],
    mut gateway: Gateway,
    clock: Clock,
    (book_stage, order_stage): (Option<usize>, usize),
    stages: &mut Stages,
) {
    let mut rest = black_box(&bytes[HEADER_BYTES..]);
    while let Some((_, after)) = split_block(rest) {
        // As many bytes before it as in a packet of its own.
        let packet = &bytes[bytes.len() - rest.len() - HEADER_BYTES..bytes.len() - after.len()];
        rest = after;
        let begun = clock.now();
        let Some((book, best)) = gateway.tick(packet) else {
            let ended = clock.now();
            if let Some(stage) = book_stage {
                stages[stage].saturating_record(ended.since(begun));
            }
            continue;
        };
        let Some(decision) = gateway.order(book, best) else { continue };
        let ended = clock.now();
        let again = clock.now();
        stages[order_stage].saturating_record(ended.since(begun));
        stages[0].saturating_record(again.since(ended));
        gateway.desk.answer(decision);
    }
    assert_eq!(gateway.desk.denied, [0; 0], "every order passes");
}

/// Hot and cold, each once without and once with a journal.
fn run(scale: &Scale, clock: Clock) -> Stages {
    let mut stages = STAGES.map(|_| histogram());
    for (symbols, first) in [(scale.hot, 1), (scale.cold, 4)] {
        let bytes = day(scale.messages, symbols);
        let alone = Gateway::new(symbols, None);
        play(&bytes, alone, clock, (Some(first), first + 1), &mut stages);
        let directory = tempfile::tempdir().expect("a directory");
        let recorded = Gateway::new(symbols, Some(directory.path()));
        play(&bytes, recorded, clock, (None, first + 2), &mut stages);
    }
    stages
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |name: &str| arguments.iter().any(|argument| argument == name);
    let (messages, hot, cold) = match (given("--bench"), given("--quick")) {
        (false, _) => (10_000, 10, 50),
        (true, true) => (1_000_000, 100, 8_000),
        (true, false) => (10_000_000, 100, 8_000),
    };
    let clock = Clock::start();
    let started = clock.utc(clock.now());
    let stages = run(&Scale { messages, hot, cold }, clock);
    println!(
        "{messages} messages each, hot: {hot} securities, cold: {cold}; {} orders open",
        desk::OPEN
    );
    println!(
        "{:<28} {:>9} {:>6} {:>6} {:>6} {:>7} {:>8}",
        "ns", "count", "p50", "p90", "p99", "p99.9", "max"
    );
    for (name, stage) in STAGES.iter().zip(&stages) {
        let at = |q| stage.value_at_quantile(q);
        let (count, max) = (stage.len(), stage.max());
        let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(at);
        println!("{name:<28} {count:>9} {p50:>6} {p90:>6} {p99:>6} {p999:>7} {max:>8}");
    }
    let path = arguments.iter().position(|argument| argument == "--hlog");
    if let Some(path) = path.and_then(|place| arguments.get(place + 1)) {
        write_log(path, started, &stages);
    }
}

fn write_log(path: &str, started: UtcNanos, stages: &Stages) {
    let file = BufWriter::new(File::create(path).expect("a file that can be made"));
    let mut log =
        LogWriter::begin(file, &Environment::here("one thread"), started).expect("written");
    for (name, stage) in STAGES.iter().zip(stages) {
        log.write(name, stage, Duration::ZERO, Duration::from_secs(1)).expect("written");
    }
    log.finish().expect("written");
}
