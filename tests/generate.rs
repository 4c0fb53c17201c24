//! The generated trading day: the same for the same seed, valid to decoder and book, uncrossed, of the mix it promises.

#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use postern::cmd::replay::{ReplayArgs, ReplayReport, replay};
use postern::feed::book::{Books, BooksConfig, Effect};
use postern::feed::capture;
use postern::feed::itch50::{self, Message, TYPES};
use postern::feed::moldudp64::{self, Packet};
use postern::net::capture::Capture;
use postern::runtime::{
    GuardedAllocator, HotZone, OnHotAllocation, hot_allocation_count, on_hot_allocation,
};
use postern::sim::day::{BUFFER_BYTES, Day, DayConfig, DayError};
use postern::sim::day_file::{BinaryFile, GROUP, PcapFile};
use postern::types::{Side, Symbol, UtcNanos};

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const SMALL: DayConfig = DayConfig { messages: 200_000, symbols: 50, orders: 2_000, seed: 1 };

/// Every message of a day.
fn each(config: DayConfig, mut take: impl FnMut(&[u8])) -> Day {
    let mut day = Day::new(config).expect("a day");
    let mut buffer = [0; BUFFER_BYTES];
    let mut count = 0;
    while let Some(length) = day.next_message(&mut buffer) {
        take(&buffer[..length]);
        count += 1;
        assert_eq!(day.made(), count);
    }
    assert_eq!(count, config.messages, "as many messages as asked for");
    assert_eq!(day.next_message(&mut buffer), None, "it stays over");
    day
}

fn messages(config: DayConfig) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    each(config, |message| all.push(message.to_vec()));
    all
}

/// FNV-1a over the messages, each behind its length.
fn digest(config: DayConfig) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut byte = |byte: u8| digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    each(config, |message| {
        byte(u8::try_from(message.len()).unwrap());
        message.iter().for_each(|&b| byte(b));
    });
    digest
}

#[test]
fn a_seed_is_a_day() {
    let day = digest(SMALL);
    assert_eq!(day, 219_481_852_451_533_108, "the day of a seed never changes");
    assert_eq!(day, digest(SMALL));
    assert_ne!(day, digest(DayConfig { seed: 2, ..SMALL }));
}

#[test]
fn every_message_decodes_and_every_type_occurs_in_the_mix_of_a_day() {
    let config = DayConfig { messages: 1_000_000, symbols: 100, orders: 2_000, seed: 3 };
    let mut counts = BTreeMap::new();
    each(config, |message| {
        itch50::decode(message).expect("a valid message");
        *counts.entry(message[0]).or_insert(0_u64) += 1;
    });
    assert!(TYPES.iter().all(|(letter, _)| counts.contains_key(letter)), "{counts:?}");
    // Per 100,000 messages, and how much more or less is still the mix.
    for (letter, share, tolerance) in [
        (b'A', 44_000, 1_000),
        (b'D', 42_000, 1_000),
        (b'U', 8_000, 200),
        (b'E', 2_000, 100),
        (b'X', 1_000, 100),
        (b'I', 1_000, 100),
        (b'F', 600, 60),
        (b'P', 500, 60),
        (b'C', 200, 40),
    ] {
        let found = counts[&letter] * 100_000 / config.messages;
        assert!(found.abs_diff(share) <= tolerance, "{} {found}", char::from(letter));
    }
    let rare: u64 = b"NOBKJhWV".iter().map(|letter| counts[letter]).sum();
    assert!(rare < config.messages / 500, "{rare} rare messages");
    assert_eq!((counts[&b'V'], counts[&b'W'], counts[&b'S']), (1, 1, 6));
}

#[test]
fn a_short_day_has_every_type_too() {
    let mut seen = BTreeSet::new();
    let config = DayConfig { messages: 20_000, symbols: 10, orders: 200, seed: 4 };
    each(config, |message| {
        seen.insert(message[0]);
    });
    assert_eq!(seen.len(), TYPES.len(), "{seen:?}");
}

