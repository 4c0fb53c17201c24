//! `postern replay` at a pace, in rounds, in parts and onto the wire, against naive versions of each.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufReader, Write};
use std::net::{SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use postern::cmd::replay::{
    AnyRecording, Before, Moment, OnlySymbols, Packing, ReplayArgs, ReplayReport, Rounds, Window,
    replay,
};
use postern::feed::book::{Books, BooksConfig};
use postern::feed::capture;
use postern::feed::itch50::{self, Message};
use postern::feed::moldudp64::{self, HEADER_BYTES, Header, Packet};
use postern::net::capture::Capture;
use postern::net::{
    CaptureRecording, Datagram, DatagramHandler, PacketSource, Player, Recording, Speed,
};
use postern::sim::day::{BUFFER_BYTES, Day, DayConfig};
use postern::sim::day_file::{BinaryFile, PcapFile};
use postern::telemetry::hlog_reader::LogReader;
use postern::types::{ChannelId, Nanos, Symbol, UtcNanos};
use random::Random;

const DAY: DayConfig = DayConfig { messages: 30_000, symbols: 20, orders: 1_000, seed: 21 };
const MIDNIGHT: UtcNanos = UtcNanos(1_580_342_400_000_000_000);
const SECOND: u64 = 1_000_000_000;
const TEN: u64 = 10 * 3_600 * SECOND;

fn messages(config: DayConfig) -> Vec<Vec<u8>> {
    let mut day = Day::new(config).unwrap();
    let mut buffer = [0; BUFFER_BYTES];
    let mut all = Vec::new();
    while let Some(length) = day.next_message(&mut buffer) {
        all.push(buffer[..length].to_vec());
    }
    all
}

fn time_ns(message: &[u8]) -> u64 {
    itch50::decode(message).unwrap().head().time_ns
}

fn binary_file(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = BinaryFile::new(&mut file);
    messages.iter().for_each(|message| writer.push(message).unwrap());
    writer.finish().unwrap();
    file
}

fn pcap_file(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = PcapFile::new(&mut file, MIDNIGHT, *b"20200130  ").unwrap();
    messages.iter().for_each(|message| writer.push(message, time_ns(message)).unwrap());
    writer.finish().unwrap();
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn args() -> ReplayArgs {
    ReplayArgs { orders_max: 100_000, ..ReplayArgs::new(Path::new("made")) }
}

/// What a replay found, less how long it took.
fn report(recording: impl Into<AnyRecording>, args: &ReplayArgs) -> ReplayReport {
    let (report, _) = replay(recording, args);
    ReplayReport { elapsed_ns: 0, ..report }
}

fn file(path: &Path) -> AnyRecording {
    AnyRecording::open(path, Packing::Single).unwrap()
}

/// The digest of books to which messages were applied one by one; of these symbols, or of all.
fn naive_digest<'a>(
    messages: impl IntoIterator<Item = &'a Vec<u8>>,
    symbols: &[Symbol],
) -> (String, u64) {
    let config = BooksConfig {
        orders_max: 10_000,
        levels_max: 4_096,
        books_max: 1_000,
        follow_all_symbols: symbols.is_empty(),
    };
    let mut books = Books::new(config, symbols);
    let mut count = 0;
    for message in messages {
        books.apply(&itch50::decode(message).unwrap()).unwrap();
        count += 1;
    }
    (format!("{:016x}", books.digest()), count)
}

#[test]
fn a_file_read_in_blocks_gives_what_a_file_in_memory_gives() {
    let folder = Folder::new();
    let binary = binary_file(&messages(DAY));
    let expected = report(capture::from_binary_file(Path::new("made"), &binary).unwrap(), &args());
    assert_eq!((expected.messages, expected.errors, expected.gaps), (DAY.messages, 0, 0));
    assert_eq!(expected.digest, naive_digest(&messages(DAY), &[]).0);
    let ended = [&binary[..], &[0, 0]].concat();
    for (name, bytes) in [("a", &binary), ("b", &gzip(&binary)), ("c", &ended)] {
        let recording = file(&folder.file(name, bytes));
        assert!(matches!(recording, AnyRecording::File(_)), "it is read in blocks");
        assert_eq!(report(recording, &args()), expected);
    }
    let pcap = folder.file("d", &pcap_file(&messages(DAY)));
    let of_pcap = report(file(&pcap), &args());
    assert_eq!((of_pcap.digest, of_pcap.books), (expected.digest, expected.books));
}

/// Each message's datagram, and what is wrong with the rest.
fn datagrams(recording: &mut AnyRecording) -> (Vec<(u64, Vec<u8>)>, Option<String>) {
    let mut all = Vec::new();
    while recording.step() {
        let datagram = recording.datagram();
        all.push((datagram.ns, datagram.payload.to_vec()));
    }
    (all, recording.defect().map(ToString::to_string))
}

#[test]
fn a_file_cut_or_damaged_anywhere_is_told_as_one_in_memory_is() {
    let folder = Folder::new();
    let few = DayConfig { messages: 30, symbols: 1, orders: 5, seed: 1 };
    let binary = binary_file(&messages(few));
    let mut damaged: Vec<Vec<u8>> = (0..binary.len()).map(|cut| binary[..cut].to_vec()).collect();
    for at in 0..binary.len() {
        let mut bytes = binary.clone();
        bytes[at] ^= 0x15;
        damaged.push(bytes);
    }
    for bytes in damaged {
        let path = folder.file("damaged", &bytes);
        let in_memory = capture::from_binary_file(&path, &bytes).map(AnyRecording::from);
        match (AnyRecording::open(&path, Packing::Single), in_memory) {
            (Ok(mut blocks), Ok(mut whole)) => {
                assert_eq!(datagrams(&mut blocks), datagrams(&mut whole));
                blocks.rewind();
                whole.rewind();
                assert_eq!(datagrams(&mut blocks), datagrams(&mut whole), "again");
            }
            (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
            (one, other) => panic!("{one:?} {other:?}"),
        }
    }
    let packed = gzip(&binary);
    for cut in 2..packed.len() {
        let path = folder.file("packed", &packed[..cut]);
        if let Ok(mut recording) = AnyRecording::open(&path, Packing::Single) {
            let (_, defect) = datagrams(&mut recording);
            let defect = defect.expect("it is not whole");
            assert!(defect.contains("damaged compression"), "{defect}");
        }
    }
}

#[test]
fn hostile_files_are_read_as_in_memory() {
    let folder = Folder::new();
    let binary = binary_file(&messages(DayConfig { messages: 60, symbols: 2, orders: 9, seed: 2 }));
    let mut random = Random::new(77);
    for _ in 0..600 {
        let mut bytes = binary.clone();
        random.damage(&mut bytes);
        let path = folder.file("damaged", &bytes);
        let in_memory = capture::from_binary_file(&path, &bytes).map(AnyRecording::from);
        match (AnyRecording::open(&path, Packing::Single), in_memory) {
            (Ok(mut blocks), Ok(mut whole)) => {
                assert_eq!(datagrams(&mut blocks), datagrams(&mut whole));
            }
            (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
            (one, other) => panic!("{one:?} {other:?}"),
        }
        // Whatever it holds, every way of playing it comes to an end.
        for packing in [Packing::Single, Packing::Packed] {
            let Ok(recording) = AnyRecording::open(&path, packing) else { continue };
            let until = Some(Moment::TimeOfDay(TEN));
            let window = Window::new(recording, Some(Moment::TimeOfDay(1)), until, Before::AtOnce);
            let part = OnlySymbols::new(window, vec![Symbol::new("A").unwrap()]);
            play(Rounds::new(part), Speed::of_thousandths(1_000), 2);
        }
    }
}

#[test]
fn packed_datagrams_hold_the_same_messages_close_in_time() {
    let folder = Folder::new();
    let expected = messages(DAY);
    let path = folder.file("day", &binary_file(&expected));
    let mut recording = AnyRecording::open(&path, Packing::Packed).unwrap();
    let (all, defect) = datagrams(&mut recording);
    assert_eq!(defect, None);
    let mut found = Vec::new();
    for (ns, payload) in &all {
        assert!(payload.len() <= 1_400);
        let Ok(Packet::Data(header, blocks)) = moldudp64::parse(payload) else { panic!("data") };
        assert_eq!(header.sequence, u64::try_from(found.len()).unwrap() + 1);
        for block in blocks {
            assert!((*ns..ns + 20_000).contains(&time_ns(block)));
            found.push(block.to_vec());
        }
    }
    assert!(found == expected);
    assert!(all.len() * 2 < found.len(), "{} datagrams", all.len());
}

#[test]
fn until_a_moment_books_are_those_of_that_moment() {
    let folder = Folder::new();
    let all = messages(DAY);
    let before: Vec<&Vec<u8>> = all.iter().filter(|message| time_ns(message) < TEN).collect();
    assert!(before.len() > 1_000 && before.len() < all.len() - 1_000);
    let (digest, count) = naive_digest(before.iter().copied(), &[]);
    let path = folder.file("day", &binary_file(&all));
    for until in [Moment::TimeOfDay(TEN), Moment::Captured(TEN)] {
        // From a moment on books are the same: what comes before is played at once.
        for from in [None, Some(Moment::TimeOfDay(TEN / 10 * 9)), Some(Moment::TimeOfDay(TEN * 2))]
        {
            let args = ReplayArgs { from, until: Some(until), ..args() };
            let report = report(file(&path), &args);
            assert_eq!((&report.digest, report.messages), (&digest, count), "{from:?} {until:?}");
            assert!(report.complete && report.errors == 0 && report.gaps == 0);
        }
    }
}

#[test]
fn books_of_some_symbols_are_the_same_as_among_all() {
    let all = messages(DAY);
    let symbols = ["A", "C", "T"].map(|name| Symbol::new(name).unwrap()).to_vec();
    let (digest, _) = naive_digest(&all, &symbols);
    let pcap = Capture::from_pcap(Path::new("made"), pcap_file(&all)).unwrap();
    let whole = report(Capture::from_pcap(Path::new("made"), pcap_file(&all)).unwrap(), &args());
    let part = report(pcap, &ReplayArgs { symbols, ..args() });
    assert_eq!(part.digest, digest);
    assert_eq!(part.books.keys().collect::<Vec<_>>(), ["A", "C", "T"]);
    assert!(part.books.iter().all(|(name, book)| &whole.books[name] == book));
    assert_eq!((part.messages, part.errors, part.gaps), (DAY.messages, 0, 0));
}

#[test]
fn every_round_is_a_session_that_begins_with_empty_books() {
    let folder = Folder::new();
    let all = messages(DAY);
    for (name, bytes) in [("day.itch", binary_file(&all)), ("day.pcap", pcap_file(&all))] {
        let path = folder.file(name, &bytes);
        let once = report(file(&path), &args());
        let thrice = report(file(&path), &ReplayArgs { rounds: 3, ..args() });
        assert_eq!((thrice.gaps, thrice.errors), (0, 0));
        assert_eq!((&thrice.digest, &thrice.books), (&once.digest, &once.books));
        assert_eq!((thrice.messages, thrice.packets), (once.messages * 3, once.packets * 3));
        let by_type: BTreeMap<char, u64> =
            once.messages_by_type.iter().map(|(&letter, count)| (letter, count * 3)).collect();
        assert_eq!(thrice.messages_by_type, by_type);
    }
}

/// Time and payload of each datagram handed out, by when that was.
#[derive(Default)]
struct Seen {
    now: u64,
    all: Vec<(u64, u64, Vec<u8>)>,
}

impl DatagramHandler for Seen {
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        self.all.push((self.now, datagram.stamp.ns, datagram.payload.to_vec()));
    }
}

/// Plays on simulated time, which goes from due to due.
fn play<R: Recording>(recording: R, speed: Option<Speed>, rounds: u32) -> Vec<(u64, u64, Vec<u8>)> {
    let flows = recording.flows().to_vec();
    let mut player = Player::new(recording, speed, rounds);
    for flow in flows {
        player.subscribe(flow, ChannelId(0), 0).unwrap();
    }
    let mut seen = Seen { now: 1_000, ..Seen::default() };
    loop {
        player.advance(Nanos(seen.now));
        match player.poll(64, &mut seen).unwrap() {
            postern::net::Polled::Got(_) => {}
            postern::net::Polled::Idle => seen.now = player.next_due().expect("a next one").0,
            postern::net::Polled::End => return seen.all,
        }
    }
}

#[test]
fn what_comes_before_is_at_once_and_the_schedule_begins_with_what_is_asked_for() {
    let folder = Folder::new();
    let all = messages(DAY);
    let path = folder.file("day", &binary_file(&all));
    let (from, until) = (TEN, TEN + 3_600 * SECOND);
    let window = |before| {
        Window::new(
            file(&path),
            Some(Moment::TimeOfDay(from)),
            Some(Moment::TimeOfDay(until)),
            before,
        )
    };
    let speed = Speed::of_thousandths(8_000);
    let first = all.iter().map(|m| time_ns(m)).find(|&ns| ns >= from).unwrap();
    let expected: Vec<(u64, u64, &[u8])> = all
        .iter()
        .filter(|message| time_ns(message) < until)
        .map(|message| {
            let ns = time_ns(message);
            (1_000 + ns.saturating_sub(first) / 8, ns, &message[..])
        })
        .collect();
    let played = play(window(Before::AtOnce), speed, 1);
    let block = |payload: &[u8]| payload[HEADER_BYTES + 2..].to_vec();
    let found: Vec<_> =
        played.iter().map(|(now, ns, payload)| (*now, *ns, block(payload))).collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((found.0, found.1, &found.2[..]), *expected);
    }
    // Left out, the rest is on the same schedule, with the numbers it had.
    let skipped = play(window(Before::Skipped), speed, 1);
    let later = expected.iter().filter(|(_, ns, _)| *ns >= from).count();
    assert!(later > 1_000 && skipped == played[played.len() - later..]);
    // Rounds follow each other without a pause.
    let twice = play(Rounds::new(window(Before::Skipped)), speed, 2);
    assert_eq!(twice.len(), 2 * later);
    let (last, _, _) = skipped[later - 1];
    for at in 0..later {
        assert_eq!(twice[later + at].0, last + skipped[at].0 - 1_000);
        assert_eq!(twice[later + at].1, skipped[at].1);
        assert_ne!(twice[later + at].2[..10], skipped[at].2[..10], "another session");
        assert_eq!(twice[later + at].2[10..], skipped[at].2[10..]);
    }
}

#[test]
fn a_feed_of_some_symbols_has_their_messages_and_its_own_numbers() {
    let all = messages(DAY);
    let symbols = ["B", "K"].map(|name| Symbol::new(name).unwrap()).to_vec();
    let mut locates = BTreeSet::from([0]);
    for message in &all {
        if let Message::StockDirectory(m) = itch50::decode(message).unwrap()
            && symbols.contains(&m.symbol)
        {
            locates.insert(m.head.locate);
        }
    }
    let is_kept =
        |message: &[u8]| locates.contains(&itch50::decode(message).unwrap().head().locate);
    let expected: Vec<&Vec<u8>> = all.iter().filter(|message| is_kept(message)).collect();
    let capture = Capture::from_pcap(Path::new("made"), pcap_file(&all)).unwrap();
    let mut lossy = Capture::empty(Path::new("lossy"));
    let mut doubled = Capture::empty(Path::new("doubled"));
    for (to, ns, payload) in capture.iter() {
        assert!(doubled.push(to, ns, &[], payload) && doubled.push(to, ns, &[], payload));
        let Header { sequence, count, .. } = moldudp64::parse(payload).unwrap().header();
        if !(sequence..sequence + u64::from(count)).contains(&20_000) {
            assert!(lossy.push(to, ns, &[], payload));
        }
    }
    // What comes twice is taken once.
    for capture in [capture, doubled] {
        check_only(capture, &symbols, &expected);
    }
    // What is missing stays missing: the reader sees one hole.
    let mut part = OnlySymbols::new(CaptureRecording::new(lossy), symbols);
    let (mut next, mut holes) = (1, 0);
    while part.step() {
        let Header { sequence, count, .. } =
            moldudp64::parse(part.datagram().payload).unwrap().header();
        assert!(sequence >= next);
        holes += u64::from(sequence > next);
        next = sequence + if count == moldudp64::END_OF_SESSION { 0 } else { u64::from(count) };
    }
    assert_eq!(holes, 1);
}

/// Holds the messages of a feed of `symbols` alone against `expected`, in two rounds.
fn check_only(capture: Capture, symbols: &[Symbol], expected: &[&Vec<u8>]) {
    let mut part = OnlySymbols::new(CaptureRecording::new(capture), symbols.to_vec());
    for round in 0..2 {
        let (mut found, mut ends) = (Vec::new(), 0);
        while part.step() {
            let packet = moldudp64::parse(part.datagram().payload).expect("a packet");
            assert_eq!(packet.header().sequence, u64::try_from(found.len()).unwrap() + 1);
            match packet {
                Packet::Data(_, blocks) => found.extend(blocks.map(<[u8]>::to_vec)),
                Packet::EndOfSession(_) => ends += 1,
                Packet::Heartbeat(_) => {}
            }
        }
        assert!(found.iter().eq(expected.iter().copied()) && ends > 0, "round {round}");
        part.rewind();
    }
}

fn postern(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern")).arg("replay").args(arguments).output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

#[test]
fn latencies_of_every_type_are_in_the_log_and_change_nothing() {
    let folder = Folder::new();
    let all = messages(DAY);
    for (name, bytes) in [("day.itch", binary_file(&all)), ("day.pcap", pcap_file(&all))] {
        let path = folder.file(name, &bytes);
        let path = path.to_str().unwrap();
        let log = folder.0.path().join(format!("{name}.hlog"));
        let plain = json(&postern(&[path, "--output", "json"]));
        let output = postern(&[path, "--output", "json", "--hlog", log.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut measured = json(&output);
        measured["elapsed_ns"] = plain["elapsed_ns"].clone();
        assert_eq!(measured, plain);
        let mut counts = BTreeMap::new();
        for interval in LogReader::new(BufReader::new(fs::File::open(&log).unwrap())) {
            let interval = interval.unwrap();
            counts.insert(interval.tag, interval.histogram.len());
        }
        let expected: BTreeMap<String, u64> = plain["messages_by_type"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(letter, count)| (format!("itch_{letter}"), count.as_u64().unwrap()))
            .collect();
        assert_eq!(counts, expected);
    }
    let absent = folder.0.path().join("absent/x.hlog");
    let day = folder.0.path().join("day.itch");
    let output = postern(&[day.to_str().unwrap(), "--hlog", absent.to_str().unwrap()]);
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("absent/x.hlog: cannot be written"), "{told}");
}

fn listener() -> (UdpSocket, SocketAddrV4) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let std::net::SocketAddr::V4(address) = socket.local_addr().unwrap() else { panic!("IPv4") };
    (socket, address)
}

/// What waits at a socket. On the loopback interface a datagram is there when it was sent.
fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4_096];
    let mut all = Vec::new();
    while let Ok(length) = socket.recv(&mut buffer) {
        all.push(buffer[..length].to_vec());
    }
    all
}

