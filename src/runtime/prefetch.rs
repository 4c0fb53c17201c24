//! Asks the processor to bring memory near before it is needed.
#![allow(unsafe_code, reason = "the processor's hint takes a raw pointer")]

/// Asks for the cache line of `slice[index]`, to be read or written soon. Returns at once, reads nothing, and does nothing
/// where `index` lies outside or the processor has no such hint. About a nanosecond.
#[inline]
pub fn prefetch<T>(slice: &[T], index: usize) {
    let at = slice.as_ptr().wrapping_add(index);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the hint does not access memory as far as the program can tell: it never faults, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
