//! Random bytes, and good bytes with damage, into every decoder: none may panic, whatever it says of them.
//!
//! Seeded, so that a failure comes back; the fuzz targets search further.

#[path = "support/random.rs"]
mod random;

use std::hint::black_box;
use std::path::Path;

use postern::codec::journal::Journal;
use postern::codec::market_data::MarketData;
use postern::codec::order_entry::OrderEntry;
use postern::feed::arbiter::{Join, Ordering};
use postern::feed::book::BooksConfig;
use postern::feed::channel::{Channel, ChannelSettings, NoSink};
use postern::feed::itch50::{self, TYPES};
use postern::feed::recovery::RecoverySettings;
use postern::feed::{capture, moldudp64};
use postern::net::capture::Capture;
use postern::net::parse_udp;
use postern::types::Nanos;
use random::Random;

const ROUNDS: usize = 20_000;

fn each(seed: u64, limit: usize, mut take: impl FnMut(&[u8])) {
    let mut random = Random::new(seed);
    for _ in 0..ROUNDS {
        let count = random.index(limit);
        take(&random.bytes(count));
    }
}

#[test]
fn itch_takes_any_bytes() {
    each(1, 60, |bytes| {
        black_box(itch50::decode(bytes)).ok();
    });
    let mut random = Random::new(2);
    let mut taken = 0;
    for round in 0..ROUNDS {
        let (letter, length) = TYPES[round % TYPES.len()];
        let mut message = random.bytes(usize::from(length));
        message[0] = letter;
        taken += usize::from(itch50::decode(&message).is_ok());
    }
    assert!(taken > ROUNDS / 2, "most random messages of the right length are messages");
}

#[test]
fn moldudp64_takes_any_bytes() {
    each(3, 200, |bytes| {
        black_box(moldudp64::parse(bytes)).ok();
    });
}

#[test]
fn frames_take_any_bytes() {
    each(4, 120, |bytes| {
        black_box(parse_udp(bytes)).ok();
    });
}

#[test]
fn captures_take_any_bytes() {
    let path = Path::new("random");
    each(5, 400, |bytes| {
        drop(Capture::from_pcap(path, bytes.to_vec()));
        drop(capture::from_binary_file(path, bytes));
        for magic in [[0xD4, 0xC3, 0xB2, 0xA1], [0xA1, 0xB2, 0x3C, 0x4D]] {
            let mut pcap = magic.to_vec();
            pcap.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
            pcap.extend_from_slice(if magic[0] == 0xA1 { &[0, 0, 0, 1] } else { &[1, 0, 0, 0] });
            pcap.extend_from_slice(bytes);
            let capture = Capture::from_pcap(path, pcap).expect("the header is whole");
            assert!(
                bytes.is_empty() || !capture.is_empty() || capture.defect().is_some() || {
                    let skipped = capture.skipped();
                    skipped.cut + skipped.not_ipv4 + skipped.not_udp + skipped.fragments > 0
                }
            );
        }
    });
}

#[test]
fn sbe_takes_any_bytes() {
    let mut random = Random::new(6);
    for round in 0..ROUNDS {
        let count = random.index(160);
        let mut bytes = random.bytes(count);
        // Half of them with a header that leads to the fields.
        if round % 2 == 0 && bytes.len() >= 8 {
            let templates =
                [OrderEntry::TEMPLATES, MarketData::TEMPLATES, Journal::TEMPLATES][round / 2 % 3];
            let (template, _) = templates[random.index(templates.len())];
            let block = u16::try_from(bytes.len() - 8).expect("short");
            bytes[..2].copy_from_slice(&block.to_le_bytes());
            bytes[2..4].copy_from_slice(&template.to_le_bytes());
            bytes[4..8].copy_from_slice(&[random.byte() % 4, 0, random.byte() % 2, 0]);
        }
        black_box(OrderEntry::decode(&bytes)).ok();
        black_box(MarketData::decode(&bytes)).ok();
        black_box(Journal::decode(&bytes)).ok();
    }
}

#[test]
fn a_channel_takes_damaged_packets_of_random_messages() {
    let settings = ChannelSettings {
        join: Join::First,
        stale_after_ns: 1_000,
        books: BooksConfig {
            orders_max: 200,
            levels_max: 4,
            books_max: 8,
            follow_all_symbols: true,
        },
    };
    let mut random = Random::new(7);
    let mut channel = Channel::new(&settings, &[]);
    for round in 0..ROUNDS {
        let count = random.index(6);
        let mut packet = b"SESSION00".to_vec();
        packet.push(b'0' + u8::from(random.index(2_000) == 0));
        packet.extend_from_slice(&(channel.arbiter().next_sequence()).to_be_bytes());
        packet.extend_from_slice(&u16::try_from(count).expect("small").to_be_bytes());
        for _ in 0..count {
            let message = message(&mut random);
            packet.extend_from_slice(&u16::try_from(message.len()).expect("short").to_be_bytes());
            packet.extend_from_slice(&message);
        }
        if random.index(4) == 0 {
            random.damage(&mut packet);
        }
        let now = Nanos(u64::try_from(round).expect("small"));
        channel.on_datagram(&packet, now, &mut NoSink);
        channel.check(now);
    }
    let counts = channel.counts();
    println_counts(counts.messages, counts.misfits, counts.packet_errors, counts.message_errors);
    assert!(counts.messages > counts.misfits && counts.misfits > 0 && counts.packet_errors > 0);
}

