//! C20: message rates, by token bucket and by sliding window, and the reserve of cancels. Integers only.
#![deny(clippy::arithmetic_side_effects)]

use crate::risk::limits::RateConfig;
use crate::types::{DenyReason, Nanos};

/// One token, in the bucket's unit: what a rate of one a second adds in a second.
const TOKEN: u64 = 1_000_000_000;

/// A bucket of tokens that fills at a rate. Exact: no rounding accumulates.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    level: u64,
    full: u64,
    per_second: u32,
    filled_at: Nanos,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens that gains `per_second` a second.
    pub fn new(burst: u32, per_second: u32) -> TokenBucket {
        // 32 bits by 30: fits.
        let full = u64::from(burst).saturating_mul(TOKEN);
        TokenBucket { level: full, full, per_second, filled_at: Nanos(0) }
    }

    /// Takes a token; `false` where there is none. A `now` before the last one adds nothing.
    #[inline]
    pub fn take(&mut self, now: Nanos) -> bool {
        // 64 bits by 32, and 64 more: fits 128, and what is over the brim is cut.
        let gained =
            u128::from(now.since(self.filled_at)).wrapping_mul(u128::from(self.per_second));
        self.filled_at = self.filled_at.max(now);
        let level = u128::from(self.level).wrapping_add(gained);
        self.level = u64::try_from(level).map_or(self.full, |level| level.min(self.full));
        match self.level.checked_sub(TOKEN) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }

    /// Full again, in a new run of the process whose clock may have begun anew.
    pub fn reset(&mut self, now: Nanos) {
        self.level = self.full;
        self.filled_at = now;
    }
}

/// The times of the last messages: says whether there were too many in any window. Exact, and denied messages count.
#[derive(Clone, Debug)]
pub struct SlidingWindow {
    times: Box<[Nanos]>,
    next: usize,
    /// Whether every place holds the time of a message.
    is_full: bool,
    window_ns: u64,
}

impl SlidingWindow {
    /// At most `messages` (at least 1) within any `window_ns`.
    pub fn new(messages: u32, window_ns: u64) -> SlidingWindow {
        let messages = usize::try_from(messages.max(1)).unwrap_or(usize::MAX);
        SlidingWindow { times: vec![Nanos(0); messages].into(), next: 0, is_full: false, window_ns }
    }

    /// Counts a message; `false` where it is one too many. A message exactly `window_ns` old is outside.
    #[inline]
    pub fn count(&mut self, now: Nanos) -> bool {
        let Some(oldest) = self.times.get_mut(self.next) else { return false };
        let passes = !self.is_full | (now.since(*oldest) >= self.window_ns);
        *oldest = now;
        self.next = self.next.saturating_add(1);
        if self.next >= self.times.len() {
            self.next = 0;
            self.is_full = true;
        }
        passes
    }

    /// Empty again.
    pub fn reset(&mut self) {
        self.next = 0;
        self.is_full = false;
    }
}

/// The rate limits of one session.
#[derive(Clone, Debug)]
pub struct Throttle {
    bucket: TokenBucket,
    window: SlidingWindow,
    cancels: TokenBucket,
}

impl Throttle {
    /// With full buckets.
    pub fn new(rate: &RateConfig) -> Throttle {
        Throttle {
            bucket: TokenBucket::new(rate.burst, rate.per_second),
            window: SlidingWindow::new(rate.window_messages, rate.window_ns),
            cancels: TokenBucket::new(rate.cancel_burst, rate.cancel_per_second),
        }
    }

    /// Charges an order or replace, whatever becomes of it. Both limits are charged, the bucket is named first.
    ///
    /// # Errors
    /// Which of the two is exceeded.
    #[inline]
    pub fn request(&mut self, now: Nanos) -> Result<(), DenyReason> {
        let (in_burst, in_window) = (self.bucket.take(now), self.window.count(now));
        if !in_burst {
            Err(DenyReason::RateAboveBurst)
        } else if !in_window {
            Err(DenyReason::RateAboveWindow)
        } else {
            Ok(())
        }
    }

    /// Charges a cancel, which passes in any case: first to the reserve, then to the bucket of orders, so that a flood
    /// of cancels slows orders and never cancels. Returns whether the reserve was enough.
    #[inline]
    pub fn cancel(&mut self, now: Nanos) -> bool {
        let reserved = self.cancels.take(now);
        if !reserved {
            let _ = self.bucket.take(now);
        }
        reserved
    }

    /// As new.
    pub fn reset(&mut self, now: Nanos) {
        self.bucket.reset(now);
        self.window.reset();
        self.cancels.reset(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let mut bucket = TokenBucket::new(3, 1000);
        assert_eq!([0, 0, 0, 0].map(|t| bucket.take(Nanos(t))), [true, true, true, false]);
        assert!(!bucket.take(Nanos(999_999)));
        assert!(bucket.take(Nanos(1_000_000)));
        assert!(!bucket.take(Nanos(1_999_999)));
        assert!(bucket.take(Nanos(u64::MAX)));
    }

    #[test]
    fn a_bucket_keeps_fractions_and_never_runs_backwards() {
        let mut bucket = TokenBucket::new(1, 4);
        let taken = (0..=3_000_000_000u64).step_by(1_000_000).filter(|&t| bucket.take(Nanos(t)));
        assert_eq!(taken.count(), 13); // the first, and four a second for three seconds
        assert!(!bucket.take(Nanos(0)));
    }

    #[test]
    fn a_window_holds_exactly_its_messages() {
        let mut window = SlidingWindow::new(2, 100);
        assert_eq!([0, 10, 99, 110].map(|t| window.count(Nanos(t))), [true, true, false, true]);
        // Those denied count: 99 and 110 are within 100 of 198.
        assert!(!window.count(Nanos(198)));
        assert!(window.count(Nanos(210)));
    }

    #[test]
    fn the_largest_bucket_fills_in_the_longest_time() {
        let mut bucket = TokenBucket::new(u32::MAX, u32::MAX);
        assert!(bucket.take(Nanos(u64::MAX)) && bucket.take(Nanos(u64::MAX)));
        assert_eq!(bucket.full - bucket.level, 2 * TOKEN);
        let mut none = TokenBucket::new(0, u32::MAX);
        assert!(!none.take(Nanos(u64::MAX)));
    }

    #[test]
    fn a_window_that_was_reset_is_empty() {
        let mut window = SlidingWindow::new(2, 100);
        assert_eq!([0, 0, 0].map(|t| window.count(Nanos(t))), [true, true, false]);
        window.reset();
        assert_eq!([0, 0, 0].map(|t| window.count(Nanos(t))), [true, true, false]);
    }

    #[test]
    fn cancels_have_a_reserve_and_always_pass() {
        let mut throttle = Throttle::new(&RateConfig {
            burst: 2,
            per_second: 1,
            window_messages: 100,
            window_ns: 1,
            cancel_burst: 1,
            cancel_per_second: 1,
        });
        assert!(throttle.cancel(Nanos(0)));
        assert!(!throttle.cancel(Nanos(0)));
        assert_eq!(throttle.request(Nanos(0)), Ok(()));
        assert_eq!(throttle.request(Nanos(0)), Err(DenyReason::RateAboveBurst));
    }
}
