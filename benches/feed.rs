//! ITCH 5.0 decode, and decode with book, against the bare walk over message lengths and the crate `itch5`, interleaved in
//! one run.
//!
//! `cargo bench --bench feed`: a generated day of 20 million messages over 8,000 securities with about 146,000 orders open;
//! `-- --quick` for a short form; `cargo test --benches` runs some thousands. Each round runs every contender once over all
//! of it; the books begin empty and cold in each. Decoders fold every field a book needs, so that none of the decoding is
//! left out. What the books cost is cache misses, so the run says what one costs: the time to follow pointers through
//! 8 MiB at random.

#![allow(clippy::as_conversions, reason = "statistics of timings")]
#![allow(clippy::float_arithmetic, reason = "statistics of timings")]
#![allow(clippy::print_stdout, reason = "the report of a benchmark")]

#[path = "../tests/support/random.rs"]
mod random;
mod support;

use std::hint::black_box;
use std::ops::ControlFlow;

use itch5::messages as peer;
use postern::feed::book::{Books, BooksConfig};
use postern::feed::itch50::{self, OrderEvent, each_event};
use postern::feed::lookahead::Lookahead;
use postern::feed::moldudp64::split_block;
use postern::runtime::Clock;
use postern::sim::day::{BUFFER_BYTES, Day, DayConfig};
use random::Random;
use support::table;

/// How much is run.
struct Scale {
    messages: u64,
    symbols: u16,
    rounds: usize,
}

impl Scale {
    fn from_arguments() -> Scale {
        let given = |name: &str| std::env::args().any(|argument| argument == name);
        if !given("--bench") {
            return Scale { messages: 5_000, symbols: 50, rounds: 2 };
        }
        let messages = if given("--quick") { 2_000_000 } else { 20_000_000 };
        Scale { messages, symbols: 8_000, rounds: 7 }
    }

    /// The day: length-framed messages.
    fn day(&self) -> Vec<u8> {
        let orders = DayConfig::orders_of(self.symbols);
        let config =
            DayConfig { messages: self.messages, symbols: self.symbols, orders, seed: 20_200_130 };
        let mut day = Day::new(config).expect("a day");
        let mut bytes = Vec::with_capacity(usize::try_from(self.messages).expect("it fits") * 34);
        let mut message = [0; BUFFER_BYTES];
        while let Some(length) = day.next_message(&mut message) {
            bytes.extend_from_slice(&u16::try_from(length).expect("short").to_be_bytes());
            bytes.extend_from_slice(&message[..length]);
        }
        bytes
    }

    fn books(&self) -> Books {
        let config = BooksConfig {
            orders_max: 2 * DayConfig::orders_of(self.symbols) as usize,
            levels_max: 1_024,
            books_max: usize::from(self.symbols),
            follow_all_symbols: true,
        };
        Books::new(config, &[])
    }
}

/// Hands every message to `take`.
#[inline]
fn walk(mut bytes: &[u8], mut take: impl FnMut(&[u8])) {
    while let Some((message, rest)) = split_block(bytes) {
        take(message);
        bytes = rest;
    }
}

fn floor(bytes: &[u8]) -> u64 {
    let mut sum = 0_u64;
    walk(bytes, |message| sum = sum.wrapping_add(message.len() as u64));
    sum
}

/// Every message into a value of its own type.
fn decode(bytes: &[u8]) -> u64 {
    let mut sum = 0_u64;
    walk(bytes, |bytes| {
        if let Ok(message) = itch50::decode(bytes) {
            let head = black_box(&message).head();
            sum = sum.wrapping_add(head.time_ns ^ u64::from(head.locate));
        }
    });
    sum
}

/// What happens to orders, without a branch on the type.
fn events(bytes: &[u8]) -> u64 {
    let fold = |event: &OrderEvent| {
        event.reference
            ^ event.second
            ^ event.time_ns
            ^ u64::from(event.shares)
            ^ u64::from(event.price)
            ^ u64::from(event.locate)
            ^ event.side as u64
            ^ event.kind as u64
    };
    let mut sum = 0_u64;
    each_event(bytes, |_, event| {
        if let Ok(Some(event)) = event {
            sum = sum.wrapping_add(fold(&event));
        }
    });
    sum
}

