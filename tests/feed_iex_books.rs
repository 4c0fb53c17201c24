//! IEX's books against plain ones made of maps, and its channel from datagrams to books: over two lines, over damage, and
//! without an allocation. The capture is third-party data; tests that need it skip, saying so, where it is absent.

#![allow(clippy::print_stdout, reason = "tests say what they compared and what they skipped")]

#[path = "support/random.rs"]
mod random;

#[path = "support/shared.rs"]
mod shared;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use flate2::read::GzDecoder;
use postern::feed::arbiter::{ArbiterCounts, Join};
use postern::feed::book::{Best, BookIndex};
use postern::feed::channel::NoSink;
use postern::feed::iex::books::{BooksCounts, BooksFull, Change, Effect, SecurityState};
use postern::feed::iex::deep::PriceLevelUpdate;
use postern::feed::iex::message::{
    OperationalHaltStatus, RetailLiquidityIndicator, ShortSalePriceTestStatus, TradingStatusMessage,
};
use postern::feed::iex::tops::{QuoteFlags, QuoteUpdate};
use postern::feed::iex::tp::{self, HEADER_BYTES, Header, ProtocolId, SessionNumber, StreamId};
use postern::feed::iex::{Books, BooksConfig, Feed, IexChannel, IexSettings, IexSink, Message};
use postern::feed::{BookDigest, capture};
use postern::net::capture::Capture;
use postern::runtime::{GuardedAllocator, HotZone, hot_allocation_count};
use postern::types::{FeedState, Nanos, Price, Side, Symbol, TradingStatus, UtcNanos};
use random::Random;
use serde_json::Value;
use shared::shared;

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const CAPTURE: &str = "captures/iex/20170826_IEXTP1_DEEP1.0.pcap.gz";
const GOLDEN: &str = "golden/20170826_IEXTP1_DEEP1.0.iex_parser.jsonl.gz";
/// Messages of the capture.
const MESSAGES: u64 = 48_635;
/// What becomes of its books, change by change: [`Recorder::digest`].
const DIGEST: u64 = 0xf907_7576_fff7_6d08;
const SYMBOLS: [&str; 4] = ["ZIEXT", "ZXIET", "ZEXIT", "ZNOT"];
const SIDES: [Side; 2] = [Side::Buy, Side::Sell];

fn symbol(text: &str) -> Symbol {
    Symbol::new(text).expect("a symbol")
}

/// The first three of [`SYMBOLS`]: what is followed. The fourth is not.
fn followed() -> [Symbol; 3] {
    [0, 1, 2].map(|place| symbol(SYMBOLS[place]))
}

/// One side of one book, as anybody would write it.
#[derive(Clone, Debug, Default)]
struct PlainSide {
    /// All levels, best first: by price, reversed for bids.
    levels: BTreeMap<i64, u32>,
    /// Key of the best level that there was ever no room for.
    horizon: Option<i64>,
}

impl PlainSide {
    /// The levels that there is room for.
    fn kept(&self) -> Vec<(i64, u32)> {
        let within = |key: i64| self.horizon.is_none_or(|horizon| key < horizon);
        self.levels
            .iter()
            .map(|(&key, &size)| (key, size))
            .filter(|&(key, _)| within(key))
            .collect()
    }

    /// Sets a level; `true` if one had to be left out.
    fn set(&mut self, key: i64, size: u32, levels_max: usize) -> bool {
        if size == 0 {
            self.levels.remove(&key);
            return false;
        }
        self.levels.insert(key, size);
        let beyond = self.horizon.is_some_and(|horizon| key >= horizon);
        if let Some(&(key, _)) = self.kept().get(levels_max) {
            self.horizon = Some(key);
            return true;
        }
        beyond
    }
}

#[derive(Clone, Debug)]
struct PlainBook {
    sides: [PlainSide; 2],
    best: Best,
    is_in_transition: bool,
    is_stale: bool,
    trading: TradingStatus,
    halted: Option<bool>,
    short_sale: Option<bool>,
    retail: u8,
    quote: Option<QuoteFlags>,
}

