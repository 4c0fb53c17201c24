//! CRC-32C (Castagnoli; RFC 3720, appendix B.4), by the processor's instruction where it has one.
#![allow(
    unsafe_code,
    reason = "the SSE 4.2 instruction may be called only after its presence was checked"
)]

use crate::codec::Message;
use crate::ring::SLOT_PAYLOAD_BYTES;

/// Reflected polynomial.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut index = 0;
    while index < 256 {
        #[allow(clippy::as_conversions, reason = "`From` is not const; index is below 256")]
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// How to compute it on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crc32c {
    #[cfg(target_arch = "x86_64")]
    has_sse42: bool,
}

impl Crc32c {
    pub(super) fn new() -> Crc32c {
        Crc32c {
            #[cfg(target_arch = "x86_64")]
            has_sse42: std::arch::is_x86_feature_detected!("sse4.2"),
        }
    }

    /// The checksum of all `words` and then all `bytes`. About a nanosecond for every eight bytes.
    #[inline]
    pub(super) fn of(self, words: &[u64], bytes: &[u8]) -> u32 {
        #[cfg(target_arch = "x86_64")]
        if self.has_sse42 {
            // SAFETY: `new` found SSE 4.2 on this machine.
            return unsafe { of_sse42(words, bytes) };
        }
        of_table(words, bytes)
    }

    /// Writes `message` to `place`, which is as long as it is, up to a multiple of 8, and zero after it; returns the checksum of
    /// all `words` and then the message. Each word of it is stored as it is checked.
    ///
    /// # Panics
    /// If `place` has another length.
    #[inline]
    pub(super) fn write<M: Message>(self, words: &[u64], message: &M, place: &mut [u8]) -> u32 {
        assert!(place.len() == M::BYTES.next_multiple_of(8), "{} bytes of room", place.len());
        #[cfg(target_arch = "x86_64")]
        if self.has_sse42 {
            // SAFETY: `new` found SSE 4.2 on this machine.
            return unsafe { write_sse42(words, message, place) };
        }
        place.fill(0);
        message.encode(place);
        of_table(words, &place[..M::BYTES])
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn of_sse42(words: &[u64], bytes: &[u8]) -> u32 {
    use std::arch::x86_64::_mm_crc32_u64;

    let mut crc = begin_sse42(words);
    let (chunks, rest) = bytes.as_chunks::<8>();
    for &chunk in chunks {
        crc = _mm_crc32_u64(crc, u64::from_le_bytes(chunk));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    end_sse42(crc, u64::from_le_bytes(last), rest.len())
}

/// All of it in one function, so that the message passes through registers: to read in words what was only just written in
/// fields waits until it is in the cache.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn write_sse42<M: Message>(words: &[u64], message: &M, place: &mut [u8]) -> u32 {
    use std::arch::x86_64::_mm_crc32_u64;

    let mut bytes = [0; SLOT_PAYLOAD_BYTES];
    message.encode(&mut bytes);
    let mut crc = begin_sse42(words);
    let ((from, _), (to, _)) = (bytes.as_chunks::<8>(), place.as_chunks_mut::<8>());
    for index in 0..M::BYTES / 8 {
        crc = _mm_crc32_u64(crc, u64::from_le_bytes(from[index]));
        to[index] = from[index];
    }
    let rest = M::BYTES % 8;
    if rest == 0 {
        return end_sse42(crc, 0, 0);
    }
    let last = M::BYTES / 8;
    to[last] = from[last];
    end_sse42(crc, u64::from_le_bytes(from[last]), rest)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse4.2")]
fn begin_sse42(words: &[u64]) -> u64 {
    use std::arch::x86_64::_mm_crc32_u64;

    words.iter().fold(u64::from(u32::MAX), |crc, &word| _mm_crc32_u64(crc, word))
}

/// The checksum, after the `rest` lowest bytes of `last`, at most 7.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse4.2")]
#[allow(clippy::as_conversions, reason = "only the low bits are used")]
fn end_sse42(crc: u64, mut last: u64, rest: usize) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u16, _mm_crc32_u32};

    let mut crc = crc as u32; // the instruction clears the upper half
    if rest & 4 != 0 {
        crc = _mm_crc32_u32(crc, last as u32);
        last >>= 32;
    }
    if rest & 2 != 0 {
        crc = _mm_crc32_u16(crc, last as u16);
        last >>= 16;
    }
    if rest & 1 != 0 {
        crc = _mm_crc32_u8(crc, last as u8);
    }
    !crc
}

fn of_table(words: &[u64], bytes: &[u8]) -> u32 {
    let of_words = words.iter().flat_map(|word| word.to_le_bytes());
    let crc = of_words.chain(bytes.iter().copied()).fold(u32::MAX, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        TABLE[usize::from(low ^ byte)] ^ crc >> 8
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // RFC 3720, appendix B.4, and the check value of the CRC catalogue.
        assert_eq!(of_table(&[], b"123456789"), 0xe306_9283);
        assert_eq!(of_table(&[], &[0; 32]), 0x8a91_36aa);
        assert_eq!(of_table(&[], &[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn instruction_and_table_agree_at_every_length() {
        let bytes: Vec<u8> = (0..200u8).map(|i| i.wrapping_mul(31)).collect();
        for length in 0..bytes.len() {
            let words = [u64::MAX, 7];
            assert_eq!(
                Crc32c::new().of(&words, &bytes[..length]),
                of_table(&words, &bytes[..length])
            );
        }
    }
}
