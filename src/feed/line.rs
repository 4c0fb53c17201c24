//! What one line brought, for whoever wants to know which line is bad.

use crate::types::Nanos;

/// Numbers behind a line's own highest of which it is known whether the line brought them.
const REMEMBERED: u64 = 65_536;

/// Packets that a line sends in a row from before the numbers it told of, until it has taken those back: one that overtook
/// a few others is not taken back.
const CONTRARY: u32 = 8;
/// As many where the numbers were told of so long ago that nothing can have overtaken them.
const CONTRARY_LATE: u32 = 2;

/// What a line brought. Every packet with messages is exactly one of `first`, `late` and `duplicates`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LineCounts {
    /// Packets of the session, heartbeats too.
    pub packets: u64,
    /// Packets with a message that nobody had brought before.
    pub first: u64,
    /// Packets whose messages the other line, or the recovery, had brought before.
    pub late: u64,
    /// Packets whose messages this very line had brought before.
    pub duplicates: u64,
    /// Packets that came after one that follows them on this line, other than duplicates.
    pub out_of_order: u64,
    /// Messages this line passed over and did not bring until now. Those still on their way count.
    pub missing: u64,
    /// Datagrams refused as a whole.
    pub errors: u64,
    /// Packets that told of another session, of the end of this one or of a number far ahead and were not believed when
    /// they came, and numbers told of that the line took back: many of them show a line that is bad.
    pub doubted: u64,
}

/// How a packet stands to those the line brought before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Beyond all of them, at least in part.
    Ahead,
    /// Behind, and brings what was passed over.
    Behind,
    /// Brings nothing that this line had not brought.
    Again,
}

/// One line of a channel.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// One past the highest number it brought or told of.
    pub(super) end: u64,
    /// When it was last heard; `None` in this session not yet.
    pub(super) heard: Option<Nanos>,
    pub(super) counts: LineCounts,
    /// One past the highest number it told of beyond the one that was awaited then.
    claimed: u64,
    /// When it last told of numbers beyond.
    claimed_at: Nanos,
    /// Where it went on from when it last passed numbers over, and goes on if it takes that back.
    resume: u64,
    /// Packets with which it went on from there in a row.
    contrary: u32,
    /// A bit for each of the last numbers, by number modulo [`REMEMBERED`]: whether the line brought it.
    brought: Vec<u64>,
}

impl Line {
    pub(super) fn new() -> Line {
        let words = usize::try_from(REMEMBERED / 64).expect("few");
        Line {
            end: 1,
            heard: None,
            counts: LineCounts::default(),
            claimed: 0,
            claimed_at: Nanos(0),
            resume: 0,
            contrary: 0,
            brought: vec![0; words],
        }
    }

    /// A session begins: what came before `first` is not missing.
    pub(super) fn begin(&mut self, first: u64) {
        self.end = first;
        self.heard = None;
        (self.claimed, self.resume, self.contrary) = (0, first, 0);
        self.brought.fill(u64::MAX);
    }

    /// The line tells that the next message has this number.
    #[inline]
    pub(super) fn told(&mut self, sequence: u64) {
        if sequence > self.end {
            self.pass_over(sequence);
        }
    }

    /// The numbers from its end to `sequence` were not brought.
    #[cold]
    fn pass_over(&mut self, sequence: u64) {
        self.counts.missing = self.counts.missing.saturating_add(sequence - self.end);
        self.set(self.end.max(sequence.saturating_sub(REMEMBERED)), sequence, false);
        (self.resume, self.contrary) = (self.end, 0);
        self.end = sequence;
    }

