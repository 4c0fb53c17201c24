//! Time: the processor's counter, scaled to the time base of `CLOCK_MONOTONIC`, and its offset to UTC.
//!
//! A read is one `rdtsc`, one multiplication and one shift. The map from ticks to nanoseconds is fixed when the first
//! clock of the process is started, and all clocks of the process share it: so time never runs backwards, and stamps
//! taken on different threads can be subtracted. What it costs is that the map does not follow the slewing that NTP
//! applies to `CLOCK_MONOTONIC`: the two drift apart by about one part in a million ([`Clock::drift_ns`]). UTC does not
//! drift, as the slow lane calls [`Clock::anchor_utc`] now and then.

use std::fmt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::runtime::sys::{self, KernelClock};
use crate::types::{Nanos, UtcNanos};

/// Nanoseconds a tick have this many binary places: exact to 1e-17 and wide enough for counters of 4 MHz and more.
const FRACTION_BITS: u32 = 56;
/// How long ticks and nanoseconds are compared at start. Each end is known to about 20 ns, so: one part in a million.
const CALIBRATION: Duration = Duration::from_millis(40);
/// Readings an end of the calibration is chosen from: the one that was interrupted least.
const BRACKETS: usize = 64;
/// A counter that is further off than this right after calibration is no clock.
const MISMATCH_NS_MAX: u64 = 100_000;

/// Where [`Clock::now`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// The processor's invariant counter: about 10 ns a read.
    Counter,
    /// `CLOCK_MONOTONIC` through the kernel, for this reason: 23 ns a read where the kernel itself reads the counter, a
    /// microsecond where it cannot.
    Kernel(FallbackReason),
}

/// Why the processor's counter is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackReason {
    /// The processor (or the hypervisor) does not promise a counter of constant rate.
    NotInvariant,
    /// The kernel measured the counter and took it off its list of clock sources.
    KernelDistrusts,
    /// It did not run evenly while being calibrated.
    Uneven,
}

impl fmt::Display for ClockSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ClockSource::Counter => "invariant processor counter",
            ClockSource::Kernel(FallbackReason::NotInvariant) => {
                "CLOCK_MONOTONIC: the processor counter is not invariant"
            }
            ClockSource::Kernel(FallbackReason::KernelDistrusts) => {
                "CLOCK_MONOTONIC: the kernel does not list the processor counter as a clock source"
            }
            ClockSource::Kernel(FallbackReason::Uneven) => {
                "CLOCK_MONOTONIC: the processor counter ran unevenly while being calibrated"
            }
        })
    }
}

/// A linear map from ticks to nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Scale {
    base_ticks: u64,
    base_ns: u64,
    /// Nanoseconds a tick, times 2^[`FRACTION_BITS`].
    factor: u64,
}

impl Scale {
    /// The map through two points; none if the counter did not move or moved slower than 4 MHz.
    fn through(from: Reading, to: Reading) -> Option<Scale> {
        let ticks = u128::from(to.ticks.checked_sub(from.ticks)?);
        let nanos = u128::from(to.ns.checked_sub(from.ns)?);
        let factor = (nanos << FRACTION_BITS).checked_div(ticks)?;
        let factor = u64::try_from(factor).ok().filter(|factor| *factor > 0)?;
        Some(Scale { base_ticks: from.ticks, base_ns: from.ns, factor })
    }

    #[inline]
    #[allow(
        clippy::as_conversions,
        reason = "584 years of nanoseconds fit 64 bits; a checked conversion costs a branch on every stamp"
    )]
    fn nanos(self, ticks: u64) -> u64 {
        // Another core's counter may be a few ticks behind the base's: that is the base.
        let ticks = ticks.saturating_sub(self.base_ticks);
        let scaled = (u128::from(ticks) * u128::from(self.factor)) >> FRACTION_BITS;
        self.base_ns.wrapping_add(scaled as u64)
    }
}

/// The counter and the kernel's clock at the same instant, as nearly as can be told.
#[derive(Clone, Copy, Debug)]
struct Reading {
    ticks: u64,
    ns: u64,
}

