//! Capture files of every format, whole and damaged, against a naive second reader; what they may cost in memory; and
//! real ones.
#![allow(unsafe_code, reason = "an allocator that counts bytes is an unsafe trait")]

#[path = "support/captures.rs"]
mod captures;
#[path = "support/random.rs"]
mod random;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use captures::{
    Fault, Found, Order, block, interface, ip_packet, link_head, option, packet_block, pcap_header,
    pcap_record, section, simple_block, word,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use postern::feed::capture;
use postern::net::capture::{Capture, CaptureError, CaptureErrorKind, FLOWS_MAX, Skipped};
use postern::net::{FrameError, Link, parse_link_udp};
use random::Random;

const LITTLE: Order = Order { big: false };
const BIG: Order = Order { big: true };
const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 5_000);
const LINKS: [u32; 8] = [0, 1, 12, 101, 108, 113, 228, 276];

/// The system's allocator, which knows what this thread holds and held at most.
struct Measured;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn grow(bytes: usize) {
    let held = HELD.get().wrapping_add(bytes);
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: every call is passed to `System` unchanged; the counts beside it neither allocate nor unwind.
unsafe impl GlobalAlloc for Measured {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is `System`'s, and all memory comes from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Measured = Measured;

/// The most bytes held at once while `work` ran, beyond those held before.
fn most_held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let done = work();
    (done, MOST.get() - before)
}

fn path() -> &'static Path {
    Path::new("made")
}

fn skipped(of: &Skipped) -> [u64; 6] {
    [of.cut, of.not_ipv4, of.not_udp, of.fragments, of.lengths, of.links]
}

/// The same as the naive reader says of a file; `None`: refused altogether.
fn found(bytes: &[u8]) -> Option<Found> {
    let capture = Capture::from_packets(path(), bytes.to_vec()).ok()?;
    let fault = capture.defect().map(|defect| {
        let fault = match defect.kind {
            CaptureErrorKind::CutRecord => Fault::Cut,
            CaptureErrorKind::BadRecord => Fault::Bad,
            CaptureErrorKind::Read(_)
            | CaptureErrorKind::Unpack(_)
            | CaptureErrorKind::TooLarge
            | CaptureErrorKind::UnknownFormat
            | CaptureErrorKind::LinkType(_) => panic!("{defect}"),
        };
        let text = defect.to_string();
        assert!(text.contains(&format!("at byte {}", defect.offset)), "{text}");
        (usize::try_from(defect.offset).expect("short"), fault)
    });
    let datagrams = capture.iter().map(|(to, ns, payload)| (to, ns, payload.to_vec())).collect();
    Some(Found { datagrams, skipped: skipped(&capture.skipped()), fault })
}

/// A frame of that link: mostly a datagram, sometimes with something wrong. `true`: it is one.
fn frame(random: &mut Random, link: u32) -> (Vec<u8>, bool) {
    let to = SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, random.byte() % 4), 5_000);
    let (options, payload) = (random.index(11) * 4, random.index(60));
    let (options, payload) = (random.bytes(options), random.bytes(payload));
    let mut packet = ip_packet(to, &options, &payload);
    let wrong = random.index(20);
    match wrong {
        0 => packet[9] = 6,
        1 => packet[6] = 0x20,
        2 => packet[7] = 9,
        3 => packet[0] = 0x60 | (packet[0] & 15),
        4 => packet[0] = 0x40 | (random.byte() % 16),
        5 => packet[3] = random.byte(),
        6 => packet[25 + options.len()] = random.byte(),
        _ => {}
    }
    let tags = random.index(4);
    let mut frame = [link_head(link, tags), packet].concat();
    if random.one_in(4) {
        let count = random.index(20);
        frame.extend_from_slice(&random.bytes(count));
    }
    let is_tagged = matches!(link, 1 | 113 | 276) && tags > 2;
    if random.one_in(20) {
        let kept = random.index(frame.len());
        frame.truncate(kept);
        return (frame, false);
    }
    (frame, !is_tagged && wrong > 6)
}

