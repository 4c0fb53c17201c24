//! Recorded feeds of any form as captures of MoldUDP64 datagrams.
//!
//! A pcap or pcapng file holds them already. An ITCH file of the exchange (BinaryFILE: each message behind its length in two bytes,
//! big-endian) gets them: one datagram a message, numbered from 1, so that the one path from datagram to book serves both
//! and gives the same books.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use crate::feed::itch50::LENGTHS;
use crate::feed::moldudp64::{HEADER_BYTES, Header, Session, split_block};
use crate::net::capture::{Capture, CaptureError, CaptureErrorKind};

/// The session that messages of a BinaryFILE are given.
pub const FILE_SESSION: Session = Session(*b"BINARYFILE");

/// The destination that messages of a BinaryFILE are given.
pub const FILE_DESTINATION: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// Reads a recorded feed: pcap, pcapng or BinaryFILE, each also as gzip. What can be read is kept even where the rest is
/// damaged: see [`Capture::defect`] and [`Capture::whole`].
///
/// # Errors
/// If nothing of it can be read.
pub fn open(path: &Path) -> Result<Capture, CaptureError> {
    let (bytes, damage) = Capture::read_file(path)?;
    let mut capture = if Capture::is_pcap(&bytes) || Capture::is_pcapng(&bytes) {
        Capture::from_packets(path, bytes)?
    } else {
        from_binary_file(path, &bytes)?
    };
    if let Some(CaptureError { offset, kind, .. }) = damage {
        capture.set_defect(usize::try_from(offset).unwrap_or(usize::MAX), kind);
    }
    Ok(capture)
}

/// The messages of a BinaryFILE in memory; `path` is named in errors. An empty message ends the file. Takes the file's size
/// again, and 44 bytes a message.
///
/// # Errors
/// If it does not begin with an ITCH 5.0 message behind its length.
pub fn from_binary_file(path: &Path, bytes: &[u8]) -> Result<Capture, CaptureError> {
    let is_message = |message: &[u8]| match message.first() {
        Some(&letter) => usize::from(LENGTHS[usize::from(letter)]) == message.len(),
        None => false,
    };
    let mut capture = Capture::empty(path);
    if !split_block(bytes).is_some_and(|(first, _)| is_message(first)) {
        capture.set_defect(0, CaptureErrorKind::UnknownFormat);
        return capture.whole();
    }
    let mut rest = bytes;
    let mut sequence = 1;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let Some((message, after)) = split_block(rest) else {
            capture.set_defect(at, CaptureErrorKind::CutRecord);
            break;
        };
        if message.is_empty() && after.is_empty() {
            break;
        }
        // A type of a later specification has a length this build cannot check, so it is let through.
        let known = message.first().is_some_and(|&letter| LENGTHS[usize::from(letter)] != 0);
        if message.is_empty() || (known && !is_message(message)) {
            capture.set_defect(at, CaptureErrorKind::BadRecord);
            break;
        }
        let mut head = [0; HEADER_BYTES];
        Header { session: FILE_SESSION, sequence, count: 1 }.write(&mut head);
        let block = &rest[..rest.len() - after.len()];
        if !capture.push(FILE_DESTINATION, time_ns(message), &head, block) {
            capture.set_defect(at, CaptureErrorKind::BadRecord);
            break;
        }
        sequence += 1;
        rest = after;
    }
    Ok(capture)
}

/// The message's time in nanoseconds since midnight: the file has no other.
fn time_ns(message: &[u8]) -> u64 {
    match message.get(5..11) {
        Some(&[a, b, c, d, e, f]) => u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
        Some(_) | None => 0,
    }
}