impl Reading {
    /// Of many readings, the one whose two counter reads are closest: it was not interrupted.
    fn take(counter: &quanta::Clock) -> Reading {
        let mut best = (u64::MAX, Reading { ticks: 0, ns: 0 });
        for _ in 0..BRACKETS {
            let before = counter.raw();
            let ns = sys::read_clock(KernelClock::Monotonic);
            let width = counter.raw().saturating_sub(before);
            if width < best.0 {
                best = (width, Reading { ticks: before.wrapping_add(width / 2), ns });
            }
        }
        best.1
    }
}

/// What all clocks of the process share.
#[derive(Debug)]
struct Shared {
    counter: quanta::Clock,
    scale: Scale,
    source: ClockSource,
    /// UTC minus [`Nanos`], wrapping.
    utc_offset: AtomicU64,
}

static SHARED: OnceLock<Shared> = OnceLock::new();

/// The process's clock. Copies are free and all read the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    shared: &'static Shared,
}

impl Clock {
    /// The clock. The first call of a process calibrates it, which blocks for 50 to 250 ms; later calls are free.
    pub fn start() -> Clock {
        let clock = Clock { shared: SHARED.get_or_init(Shared::calibrate) };
        if clock.shared.utc_offset.load(Ordering::Relaxed) == 0 {
            clock.anchor_utc();
        }
        clock
    }

    /// Nanoseconds since the machine was booted: the time base of `CLOCK_MONOTONIC`.
    ///
    /// About 10 ns. Never runs backwards on one thread; two threads agree to within what the processor's counters do
    /// (ticks), so a difference of stamps from two threads saturates at zero ([`Nanos::since`]).
    #[inline]
    pub fn now(self) -> Nanos {
        match self.shared.source {
            ClockSource::Counter => Nanos(self.shared.scale.nanos(self.shared.counter.raw())),
            ClockSource::Kernel(_) => Nanos(sys::read_clock(KernelClock::Monotonic)),
        }
    }

    /// The UTC of an instant, by the last anchor. Costs an addition; makes no system call.
    ///
    /// May step when the anchor moved in between: order events by [`Nanos`], never by UTC.
    #[inline]
    pub fn utc(self, now: Nanos) -> UtcNanos {
        // Relaxed: the offset stands for itself and publishes nothing else.
        UtcNanos(now.0.wrapping_add(self.shared.utc_offset.load(Ordering::Relaxed)))
    }

    /// Reads UTC from the kernel and ties it to [`Clock::now`]; returns by how many nanoseconds UTC moved (forward is
    /// positive). For the slow lane, about once a second: two system clock reads.
    pub fn anchor_utc(self) -> i64 {
        let before = self.now();
        let utc = sys::read_clock(KernelClock::Realtime);
        let middle = before.plus(self.now().since(before) / 2);
        let offset = utc.wrapping_sub(middle.0);
        let previous = self.shared.utc_offset.swap(offset, Ordering::Relaxed);
        offset.wrapping_sub(previous).cast_signed()
    }

    /// Where the time comes from.
    pub fn source(self) -> ClockSource {
        self.shared.source
    }

    /// How far [`Clock::now`] is ahead of `CLOCK_MONOTONIC`, in nanoseconds. For the slow lane.
    pub fn drift_ns(self) -> i64 {
        let before = self.now();
        let kernel = sys::read_clock(KernelClock::Monotonic);
        let middle = before.plus(self.now().since(before) / 2);
        middle.0.wrapping_sub(kernel).cast_signed()
    }
}

impl Shared {
    fn calibrate() -> Shared {
        let counter = quanta::Clock::new();
        let fallback = |counter, reason| Shared {
            counter,
            scale: Scale { base_ticks: 0, base_ns: 0, factor: 0 },
            source: ClockSource::Kernel(reason),
            utc_offset: AtomicU64::new(0),
        };
        if !is_counter(&counter) {
            return fallback(counter, FallbackReason::NotInvariant);
        }
        if !kernel_trusts_counter(Path::new("/")) {
            return fallback(counter, FallbackReason::KernelDistrusts);
        }
        let from = Reading::take(&counter);
        sys::nanosleep(CALIBRATION);
        let to = Reading::take(&counter);
        let scale = Scale::through(from, to).filter(|scale| {
            let check = Reading::take(&counter);
            scale.nanos(check.ticks).abs_diff(check.ns) < MISMATCH_NS_MAX
        });
        match scale {
            Some(scale) => Shared {
                counter,
                scale,
                source: ClockSource::Counter,
                utc_offset: AtomicU64::new(0),
            },
            None => fallback(counter, FallbackReason::Uneven),
        }
    }
}

