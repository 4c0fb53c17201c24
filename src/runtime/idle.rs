//! What a thread does when a duty cycle found no work.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::runtime::sys;

/// The longest park there may be: a thread must notice a change of phase in good time.
pub const PARK_MAX: Duration = Duration::from_millis(100);
/// The longest park when the text does not say: short against what a person notices, long against a time slice.
pub const PARK_DEFAULT: Duration = Duration::from_micros(200);

/// The first park; each further one is twice as long, up to the maximum.
const PARK_MIN: Duration = Duration::from_micros(1);
/// Empty cycles that poll again at once, before `park` begins to pause, yield and park.
const SPINS: u32 = 16;
/// Empty cycles with a pause.
const PAUSES: u32 = 64;
/// Empty cycles that offer the core to others.
const YIELDS: u32 = 32;
/// Empty cycles with a pause before `linger` begins to park: some milliseconds on a thread that serves Aeron over UDP, a
/// fraction of one on a thread that only looks at rings.
const LINGERS: u32 = 4_000;

/// An idle strategy, chosen a thread.
///
/// In text: `spin`, `pause`, `linger`, `yield`, `park`, or `linger:` or `park:` and the longest park, such as `park:50us`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Poll again at once. The lowest latency; only on a core of its own that has no sibling thread.
    Spin,
    /// Poll again after a `pause` instruction, which leaves the core's resources to a sibling and saves power. Costs some
    /// tens of nanoseconds. For a core of its own.
    Pause,
    /// Pause as long as work comes every few milliseconds, then sleep for longer and longer, up to this maximum. Keeps a
    /// fair share of a core that others want too, and burns nothing while nothing happens. For a thread that has a core of
    /// a small machine to itself, as far as we are concerned.
    Linger(Duration),
    /// Offer the core to other threads that want it, then poll again. Latency of a microsecond while nobody else wants the
    /// core; burns what nobody wants. For threads of ours that share a core: a stranger that never sleeps takes nearly all
    /// of it, because the scheduler (since Linux 6.18) lets a thread that yields forfeit its whole slice.
    Yield,
    /// Spin, pause, yield, then sleep for longer and longer, up to this maximum. Costs up to the maximum in latency after
    /// a quiet time, and next to no processor time. For everything off the hot path, and for laptops.
    Park(Duration),
}

impl Idle {
    /// Whether the strategy gives the core away when there is no work.
    pub const fn shares_core(self) -> bool {
        matches!(self, Idle::Linger(_) | Idle::Yield | Idle::Park(_))
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Idle::Spin => f.write_str("spin"),
            Idle::Pause => f.write_str("pause"),
            Idle::Linger(max) => write!(f, "linger:{}us", max.as_micros()),
            Idle::Yield => f.write_str("yield"),
            Idle::Park(max) => write!(f, "park:{}us", max.as_micros()),
        }
    }
}

/// A text that is no idle strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIdleError {
    text: String,
}

impl fmt::Display for ParseIdleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no idle strategy: write spin, pause, linger, yield, park, or linger:TIME or park:TIME with TIME from \
             1us to {}ms, such as park:50us",
            self.text,
            PARK_MAX.as_millis()
        )
    }
}

impl std::error::Error for ParseIdleError {}

impl FromStr for Idle {
    type Err = ParseIdleError;

    fn from_str(text: &str) -> Result<Idle, ParseIdleError> {
        let error = || ParseIdleError { text: text.to_owned() };
        match text {
            "spin" => Ok(Idle::Spin),
            "pause" => Ok(Idle::Pause),
            "yield" => Ok(Idle::Yield),
            "linger" => Ok(Idle::Linger(PARK_DEFAULT)),
            "park" => Ok(Idle::Park(PARK_DEFAULT)),
            _ => {
                let (kind, time) = text.split_once(':').ok_or_else(error)?;
                let max = parse_time(time).ok_or_else(error)?;
                let is_possible = (PARK_MIN..=PARK_MAX).contains(&max);
                match kind {
                    "linger" if is_possible => Ok(Idle::Linger(max)),
                    "park" if is_possible => Ok(Idle::Park(max)),
                    _ => Err(error()),
                }
            }
        }
    }
}

fn parse_time(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        _ => None,
    }
}

/// The idling of one thread: the strategy and how long it has been without work.
#[derive(Debug)]
pub struct Idler {
    idle: Idle,
    empty_count: u32,
    park: Duration,
}

impl Idler {
    /// An idler that has just had work.
    pub fn new(idle: Idle) -> Idler {
        Idler { idle, empty_count: 0, park: PARK_MIN }
    }

