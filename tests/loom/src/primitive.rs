//! What the protocol needs of the machine, in types that record every access for loom.
//!
//! The same names as `src/ring/primitive.rs`.

use loom::cell::UnsafeCell;

pub(super) use loom::sync::atomic::{AtomicU64, Ordering};

/// The bytes of a slot. Taking a pointer counts as the access: for the producer it lies after the look at the consumer's
/// position and before the commit, for the consumer after the look at the word and before the release, as all real accesses do.
pub(super) struct Payload<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

impl<const BYTES: usize> Payload<BYTES> {
    /// Zeros.
    pub(super) fn new() -> Payload<BYTES> {
        Payload(UnsafeCell::new([0; BYTES]))
    }

    /// Where to write, counted as a write.
    pub(super) fn write_ptr(&self) -> *mut u8 {
        self.0.with_mut(|bytes| bytes.cast())
    }

    /// Where to read, counted as a read.
    pub(super) fn read_ptr(&self) -> *const u8 {
        self.0.with(|bytes| bytes.cast())
    }
}
