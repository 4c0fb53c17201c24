//! The allocator that knows when it must not be asked: it counts, or aborts on, every call made inside a hot `poll`.
//!
//! The run loop marks the thread as hot, with the agent's name, around `poll` and `on_phase`. A program installs the
//! allocator with `#[global_allocator]`; where it is not installed nothing is counted. What C code takes from `malloc`
//! does not pass here.
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};

/// What an allocation in a hot `poll` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OnHotAllocation {
    /// It is counted: production.
    Count = 0,
    /// It prints the agent's name and aborts the process: tests.
    Abort = 1,
}

impl OnHotAllocation {
    /// What suits this build: debug builds abort, optimised ones count.
    pub const fn of_this_build() -> OnHotAllocation {
        if cfg!(debug_assertions) { OnHotAllocation::Abort } else { OnHotAllocation::Count }
    }
}

static ABORTS: AtomicU8 = AtomicU8::new(0);

thread_local! {
    // Constant, and without a destructor: so reading them allocates nothing and works until the thread's very end.
    static HOT_AGENT: Cell<Option<&'static str>> = const { Cell::new(None) };
    static HOT_COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Chooses, for the whole process, what an allocation in a hot `poll` does. Without this call it is counted.
pub fn on_hot_allocation(choice: OnHotAllocation) {
    // Relaxed: a thread that sees the choice a moment later only counts where it should abort.
    ABORTS.store(u8::from(choice == OnHotAllocation::Abort), Ordering::Relaxed);
}

/// Calls to the allocator made on this thread while it was hot: allocations, reallocations and deallocations.
#[inline]
pub fn hot_allocation_count() -> u64 {
    HOT_COUNT.get()
}

/// While this lives the thread is hot. Leaves by drop, so that a panic leaves too.
#[derive(Debug)]
pub struct HotZone {
    _private: (),
}

impl HotZone {
    /// The thread is in `agent`'s `poll`. About a nanosecond.
    #[inline]
    pub fn enter(agent: &'static str) -> HotZone {
        HOT_AGENT.set(Some(agent));
        HotZone { _private: () }
    }
}

impl Drop for HotZone {
    #[inline]
    fn drop(&mut self) {
        HOT_AGENT.set(None);
    }
}

/// The system's allocator behind the guard.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuardedAllocator;

// SAFETY: every call is passed to `System` unchanged, and the guard before it neither allocates nor unwinds.
unsafe impl GlobalAlloc for GuardedAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check();
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check();
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        check();
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is `System`'s, and all memory comes from `System`.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        check();
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is `System`'s, and all memory comes from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[inline]
fn check() {
    if let Some(agent) = HOT_AGENT.get() {
        violation(agent);
    }
}

#[cold]
fn violation(agent: &'static str) {
    // A panic formats its message before anyone can leave the zone; the panic is what must be reported.
    if std::thread::panicking() {
        return;
    }
    HOT_COUNT.set(HOT_COUNT.get().wrapping_add(1));
    if ABORTS.load(Ordering::Relaxed) == 0 {
        return;
    }
    // From here on the process is lost, and finding the culprit may allocate.
    HOT_AGENT.set(None);
    write_to_stderr(b"allocation in the hot poll of agent `");
    write_to_stderr(agent.as_bytes());
    write_to_stderr(b"`: aborting (RUST_BACKTRACE=1 shows where)\n");
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
        eprintln!("{}", std::backtrace::Backtrace::force_capture());
    }
    std::process::abort();
}

fn write_to_stderr(bytes: &[u8]) {
    // SAFETY: the pointer and length are those of a live slice; a failed write has nobody left to be told.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_calls_are_counted_exactly_and_others_not_at_all() {
        let before = hot_allocation_count();
        let cold = std::hint::black_box(Box::new(1_u64));
        assert_eq!(hot_allocation_count(), before);
        {
            let _zone = HotZone::enter("test");
            let hot = std::hint::black_box(Box::new(2_u64)); // 1: alloc
            let mut grown: Vec<u64> = Vec::with_capacity(4); // 2: alloc
            grown.extend_from_slice(&[1, 2, 3, 4, 5]); // 3: realloc
            drop(std::hint::black_box(hot)); // 4: dealloc
            drop(std::hint::black_box(grown)); // 5: dealloc
        }
        assert_eq!(hot_allocation_count(), before + 5);
        drop(cold);
        assert_eq!(hot_allocation_count(), before + 5, "the zone was left");
    }

    #[test]
    fn a_panic_leaves_the_zone_and_its_message_is_not_counted() {
        let before = hot_allocation_count();
        let caught = std::panic::catch_unwind(|| {
            let _zone = HotZone::enter("test");
            panic!("{}", "formatted on purpose");
        });
        assert!(caught.is_err());
        let cold = std::hint::black_box(vec![0_u8; 100]);
        drop(cold);
        assert_eq!(hot_allocation_count(), before);
    }
}
