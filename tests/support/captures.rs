//! Capture files for tests: frames and files of every form, written here, and a naive second reader of both.
//!
//! The reader looks at one byte after the other, in the order of the specifications, and knows nothing of the real one.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::SocketAddrV4;

/// Bytes of either order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub big: bool,
}

impl Order {
    pub fn u16(self, value: u16) -> [u8; 2] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub fn u32(self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub fn u64(self, value: u64) -> [u8; 8] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

pub fn word(length: usize) -> u32 {
    u32::try_from(length).expect("short")
}

/// An IPv4 packet with a UDP datagram, with `options` (of whole words) in its header.
pub fn ip_packet(to: SocketAddrV4, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(payload.len() + 8).expect("short");
    let words = u8::try_from(5 + options.len() / 4).expect("short");
    let mut packet = vec![0x40 | words, 0];
    packet.extend_from_slice(&(udp + u16::from(words) * 4).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0x40, 0, 16, 17, 0, 0, 10, 0, 0, 1]);
    packet.extend_from_slice(&to.ip().octets());
    packet.extend_from_slice(options);
    packet.extend_from_slice(&[0x30, 0x39]);
    packet.extend_from_slice(&to.port().to_be_bytes());
    packet.extend_from_slice(&udp.to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(payload);
    packet
}

/// What a frame of the link with that number has before its IPv4 packet, behind `tags` VLAN tags where it can have some.
pub fn link_head(link: u32, tags: usize) -> Vec<u8> {
    let mut kinds: Vec<u8> = [0x81, 0x00, 0x03, 0xF5].repeat(tags);
    kinds.extend_from_slice(&[0x08, 0x00]);
    match link {
        1 => [&[0; 12], &kinds[..]].concat(),
        0 => vec![2, 0, 0, 0],
        108 => vec![0, 0, 0, 2],
        113 => [&[0; 14], &kinds[..]].concat(),
        276 => [&kinds[..2], &[0; 18], &kinds[2..]].concat(),
        _ => Vec::new(),
    }
}

/// The header of a pcap file.
pub fn pcap_header(order: Order, nanoseconds: bool, link: u32) -> Vec<u8> {
    let mut bytes = order.u32(if nanoseconds { 0xA1B2_3C4D } else { 0xA1B2_C3D4 }).to_vec();
    bytes.extend_from_slice(&order.u16(2));
    bytes.extend_from_slice(&order.u16(4));
    for value in [0, 0, 262_144, link] {
        bytes.extend_from_slice(&order.u32(value));
    }
    bytes
}

/// A record of a pcap file.
pub fn pcap_record(order: Order, seconds: u32, part: u32, frame: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in [seconds, part, word(frame.len()), word(frame.len())] {
        bytes.extend_from_slice(&order.u32(value));
    }
    bytes.extend_from_slice(frame);
    bytes
}

/// A block of a pcapng file.
pub fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let length = order.u32(word(body.len().next_multiple_of(4) + 12));
    let mut bytes = order.u32(kind).to_vec();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend_from_slice(&length);
    bytes
}

pub fn section(order: Order) -> Vec<u8> {
    let mut body = order.u32(0x1A2B_3C4D).to_vec();
    body.extend_from_slice(&order.u16(1));
    body.extend_from_slice(&order.u16(0));
    body.extend_from_slice(&[0xFF; 8]);
    block(order, 0x0A0D_0D0A, &body)
}

pub fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = order.u16(code).to_vec();
    bytes.extend_from_slice(&order.u16(u16::try_from(value.len()).expect("short")));
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub fn interface(order: Order, link: u16, kept_bytes_max: u32, options: &[u8]) -> Vec<u8> {
    let mut body = order.u16(link).to_vec();
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(&order.u32(kept_bytes_max));
    body.extend_from_slice(options);
    block(order, 1, &body)
}

/// An Enhanced Packet Block, or the older Packet Block.
pub fn packet_block(
    order: Order,
    older: bool,
    interface: u32,
    units: u64,
    frame: &[u8],
) -> Vec<u8> {
    let mut body = if older {
        let number = u16::try_from(interface).expect("small");
        [order.u16(number), [0xFF; 2]].concat()
    } else {
        order.u32(interface).to_vec()
    };
    let (high, low) = (units >> 32, units & 0xFFFF_FFFF);
    for value in [high, low] {
        body.extend_from_slice(&order.u32(u32::try_from(value).expect("half of it")));
    }
    for _kept_and_whole in 0..2 {
        body.extend_from_slice(&order.u32(word(frame.len())));
    }
    body.extend_from_slice(frame);
    block(order, if older { 2 } else { 6 }, &body)
}

/// A Simple Packet Block that kept `kept` of the frame.
pub fn simple_block(order: Order, frame: &[u8], kept: usize) -> Vec<u8> {
    let mut body = order.u32(word(frame.len())).to_vec();
    body.extend_from_slice(&frame[..kept]);
    block(order, 3, &body)
}

/// Why the naive reader stopped before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Cut,
    Bad,
}