/// A pcap file, and how many datagrams are certainly in it.
fn pcap(random: &mut Random) -> (Vec<u8>, usize) {
    let order = Order { big: random.one_in(2) };
    let nanoseconds = random.one_in(2);
    let link = LINKS[random.index(LINKS.len())];
    let mut bytes = pcap_header(order, nanoseconds, link);
    if random.one_in(4) {
        // A checksum of four bytes behind each frame, as the header can tell.
        let high = if order.big { 20 } else { 23 };
        bytes[high] = 0x24;
    }
    let mut sure = 0;
    for _ in 0..random.index(12) {
        let (frame, is_datagram) = frame(random, link);
        sure += usize::from(is_datagram);
        let part = random.small(if nanoseconds { 1_000_000_000 } else { 1_000_000 });
        bytes.extend_from_slice(&pcap_record(order, random.small(u32::MAX), part, &frame));
    }
    (bytes, sure)
}

/// The options of an interface: often with its resolution and offset, and others around them.
fn options(random: &mut Random, order: Order) -> Vec<u8> {
    let mut options = Vec::new();
    if random.one_in(3) {
        options.extend_from_slice(&option(order, 2, b"eth0"));
    }
    if random.one_in(2) {
        let resolution = match random.index(4) {
            0 => 9,
            1 => 0x80 | (random.byte() % 128),
            2 => random.byte() % 40,
            _ => random.byte(),
        };
        options.extend_from_slice(&option(order, 9, &[resolution]));
    }
    if random.one_in(3) {
        let offset = match random.index(3) {
            0 => u64::from(random.small(1_000_000)),
            1 => u64::from(random.small(1_000_000)).wrapping_neg(),
            _ => random.next(),
        };
        options.extend_from_slice(&option(order, 14, &order.u64(offset)));
    }
    if random.one_in(2) {
        options.extend_from_slice(&option(order, 0, &[]));
        if random.one_in(2) {
            let count = random.index(4) * 4;
            options.extend_from_slice(&random.bytes(count));
        }
    }
    options
}

/// A pcapng file, and how many datagrams are certainly in it.
fn pcapng(random: &mut Random) -> (Vec<u8>, usize) {
    let (mut bytes, mut sure) = (Vec::new(), 0);
    for _ in 0..=random.index(3) {
        let order = Order { big: random.one_in(2) };
        bytes.extend_from_slice(&section(order));
        let mut links = Vec::new();
        for _ in 0..random.index(12) {
            let kind = if links.is_empty() { 0 } else { random.index(8) };
            match kind {
                0 => {
                    let all = [0, 1, 1, 1, 12, 101, 105, 108, 113, 228, 276];
                    let link = all[random.index(all.len())];
                    links.push(link);
                    let options = options(random, order);
                    let number = u16::try_from(link).expect("small");
                    bytes.extend_from_slice(&interface(order, number, 0, &options));
                }
                1 => {
                    let (kind, count) = (100 + random.small(1 << 31), random.index(40));
                    bytes.extend_from_slice(&block(order, kind, &random.bytes(count)));
                }
                2 => {
                    let (frame, is_datagram) = frame(random, links[0]);
                    sure += usize::from(is_datagram && links[0] != 105);
                    bytes.extend_from_slice(&simple_block(order, &frame, frame.len()));
                }
                _ => {
                    let number = random.index(links.len());
                    let (frame, is_datagram) = frame(random, links[number]);
                    sure += usize::from(is_datagram && links[number] != 105);
                    let units = random.next() >> random.index(30);
                    let older = random.one_in(4);
                    let packet = packet_block(order, older, word(number), units, &frame);
                    bytes.extend_from_slice(&packet);
                }
            }
        }
    }
    (bytes, sure)
}

fn made(random: &mut Random) -> (Vec<u8>, usize) {
    if random.one_in(3) { pcap(random) } else { pcapng(random) }
}

