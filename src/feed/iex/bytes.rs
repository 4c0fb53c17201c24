//! Fields at constant offsets of an array, little-endian as all of IEX ("Data Types" of each specification).

use crate::types::Symbol;

#[inline]
pub(super) fn le16<const N: usize>(m: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes([m[at], m[at + 1]])
}

#[inline]
pub(super) fn le32<const N: usize>(m: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([m[at], m[at + 1], m[at + 2], m[at + 3]])
}

#[inline]
fn eight<const N: usize>(m: &[u8; N], at: usize) -> [u8; 8] {
    [m[at], m[at + 1], m[at + 2], m[at + 3], m[at + 4], m[at + 5], m[at + 6], m[at + 7]]
}

/// A Long: signed.
#[inline]
pub(super) fn long<const N: usize>(m: &[u8; N], at: usize) -> i64 {
    i64::from_le_bytes(eight(m, at))
}

#[inline]
pub(super) fn symbol<const N: usize>(m: &[u8; N], at: usize) -> Symbol {
    Symbol::from_wire(eight(m, at))
}