/// Books as anybody would write them.
#[derive(Debug)]
struct Plain {
    books: BTreeMap<Symbol, PlainBook>,
    levels_max: usize,
    crossed: u64,
}

fn key(side: Side, price: Price) -> i64 {
    match side {
        Side::Buy => -price.units(),
        Side::Sell => price.units(),
    }
}

fn place(side: Side) -> usize {
    usize::from(side == Side::Sell)
}

fn unkey(side: Side, key: i64) -> Price {
    Price::from_units(if side == Side::Buy { -key } else { key })
}

impl PlainBook {
    fn new() -> PlainBook {
        PlainBook {
            sides: [PlainSide::default(), PlainSide::default()],
            best: Best::default(),
            is_in_transition: false,
            is_stale: false,
            trading: TradingStatus::Unknown,
            halted: None,
            short_sale: None,
            retail: b' ',
            quote: None,
        }
    }
}

impl Plain {
    fn new(levels_max: usize, symbols: &[Symbol]) -> Plain {
        let books = symbols.iter().map(|&symbol| (symbol, PlainBook::new())).collect();
        Plain { books, levels_max, crossed: 0 }
    }

    fn clear(&mut self) {
        self.books.values_mut().for_each(|book| *book = PlainBook::new());
    }

    fn apply(&mut self, message: &Message) {
        let levels_max = self.levels_max;
        let Some(book) = message.symbol().and_then(|s| self.books.get_mut(&s)) else { return };
        if let Message::TradingStatus(m) = message {
            book.trading = m.status();
        } else if let Message::OperationalHaltStatus(m) = message {
            book.halted = Some(m.letter != b'N');
        } else if let Message::ShortSalePriceTestStatus(m) = message {
            book.short_sale = Some(m.code != 0);
        } else if let Message::RetailLiquidityIndicator(m) = message {
            book.retail = m.indicator;
        } else if let Message::PriceLevelUpdate(m) = message {
            let (place, key) = (place(m.side), key(m.side, m.price));
            book.is_stale |= book.sides[place].set(key, m.size, levels_max);
            book.is_in_transition = m.event_flags % 2 == 0;
        } else if let Message::QuoteUpdate(m) = message {
            book.quote = Some(m.flags);
            for (side, price, size) in
                [(Side::Buy, m.bid_price, m.bid_size), (Side::Sell, m.ask_price, m.ask_size)]
            {
                book.sides[place(side)] = PlainSide::default();
                book.sides[place(side)].set(key(side, price), size, 1);
            }
        }
        let is_book = matches!(message, Message::PriceLevelUpdate(_) | Message::QuoteUpdate(_));
        if is_book && !book.is_in_transition {
            let [bid, ask] = SIDES.map(|side| {
                let first = book.sides[place(side)].kept().first().copied();
                first.map(|(key, size)| (unkey(side, key), u64::from(size)))
            });
            book.best = Best { bid, ask };
            let trades = book.trading == TradingStatus::Trading && book.halted == Some(false);
            if trades && bid.zip(ask).is_some_and(|(bid, ask)| bid.0 >= ask.0) {
                self.crossed += 1;
            }
        }
    }

    fn digest(&self) -> u64 {
        let mut digest = BookDigest::new();
        for (&symbol, book) in &self.books {
            if book.sides.iter().all(|side| side.kept().is_empty()) {
                continue;
            }
            digest.book(symbol);
            for side in SIDES {
                for (key, size) in book.sides[place(side)].kept() {
                    digest.order(side, unkey(side, key), size, 0);
                }
            }
        }
        digest.finish()
    }
}