#[test]
fn files_of_every_form_hold_what_a_naive_reader_finds() {
    let mut random = Random::new(51);
    let (mut datagrams, mut others) = (0, 0);
    for round in 0..4_000 {
        let (bytes, sure) = made(&mut random);
        let expected = captures::read(&bytes).expect("a capture");
        assert_eq!(expected.fault, None, "round {round}");
        assert!(expected.datagrams.len() >= sure, "round {round}: {sure} are certain");
        assert_eq!(found(&bytes).as_ref(), Some(&expected), "round {round}");
        datagrams += expected.datagrams.len();
        others += expected.skipped.iter().sum::<u64>();
    }
    assert!(datagrams > 8_000 && others > 2_000, "{datagrams} and {others}");
}

#[test]
fn damaged_files_end_where_a_naive_reader_ends() {
    let mut random = Random::new(52);
    let (mut faults, mut refused) = (0, 0);
    for round in 0..20_000 {
        let (mut bytes, _) = made(&mut random);
        random.damage(&mut bytes);
        let expected = captures::read(&bytes);
        assert_eq!(found(&bytes), expected, "round {round}");
        refused += usize::from(expected.is_none());
        faults += usize::from(expected.is_some_and(|expected| expected.fault.is_some()));
    }
    assert!(faults > 3_000 && refused > 300, "{faults} and {refused}");
}

#[test]
fn frames_of_any_bytes_are_what_a_naive_reader_says() {
    let mut random = Random::new(53);
    let mut good = 0;
    for round in 0..60_000 {
        let number = LINKS[random.index(LINKS.len())];
        let link = Link::from_number(number).expect("one of those that are read");
        let (mut bytes, _) = frame(&mut random, number);
        match random.index(3) {
            0 => random.damage(&mut bytes),
            1 if round % 8 == 0 => {
                let count = random.index(80);
                bytes = random.bytes(count);
            }
            _ => {}
        }
        let got = parse_link_udp(link, &bytes).map(|udp| (udp.destination, udp.payload));
        let expected = captures::datagram(number, &bytes);
        good += usize::from(expected.is_ok());
        let got = got.map_err(|error| match error {
            FrameError::Cut => 0,
            FrameError::NotIpv4 => 1,
            FrameError::NotUdp => 2,
            FrameError::Fragment => 3,
            FrameError::BadLength => 4,
        });
        assert_eq!(got, expected, "round {round}: link {number}, {bytes:?}");
    }
    assert!(good > 20_000, "{good}");
}

#[test]
fn random_bytes_behind_a_good_beginning_say_where_they_went_wrong() {
    let mut random = Random::new(54);
    for round in 0..20_000 {
        let order = Order { big: random.one_in(2) };
        let mut bytes = match round % 3 {
            0 => pcap_header(order, true, 1),
            1 => section(order),
            _ => [section(order), interface(order, 1, 0, &[])].concat(),
        };
        let count = random.index(300);
        bytes.extend_from_slice(&random.bytes(count));
        let expected = captures::read(&bytes);
        assert_eq!(found(&bytes), expected, "round {round}");
        let fault = expected.and_then(|expected| expected.fault);
        assert!(count == 0 || fault.is_some(), "round {round}: {count} random bytes passed");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("packs");
    encoder.finish().expect("packs")
}

#[test]
fn packed_files_are_the_same_and_damage_to_them_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("capture");
    let open = |bytes: &[u8]| -> Result<Capture, CaptureError> {
        fs::write(&file, bytes).expect("writes");
        capture::open(&file)
    };
    let mut random = Random::new(55);
    let mut told = 0;
    for round in 0..300 {
        let (bytes, _) = made(&mut random);
        let plain = found(&bytes).expect("a capture");
        // Two members, one behind the other, are one file (RFC 1952, 2.2).
        let half = random.index(bytes.len());
        let mut packed = [gzip(&bytes[..half]), gzip(&bytes[half..])].concat();
        let whole = open(&packed).and_then(Capture::whole).expect("whole");
        assert_eq!(whole.len(), plain.datagrams.len(), "round {round}");
        assert!(whole.iter().map(|(to, ns, p)| (to, ns, p.to_vec())).eq(plain.datagrams.clone()));
        random.damage(&mut packed);
        match open(&packed) {
            Err(_) => told += 1,
            Ok(capture) if capture.defect().is_some() => {
                let text = capture.defect().expect("a defect").to_string();
                assert!(text.contains("byte "), "{text}");
                assert!(capture.len() <= plain.datagrams.len());
                told += 1;
            }
            // Damage to the time or the name in gzip's own header changes nothing.
            Ok(capture) => assert_eq!(capture.len(), plain.datagrams.len(), "round {round}"),
        }
    }
    assert!(told > 200, "{told}");
}

