//! Memory that the kernel and we both write to: mapped, and given back when dropped.

#![allow(unsafe_code, reason = "mmap, and reads and writes at addresses the kernel names")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::runtime::prefetch_address;

/// Bytes of a huge page.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A mapping of `len` bytes.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
    /// What was mapped: it, and what lies before and behind it.
    whole: (NonNull<u8>, usize),
    is_huge: bool,
}

// SAFETY: the mapping is the process's, not the thread's, and its owner has the only handle to it.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        let (start, len) = self.whole;
        // SAFETY: `map` mapped so many bytes here, and nothing borrows from a `Mapping` that is dropped.
        unsafe { libc::munmap(start.as_ptr().cast(), len) };
    }
}

impl Mapping {
    /// At least `len` bytes of zeros, all touched: in huge pages where the machine has some ready, else in pages that the
    /// kernel may join to huge ones.
    pub(super) fn anonymous(len: usize) -> io::Result<Mapping> {
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let huge = len.next_multiple_of(HUGE_PAGE_BYTES);
        let pool = anonymous | libc::MAP_POPULATE | libc::MAP_HUGETLB;
        if let Ok(mut mapping) = map(None, huge, 0, pool) {
            mapping.is_huge = true;
            return Ok(mapping);
        }
        // From the beginning of a huge page on, and touched once that was asked for.
        let mut mapping = map(None, huge + HUGE_PAGE_BYTES, 0, anonymous)?;
        let skipped = mapping.start.as_ptr().align_offset(HUGE_PAGE_BYTES);
        // SAFETY: at most one huge page further, which is within.
        mapping.start = unsafe { mapping.start.add(skipped) };
        mapping.len = huge;
        let start: *mut libc::c_void = mapping.start.as_ptr().cast();
        // A refusal is no fault: the pages are small then.
        // SAFETY: the mapping's own pages, of which the advice changes no byte.
        unsafe { libc::madvise(start, huge, libc::MADV_HUGEPAGE) };
        // SAFETY: as above.
        let touched = unsafe { libc::madvise(start, huge, libc::MADV_POPULATE_WRITE) };
        if touched != 0 {
            // Kernels before 5.14 cannot do that; they give the pages when the umem is registered.
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EINVAL) {
                return Err(error);
            }
        }
        Ok(mapping)
    }

    /// One of a socket's rings.
    pub(super) fn ring(socket: BorrowedFd<'_>, len: usize, offset: i64) -> io::Result<Mapping> {
        map(Some(socket), len, offset, libc::MAP_SHARED | libc::MAP_POPULATE)
    }

    /// Whether it is in huge pages of the machine's pool.
    pub(super) const fn is_huge(&self) -> bool {
        self.is_huge
    }

    pub(super) fn address(&self) -> u64 {
        u64::try_from(self.start.addr().get()).unwrap_or(0)
    }

    /// The atomic word at `at` bytes.
    ///
    /// # Panics
    /// If it is not within the mapping or not aligned.
    pub(super) fn word(&self, at: usize) -> SharedWord {
        assert!(at.is_multiple_of(4) && at.saturating_add(4) <= self.len, "a word within");
        // SAFETY: just asserted to be within the mapping.
        let word = unsafe { self.start.add(at) };
        SharedWord(word.cast())
    }

    /// The array of `count` items at `at` bytes.
    ///
    /// # Panics
    /// As [`Mapping::word`].
    pub(super) fn array<T: Plain>(&self, at: usize, count: usize) -> SharedArray<T> {
        let fits = count.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(at));
        assert!(fits.is_some_and(|end| end <= self.len), "an array within");
        assert!(count.is_power_of_two() && at.is_multiple_of(align_of::<T>()), "aligned");
        // SAFETY: just asserted to be within the mapping.
        let start = unsafe { self.start.add(at) };
        SharedArray { start: start.cast(), mask: count - 1 }
    }

    /// The address of the byte at `at`.
    #[inline]
    pub(super) fn place(&self, at: usize) -> Option<NonNull<u8>> {
        // SAFETY: within the mapping, as just checked.
        (at < self.len).then(|| unsafe { self.start.add(at) })
    }

    /// The bytes from `at` on.
    ///
    /// # Safety
    /// Nobody writes to them while the slice lives: the kernel does not own that frame, and no slice to write to is given
    /// out for it.
    #[inline]
    pub(super) unsafe fn bytes(&self, at: usize, len: usize) -> Option<&[u8]> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return None;
        }
        // SAFETY: within the mapping, as just checked.
        let start = unsafe { self.start.add(at) };
        // SAFETY: within the mapping, initialized (it began as zeros), and not written to, by this function's contract.
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), len) })
    }

    /// The bytes from `at` on, to write to.
    ///
    /// # Safety
    /// As [`Mapping::bytes`], and nobody reads them either.
    #[inline]
    pub(super) unsafe fn bytes_mut(&mut self, at: usize, len: usize) -> Option<&mut [u8]> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return None;
        }
        // SAFETY: within the mapping, as just checked.
        let start = unsafe { self.start.add(at) };
        // SAFETY: within the mapping, initialized, and nobody else's, by this function's contract.
        Some(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) })
    }
}