/// What the naive reader found in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub datagrams: Vec<(SocketAddrV4, u64, Vec<u8>)>,
    /// Frames without one: cut, not IPv4, not UDP, fragments, wrong lengths, of other links.
    pub skipped: [u64; 6],
    pub fault: Option<(usize, Fault)>,
}

impl Found {
    fn frame(&mut self, link: u32, ns: u64, frame: &[u8]) {
        if ![0, 1, 12, 101, 108, 113, 228, 276].contains(&link) {
            self.skipped[5] += 1;
            return;
        }
        match datagram(link, frame) {
            Ok((to, payload)) => self.datagrams.push((to, ns, payload.to_vec())),
            Err(why) => self.skipped[why] += 1,
        }
    }
}

/// Bytes as numbers of one order; `None` beyond their end.
struct Bytes<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Bytes<'_> {
    fn number(&self, at: usize, count: usize) -> Option<u64> {
        let mut value = 0;
        for step in 0..count {
            let place = if self.big { step } else { count - 1 - step };
            value = value * 256 + u64::from(*self.bytes.get(at + place)?);
        }
        Some(value)
    }
}

const CUT: usize = 0;
const NOT_IPV4: usize = 1;

/// Destination and payload of the datagram in a frame, or which count it belongs to.
pub fn datagram(link: u32, frame: &[u8]) -> Result<(SocketAddrV4, &[u8]), usize> {
    let number = |at, count| Bytes { bytes: frame, big: true }.number(at, count).ok_or(CUT);
    let (mut at, kind_at) = match link {
        1 => (14, Some(12)),
        113 => (16, Some(14)),
        276 => (20, Some(0)),
        0 | 108 => {
            let family = number(0, 4)?;
            if family != 2 && family != 0x0200_0000 {
                return Err(NOT_IPV4);
            }
            (4, None)
        }
        _ => (0, None),
    };
    if let Some(kind_at) = kind_at {
        let mut kind = number(kind_at, 2)?;
        if frame.len() < at {
            return Err(CUT);
        }
        let mut tags = 0;
        while tags < 2 && (kind == 0x8100 || kind == 0x88A8 || kind == 0x9100) {
            kind = number(at + 2, 2)?;
            at += 4;
            tags += 1;
        }
        if kind != 0x0800 {
            return Err(NOT_IPV4);
        }
    }
    if number(at, 1)? / 16 != 4 {
        return Err(NOT_IPV4);
    }
    number(at + 19, 1)?;
    let head = (number(at, 1)? % 16) * 4;
    let (total, flags) = (number(at + 2, 2)?, number(at + 6, 2)?);
    if number(at + 9, 1)? != 17 {
        return Err(2);
    }
    if flags & 0x2000 != 0 || flags & 0x1FFF != 0 {
        return Err(3);
    }
    if head < 20 || total < head + 8 {
        return Err(4);
    }
    let place = |offset: u64| at + usize::try_from(offset).expect("16 bits");
    if frame.len() < place(total) {
        return Err(CUT);
    }
    let length = number(place(head + 4), 2)?;
    if length < 8 || head + length > total {
        return Err(4);
    }
    let mut ip = [0; 4];
    ip.copy_from_slice(&frame[at + 16..at + 20]);
    let port = u16::try_from(number(place(head + 2), 2)?).expect("16 bits");
    Ok((SocketAddrV4::new(ip.into(), port), &frame[place(head + 8)..place(head + length)]))
}