#[test]
fn no_file_takes_more_memory_than_in_proportion_to_its_size() {
    let frame = [link_head(1, 0), ip_packet(TO, &[], &[])].concat();
    let shortest = pcap_record(LITTLE, 1, 1, &frame);
    let blocks = [
        // What there is most of for its size: the shortest datagrams, interfaces without options, empty blocks.
        (pcap_header(LITTLE, true, 1), shortest),
        (
            [section(LITTLE), interface(LITTLE, 1, 0, &[])].concat(),
            simple_block(LITTLE, &frame, 42),
        ),
        (section(BIG), interface(BIG, 1, 0, &[])),
        (section(LITTLE), section(LITTLE)),
        (section(LITTLE), block(LITTLE, 5, &[])),
        (section(LITTLE), interface(LITTLE, 1, 0, &option(LITTLE, 2, &[0; 40]).repeat(50))),
    ];
    for (head, part) in blocks {
        let bytes = [head, part.repeat(20_000)].concat();
        let size = bytes.len();
        let (capture, most) = most_held(|| Capture::from_packets(path(), bytes));
        let capture = capture.expect("a capture").whole().expect("whole");
        assert!(most <= 8 * size + 4_096, "{most} bytes for a file of {size}");
        drop(capture);
    }
    // Lengths that promise more than there is must not be believed.
    let mut random = Random::new(56);
    for _ in 0..2_000 {
        let (mut bytes, _) = made(&mut random);
        random.damage(&mut bytes);
        let size = bytes.len();
        let (_, most) = most_held(|| drop(Capture::from_packets(path(), bytes)));
        assert!(most <= 8 * size + 64 * 1_024, "{most} bytes for a file of {size}");
    }
}

#[test]
fn a_pcapng_file_cut_anywhere_keeps_its_whole_blocks() {
    let frame = [link_head(1, 1), ip_packet(TO, &[], b"payload")].concat();
    let parts = [
        section(BIG),
        interface(BIG, 1, 0, &option(BIG, 9, &[9])),
        packet_block(BIG, false, 0, 7, &frame),
        section(LITTLE),
        interface(LITTLE, 1, 0, &[]),
        block(LITTLE, 0xBAD, b"of a kind nobody knows"),
        simple_block(LITTLE, &frame, frame.len()),
        packet_block(LITTLE, true, 0, 7, &frame),
    ];
    let whole = parts.concat();
    let ends: Vec<usize> = parts
        .iter()
        .scan(0, |end, part| {
            *end += part.len();
            Some(*end)
        })
        .collect();
    for cut in 0..=whole.len() {
        let capture = Capture::from_packets(path(), whole[..cut].to_vec());
        let begins = ends.iter().rev().find(|&&end| end <= cut).copied().unwrap_or(0);
        let Ok(capture) = capture else {
            assert!(cut < ends[0], "cut at {cut}");
            continue;
        };
        let packets = [ends[2], ends[6], ends[7]].iter().filter(|&&end| end <= cut).count();
        assert_eq!(capture.len(), packets, "cut at {cut}");
        match capture.defect() {
            None => assert_eq!(begins, cut),
            Some(defect) => {
                let expected = format!("made: ends inside the record at byte {begins}");
                assert_eq!(defect.to_string(), expected, "cut at {cut}");
            }
        }
    }
}

/// The time of one packet on an interface with these options.
fn time_of(order: Order, options: &[u8], units: u64) -> Option<u64> {
    let frame = [link_head(1, 0), ip_packet(TO, &[], b"x")].concat();
    let parts = [
        section(order),
        interface(order, 1, 0, options),
        packet_block(order, false, 0, units, &frame),
    ];
    let capture = Capture::from_packets(path(), parts.concat()).expect("a section");
    capture.iter().next().map(|(_, ns, _)| ns)
}