fn books_of(config: DayConfig) -> Books {
    let books = BooksConfig {
        orders_max: usize::try_from(config.orders).unwrap(),
        levels_max: 1_024,
        books_max: usize::from(config.symbols),
        follow_all_symbols: true,
    };
    Books::new(books, &[])
}

/// Applies a day to books of exactly its size and holds it against them.
fn check_books(config: DayConfig) -> u64 {
    let mut books = books_of(config);
    let mut day = Day::new(config).unwrap();
    let mut buffer = [0; BUFFER_BYTES];
    let mut time_ns = 0;
    let mut highest = 0;
    let (mut both_sides, mut spread_min) = (0_u64, i64::MAX);
    while let Some(length) = day.next_message(&mut buffer) {
        let message = itch50::decode(&buffer[..length]).expect("a valid message");
        let head = message.head();
        assert!(head.time_ns >= time_ns, "time goes back to {}", head.time_ns);
        assert_eq!(head.time_ns, day.time_ns());
        time_ns = head.time_ns;
        let effect =
            books.apply(&message).unwrap_or_else(|refusal| panic!("{message:?}: {refusal:?}"));
        assert_eq!(books.order_count_total(), usize::try_from(day.order_count()).unwrap());
        highest = highest.max(day.order_count());
        let book = match effect {
            Effect::None => continue,
            Effect::Changed(book) => book,
            Effect::Executed(execution) => execution.book,
        };
        let best = books.best(book);
        if let (Some((bid, _)), Some((ask, _))) = (best.bid, best.ask) {
            assert!(bid < ask, "{} is crossed: {bid} {ask}", books.symbol(book));
            assert!(bid.units() > 0);
            both_sides += 1;
            spread_min = spread_min.min(ask.units() - bid.units());
        }
    }
    assert!(highest <= config.orders, "{highest} orders");
    assert!(
        config.orders == 1 || (both_sides > 0 && spread_min == 10_000_000),
        "the spread is a cent at best: {spread_min}"
    );
    assert_eq!(books.spills_and_refills(), (0, 0));
    u64::from(highest)
}

#[test]
fn the_day_fits_its_books_and_never_crosses_them() {
    for (seed, symbols, orders) in [(1, 1, 50), (2, 7, 1), (3, 50, 2_000), (4, 400, 7_300)] {
        check_books(DayConfig { messages: 150_000, symbols, orders, seed });
    }
}

#[test]
fn open_orders_level_off_at_what_is_asked_for() {
    let highest =
        check_books(DayConfig { messages: 400_000, symbols: 100, orders: 20_000, seed: 5 });
    assert!(highest > 19_000, "{highest} orders at most");
    let config = DayConfig { messages: 400_000, symbols: 100, orders: 5_000, seed: 5 };
    let day = each(config, |_| {});
    assert!((4_700..=5_000).contains(&day.order_count()), "{} at the end", day.order_count());
    assert_eq!(DayConfig::orders_of(8_000), 146_000);
}

/// What a naive reader keeps of an order.
struct Standing {
    locate: u16,
    side: Side,
    price: u32,
    shares: u32,
}

/// A second, naive reader, which holds the rules of the specification that neither decoder nor book look at.
#[derive(Default)]
struct Naive {
    orders: BTreeMap<u64, Standing>,
    symbols: BTreeMap<u16, Symbol>,
    references: BTreeSet<u64>,
    /// Stock locate by match number.
    matches: BTreeMap<u64, u16>,
    paused: BTreeSet<u16>,
    events: Vec<u8>,
    executed: u64,
    broken: u64,
}

