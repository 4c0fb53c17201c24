//! `postern replay` on captures that are whole, packed, cut and damaged.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flate2::Compression;
use flate2::write::GzEncoder;
use postern::cmd::output::Output;
use postern::cmd::replay::{ReplayArgs, ReplayReport, replay, run};
use postern::feed::capture;
use postern::feed::moldudp64::{HEADER_BYTES, Header, Session};
use postern::net::capture::{Capture, CaptureErrorKind};
use postern::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX};
use postern::types::{Side, Symbol};

fn messages() -> Vec<Vec<u8>> {
    let stock = Symbol::new("AAA").expect("a symbol");
    let add = |reference, side, shares, price| ItchMessage::Add {
        locate: 1,
        reference,
        side,
        shares,
        stock,
        price,
    };
    [
        add(1, Side::Buy, 100, 999_900),
        add(2, Side::Buy, 50, 1_000_000),
        add(3, Side::Sell, 70, 1_000_100),
        ItchMessage::Executed { locate: 1, reference: 2, shares: 20, match_number: 9 },
        ItchMessage::Replace { locate: 1, old: 3, new: 4, shares: 80, price: 1_000_200 },
        ItchMessage::Delete { locate: 1, reference: 1 },
    ]
    .iter()
    .map(|message| {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(1, &mut bytes);
        bytes[..length].to_vec()
    })
    .collect()
}

fn block(message: &[u8]) -> Vec<u8> {
    let mut block = u16::try_from(message.len()).expect("short").to_be_bytes().to_vec();
    block.extend_from_slice(message);
    block
}

fn binary_file() -> Vec<u8> {
    messages().iter().flat_map(|message| block(message)).collect()
}

/// How a pcap file is written.
#[derive(Clone, Copy)]
struct Form {
    big_endian: bool,
    nanoseconds: bool,
    vlan: bool,
}

const PLAIN: Form = Form { big_endian: false, nanoseconds: true, vlan: false };

impl Form {
    fn u32(self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u16(self, value: u16) -> [u8; 2] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn header(self) -> Vec<u8> {
        let magic = if self.nanoseconds { 0xA1B2_3C4D } else { 0xA1B2_C3D4 };
        let mut bytes = self.u32(magic).to_vec();
        bytes.extend_from_slice(&self.u16(2));
        bytes.extend_from_slice(&self.u16(4));
        for word in [0, 0, 65_535, 1] {
            bytes.extend_from_slice(&self.u32(word));
        }
        bytes
    }

    fn record(self, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        if self.vlan {
            frame.extend_from_slice(&[0x81, 0, 0, 7]);
        }
        let udp = u16::try_from(payload.len() + 8).expect("short");
        frame.extend_from_slice(&[8, 0, 0x45, 0]);
        frame.extend_from_slice(&(udp + 20).to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0x40, 0, 16, 17, 0, 0, 10, 0, 0, 1, 239, 1, 1, 1]);
        frame.extend_from_slice(&[0x30, 0, 0x13, 0x88]);
        frame.extend_from_slice(&udp.to_be_bytes());
        frame.extend_from_slice(&[0, 0]);
        frame.extend_from_slice(payload);
        let length = u32::try_from(frame.len()).expect("short");
        let mut record = Vec::new();
        for word in [1_580_371_634, 500, length, length] {
            record.extend_from_slice(&self.u32(word));
        }
        record.extend_from_slice(&frame);
        record
    }

    fn pcap(self) -> Vec<u8> {
        let mut bytes = self.header();
        for (sequence, message) in (1..).zip(messages()) {
            let mut payload = [0; HEADER_BYTES];
            Header { session: Session(*b"SESSION001"), sequence, count: 1 }.write(&mut payload);
            bytes.extend_from_slice(&self.record(&[&payload[..], &block(&message)].concat()));
        }
        bytes
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("packs");
    encoder.finish().expect("packs")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("capture");
        fs::write(&path, bytes).expect("writes");
        path
    }
}

fn args(file: &Path, output: Output) -> ReplayArgs {
    ReplayArgs { output, orders_max: 1_000, symbols_max: 10, ..ReplayArgs::new(file) }
}

