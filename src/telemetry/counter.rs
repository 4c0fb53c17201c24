//! A number with one writer and any number of readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter or gauge that one agent writes. Not `Clone`: one writer. Readers come from the registry.
#[derive(Debug)]
pub struct Counter {
    cell: Arc<AtomicU64>,
}

impl Counter {
    pub(super) fn over(cell: Arc<AtomicU64>) -> Counter {
        Counter { cell }
    }

    /// Adds `count`. About a nanosecond. Wraps at 2^64.
    #[inline]
    pub fn add(&self, count: u64) {
        // Relaxed: the number stands for itself and publishes nothing else. One writer: no lost update.
        self.cell.store(self.cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&self, value: u64) {
        self.cell.store(value, Ordering::Relaxed);
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
        self.cell.load(Ordering::Relaxed)
    }
}