impl Naive {
    fn take(&mut self, bytes: &[u8]) {
        let message = itch50::decode(bytes).unwrap();
        let locate = message.head().locate;
        let is_general = matches!(bytes[0], b'S' | b'V' | b'W' | b'K');
        assert_eq!(locate == 0, is_general, "{}", char::from(bytes[0]));
        match message {
            Message::SystemEvent(m) => self.events.push(m.event),
            Message::StockDirectory(m) => {
                assert!(self.symbols.insert(locate, m.symbol).is_none());
                assert!(b"QGSNAP".contains(&m.market_category) && m.round_lot > 0);
                assert_eq!(m.authenticity, b'T');
            }
            Message::TradingAction(m) => {
                assert_eq!(self.symbols[&locate], m.symbol);
                match m.status.wire() {
                    b'T' => self.paused.remove(&locate),
                    _ => self.paused.insert(locate),
                };
            }
            Message::CrossTrade(m) => {
                assert!(b"OCH".contains(&m.cross) && self.symbols[&locate] == m.symbol);
                assert!(self.matches.insert(m.match_number, locate).is_none());
            }
            Message::BrokenTrade(m) => {
                let traded = self.matches.remove(&m.match_number);
                assert_eq!(traded, Some(locate), "it traded, and breaks once");
                self.broken += 1;
            }
            Message::Trade(m) => {
                assert_eq!((m.reference, m.side), (0, Side::Buy));
                assert!(m.shares > 0 && m.price.units() > 0);
                self.trade(m.match_number, locate);
            }
            _ => self.order(message, locate),
        }
    }

    fn order(&mut self, message: Message, locate: u16) {
        match message {
            Message::AddOrder(m) => {
                assert_eq!(self.symbols[&locate], m.symbol);
                assert!(self.references.insert(m.reference), "a reference is unique");
                let price = m.price.to_itch4().unwrap();
                assert!(price > 0 && price < 2_000_000_000 && price.is_multiple_of(100));
                let order = Standing { locate, side: m.side, price, shares: m.shares };
                self.orders.insert(m.reference, order);
            }
            Message::OrderReplace(m) => {
                assert!(self.references.insert(m.new_reference), "a reference is unique");
                let old = self.orders.remove(&m.reference).unwrap();
                let price = m.price.to_itch4().unwrap();
                self.orders.insert(m.new_reference, Standing { price, shares: m.shares, ..old });
            }
            Message::OrderDelete(m) => assert!(self.orders.remove(&m.reference).is_some()),
            Message::OrderCancel(m) => {
                let order = self.orders.get_mut(&m.reference).unwrap();
                assert!(m.shares > 0 && m.shares < order.shares, "a cancel leaves some");
                order.shares -= m.shares;
            }
            Message::OrderExecuted(m) => {
                let order = &self.orders[&m.reference];
                let rank = |o: &Standing| if o.side == Side::Buy { !o.price } else { o.price };
                let same = |o: &&Standing| o.locate == locate && o.side == order.side;
                let best = self.orders.values().filter(same).map(rank).min();
                assert_eq!(best, Some(rank(order)), "the best price trades first");
                self.execute(m.reference, m.shares, m.match_number);
            }
            Message::OrderExecutedWithPrice(m) => {
                assert_ne!(m.price.to_itch4(), Some(self.orders[&m.reference].price));
                self.execute(m.reference, m.shares, m.match_number);
            }
            _ => {}
        }
    }

    fn execute(&mut self, reference: u64, shares: u32, match_number: u64) {
        let order = self.orders.get_mut(&reference).unwrap();
        assert!(shares > 0);
        order.shares = order.shares.checked_sub(shares).expect("no more than it has");
        let (left, locate) = (order.shares, order.locate);
        if left == 0 {
            self.orders.remove(&reference);
        }
        self.executed += 1;
        self.trade(match_number, locate);
    }

    fn trade(&mut self, match_number: u64, locate: u16) {
        assert!(self.matches.insert(match_number, locate).is_none(), "a match number is unique");
        assert!(!self.paused.contains(&locate), "nothing trades while it is paused");
    }
}