fn report(file: &Path) -> ReplayReport {
    let capture = capture::open(file).expect("a capture");
    assert!(capture.defect().is_none(), "{:?}", capture.defect());
    replay(capture, &args(file, Output::Json)).0
}

fn failed(status: ExitCode) -> bool {
    status != ExitCode::SUCCESS
}

#[test]
fn every_form_of_the_same_messages_gives_the_same_books() {
    let folder = Folder::new();
    let plain = report(&folder.file(&PLAIN.pcap()));
    assert_eq!((plain.packets, plain.messages, plain.gaps, plain.errors), (6, 6, 0, 0));
    let book = &plain.books["AAA"];
    assert_eq!((book.bid_price.as_deref(), book.bid_qty), (Some("100"), Some(30)));
    assert_eq!((book.ask_price.as_deref(), book.ask_qty), (Some("100.02"), Some(80)));
    assert_eq!(book.orders, 2);
    for bits in 0..8 {
        let form =
            Form { big_endian: bits & 1 != 0, nanoseconds: bits & 2 != 0, vlan: bits & 4 != 0 };
        for bytes in [form.pcap(), gzip(&form.pcap())] {
            let other = report(&folder.file(&bytes));
            assert_eq!((&other.digest, &other.books), (&plain.digest, &plain.books), "{bits}");
        }
    }
    for bytes in [binary_file(), gzip(&binary_file()), [binary_file(), vec![0, 0]].concat()] {
        let other = report(&folder.file(&bytes));
        assert_eq!((&other.digest, &other.books), (&plain.digest, &plain.books));
    }
}

#[test]
fn times_are_nanoseconds_in_either_precision() {
    for (nanoseconds, expected) in [(true, 500), (false, 500_000)] {
        let capture = Capture::from_pcap(Path::new("made"), Form { nanoseconds, ..PLAIN }.pcap());
        let capture = capture.expect("a capture");
        let (destination, ns, _) = capture.iter().next().expect("a datagram");
        assert_eq!(ns, 1_580_371_634_000_000_000 + expected);
        assert_eq!(destination, SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 5_000));
    }
}

#[test]
fn a_capture_cut_anywhere_is_told_and_its_whole_records_are_kept() {
    let whole = PLAIN.pcap();
    let record = PLAIN.header().len();
    let path = Path::new("cut");
    for cut in 0..whole.len() {
        let capture = Capture::from_pcap(path, whole[..cut].to_vec());
        if cut < record {
            assert!(capture.is_err(), "cut at {cut}");
            continue;
        }
        let capture = capture.expect("the header is whole");
        let defect = capture.defect().map(|defect| defect.to_string());
        let kept: usize = capture.iter().map(|(_, _, payload)| payload.len() + 42 + 16).sum();
        let is_between_records = kept + record == cut;
        assert_eq!(defect.is_none(), is_between_records, "cut at {cut}: {defect:?}");
        if let Some(defect) = defect {
            let expected = format!("cut: ends inside the record at byte {}", kept + record);
            assert_eq!(defect, expected);
        }
    }
    let binary = binary_file();
    for cut in 0..binary.len() {
        match capture::from_binary_file(path, &binary[..cut]) {
            Err(_) => assert!(cut < 38, "the first message is whole at {cut}"),
            Ok(capture) => {
                let kept: usize = capture.iter().map(|(_, _, payload)| payload.len() - 20).sum();
                assert_eq!(capture.defect().is_none(), kept == cut, "cut at {cut}");
            }
        }
    }
}

#[test]
fn packed_captures_cut_anywhere_never_panic_and_are_never_whole() {
    let folder = Folder::new();
    let packed = gzip(&PLAIN.pcap());
    for cut in 0..packed.len() {
        let file = folder.file(&packed[..cut]);
        match capture::open(&file) {
            Err(_) => {}
            Ok(capture) => assert!(capture.defect().is_some(), "cut at {cut}"),
        }
    }
}

