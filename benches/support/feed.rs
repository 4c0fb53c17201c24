//! A generated day in memory and the ways to go over it that are timed and whose instructions are counted.

use std::hint::black_box;

use postern::feed::book::{Books, BooksConfig};
use postern::feed::itch50::{self, Events, OrderEvent};
use postern::feed::lookahead::Lookahead;
use postern::feed::moldudp64::{HEADER_BYTES, Messages, split_block};
use postern::runtime::ask_for_large_pages;
use postern::sim::day::{BUFFER_BYTES, Day, DayConfig};

/// What every day is drawn from.
pub const SEED: u64 = 20_200_130;

/// A header's room, and the messages of a day, each behind its length, with as many orders open as its securities have on a real one.
pub fn day(messages: u64, symbols: u16) -> Vec<u8> {
    let orders = DayConfig::orders_of(symbols);
    let config = DayConfig { messages, symbols, orders, seed: SEED };
    let mut day = Day::new(config).expect("a day");
    let mut bytes = Vec::with_capacity(usize::try_from(messages).expect("it fits") * 34);
    // What the walk through them costs is not the question: a feed's packets have just come.
    ask_for_large_pages(&mut bytes);
    bytes.extend([0; HEADER_BYTES]);
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
fn each_message(bytes: &[u8], mut take: impl FnMut(&[u8])) {
    let mut bytes = &bytes[HEADER_BYTES..];
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
    Events::new(Messages::new(bytes, HEADER_BYTES)).for_each(|(_, event)| {
        if let Some(event) = event {
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
    let mut rest = &bytes[HEADER_BYTES..];
    while let Some((_, after)) = split_block(rest) {
        // As many bytes before it as in a packet of its own.
        let end = bytes.len() - after.len();
        let packet = &bytes[bytes.len() - rest.len() - HEADER_BYTES..end];
        ahead.each(Messages::new(packet, HEADER_BYTES), books, |books, bytes, event| {
            misfits += u64::from(take(books, bytes, event));
        });
        rest = after;
    }
    misfits
}

/// All messages into the books as if they were one packet. Returns how many did not fit.
#[inline(never)]
pub fn book_look_ahead(bytes: &[u8], books: &mut Books) -> u64 {
    let mut misfits = 0;
    let messages = Messages::new(bytes, HEADER_BYTES);
    Lookahead::default().each(messages, books, |books, bytes, event| {
        misfits += u64::from(take(books, bytes, event));
    });
    misfits
}

/// A message into the books; whether it did not fit.
#[inline]
fn take(books: &mut Books, bytes: &[u8], event: Option<&OrderEvent>) -> bool {
    match event {
        Some(event) => books.apply_order(event).is_err(),
        None => other(books, bytes),
    }
}

/// A message that is about no displayed order; whether it did not fit.
#[cold]
fn other(books: &mut Books, bytes: &[u8]) -> bool {
    itch50::decode(bytes).map_or(true, |message| books.apply(&message).is_err())
}