#[test]
fn messages_are_true_to_the_specification() {
    let mut naive = Naive::default();
    each(SMALL, |bytes| naive.take(bytes));
    assert_eq!(naive.events, b"OSQMEC");
    assert_eq!(naive.symbols.len(), usize::from(SMALL.symbols));
    assert!(naive.executed > 3_000 && naive.broken > 10, "{} {}", naive.executed, naive.broken);
}

#[test]
fn the_day_keeps_the_hours() {
    let mut by_event = BTreeMap::new();
    let mut mixed = (u64::MAX, 0);
    each(SMALL, |bytes| match itch50::decode(bytes).unwrap() {
        Message::SystemEvent(m) => {
            by_event.insert(m.event, m.head.time_ns / 1_000_000_000);
        }
        Message::AddOrder(m) => {
            mixed = (mixed.0.min(m.head.time_ns), mixed.1.max(m.head.time_ns));
        }
        _ => {}
    });
    let seconds = |hour: u64, minute: u64| hour * 3_600 + minute * 60;
    let expected =
        [(b'O', 3, 0), (b'S', 4, 0), (b'Q', 9, 30), (b'M', 16, 0), (b'E', 20, 0), (b'C', 20, 5)];
    for (event, hour, minute) in expected {
        assert_eq!(by_event[&event], seconds(hour, minute), "{}", char::from(event));
    }
    assert!(mixed.0 >= seconds(4, 0) * 1_000_000_000);
    let last = seconds(16, 0) * 1_000_000_000;
    assert!((last - 60_000_000_000..last).contains(&mixed.1), "orders until the closing bell");
}

/// A message without its time and its tracking number.
fn timeless(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[5..11].fill(0);
    if message[0] == b'O' {
        message[32..40].fill(0); // a time too
    }
    message
}

#[test]
fn a_shorter_day_is_the_beginning_of_a_longer_one_but_for_times_and_closing() {
    let config = DayConfig { messages: 20_000, symbols: 20, orders: 500, seed: 9 };
    let long = messages(config);
    for shorter in [1_000, 2_000, 19_000] {
        let short = messages(DayConfig { messages: shorter, ..config });
        let closing = usize::from(config.symbols) + 4;
        let common = short.len() - closing;
        for at in 0..common {
            assert_eq!(timeless(&short[at]), timeless(&long[at]), "message {at} of {shorter}");
        }
        assert_ne!(timeless(&short[common]), timeless(&long[common]), "the closing begins");
    }
}

#[test]
fn a_day_allocates_nothing_once_it_is_made() {
    let config = DayConfig { messages: 300_000, symbols: 200, orders: 10_000, seed: 6 };
    let mut day = Day::new(config).unwrap();
    let mut buffer = [0; BUFFER_BYTES];
    on_hot_allocation(OnHotAllocation::Count);
    let before = hot_allocation_count();
    {
        let _hot = HotZone::enter("day");
        while day.next_message(&mut buffer).is_some() {}
    }
    assert_eq!(hot_allocation_count() - before, 0);
    assert_eq!(day.made(), config.messages);
}

#[test]
fn days_that_cannot_be_are_refused_and_the_smallest_can() {
    let config = DayConfig { messages: 100, symbols: 2, orders: 1, seed: 0 };
    let error = |config| Day::new(config).err();
    let least = DayConfig::messages_min(2);
    assert_eq!(error(DayConfig { messages: least, ..config }), None);
    let few = DayError::TooFewMessages { least };
    assert_eq!(error(DayConfig { messages: least - 1, ..config }), Some(few));
    assert_eq!(error(DayConfig { symbols: 0, ..config }), Some(DayError::NoSymbols));
    assert_eq!(error(DayConfig { orders: 0, ..config }), Some(DayError::Orders));
    assert_eq!(error(DayConfig { messages: u64::MAX, ..config }), Some(DayError::TooManyMessages));
    for messages in least..least + 50 {
        each(DayConfig { messages, ..config }, |message| {
            itch50::decode(message).expect("a valid message");
        });
    }
    let many = DayConfig::messages_min(u16::MAX);
    let mut books = books_of(DayConfig { symbols: u16::MAX - 1, ..config });
    let mut misfits = 0;
    each(DayConfig { messages: many, symbols: u16::MAX - 1, ..config }, |bytes| {
        misfits += u64::from(books.apply(&itch50::decode(bytes).unwrap()).is_err());
    });
    assert_eq!(misfits, 0, "as many symbols as there can be books");
}

