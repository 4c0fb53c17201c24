//! `postern replay` of recordings that lack something: it says what, tells the books after it, and fails. What is only out of
//! order lacks nothing.

#[path = "support/itch.rs"]
mod itch;
#[path = "support/random.rs"]
mod random;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;

use postern::cmd::replay::{ReplayArgs, ReplayReport, replay};
use postern::feed::iex::tp::{HEADER_BYTES, Header, ProtocolId, SessionNumber, StreamId};
use postern::net::capture::Capture;
use postern::types::UtcNanos;
use random::Random;
use serde_json::{Value, json};

const DAY: &[u8; 10] = b"SESSION001";
const OTHER: &[u8; 10] = b"SESSION002";

/// An IPv4 packet, with these flags and this offset of a fragment.
fn frame(fragment: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(payload.len() + 8).expect("short");
    let mut frame = vec![0x45, 0];
    frame.extend((udp + 20).to_be_bytes());
    frame.extend([0, 0, fragment[0], fragment[1], 16, 17, 0, 0, 10, 0, 0, 1, 239, 1, 1, 1]);
    frame.extend([0x30, 0, 0x13, 0x88]);
    frame.extend(udp.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// A pcap file of raw IP.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xA1B2_3C4D, 0x0004_0002, 0, 0, 65_535, 101_u32] {
        bytes.extend(word.to_le_bytes());
    }
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("short");
        for word in [1_580_371_634, 500, length, length] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    bytes
}

/// Message `number` of a day: an order of each of two securities in turn, at prices that differ.
fn message(number: u64) -> Vec<u8> {
    let (locate, symbol) = if number.is_multiple_of(2) { (1, "AAA") } else { (2, "BBB") };
    let price = u32::try_from(10_000 + number % 64).expect("low");
    itch::add(locate, symbol, number, b'B', 100, price * 100)
}

/// A datagram of so many messages of a session.
fn packet(session: &[u8; 10], first: u64, count: u64) -> Vec<u8> {
    let messages: Vec<Vec<u8>> = (first..first + count).map(message).collect();
    frame([0x40, 0], &itch::packet(session, first, &messages))
}

/// Single messages of the day with these numbers.
fn singles(numbers: &[u64]) -> Vec<Vec<u8>> {
    numbers.iter().map(|&number| packet(DAY, number, 1)).collect()
}