fn assert_same(books: &Books, plain: &Plain, after: &Message) {
    for (&symbol, own) in &plain.books {
        let book = books.by_symbol(symbol).expect("it is followed");
        assert_eq!(books.symbol(book), symbol);
        assert_eq!(books.best(book), own.best, "{symbol} after {after:?}");
        assert_eq!(books.is_in_transition(book), own.is_in_transition, "{after:?}");
        assert_eq!(books.is_stale(book), own.is_stale, "{symbol} after {after:?}");
        let state = SecurityState {
            trading: own.trading,
            is_halted_operationally: own.halted,
            is_short_sale_restricted: own.short_sale,
            retail_interest: own.retail,
            quote: own.quote,
        };
        assert_eq!(books.state(book), state, "{symbol} after {after:?}");
        for side in SIDES {
            let kept: Option<Vec<_>> = books
                .levels(book, side)
                .map(|levels| levels.map(|(price, size)| (key(side, price), size)).collect());
            let expected = own.sides[place(side)].kept();
            assert_eq!(kept, (!own.is_in_transition).then_some(expected), "{after:?}");
        }
    }
    assert_eq!(books.counts().crossed, plain.crossed, "{after:?}");
    assert_eq!(books.digest(), plain.digest(), "{after:?}");
}

const TIME: UtcNanos = UtcNanos(1_503_746_516_522_772_000);

fn random_price(random: &mut Random) -> Price {
    Price::from_signed4(i64::from(random.small(14)) - 2).expect("small")
}

/// A message of few symbols, prices and sizes, so that they meet.
fn random_message(random: &mut Random, feed: Feed) -> Message {
    let (time, symbol) = (TIME, symbol(SYMBOLS[random.index(4)]));
    match (random.index(20), feed) {
        (0, _) => {
            let letter = b"TTTHOP?"[random.index(7)];
            Message::TradingStatus(TradingStatusMessage { time, symbol, letter, reason: *b"    " })
        }
        (1, _) => {
            let letter = b"NNNO"[random.index(4)];
            Message::OperationalHaltStatus(OperationalHaltStatus { time, symbol, letter })
        }
        (2, _) if random.one_in(2) => {
            let code = u8::from(random.one_in(2));
            let status = ShortSalePriceTestStatus { time, symbol, code, detail: b'N' };
            Message::ShortSalePriceTestStatus(status)
        }
        (2, _) => {
            let indicator = b" ABC"[random.index(4)];
            let interest = RetailLiquidityIndicator { time, symbol, indicator };
            Message::RetailLiquidityIndicator(interest)
        }
        (_, Feed::Deep) => Message::PriceLevelUpdate(PriceLevelUpdate {
            time,
            symbol,
            side: SIDES[random.index(2)],
            event_flags: [0, 1, 1, 3, 2][random.index(5)],
            size: [0, 0, 1, 100, u32::MAX][random.index(5)],
            price: random_price(random),
        }),
        (_, Feed::Tops) => Message::QuoteUpdate(QuoteUpdate {
            time,
            symbol,
            flags: QuoteFlags(random.byte()),
            bid_size: [0, 100, u32::MAX][random.index(3)],
            bid_price: random_price(random),
            ask_price: random_price(random),
            ask_size: [0, 100, u32::MAX][random.index(3)],
        }),
    }
}

#[test]
fn books_agree_with_plain_ones_with_room_and_without() {
    let mut crossed = 0;
    for (seed, levels_max) in (0..240).zip([1, 2, 3, 5, 16].into_iter().cycle()) {
        let feed = if seed % 4 == 3 { Feed::Tops } else { Feed::Deep };
        let mut random = Random::new(seed);
        let config = BooksConfig { levels_max, books_max: 3, follow_all_symbols: false };
        let mut books = Books::new(config, &followed());
        let mut plain = Plain::new(levels_max, &followed());
        for _ in 0..300 {
            let message = random_message(&mut random, feed);
            let effect = books.apply(&message).expect("all that are followed have a book");
            let followed = plain.books.contains_key(&message.symbol().expect("one"));
            assert_eq!(effect.is_some(), followed, "seed {seed}: {message:?}");
            plain.apply(&message);
            if random.one_in(150) {
                books.clear();
                plain.clear();
            }
            assert_same(&books, &plain, &message);
        }
        let lost = books.counts().overflows > 0;
        assert_eq!(lost, feed == Feed::Deep && levels_max < 16, "seed {seed}: there are 14 prices");
        crossed += books.counts().crossed;
    }
    assert!(crossed > 100, "{crossed} crossed books met a status that trades");
}

