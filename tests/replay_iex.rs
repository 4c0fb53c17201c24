//! `postern replay` on recordings of IEX: what is told apart, what is printed and what is refused. The captures are
//! third-party data; tests that need them skip, saying so, where they are absent.

#![allow(clippy::print_stdout, reason = "tests say what they compared and what they skipped")]

#[path = "support/shared.rs"]
mod shared;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Command, Output as Ran};

use postern::cmd::replay::{Protocol, ReplayArgs, ReplayReport, replay};
use postern::feed::arbiter::Join;
use postern::feed::capture;
use postern::feed::channel::NoSink;
use postern::feed::iex::tp::{self, HEADER_BYTES, ProtocolId, SessionNumber, StreamId};
use postern::feed::iex::{BooksConfig, Feed, IexChannel, IexSettings};
use postern::feed::moldudp64;
use postern::net::capture::Capture;
use postern::telemetry::hlog_reader::LogReader;
use postern::types::{Nanos, Symbol, UtcNanos};
use serde_json::Value;
use shared::shared;

const DEEP: &str = "captures/iex/20170826_IEXTP1_DEEP1.0.pcap.gz";
const SINGLE: &str = "captures/omi/Iex";

fn args(path: &Path) -> ReplayArgs {
    ReplayArgs { orders_max: 1_000, ..ReplayArgs::new(path) }
}

fn report_of(capture: Capture, args: &ReplayArgs) -> ReplayReport {
    replay(capture, args).0
}

/// The program itself on a file, with these arguments too.
fn postern(path: &Path, more: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.arg("replay").arg(path).args(more).output().expect("runs")
}

fn refusal(path: &Path, more: &[&str]) -> String {
    let ran = postern(path, more);
    assert!(!ran.status.success() && ran.stdout.is_empty(), "{more:?} is refused");
    String::from_utf8(ran.stderr).expect("text")
}

/// The capture's books, without the agent.
fn played(capture: &Capture) -> IexChannel {
    let settings = IexSettings {
        feed: Feed::Deep,
        stream: StreamId(1),
        join: Join::First,
        stale_after_ns: u64::MAX,
        books: BooksConfig { levels_max: 64, books_max: 20_000, follow_all_symbols: true },
    };
    let mut channel = IexChannel::new(&settings, &[]);
    for (_, _, payload) in capture.iter() {
        channel.on_datagram(payload, Nanos(0), &mut NoSink);
    }
    channel
}

