//! What every fuzz target asserts, on a small corpus of good inputs and seeded damage to it. The fuzzer searches further and
//! knows which branches it has seen; this holds every target to what it says in each run of the tests.

#![allow(clippy::print_stdout, reason = "tests say how much they took")]

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[path = "support/captures.rs"]
mod captures;
#[path = "support/random.rs"]
mod random;
#[allow(dead_code, reason = "each test uses its part of it")]
mod sbe_support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use captures::{Order, block, interface, pcap_header, pcap_record, section};
use postern::codec::journal::Journal;
use postern::codec::market_data::MarketData;
use postern::codec::order_entry::OrderEntry;
use postern::feed::iex::tp::{Header, ProtocolId, SessionNumber, StreamId};
use postern::feed::iex::{deep, tops};
use postern::feed::soupbintcp::Login;
use postern::net::capture::Capture;
use postern::net::xdp;
use postern::sim::day::{BUFFER_BYTES, Day, DayConfig};
use postern::sim::day_file::PcapFile;
use postern::types::UtcNanos;
use random::Random;
use sbe_support::Schema;

const MESSAGES: u64 = 400;
const MIDNIGHT: UtcNanos = UtcNanos(1_580_342_400_000_000_000);

/// Inputs of a target in a run of the tests, and in a long one.
fn rounds() -> usize {
    if std::env::var_os("POSTERN_LONG").is_some() { 1_000_000 } else { 30_000 }
}

/// Gives the target every input of `corpus` as it is, and then damaged, spliced and made up.
fn take(name: &str, corpus: &[Vec<u8>], target: fn(&[u8])) {
    assert!(!corpus.is_empty());
    corpus.iter().for_each(|input| target(input));
    target(&[]);
    let seed = name.bytes().fold(1_u64, |seed, byte| seed.wrapping_mul(31) ^ u64::from(byte));
    let mut random = Random::new(seed);
    for _ in 0..rounds() {
        let mut input = match random.index(8) {
            0 => {
                let length = random.index(300);
                random.bytes(length)
            }
            1 | 2 => splice(corpus, &mut random),
            _ => corpus[random.index(corpus.len())].clone(),
        };
        for _ in 0..random.index(4) {
            random.damage(&mut input);
        }
        target(&input);
    }
    println!("{name}: {} inputs from {}", rounds(), corpus.len());
}

/// The beginning of one input and the end of another.
fn splice(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut part = || {
        let whole = &corpus[random.index(corpus.len())];
        (whole, random.index(whole.len() + 1))
    };
    let ((head, to), (tail, from)) = (part(), part());
    [&head[..to], &tail[from..]].concat()
}

/// ITCH messages of all types.
fn itch() -> Vec<Vec<u8>> {
    let config = DayConfig { messages: MESSAGES, symbols: 4, orders: 60, seed: 9 };
    let mut day = Day::new(config).expect("enough messages");
    let mut buffer = [0; BUFFER_BYTES];
    let mut all = Vec::new();
    while let Some(length) = day.next_message(&mut buffer) {
        all.push(buffer[..length].to_vec());
    }
    all
}

/// The same messages in packets, in a pcap file.
fn pcap() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = PcapFile::new(&mut bytes, MIDNIGHT, *b"FUZZ000001").expect("memory");
    for (at, message) in (1..).zip(&itch()) {
        file.push(message, at * 7_000).expect("memory");
    }
    file.finish().expect("memory");
    bytes
}

fn mold() -> Vec<Vec<u8>> {
    let capture = Capture::from_pcap(Path::new("made"), pcap()).expect("a capture");
    capture.iter().map(|(_, _, payload)| payload.to_vec()).collect()
}

fn length(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).expect("short")
}

/// Each behind its length, big-endian, so many to an input.
fn framed(parts: &[Vec<u8>], count: usize) -> Vec<Vec<u8>> {
    let frame = |part: &Vec<u8>| [&length(part).to_be_bytes(), &part[..]].concat();
    parts.chunks(count).map(|chunk| chunk.iter().flat_map(frame).collect()).collect()
}