const MIDNIGHT: UtcNanos = UtcNanos(1_580_342_400_000_000_000);

fn binary_file(config: DayConfig) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = BinaryFile::new(&mut bytes);
    each(config, |message| file.push(message).unwrap());
    file.finish().unwrap();
    bytes
}

fn pcap_file(config: DayConfig) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = PcapFile::new(&mut bytes, MIDNIGHT, *b"20200130  ").unwrap();
    let mut day = Day::new(config).unwrap();
    let mut buffer = [0; BUFFER_BYTES];
    while let Some(length) = day.next_message(&mut buffer) {
        file.push(&buffer[..length], day.time_ns()).unwrap();
    }
    file.finish().unwrap();
    bytes
}

fn replayed(capture: Capture) -> ReplayReport {
    assert!(capture.defect().is_none(), "{:?}", capture.defect());
    let args = ReplayArgs { orders_max: 100_000, ..ReplayArgs::new(Path::new("made")) };
    replay(capture, &args).0
}

#[test]
fn both_forms_of_a_file_hold_the_same_day() {
    let config = DayConfig { messages: 50_000, symbols: 30, orders: 1_000, seed: 11 };
    let expected = messages(config);
    let binary = binary_file(config);
    let blocks: Vec<u8> = expected
        .iter()
        .flat_map(|m| [&u16::try_from(m.len()).unwrap().to_be_bytes(), &m[..]].concat())
        .collect();
    assert_eq!(binary, blocks);

    let capture = Capture::from_pcap(Path::new("made"), pcap_file(config)).unwrap();
    assert_eq!(capture.flows(), [GROUP]);
    let (mut found, mut last, mut ends) = (Vec::new(), 0, 0);
    for (_, ns, payload) in capture.iter() {
        assert!(ns >= last && (last == 0 || ns - last <= 1_000_000_000), "silence after {last}");
        assert!(payload.len() <= 1_400);
        last = ns;
        match moldudp64::parse(payload).unwrap() {
            Packet::Data(header, blocks) => {
                assert_eq!(header.sequence, u64::try_from(found.len()).unwrap() + 1);
                let times = blocks.map(|b| itch50::decode(b).unwrap().head().time_ns);
                let (first, end) = (times.clone().min().unwrap(), times.max().unwrap());
                assert!(end - first < 20_000, "messages of one moment");
                assert_eq!(ns, MIDNIGHT.0 + end, "sent with its last message");
                found.extend(blocks.map(<[u8]>::to_vec));
            }
            Packet::Heartbeat(header) => {
                assert_eq!(header.sequence, u64::try_from(found.len()).unwrap() + 1);
            }
            Packet::EndOfSession(_) => ends += 1,
        }
    }
    assert!(found == expected && ends > 0);

    let of_binary = replayed(capture::from_binary_file(Path::new("made"), &binary).unwrap());
    let of_pcap = replayed(capture);
    assert_eq!((of_binary.messages, of_binary.errors, of_binary.gaps), (config.messages, 0, 0));
    assert_eq!((of_pcap.messages, of_pcap.errors, of_pcap.gaps), (config.messages, 0, 0));
    assert_eq!((of_binary.digest, of_binary.books), (of_pcap.digest, of_pcap.books));
}