#[test]
fn times_are_exact_in_every_resolution_and_with_every_offset() {
    for order in [LITTLE, BIG] {
        let resolution = |value: u8| option(order, 9, &[value]);
        let offset = |seconds: i64| option(order, 14, &order.u64(seconds.cast_unsigned()));
        let time = |options: &[u8], units| time_of(order, options, units);
        // Microseconds where nothing is said: 2012-06-29 07:28:25.298858, the example of the specification.
        assert_eq!(time(&[], 0x0004_C397_64CA_47AA), Some(1_340_954_905_298_858_000));
        assert_eq!(
            time(&resolution(9), 1_580_371_634_000_000_500),
            Some(1_580_371_634_000_000_500)
        );
        assert_eq!(time(&resolution(0), 3), Some(3_000_000_000));
        assert_eq!(time(&resolution(3), 3), Some(3_000_000));
        assert_eq!(time(&resolution(12), 1_999), Some(1), "picoseconds are cut");
        assert_eq!(time(&resolution(0x80 | 10), 1_536), Some(1_500_000_000));
        assert_eq!(time(&resolution(0x80 | 32), 1 << 31), Some(500_000_000));
        assert_eq!(time(&resolution(0x80), 2), Some(2_000_000_000));
        for longest in [19, 20, 38, 39, 127, 0xFF] {
            assert_eq!(time(&resolution(longest), 1), Some(0), "{longest}");
        }
        assert_eq!(time(&offset(2), 5), Some(2_000_005_000));
        assert_eq!(time(&offset(-1), 1_000_005), Some(5_000));
        assert_eq!(time(&offset(-2), 1_000_005), Some(0), "before 1970");
        assert_eq!(time(&offset(i64::MAX), u64::MAX), Some(u64::MAX));
        assert_eq!(time(&[resolution(9), offset(1)].concat(), 7), Some(1_000_000_007));
        // Behind the end of the options there are none.
        let ended = [option(order, 0, &[]), resolution(9)].concat();
        assert_eq!(time(&ended, 7), Some(7_000));
        // A time that cannot be known is not guessed.
        for wrong in [option(order, 9, &[]), option(order, 9, &[6, 6]), option(order, 14, &[0; 4])]
        {
            assert_eq!(time(&wrong, 7), None);
        }
        let mut cut = option(order, 2, b"eth0");
        cut[if order.big { 3 } else { 2 }] = 90;
        assert_eq!(time(&cut, 7), None, "an option longer than its block");
    }
}

/// Where and of what kind the defect of a file of `parts` is.
fn defect(parts: &[Vec<u8>]) -> (usize, String) {
    let capture = Capture::from_packets(path(), parts.concat()).expect("a section");
    let defect = capture.defect().expect("a defect");
    let offset = usize::try_from(defect.offset).expect("short");
    (offset, defect.to_string())
}