fn settings(feed: Feed, books_max: usize, follow_all_symbols: bool) -> IexSettings {
    IexSettings {
        feed,
        stream: StreamId(1),
        join: Join::First,
        stale_after_ns: 2_000_000_000,
        books: BooksConfig { levels_max: 32, books_max, follow_all_symbols },
    }
}

/// Takes down every best bid and offer there ever was, and what else happened.
#[derive(Debug, PartialEq, Eq)]
struct Recorder {
    bests: Vec<(Symbol, Best)>,
    digest: BookDigest,
    pending: u64,
    refused: u64,
    cleared: u64,
}

impl Recorder {
    const fn new() -> Recorder {
        let digest = BookDigest::new();
        Recorder { bests: Vec::new(), digest, pending: 0, refused: 0, cleared: 0 }
    }
}

impl IexSink for Recorder {
    fn on_message(
        &mut self,
        books: &Books,
        message: &Message,
        outcome: Result<Option<Effect>, BooksFull>,
    ) {
        match outcome {
            Ok(Some(Effect { book, change: Change::Book })) => {
                let (symbol, best) = (books.symbol(book), books.best(book));
                assert_eq!(message.symbol(), Some(symbol));
                self.bests.push((symbol, best));
                self.digest.book(symbol);
                for side in SIDES {
                    for (price, size) in books.levels(book, side).expect("complete") {
                        self.digest.order(side, price, size, message.time().0);
                    }
                }
            }
            Ok(Some(Effect { book, change: Change::Pending })) => {
                assert!(books.is_in_transition(book));
                self.pending += 1;
            }
            Ok(_) => {}
            Err(BooksFull) => self.refused += 1,
        }
    }

    fn on_clear(&mut self, _: &Books) {
        self.cleared += 1;
    }
}

fn read_capture() -> Option<Capture> {
    let path = shared(CAPTURE)?;
    Some(capture::open(&path).and_then(|capture| capture.whole()).expect("a capture"))
}

/// Every best bid and offer of the golden file's updates, told by a plain book.
fn golden_bests() -> Option<Vec<(Symbol, Best)>> {
    let mut text = String::new();
    let file = File::open(shared(GOLDEN)?).expect("a file that is there");
    GzDecoder::new(file).read_to_string(&mut text).expect("gzip of text");
    let mut books: BTreeMap<Symbol, [BTreeMap<i64, u64>; 2]> = BTreeMap::new();
    let mut bests = Vec::new();
    for line in text.lines().filter(|line| line.contains("price_level_update")) {
        let update: Value = serde_json::from_str(line).expect("JSON");
        let symbol = symbol(update["symbol"].as_str().expect("a symbol"));
        let side = if update["side"] == "B" { Side::Buy } else { Side::Sell };
        let price: Price = update["price"].as_str().expect("text").parse().expect("a price");
        let size = update["size"].as_u64().expect("a size");
        let sides = books.entry(symbol).or_default();
        sides[place(side)].insert(key(side, price), size);
        sides[place(side)].retain(|_, &mut size| size > 0);
        if update["flags"] == 1 {
            let [bid, ask] = SIDES.map(|side| {
                sides[place(side)].first_key_value().map(|(&k, &size)| (unkey(side, k), size))
            });
            bests.push((symbol, Best { bid, ask }));
        }
    }
    Some(bests)
}

