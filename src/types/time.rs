//! Time: nanoseconds of the monotonic clock, and of UTC, as two types.

use std::fmt;
use std::time::Duration;

/// Nanoseconds of this process's monotonic clock. Only differences have a meaning.
///
/// Time is an argument: an agent's `poll` is given `now`, read once a duty cycle, and decides by nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// How long after `earlier` this is; zero if it is not after.
    #[inline]
    pub const fn since(self, earlier: Nanos) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// [`Nanos::since`] in 32 bits: saturates at 4.29 seconds.
    #[inline]
    pub fn delta32(self, earlier: Nanos) -> u32 {
        u32::try_from(self.since(earlier)).unwrap_or(u32::MAX)
    }

    /// This much later, saturating.
    #[inline]
    pub const fn plus(self, nanos: u64) -> Nanos {
        Nanos(self.0.saturating_add(nanos))
    }

    /// A duration as nanoseconds, saturating at 584 years.
    pub fn of(duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UtcNanos(pub u64);

impl fmt::Display for UtcNanos {
    /// Seconds and nine digits: `1580371200.000000001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}