/// Reads a file; `None`: refused altogether.
pub fn read(bytes: &[u8]) -> Option<Found> {
    match bytes.get(..4)? {
        [0x0A, 0x0D, 0x0D, 0x0A] => read_pcapng(bytes),
        [0xD4, 0xC3, 0xB2, 0xA1] => read_pcap(bytes, false, 1_000),
        [0x4D, 0x3C, 0xB2, 0xA1] => read_pcap(bytes, false, 1),
        [0xA1, 0xB2, 0xC3, 0xD4] => read_pcap(bytes, true, 1_000),
        [0xA1, 0xB2, 0x3C, 0x4D] => read_pcap(bytes, true, 1),
        _ => None,
    }
}

fn read_pcap(bytes: &[u8], big: bool, unit: u64) -> Option<Found> {
    let file = Bytes { bytes, big };
    let link = u32::try_from(file.number(20, 4)? % 65_536).ok()?;
    if ![0, 1, 12, 101, 108, 113, 228, 276].contains(&link) {
        return None;
    }
    let mut found = Found::default();
    let mut at = 24;
    while at < bytes.len() {
        if file.number(at + 8, 4).is_some_and(|kept| kept > 262_144) {
            found.fault = Some((at, Fault::Bad));
            break;
        }
        let record = || {
            let kept = usize::try_from(file.number(at + 8, 4)?).ok()?;
            let ns = file.number(at, 4)? * 1_000_000_000 + file.number(at + 4, 4)? * unit;
            Some((ns, bytes.get(at + 16..at + 16 + kept)?))
        };
        let Some((ns, frame)) = record() else {
            found.fault = Some((at, Fault::Cut));
            break;
        };
        found.frame(link, ns, frame);
        at += 16 + frame.len();
    }
    Some(found)
}

/// Nanoseconds of `units`, the long way: whole seconds first, then digit by digit or bit by bit.
fn nanoseconds(units: u64, resolution: u8, offset: i64) -> u64 {
    let base: u128 = if resolution >= 128 { 2 } else { 10 };
    let mut per_second: u128 = 1;
    for _ in 0..resolution % 128 {
        // More than a second's units in 64 bits of time: nothing but a part of a nanosecond is left.
        per_second = per_second.saturating_mul(base);
    }
    let units = u128::from(units);
    let (seconds, mut rest) = (units / per_second, units % per_second);
    let mut part = 0_u128;
    for _ in 0..9 {
        rest *= 10;
        part = part * 10 + rest / per_second;
        rest %= per_second;
    }
    let whole = i128::try_from(seconds * 1_000_000_000 + part).expect("94 bits");
    let sum = whole + i128::from(offset) * 1_000_000_000;
    u64::try_from(sum.max(0)).unwrap_or(u64::MAX)
}

fn read_pcapng(bytes: &[u8]) -> Option<Found> {
    let mut found = Found::default();
    let mut big = false;
    // Link, most bytes kept, resolution, offset.
    let mut interfaces: Vec<(u32, u64, u8, i64)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match pcapng_block(bytes, at, &mut big, &mut interfaces, &mut found) {
            Ok(length) => at += length,
            Err(_) if at == 0 => return None,
            Err(fault) => {
                found.fault = Some((at, fault));
                break;
            }
        }
    }
    Some(found)
}