    /// Whether it was heard no longer than `silence_ns` ago.
    #[inline]
    pub(super) fn is_alive(&self, silence_ns: u64, now: Nanos) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) <= silence_ns)
    }

    /// Whether it stands by its word that messages beyond `next` exist.
    pub(super) const fn stands_by(&self, next: u64) -> bool {
        self.claimed > next
    }

    /// Its packet told that messages up to `end` exist, though `next` is awaited.
    pub(super) fn claim(&mut self, end: u64, now: Nanos) {
        (self.claimed, self.claimed_at) = (self.claimed.max(end), now);
        self.contrary = 0;
    }

    /// Its packet with the messages `first..end`, or none, is not ahead of `next`. Whether it is one of enough with which it
    /// went on from before the numbers that it told of: then it is back there.
    pub(super) fn takes_back(
        &mut self,
        (first, end): (u64, u64),
        next: u64,
        wait_ns: u64,
        now: Nanos,
    ) -> bool {
        if !self.stands_by(next) || first < self.resume {
            return false;
        }
        self.resume = end;
        self.contrary += 1;
        let is_late = now.since(self.claimed_at) >= wait_ns;
        if self.contrary < if is_late { CONTRARY_LATE } else { CONTRARY } {
            return false;
        }
        // What it passed over is not missing on this line: it was never told of.
        let from = end.max(self.end.saturating_sub(REMEMBERED));
        let passed = (from..self.end).filter(|&number| !self.has_brought(number)).count();
        let passed = u64::try_from(passed).unwrap_or(0);
        self.counts.missing = self.counts.missing.saturating_sub(passed);
        self.counts.doubted += 1;
        (self.end, self.claimed, self.contrary) = (end, 0, 0);
        true
    }

    /// Counts a packet with messages.
    #[inline]
    pub(super) fn note(&mut self, place: Place, is_new: bool) {
        let counts = &mut self.counts;
        counts.out_of_order += u64::from(place == Place::Behind);
        match (is_new, place) {
            (true, _) => counts.first += 1,
            (false, Place::Again) => counts.duplicates += 1,
            (false, Place::Ahead | Place::Behind) => counts.late += 1,
        }
    }

    fn has_brought(&self, number: u64) -> bool {
        let (word, bit) = bit(number);
        self.brought[word] & bit != 0
    }

    /// A packet with the messages `first..end`, of which there is at least one.
    #[inline]
    pub(super) fn brought(&mut self, first: u64, end: u64) -> Place {
        if first < self.end {
            return self.behind(first, end);
        }
        self.told(first);
        self.set(first, end, true);
        self.end = end;
        Place::Ahead
    }

    #[cold]
    fn behind(&mut self, first: u64, end: u64) -> Place {
        let passed = end.min(self.end);
        let mut late = 0;
        // What is too long ago to be known is taken for a duplicate.
        for number in first.max(self.end.saturating_sub(REMEMBERED))..passed {
            let (word, bit) = bit(number);
            late += u64::from(self.brought[word] & bit == 0);
            self.brought[word] |= bit;
        }
        self.counts.missing = self.counts.missing.saturating_sub(late);
        if end > self.end {
            self.set(passed, end, true);
            self.end = end;
            return Place::Ahead;
        }
        if late > 0 { Place::Behind } else { Place::Again }
    }

    /// Sets or clears the bits of `from..to`, which are at most [`REMEMBERED`]; 64 a step.
    #[inline]
    fn set(&mut self, from: u64, to: u64, brought: bool) {
        let mut at = from;
        while at < to {
            let (word, bit) = bit(at);
            let shift = bit.trailing_zeros();
            let count = (to - at).min(64 - u64::from(shift));
            let mask = (u64::MAX >> (64 - count)) << shift;
            if brought {
                self.brought[word] |= mask;
            } else {
                self.brought[word] &= !mask;
            }
            at += count;
        }
    }
}

#[inline]
fn bit(number: u64) -> (usize, u64) {
    let place = usize::try_from(number % REMEMBERED).expect("below 65,536");
    (place / 64, 1 << (place % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::prng::SplitMix;
    use std::collections::BTreeSet;

    #[test]
    fn a_line_going_back_is_out_of_order_where_it_brings_something_and_a_duplicate_else() {
        let mut line = Line::new();
        assert_eq!(line.brought(1, 3), Place::Ahead);
        assert_eq!(line.brought(5, 6), Place::Ahead);
        assert_eq!(line.counts.missing, 2);
        assert_eq!(line.brought(1, 3), Place::Again);
        assert_eq!(line.brought(2, 4), Place::Behind, "message 3 is new");
        assert_eq!(line.brought(3, 4), Place::Again);
        assert_eq!(line.counts.missing, 1);
        line.told(9);
        assert_eq!((line.counts.missing, line.end), (4, 9));
        assert_eq!(line.brought(8, 11), Place::Ahead, "beyond, though it begins before");
        assert_eq!((line.counts.missing, line.end), (3, 11));
    }

    #[test]
    fn what_is_long_ago_is_taken_for_a_duplicate() {
        let mut line = Line::new();
        line.told(10);
        line.told(10 + REMEMBERED);
        assert_eq!(line.brought(9, 10), Place::Again);
        assert_eq!(line.brought(10, 11), Place::Behind);
        assert_eq!(line.brought(10, 11), Place::Again);
        line.told(u64::MAX);
        assert_eq!(line.brought(u64::MAX - 1, u64::MAX), Place::Behind);
    }

    #[test]
    fn it_counts_what_a_set_counts() {
        for seed in 0..50 {
            let mut random = SplitMix::new(seed);
            let (mut line, mut plain, mut end) = (Line::new(), BTreeSet::new(), 1);
            for _ in 0..3_000 {
                let (ahead, back) = (u64::from(random.below(80)), u64::from(random.below(200)));
                let first = (end + ahead).saturating_sub(back).max(1);
                let last = first + 1 + u64::from(random.below(70));
                let before = plain.len();
                plain.extend(first..last);
                let place = match (last > end, plain.len() > before) {
                    (true, _) => Place::Ahead,
                    (false, true) => Place::Behind,
                    (false, false) => Place::Again,
                };
                end = end.max(last);
                assert_eq!(line.brought(first, last), place, "seed {seed}");
                let brought = u64::try_from(plain.len()).expect("few");
                assert_eq!((line.end, line.counts.missing), (end, end - 1 - brought));
            }
        }
    }
}
