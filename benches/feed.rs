//! ITCH 5.0 decode, and decode with book, against the bare walk over message lengths, interleaved in one run.
//!
//! `cargo bench --bench feed`, `-- --quick` for a short form; `cargo test --benches` runs a few thousand messages. The input
//! is generated: the message mix of a Nasdaq day over many symbols, uncrossed. Each round runs every contender once over
//! all of it; the books begin empty and cold in each.

#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]
#![allow(clippy::as_conversions, reason = "statistics of timings")]
#![allow(clippy::float_arithmetic, reason = "statistics of timings")]
#![allow(clippy::print_stdout, reason = "the report of a benchmark")]

#[path = "../tests/support/random.rs"]
mod random;
mod support;

use std::hint::black_box;

use postern::feed::book::{Books, BooksConfig};
use postern::feed::itch50::{self, Message};
use postern::feed::moldudp64::split_block;
use postern::runtime::Clock;
use postern::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX};
use postern::types::{Side, Symbol};
use random::Random;
use support::table;

/// How much is run.
struct Scale {
    messages: usize,
    symbols: u16,
    /// Orders open at once.
    orders: usize,
    rounds: usize,
}

impl Scale {
    fn from_arguments() -> Scale {
        let given = |name: &str| std::env::args().any(|argument| argument == name);
        if !given("--bench") {
            return Scale { messages: 5_000, symbols: 50, orders: 500, rounds: 2 };
        }
        let rounds = if given("--quick") { 5 } else { 15 };
        let messages = if given("--quick") { 1_000_000 } else { 5_000_000 };
        Scale { messages, symbols: 8_000, orders: 146_000, rounds }
    }
}

#[derive(Clone, Copy)]
struct Live {
    reference: u64,
    locate: u16,
    side: Side,
    shares: u32,
}

/// Writes the day: length-framed messages.
struct Day {
    random: Random,
    live: Vec<Live>,
    next_reference: u64,
    bytes: Vec<u8>,
    stamp: u64,
}

impl Day {
    fn generate(scale: &Scale) -> Vec<u8> {
        let mut day = Day {
            random: Random::new(20_200_130),
            live: Vec::new(),
            next_reference: 1,
            bytes: Vec::with_capacity(scale.messages * 34),
            stamp: 0,
        };
        for _ in 0..scale.messages {
            day.message(scale);
        }
        day.bytes
    }

    /// The mix of a day: about A 44.5, D 42.5, U 8, E 3, X 1, P 1 per cent once the books are full.
    fn message(&mut self, scale: &Scale) {
        let dice = self.random.index(1_000);
        let is_full = self.live.len() >= scale.orders;
        match dice {
            _ if self.live.len() < scale.orders / 2 => self.add(scale),
            0..870 if is_full || dice.is_multiple_of(2) => self.delete(),
            0..870 => self.add(scale),
            870..950 => self.replace(),
            950..980 => self.reduce(false),
            980..990 => self.reduce(true),
            _ => self.trade(scale),
        }
    }

    fn put(&mut self, message: ItchMessage) {
        self.stamp += 1_000;
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(self.stamp, &mut bytes);
        self.bytes.extend_from_slice(&(length as u16).to_be_bytes());
        self.bytes.extend_from_slice(&bytes[..length]);
    }

    /// A price on its side of the symbol's middle: mostly near the touch, sometimes far.
    fn price(&mut self, locate: u16, side: Side) -> u32 {
        let far = if self.random.index(10) == 0 { 200 } else { 12 };
        let away = 100 * (1 + self.random.index(far) as u32);
        let middle = 500_000 + u32::from(locate) * 100;
        if side == Side::Buy { middle - away } else { middle + away }
    }

    fn add(&mut self, scale: &Scale) {
        let locate = 1 + self.random.index(usize::from(scale.symbols)) as u16;
        let side = if self.random.index(2) == 0 { Side::Buy } else { Side::Sell };
        let shares = 100 * (1 + self.random.index(10) as u32);
        let price = self.price(locate, side);
        let reference = self.next_reference;
        self.next_reference += 1 + self.random.index(8) as u64;
        self.live.push(Live { reference, locate, side, shares });
        let stock = symbol(locate);
        self.put(ItchMessage::Add { locate, reference, side, shares, stock, price });
    }

    fn pick(&mut self) -> usize {
        // Young orders go sooner than old ones.
        let count = self.live.len();
        let young = count.min(4_096);
        if self.random.index(4) == 0 {
            self.random.index(count)
        } else {
            count - 1 - self.random.index(young)
        }
    }

    fn delete(&mut self) {
        let place = self.pick();
        let Live { reference, locate, .. } = self.live.swap_remove(place);
        self.put(ItchMessage::Delete { locate, reference });
    }

