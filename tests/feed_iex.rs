//! IEX-TP, DEEP and TOPS against what others make of captures, against a table of the specifications' fields, and against
//! hostile bytes. The captures are third-party data; tests that need them skip, saying so, where they are absent.

#![allow(clippy::print_stdout, reason = "tests say what they compared and what they skipped")]

#[path = "support/random.rs"]
mod random;

#[path = "support/shared.rs"]
mod shared;

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use postern::feed::arbiter::Join;
use postern::feed::capture;
use postern::feed::channel::NoSink;
use postern::feed::iex::tp::{self, ProtocolId, StreamId};
use postern::feed::iex::{BooksConfig, Feed, IexChannel, IexSettings, Message};
use postern::net::capture::Capture;
use postern::types::{Nanos, Price, Side};
use random::Random;
use serde_json::Value;
use shared::shared;

const CAPTURE: &str = "captures/iex/20170826_IEXTP1_DEEP1.0.pcap.gz";
const GOLDEN: &str = "golden/20170826_IEXTP1_DEEP1.0.iex_parser.jsonl.gz";
/// Messages of the capture.
const MESSAGES: usize = 48_635;
/// 2017-08-26T00:00:00Z, the day of the capture.
const DAY_SECONDS: i128 = 1_503_705_600;

/// How a field is to be read ("Data Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Integer or Byte: unsigned, of its length.
    Unsigned,
    /// Long.
    Signed,
    /// Timestamp.
    Time,
    /// Price.
    Price,
    /// String.
    Text,
}
use Kind::{Signed, Text, Time, Unsigned};

/// Name, offset, length and kind.
type Field = (&'static str, usize, usize, Kind);

const STAMP: Field = ("timestamp", 2, 8, Time);
const SYMBOL: Field = ("symbol", 10, 8, Text);

const fn byte(name: &'static str, at: usize) -> Field {
    (name, at, 1, Unsigned)
}

const fn integer(name: &'static str, at: usize) -> Field {
    (name, at, 4, Unsigned)
}

const fn price(name: &'static str, at: usize) -> Field {
    (name, at, 8, Kind::Price)
}

const SYSTEM_EVENT: &[Field] = &[byte("event", 1), STAMP];
const DIRECTORY: &[Field] = &[
    byte("flags", 1),
    STAMP,
    SYMBOL,
    integer("round_lot_size", 18),
    price("adjusted_poc_close", 22),
    byte("luld_tier", 30),
];
const STATUS: &[Field] = &[byte("status", 1), STAMP, SYMBOL, ("reason", 18, 4, Text)];
const RETAIL: &[Field] = &[byte("indicator", 1), STAMP, SYMBOL];
const HALT: &[Field] = &[byte("halt_status", 1), STAMP, SYMBOL];
const SHORT_SALE: &[Field] = &[byte("status", 1), STAMP, SYMBOL, byte("detail", 18)];
const SECURITY_EVENT: &[Field] = &[byte("security_event", 1), STAMP, SYMBOL];
const LEVEL: &[Field] = &[byte("flags", 1), STAMP, SYMBOL, integer("size", 18), price("price", 22)];
const QUOTE: &[Field] = &[
    byte("flags", 1),
    STAMP,
    SYMBOL,
    integer("bid_size", 18),
    price("bid_price", 22),
    price("ask_price", 30),
    integer("ask_size", 38),
];
const TRADE: &[Field] = &[
    byte("flags", 1),
    STAMP,
    SYMBOL,
    integer("size", 18),
    price("price", 22),
    ("trade_id", 30, 8, Signed),
];
const OFFICIAL_PRICE: &[Field] = &[byte("price_type", 1), STAMP, SYMBOL, price("price", 18)];
const AUCTION: &[Field] = &[
    byte("auction_type", 1),
    STAMP,
    SYMBOL,
    integer("paired_shares", 18),
    price("reference_price", 22),
    price("indicative_clearing_price", 30),
    integer("imbalance_shares", 38),
    byte("imbalance_side", 42),
    byte("extension_number", 43),
    integer("scheduled_auction_time", 44),
    price("auction_book_clearing_price", 48),
    price("collar_reference_price", 56),
    price("lower_auction_collar_price", 64),
    price("upper_auction_collar_price", 72),
];

/// Letter, the name the golden file has for it, and fields of every type.
const TYPES: &[(u8, &str, &[Field])] = &[
    (b'S', "system_event", SYSTEM_EVENT),
    (b'D', "security_directive", DIRECTORY),
    (b'H', "trading_status", STATUS),
    (b'I', "retail_liquidity", RETAIL),
    (b'O', "operational_halt", HALT),
    (b'P', "short_sale_price_test_status", SHORT_SALE),
    (b'E', "security_event", SECURITY_EVENT),
    (b'8', "price_level_update", LEVEL),
    (b'5', "price_level_update", LEVEL),
    (b'Q', "quote_update", QUOTE),
    (b'T', "trade_report", TRADE),
    (b'X', "official_price", OFFICIAL_PRICE),
    (b'B', "trade_break", TRADE),
    (b'A', "auction_information", AUCTION),
];

fn fields_of(letter: u8) -> Option<&'static [Field]> {
    TYPES.iter().find(|&&(known, ..)| known == letter).map(|&(.., fields)| fields)
}