#[test]
fn a_day_of_deep_is_told_apart_and_counted() {
    let Some(path) = shared(DEEP) else { return };
    let ran = postern(&path, &["--output", "json"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let json: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let numbers = ["packets", "messages", "gaps", "errors"].map(|key| json[key].as_u64());
    assert_eq!(numbers, [20_145, 48_635, 0, 0].map(Some));
    assert_eq!(json["complete"], true);
    assert!(json["elapsed_ns"].as_u64().is_some_and(|ns| ns > 0));
    let letters = json["messages_by_type"].as_object().expect("an object");
    let sum: u64 = letters.values().filter_map(Value::as_u64).sum();
    assert_eq!((sum, letters["8"].as_u64(), letters["5"].as_u64()), (48_635, Some(138), Some(116)));

    let capture = capture::open(&path).and_then(Capture::whole).expect("a capture");
    let alone = played(&capture);
    let books = alone.books();
    assert_eq!(json["digest"], format!("{:016x}", books.digest()));
    let printed = json["books"].as_object().expect("an object");
    assert_eq!(printed.len(), books.indices().count());
    for book in books.indices() {
        let line = &printed[&books.symbol(book).to_string()];
        let best = books.best(book);
        assert_eq!(
            line["bid_price"].as_str().map(str::to_owned),
            best.bid.map(|b| b.0.to_string())
        );
        assert_eq!(
            line["ask_price"].as_str().map(str::to_owned),
            best.ask.map(|a| a.0.to_string())
        );
        assert_eq!(line["bid_qty"].as_u64(), best.bid.map(|b| b.1));
        assert_eq!(line["ask_qty"].as_u64(), best.ask.map(|a| a.1));
        let levels = u64::try_from(books.level_count(book)).expect("few");
        assert_eq!(line["orders"].as_u64(), Some(levels), "levels stand for orders");
    }
    println!("{} books, digest {}", printed.len(), json["digest"]);

    let text = postern(&path, &[]);
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(text.contains("48635") && text.contains("ZIEXT"), "{text}");
}

#[test]
fn only_the_symbols_asked_for_have_books() {
    let Some(path) = shared(DEEP) else { return };
    let capture = || capture::open(&path).expect("a capture");
    let all = report_of(capture(), &args(&path));
    let ziext = Symbol::new("ZIEXT").expect("a symbol");
    let one = report_of(capture(), &ReplayArgs { symbols: vec![ziext], ..args(&path) });
    assert_eq!(one.books.keys().collect::<Vec<_>>(), ["ZIEXT"]);
    assert_eq!(one.books["ZIEXT"], all.books["ZIEXT"]);
    assert_eq!((one.messages, one.errors), (all.messages, all.errors));
}

#[test]
fn single_packets_are_told_apart() {
    for (folder, files, letters) in [
        ("Deep.IexTp.v1.0", 3, "58"),
        ("Tops.IexTp.v1.5", 9, "ADHOPQSTX"), // by their headers they are of 1.6
        ("Tops.IexTp.v1.6", 1, "Q"),
    ] {
        let Some(folder) = shared(SINGLE).map(|path| path.join(folder)) else { return };
        let mut seen: BTreeMap<char, u64> = BTreeMap::new();
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let report = report_of(capture::open(&path).expect("a capture"), &args(&path));
            assert_eq!(report.errors, 0, "{}", path.display());
            for (letter, count) in report.messages_by_type {
                *seen.entry(letter).or_default() += count;
            }
            count += 1;
        }
        assert_eq!((count, seen.keys().collect::<String>().as_str()), (files, letters));
        println!("{}: {count} files, {seen:?}", folder.display());
    }
}

#[test]
fn deep_plus_is_named_and_refused() {
    let Some(folder) = shared(SINGLE) else { return };
    let path = folder.join("DeepPlus.IexTp.1.0.2/all_message_types.pcap");
    let refusal = refusal(&path, &[]);
    assert!(refusal.contains("message protocol 0x8005; read are 0x8004"), "{refusal}");
}

#[test]
fn what_does_not_go_with_iex_is_refused_in_a_sentence() {
    let Some(path) = shared(DEEP) else { return };
    for (more, expected) in [
        (vec!["--from", "09:30:00"], "take nanoseconds of the capture"),
        (vec!["--until", "10:00"], "take nanoseconds of the capture"),
        (vec!["--protocol", "iex-tops"], "holds no IEX-TP segment of the protocol asked for"),
        (vec!["--protocol", "itch50"], "holds no MoldUDP64, only IEX-TP"),
        (vec!["--to", "udp://127.0.0.1:9", "--symbols", "ZIEXT"], "--symbols with --to"),
        (vec!["--to", "udp://127.0.0.1:9", "--protocol", "iex-deep"], "does not go with --to"),
    ] {
        let refusal = refusal(&path, &more);
        assert!(refusal.contains(expected), "{more:?}: {refusal}");
    }
}

#[test]
fn latencies_of_every_type_are_in_the_log_and_change_nothing() {
    let Some(path) = shared(DEEP) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("x.hlog");
    let json = |more: &[&str]| -> Value {
        let ran = postern(&path, &[&["--output", "json"], more].concat());
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let mut report: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
        report["elapsed_ns"] = 0.into();
        report
    };
    let plain = json(&[]);
    assert_eq!(json(&["--hlog", log.to_str().expect("text")]), plain);
    let mut counts = BTreeMap::new();
    for interval in LogReader::new(BufReader::new(File::open(&log).expect("written"))) {
        let interval = interval.expect("sound");
        counts.insert(interval.tag, interval.histogram.len());
    }
    let by_type = plain["messages_by_type"].as_object().expect("an object");
    let count = |value: &Value| value.as_u64().expect("a count");
    let expected: BTreeMap<String, u64> =
        by_type.iter().map(|(letter, n)| (format!("deep_{letter}"), count(n))).collect();
    assert_eq!(counts, expected);
    println!("{} messages of {} types", counts.values().sum::<u64>(), counts.len());
}

#[test]
fn rounds_are_sessions_of_their_own() {
    let Some(path) = shared(DEEP) else { return };
    let capture = || capture::open(&path).expect("a capture");
    let once = report_of(capture(), &args(&path));
    let thrice = report_of(capture(), &ReplayArgs { rounds: 3, ..args(&path) });
    assert_eq!((thrice.messages, thrice.packets), (3 * once.messages, 3 * once.packets));
    assert_eq!((thrice.gaps, thrice.errors, &thrice.digest), (0, 0, &once.digest));
    assert_eq!(thrice.books, once.books);
}

/// One quote of TOPS.
fn quote_segment(protocol: ProtocolId, stream: u32, stock: &str) -> Vec<u8> {
    let mut message = vec![b'Q', 0];
    message.extend_from_slice(&1_u64.to_le_bytes());
    message.extend_from_slice(format!("{stock:8}").as_bytes());
    message.extend_from_slice(&100_u32.to_le_bytes());
    message.extend_from_slice(&10_000_i64.to_le_bytes());
    message.extend_from_slice(&20_000_i64.to_le_bytes());
    message.extend_from_slice(&200_u32.to_le_bytes());
    let length = u16::try_from(message.len()).expect("short");
    let mut head = [0; HEADER_BYTES];
    let (stream, session) = (StreamId(stream), SessionNumber(1));
    let header = tp::Header {
        protocol,
        stream,
        session,
        count: 1,
        offset: 0,
        sequence: 1,
        sent: UtcNanos(1),
    };
    header.write(length + 2, &mut head);
    [&head[..], &length.to_le_bytes(), &message].concat()
}

fn to(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), port)
}

