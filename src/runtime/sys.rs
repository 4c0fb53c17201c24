//! The calls into the operating system that `runtime` needs: one function each, safe outside, errors as values.
#![allow(unsafe_code, reason = "the machine part of `runtime`: libc calls without a safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use crate::runtime::cores::{CORE_COUNT_MAX, CoreSet};

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

/// The cores the calling thread may run on.
pub(super) fn affinity() -> CoreSet {
    let mut mask = empty_mask();
    // SAFETY: the mask is ours and of the size given; 0 is the calling thread.
    let status = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut mask) };
    if status != 0 {
        return CoreSet::new();
    }
    (0..CORE_COUNT_MAX)
        // SAFETY: `core` is below `CPU_SETSIZE`, which `CORE_COUNT_MAX` is asserted to be.
        .filter(|core| unsafe { libc::CPU_ISSET(*core, &mask) })
        .collect()
}

const _: () = assert!(libc::CPU_SETSIZE == 1024 && CORE_COUNT_MAX == 1024);

/// Lets the calling thread run on `cores` and nowhere else. The kernel silently drops cores that are offline or outside
/// the control group.
///
/// # Errors
/// If none is left.
pub(super) fn set_affinity(cores: &CoreSet) -> io::Result<()> {
    let mut mask = empty_mask();
    for core in cores.iter() {
        // SAFETY: a `CoreSet` holds numbers below `CORE_COUNT_MAX`; `CPU_SET` panics above.
        unsafe { libc::CPU_SET(core, &mut mask) };
    }
    // SAFETY: the mask is ours and of the size given; 0 is the calling thread.
    let status =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const mask) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The cores the control group lets this process move to, whatever affinity it was started with.
///
/// Found by asking for all, on a thread of its own so that nobody else's affinity changes.
pub(super) fn reachable_cores() -> CoreSet {
    let asker = std::thread::Builder::new().name("core-probe".to_owned()).spawn(|| {
        match set_affinity(&CoreSet::first(CORE_COUNT_MAX)) {
            Ok(()) => affinity(),
            Err(_) => CoreSet::new(),
        }
    });
    asker.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(affinity)
}

fn empty_mask() -> libc::cpu_set_t {
    // SAFETY: a cpu_set_t is an array of integers, for which zeros are a value.
    unsafe { std::mem::zeroed() }
}

/// Makes the calling thread's short sleeps end when they should: the kernel else adds up to 50 µs.
pub(super) fn set_timer_slack() {
    let slack: libc::c_ulong = 1;
    // SAFETY: PR_SET_TIMERSLACK takes one number and touches no memory of ours.
    let _ = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack) };
}

/// The limit on locked memory, in bytes; none means no limit.
pub(super) fn locked_memory_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit of ours for the whole call.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    (status == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Locks what is mapped now and what will be.
///
/// # Errors
/// As the kernel says.
pub(super) fn lock_memory() -> io::Result<()> {
    // SAFETY: takes flags only.
    let status = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Undoes [`lock_memory`].
pub(super) fn unlock_memory() {
    // SAFETY: takes nothing.
    let _ = unsafe { libc::munlockall() };
}

/// Moves the calling thread into a network namespace.
///
/// # Errors
/// As the kernel says.
pub(super) fn enter_network(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes two numbers and touches no memory of ours; the kernel checks what the descriptor is of.
    let status = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets a parameter of the C library's allocator; whether it took it.
pub(super) fn set_malloc(parameter: MallocParameter, value: i32) -> bool {
    let parameter = match parameter {
        MallocParameter::TrimThreshold => libc::M_TRIM_THRESHOLD,
        MallocParameter::MmapMax => libc::M_MMAP_MAX,
        MallocParameter::ArenaMax => libc::M_ARENA_MAX,
    };
    // SAFETY: takes two numbers; glibc refuses a bad one with 0.
    unsafe { libc::mallopt(parameter, value) == 1 }
}

/// Gives free memory of the heap back to the kernel.
pub(super) fn trim_malloc() {
    // SAFETY: takes a number, and touches nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

/// What [`set_malloc`] sets.
#[derive(Clone, Copy, Debug)]
pub(super) enum MallocParameter {
    /// Free bytes at the heap's end above which they go back to the kernel.
    TrimThreshold,
    /// Allocations served by a mapping each.
    MmapMax,
    /// Heaps.
    ArenaMax,
}
