//! Messages of ITCH 5.0 about securities and the day, as bytes; written for tests, from the specification.
#![allow(dead_code, reason = "each test uses a part of it")]

use postern::feed::moldudp64::{HEADER_BYTES, Header, Session};

/// A message that begins as all do.
fn message(letter: u8, locate: u16, time_ns: u64, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![letter];
    bytes.extend_from_slice(&locate.to_be_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&time_ns.to_be_bytes()[2..]);
    bytes.extend(parts.concat());
    bytes
}

/// Eight letters, padded with spaces.
fn stock(symbol: &str) -> Vec<u8> {
    format!("{symbol:<8}").into_bytes()
}

pub fn system(event: u8) -> Vec<u8> {
    message(b'S', 0, 1, &[&[event]])
}

pub fn directory(locate: u16, symbol: &str, round_lot: u32, only: u8, ipo: u8) -> Vec<u8> {
    let lot = round_lot.to_be_bytes();
    let rest = [&[only][..], b"CZ PN", &[ipo], b"1N", &[0; 4], b"N"].concat();
    message(b'R', locate, 2, &[&stock(symbol), b"QN", &lot, &rest])
}

pub fn action(locate: u16, symbol: &str, state: u8, reason: [u8; 4]) -> Vec<u8> {
    message(b'H', locate, 3, &[&stock(symbol), &[state, b' '], &reason])
}

pub fn reg_sho(locate: u16, symbol: &str, action: u8) -> Vec<u8> {
    message(b'Y', locate, 4, &[&stock(symbol), &[action]])
}

pub fn halt(locate: u16, symbol: &str, market: u8, action: u8) -> Vec<u8> {
    message(b'h', locate, 5, &[&stock(symbol), &[market, action]])
}

pub fn collar(locate: u16, symbol: &str, prices: [u32; 3]) -> Vec<u8> {
    let prices = prices.map(u32::to_be_bytes).concat();
    message(b'J', locate, 6, &[&stock(symbol), &prices, &[0; 4]])
}

/// Its stock locate is always 0.
pub fn quoting(symbol: &str, seconds: u32, qualifier: u8, price: u32) -> Vec<u8> {
    let (seconds, price) = (seconds.to_be_bytes(), price.to_be_bytes());
    message(b'K', 0, 7, &[&stock(symbol), &seconds, &[qualifier], &price])
}

pub fn decline_levels(levels: [u64; 3]) -> Vec<u8> {
    message(b'V', 0, 8, &[&levels.map(u64::to_be_bytes).concat()])
}

pub fn breached(level: u8) -> Vec<u8> {
    message(b'W', 0, 9, &[&[level]])
}

/// `prices` are far, near and reference price.
pub fn imbalance(
    locate: u16,
    symbol: &str,
    shares: [u64; 2],
    side: u8,
    prices: [u32; 3],
    kind: u8,
) -> Vec<u8> {
    let (shares, prices) =
        (shares.map(u64::to_be_bytes).concat(), prices.map(u32::to_be_bytes).concat());
    message(b'I', locate, 10, &[&shares, &[side], &stock(symbol), &prices, &[kind, b'L']])
}

pub fn cross(locate: u16, symbol: &str, shares: u64, price: u32, number: u64, kind: u8) -> Vec<u8> {
    let (shares, price, number) = (shares.to_be_bytes(), price.to_be_bytes(), number.to_be_bytes());
    message(b'Q', locate, 11, &[&shares, &stock(symbol), &price, &number, &[kind]])
}

pub fn trade(locate: u16, symbol: &str, shares: u32, price: u32, number: u64) -> Vec<u8> {
    let (shares, price, number) = (shares.to_be_bytes(), price.to_be_bytes(), number.to_be_bytes());
    message(b'P', locate, 12, &[&[0; 8], b"B", &shares, &stock(symbol), &price, &number])
}

pub fn broken(locate: u16, number: u64) -> Vec<u8> {
    message(b'B', locate, 13, &[&number.to_be_bytes()])
}

pub fn add(locate: u16, symbol: &str, number: u64, side: u8, shares: u32, price: u32) -> Vec<u8> {
    let (number, shares, price) = (number.to_be_bytes(), shares.to_be_bytes(), price.to_be_bytes());
    message(b'A', locate, 14, &[&number, &[side], &shares, &stock(symbol), &price])
}

pub fn executed(locate: u16, number: u64, shares: u32, match_number: u64) -> Vec<u8> {
    let (shares, match_number) = (shares.to_be_bytes(), match_number.to_be_bytes());
    message(b'E', locate, 15, &[&number.to_be_bytes(), &shares, &match_number])
}

pub fn deleted(locate: u16, number: u64) -> Vec<u8> {
    message(b'D', locate, 16, &[&number.to_be_bytes()])
}

/// A packet of MoldUDP64.
pub fn packet(session: &[u8; 10], sequence: u64, messages: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(messages.len()).expect("few");
    let mut bytes = vec![0; HEADER_BYTES];
    let mut head = [0; HEADER_BYTES];
    Header { session: Session(*session), sequence, count }.write(&mut head);
    bytes.copy_from_slice(&head);
    for message in messages {
        bytes.extend_from_slice(&u16::try_from(message.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(message);
    }
    bytes
}
