//! Asks the processor to bring memory near before it is needed.
#![allow(unsafe_code, reason = "the processor's hint takes a raw pointer")]

/// Asks for the cache line of `slice[index]`, to be read or written soon. Returns at once, reads nothing, and does nothing
/// where `index` lies outside or the processor has no such hint. About a nanosecond.
#[inline]
pub fn prefetch<T>(slice: &[T], index: usize) {
    ask(slice.as_ptr().wrapping_add(index));
}

/// As [`prefetch`], for what is at an address, whatever that is: nothing is read.
#[inline]
pub fn prefetch_address<T>(at: *const T) {
    ask(at);
}

/// As [`prefetch`], for every cache line of an element that begins with one.
#[inline]
pub fn prefetch_row<T>(slice: &[T], index: usize) {
    let row = slice.as_ptr().wrapping_add(index).cast::<[u8; LINE_BYTES]>();
    for line in 0..size_of::<T>().div_ceil(LINE_BYTES) {
        ask(row.wrapping_add(line));
    }
}

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

#[inline]
fn ask<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the hint does not access memory as far as the program can tell: it never faults, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