fn is_of(feed: Feed, letter: u8) -> bool {
    match feed {
        Feed::Deep => letter != b'Q',
        Feed::Tops => letter != b'8' && letter != b'5',
    }
}

/// A field's value: a number, or text as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Number(i128),
    Text(Vec<u8>),
}
use Content::Number;

type Contents = BTreeMap<&'static str, Content>;

fn little_endian(bytes: &[u8]) -> i128 {
    bytes.iter().rev().fold(0, |sum, &byte| sum * 256 + i128::from(byte))
}

/// The message by the table alone; `None` for one that is to be refused.
fn naive(feed: Feed, bytes: &[u8]) -> Option<Contents> {
    let &letter = bytes.first()?;
    let fields = fields_of(letter).filter(|_| is_of(feed, letter))?;
    let mut contents = Contents::new();
    for &(name, at, length, kind) in fields {
        let field = bytes.get(at..at + length)?;
        let unsigned = little_endian(field);
        let signed = if unsigned >= 1 << 63 { unsigned - (1 << 64) } else { unsigned };
        let value = match kind {
            Unsigned => Number(unsigned),
            Signed => Number(signed),
            Time if signed < 0 => return None,
            Time => Number(signed),
            Kind::Price if i64::try_from(signed * 100_000).is_err() => return None,
            Kind::Price => Number(signed * 100_000),
            Text => Content::Text(field.to_vec()),
        };
        contents.insert(name, value);
    }
    Some(contents)
}

/// What was decoded, under the names of the table; and the letter.
fn contents(message: &Message) -> (u8, Contents) {
    let mut contents = Contents::new();
    contents.insert("timestamp", Number(message.time().0.into()));
    if let Some(symbol) = message.symbol() {
        contents.insert("symbol", Content::Text(symbol.wire().to_vec()));
    }
    let mut number = |name: &'static str, value: i128| {
        contents.insert(name, Number(value));
    };
    let units = |price: Price| i128::from(price.units());
    let letter = match *message {
        Message::SystemEvent(m) => {
            number("event", m.event.into());
            b'S'
        }
        Message::SecurityDirectory(m) => {
            number("flags", m.flags.0.into());
            number("round_lot_size", m.round_lot.into());
            number("adjusted_poc_close", units(m.adjusted_close));
            number("luld_tier", m.luld_tier.into());
            b'D'
        }
        Message::TradingStatus(m) => {
            number("status", m.letter.into());
            contents.insert("reason", Content::Text(m.reason.to_vec()));
            b'H'
        }
        Message::RetailLiquidityIndicator(m) => {
            number("indicator", m.indicator.into());
            b'I'
        }
        Message::OperationalHaltStatus(m) => {
            number("halt_status", m.letter.into());
            b'O'
        }
        Message::ShortSalePriceTestStatus(m) => {
            number("status", m.code.into());
            number("detail", m.detail.into());
            b'P'
        }
        Message::SecurityEvent(m) => {
            number("security_event", m.event.into());
            b'E'
        }
        Message::PriceLevelUpdate(m) => {
            number("flags", m.event_flags.into());
            number("size", m.size.into());
            number("price", units(m.price));
            if m.side == Side::Buy { b'8' } else { b'5' }
        }
        Message::QuoteUpdate(m) => {
            number("flags", m.flags.0.into());
            number("bid_size", m.bid_size.into());
            number("bid_price", units(m.bid_price));
            number("ask_price", units(m.ask_price));
            number("ask_size", m.ask_size.into());
            b'Q'
        }
        Message::TradeReport(m) | Message::TradeBreak(m) => {
            number("flags", m.conditions.0.into());
            number("size", m.size.into());
            number("price", units(m.price));
            number("trade_id", m.trade_id.into());
            if matches!(message, Message::TradeReport(_)) { b'T' } else { b'B' }
        }
        Message::OfficialPrice(m) => {
            number("price_type", m.kind.into());
            number("price", units(m.price));
            b'X'
        }
        Message::AuctionInformation(m) => {
            number("auction_type", m.kind.into());
            number("paired_shares", m.paired_shares.into());
            number("reference_price", units(m.reference_price));
            number("indicative_clearing_price", units(m.indicative_clearing_price));
            number("imbalance_shares", m.imbalance_shares.into());
            number("imbalance_side", m.imbalance_side.into());
            number("extension_number", m.extensions.into());
            number("scheduled_auction_time", m.scheduled_seconds.into());
            number("auction_book_clearing_price", units(m.book_clearing_price));
            number("collar_reference_price", units(m.collar_reference_price));
            number("lower_auction_collar_price", units(m.lower_collar));
            number("upper_auction_collar_price", units(m.upper_collar));
            b'A'
        }
    };
    (letter, contents)
}

