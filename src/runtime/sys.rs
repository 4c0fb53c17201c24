//! The calls into the operating system that `runtime` needs: one function each, safe outside, errors as values.
#![allow(unsafe_code, reason = "the machine part of `runtime`: libc calls without a safe wrapper")]

use std::time::Duration;

/// Which clock of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KernelClock {
    /// `CLOCK_MONOTONIC`.
    Monotonic,
    /// `CLOCK_REALTIME`: UTC.
    Realtime,
}

/// Reads a kernel clock, in nanoseconds. About 23 ns through the vDSO.
#[inline]
pub(super) fn read_clock(clock: KernelClock) -> u64 {
    let id = match clock {
        KernelClock::Monotonic => libc::CLOCK_MONOTONIC,
        KernelClock::Realtime => libc::CLOCK_REALTIME,
    };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec of ours for the whole call, and both ids exist on every Linux.
    let status = unsafe { libc::clock_gettime(id, &raw mut time) };
    assert!(status == 0, "clock_gettime refused a clock that every Linux has");
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos)
}

/// Sleeps at least `duration` (below one second), in one system call; a signal may cut it short.
#[inline]
pub(super) fn nanosleep(duration: Duration) {
    let nanos = libc::c_long::from(i32::try_from(duration.subsec_nanos()).unwrap_or(i32::MAX));
    let time = libc::timespec { tv_sec: 0, tv_nsec: nanos };
    // SAFETY: `time` is a valid timespec of ours for the whole call; a null remainder is allowed.
    let _ = unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}