#[test]
fn the_capture_has_no_gap_and_the_books_of_a_plain_reading() {
    let (Some(capture), Some(golden)) = (read_capture(), golden_bests()) else { return };
    let mut channel = IexChannel::new(&settings(Feed::Deep, 10_000, true), &[]);
    let mut recorder = Recorder::new();
    for (_, ns, payload) in capture.iter() {
        channel.on_datagram(payload, Nanos(ns), &mut recorder);
    }
    let (counts, sequence) = (channel.counts(), channel.arbiter().counts());
    println!(
        "{} changes of {} books; {sequence:?}; {:?}",
        recorder.bests.len(),
        channel.books().indices().count(),
        channel.books().counts()
    );
    assert_eq!((counts.packets, counts.heartbeats, counts.messages), (20_145, 13_220, MESSAGES));
    assert_eq!((counts.packet_errors, counts.message_errors, counts.foreign_packets), (0, 0, 0));
    assert_eq!(counts.offset_faults, 0);
    assert_eq!(counts.by_type.iter().sum::<u64>(), MESSAGES);
    assert_eq!(counts.by_type[usize::from(b'8')], 138);
    assert_eq!(sequence, ArbiterCounts::default());
    assert_eq!(channel.arbiter().next_sequence(), MESSAGES + 1);
    assert_eq!((recorder.bests.len(), recorder.pending), (162, 92));
    assert_eq!(recorder.bests, golden);
    assert_eq!((recorder.refused, recorder.cleared), (0, 0));
}

/// A message of the capture: its number, the bytes of payload before it, and itself.
type Numbered<'a> = (u64, u64, &'a [u8]);

fn messages(capture: &Capture) -> Vec<Numbered<'_>> {
    let mut all = Vec::new();
    let mut offset = 0;
    for (_, _, payload) in capture.iter() {
        let Ok(tp::Segment::Data(header, messages)) = tp::parse(payload) else { continue };
        for (sequence, message) in (header.sequence..).zip(messages) {
            all.push((sequence, offset, message));
            offset += u64::try_from(message.len() + 2).expect("short");
        }
    }
    all
}

fn segment(header: Header, messages: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    for message in messages {
        bytes.extend_from_slice(&u16::try_from(message.len()).expect("short").to_le_bytes());
        bytes.extend_from_slice(message);
    }
    let payload = u16::try_from(bytes.len() - HEADER_BYTES).expect("short");
    let head: &mut [u8; HEADER_BYTES] = bytes.first_chunk_mut().expect("a header");
    let count = u16::try_from(messages.len()).expect("few");
    Header { count, ..header }.write(payload, head);
    bytes
}

const HEADER: Header = Header {
    protocol: ProtocolId::DEEP_1_0,
    stream: StreamId(1),
    session: SessionNumber(1_140_588_544),
    count: 0,
    offset: 0,
    sequence: 1,
    sent: TIME,
};