    /// There was work: the next empty cycle starts from the beginning.
    #[inline]
    pub fn reset(&mut self) {
        if self.empty_count != 0 {
            self.empty_count = 0;
            self.park = PARK_MIN;
        }
    }

    /// A cycle was empty. Returns whether the core was given away, so that the time that passed is nobody's.
    #[inline]
    pub fn idle(&mut self) -> bool {
        match self.step() {
            Step::Spin => false,
            Step::Pause => {
                std::hint::spin_loop();
                false
            }
            Step::Yield => {
                std::thread::yield_now();
                true
            }
            Step::Park(duration) => {
                sys::nanosleep(duration);
                true
            }
        }
    }

    /// What to do now.
    #[inline]
    fn step(&mut self) -> Step {
        match self.idle {
            Idle::Spin => Step::Spin,
            Idle::Pause => Step::Pause,
            Idle::Yield => Step::Yield,
            Idle::Linger(max) => {
                self.empty_count = self.empty_count.saturating_add(1);
                if self.empty_count <= LINGERS { Step::Pause } else { self.park(max) }
            }
            Idle::Park(max) => {
                self.empty_count = self.empty_count.saturating_add(1);
                match self.empty_count {
                    0..=SPINS => Step::Spin,
                    count if count <= SPINS + PAUSES => Step::Pause,
                    count if count <= SPINS + PAUSES + YIELDS => Step::Yield,
                    _ => self.park(max),
                }
            }
        }
    }

    fn park(&mut self, max: Duration) -> Step {
        let park = self.park.min(max);
        self.park = park.saturating_mul(2).min(max);
        Step::Park(park)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Spin,
    Pause,
    Yield,
    Park(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_strategy_reads_back_as_itself() {
        for text in
            ["spin", "pause", "linger:50us", "yield", "park:1us", "park:50us", "park:100000us"]
        {
            let idle: Idle = text.parse().expect(text);
            assert_eq!(idle.to_string(), text);
        }
        assert_eq!("park".parse(), Ok(Idle::Park(PARK_DEFAULT)));
        assert_eq!("park:1ms".parse(), Ok(Idle::Park(Duration::from_millis(1))));
    }

    #[test]
    fn a_text_that_is_no_strategy_is_refused_with_what_to_write() {
        let texts = [
            "",
            "Spin",
            "sleep",
            "park:",
            "park:us",
            "park:0us",
            "park:101ms",
            "linger:0us",
            "park:5",
            "park:5s",
        ];
        for text in texts {
            let error = text.parse::<Idle>().expect_err(text).to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
            assert!(error.contains("park:50us"), "{error}");
        }
    }

    #[test]
    fn parking_climbs_from_spinning_to_the_longest_park_and_falls_back_with_work() {
        let max = Duration::from_micros(50);
        let mut idler = Idler::new(Idle::Park(max));
        let steps: Vec<Step> = (0..SPINS + PAUSES + YIELDS + 20).map(|_| idler.step()).collect();
        let count = |step| u32::try_from(steps.iter().filter(|s| **s == step).count());
        assert_eq!(count(Step::Spin), Ok(SPINS));
        assert_eq!(count(Step::Pause), Ok(PAUSES));
        assert_eq!(count(Step::Yield), Ok(YIELDS));
        let parks: Vec<Duration> = steps
            .iter()
            .filter_map(|step| if let Step::Park(park) = step { Some(*park) } else { None })
            .collect();
        assert_eq!(parks.first(), Some(&PARK_MIN));
        assert!(parks.is_sorted() && parks.last() == Some(&max), "{parks:?}");
        idler.reset();
        assert_eq!(idler.step(), Step::Spin);
    }

    #[test]
    fn only_yield_and_park_give_the_core_away() {
        assert!(!Idler::new(Idle::Spin).idle());
        assert!(!Idler::new(Idle::Pause).idle());
        assert!(Idler::new(Idle::Yield).idle());
        assert!(!Idle::Spin.shares_core() && !Idle::Pause.shares_core());
        assert!(Idle::Yield.shares_core() && Idle::Park(PARK_DEFAULT).shares_core());
    }

    #[test]
    fn linger_parks_only_after_a_long_quiet_and_work_wakes_it_for_as_long_again() {
        let mut idler = Idler::new(Idle::Linger(Duration::from_micros(2)));
        for _ in 0..2 {
            for _ in 0..LINGERS {
                assert_eq!(idler.step(), Step::Pause);
            }
            for micros in [1, 2, 2] {
                assert_eq!(idler.step(), Step::Park(Duration::from_micros(micros)));
            }
            idler.reset();
        }
    }
}
