//! The agent: keeps segments ready ahead of the writer, seals those it has filled. The only one of the journal who calls
//! the kernel, and so not for a thread that anything waits for.

use std::path::PathBuf;

use crate::journal::handoff::{Giver, Taker};
use crate::journal::open::has_reserve;
use crate::journal::segment::Segment;
use crate::runtime::{Agent, Fatal};
use crate::telemetry::{Counter, Registry};
use crate::types::Nanos;

/// How long to wait after a segment could not be made: the disk may have room again by then.
const RETRY_NS: u64 = 100_000_000;

/// The agent `journal`.
#[derive(Debug)]
pub struct JournalAgent {
    directory: PathBuf,
    segment_bytes: usize,
    segments_ahead: usize,
    reserve_bytes: u64,
    next_segment: u64,
    /// None once closed.
    ready: Option<Giver<Segment>>,
    full: Taker<Segment>,
    retry_at: Nanos,
    metrics: Metrics,
    /// Keeps the directory for this process.
    _lock: std::fs::File,
}

#[derive(Debug)]
struct Metrics {
    made: Counter,
    failed: Counter,
    ready: Counter,
    sealed: Counter,
}

/// What the agent is built from.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) directory: PathBuf,
    pub(super) segment_bytes: usize,
    pub(super) segments_ahead: usize,
    pub(super) reserve_bytes: u64,
    pub(super) next_segment: u64,
    pub(super) ready: Giver<Segment>,
    pub(super) full: Taker<Segment>,
    pub(super) lock: std::fs::File,
}

impl JournalAgent {
    pub(super) fn new(parts: Parts, registry: &Registry) -> JournalAgent {
        JournalAgent {
            directory: parts.directory,
            segment_bytes: parts.segment_bytes,
            segments_ahead: parts.segments_ahead,
            reserve_bytes: parts.reserve_bytes,
            next_segment: parts.next_segment,
            ready: Some(parts.ready),
            full: parts.full,
            retry_at: Nanos(0),
            metrics: Metrics {
                made: registry.counter("journal_segment_count"),
                failed: registry.counter("journal_segment_failure_count"),
                ready: registry.counter("journal_segment_ready_count"),
                sealed: registry.counter("journal_segment_sealed_count"),
            },
            _lock: parts.lock,
        }
    }

    /// Makes one segment if one is missing. A failure is counted and tried again later; meanwhile risk refuses new orders when
    /// it has none left, and takes them again when there is one.
    fn prepare(&mut self, now: Nanos) -> usize {
        let Some(ready) = &mut self.ready else { return 0 };
        let waiting = ready.waiting();
        self.metrics.ready.set(u64::try_from(waiting).unwrap_or(u64::MAX));
        if waiting >= self.segments_ahead || now < self.retry_at {
            return 0;
        }
        let segment = has_reserve(&self.directory, self.segment_bytes, self.reserve_bytes)
            .then(|| Segment::create(&self.directory, self.next_segment, self.segment_bytes));
        match segment {
            Some(Ok(segment)) => {
                let given = ready.put(Box::new(segment));
                assert!(given.is_ok(), "there are more places than segments ahead");
                self.next_segment += 1;
                self.metrics.made.increment();
                self.metrics.ready.set(u64::try_from(waiting + 1).unwrap_or(u64::MAX));
            }
            None | Some(Err(_)) => {
                self.metrics.failed.increment();
                self.retry_at = now.plus(RETRY_NS);
            }
        }
        1
    }

    fn seal(&mut self) -> usize {
        let Some(segment) = self.full.take() else { return 0 };
        match segment.seal(&self.directory) {
            Ok(()) => self.metrics.sealed.increment(),
            // The records are in the file all the same; the next start tries again.
            Err(_) => self.metrics.failed.increment(),
        }
        1
    }
}

impl Agent for JournalAgent {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn poll(&mut self, now: Nanos) -> Result<usize, Fatal> {
        Ok(self.prepare(now) + self.seal())
    }

    fn on_close(&mut self, _now: Nanos) {
        if let Some(ready) = self.ready.take() {
            for segment in ready.recall() {
                if segment.discard().is_err() {
                    self.metrics.failed.increment();
                }
            }
        }
        while self.seal() > 0 {}
    }
}