/// The same messages in segments cut elsewhere.
fn recut(messages: &[Numbered<'_>], random: &mut Random) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    let mut rest = messages;
    while let Some(&(sequence, offset, _)) = rest.first() {
        let (now, later) = rest.split_at(random.index(12).min(rest.len()));
        let now: Vec<&[u8]> = now.iter().map(|&(.., message)| message).collect();
        segments.push(segment(Header { offset, sequence, ..HEADER }, &now));
        rest = later;
    }
    segments
}

/// What becomes of the books over datagrams without a gap.
#[derive(Debug)]
struct Played {
    recorder: Recorder,
    duplicates: u64,
    digest: u64,
}

fn play<P: AsRef<[u8]>>(payloads: impl IntoIterator<Item = P>) -> Played {
    let mut channel = IexChannel::new(&settings(Feed::Deep, 10_000, true), &[]);
    let mut recorder = Recorder::new();
    for payload in payloads {
        channel.on_datagram(payload.as_ref(), Nanos(0), &mut recorder);
    }
    let sequence = channel.arbiter().counts();
    assert_eq!((sequence.gaps, channel.counts().offset_faults), (0, 0));
    assert_eq!(channel.counts().messages, MESSAGES);
    assert_eq!(channel.books().counts(), BooksCounts::default());
    Played { recorder, duplicates: sequence.duplicates, digest: channel.books().digest() }
}

#[test]
fn a_second_line_changes_nothing_however_it_cuts_its_segments() {
    let Some(capture) = read_capture() else { return };
    let payloads = || capture.iter().map(|(_, _, payload)| payload);
    let once = play(payloads());
    let twice = play(payloads().flat_map(|payload| [payload, payload]));
    let numbered = messages(&capture);
    let mut random = Random::new(5);
    let mut lines = [0, 1].map(|_| recut(&numbered, &mut random).into_iter().peekable());
    let mut mixed = Vec::new();
    while lines.iter_mut().any(|line| line.peek().is_some()) {
        let line = random.index(2);
        let count = random.index(6);
        mixed.extend(lines[line].by_ref().take(count));
    }
    let mixed = play(mixed);
    assert_eq!(once.duplicates, 0);
    for (name, other) in [("twice", twice), ("cut elsewhere", mixed)] {
        assert_eq!(other.recorder, once.recorder, "{name}");
        assert_eq!(other.digest, once.digest, "{name}");
        assert_eq!(other.duplicates, MESSAGES, "{name}");
    }
    let digest = once.recorder.digest.finish();
    println!("digest {digest:#018x} of {} changes", once.recorder.bests.len());
    assert_eq!(digest, DIGEST);
}

#[test]
fn what_both_lines_lost_is_a_gap_of_its_size() {
    let Some(capture) = read_capture() else { return };
    let mut channel = IexChannel::new(&settings(Feed::Deep, 10_000, true), &[]);
    let mut lost = 0;
    for (place, (_, ns, payload)) in capture.iter().enumerate() {
        let count = u64::from(tp::parse(payload).expect("a segment").header().count);
        if lost == 0 && place > 5_000 && count > 1 {
            lost = count;
            continue;
        }
        channel.on_datagram(payload, Nanos(ns), &mut NoSink);
        let state = if lost > 0 { FeedState::Stale } else { FeedState::Current };
        assert_eq!(channel.check(Nanos(ns)), state);
    }
    let sequence = channel.arbiter().counts();
    assert_eq!((sequence.gaps, sequence.missing, sequence.duplicates), (1, lost, 0));
    assert_eq!(channel.counts().messages, MESSAGES - lost);
}

fn encode(message: &Message) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&message.time().0.to_le_bytes());
    bytes.extend_from_slice(&message.symbol().expect("one").wire());
    let raw = |price: Price| (price.units() / Price::ITCH4_UNITS).to_le_bytes();
    if let Message::TradingStatus(m) = message {
        bytes[..2].copy_from_slice(&[b'H', m.letter]);
        bytes.extend_from_slice(&m.reason);
    } else if let Message::OperationalHaltStatus(m) = message {
        bytes[..2].copy_from_slice(&[b'O', m.letter]);
    } else if let Message::ShortSalePriceTestStatus(m) = message {
        bytes[..2].copy_from_slice(&[b'P', m.code]);
        bytes.push(m.detail);
    } else if let Message::RetailLiquidityIndicator(m) = message {
        bytes[..2].copy_from_slice(&[b'I', m.indicator]);
    } else if let Message::PriceLevelUpdate(m) = message {
        let letter = if m.side == Side::Buy { b'8' } else { b'5' };
        bytes[..2].copy_from_slice(&[letter, m.event_flags]);
        bytes.extend_from_slice(&m.size.to_le_bytes());
        bytes.extend_from_slice(&raw(m.price));
    } else if let Message::QuoteUpdate(m) = message {
        bytes[..2].copy_from_slice(&[b'Q', m.flags.0]);
        bytes.extend_from_slice(&m.bid_size.to_le_bytes());
        bytes.extend_from_slice(&raw(m.bid_price));
        bytes.extend_from_slice(&raw(m.ask_price));
        bytes.extend_from_slice(&m.ask_size.to_le_bytes());
    }
    bytes
}