    fn replace(&mut self) {
        let place = self.pick();
        let Live { reference: old, locate, side, .. } = self.live[place];
        let shares = 100 * (1 + self.random.index(10) as u32);
        let price = self.price(locate, side);
        let new = self.next_reference;
        self.next_reference += 1;
        self.live[place] = Live { reference: new, locate, side, shares };
        self.put(ItchMessage::Replace { locate, old, new, shares, price });
    }

    fn reduce(&mut self, cancel: bool) {
        let place = self.pick();
        let Live { reference, locate, shares: left, .. } = self.live[place];
        let all = !cancel && self.random.index(2) == 0;
        let shares = if all || left < 2 { left } else { left / 2 };
        if shares == left {
            self.live.swap_remove(place);
        } else {
            self.live[place].shares -= shares;
        }
        let match_number = self.stamp;
        self.put(if cancel && shares < left {
            ItchMessage::Cancel { locate, reference, shares }
        } else {
            ItchMessage::Executed { locate, reference, shares, match_number }
        });
    }

    fn trade(&mut self, scale: &Scale) {
        let locate = 1 + self.random.index(usize::from(scale.symbols)) as u16;
        let (stock, match_number) = (symbol(locate), self.stamp);
        let price = 500_000 + u32::from(locate) * 100;
        self.put(ItchMessage::Trade { locate, shares: 100, stock, price, match_number });
    }
}

fn symbol(locate: u16) -> Symbol {
    Symbol::new(&format!("S{locate}")).expect("a symbol")
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

/// Folds every field a book needs, so that none of the decoding is left out.
fn decode(bytes: &[u8]) -> u64 {
    let mut sum = 0_u64;
    walk(bytes, |bytes| {
        let Ok(message) = itch50::decode(bytes) else { return };
        let head = message.head();
        let of = match message {
            Message::AddOrder(m) => {
                let symbol = u64::from_ne_bytes(m.symbol.wire());
                m.reference ^ u64::from(m.shares) ^ m.price.units() as u64 ^ symbol
            }
            Message::OrderDelete(m) => m.reference,
            Message::OrderReplace(m) => {
                let price = m.price.units() as u64;
                m.reference ^ m.new_reference ^ u64::from(m.shares) ^ price
            }
            Message::OrderExecuted(m) => m.reference ^ u64::from(m.shares) ^ m.match_number,
            Message::OrderCancel(m) => m.reference ^ u64::from(m.shares),
            Message::Trade(m) => m.match_number ^ u64::from(m.shares) ^ m.price.units() as u64,
            _ => 0,
        };
        sum = sum.wrapping_add(of ^ head.time_ns ^ u64::from(head.locate));
    });
    sum
}

fn book(bytes: &[u8], scale: &Scale) -> (u64, Books) {
    let mut books = Books::new(
        BooksConfig {
            orders_max: scale.orders * 2,
            levels_max: 1_024,
            books_max: usize::from(scale.symbols),
            follow_all_symbols: true,
        },
        &[],
    );
    let mut misfits = 0;
    walk(bytes, |bytes| {
        if let Ok(message) = itch50::decode(bytes) {
            misfits += u64::from(books.apply(&message).is_err());
        }
    });
    (misfits, books)
}

fn main() {
    let scale = Scale::from_arguments();
    let clock = Clock::start();
    let bytes = Day::generate(&scale);
    let mut each: [Vec<f64>; 3] = Default::default();
    let mut hash = 0;
    for _ in 0..scale.rounds {
        let mut timed = |place: usize, run: &mut dyn FnMut()| {
            let start = clock.now();
            run();
            let ns = clock.now().since(start) as f64;
            each[place].push(ns / scale.messages as f64);
        };
        timed(0, &mut || {
            black_box(floor(black_box(&bytes)));
        });
        timed(1, &mut || {
            black_box(decode(black_box(&bytes)));
        });
        let mut last = None;
        timed(2, &mut || last = Some(book(black_box(&bytes), &scale)));
        let (misfits, books) = last.expect("it ran");
        assert_eq!(misfits, 0, "a generated day fits its books");
        hash = books.digest();
    }
    let names = ["length walk", "decode", "decode + book"];
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(&each)
        .map(|(name, of)| {
            let ratio: Vec<f64> = of.iter().zip(&each[0]).map(|(ns, floor)| ns / floor).collect();
            vec![
                (*name).to_owned(),
                table::number(table::median(of), 2),
                table::number(table::quantile(of, 0.9), 2),
                table::number(1_000.0 / table::median(of), 1),
                table::number(table::median(&ratio), 2),
            ]
        })
        .collect();
    println!(
        "feed: {} messages, {} symbols, {} rounds; books {hash:016x}",
        scale.messages, scale.symbols, scale.rounds
    );
    table::print(&["", "ns/message p50", "p90", "M/s", "x floor"], &rows);
}
