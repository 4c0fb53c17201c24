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

impl UtcNanos {
    /// The midnight that the current day began with, in a time zone `utc_offset_minutes` ahead of UTC. Saturates at 1970
    /// and at 2554. A day is 24 hours: where the clocks changed since, the answer counts from the new time's midnight, as
    /// exchanges that stamp in local time do, since they change at night and on weekends.
    pub fn midnight(self, utc_offset_minutes: i16) -> UtcNanos {
        const MINUTE_NS: i128 = 60_000_000_000;
        const DAY_NS: i128 = 1_440 * MINUTE_NS;
        let offset_ns = i128::from(utc_offset_minutes) * MINUTE_NS;
        let local = i128::from(self.0) + offset_ns;
        let midnight = local - local.rem_euclid(DAY_NS) - offset_ns;
        UtcNanos(u64::try_from(midnight).unwrap_or(0))
    }
}

impl fmt::Display for UtcNanos {
    /// Seconds and nine digits: `1580371200.000000001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: u64 = 3_600_000_000_000;
    /// 2020-01-30T00:00:00Z.
    const THURSDAY: UtcNanos = UtcNanos(1_580_342_400_000_000_000);

    #[test]
    fn midnight_is_that_of_the_time_zone() {
        let at = |hour: u64| UtcNanos(THURSDAY.0 + hour * HOUR_NS);
        for (now, utc_offset_minutes, midnight) in [
            (at(0), 0, at(0)),
            (UtcNanos(at(24).0 - 1), 0, at(0)),
            // New York's Thursday begins and ends five hours after that of UTC.
            (at(5), -300, at(5)),
            (UtcNanos(at(29).0 - 1), -300, at(5)),
            (at(29), -300, at(29)),
            // Tokyo is in Thursday while UTC has Wednesday.
            (UtcNanos(at(0).0 - 9 * HOUR_NS), 540, UtcNanos(at(0).0 - 9 * HOUR_NS)),
            (UtcNanos(at(15).0 - 1), 540, UtcNanos(at(0).0 - 9 * HOUR_NS)),
            (UtcNanos(HOUR_NS), 540, UtcNanos(0)),
        ] {
            assert_eq!(now.midnight(utc_offset_minutes), midnight, "{now} at {utc_offset_minutes}");
        }
    }
}