/// Messages of every type that is given with its length, with plausible symbols, sides and sizes.
fn iex(types: impl Iterator<Item = (u8, u8)>, random: &mut Random) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (letter, bytes) in types {
        for _ in 0..24 {
            let mut message = vec![0; usize::from(bytes)];
            (message[0], message[1]) = (letter, b" 1ABO"[random.index(5)]);
            if let Some(symbol) = message.get_mut(10..18) {
                symbol.copy_from_slice([b"AAA     ", b"BBB     "][random.index(2)]);
            }
            // Small numbers, so that levels meet.
            for (at, byte) in message.iter_mut().enumerate().skip(18) {
                *byte = if at % 4 == 2 { random.byte() % 4 } else { 0 };
            }
            all.push(message);
        }
    }
    all
}

/// Segments of a few messages each, in the order of their numbers.
fn segments(protocol: ProtocolId, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (mut sequence, mut offset) = (1, 0);
    let segment = |chunk: &[Vec<u8>]| {
        let frame = |part: &Vec<u8>| [&length(part).to_le_bytes(), &part[..]].concat();
        let payload: Vec<u8> = chunk.iter().flat_map(frame).collect();
        let count = u16::try_from(chunk.len()).expect("few");
        let header = Header {
            protocol,
            stream: StreamId(1),
            session: SessionNumber(1_150_681_088),
            count,
            offset,
            sequence,
            sent: MIDNIGHT,
        };
        sequence += u64::from(count);
        offset += u64::from(length(&payload));
        let mut head = [0; 40];
        header.write(length(&payload), &mut head);
        [&head[..], &payload].concat()
    };
    messages.chunks(5).map(segment).collect()
}

/// Each behind its length, little-endian, so many to an input.
fn framed_le(parts: &[Vec<u8>], count: usize) -> Vec<Vec<u8>> {
    let frame = |part: &Vec<u8>| [&length(part).to_le_bytes(), &part[..]].concat();
    parts.chunks(count).map(|chunk| chunk.iter().flat_map(frame).collect()).collect()
}

fn sbe<S: Schema>() -> Vec<Vec<u8>> {
    let mut random = Random::new(3);
    let mut all = Vec::new();
    for &(template, _) in S::TEMPLATES {
        for _ in 0..4 {
            all.push(S::drawn(template, &mut || random.next()).to_bytes());
        }
    }
    all
}

fn soup_packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&(length(payload) + 1).to_be_bytes()[..], &[kind], payload].concat()
}

/// What a snapshot server sends: a login that is accepted, messages, the end of the snapshot.
fn snapshot() -> Vec<u8> {
    let number = |value: u64| format!("{value:>20}");
    let mut stream = soup_packet(b'A', format!("FUZZ000001{}", number(1)).as_bytes());
    for message in itch().iter().take(60) {
        stream.extend(soup_packet(b'S', message));
    }
    stream.extend(soup_packet(b'+', b"a remark"));
    stream.extend(soup_packet(b'H', b""));
    stream.extend(soup_packet(b'S', format!("G{}", number(61)).as_bytes()));
    stream.extend(soup_packet(b'Z', b""));
    stream
}

/// Frames as a sender past the kernel makes them, each once with a whole checksum and once with none.
fn xdp_frames() -> Vec<Vec<u8>> {
    let path = xdp::frame::Path {
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: [2, 0, 0, 0, 0, 2],
        source: "10.0.0.1:40000".parse().expect("an address"),
        destination: "10.0.0.2:26400".parse().expect("an address"),
        ttl: 1,
        tos: 0,
    };
    let mut frames = Vec::new();
    for payload in mold().iter().take(40) {
        let mut frame = vec![0; payload.len() + xdp::frame::HEADERS_BYTES];
        xdp::frame::write_udp(&mut frame, &path, payload);
        frames.push(frame.clone());
        frame[40..42].fill(0);
        frames.push(frame);
    }
    frames
}

#[test]
fn itch_and_moldudp64() {
    let (messages, packets) = (itch(), mold());
    take("itch50", &messages, targets::itch50::take);
    take("moldudp64", &packets, targets::moldudp64::take);
    take("book", &framed(&messages, 50), targets::book::take);
    take("channel", &framed(&packets, 30), targets::channel::take);
}