/// Takes one block, and says how long it is.
fn pcapng_block(
    bytes: &[u8],
    at: usize,
    big: &mut bool,
    interfaces: &mut Vec<(u32, u64, u8, i64)>,
    found: &mut Found,
) -> Result<usize, Fault> {
    let begins = bytes[at..].starts_with(&[0x0A, 0x0D, 0x0D, 0x0A]);
    if begins {
        match bytes.get(at + 8..at + 12).ok_or(Fault::Cut)? {
            [0x1A, 0x2B, 0x3C, 0x4D] => *big = true,
            [0x4D, 0x3C, 0x2B, 0x1A] => *big = false,
            _ => return Err(Fault::Bad),
        }
    }
    let file = Bytes { bytes, big: *big };
    let kind = file.number(at, 4).ok_or(Fault::Cut)?;
    let length = file.number(at + 4, 4).ok_or(Fault::Cut)?;
    if !(12..=16 * 1_024 * 1_024).contains(&length) || length % 4 != 0 {
        return Err(Fault::Bad);
    }
    let length = usize::try_from(length).expect("24 bits");
    let whole = bytes.get(at..at + length).ok_or(Fault::Cut)?;
    if whole[4..8] != whole[length - 4..] {
        return Err(Fault::Bad);
    }
    let block = Bytes { bytes: &whole[..length - 4], big: *big };
    let number = |at, count| block.number(at, count).ok_or(Fault::Bad);
    let kept_of = |from: usize, kept: u64| {
        let kept = usize::try_from(kept).ok().filter(|&kept| kept <= 262_144).ok_or(Fault::Bad)?;
        block.bytes.get(from..from + kept).ok_or(Fault::Bad)
    };
    match kind {
        0x0A0D_0D0A => {
            number(16, 8)?;
            if number(12, 2)? != 1 {
                return Err(Fault::Bad);
            }
            interfaces.clear();
        }
        1 => interfaces.push(read_interface(&block)?),
        2 | 6 => {
            let which = number(8, if kind == 2 { 2 } else { 4 })?;
            let which = usize::try_from(which).expect("32 bits");
            let &(link, _, resolution, offset) = interfaces.get(which).ok_or(Fault::Bad)?;
            let units = number(12, 4)? * 0x1_0000_0000 + number(16, 4)?;
            let frame = kept_of(28, number(20, 4)?)?;
            number(24, 4)?;
            found.frame(link, nanoseconds(units, resolution, offset), frame);
        }
        3 => {
            let &(link, most, ..) = interfaces.first().ok_or(Fault::Bad)?;
            let kept = number(8, 4)?;
            let kept = if most != 0 && kept > most { most } else { kept };
            found.frame(link, 0, kept_of(12, kept)?);
        }
        _ => {}
    }
    Ok(length)
}

fn read_interface(block: &Bytes<'_>) -> Result<(u32, u64, u8, i64), Fault> {
    let number = |at, count| block.number(at, count).ok_or(Fault::Bad);
    let link = u32::try_from(number(8, 2)?).expect("16 bits");
    let most = number(12, 4)?;
    let (mut resolution, mut offset) = (6, 0);
    let mut at = 16;
    while at < block.bytes.len() {
        let (code, length) = (number(at, 2)?, usize::try_from(number(at + 2, 2)?).expect("short"));
        if code == 0 {
            break;
        }
        if code == 9 {
            if length != 1 {
                return Err(Fault::Bad);
            }
            resolution = u8::try_from(number(at + 4, 1)?).expect("a byte");
        }
        if code == 14 {
            if length != 8 {
                return Err(Fault::Bad);
            }
            offset = number(at + 4, 8)?.cast_signed();
        }
        at += 4 + length.div_ceil(4) * 4;
        if at > block.bytes.len() {
            return Err(Fault::Bad);
        }
    }
    Ok((link, most, resolution, offset))
}
