//! One sample of something that two threads do together, with the floor measured before and after it in these threads.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_utils::CachePadded;
use quanta::Clock;

use super::machine;

/// Round trips of the line in one floor.
const BOUNCES: u64 = 3_000;
/// Pause after a sample, so that other work on the machine lives.
const PAUSE: Duration = Duration::from_millis(8);
/// Floors below these, in nanoseconds, are near and middling.
const NEAR_BELOW_NS: f64 = 65.0;
const MIDDLE_BELOW_NS: f64 = 200.0;

/// How samples are taken.
#[derive(Clone, Debug)]
pub struct Method {
    /// What times them.
    pub clock: Clock,
    /// How often at most, until one is not disturbed.
    pub attempts: usize,
}

/// How far the two cores are apart at the moment, by the floor. On a virtual machine this changes under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    /// Behind one cache, undisturbed: 40 to 60 ns.
    Near,
    /// Behind one cache, slower: 70 to 110 ns.
    Middle,
    /// Behind different caches: 340 ns and more.
    Far,
}

impl Distance {
    fn of(floor_ns: f64) -> Distance {
        match floor_ns {
            near if near < NEAR_BELOW_NS => Distance::Near,
            middle if middle < MIDDLE_BELOW_NS => Distance::Middle,
            _ => Distance::Far,
        }
    }
}

/// A sample, and under what circumstances.
#[derive(Clone, Debug)]
pub struct Sample<R> {
    /// What the first thread returned.
    pub result: R,
    /// One line to and fro: the mean of before and after.
    pub floor_ns: f64,
    /// The class of both floors; `None` where they differ.
    pub distance: Option<Distance>,
    /// Whether no thread was taken off its core.
    pub clean: bool,
}

/// The two threads' meeting place.
#[derive(Default)]
struct Meeting {
    line: CachePadded<AtomicU64>,
    gate: CachePadded<AtomicU64>,
}

impl Meeting {
    /// Both threads arrive here before either goes on. `round` counts from 1.
    fn meet(&self, round: u64) {
        self.gate.fetch_add(1, Ordering::AcqRel);
        wait_until(|| self.gate.load(Ordering::Acquire) >= 2 * round);
    }

    /// Sends the line and awaits it; nanoseconds a round trip. `from` is the last number used.
    fn bounce(&self, clock: &Clock, from: u64) -> f64 {
        let start = clock.raw();
        for trip in 0..BOUNCES {
            let number = from + 2 * trip + 1;
            self.line.store(number, Ordering::Release);
            wait_until(|| self.line.load(Ordering::Acquire) == number + 1);
        }
        clock.delta_as_nanos(start, clock.raw()) as f64 / BOUNCES as f64
    }

    /// The other end of `bounce`.
    fn return_it(&self, from: u64) {
        for trip in 0..BOUNCES {
            let number = from + 2 * trip + 1;
            wait_until(|| self.line.load(Ordering::Acquire) == number);
            self.line.store(number + 1, Ordering::Release);
        }
    }
}

/// Whether [`wait_until`] polls without the processor's pause.
static BARE: AtomicBool = AtomicBool::new(false);

/// Makes every wait from now on poll as fast as the core can, or again with a pause between polls, as is the default.
pub fn poll_bare(bare: bool) {
    BARE.store(bare, Ordering::Relaxed);
}

/// Spins with the processor's pause between polls; lets the other thread run now and then where there is but one core for
/// both.
#[inline(always)]
pub fn wait_until(mut done: impl FnMut() -> bool) {
    let bare = BARE.load(Ordering::Relaxed);
    let mut turns = 0_u32;
    while !done() {
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(1 << 16) {
            thread::yield_now();
        }
        if !bare {
            spin_loop();
        }
    }
}

/// Runs `first` on this thread and `second` on another, each on a core of its own, after `build`; again if disturbed.
pub fn sample<A, B: Send, R>(
    method: &Method,
    build: impl Fn() -> (A, B),
    first: impl Fn(A) -> R,
    second: impl Fn(B) + Sync,
) -> Sample<R> {
    let mut sample = once(&method.clock, &build, &first, &second);
    for _ in 1..method.attempts {
        if sample.clean && sample.distance.is_some() {
            break;
        }
        sample = once(&method.clock, &build, &first, &second);
    }
    sample
}

fn once<A, B: Send, R>(
    clock: &Clock,
    build: &impl Fn() -> (A, B),
    first: &impl Fn(A) -> R,
    second: &(impl Fn(B) + Sync),
) -> Sample<R> {
    let meeting = Meeting::default();
    let (one, other) = build();
    let after = 2 * BOUNCES;
    let sample = thread::scope(|scope| {
        let partner = scope.spawn(|| {
            machine::pin(1);
            meeting.meet(1);
            machine::run_first(machine::core_count() > 1);
            let before = machine::interruptions();
            meeting.return_it(0);
            second(other);
            meeting.meet(2);
            meeting.return_it(after);
            machine::interruptions() == before
        });
        machine::pin(0);
        // Before the other is on its own core, nobody may spin in front of it.
        meeting.meet(1);
        machine::run_first(machine::core_count() > 1);
        let before = machine::interruptions();
        let floor_before = meeting.bounce(clock, 0);
        let result = first(one);
        meeting.meet(2);
        let floor_after = meeting.bounce(clock, after);
        let clean = machine::interruptions() == before;
        machine::run_first(false);
        let clean = partner.join().expect("the partner does not panic") && clean;
        let distance = Some(Distance::of(floor_before))
            .filter(|distance| *distance == Distance::of(floor_after));
        Sample { result, floor_ns: (floor_before + floor_after) / 2.0, distance, clean }
    });
    #[allow(clippy::disallowed_methods, reason = "a pause between samples, not in one")]
    thread::sleep(PAUSE);
    sample
}