/// The peer's handler: folds the same fields.
#[derive(Default)]
struct Peer(u64);

impl Peer {
    #[inline]
    fn fold(&mut self, fields: u64, time: &peer::Timestamp, locate: u16) -> ControlFlow<()> {
        self.0 = self.0.wrapping_add(fields ^ time.to_u64() ^ u64::from(locate));
        ControlFlow::Continue(())
    }
}

impl itch5::MessageHandler for Peer {
    fn on_add_order_no_mpid_attribution(
        &mut self,
        m: &peer::AddOrderNoMPIDAttribution,
    ) -> ControlFlow<()> {
        let is_buy = matches!(m.buy_sell_indicator(), peer::BuySellIndicator::Buy);
        let fields = m.order_reference_number() ^ u64::from(m.shares()) ^ m.stock().to_u64();
        let fields = fields ^ u64::from(m.price().into_u32()) ^ u64::from(is_buy);
        self.fold(fields, m.timestamp(), m.stock_locate())
    }

    fn on_add_order_with_mpid_attribution(
        &mut self,
        m: &peer::AddOrderWithMPIDAttribution,
    ) -> ControlFlow<()> {
        let is_buy = matches!(m.buy_sell_indicator(), peer::BuySellIndicator::Buy);
        let fields = m.order_reference_number() ^ u64::from(m.shares()) ^ m.stock().to_u64();
        let fields = fields ^ u64::from(m.price().into_u32()) ^ u64::from(is_buy);
        self.fold(fields, m.timestamp(), m.stock_locate())
    }

    fn on_order_executed(&mut self, m: &peer::OrderExecuted) -> ControlFlow<()> {
        let fields = m.order_reference_number() ^ u64::from(m.executed_shares());
        self.fold(fields ^ m.match_number(), m.timestamp(), m.stock_locate())
    }

    fn on_order_cancel(&mut self, m: &peer::OrderCancel) -> ControlFlow<()> {
        let fields = m.order_reference_number() ^ u64::from(m.cancelled_shares());
        self.fold(fields, m.timestamp(), m.stock_locate())
    }

    fn on_order_delete(&mut self, m: &peer::OrderDelete) -> ControlFlow<()> {
        self.fold(m.order_reference_number(), m.timestamp(), m.stock_locate())
    }

    fn on_order_replace(&mut self, m: &peer::OrderReplace) -> ControlFlow<()> {
        let fields = m.original_order_reference_number() ^ m.new_order_reference_number();
        let fields = fields ^ u64::from(m.shares()) ^ u64::from(m.price().into_u32());
        self.fold(fields, m.timestamp(), m.stock_locate())
    }
}

fn peer_decode(bytes: &[u8]) -> u64 {
    let mut handler = Peer::default();
    itch5::Parser::new(bytes).parse_stream(&mut handler).expect("a day it can read");
    handler.0
}

/// Takes all messages into the books; returns how many did not fit.
type Builder = fn(&[u8], Books) -> (u64, Books);

/// Each message into the books before the next is looked at, as in a feed whose packets hold one.
fn one_at_a_time(bytes: &[u8], mut books: Books) -> (u64, Books) {
    let (mut misfits, mut ahead) = (0, Lookahead::default());
    let mut rest = bytes;
    while let Some((message, after)) = split_block(rest) {
        let block = &rest[..2 + message.len()];
        ahead.each(block, &mut books, |books, decoded| match decoded.event {
            Ok(Some(event)) => misfits += u64::from(books.apply_order(&event).is_err()),
            Ok(None) | Err(_) => misfits += u64::from(other(books, decoded.bytes)),
        });
        rest = after;
    }
    (misfits, books)
}