fn decoded_as_the_table_says(feed: Feed, bytes: &[u8]) -> bool {
    let ours = feed.decode(bytes);
    let expected = naive(feed, bytes);
    match (&ours, &expected) {
        (Ok(message), Some(expected)) => {
            assert_eq!((bytes[0], expected), (contents(message).0, &contents(message).1));
        }
        (Err(_), None) => {}
        (Ok(_) | Err(_), _) => panic!("{bytes:?}: {ours:?}, not {expected:?}"),
    }
    ours.is_ok()
}

/// A message of random bytes, most of whose times and prices are within range.
fn random_message(random: &mut Random, letter: u8) -> Vec<u8> {
    let fields = fields_of(letter).expect("a known letter");
    let length = fields.iter().map(|&(_, at, length, _)| at + length).max().expect("fields");
    let mut bytes = random.bytes(length);
    bytes[0] = letter;
    for &(_, at, _, kind) in fields {
        let raw = match kind {
            Time => i64::try_from(random.next() >> 1).expect("63 bits"),
            Kind::Price if random.one_in(2) => {
                i64::try_from(random.below(2_000_000)).expect("it fits")
            }
            Kind::Price => i64::from(random.small(u32::MAX)) - i64::from(random.small(u32::MAX)),
            Unsigned | Signed | Text => continue,
        };
        if !random.one_in(40) {
            bytes[at..at + 8].copy_from_slice(&raw.to_le_bytes());
        }
    }
    bytes
}

#[test]
fn decoders_agree_with_the_tables_of_the_specifications() {
    let mut random = Random::new(1);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..60_000 {
        let mut bytes = random_message(&mut random, TYPES[round % TYPES.len()].0);
        match random.index(8) {
            0 => bytes.truncate(random.index(bytes.len() + 1)),
            1 => {
                let more = random.index(300);
                bytes.extend(random.bytes(more));
            }
            2 => random.damage(&mut bytes),
            _ => {}
        }
        for feed in [Feed::Deep, Feed::Tops] {
            if decoded_as_the_table_says(feed, &bytes) { taken += 1 } else { refused += 1 }
        }
    }
    println!("{taken} messages agree, {refused} are refused by both");
    assert!(taken > 60_000 && refused > 10_000);
}

#[test]
fn prices_at_the_edges_agree_with_the_tables() {
    let largest = i64::MAX / 100_000;
    let mut random = Random::new(2);
    for letter in TYPES.iter().map(|&(letter, ..)| letter) {
        let mut bytes = random_message(&mut random, letter);
        bytes[9] = 0; // a time within range
        for &(_, at, _, kind) in fields_of(letter).expect("known") {
            for raw in [0, -1, 1, largest, -largest, largest + 1, -largest - 1, i64::MAX, i64::MIN]
            {
                if kind == Kind::Price || kind == Time {
                    let mut edge = bytes.clone();
                    edge[at..at + 8].copy_from_slice(&raw.to_le_bytes());
                    decoded_as_the_table_says(Feed::Deep, &edge);
                    decoded_as_the_table_says(Feed::Tops, &edge);
                }
            }
        }
    }
}

