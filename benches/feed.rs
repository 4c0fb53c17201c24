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

#[path = "support/feed.rs"]
mod feed;
#[path = "../tests/support/random.rs"]
mod random;
mod support;

use std::hint::black_box;
use std::ops::ControlFlow;

use itch5::messages as peer;
use postern::feed::book::Books;
use postern::feed::moldudp64::HEADER_BYTES;
use postern::runtime::Clock;
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
    itch5::Parser::new(&bytes[HEADER_BYTES..])
        .parse_stream(&mut handler)
        .expect("a day it can read");
    handler.0
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
    let bytes = feed::day(scale.messages, scale.symbols);
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
        let decoders: [fn(&[u8]) -> u64; 4] =
            [feed::walk, feed::decode_messages, feed::decode_events, peer_decode];
        for (place, decoder) in decoders.into_iter().enumerate() {
            timed(place, &mut || {
                black_box(decoder(black_box(&bytes)));
            });
        }
        let builders: [fn(&[u8], &mut Books) -> u64; 2] =
            [feed::book_one_at_a_time, feed::book_look_ahead];
        for (place, builder) in builders.into_iter().enumerate() {
            // To allocate and touch their memory is the start of a day and no message's cost.
            let mut books = feed::books(scale.symbols);
            let mut misfits = 0;
            timed(4 + place, &mut || misfits = builder(black_box(&bytes), &mut books));
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