/// A segment of up to five random messages that follows what the channel had.
fn next_segment(
    random: &mut Random,
    channel: &IexChannel,
    feed: Feed,
    session: SessionNumber,
) -> Vec<u8> {
    let messages: Vec<Vec<u8>> =
        (0..random.index(6)).map(|_| encode(&random_message(random, feed))).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let sequence = channel.arbiter().next_sequence();
    // Behind a gap or another session any offset will do.
    let offset = channel.next_offset().unwrap_or(0);
    segment(Header { protocol: feed.protocol(), session, sequence, offset, ..HEADER }, &messages)
}

#[test]
fn a_channel_takes_damaged_segments_of_random_messages() {
    for feed in [Feed::Deep, Feed::Tops] {
        let mut random = Random::new(6);
        let mut channel = IexChannel::new(&settings(feed, 3, true), &[]);
        let mut recorder = Recorder::new();
        for round in 0..20_000 {
            // Damage may have begun a session of its own, after which the one before is over.
            let late = channel.arbiter().counts().late_sessions;
            let session = SessionNumber(u32::try_from(late).expect("few") + 1_000);
            let mut bytes = next_segment(&mut random, &channel, feed, session);
            match random.index(8) {
                0 => random.damage(&mut bytes),
                // Also below the transport's own checks.
                1 if bytes.len() > HEADER_BYTES + 2 => {
                    let at = HEADER_BYTES + 2 + random.index(bytes.len() - HEADER_BYTES - 2);
                    bytes[at] = random.byte();
                }
                _ => {}
            }
            channel.on_datagram(&bytes, Nanos(round), &mut recorder);
            channel.check(Nanos(round));
        }
        let (counts, sequence) = (channel.counts(), channel.arbiter().counts());
        println!(
            "{feed:?}: {} messages, {} segments and {} messages refused, {} foreign; {sequence:?}",
            counts.messages, counts.packet_errors, counts.message_errors, counts.foreign_packets
        );
        assert!(counts.messages > 10_000 && recorder.bests.len() > 1_000);
        assert!(counts.packet_errors > 100 && counts.unknown_versions > 0);
        assert!(counts.offset_faults > 0);
        assert!(counts.message_errors > 10 && counts.foreign_packets > 0);
        assert!(recorder.cleared > 0 && recorder.refused > 0);
        assert_eq!(recorder.cleared, sequence.session_changes);
        assert_eq!(recorder.refused, channel.books().counts().books_full);
    }
}

#[test]
fn a_sessions_last_message_ends_it_and_the_next_session_begins_with_empty_books() {
    let mut channel = IexChannel::new(&settings(Feed::Deep, 3, false), &followed());
    let level = Message::PriceLevelUpdate(PriceLevelUpdate {
        time: TIME,
        symbol: symbol(SYMBOLS[0]),
        side: Side::Buy,
        event_flags: 1,
        size: 100,
        price: Price::from_itch4(990_500),
    });
    let end = [[b'S', b'C'].as_slice(), &TIME.0.to_le_bytes()].concat();
    let first = segment(HEADER, &[&encode(&level), &end]);
    let mut recorder = Recorder::new();
    channel.on_datagram(&first, Nanos(0), &mut recorder);
    assert_eq!(channel.check(Nanos(u64::MAX)), FeedState::Ended);
    assert!(channel.books().best(BookIndex(0)).bid.is_some());
    let next = Header { session: SessionNumber(7), ..HEADER };
    channel.on_datagram(&segment(next, &[]), Nanos(1), &mut recorder);
    assert_eq!((channel.check(Nanos(1)), recorder.cleared), (FeedState::Current, 1));
    assert_eq!(channel.books().best(BookIndex(0)), Best::default());
    channel.on_datagram(&first, Nanos(2), &mut recorder);
    assert_eq!(channel.arbiter().counts().late_sessions, 1);
    assert_eq!(channel.books().best(BookIndex(0)), Best::default());
}