#[test]
fn decoders_take_any_bytes() {
    let mut random = Random::new(3);
    for _ in 0..60_000 {
        let count = random.index(120);
        let bytes = random.bytes(count);
        for feed in [Feed::Deep, Feed::Tops] {
            decoded_as_the_table_says(feed, &bytes);
        }
        black_box(tp::parse(&bytes)).ok();
    }
}

fn read_capture(path: &Path) -> Capture {
    capture::open(path).and_then(|capture| capture.whole()).expect("a capture")
}

fn golden() -> Option<Vec<Value>> {
    let path = shared(GOLDEN)?;
    let mut text = String::new();
    let file = File::open(path).expect("a file that is there");
    GzDecoder::new(file).read_to_string(&mut text).expect("gzip of text");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// `2017-08-26 11:21:56.522772+00:00` as nanoseconds since 1970; the file has no other days than that and the first.
fn nanoseconds(text: &str) -> i128 {
    let (day, time) = text.split_once(' ').expect("day and time");
    let day = match day {
        "1970-01-01" => 0,
        "2017-08-26" => DAY_SECONDS,
        _ => panic!("{text}: another day"),
    };
    let time = time.strip_suffix("+00:00").expect("UTC");
    let (clock, part) = time.split_once('.').unwrap_or((time, "0"));
    let seconds =
        clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<i128>().expect("digits"));
    let part: i128 = format!("{part:0<9}").parse().expect("digits");
    (day + seconds) * 1_000_000_000 + part
}

/// A decimal number as units of 1e-9.
fn units(text: &str) -> i128 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{part:0<9}");
    digits.parse().expect("digits")
}

/// What the golden file says of a field, in the terms of the table.
fn golden_content(&(name, _, length, kind): &Field, value: &Value) -> Content {
    let number = || value.as_i64().map(i128::from);
    let text = || value.as_str().unwrap_or_else(|| panic!("{name}: {value}"));
    match kind {
        Time => Number(nanoseconds(text())),
        Unsigned if name == "scheduled_auction_time" => Number(nanoseconds(text()) / 1_000_000_000),
        // A letter; a space was trimmed away.
        Unsigned => {
            Number(number().unwrap_or_else(|| text().bytes().next().unwrap_or(b' ').into()))
        }
        Signed => Number(number().expect("a number")),
        Kind::Price => Number(number().map_or_else(|| units(text()), |raw| raw * 100_000)),
        Text => Content::Text(format!("{:length$}", text()).into_bytes()),
    }
}

fn assert_golden(message: &Message, golden: &Value) {
    let (letter, mut contents) = contents(message);
    let &(_, name, fields) = TYPES.iter().find(|&&(known, ..)| known == letter).expect("known");
    assert_eq!(golden["type"], name);
    if letter == b'8' || letter == b'5' {
        assert_eq!(golden["side"], if letter == b'8' { "B" } else { "S" });
    }
    // The golden file's times went through a 64-bit float of seconds (steps of 238 ns) and were rounded to microseconds.
    let Some(&Number(time)) = contents.get("timestamp") else { panic!("a time") };
    let golden_time = nanoseconds(golden["timestamp"].as_str().expect("a time"));
    assert!((time - golden_time).abs() <= 500 + 238 / 2, "{time}: {golden}");
    contents.insert("timestamp", Number(golden_time));
    let expected: Contents =
        fields.iter().map(|field| (field.0, golden_content(field, &golden[field.0]))).collect();
    assert_eq!(contents, expected, "{golden}");
    let keys = golden.as_object().expect("an object").len();
    let own = usize::from(letter == b'8' || letter == b'5') + 1; // side, type
    assert_eq!(keys, fields.len() + own, "{golden}");
}

