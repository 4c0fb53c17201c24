//! Compares sixteen numbers with one, all at once.
#![allow(unsafe_code, reason = "the processor's vectors are loaded through raw pointers")]

/// Which of `lanes` are equal to `number`: a bit each, that of the first lane the lowest. A nanosecond, and no branch.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn lanes_equal(lanes: &[u32; 16], number: u32) -> u16 {
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { equal(lanes, number) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn equal(lanes: &[u32; 16], number: u32) -> u16 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi32, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
        _mm_set1_epi32,
    };
    let number = _mm_set1_epi32(number.cast_signed());
    let parts = [&lanes[..4], &lanes[4..8], &lanes[8..12], &lanes[12..]];
    let [a, b, c, d] = parts.map(|part| {
        // SAFETY: it points to four numbers, the 16 bytes that are loaded, from any alignment.
        let part = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
        _mm_cmpeq_epi32(part, number)
    });
    // From all ones or none in 32 bits to the same in 16, in 8, in 1.
    let bits = _mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)));
    let [low, high, ..] = bits.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// Which of `lanes` are equal to `number`: a bit each, that of the first lane the lowest.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub fn lanes_equal(lanes: &[u32; 16], number: u32) -> u16 {
    let bit = |(place, &lane): (usize, &u32)| u16::from(lane == number) << place;
    lanes.iter().enumerate().map(bit).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_looking_at_each_finds(lanes in any::<[u8; 16]>(), number in 0..4_u32, high in any::<u32>()) {
            // Few different numbers, anywhere in the range.
            let lanes = lanes.map(|lane| u32::from(lane % 4) ^ high);
            let found = lanes_equal(&lanes, number ^ high);
            for (place, lane) in lanes.into_iter().enumerate() {
                prop_assert_eq!(found & (1 << place) != 0, lane == number ^ high);
            }
        }
    }
}
