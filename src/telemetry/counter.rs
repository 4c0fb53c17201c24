//! A number with one writer and any number of readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// How many counters share a block. Sixteen are two cache lines: what the processor's prefetcher moves as one.
pub(super) const BLOCK_CELLS: usize = 16;

/// Counters of one agent, on cache lines of their own: two agents on two cores never write the same line.
#[derive(Debug, Default)]
pub(super) struct Block {
    cells: CachePadded<[AtomicU64; BLOCK_CELLS]>,
}

impl Block {
    /// The number in `slot`, of `0..BLOCK_CELLS`.
    pub(super) fn get(&self, slot: usize) -> u64 {
        self.cells[slot].load(Ordering::Relaxed)
    }
}

/// A counter or gauge that one agent writes. Not `Clone`: one writer. Readers come from the registry.
#[derive(Debug)]
pub struct Counter {
    block: Arc<Block>,
    slot: usize,
}

impl Counter {
    pub(super) fn over(block: &Arc<Block>, slot: usize) -> Counter {
        assert!(slot < BLOCK_CELLS, "slot {slot} is outside a block");
        Counter { block: Arc::clone(block), slot }
    }

    #[inline]
    fn cell(&self) -> &AtomicU64 {
        // The mask says to the compiler what `over` asserted, so that no bounds check is left.
        &self.block.cells[self.slot & (BLOCK_CELLS - 1)]
    }

    /// Adds `count`. About a nanosecond. Wraps at 2^64.
    #[inline]
    pub fn add(&self, count: u64) {
        let cell = self.cell();
        // Relaxed: the number stands for itself and publishes nothing else. One writer: no lost update.
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&self, value: u64) {
        self.cell().store(value, Ordering::Relaxed);
    }

    /// Sets a gauge to `value` if that is more.
    #[inline]
    pub fn raise(&self, value: u64) {
        if value > self.get() {
            self.set(value);
        }
    }

    /// The number.
    #[inline]
    pub fn get(&self) -> u64 {
        self.cell().load(Ordering::Relaxed)
    }
}