/// What the program makes of a file: its exit status, its report and what it says.
fn run(file: &[u8], more: &[&str]) -> (Option<i32>, Value, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("day.pcap");
    std::fs::write(&path, file).expect("writes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.arg("replay").arg(&path).args(["--output", "json"]).args(more);
    let ran = command.output().expect("runs");
    let said = String::from_utf8(ran.stderr).expect("text");
    (ran.status.code(), serde_json::from_slice(&ran.stdout).expect("JSON"), said)
}

fn stale_reasons(report: &Value) -> Vec<&Value> {
    let books = report["books"].as_object().expect("an object").values();
    books
        .map(|book| if book["stale"] == true { &book["stale_reason"] } else { &Value::Null })
        .collect()
}

#[test]
fn whole_recordings_are_in_no_need_of_a_word() {
    let (status, report, said) = run(&pcap(&singles(&[1, 2, 3, 4])), &[]);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    assert_eq!(stale_reasons(&report), [&Value::Null, &Value::Null]);
    assert_eq!((&report["late_sessions"], &report["frames_skipped"]), (&json!(0), &json!({})));
}

#[test]
fn after_a_gap_every_book_is_stale_and_the_status_tells() {
    for (numbers, lost, gaps) in [
        (vec![1, 2, 4, 5, 6], 1, 1),
        (vec![1, 2, 4, 6, 7], 2, 2),
        (vec![3, 4, 5], 2, 1),
        (vec![1, 2, 3, 5], 1, 1), // it ends behind the hole
        (vec![1, 2, 1_u64 << 50], (1_u64 << 50) - 3, 1),
        (vec![1, 2, 1 << 50, 3, 4], (1_u64 << 50) - 3, 1),
    ] {
        let (status, report, said) = run(&pcap(&singles(&numbers)), &[]);
        assert_eq!(status, Some(1), "{numbers:?}: {said}");
        let expected = format!(
            "day.pcap: {lost} messages were lost in {gaps} gaps: books after them may differ from the exchange's"
        );
        assert_eq!(said.matches(&expected).count(), 1, "{numbers:?}: {said}");
        assert!(stale_reasons(&report).iter().all(|&reason| reason == "gap"), "{report}");
        assert_eq!((&report["gaps"], &report["stale_books"]), (&json!(gaps), &json!(2)));
    }
}

#[test]
fn what_made_a_book_stale_of_its_own_stays_its_reason() {
    let mut frames = singles(&[1, 2, 4]);
    let deleted = [itch::deleted(1, 3_000)];
    frames.push(frame([0x40, 0], &itch::packet(DAY, 5, &deleted)));
    let (status, report, said) = run(&pcap(&frames), &[]);
    assert_eq!(status, Some(1));
    let reason = |symbol: &str| report["books"][symbol]["stale_reason"].clone();
    assert_eq!((reason("AAA"), reason("BBB")), (json!("unknown_order"), json!("gap")));
    assert!(
        said.contains("1 messages did not fit") && said.contains("messages before them were lost"),
        "{said}"
    );
    assert!(!said.contains("room") && !said.contains("before the recording"), "{said}");
}

#[test]
fn packets_out_of_order_on_one_line_are_no_gap() {
    let (_, whole, _) = run(&pcap(&singles(&[1, 2, 3, 4, 5, 6])), &[]);
    for numbers in [[1, 3, 2, 4, 5, 6], [2, 1, 4, 3, 6, 5], [6, 5, 4, 3, 2, 1]] {
        let (status, report, said) = run(&pcap(&singles(&numbers)), &[]);
        assert_eq!((status, said.as_str()), (Some(0), ""), "{numbers:?}");
        assert_eq!((&report["gaps"], &report["messages"]), (&json!(0), &json!(6)));
        assert_eq!((&report["digest"], &report["books"]), (&whole["digest"], &whole["books"]));
    }
}

#[test]
fn neither_pace_nor_measuring_changes_what_waiting_comes_to() {
    // Packets of up to 20 messages, up to 80 places late, some lost: what is kept is often full.
    let mut random = Random::new(11);
    let (mut places, mut first) = (Vec::new(), 1);
    for place in 0..1_500 {
        let count = 1 + random.below(20);
        if !random.one_in(200) {
            let late = if random.one_in(10) { random.below(80) } else { 0 };
            places.push((place + late, place, packet(DAY, first, count)));
        }
        first += count;
    }
    places.sort();
    let frames: Vec<Vec<u8>> = places.into_iter().map(|(_, _, frame)| frame).collect();
    let bytes = pcap(&frames);
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("day.hlog");
    let report = |more: &[&str]| {
        let (status, mut report, _) = run(&bytes, more);
        assert_eq!(status, Some(1));
        report["elapsed_ns"] = json!(0);
        report
    };
    let plain = report(&[]);
    assert!(
        plain["gaps"].as_u64().is_some_and(|gaps| (1..100).contains(&gaps)),
        "{}",
        plain["gaps"]
    );
    assert_eq!(report(&["--speed", "recorded"]), plain);
    assert_eq!(report(&["--hlog", log.to_str().expect("text")]), plain);
}

#[test]
fn datagrams_of_a_session_that_another_followed_are_counted() {
    let mut frames = singles(&[1, 2]);
    frames.push(packet(OTHER, 1, 1));
    frames.extend(singles(&[3, 4, 5]));
    let (status, report, said) = run(&pcap(&frames), &[]);
    assert_eq!(status, Some(1));
    assert_eq!((&report["late_sessions"], &report["messages"]), (&json!(3), &json!(3)));
    assert!(
        said.contains("3 datagrams were left out: they are of a session that another"),
        "{said}"
    );
    // A session after another is a matter of course.
    frames.truncate(3);
    let (status, report, said) = run(&pcap(&frames), &[]);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    assert_eq!(report["late_sessions"], 0);
}

#[test]
fn frames_without_a_datagram_are_told_and_fragments_are_a_fault() {
    let mut frames = singles(&[1, 2]);
    frames.push(vec![0x60; 60]);
    let mut tcp = packet(DAY, 3, 1);
    tcp[9] = 6;
    frames.push(tcp);
    let (status, report, said) = run(&pcap(&frames), &[]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(report["frames_skipped"], json!({ "not_ipv4": 1, "not_udp": 1 }));
    assert!(said.contains("1 frames that are not IPv4 were left out"), "{said}");
    frames.push(frame([0x20, 0], b"the beginning of one"));
    frames.push(frame([0, 3], b"its end"));
    frames.push(packet(DAY, 3, 1)[..40].to_vec());
    let (status, report, said) = run(&pcap(&frames), &[]);
    assert_eq!(status, Some(1));
    assert_eq!(
        (&report["frames_skipped"]["fragments"], &report["frames_skipped"]["cut"]),
        (&json!(2), &json!(1))
    );
    assert!(said.contains("2 IP fragments") && said.contains("1 frames that are cut"), "{said}");
    // Onto the wire it is the same.
    let (status, report, said) = run(&pcap(&frames), &["--to", "udp://127.0.0.1:9"]);
    assert_eq!((status, &report["frames_skipped"]["fragments"]), (Some(1), &json!(2)));
    assert!(said.contains("2 IP fragments"), "{said}");
}

#[test]
fn only_what_is_refused_is_named() {
    let mut frames = singles(&[1, 2]);
    frames.push(frame([0x40, 0], b"neither header nor messages"));
    let (_, _, said) = run(&pcap(&frames), &[]);
    assert!(said.contains("1 datagrams are not MoldUDP64\n"), "{said}");
    frames.pop();
    frames.push(frame([0x40, 0], &itch::packet(DAY, 3, &[b"A?".to_vec()])));
    let (status, report, said) = run(&pcap(&frames), &[]);
    assert!(
        said.contains("1 messages are not ITCH 5.0\n") && !said.contains("MoldUDP64"),
        "{said}"
    );
    assert_eq!((status, stale_reasons(&report)), (Some(1), vec![&json!("bad_message"); 2]));
}

/// Segments of DEEP with these numbers, a price level each.
fn deep(numbers: &[u64]) -> ReplayReport {
    let group = SocketAddrV4::new(Ipv4Addr::new(233, 215, 21, 4), 10_378);
    let mut capture = Capture::empty(Path::new("made"));
    for &sequence in numbers {
        let mut body = 30_u16.to_le_bytes().to_vec();
        body.extend([b'8', 1]);
        body.extend(1_i64.to_le_bytes());
        body.extend(b"AAA     ");
        body.extend(100_u32.to_le_bytes());
        body.extend((i64::try_from(sequence).expect("low") * 100).to_le_bytes());
        let header = Header {
            protocol: ProtocolId::DEEP_1_0,
            stream: StreamId(1),
            session: SessionNumber(1),
            count: 1,
            offset: (sequence - 1) * 32,
            sequence,
            sent: UtcNanos(0),
        };
        let mut head = [0; HEADER_BYTES];
        header.write(32, &mut head);
        assert!(capture.push(group, 0, &head, &body));
    }
    replay(capture, &ReplayArgs::new(Path::new("made"))).0
}

#[test]
fn of_iex_it_is_the_same() {
    let (whole, swapped) = (deep(&[1, 2, 3, 4]), deep(&[1, 3, 2, 4]));
    assert_eq!((swapped.gaps, swapped.messages, swapped.errors), (0, 4, 0));
    assert_eq!((&swapped.digest, &swapped.books), (&whole.digest, &whole.books));
    assert_eq!(whole.books["AAA"].stale_reason, None);
    for numbers in [&[1, 2, 4, 5][..], &[1, 2, 3, 5], &[2, 3]] {
        let lacking = deep(numbers);
        let book = &lacking.books["AAA"];
        assert_eq!((lacking.gaps, book.stale, book.stale_reason), (1, true, Some("gap")));
    }
}