/// All messages as if they were one packet.
fn look_ahead(bytes: &[u8], mut books: Books) -> (u64, Books) {
    let mut misfits = 0;
    Lookahead::default().each(bytes, &mut books, |books, decoded| match decoded.event {
        Ok(Some(event)) => misfits += u64::from(books.apply_order(&event).is_err()),
        Ok(None) | Err(_) => misfits += u64::from(other(books, decoded.bytes)),
    });
    (misfits, books)
}

/// A message that is about no displayed order; whether it did not fit.
#[cold]
fn other(books: &mut Books, bytes: &[u8]) -> bool {
    itch50::decode(bytes).map_or(true, |message| books.apply(&message).is_err())
}

/// Nanoseconds of one cache miss: from pointer to pointer through 8 MiB.
fn miss_ns(clock: Clock) -> f64 {
    const LINES: usize = (8 << 20) / 64;
    let mut random = Random::new(1);
    let mut order: Vec<usize> = (0..LINES).collect();
    for place in (1..LINES).rev() {
        // Sattolo: one cycle through all.
        order.swap(place, random.index(place));
    }
    let mut lines = vec![[0_usize; 8]; LINES];
    for (line, &next) in lines.iter_mut().zip(&order) {
        line[0] = next;
    }
    let steps = 400_000;
    let start = clock.now();
    let mut at = 0;
    for _ in 0..steps {
        at = lines[at][0];
    }
    black_box(at);
    clock.now().since(start) as f64 / f64::from(steps)
}

const NAMES: [&str; 6] = [
    "length walk",
    "decode, each type",
    "decode, order events",
    "itch5",
    "book, one at a time",
    "book, look-ahead",
];

fn main() {
    let scale = Scale::from_arguments();
    let clock = Clock::start();
    let bytes = scale.day();
    let mut each: [Vec<f64>; NAMES.len()] = Default::default();
    let mut misses = Vec::new();
    let mut digests = Vec::new();
    for _ in 0..scale.rounds {
        misses.push(miss_ns(clock));
        let mut timed = |place: usize, run: &mut dyn FnMut()| {
            let start = clock.now();
            run();
            let ns = clock.now().since(start) as f64;
            each[place].push(ns / scale.messages as f64);
        };
        let decoders: [fn(&[u8]) -> u64; 4] = [floor, decode, events, peer_decode];
        for (place, decoder) in decoders.into_iter().enumerate() {
            timed(place, &mut || {
                black_box(decoder(black_box(&bytes)));
            });
        }
        let builders: [Builder; 2] = [one_at_a_time, look_ahead];
        for (place, builder) in builders.into_iter().enumerate() {
            let mut built = None;
            timed(4 + place, &mut || built = Some(builder(black_box(&bytes), scale.books())));
            let (misfits, books) = built.expect("it ran");
            assert_eq!(misfits, 0, "a generated day fits its books");
            digests.push(books.digest());
        }
    }
    assert!(digests.iter().all(|&digest| digest == digests[0]), "the same books: {digests:x?}");
    report(&scale, &each, &misses, digests[0]);
}

fn report(scale: &Scale, each: &[Vec<f64>; NAMES.len()], misses: &[f64], digest: u64) {
    let Scale { messages, symbols, rounds } = scale;
    println!("feed: {messages} messages, {symbols} symbols, {rounds} rounds; books {digest:016x}");
    println!("a cache miss: {} ns", table::number(table::median(misses), 0));
    let ratio = |of: &[f64], to: &[f64]| {
        let all: Vec<f64> = of.iter().zip(to).map(|(ns, base)| ns / base).collect();
        table::number(table::median(&all), 2)
    };
    let rows = NAMES.iter().zip(each).map(|(name, of)| {
        vec![
            (*name).to_owned(),
            table::number(table::median(of), 2),
            table::number(table::quantile(of, 0.9), 2),
            table::number(1_000.0 / table::median(of), 1),
            ratio(of, &each[0]),
            ratio(&each[3], of),
        ]
    });
    let head = ["", "ns/message p50", "p90", "M/s", "x walk", "itch5's time /"];
    table::print(&head, &rows.collect::<Vec<_>>());
}