/// Whether `clock` reads the processor's counter: where it cannot, its raw value is `CLOCK_MONOTONIC` itself.
fn is_counter(clock: &quanta::Clock) -> bool {
    (0..3).any(|_| {
        let before = sys::read_clock(KernelClock::Monotonic);
        let raw = clock.raw();
        let after = sys::read_clock(KernelClock::Monotonic);
        raw < before || raw > after
    })
}

/// Whether the kernel lists the processor's counter as a source. Where it does not say, the processor's word counts.
fn kernel_trusts_counter(root: &Path) -> bool {
    if !cfg!(target_arch = "x86_64") {
        return true;
    }
    let list = root.join("sys/devices/system/clocksource/clocksource0/available_clocksource");
    match std::fs::read_to_string(list) {
        Ok(list) => list.split_whitespace().any(|source| source == "tsc"),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_runs_backwards_on_a_thread() {
        let clock = Clock::start();
        let mut last = clock.now();
        for _ in 0..100_000 {
            let now = clock.now();
            assert!(now >= last, "{now:?} after {last:?}");
            last = now;
        }
    }

    #[test]
    fn nanos_share_the_time_base_of_the_kernels_monotonic_clock() {
        let clock = Clock::start();
        // An interruption between the reads shows as drift: the best of many is the clock's own.
        let drift = (0..1_000).map(|_| clock.drift_ns().unsigned_abs()).min();
        // A part in a million of the minutes a test binary lives.
        assert!(drift.is_some_and(|ns| ns < 1_000_000), "{drift:?}");
    }

    #[test]
    fn utc_is_the_kernels_realtime_clock() {
        let clock = Clock::start();
        clock.anchor_utc();
        let behind = (0..1_000).map(|_| {
            let utc = clock.utc(clock.now());
            sys::read_clock(KernelClock::Realtime).abs_diff(utc.0)
        });
        assert!(behind.min().is_some_and(|ns| ns < 1_000_000));
    }

    #[test]
    fn clocks_of_a_process_read_the_same_time() {
        let (one, other) = (Clock::start(), Clock::start());
        let first = one.now();
        let second = other.now();
        assert!(second >= first);
        assert_eq!(one.utc(first), other.utc(first));
    }

    #[test]
    fn a_scale_maps_ticks_exactly_for_a_year() {
        let from = Reading { ticks: 1_000, ns: 5_000_000_000 };
        let to = Reading { ticks: 1_000 + 2_600_000_000, ns: 6_000_000_000 };
        let scale = Scale::through(from, to).expect("2.6 GHz");
        let year_ns = 31_536_000_000_000_000_u64;
        let year_ticks = year_ns / 10 * 26;
        let mapped = scale.nanos(1_000 + year_ticks) - 5_000_000_000;
        assert!(mapped.abs_diff(year_ns) < 10, "{mapped}");
        assert_eq!(scale.nanos(999), 5_000_000_000, "a tick before the base is the base");
    }

    #[test]
    fn a_counter_that_stands_still_or_crawls_has_no_scale() {
        let at = |ticks, ns| Reading { ticks, ns };
        assert!(Scale::through(at(5, 0), at(5, 1_000_000)).is_none(), "stands still");
        assert!(Scale::through(at(5, 0), at(4, 1_000_000)).is_none(), "runs backwards");
        assert!(Scale::through(at(0, 0), at(10, 1_000_000)).is_none(), "10 kHz");
        assert!(Scale::through(at(0, 0), at(1 << 20, 0)).is_none(), "no time passed");
    }

    #[test]
    fn a_counter_the_kernel_rejected_is_not_used() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let folder = root.path().join("sys/devices/system/clocksource/clocksource0");
        std::fs::create_dir_all(&folder).expect("a folder");
        assert!(kernel_trusts_counter(root.path()), "nothing known against it");
        std::fs::write(folder.join("available_clocksource"), "hpet acpi_pm\n").expect("a file");
        assert_eq!(kernel_trusts_counter(root.path()), !cfg!(target_arch = "x86_64"));
    }
}
