//! Frames written and read past the kernel, against a naive writer and reader that take one byte after the other.

#[path = "support/random.rs"]
mod random;

use std::net::{Ipv4Addr, SocketAddrV4};

use postern::net::xdp::frame::{
    HEADERS_BYTES, PAYLOAD_BYTES_MAX, Path, ReceivedUdp, Refused, read_udp, write_udp,
};
use random::Random;

const ROUNDS: usize = 20_000;

/// Adds up 16-bit words, one at a time (RFC 1071, section 4.1).
fn naive_sum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum = 0_u32;
    for at in (0..bytes.len()).step_by(2) {
        sum += u32::from(bytes[at]) << 8;
        sum += bytes.get(at + 1).map_or(0, |low| u32::from(*low));
        while sum >> 16 != 0 {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
    }
    u16::try_from(sum).expect("folded")
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(*bytes.get(at)?) * 256 + usize::from(*bytes.get(at + 1)?))
}

/// A frame, field after field in the order of RFC 791 and RFC 768.
fn naive_write(path: &Path, payload: &[u8]) -> Vec<u8> {
    let two = |value: usize| u16::try_from(value).expect("short").to_be_bytes();
    let (from, to) = (path.source.ip().octets(), path.destination.ip().octets());
    let mut ip = vec![0x45, path.tos];
    ip.extend(two(payload.len() + 28));
    ip.extend([0, 0, 0x40, 0, path.ttl, 17, 0, 0]);
    ip.extend([from, to].concat());
    let checksum = !naive_sum(&[&ip]);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let mut udp = path.source.port().to_be_bytes().to_vec();
    udp.extend(path.destination.port().to_be_bytes());
    udp.extend(two(payload.len() + 8));
    udp.extend([0, 0]);
    udp.extend(payload);
    let pseudo = [&from[..], &to, &[0, 17], &two(udp.len())].concat();
    let checksum = match !naive_sum(&[&pseudo, &udp]) {
        0 => 0xFFFF,
        other => other,
    };
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    [&path.destination_mac[..], &path.source_mac, &[8, 0], &ip, &udp].concat()
}

/// What a frame holds, looked at field after field.
fn naive_read(frame: &[u8]) -> Result<ReceivedUdp<'_>, Refused> {
    if frame.len() < 14 {
        return Err(Refused::Cut);
    }
    if number(frame, 12) != Some(0x0800) {
        return Err(Refused::NotUdp);
    }
    if frame.len() < 34 {
        return Err(Refused::Cut);
    }
    if frame[14] != 0x45 || frame[23] != 17 {
        return Err(Refused::NotUdp);
    }
    if frame[20] & 0x3F != 0 || frame[21] != 0 {
        return Err(Refused::Fragment);
    }
    let total = number(frame, 16).expect("there");
    if total < 28 {
        return Err(Refused::BadLength);
    }
    if frame.len() < 14 + total {
        return Err(Refused::Cut);
    }
    let length = number(frame, 38).expect("there");
    if length < 8 || length > total - 20 {
        return Err(Refused::BadLength);
    }
    let udp = &frame[34..34 + length];
    let pseudo = [&frame[26..34], &[0, 17], &udp[4..6]].concat();
    let field = number(udp, 6).expect("there");
    let is_whole = naive_sum(&[&pseudo, udp]) == 0xFFFF;
    let is_left_to_the_interface = field == usize::from(naive_sum(&[&pseudo]));
    if naive_sum(&[&frame[14..34]]) != 0xFFFF
        || !(field == 0 || is_whole || is_left_to_the_interface)
    {
        return Err(Refused::BadChecksum);
    }
    let address = |ip: usize, port: usize| {
        let octets: [u8; 4] = frame[ip..ip + 4].try_into().expect("four");
        let port = u16::try_from(number(frame, port).expect("there")).expect("two bytes");
        SocketAddrV4::new(Ipv4Addr::from(octets), port)
    };
    Ok(ReceivedUdp { source: address(26, 34), destination: address(30, 36), payload: &udp[8..] })
}

fn any_path(random: &mut Random) -> Path {
    let mac = |random: &mut Random| -> [u8; 6] { random.bytes(6).try_into().expect("six") };
    let address = |random: &mut Random| {
        let octets: [u8; 4] = random.bytes(4).try_into().expect("four");
        SocketAddrV4::new(
            Ipv4Addr::from(octets),
            u16::from_be_bytes([random.byte(), random.byte()]),
        )
    };
    Path {
        source_mac: mac(random),
        destination_mac: mac(random),
        source: address(random),
        destination: address(random),
        ttl: random.byte(),
        tos: random.byte(),
    }
}

fn path() -> Path {
    any_path(&mut Random::new(1))
}

fn written(path: &Path, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xA5; HEADERS_BYTES + payload.len() + 7];
    let bytes = write_udp(&mut frame, path, payload);
    assert!(frame[bytes..].iter().all(|byte| *byte == 0xA5), "wrote behind its end");
    frame.truncate(bytes);
    frame
}

/// The IPv4 checksum of `frame` set right again.
fn with_ip_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    frame[24..26].fill(0);
    let checksum = !naive_sum(&[&frame[14..34]]);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}

#[test]
fn frames_are_those_of_the_naive_writer_and_read_back() {
    let mut random = Random::new(2);
    for length in (0..1_700).chain([8_972, PAYLOAD_BYTES_MAX]) {
        let path = any_path(&mut random);
        let payload = random.bytes(length);
        let frame = written(&path, &payload);
        assert_eq!(frame, naive_write(&path, &payload), "{length} bytes");
        let udp = read_udp(&frame).expect("our own");
        assert_eq!((udp.source, udp.destination), (path.source, path.destination));
        assert_eq!(udp.payload, payload);
    }
}