#[test]
fn every_message_of_the_capture_is_what_another_decoder_says() {
    let (Some(path), Some(golden)) = (shared(CAPTURE), golden()) else { return };
    let capture = read_capture(&path);
    let mut expected = golden.iter();
    let mut compared: BTreeMap<char, usize> = BTreeMap::new();
    for (_, _, payload) in capture.iter() {
        let segment = tp::parse(payload).expect("a segment");
        assert_eq!(segment.header().protocol, ProtocolId::DEEP_1_0);
        let tp::Segment::Data(_, messages) = segment else { continue };
        for bytes in messages {
            let message = Feed::Deep.decode(bytes).expect("a message");
            assert_golden(&message, expected.next().expect("a line for each message"));
            assert!(decoded_as_the_table_says(Feed::Deep, bytes));
            *compared.entry(char::from(bytes[0])).or_default() += 1;
        }
    }
    assert!(expected.next().is_none(), "a message for each line");
    println!("compared {} messages, every field: {compared:?}", golden.len());
    assert_eq!(compared.values().sum::<usize>(), MESSAGES);
    let counts = [
        ('S', 5),
        ('D', 3),
        ('H', 8_895),
        ('O', 8_445),
        ('P', 8_697),
        ('E', 16_884),
        ('8', 138),
        ('5', 116),
        ('T', 165),
        ('B', 1),
        ('A', 5_286),
    ];
    assert_eq!(compared, BTreeMap::from(counts));
}

/// Files of one folder of single packets, in the order of their names.
fn single_packets(folder: &str) -> Option<Vec<PathBuf>> {
    let folder = shared("captures/omi/Iex")?.join(folder);
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    Some(files)
}

fn channel(feed: Feed) -> IexChannel {
    let books = BooksConfig { levels_max: 8, books_max: 200, follow_all_symbols: true };
    let settings = IexSettings {
        feed,
        stream: StreamId(1),
        join: Join::Anywhere,
        stale_after_ns: 5_000_000_000,
        books,
    };
    IexChannel::new(&settings, &[])
}

#[test]
fn every_type_in_single_packets_decodes() {
    // The folder named for TOPS 1.5 holds packets whose header says 0x8003, which is TOPS 1.6; 1.5 was 0x8002.
    for (folder, feed, packets, types) in [
        ("Deep.IexTp.v1.0", Feed::Deep, 3, "58"),
        ("Tops.IexTp.v1.5", Feed::Tops, 9, "ADHOPQSTX"),
        ("Tops.IexTp.v1.6", Feed::Tops, 1, "Q"),
    ] {
        let Some(files) = single_packets(folder) else { return };
        let mut seen: BTreeMap<char, usize> = BTreeMap::new();
        let mut count = 0;
        for file in &files {
            let mut channel = channel(feed);
            for (_, _, payload) in read_capture(file).iter() {
                let segment = tp::parse(payload).expect("a segment");
                assert_eq!(segment.header().protocol, feed.protocol(), "{}", file.display());
                channel.on_datagram(payload, Nanos(0), &mut NoSink);
                count += 1;
                let tp::Segment::Data(_, messages) = segment else { continue };
                for bytes in messages {
                    assert!(decoded_as_the_table_says(feed, bytes), "{}", file.display());
                    *seen.entry(char::from(bytes[0])).or_default() += 1;
                }
            }
            let counts = channel.counts();
            assert_eq!((counts.packet_errors, counts.message_errors), (0, 0));
            assert_eq!(counts.foreign_packets, 0);
        }
        println!("{folder}: {count} packets, {seen:?}");
        assert_eq!(count, packets);
        assert_eq!(seen.keys().collect::<String>(), types);
    }
}

#[test]
fn deep_plus_is_told_apart_and_not_decoded() {
    let Some(files) = single_packets("DeepPlus.IexTp.1.0.2") else { return };
    let (mut deep, mut tops, mut packets) = (channel(Feed::Deep), channel(Feed::Tops), 0);
    for file in &files {
        for (_, _, payload) in read_capture(file).iter() {
            let header = tp::parse(payload).expect("the transport is the same").header();
            assert_eq!(header.protocol, ProtocolId(0x8005));
            deep.on_datagram(payload, Nanos(0), &mut NoSink);
            tops.on_datagram(payload, Nanos(0), &mut NoSink);
            packets += 1;
        }
    }
    println!("{packets} packets of DEEP+ are counted as another protocol's");
    for channel in [&deep, &tops] {
        assert_eq!(channel.counts().foreign_packets, packets);
        assert_eq!((channel.counts().messages, channel.counts().packet_errors), (0, 0));
        assert_eq!(channel.books().indices().count(), 0);
    }
    assert!(packets >= 14);
}
