//! Large tables on large pages.
#![allow(unsafe_code, reason = "the kernel's advice takes a raw pointer")]

/// Bytes of a large page of x86-64, and of what the kernel takes for one elsewhere with pages of 4 KiB.
const LARGE_PAGE: usize = 2 << 20;

/// `len` times `value`: in memory for which the kernel was asked for large pages before it was touched, so that to look
/// around in it at random needs no walk through page tables, which costs as much again as a cache miss, in a virtual machine
/// several times as much. Where there are none, in memory like any other. Allocates and touches all of it.
pub fn table<T: Copy>(value: T, len: usize) -> Box<[T]> {
    let mut table = Vec::with_capacity(len);
    ask_for_large_pages(&mut table);
    table.resize(len, value);
    table.into_boxed_slice()
}

/// Asks for large pages for what an empty vector has room for.
pub fn ask_for_large_pages<T>(table: &mut Vec<T>) {
    let room = table.spare_capacity_mut();
    let (start, bytes) = (room.as_mut_ptr().cast::<u8>(), size_of_val(room));
    // Whole large pages only: what else lies on the others is none of ours.
    let skipped = start.align_offset(LARGE_PAGE);
    let Some(bytes) = bytes.checked_sub(skipped).map(|rest| rest - rest % LARGE_PAGE) else {
        return;
    };
    if bytes == 0 {
        return;
    }
    // SAFETY: the range lies within the vector's own allocation; the advice changes no byte of it. A refusal is no fault.
    unsafe {
        libc::madvise(start.wrapping_add(skipped).cast(), bytes, libc::MADV_HUGEPAGE);
    }
}