#[test]
fn a_checksum_of_zero_is_sent_as_all_ones() {
    let mut found = 0;
    for filler in 0..=u16::MAX {
        let payload = filler.to_be_bytes();
        let frame = written(&path(), &payload);
        assert_ne!(frame[40..42], [0, 0]);
        if frame[40..42] == [0xFF, 0xFF] {
            found += 1;
            assert_eq!(read_udp(&frame).map(|udp| udp.payload), Ok(&payload[..]));
        }
    }
    assert_eq!(found, 1, "one of 65,536 words completes the sum");
}

#[test]
fn any_damage_is_judged_as_the_naive_reader_does() {
    let mut random = Random::new(3);
    let mut counts = [0_usize; 6];
    for _ in 0..ROUNDS {
        let path = any_path(&mut random);
        let length = random.index(80);
        let payload = random.bytes(length);
        let mut frame = written(&path, &payload);
        match random.index(6) {
            0 => random.damage(&mut frame),
            1 => frame.truncate(random.index(frame.len() + 1)),
            2 => {
                let at = 12 + random.index(30);
                frame[at] = random.byte();
            }
            // Lengths and fragment bits behind a right header checksum, so that they are what is judged.
            3 => {
                let at = [16, 17, 20, 21, 38, 39][random.index(6)];
                frame[at] = random.byte();
                frame = with_ip_checksum(frame);
            }
            4 => frame[40..42].fill(0),
            _ => {
                let padding = random.index(50);
                frame.extend(random.bytes(padding));
            }
        }
        let expected = naive_read(&frame);
        assert_eq!(read_udp(&frame), expected, "{frame:02X?}");
        counts[match expected {
            Ok(_) => 0,
            Err(Refused::Cut) => 1,
            Err(Refused::NotUdp) => 2,
            Err(Refused::Fragment) => 3,
            Err(Refused::BadLength) => 4,
            Err(Refused::BadChecksum) => 5,
        }] += 1;
    }
    assert!(counts.iter().all(|count| *count > ROUNDS / 200), "{counts:?}");
}

#[test]
fn any_bytes_are_judged_as_the_naive_reader_does() {
    let mut random = Random::new(4);
    for _ in 0..ROUNDS {
        let length = random.index(120);
        let bytes = random.bytes(length);
        assert_eq!(read_udp(&bytes), naive_read(&bytes));
    }
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    let frame = written(&path(), b"payload");
    for cut in 0..frame.len() {
        assert_eq!(read_udp(&frame[..cut]), Err(Refused::Cut), "cut at {cut}");
    }
}

#[test]
fn every_changed_bit_behind_the_ethernet_header_is_noticed() {
    let frame = written(&path(), b"some payload");
    for bit in 14 * 8..frame.len() * 8 {
        let mut changed = frame.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(read_udp(&changed).is_err(), "bit {} of byte {}", bit % 8, bit / 8);
    }
}

#[test]
fn a_checksum_left_to_the_interface_is_taken_and_nothing_near_it() {
    let mut frame = written(&path(), b"some payload");
    let pseudo = [&frame[26..34], &[0, 17], &frame[38..40]].concat();
    let unfinished = naive_sum(&[&pseudo]);
    for (checksum, is_taken) in [
        (unfinished, true),
        (!unfinished, false),
        (unfinished.wrapping_add(1), false),
        (unfinished.wrapping_sub(1), false),
        (unfinished.swap_bytes(), false),
        (0, true),
    ] {
        frame[40..42].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(read_udp(&frame).is_ok(), is_taken, "{checksum:#06x}");
    }
}

#[test]
fn what_lies_behind_the_lengths_is_left_out() {
    let mut padded = written(&path(), b"x");
    padded.resize(60, 0);
    assert_eq!(read_udp(&padded).map(|udp| udp.payload), Ok(&b"x"[..]));
    // Four bytes between the end of UDP and the end of IPv4: options of UDP (RFC 9868).
    let mut surplus = written(&path(), b"x");
    surplus.extend([1, 1, 1, 1]);
    surplus[17] += 4;
    assert_eq!(read_udp(&with_ip_checksum(surplus)).map(|udp| udp.payload), Ok(&b"x"[..]));
}

#[test]
fn tags_options_and_other_protocols_are_not_udp() {
    let frame = written(&path(), b"payload");
    for (at, byte) in [(12, 0x86), (13, 0x06), (14, 0x46), (14, 0x65), (23, 6)] {
        let mut other = frame.clone();
        other[at] = byte;
        assert_eq!(read_udp(&other), Err(Refused::NotUdp), "{byte:#x} at {at}");
    }
    let tagged = [&frame[..12], &[0x81, 0, 0, 1], &frame[12..]].concat();
    assert_eq!(read_udp(&tagged), Err(Refused::NotUdp));
}

#[test]
fn refusals_are_told_in_one_line() {
    for refused in
        [Refused::Cut, Refused::NotUdp, Refused::Fragment, Refused::BadLength, Refused::BadChecksum]
    {
        let text = refused.to_string();
        assert!(text.len() > 20 && !text.contains('\n'), "{text}");
    }
}

#[test]
fn a_frame_too_small_for_its_payload_is_our_bug() {
    let write = |room: usize, payload: usize| {
        std::panic::catch_unwind(|| {
            write_udp(&mut vec![0; room], &path(), &vec![0; payload]);
        })
    };
    assert!(write(HEADERS_BYTES + 9, 9).is_ok());
    assert!(write(HEADERS_BYTES + 8, 9).is_err());
    assert!(write(70_000, PAYLOAD_BYTES_MAX).is_ok());
    assert!(write(70_000, PAYLOAD_BYTES_MAX + 1).is_err());
}