/// A small capture of so many datagrams, each of one message, 30 microseconds apart.
fn small_capture(count: u64) -> (Vec<u8>, Vec<Vec<u8>>) {
    let all = messages(DayConfig { messages: count, symbols: 2, orders: 30, seed: 3 });
    let mut bytes = Vec::new();
    let mut writer = PcapFile::new(&mut bytes, MIDNIGHT, *b"SMALL     ").unwrap();
    for (at, message) in (0..).zip(&all) {
        writer.push(message, SECOND + at * 30_000).unwrap();
    }
    writer.finish().unwrap();
    let read = Capture::from_pcap(Path::new("made"), bytes.clone()).unwrap();
    let payloads = read.iter().map(|(_, _, payload)| payload.to_vec()).collect();
    (bytes, payloads)
}

#[test]
fn both_lines_get_the_datagrams_as_they_were_captured() {
    let folder = Folder::new();
    let (bytes, expected) = small_capture(100);
    let path = folder.file("small.pcap", &bytes);
    let ((a, to_a), (b, to_b)) = (listener(), listener());
    let to = format!("udp://{to_a},udp://{to_b}");
    for speed in ["unpaced", "recorded", "0.5"] {
        let output = postern(&[
            path.to_str().unwrap(),
            "--to",
            &to,
            "--speed",
            speed,
            "--interface",
            "127.0.0.1",
            "--output",
            "json",
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(received(&a) == expected && received(&b) == expected, "{speed}");
        let report = json(&output);
        assert_eq!(
            (&report["packets"], &report["complete"]),
            (&expected.len().into(), &true.into())
        );
        for (line, to) in [(0, to_a), (1, to_b)] {
            let line = &report["lines"][line];
            assert_eq!(line["to"], format!("udp://{to}"));
            assert_eq!((&line["sent"], &line["lost"]), (&expected.len().into(), &0.into()));
        }
    }
}

#[test]
fn a_file_of_messages_is_packed_for_the_wire_and_builds_the_same_books() {
    let folder = Folder::new();
    let few = DayConfig { messages: 600, symbols: 4, orders: 60, seed: 5 };
    let all = messages(few);
    let path = folder.file("day.itch", &binary_file(&all));
    let (socket, to) = listener();
    let to = format!("udp://{to}");
    let output = postern(&[path.to_str().unwrap(), "--to", &to, "--symbols", "A,B,C,D"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains(&to));
    let mut capture = Capture::empty(Path::new("received"));
    for payload in received(&socket) {
        assert!(capture.push(SocketAddrV4::new([127, 0, 0, 1].into(), 1), 0, &[], &payload));
    }
    let of_wire = report(capture, &args());
    assert_eq!((of_wire.messages, of_wire.gaps, of_wire.errors), (600, 0, 0));
    assert_eq!(of_wire.digest, naive_digest(&all, &[]).0);
}

#[test]
fn impaired_lines_lose_what_they_say_and_not_the_same() {
    let folder = Folder::new();
    let (bytes, expected) = small_capture(200);
    let path = folder.file("small.pcap", &bytes);
    let ((a, to_a), (b, to_b)) = (listener(), listener());
    let to = format!("udp://{to_a},udp://{to_b}");
    let common = [path.to_str().unwrap(), "--to", &to, "--output", "json", "--seed", "9"];
    let impaired = ["--loss", "20", "--duplicate", "10", "--reorder", "10.5"];
    let output = postern(&[&common[..], &impaired].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = json(&output);
    let got = [received(&a), received(&b)];
    for (line, got) in got.iter().enumerate() {
        let number = |key: &str| report["lines"][line][key].as_u64().unwrap();
        let distinct: BTreeSet<&Vec<u8>> = got.iter().collect();
        assert_eq!(number("packets"), u64::try_from(expected.len()).unwrap());
        assert!((10..=80).contains(&number("lost")), "{} lost", number("lost"));
        assert!(number("duplicated") > 0 && number("reordered") > 0);
        let sent = number("packets") - number("lost") + number("duplicated");
        assert_eq!((number("sent"), u64::try_from(got.len()).unwrap()), (sent, sent));
        assert!(distinct.iter().all(|payload| expected.contains(payload)), "none was damaged");
    }
    assert_ne!(got[0], got[1], "each line has its own fate");
    // The same seed, the same fate.
    let again = postern(&[&common[..], &impaired].concat());
    assert_eq!(json(&again)["lines"], report["lines"]);
    assert!([received(&a), received(&b)] == got);
    // A line that stalls keeps the order of its packets.
    let stalled = json(&postern(&[&common[..], &["--delay", "30"]].concat()));
    assert!(stalled["lines"][0]["delayed"].as_u64().unwrap() > 10);
    assert!(received(&a) == expected && received(&b) == expected);
    let damaged = json(&postern(&[&common[..], &["--corrupt", "50"]].concat()));
    assert!(damaged["lines"][0]["corrupted"].as_u64().unwrap() > 10);
    assert!(received(&a).iter().any(|payload| !expected.contains(payload)));
}

#[test]
fn lines_of_neighbouring_seeds_have_their_own_fate_up_to_the_last_seed() {
    let folder = Folder::new();
    let (bytes, _) = small_capture(200);
    let path = folder.file("small.pcap", &bytes);
    let ((a, to_a), (b, to_b)) = (listener(), listener());
    let to = format!("udp://{to_a},udp://{to_b}");
    let mut fates = BTreeSet::new();
    let last = [u64::MAX - 1, u64::MAX].map(|seed| seed.to_string());
    for seed in ["1", "2", &last[0], &last[1]] {
        let common = [path.to_str().unwrap(), "--to", &to, "--seed", seed, "--loss", "20"];
        assert!(postern(&common).status.success());
        fates.extend([received(&a), received(&b)]);
    }
    assert_eq!(fates.len(), 8);
    assert!(fates.iter().all(|got| got.len() > 80), "each line is sent");
}

#[test]
fn an_interrupt_ends_a_replay_with_the_report_so_far() {
    let folder = Folder::new();
    let path = folder.file("day.itch", &binary_file(&messages(DAY)));
    let (socket, to) = listener();
    let mut child = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["replay", path.to_str().unwrap(), "--to", &format!("udp://{to}")])
        .args(["--speed", "recorded", "--output", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The first datagram is there, and the day goes on for hours.
    socket.recv(&mut [0; 4_096]).unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let report = json(&output);
    assert_eq!(report["complete"], false);
    assert!(report["packets"].as_u64().unwrap() >= 1);
    child = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["replay", path.to_str().unwrap(), "--loop", "0", "--output", "json", "--to"])
        .arg(format!("udp://{to}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.recv(&mut [0; 4_096]).unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(json(&child.wait_with_output().unwrap())["complete"], false, "it ran for ever");
}

#[test]
fn two_sessions_are_not_sent_as_one() {
    let folder = Folder::new();
    let (first, _) = small_capture(20);
    let mut second = first.clone();
    // Every datagram of the second half goes to another port under another session.
    let capture = Capture::from_pcap(Path::new("made"), first.clone()).unwrap();
    let record = |payload: &[u8]| 16 + 42 + payload.len();
    let mut at = 24;
    for (_, _, payload) in capture.iter() {
        second[at + 16 + 36 + 1] ^= 1;
        second[at + 16 + 42] = b'X';
        at += record(payload);
    }
    let both = [&first[..], &second[24..]].concat();
    let path = folder.file("both.pcap", &both);
    let output = postern(&[path.to_str().unwrap(), "--to", "udp://127.0.0.1:9"]);
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("both.pcap: 2 sessions in one capture"), "{told}");
    // Into books they are two channels.
    let report = report(file(&path), &args());
    assert_eq!((report.gaps, report.errors), (0, 0));
    assert!(report.books.contains_key("A") && report.books.contains_key("A/2"));
}

#[test]
fn symbols_that_are_not_there_are_told() {
    let folder = Folder::new();
    let all = messages(DAY);
    let (_socket, to) = listener();
    let to = format!("udp://{to}");
    for (name, bytes) in [("day.itch", binary_file(&all)), ("day.pcap", pcap_file(&all))] {
        let path = folder.file(name, &bytes);
        let path = path.to_str().unwrap();
        for wire in [&[][..], &["--to", &to]] {
            let asked = |symbols: &str| {
                let common = [path, "--output", "json", "--symbols", symbols];
                let output = postern(&[&common[..], wire].concat());
                let told = String::from_utf8(output.stderr.clone()).unwrap();
                (output.status.code(), json(&output)["symbols_absent"].clone(), told)
            };
            assert_eq!(asked("A,B"), (Some(0), serde_json::json!([]), String::new()));
            let told = format!("postern replay: {path}: does not hold NOPE, a\n");
            let absent = serde_json::json!(["NOPE", "a"]);
            assert_eq!(asked("NOPE,A,a,NOPE"), (Some(0), absent, told));
            let told =
                format!("postern replay: {path}: holds none of the symbols asked for: NOPE, a\n");
            let absent = serde_json::json!(["NOPE", "a"]);
            assert_eq!(asked("NOPE,a"), (Some(1), absent, told));
        }
    }
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    for arguments in [
        &["x.pcap", "--loss", "5"][..],
        &["x.pcap", "--seed", "5"],
        &["x.pcap", "--interface", "127.0.0.1"],
        &["x.pcap", "--to", "udp://127.0.0.1:5000", "--hlog", "x.hlog"],
        &["x.pcap", "--to", "127.0.0.1:5000"],
        &["x.pcap", "--speed", "0"],
        &["x.pcap", "--from", "25:00:00"],
        &["x.pcap", "--symbols", "A,,B"],
    ] {
        let output = postern(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let folder = Folder::new();
    let path = folder.file("small.pcap", &small_capture(20).0);
    let to = [path.to_str().unwrap(), "--to", "udp://127.0.0.1:9", "--reorder", "60"];
    let output = postern(&[&to[..], &["--delay", "60"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, "postern replay: more than all packets are reordered or delayed\n");
}
