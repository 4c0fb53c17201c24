//! When the generated day's messages are stamped: at its milestones, and between them in bursts spread over the hours.

use crate::sim::prng::SplitMix;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// First message of the day.
pub(super) const START_OF_MESSAGES: u64 = 3 * HOUR;
/// Securities are told of.
pub(super) const SPIN: u64 = 3 * HOUR + 5 * MINUTE;
/// Orders are taken.
pub(super) const START_OF_SYSTEM_HOURS: u64 = 4 * HOUR;
/// The opening bell.
pub(super) const START_OF_MARKET_HOURS: u64 = 9 * HOUR + 30 * MINUTE;
/// The closing bell.
pub(super) const END_OF_MARKET_HOURS: u64 = 16 * HOUR;
/// Orders are taken no more.
pub(super) const END_OF_SYSTEM_HOURS: u64 = 20 * HOUR;
/// Last message of the day.
pub(super) const END_OF_MESSAGES: u64 = 20 * HOUR + 5 * MINUTE;

/// Time of day that never goes back.
#[derive(Debug)]
pub(super) struct DayClock {
    now_ns: u64,
    /// Messages left of the burst.
    burst: u32,
    tracking: u16,
}

impl DayClock {
    pub(super) const fn new() -> DayClock {
        DayClock { now_ns: START_OF_MESSAGES, burst: 0, tracking: 0 }
    }

    #[inline]
    pub(super) const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// The exchange's tracking number: another for each burst.
    #[inline]
    pub(super) const fn tracking(&self) -> u16 {
        self.tracking
    }

    /// It is `time_ns`, or later if it was.
    pub(super) fn at(&mut self, time_ns: u64) {
        self.now_ns = self.now_ns.max(time_ns);
        self.burst = 0;
    }

    /// A moment later: less than half a microsecond.
    #[inline]
    pub(super) fn step(&mut self, random: &mut SplitMix) {
        self.now_ns += u64::from(random.below(500));
    }

    /// Message `index` of `count` before the opening bell.
    #[inline]
    pub(super) fn early(&mut self, index: u64, count: u64, random: &mut SplitMix) {
        self.spread(START_OF_SYSTEM_HOURS, START_OF_MARKET_HOURS, index, count, random);
    }

    /// Message `index` of `count` between the bells.
    #[inline]
    pub(super) fn open(&mut self, index: u64, count: u64, random: &mut SplitMix) {
        self.spread(START_OF_MARKET_HOURS, END_OF_MARKET_HOURS, index, count, random);
    }

    /// A burst begins at its place between `from` and `until`; what follows in it comes at once. Bursts are as long whatever
    /// `count` is.
    #[inline]
    fn spread(&mut self, from: u64, until: u64, index: u64, count: u64, random: &mut SplitMix) {
        self.step(random);
        if self.burst == 0 {
            self.burst = match random.below(8) {
                0 => 1 + random.below(64),
                _ => 1 + random.below(4),
            };
            let part = u128::from(until - from) * u128::from(index) / u128::from(count);
            let place = from + u64::try_from(part).expect("less than the whole");
            self.now_ns = self.now_ns.max(place);
            self.tracking = self.tracking.wrapping_add(2);
        }
        self.burst -= 1;
        // A day of very many messages stays within its hours.
        self.now_ns = self.now_ns.min(until - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_spread_over_the_hours_in_bursts_and_never_go_back() {
        for count in [1, 10, 1_000, 100_000] {
            let (mut clock, mut random) = (DayClock::new(), SplitMix::new(1));
            clock.at(START_OF_SYSTEM_HOURS);
            let mut last = clock.now_ns();
            let mut bursts = 0;
            for index in 0..count {
                clock.early(index, count, &mut random);
                let now = clock.now_ns();
                assert!((last..START_OF_MARKET_HOURS).contains(&now), "{now} after {last}");
                bursts += u64::from(now - last > 500);
                last = now;
            }
            assert!(bursts >= count / 12, "{bursts} bursts of {count} messages");
            let hours = (START_OF_MARKET_HOURS - START_OF_SYSTEM_HOURS) * 9 / 10;
            assert!(count < 1_000 || last > START_OF_SYSTEM_HOURS + hours, "{last}");
        }
    }

    #[test]
    fn more_messages_than_nanoseconds_end_with_the_hours() {
        let (mut clock, mut random) = (DayClock::new(), SplitMix::new(1));
        clock.at(END_OF_MARKET_HOURS - 1_000);
        for index in 0..1_000 {
            clock.open(index, 1_000, &mut random);
        }
        assert_eq!(clock.now_ns(), END_OF_MARKET_HOURS - 1);
    }
}
