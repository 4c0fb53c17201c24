//! Memory of this process for a ring: heap, or huge pages with what there is instead.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::protocol::{Control, Parts, SLOT_BYTES, Slot};
use super::{Backed, RingError};

/// Bytes before the slots: the control, on a page of its own.
pub(super) const CONTROL_BYTES: usize = 4096;
/// Bytes of a page.
const PAGE_BYTES: usize = 4096;
/// Bytes of a huge page, and their logarithm.
const HUGE_BYTES: usize = 1 << HUGE_BITS;
const HUGE_BITS: u8 = 21;

const _: () = assert!(size_of::<Slot>() == SLOT_BYTES && align_of::<Slot>() == SLOT_BYTES);
const _: () = assert!(size_of::<Control>() <= CONTROL_BYTES);
const _: () = assert!(CONTROL_BYTES.is_multiple_of(SLOT_BYTES));

/// Bytes of a ring of `slots`, all told.
pub(super) fn region_bytes(slots: usize) -> usize {
    CONTROL_BYTES + slots * SLOT_BYTES
}

/// The parts of a ring whose control is at `start` and whose slots follow [`CONTROL_BYTES`] later.
///
/// # Safety
/// As for [`Parts::new`], for [`region_bytes`] bytes at `start`, which is aligned to a slot.
pub(super) unsafe fn parts(start: NonNull<u8>, slots: usize, keep: Arc<dyn Send + Sync>) -> Parts {
    // SAFETY: the region is larger than the control.
    let first = unsafe { start.add(CONTROL_BYTES) };
    // SAFETY: handed on to the caller; both addresses are aligned as `start` is.
    unsafe { Parts::new(start.cast::<Control>(), first.cast::<Slot>(), slots, keep) }
}

struct Heap {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: owns plain memory; nothing in it belongs to a thread.
unsafe impl Send for Heap {}
// SAFETY: gives no access by itself.
unsafe impl Sync for Heap {}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: allocated in `heap` with this layout, and both sides of the ring are gone.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// A ring on the heap, every page touched.
pub(super) fn heap(slots: usize) -> Parts {
    let layout = Layout::from_size_align(region_bytes(slots), PAGE_BYTES)
        .expect("the limit on slots keeps this far below the largest layout");
    // SAFETY: the layout is larger than nothing.
    let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
        handle_alloc_error(layout)
    };
    // SAFETY: just allocated, of that size.
    unsafe { touch(start, region_bytes(slots)) };
    // SAFETY: zeroed memory is an empty ring; `Heap` frees it when both sides are gone.
    unsafe { parts(start, slots, Arc::new(Heap { start, layout })) }
}

/// A ring on huge pages; failing that on pages the kernel is asked to make huge; failing that on plain ones.
pub(super) fn huge(slots: usize) -> Result<(Parts, Backed), RingError> {
    let bytes = region_bytes(slots).next_multiple_of(HUGE_BYTES);
    if let Ok(map) = MmapOptions::new().len(bytes).huge(Some(HUGE_BITS)).map_anon() {
        let map = MmapRaw::from(map);
        let start = mapped_start(&map, 1)?;
        // SAFETY: mapped with at least that size.
        unsafe { touch(start, region_bytes(slots)) };
        // SAFETY: fresh anonymous memory is zero, an empty ring; the map lives as long as the parts.
        return Ok((unsafe { parts(start, slots, Arc::new(map)) }, Backed::HugePages));
    }
    // One huge page more, so that an aligned one lies inside; what is not touched costs no memory.
    let map = MmapOptions::new().len(bytes + HUGE_BYTES).map_anon().map_err(RingError::Memory)?;
    let advised = map.advise(Advice::HugePage).is_ok();
    let map = MmapRaw::from(map);
    let start = mapped_start(&map, HUGE_BYTES)?;
    // SAFETY: the map is longer than the ring by as much as the alignment may take.
    unsafe { touch(start, region_bytes(slots)) };
    let backed =
        if advised && is_huge(start) { Backed::TransparentHugePages } else { Backed::Pages };
    // SAFETY: as above.
    Ok((unsafe { parts(start, slots, Arc::new(map)) }, backed))
}

/// The first address of `map` aligned to `align` bytes.
fn mapped_start(map: &MmapRaw, align: usize) -> Result<NonNull<u8>, RingError> {
    let start = NonNull::new(map.as_mut_ptr())
        .ok_or_else(|| RingError::Memory(io::Error::other("mapped at address 0")))?;
    // SAFETY: the caller's map is longer than the ring by `align`.
    Ok(unsafe { start.add(start.align_offset(align)) })
}

/// Writes a zero to every page, so that none is missing later.
///
/// # Safety
/// `bytes` at `start` are zero and this thread's own.
unsafe fn touch(start: NonNull<u8>, bytes: usize) {
    for offset in (0..bytes).step_by(PAGE_BYTES) {
        // SAFETY: inside the region.
        let page = unsafe { start.add(offset) };
        // SAFETY: valid for writing, and nobody else has it yet.
        unsafe { page.write_volatile(0) };
    }
}

/// Whether the kernel made the page at `start` huge, as `/proc/self/smaps` tells. Where it does not tell, no.
fn is_huge(start: NonNull<u8>) -> bool {
    let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") else { return false };
    let mut inside = false;
    for line in smaps.lines() {
        if let Some((low, high)) = address_range(line) {
            inside = (low..high).contains(&start.addr().get());
        } else if let Some(size) = line.strip_prefix("AnonHugePages:").filter(|_| inside) {
            return size.trim() != "0 kB";
        }
    }
    false
}

/// The addresses of a mapping, if `line` opens one (`7f00-7f10 rw-p …`).
fn address_range(line: &str) -> Option<(usize, usize)> {
    let (low, high) = line.split(' ').next()?.split_once('-')?;
    Some((usize::from_str_radix(low, 16).ok()?, usize::from_str_radix(high, 16).ok()?))
}
