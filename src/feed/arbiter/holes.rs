//! Holes in a channel's sequence: how long each is waited for, when it is declared a gap, and what passes over it.

use crate::feed::arbiter::{Arbiter, end_of};
use crate::feed::packet::{Framing, Header};
use crate::types::Nanos;

impl<F: Framing> Arbiter<F> {
    /// One past the hole at the next number.
    pub(super) fn hole_end(&self) -> u64 {
        self.window.first_kept(self.window.base()).unwrap_or(self.end)
    }

    /// Looks at the holes, once all that can be taken was taken, and declares those for which it is time. Returns whether
    /// one was passed over, so that there may be more to take.
    pub fn judge_hole(&mut self, now: Nanos) -> bool {
        if self.declared != 0 && self.window.base() >= self.declared {
            self.declared = 0;
            self.counts.recovered += std::mem::take(&mut self.open_gaps);
        }
        let is_moved = std::mem::take(&mut self.is_moved);
        if !self.has_hole() {
            self.has_overflown = false;
            return false;
        }
        if is_moved {
            self.opened = self.window.arrived(self.hole_end()).unwrap_or(self.end_at);
        }
        let (next, hole_end) = (self.window.base(), self.hole_end());
        if hole_end <= next {
            return false;
        }
        if self.keeps_gaps {
            self.declare(now);
            return false;
        }
        self.is_due(hole_end, self.opened, self.window.packets(), now) && self.pass_over(hole_end)
    }

    /// Declares every hole for which it is time, from the one at the next number on.
    fn declare(&mut self, now: Nanos) {
        let next = self.window.base();
        loop {
            let from = self.declared.max(next);
            let missing = self.window.first_missing(from).filter(|&first| first < self.end);
            let Some(first) = missing else { break };
            let kept = self.window.first_kept(first);
            let end = kept.unwrap_or(self.end);
            let arrived = kept.and_then(|kept| self.window.arrived(kept)).unwrap_or(self.end_at);
            let is_due = if first == next {
                let packets = self.window.packets();
                self.has_overflown || self.is_due(end, self.opened, packets, now)
            } else {
                // How many packets came since is not known: they are counted behind the first hole.
                self.is_due(end, arrived, 0, now)
            };
            if !is_due {
                break;
            }
            self.counts.gaps += 1;
            self.counts.missing = self.counts.missing.saturating_add(end - first);
            self.open_gaps += 1;
            self.declared = end;
        }
    }

    /// Whether a hole that ends at `hole_end`, is known since `opened` and has so many `packets` behind it is to be waited
    /// for no longer.
    fn is_due(&self, hole_end: u64, opened: Nanos, packets: u32, now: Nanos) -> bool {
        let waited_ns = now.since(opened);
        if waited_ns >= self.stale_after_ns {
            return true;
        }
        let is_over = waited_ns >= self.ordering.wait_ns || packets > self.ordering.packets_max;
        // A line that tells of it stands alone against one that is alive until it has told of it more than once.
        let is_told = packets.saturating_add(self.hints) >= self.claims.confirm_packets();
        let lines = self.lines.iter().take(usize::from(self.ordering.lines));
        is_over
            && lines.filter(|line| line.end < hole_end).all(|line| {
                let heard = line.heard.unwrap_or(opened).max(opened);
                let is_heard_out = is_told || !line.is_alive(self.stale_after_ns, now);
                is_heard_out && now.since(heard) >= self.ordering.line_wait_ns
            })
    }

    /// What a packet of `line` says of the hole that is open behind it: that it is there, or that it is not.
    #[cold]
    pub(super) fn look_at_hole(&mut self, line: usize, header: &Header, now: Nanos) {
        let (first, end, next) = (header.sequence, end_of(header), self.window.base());
        if end > next {
            self.lines[line].claim(end, now);
            self.hints = self.hints.saturating_add(u32::from(first == end));
        } else if self.claims.confirm_packets() > 0
            && self.lines[line].takes_back((first, end), next, self.ordering.line_wait_ns, now)
            && !self.lines.iter().any(|line| line.stands_by(next))
        {
            self.refute();
        }
        self.judge_hole(now);
    }

    /// No line stands by what it told of: there is no hole.
    fn refute(&mut self) {
        let next = self.window.base();
        self.counts.refuted += 1;
        self.window.restart(next);
        self.end = next;
        (self.declared, self.open_gaps, self.hints) = (0, 0, 0);
        self.is_moved = false;
        self.has_overflown = false;
        self.is_joined = true;
    }

    /// Passes over the hole at the next number as far as `until`: a gap for good. `false` if the next number is there.
    #[cold]
    pub fn pass_over(&mut self, until: u64) -> bool {
        let next = self.window.base();
        if next >= until {
            return false;
        }
        let to = self.window.first_kept(next).unwrap_or(until).min(until);
        if to > self.declared {
            self.counts.gaps += 1;
            self.counts.missing = self.counts.missing.saturating_add(to - next);
        }
        if to >= self.declared {
            (self.declared, self.open_gaps) = (0, 0);
        }
        self.has_overflown = false;
        self.window.advance(to);
        self.end = self.end.max(to);
        self.is_moved = true;
        self.mark_broken();
        true
    }

    /// The packet of a [`Take::Beyond`](super::Take::Beyond) is applied: what is before it was passed over.
    pub fn accept_beyond(&mut self, first: u64, count: u16) {
        self.accept(first.saturating_add(u64::from(count)));
    }

    /// What is missing will not be had: the declared hole is passed over, and every later one of this session.
    pub fn give_up(&mut self) -> bool {
        let declared = self.declared;
        self.pass_over(declared)
    }
}
