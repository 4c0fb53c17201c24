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
}

impl ThreadPulse {
    /// A cycle at `now` went by.
    #[inline]
    pub(super) fn beat(&self, now: Nanos) {
        self.beat_ns.store(now.0, Ordering::Relaxed);
    }

    /// Whether the cycle at `now` found nothing to do and every agent drained.
    pub(super) fn set_quiet(&self, is_quiet: bool, now: Nanos) {
        let since = self.quiet_since_ns.load(Ordering::Relaxed);
        match (is_quiet, since) {
            (true, 0) => self.quiet_since_ns.store(now.0.max(1), Ordering::Relaxed),
            (false, 1..) => self.quiet_since_ns.store(0, Ordering::Relaxed),
            (true, _) | (false, 0) => {}
        }
    }

    /// The `now` of its latest cycle; zero before the first.
    pub fn last_beat(&self) -> Nanos {
        Nanos(self.beat_ns.load(Ordering::Relaxed))
    }

    /// Since when it is drained and quiet.
    pub fn quiet_since(&self) -> Option<Nanos> {
        let since = self.quiet_since_ns.load(Ordering::Relaxed);
        (since > 0).then_some(Nanos(since))
    }
}

/// Whether nothing is under way any more between the threads, judged from pulses read one after another.
///
/// One quiet thread may be about to hear from another, and a chain of messages takes several cycles to run dry. So all
/// must have been quiet for one common stretch of `stretch_ns`, in which each ran cycles to its end: whatever was sent
/// before the stretch has been read in it, and would have ended the quiet of its reader.
pub fn all_quiet(pulses: &[Arc<ThreadPulse>], stretch_ns: u64) -> bool {
    let sinces = || pulses.iter().map(|pulse| pulse.quiet_since()).collect::<Option<Vec<Nanos>>>();
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
            pulses[thread].set_quiet(is_quiet, Nanos(now));
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
}