#[test]
fn lines_of_one_stream_are_one_channel_and_streams_are_several() {
    let mut capture = Capture::empty(Path::new("made"));
    let tops = |stream| quote_segment(ProtocolId::TOPS_1_6, stream, "AAA");
    for (port, bytes) in [
        (1, tops(1)),
        (2, tops(1)), // line B
        (3, tops(2)),
        (4, b"nothing that is known".to_vec()),
    ] {
        assert!(capture.push(to(port), 0, &bytes, b""));
    }
    let report = report_of(capture, &args(Path::new("made")));
    assert_eq!((report.packets, report.messages, report.gaps, report.errors), (4, 2, 0, 1));
    assert_eq!(report.books.keys().collect::<Vec<_>>(), ["AAA", "AAA/2"]);
    let book = &report.books["AAA"];
    assert_eq!((book.bid_price.as_deref(), book.ask_price.as_deref()), (Some("1"), Some("2")));
    assert_eq!((book.bid_qty, book.ask_qty, book.orders), (Some(100), Some(200), 2));
}

/// Both protocols in one capture.
fn mixed() -> Capture {
    let mut capture = Capture::empty(Path::new("made"));
    let mut head = [0; moldudp64::HEADER_BYTES];
    let session = moldudp64::Session(*b"SESSION001");
    moldudp64::Header { session, sequence: 1, count: 0 }.write(&mut head);
    assert!(capture.push(to(1), 0, &head, b""));
    assert!(capture.push(to(2), 0, &quote_segment(ProtocolId::TOPS_1_6, 1, "AAA"), b""));
    capture
}

#[test]
fn of_a_capture_with_both_the_one_asked_for_is_replayed() {
    let path = Path::new("made");
    for (protocol, packets, messages) in [(Protocol::Itch50, 1, 0), (Protocol::IexTops, 1, 1)] {
        let report = report_of(mixed(), &ReplayArgs { protocol, ..args(path) });
        assert_eq!((report.packets, report.messages, report.errors), (packets, messages, 0));
    }
}

#[test]
#[should_panic(expected = "holds both MoldUDP64 and IEX-TP: say which to replay with --protocol")]
fn of_a_capture_with_both_one_has_to_be_asked_for() {
    report_of(mixed(), &args(Path::new("made")));
}