#[test]
fn a_length_that_cannot_be_is_told_with_its_place() {
    let mut bytes = PLAIN.pcap();
    let second = PLAIN.header().len() + PLAIN.record(&[0; 20 + 38]).len();
    bytes[second + 11] = 0x7F;
    let capture = Capture::from_pcap(Path::new("bad"), bytes).expect("the first record is good");
    let defect = capture.defect().expect("a defect");
    assert!(matches!(defect.kind, CaptureErrorKind::BadRecord), "{defect}");
    assert_eq!(defect.to_string(), format!("bad: corrupt record at byte {second}"));
    assert_eq!(capture.len(), 1);

    let mut binary = binary_file();
    binary[38 + 1] = 35; // an add of 35 bytes
    let capture = capture::from_binary_file(Path::new("bad"), &binary).expect("the first is good");
    let defect = capture.defect().expect("a defect").to_string();
    assert_eq!(defect, "bad: corrupt record at byte 38");
}

#[test]
fn the_exit_status_tells_whether_all_of_the_file_was_read() {
    let folder = Folder::new();
    let whole = PLAIN.pcap();
    let status = |bytes: &[u8], output| run(&args(&folder.file(bytes), output));
    assert!(!failed(status(&whole, Output::Json)));
    assert!(!failed(status(&whole, Output::Text)));
    assert!(failed(status(&whole[..whole.len() - 1], Output::Json)), "cut");
    assert!(failed(status(&[], Output::Json)), "empty");
    assert!(failed(status(b"no capture at all", Output::Json)), "another format");
    assert!(failed(status(&PLAIN.header(), Output::Json)), "nothing in it");
    let mut foreign = PLAIN.header();
    foreign.extend_from_slice(&PLAIN.record(b"neither header nor messages"));
    assert!(failed(status(&foreign, Output::Json)), "another protocol");
    assert!(failed(run(&args(&folder.0.path().join("absent"), Output::Json))));
}

#[test]
fn a_capture_of_another_link_is_refused() {
    let mut bytes = PLAIN.pcap();
    bytes[20] = 105; // wireless
    let error = Capture::from_pcap(Path::new("air"), bytes).expect_err("not a link that is read");
    assert!(error.to_string().starts_with("air: capture of link type 105; read are"), "{error}");
}

#[test]
fn the_report_has_exactly_the_promised_keys() {
    let folder = Folder::new();
    let report = report(&folder.file(&PLAIN.pcap()));
    let json = serde_json::to_value(&report).expect("JSON");
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let mut expected = [
        "packets",
        "messages",
        "messages_by_type",
        "gaps",
        "late_sessions",
        "errors",
        "complete",
        "elapsed_ns",
        "frames_skipped",
        "symbols_absent",
        "stale_books",
        "symbols_without_book",
        "books",
        "digest",
    ];
    expected.sort_unstable();
    let mut found = keys(&json);
    found.sort_unstable();
    assert_eq!(found, expected);
    let mut found = keys(&json["books"]["AAA"]);
    found.sort_unstable();
    let expected =
        ["ask_price", "ask_qty", "bid_price", "bid_qty", "orders", "stale", "stale_reason"];
    assert_eq!(found, expected);
    assert_eq!(keys(&json["messages_by_type"]), ["A", "D", "E", "U"]);
    assert_eq!(json["books"]["AAA"]["bid_price"], "100");
}

#[test]
fn the_report_of_a_cut_capture_says_that_it_is_not_complete() {
    let folder = Folder::new();
    let complete = |bytes: &[u8]| {
        let file = folder.file(bytes);
        let capture = capture::open(&file).expect("a capture");
        let (report, _) = replay(capture, &args(&file, Output::Json));
        let json = serde_json::to_value(&report).expect("JSON");
        (json["complete"].clone(), report.messages)
    };
    let whole = PLAIN.pcap();
    assert_eq!(complete(&whole), (true.into(), 6));
    assert_eq!(complete(&whole[..whole.len() - 1]), (false.into(), 5));
    let binary = binary_file();
    assert_eq!(complete(&binary), (true.into(), 6));
    assert_eq!(complete(&binary[..binary.len() - 1]), (false.into(), 5));
}
