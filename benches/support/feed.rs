//! A generated day in memory and the ways to go over it that are timed and whose instructions are counted.

use std::hint::black_box;

use postern::feed::book::{Books, BooksConfig};
use postern::feed::itch50::{self, OrderEvent, each_event};
use postern::feed::lookahead::Lookahead;
use postern::feed::moldudp64::split_block;
use postern::sim::day::{BUFFER_BYTES, Day, DayConfig};

/// What every day is drawn from.
pub const SEED: u64 = 20_200_130;

/// The messages of a day, each behind its length, with as many orders open as its securities have on a real one.
pub fn day(messages: u64, symbols: u16) -> Vec<u8> {
    let orders = DayConfig::orders_of(symbols);
    let config = DayConfig { messages, symbols, orders, seed: SEED };
    let mut day = Day::new(config).expect("a day");
    let mut bytes = Vec::with_capacity(usize::try_from(messages).expect("it fits") * 34);
    let mut message = [0; BUFFER_BYTES];
    while let Some(length) = day.next_message(&mut message) {
        bytes.extend_from_slice(&u16::try_from(length).expect("short").to_be_bytes());
        bytes.extend_from_slice(&message[..length]);
    }
    bytes
}

/// Empty books for a day of so many securities.
pub fn books(symbols: u16) -> Books {
    let config = BooksConfig {
        orders_max: 2 * usize::try_from(DayConfig::orders_of(symbols)).expect("it fits"),
        levels_max: 1_024,
        books_max: usize::from(symbols),
        follow_all_symbols: true,
    };
    Books::new(config, &[])
}

/// Hands every message to `take`.
#[inline]
fn each_message(mut bytes: &[u8], mut take: impl FnMut(&[u8])) {
    while let Some((message, rest)) = split_block(bytes) {
        take(message);
        bytes = rest;
    }
}

/// From length to length: the floor.
#[inline(never)]
pub fn walk(bytes: &[u8]) -> u64 {
    let mut sum = 0_u64;
    each_message(bytes, |message| sum = sum.wrapping_add(message.len() as u64));
    sum
}

/// Every message into a value of its own type.
#[inline(never)]
pub fn decode_messages(bytes: &[u8]) -> u64 {
    let mut sum = 0_u64;
    each_message(bytes, |bytes| {
        if let Ok(message) = itch50::decode(bytes) {
            let head = black_box(&message).head();
            sum = sum.wrapping_add(head.time_ns ^ u64::from(head.locate));
        }
    });
    sum
}

/// What happens to orders, without a branch on the type.
#[inline(never)]
pub fn decode_events(bytes: &[u8]) -> u64 {
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

/// Each message into the books before the next is looked at, as in a feed whose packets hold one. Returns how many did not
/// fit.
#[inline(never)]
pub fn book_one_at_a_time(bytes: &[u8], books: &mut Books) -> u64 {
    let (mut misfits, mut ahead) = (0, Lookahead::default());
    let mut rest = bytes;
    while let Some((message, after)) = split_block(rest) {
        let block = &rest[..2 + message.len()];
        ahead.each(block, books, |books, decoded| match decoded.event {
            Ok(Some(event)) => misfits += u64::from(books.apply_order(&event).is_err()),
            Ok(None) | Err(_) => misfits += u64::from(other(books, decoded.bytes)),
        });
        rest = after;
    }
    misfits
}

/// All messages into the books as if they were one packet. Returns how many did not fit.
#[inline(never)]
pub fn book_look_ahead(bytes: &[u8], books: &mut Books) -> u64 {
    let mut misfits = 0;
    Lookahead::default().each(bytes, books, |books, decoded| match decoded.event {
        Ok(Some(event)) => misfits += u64::from(books.apply_order(&event).is_err()),
        Ok(None) | Err(_) => misfits += u64::from(other(books, decoded.bytes)),
    });
    misfits
}

/// A message that is about no displayed order; whether it did not fit.
#[cold]
fn other(books: &mut Books, bytes: &[u8]) -> bool {
    itch50::decode(bytes).map_or(true, |message| books.apply(&message).is_err())
}