/// Two lines whose packets have any session and number, as well as damage, in front of a channel that waits for order.
#[test]
fn a_channel_on_two_lines_takes_any_session_and_number() {
    let ordering = Ordering {
        lines: 2,
        packets_max: 8,
        wait_ns: 50,
        line_wait_ns: 20,
        messages_max: 256,
        confirm_packets: 3,
    };
    let books =
        BooksConfig { orders_max: 200, levels_max: 4, books_max: 8, follow_all_symbols: true };
    let settings = ChannelSettings { join: Join::First, stale_after_ns: 1_000, books };
    let mut random = Random::new(8);
    let channel = Channel::new(&settings, &[]);
    let mut channel = channel.with_recovery(ordering, &RecoverySettings::default());
    for round in 0..ROUNDS * 2 {
        let count = random.index(6);
        let mut packet = b"SESSION00".to_vec();
        packet.push(b'0' + u8::from(random.index(50) == 0) + u8::from(random.index(500) == 0));
        let next = channel.arbiter().next_sequence();
        let sequence = match random.index(40) {
            0 => random.below(u64::MAX),
            1 => u64::MAX - random.below(40),
            2..6 => random.below(next.saturating_add(1_000)),
            6..20 => next.saturating_add(random.below(12)),
            _ => next,
        };
        packet.extend_from_slice(&sequence.to_be_bytes());
        let told =
            if random.index(100) == 0 { 0xFFFF } else { u16::try_from(count).expect("small") };
        packet.extend_from_slice(&told.to_be_bytes());
        for _ in 0..if told == 0xFFFF { 0 } else { count } {
            let message = message(&mut random);
            packet.extend_from_slice(&u16::try_from(message.len()).expect("short").to_be_bytes());
            packet.extend_from_slice(&message);
        }
        if random.index(20) == 0 {
            random.damage(&mut packet);
        }
        let now = Nanos(u64::try_from(round).expect("small") * 7);
        for _ in 0..=random.index(3) {
            channel.on_line(random.byte() % 2, &packet, now, &mut NoSink);
        }
        if channel.waits() {
            channel.advance(now, &mut NoSink);
        }
        channel.check(now);
    }
    let (counts, arbiter) = (channel.counts(), channel.arbiter().counts());
    println_counts(counts.messages, counts.misfits, counts.packet_errors, counts.message_errors);
    assert!(
        counts.messages > 1_000 && arbiter.gaps > 10 && arbiter.session_changes > 0,
        "{arbiter:?}"
    );
}

#[allow(clippy::print_stdout, reason = "says how hard the test was")]
fn println_counts(messages: u64, misfits: u64, packet_errors: u64, message_errors: u64) {
    println!(
        "{messages} messages, {misfits} misfits, {packet_errors} packets and {message_errors} messages refused"
    );
}

/// A message of a random type whose fields are often plausible: few references, symbols and prices.
fn message(random: &mut Random) -> Vec<u8> {
    let letter = b"AAAADEXUCPRHSQBF"[random.index(16)];
    let length = TYPES.iter().find(|&&(l, _)| l == letter).map_or(12, |&(_, length)| length);
    let mut message = vec![0; usize::from(length)];
    message[0] = letter;
    message[2] = random.byte() % 3;
    if message.len() > 18 {
        message[18] = random.byte() % 64;
    }
    let symbol = [*b"AAA     ", *b"BBB     ", *b"CCC     "][usize::from(message[2])];
    match letter {
        b'A' | b'F' | b'P' => {
            message[19] = if random.byte() < 128 { b'B' } else { b'S' };
            message[23] = random.byte() % 50;
            message[24..32].copy_from_slice(&symbol);
            message[35] = random.byte() % 16;
        }
        b'E' | b'X' | b'C' => message[22] = random.byte() % 50,
        b'U' => {
            message[26] = random.byte() % 64;
            message[30] = random.byte() % 50;
            message[34] = random.byte() % 16;
        }
        b'R' | b'H' => message[11..19].copy_from_slice(&symbol),
        _ => {}
    }
    message
}
