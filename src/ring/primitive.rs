//! What the protocol needs of the machine: atomics, and payload bytes that two sides may point at.
//!
//! The model checker's crate (`tests/loom`) puts a module of this name and shape in this one's place, with types that
//! record every access, so that what it checks is [`protocol`](super::protocol) itself and no copy of it.

use std::cell::UnsafeCell;

pub(super) use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of a slot. All bit patterns are valid, so zeroed memory is one.
#[repr(transparent)]
pub(super) struct Payload<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

impl<const BYTES: usize> Payload<BYTES> {
    /// Where to write. The caller owns the slot as the producer.
    #[inline(always)]
    pub(super) fn write_ptr(&self) -> *mut u8 {
        self.0.get().cast()
    }

    /// Where to read. The caller owns the slot as the consumer.
    #[inline(always)]
    pub(super) fn read_ptr(&self) -> *const u8 {
        self.0.get().cast_const().cast()
    }
}
