//! `postern replay` with less room than a recording needs: it says so, says which books are stale and why, and fails; books
//! that had room are right.

#[path = "support/itch.rs"]
mod itch;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;

use postern::cmd::replay::{ReplayArgs, ReplayReport, replay};
use postern::feed::iex::tp::{HEADER_BYTES, Header, ProtocolId, SessionNumber, StreamId};
use postern::net::capture::Capture;
use postern::types::UtcNanos;
use serde_json::Value;

/// A BinaryFILE of three securities, of which the first is quoted before the others come.
fn recording() -> Vec<u8> {
    let mut messages = vec![itch::system(b'O')];
    for (locate, symbol) in [(1, "AAA"), (2, "BBB"), (3, "CCC")] {
        messages.push(itch::directory(locate, symbol, 100, b'N', b'N'));
    }
    messages.push(itch::add(1, "AAA", 1, b'B', 100, 1_000_000));
    messages.push(itch::add(1, "AAA", 2, b'S', 100, 1_010_000));
    messages.push(itch::add(2, "BBB", 3, b'B', 100, 500_000));
    messages.push(itch::add(3, "CCC", 4, b'B', 100, 600_000));
    messages.push(itch::deleted(3, 4));
    messages.push(itch::add(2, "BBB", 5, b'B', 50, 510_000));
    let length = |m: &Vec<u8>| u16::try_from(m.len()).expect("short").to_be_bytes();
    messages.iter().flat_map(|m| [&length(m)[..], m].concat()).collect()
}

/// What the program says: whether it succeeded, the report as JSON, the table, and its complaints.
fn run(file: &[u8], more: &[&str]) -> (bool, Value, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("day.itch");
    std::fs::write(&path, file).expect("writes");
    let ran = |output: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
        command.arg("replay").arg(&path).args(["--output", output]).args(more);
        command.output().expect("runs")
    };
    let (json, text) = (ran("json"), ran("text"));
    assert_eq!(json.status, text.status);
    let said = String::from_utf8(json.stderr).expect("text");
    let report = serde_json::from_slice(&json.stdout).expect("JSON");
    (json.status.success(), report, String::from_utf8(text.stdout).expect("text"), said)
}

/// The books that are stale, with why.
fn stale(report: &Value) -> Vec<(String, String)> {
    let books = report["books"].as_object().expect("an object").iter();
    let stale = books.filter(|(_, book)| book["stale"] == true);
    let why = |book: &Value| book["stale_reason"].as_str().expect("a reason").to_owned();
    stale.map(|(symbol, book)| (symbol.clone(), why(book))).collect()
}

fn pair(symbol: &str, why: &str) -> (String, String) {
    (symbol.to_owned(), why.to_owned())
}

fn assert_first_is_right(report: &Value) {
    let book = &report["books"]["AAA"];
    assert_eq!(book["stale_reason"], Value::Null);
    assert_eq!((&book["bid_price"], &book["ask_price"]), (&"100".into(), &"101".into()));
    assert_eq!((&book["bid_qty"], &book["orders"]), (&100.into(), &2.into()));
}

#[test]
fn with_room_enough_nothing_is_said() {
    let (is_well, report, _, said) = run(&recording(), &[]);
    assert!(is_well && said.is_empty(), "{said}");
    assert_eq!(stale(&report), []);
    assert_eq!((&report["stale_books"], &report["symbols_without_book"]), (&0.into(), &0.into()));
    assert_first_is_right(&report);
}

#[test]
fn orders_without_room_are_told() {
    let (is_well, report, table, said) = run(&recording(), &["--orders-max", "3"]);
    assert!(!is_well);
    assert!(said.contains("2 orders had no room"), "{said}");
    assert!(said.contains("--orders-max 3") && said.contains("2 books are stale"), "{said}");
    assert!(said.contains("1 messages did not fit"), "the delete of one of them: {said}");
    assert_eq!(stale(&report), [pair("BBB", "orders_full"), pair("CCC", "orders_full")]);
    assert_eq!(report["stale_books"], 2);
    assert!(table.contains("orders_full"), "{table}");
    assert_first_is_right(&report);
}

#[test]
fn symbols_without_room_are_told_by_name() {
    let (is_well, report, table, said) = run(&recording(), &["--symbols-max", "2"]);
    assert!(!is_well);
    assert!(said.contains("--symbols-max 2"), "{said}");
    assert_eq!(stale(&report), [pair("CCC", "symbols_full")]);
    assert_eq!(report["books"]["CCC"]["bid_price"], Value::Null);
    assert_eq!((&report["stale_books"], &report["symbols_without_book"]), (&0.into(), &1.into()));
    assert!(table.contains("symbols_full"), "{table}");
    assert_first_is_right(&report);
    let second = &report["books"]["BBB"];
    assert_eq!((&second["bid_price"], &second["orders"]), (&"51".into(), &2.into()));
}

#[test]
fn a_recording_that_begins_late_is_told_apart_from_one_without_room() {
    let mut late = recording();
    let missing = [itch::deleted(2, 77), itch::deleted(1, 78)];
    for message in missing {
        late.extend(u16::try_from(message.len()).expect("short").to_be_bytes());
        late.extend(message);
    }
    let (is_well, report, _, said) = run(&late, &[]);
    assert!(!is_well);
    assert_eq!(stale(&report), [pair("AAA", "unknown_order"), pair("BBB", "unknown_order")]);
    assert!(said.contains("2 messages did not fit") && !said.contains("-max"), "{said}");
}

/// A segment of DEEP: price levels of one side, and of another security.
fn deep(levels: u32) -> Capture {
    let group = SocketAddrV4::new(Ipv4Addr::new(233, 215, 21, 4), 10_378);
    let mut capture = Capture::empty(Path::new("made"));
    let mut header = Header {
        protocol: ProtocolId::DEEP_1_0,
        stream: StreamId(1),
        session: SessionNumber(1),
        count: 1,
        offset: 0,
        sequence: 1,
        sent: UtcNanos(0),
    };
    let mut push = |symbol: &[u8; 8], price: i64| {
        let mut body = 30_u16.to_le_bytes().to_vec();
        body.extend([b'8', 1]);
        body.extend(1_i64.to_le_bytes());
        body.extend(symbol);
        body.extend(100_u32.to_le_bytes());
        body.extend(price.to_le_bytes());
        let bytes = u16::try_from(body.len()).expect("short");
        let mut head = [0; HEADER_BYTES];
        header.write(bytes, &mut head);
        assert!(capture.push(group, 0, &head, &body));
        header.sequence += 1;
        header.offset += u64::from(bytes);
    };
    push(b"ZZZ     ", 500_000);
    for level in 1..=levels {
        push(b"AAA     ", i64::from(level) * 100);
    }
    capture
}

#[test]
fn levels_of_iex_without_room_are_told() {
    let report =
        |levels| -> ReplayReport { replay(deep(levels), &ReplayArgs::new(Path::new("made"))).0 };
    let (fits, over) = (report(1_024), report(1_025));
    assert_eq!((fits.stale_books, fits.errors), (0, 0));
    assert_eq!((over.stale_books, over.errors), (1, 1));
    let book = &over.books["AAA"];
    assert_eq!((book.stale, book.stale_reason), (true, Some("levels_full")));
    assert_eq!(book.bid_price.as_deref(), Some("10.25"), "the best is right all the same");
    assert!(!over.books["ZZZ"].stale);
    assert_eq!(over.books["ZZZ"].bid_price.as_deref(), Some("50"));
}
