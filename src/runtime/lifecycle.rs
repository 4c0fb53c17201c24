//! The one word that all threads watch: the phase of the process; and what each thread tells of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::runtime::Phase;
use crate::types::Nanos;

/// The phase of the process. Clones share it; it only moves forward.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: Arc<CachePadded<AtomicU8>>,
}

impl Lifecycle {
    /// A process that is starting.
    pub fn new() -> Lifecycle {
        Lifecycle { phase: Arc::new(CachePadded::new(AtomicU8::new(number(Phase::Starting)))) }
    }

    /// The phase. About a nanosecond: the line is shared by all and seldom written.
    #[inline]
    pub fn phase(&self) -> Phase {
        // Relaxed: the phase publishes nothing but itself; what agents share travels in rings.
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Running,
            2 => Phase::Draining,
            _ => Phase::Stopping,
        }
    }

    /// Moves on to `phase`; does nothing if the process is there already or further.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(number(phase), Ordering::Relaxed);
    }
}

impl Default for Lifecycle {
    fn default() -> Lifecycle {
        Lifecycle::new()
    }
}

fn number(phase: Phase) -> u8 {
    match phase {
        Phase::Starting => 0,
        Phase::Running => 1,
        Phase::Draining => 2,
        Phase::Stopping => 3,
    }
}

/// What a thread tells of itself, without a lock: written by the thread, read by the supervisor.
#[derive(Debug, Default)]
pub struct ThreadPulse {
    /// The `now` of its latest cycle.
    beat_ns: AtomicU64,
    /// The `now` since which every cycle found nothing to do and every agent drained; 0 if it is not so.
    quiet_since_ns: AtomicU64,
    /// The same, whatever the cycles found to do.
    drained_since_ns: AtomicU64,
}

/// Begins or ends a stretch of time that is kept as when it began, or 0.
fn mark(since_ns: &AtomicU64, holds: bool, now: Nanos) {
    match (holds, since_ns.load(Ordering::Relaxed)) {
        (true, 0) => since_ns.store(now.0.max(1), Ordering::Relaxed),
        (false, 1..) => since_ns.store(0, Ordering::Relaxed),
        (true, _) | (false, 0) => {}
    }
}

fn marked(since_ns: &AtomicU64) -> Option<Nanos> {
    let since = since_ns.load(Ordering::Relaxed);
    (since > 0).then_some(Nanos(since))
}

impl ThreadPulse {
    /// A cycle at `now` went by.
    #[inline]
    pub(super) fn beat(&self, now: Nanos) {
        self.beat_ns.store(now.0, Ordering::Relaxed);
    }

    /// Whether the cycle at `now` found every agent drained, and whether it found nothing to do.
    pub(super) fn set_drained(&self, is_drained: bool, is_idle: bool, now: Nanos) {
        mark(&self.drained_since_ns, is_drained, now);
        mark(&self.quiet_since_ns, is_drained && is_idle, now);
    }

    /// The `now` of its latest cycle; zero before the first.
    pub fn last_beat(&self) -> Nanos {
        Nanos(self.beat_ns.load(Ordering::Relaxed))
    }

    /// Since when it is drained and quiet.
    pub fn quiet_since(&self) -> Option<Nanos> {
        marked(&self.quiet_since_ns)
    }

    /// Since when it is drained, whatever it does besides: market data never ends by itself.
    pub fn drained_since(&self) -> Option<Nanos> {
        marked(&self.drained_since_ns)
    }
}

/// Whether nothing is under way any more between the threads, judged from pulses read one after another.
///
/// One quiet thread may be about to hear from another, and a chain of messages takes several cycles to run dry. So all
/// must have been quiet for one common stretch of `stretch_ns`, in which each ran cycles to its end: whatever was sent
/// before the stretch has been read in it, and would have ended the quiet of its reader.
pub fn all_quiet(pulses: &[Arc<ThreadPulse>], stretch_ns: u64) -> bool {
    all_since(pulses, ThreadPulse::quiet_since, stretch_ns)
}

/// Whether no agent has owed anything for a common stretch of `stretch_ns`, although there was always something to do. To be
/// long: in it, what was under way must have come to whoever owes something for it.
pub fn all_drained(pulses: &[Arc<ThreadPulse>], stretch_ns: u64) -> bool {
    all_since(pulses, ThreadPulse::drained_since, stretch_ns)
}

fn all_since(
    pulses: &[Arc<ThreadPulse>],
    since: fn(&ThreadPulse) -> Option<Nanos>,
    stretch_ns: u64,
) -> bool {
    let sinces = || pulses.iter().map(|pulse| since(pulse)).collect::<Option<Vec<Nanos>>>();
    let Some(first) = sinces() else { return false };
    let Some(start) = first.iter().max().copied() else { return true };
    let has_cycled = |pulse: &Arc<ThreadPulse>| pulse.last_beat().since(start) >= stretch_ns;
    // Read again: quiet that began anew between the readings is not common.
    pulses.iter().all(has_cycled) && sinces().is_some_and(|second| second == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_only_moves_forward() {
        let lifecycle = Lifecycle::new();
        let other = lifecycle.clone();
        assert_eq!(lifecycle.phase(), Phase::Starting);
        for (ask, phase) in [
            (Phase::Running, Phase::Running),
            (Phase::Stopping, Phase::Stopping),
            (Phase::Draining, Phase::Stopping),
        ] {
            lifecycle.advance(ask);
            assert_eq!(other.phase(), phase);
        }
    }

    #[test]
    fn quiet_must_be_common_and_last() {
        let pulses: Vec<Arc<ThreadPulse>> = (0..2).map(|_| Arc::default()).collect();
        let cycle = |thread: usize, is_quiet, now| {
            pulses[thread].beat(Nanos(now));
            pulses[thread].set_drained(true, is_quiet, Nanos(now));
        };
        cycle(0, true, 100);
        assert!(!all_quiet(&pulses, 10), "one thread was never quiet");
        cycle(1, true, 200);
        assert!(!all_quiet(&pulses, 10), "no cycle since the second fell quiet");
        cycle(0, true, 250);
        assert!(!all_quiet(&pulses, 10), "the second ran no cycle since");
        cycle(1, true, 250);
        assert!(all_quiet(&pulses, 10));
        cycle(0, false, 300);
        assert!(!all_quiet(&pulses, 10), "work came");
        cycle(0, true, 310);
        cycle(1, true, 315);
        assert!(!all_quiet(&pulses, 10), "the stretch starts anew");
        cycle(0, true, 321);
        cycle(1, true, 321);
        assert!(all_quiet(&pulses, 10));
    }

    #[test]
    fn who_is_busy_and_owes_nothing_is_drained() {
        let pulses: Vec<Arc<ThreadPulse>> = (0..2).map(|_| Arc::default()).collect();
        let cycle = |thread: usize, is_drained, now| {
            pulses[thread].beat(Nanos(now));
            pulses[thread].set_drained(is_drained, thread == 0, Nanos(now));
        };
        for now in [100, 150, 200] {
            cycle(0, true, now);
            cycle(1, true, now);
        }
        assert!(!all_quiet(&pulses, 10), "the second always has something to do");
        assert!(all_drained(&pulses, 100));
        assert!(!all_drained(&pulses, 101), "not for so long");
        cycle(0, false, 210);
        assert!(!all_drained(&pulses, 10), "one owes something again");
        cycle(0, true, 220);
        cycle(1, true, 229);
        assert!(!all_drained(&pulses, 10), "the stretch starts anew");
    }
}