fn postern(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.args(["generate", "itch"]).args(arguments).output().expect("it runs")
}

#[test]
fn the_command_writes_the_day_to_a_file_or_to_standard_output() {
    let config = DayConfig { messages: 5_000, symbols: 20, orders: 365, seed: 8 };
    let common = ["--messages", "5000", "--symbols", "20", "--seed", "8"];
    let output = postern(&common);
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(output.stdout == binary_file(config));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("day.pcap");
    let to = ["--output", path.to_str().unwrap(), "--format", "pcap", "--date", "2020-01-30"];
    let output = postern(&[&common[..], &to].concat());
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
    assert!(fs::read(&path).unwrap() == pcap_file(config));
}

#[test]
fn the_command_says_what_is_wrong() {
    let error = |arguments: &[&str]| {
        let output = postern(arguments);
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let few = error(&["--messages", "10", "--symbols", "5"]);
    assert_eq!(few, "postern generate: a day of so many symbols has at least 38 messages\n");
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent/day.itch");
    let absent = absent.to_str().unwrap();
    let unwritten = error(&["--messages", "100", "--symbols", "5", "--output", absent]);
    assert!(unwritten.starts_with(&format!("postern generate: {absent}: cannot be written: ")));
    let date = error(&["--messages", "100", "--date", "2021-02-29"]);
    assert!(date.contains("not a day from 1970-01-01 to 2105-12-31"), "{date}");
}

#[test]
fn a_full_disk_is_told() {
    let day = ["--messages", "100000", "--symbols", "5", "--output", "/dev/full"];
    for format in ["binary", "pcap"] {
        let output = postern(&[&day[..], &["--format", format]].concat());
        assert!(!output.status.success());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.starts_with("postern generate: /dev/full: cannot be written: "), "{told}");
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Starts to make a day that would take hours, and waits until some of it is written.
fn begin_a_long_day(path: &Path, folder: &Path) -> std::process::Child {
    let child = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["generate", "itch", "--messages", "20000000000", "--symbols", "5", "--output"])
        .arg(path)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let is_begun = |name: &String| {
        name.ends_with(".part") && fs::metadata(folder.join(name)).is_ok_and(|part| part.len() > 0)
    };
    while !names(folder).iter().any(is_begun) {
        std::thread::yield_now();
    }
    child
}

#[test]
fn a_signal_leaves_no_part_of_a_file_and_what_was_there_before() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        for before in [None, Some("a good day")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("day.itch");
            if let Some(text) = before {
                fs::write(&path, text).unwrap();
            }
            let child = begin_a_long_day(&path, folder.path());
            let pid = child.id().to_string();
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(code));
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                told,
                "postern generate: ended by a signal before the file was whole: it was removed\n"
            );
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
            assert_eq!(names(folder.path()).len(), usize::from(before.is_some()));
        }
    }
}

#[test]
fn no_room_leaves_no_part_of_a_file_and_what_was_there_before() {
    for format in ["binary", "pcap"] {
        for before in [None, Some("a good day")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("day.itch");
            if let Some(text) = before {
                fs::write(&path, text).unwrap();
            }
            // A limit of 1,024 blocks of 512 bytes, told by an error as a full disk is.
            let script = "trap '' XFSZ; ulimit -f 1024; exec \"$@\"";
            let output = Command::new("sh")
                .args(["-c", script, "sh", env!("CARGO_BIN_EXE_postern"), "generate", "itch"])
                .args(["--messages", "200000", "--symbols", "5", "--format", format, "--output"])
                .arg(&path)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1));
            let told = String::from_utf8(output.stderr).unwrap();
            let start =
                format!("postern generate: {}: cannot be written: File too large", path.display());
            assert!(
                told.starts_with(&start) && told.contains(" MiB and was removed: make room"),
                "{told}"
            );
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
            assert_eq!(names(folder.path()).len(), usize::from(before.is_some()));
        }
    }
}