#[test]
fn blocks_that_cannot_be_are_told_with_their_place() {
    let frame = [link_head(1, 0), ip_packet(TO, &[], b"x")].concat();
    let good = [section(LITTLE), interface(LITTLE, 1, 0, &[])].concat();
    let packet = packet_block(LITTLE, false, 0, 7, &frame);
    let changed = |at: usize, bytes: &[u8]| {
        let mut packet = packet.clone();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    let last = packet.len() - 4;
    let wrong = [
        ("shorter than a block", changed(4, &[8, 0, 0, 0])),
        ("of no whole words", changed(4, &[75, 0, 0, 0])),
        ("longer than any block", changed(4, &[0, 0, 0, 2])),
        ("another length at its end", changed(last, &[0, 0, 0, 0])),
        ("of an interface that is not there", changed(8, &[1, 0, 0, 0])),
        ("with more kept than it holds", changed(20, &[60, 0, 0, 0])),
        ("with more kept than there can be", changed(20, &[0, 0, 0, 0xFF])),
        ("too short for what it is", block(LITTLE, 6, &[0; 16])),
        ("too short for a simple one", block(LITTLE, 3, &[])),
        ("too short for an interface", block(LITTLE, 1, &[0; 4])),
        ("too short for a section", block(LITTLE, 0x0A0D_0D0A, &[0x4D, 0x3C, 0x2B, 0x1A])),
        ("a section of no byte order", block(LITTLE, 0x0A0D_0D0A, &[0; 16])),
        (
            "a section of a later version",
            block(LITTLE, 0x0A0D_0D0A, &[&[0x4D, 0x3C, 0x2B, 0x1A, 2, 0], &[0; 10][..]].concat()),
        ),
        // A new section has none of the interfaces of the one before.
        ("of an interface of another section", [section(LITTLE), packet.clone()].concat()),
    ];
    for (what, part) in wrong {
        let at = if what.ends_with("another section") { good.len() + 28 } else { good.len() };
        let (offset, text) = defect(&[good.clone(), part]);
        assert_eq!(offset, at, "{what}");
        assert_eq!(text, format!("made: corrupt record at byte {at}"), "{what}");
    }
    let first = section(LITTLE).len();
    let (offset, _) = defect(&[section(LITTLE), simple_block(LITTLE, &frame, frame.len())]);
    assert_eq!(offset, first, "a simple packet without an interface");
}

#[test]
fn a_simple_packet_is_cut_to_what_its_interface_keeps() {
    let frame = [link_head(1, 0), ip_packet(TO, &[], &[7; 400])].concat();
    let file = |kept_bytes_max| {
        let kept = usize::try_from(kept_bytes_max).expect("small").min(frame.len());
        let parts = [
            section(LITTLE),
            interface(LITTLE, 1, kept_bytes_max, &[]),
            simple_block(LITTLE, &frame, kept),
        ];
        Capture::from_packets(path(), parts.concat()).and_then(Capture::whole).expect("whole")
    };
    let cut = file(100);
    assert_eq!((cut.len(), cut.skipped().cut), (0, 1), "a part of a datagram is none");
    assert_eq!(file(word(frame.len())).len(), 1);
    assert_eq!(file(65_535).len(), 1);
}

#[test]
fn packets_of_links_that_are_not_read_are_counted_among_others() {
    let frame = [link_head(1, 0), ip_packet(TO, &[], b"x")].concat();
    let parts = [
        section(LITTLE),
        interface(LITTLE, 105, 0, &[]),
        interface(LITTLE, 1, 0, &[]),
        packet_block(LITTLE, false, 0, 7, &frame),
        packet_block(LITTLE, false, 1, 7, &frame),
    ];
    let capture = Capture::from_packets(path(), parts.concat()).and_then(Capture::whole);
    let capture = capture.expect("whole");
    assert_eq!((capture.len(), capture.skipped().links), (1, 1));
    assert_eq!(capture.skipped().total(), 1);
}

#[test]
fn destinations_beyond_the_most_are_counted_and_left_out() {
    let mut bytes = pcap_header(LITTLE, true, 101);
    let beyond = 7;
    for number in 0..FLOWS_MAX + beyond {
        let port = u16::try_from(number).expect("small");
        let packet = ip_packet(SocketAddrV4::new(*TO.ip(), port), &[], b"x");
        bytes.extend_from_slice(&pcap_record(LITTLE, 0, 0, &packet));
    }
    let capture = Capture::from_packets(path(), bytes).and_then(Capture::whole).expect("whole");
    assert_eq!((capture.len(), capture.flows().len()), (FLOWS_MAX, FLOWS_MAX));
    assert_eq!(capture.skipped().flows, u64::try_from(beyond).expect("small"));
}

#[test]
fn what_is_no_capture_is_refused_whatever_it_is() {
    // The last is a pcap variant of one vendor, whose records are longer: read as others they would be nonsense.
    let files: [&[u8]; 5] =
        [b"", b"\x0A", b"\x0A\x0D\x0D\x0A", b"GIF89a", &[0x34, 0xCD, 0xB2, 0xA1]];
    for bytes in files {
        let mut bytes = bytes.to_vec();
        assert!(Capture::from_packets(path(), bytes.clone()).is_err());
        bytes.resize(200, 0);
        assert!(Capture::from_packets(path(), bytes).is_err());
    }
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(
        capture::open(&folder.path().join("absent")).map_err(|error| error.kind),
        Err(CaptureErrorKind::Read(_))
    ));
    assert!(matches!(
        capture::open(folder.path()).map_err(|error| error.kind),
        Err(CaptureErrorKind::Read(_))
    ));
}