#[test]
fn captures_and_frames() {
    let order = Order { big: false };
    let payloads = mold();
    let to = "239.1.1.1:26400".parse().expect("an address");
    let mut blocks = Vec::new();
    let mut frames = Vec::new();
    let mut files = vec![pcap()];
    for payload in payloads.iter().take(40) {
        let packet = captures::ip_packet(to, &[], payload);
        for (link, tags) in [(1, 0), (1, 1), (1, 2), (101, 0), (113, 0), (276, 0)] {
            let frame = [captures::link_head(link, tags), packet.clone()].concat();
            let file = [pcap_header(order, true, link), pcap_record(order, 1, 2, &frame)].concat();
            files.push(file);
            if link == 1 {
                blocks.push(captures::simple_block(order, &frame, frame.len()));
            }
            frames.push(frame);
        }
    }
    files.extend(framed(&itch(), 40));
    let whole = [section(order), interface(order, 1, 0, &[]), blocks.concat()].concat();
    let odd = [section(Order { big: true }), block(order, 10, b"unknown")].concat();
    blocks.extend([whole, odd]);
    take("frame", &frames, targets::frame::take);
    take("xdp_frame", &xdp_frames(), targets::xdp_frame::take);
    take("xdp_source", &framed(&xdp_frames(), 8), targets::xdp_source::take);
    take("capture", &files, targets::capture::take);
    take("capture_pcapng", &blocks, targets::capture_pcapng::take);
}

#[test]
fn iex_of_both_feeds() {
    let mut random = Random::new(4);
    let (deep, tops) = (iex(deep::types(), &mut random), iex(tops::types(), &mut random));
    take("iex_deep", &deep, targets::iex_deep::take);
    take("iex_tops", &tops, targets::iex_tops::take);
    let mut of_deep = segments(ProtocolId::DEEP_1_0, &deep);
    let of_tops = segments(ProtocolId::TOPS_1_6, &tops);
    // Of two lines, which the reserved byte tells apart, each with some segments that the other has not, and out of order.
    let line_b = |segment: &Vec<u8>| [&segment[..1], &[1], &segment[2..]].concat();
    let mut lines: Vec<Vec<u8>> = of_deep.iter().step_by(2).cloned().collect();
    lines.extend(of_deep.iter().rev().map(line_b));
    lines.sort_by_key(|segment| segment[24] / 16);
    let channels = [framed_le(&of_deep, 20), framed_le(&of_tops, 20), framed_le(&lines, 20)];
    let channels = channels.concat();
    take("iex_channel", &channels, targets::iex_channel::take);
    of_deep.extend(of_tops);
    take("iex_tp", &of_deep, targets::iex_tp::take);
}

#[test]
fn recovery_and_snapshots() {
    let stream = snapshot();
    let login = Login { user: *b"reader", password: [b' '; 10], session: [b' '; 10], sequence: 1 };
    let requests = [
        [&b"FUZZ000001"[..], &7_u64.to_be_bytes(), &9_u16.to_be_bytes()].concat(),
        [&login.encode()[..], b"\x00\x01R", b"\x00\x01O"].concat(),
    ];
    take("recovery", &requests, targets::recovery::take);
    take("soupbintcp", &[[&[13], &stream[..]].concat()], targets::soupbintcp::take);
    take("glimpse", &[stream], targets::glimpse::take);
}

#[test]
fn sbe_of_every_schema() {
    take("sbe_order_entry", &sbe::<OrderEntry>(), targets::sbe_order_entry::take);
    take("sbe_market_data", &sbe::<MarketData>(), targets::sbe_market_data::take);
    take("sbe_journal", &sbe::<Journal>(), targets::sbe_journal::take);
    // Chunks of one length, each with a message behind a byte that says how it comes.
    let streams = |length: usize| -> Vec<Vec<u8>> {
        let chunk = |message: &Vec<u8>| {
            let mut chunk = vec![0; length];
            chunk[1..=message.len()].copy_from_slice(message);
            chunk
        };
        sbe::<MarketData>().chunks(6).map(|some| some.iter().flat_map(chunk).collect()).collect()
    };
    take("client_mirror", &streams(80), targets::client_mirror::take);
    take("sbe_channel", &streams(81), targets::sbe_channel::take);
}

#[test]
fn every_target_is_run_here_and_by_the_fuzzer() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"));
    let names = |of: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(folder.join(of)).expect("there").map(|e| e.expect("readable"));
        let stems = entries.filter_map(|e| Some(e.path().file_stem()?.to_str()?.to_owned()));
        stems.filter(|stem| stem != "lib").collect()
    };
    let bodies = names("src");
    assert_eq!(names("fuzz_targets"), bodies);
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("there");
    let here = include_str!("fuzz_targets.rs");
    for name in bodies {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        assert!(here.contains(&format!("targets::{name}::take")), "{name} is not run here");
    }
}