#[test]
fn a_message_that_cannot_be_read_makes_the_channel_stale_and_one_of_the_future_does_not() {
    let unknown: &[u8] = b"?????????????????????";
    let short: &[u8] = &[b'8'; 29];
    let price: &[u8] = &[[b'8', 1].as_slice(), &TIME.0.to_le_bytes(), &[0x7F; 20]].concat();
    let time: &[u8] = &[[b'S', b'O'].as_slice(), &[0xFF; 8]].concat();
    for (message, state) in [
        (unknown, FeedState::Current),
        (b"", FeedState::Stale),
        (short, FeedState::Stale),
        (price, FeedState::Stale),
        (time, FeedState::Stale),
    ] {
        let mut channel = IexChannel::new(&settings(Feed::Deep, 3, false), &followed());
        channel.on_datagram(&segment(HEADER, &[message]), Nanos(0), &mut NoSink);
        assert_eq!(channel.check(Nanos(0)), state, "{message:?}");
        assert_eq!((channel.counts().messages, channel.counts().message_errors), (1, 1));
        let unknown = u64::from(state == FeedState::Current);
        assert_eq!(channel.counts().unknown_types, unknown);
    }
}

#[test]
fn another_stream_protocol_or_version_is_counted_and_left_alone() {
    let mut channel = IexChannel::new(&settings(Feed::Deep, 3, false), &followed());
    let other_stream = Header { stream: StreamId(2), sequence: 9, ..HEADER };
    let other_protocol = Header { protocol: ProtocolId::TOPS_1_6, sequence: 9, ..HEADER };
    for header in [other_stream, other_protocol] {
        channel.on_datagram(&segment(header, &[b"?"]), Nanos(0), &mut NoSink);
    }
    let mut other_version = segment(HEADER, &[]);
    other_version[0] = 2;
    channel.on_datagram(&other_version, Nanos(0), &mut NoSink);
    let counts = channel.counts();
    assert_eq!((counts.packets, counts.foreign_packets, counts.messages), (3, 2, 0));
    assert_eq!((counts.packet_errors, counts.unknown_versions), (1, 1));
    assert_eq!(channel.arbiter().counts(), ArbiterCounts::default());
    assert_eq!(channel.check(Nanos(0)), FeedState::Stale, "nothing of its own was heard");
}

#[test]
fn a_started_channel_allocates_nothing() {
    for feed in [Feed::Deep, Feed::Tops] {
        let mut random = Random::new(7);
        let mut channel = IexChannel::new(&settings(feed, 3, false), &followed());
        for round in 0..5_000 {
            let mut bytes = next_segment(&mut random, &channel, feed, HEADER.session);
            if random.one_in(10) {
                random.damage(&mut bytes);
            }
            let before = hot_allocation_count();
            let zone = HotZone::enter("iex");
            channel.on_datagram(&bytes, Nanos(round), &mut NoSink);
            channel.check(Nanos(round));
            drop(zone);
            assert_eq!(hot_allocation_count(), before);
        }
        assert!(channel.counts().messages > 1_000);
    }
    // The count does count: a symbol seen for the first time gets its book then.
    let mut channel = IexChannel::new(&settings(Feed::Deep, 3, true), &[]);
    let bytes = next_segment(&mut Random::new(8), &channel, Feed::Deep, HEADER.session);
    let before = hot_allocation_count();
    let zone = HotZone::enter("iex");
    channel.on_datagram(&bytes, Nanos(0), &mut NoSink);
    drop(zone);
    assert!(channel.books().indices().count() > 0 && hot_allocation_count() > before);
}