#[test]
fn a_file_too_large_for_memory_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large");
    let file = fs::File::create(&path).expect("a file");
    // One byte beyond the limit, none of which takes room on the disk.
    file.set_len((4 << 30) + 1).expect("a file with a hole");
    let (error, most) = most_held(|| Capture::read(&path).expect_err("too large"));
    assert!(matches!(error.kind, CaptureErrorKind::TooLarge), "{error}");
    let text = error.to_string();
    assert!(
        text.ends_with(
            "larger than 4 GiB, unpacked: it is read into memory whole, so split it first"
        )
    );
    assert!(most < 8 << 20, "{most} bytes");
}

/// Every file below `folder` that ends in `ending`.
fn files_below(folder: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, ending, into);
        } else if path.to_string_lossy().ends_with(ending) {
            into.push(path);
        }
    }
}

#[test]
fn real_single_packet_files_of_itch_and_iex_open_whole() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures/omi"));
    if !root.exists() {
        eprintln!("skipped: no captures in {}", root.display());
        return;
    }
    for exchange in ["Nasdaq", "Iex"] {
        let mut files = Vec::new();
        files_below(&root.join(exchange), ".pcap", &mut files);
        files.retain(|file| !file.to_string_lossy().contains("Ouch"));
        let mut datagrams = 0;
        for file in &files {
            let capture = Capture::read(file).and_then(Capture::whole);
            let capture = capture.unwrap_or_else(|error| panic!("{error}"));
            assert!(!capture.is_empty(), "{}: {:?}", file.display(), capture.skipped());
            assert_eq!(capture.skipped().total(), 0, "{}", file.display());
            datagrams += capture.len();
        }
        assert!(!files.is_empty(), "{exchange} has no files");
        eprintln!("{exchange}: {} files, {datagrams} datagrams", files.len());
    }
}

/// The records of a little-endian pcap file: nanoseconds and frame.
fn records(bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let unit = if word(0) == 0xA1B2_3C4D { 1 } else { 1_000 };
    let (mut at, mut records) = (24, Vec::new());
    while at < bytes.len() {
        let ns = u64::from(word(at)) * 1_000_000_000 + u64::from(word(at + 4)) * unit;
        let kept = usize::try_from(word(at + 8)).expect("short");
        records.push((ns, &bytes[at + 16..at + 16 + kept]));
        at += 16 + kept;
    }
    records
}

#[test]
fn real_feeds_are_the_same_in_every_format() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures"));
    let files = ["itch/aapl_20200130_10k.moldudp64.ns.pcap", "iex/20170826_IEXTP1_DEEP1.0.pcap.gz"];
    for file in files.map(|file| root.join(file)) {
        if !file.exists() {
            eprintln!("skipped: no {}", file.display());
            continue;
        }
        let (bytes, damage) = Capture::read_file(&file).expect("it can be read");
        assert!(damage.is_none());
        let naive = captures::read(&bytes).expect("a capture");
        assert!(naive.fault.is_none() && !naive.datagrams.is_empty());
        assert_eq!(found(&bytes).as_ref(), Some(&naive), "{}", file.display());
        for order in [LITTLE, BIG] {
            let head = [section(order), interface(order, 1, 0, &option(order, 9, &[9]))];
            let mut rewritten = head.concat();
            for (ns, frame) in records(&bytes) {
                rewritten.extend_from_slice(&packet_block(order, false, 0, ns, frame));
            }
            assert_eq!(found(&rewritten).as_ref(), Some(&naive), "{}", file.display());
        }
        eprintln!("{}: {} datagrams", file.display(), naive.datagrams.len());
    }
}