fn map(
    file: Option<BorrowedFd<'_>>,
    len: usize,
    offset: i64,
    flags: libc::c_int,
) -> io::Result<Mapping> {
    let fd = file.map_or(-1, |file| file.as_raw_fd());
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping where the kernel finds room takes nothing from anybody.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, fd, offset) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
    Ok(Mapping { start, len, whole: (start, len), is_huge: false })
}

/// Types of which every bit pattern is a value, and that have no padding: the kernel may write any.
pub(super) trait Plain: Copy {}
impl Plain for u64 {}

/// A word that the kernel reads or writes too. To be kept beside its [`Mapping`], and not beyond it.
#[derive(Debug)]
pub(super) struct SharedWord(NonNull<AtomicU32>);

// SAFETY: an atomic may be used from any thread; whose life it is tied to is `Send` as well.
unsafe impl Send for SharedWord {}

impl SharedWord {
    #[inline]
    pub(super) fn load(&self, ordering: Ordering) -> u32 {
        // SAFETY: an aligned word of a mapping that its owner keeps beside it.
        unsafe { self.0.as_ref() }.load(ordering)
    }

    #[inline]
    pub(super) fn store(&self, value: u32, ordering: Ordering) {
        // SAFETY: as in `load`.
        unsafe { self.0.as_ref() }.store(value, ordering);
    }
}

/// The slots of a ring. To be kept beside its [`Mapping`], and not beyond it.
#[derive(Debug)]
pub(super) struct SharedArray<T> {
    start: NonNull<T>,
    mask: usize,
}

// SAFETY: plain values in a mapping that is `Send` as well.
unsafe impl<T: Plain> Send for SharedArray<T> {}

impl<T: Plain> SharedArray<T> {
    /// # Safety
    /// The kernel does not write to this slot: the ring's indices say that it is ours.
    #[inline]
    pub(super) unsafe fn read(&self, index: u32) -> T {
        let slot = usize::try_from(index).unwrap_or(0) & self.mask;
        // SAFETY: the mask keeps it within the array, which is within the mapping.
        let slot = unsafe { self.start.add(slot) };
        // SAFETY: aligned, within, any pattern is a value, and not written to, by this function's contract.
        unsafe { slot.read() }
    }

    /// Has a slot come into the cache.
    #[inline]
    pub(super) fn ask_for(&self, index: u32) {
        let slot = usize::try_from(index).unwrap_or(0) & self.mask;
        prefetch_address(self.start.as_ptr().wrapping_add(slot));
    }

    /// # Safety
    /// As [`SharedArray::read`].
    #[inline]
    pub(super) unsafe fn write(&self, index: u32, value: T) {
        let slot = usize::try_from(index).unwrap_or(0) & self.mask;
        // SAFETY: the mask keeps it within the array, which is within the mapping.
        let slot = unsafe { self.start.add(slot) };
        // SAFETY: aligned, within, and neither read nor written by the kernel now, by this function's contract.
        unsafe { slot.write(value) };
    }
}
