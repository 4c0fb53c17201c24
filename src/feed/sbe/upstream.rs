//! The gateway we read from: which of its runs publishes, which message is its next, and what it says of its own feeds. Pure.
//!
//! A run is told by the number of its publisher, which Aeron draws anew for each; its messages are numbered from 1 without a
//! hole. The newest publisher counts: after a restart the stream of the run before may still be there, and what is left of it
//! is no news.
//!
//! What the gateway says of its channels is believed until something is lost or nothing was heard for a while: it
//! says it again ten times a second, so silence means that it is gone, or does not come through.

use crate::net::PublisherChange;
use crate::types::{ChannelId, FeedState, Nanos};

/// Channels of the other gateway whose state is kept. Of more, each book still says itself whether it can be relied on.
pub const CHANNELS_MAX: usize = 64;

/// What became of a message's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the next.
    Next,
    /// It is the first that is heard of this publisher, or since something could not be read.
    First,
    /// Messages before it are lost.
    AfterHole,
    /// It came before, or its turn has passed.
    Repeated,
    /// It is of a publisher that does not count.
    Foreign,
}

/// What was met with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamCounts {
    /// Publishers after the first: the gateway was started anew, or was out of reach for long.
    pub publisher_changes: u64,
    /// Holes in the numbers.
    pub gaps: u64,
    /// Messages missing in them.
    pub missing: u64,
    /// Messages that had come before.
    pub repeated: u64,
    /// Messages of publishers that do not count.
    pub foreign: u64,
}

/// Who publishes, and how far it was heard.
#[derive(Debug)]
pub struct Upstream {
    stale_after_ns: u64,
    /// The publisher that counts.
    current: Option<i32>,
    /// The one whose messages come now.
    speaker: i32,
    /// The number of the message that is next; `None` while none was heard since the beginning or a loss.
    next: Option<u64>,
    /// The first since.
    joined: u64,
    heard: Nanos,
    /// What the gateway said of its channels since.
    states: Vec<(ChannelId, FeedState)>,
    has_begun: bool,
    /// As of the last check.
    state: FeedState,
    counts: UpstreamCounts,
}

impl Upstream {
    /// Nobody yet. Silence of so long makes it stale.
    pub fn new(stale_after_ns: u64) -> Upstream {
        Upstream {
            stale_after_ns,
            current: None,
            speaker: 0,
            next: None,
            joined: 0,
            heard: Nanos(0),
            states: Vec::with_capacity(CHANNELS_MAX),
            has_begun: false,
            state: FeedState::Stale,
            counts: UpstreamCounts::default(),
        }
    }

    /// Takes what happened to publishers; `true` if all that was known is void with it.
    pub fn on_publisher(&mut self, change: PublisherChange) -> bool {
        match change {
            PublisherChange::Came(source) => self.begin(source),
            PublisherChange::Speaks(source) => {
                self.speaker = source;
                return false;
            }
            PublisherChange::Went(source) if self.current == Some(source) => {
                self.current = None;
                self.lose();
            }
            PublisherChange::Went(_) => return false,
        }
        true
    }

    fn begin(&mut self, source: i32) {
        self.counts.publisher_changes += u64::from(self.has_begun);
        self.has_begun = true;
        self.current = Some(source);
        self.lose();
    }

    /// Nothing that was heard before counts any more: something was lost.
    pub fn lose(&mut self) {
        self.next = None;
        self.states.clear();
    }

    /// Takes the number of a message of whoever speaks. After [`Place::AfterHole`] all that was known is void.
    #[inline]
    pub fn judge(&mut self, rpt_seq: u64, now: Nanos) -> Place {
        if self.current.is_none() {
            // The one that counted is gone, and another one, which came before it, is still there.
            self.begin(self.speaker);
        }
        if !self.is_heard() {
            self.counts.foreign += 1;
            return Place::Foreign;
        }
        let place = match self.next {
            Some(next) if rpt_seq == next => Place::Next,
            Some(next) if rpt_seq < next => {
                self.counts.repeated += 1;
                return Place::Repeated;
            }
            Some(next) => {
                self.counts.gaps += 1;
                self.counts.missing = self.counts.missing.saturating_add(rpt_seq - next);
                self.lose();
                Place::AfterHole
            }
            None => Place::First,
        };
        if place != Place::Next {
            self.joined = rpt_seq;
        }
        self.next = rpt_seq.checked_add(1);
        self.heard = now;
        place
    }

    /// Whether the publisher that speaks is the one that counts.
    #[inline]
    pub fn is_heard(&self) -> bool {
        self.current == Some(self.speaker)
    }

    /// Takes what the gateway says of one of its channels.
    pub fn set_state(&mut self, channel: ChannelId, state: FeedState) {
        if let Some(at) = self.states.iter().position(|(other, _)| *other == channel) {
            self.states[at].1 = state;
        } else if self.states.len() < CHANNELS_MAX {
            self.states.push((channel, state));
        }
    }

    /// Its state at `now`: as good as the worst of its channels, and stale while it does not speak or has not said so.
    #[inline]
    pub fn check(&mut self, now: Nanos) -> FeedState {
        let is_silent = self.next.is_none() || now.since(self.heard) > self.stale_after_ns;
        self.state = if is_silent { FeedState::Stale } else { self.said() };
        self.state
    }

    #[inline]
    fn said(&self) -> FeedState {
        let mut best = None;
        for (_, state) in &self.states {
            best = match (best, *state) {
                (_, FeedState::Stale) => return FeedState::Stale,
                (Some(FeedState::Current), _) | (_, FeedState::Current) => Some(FeedState::Current),
                (_, FeedState::Ended) => Some(FeedState::Ended),
            };
        }
        best.unwrap_or(FeedState::Stale)
    }

    /// Its state as of the last check.
    pub const fn state(&self) -> FeedState {
        self.state
    }

    /// The publisher that counts.
    pub const fn current(&self) -> Option<i32> {
        self.current
    }

    /// The number of the message that is next; `None` while that is not known.
    #[inline]
    pub const fn next(&self) -> Option<u64> {
        self.next
    }

    /// The first message since which none was lost.
    pub const fn joined(&self) -> u64 {
        self.joined
    }

    /// What was met with.
    pub const fn counts(&self) -> &UpstreamCounts {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE_NS: u64 = 100;
    const CHANNEL: ChannelId = ChannelId(3);

    /// An upstream that publisher 1 was heard of up to message 4, and that says it is current.
    fn current() -> Upstream {
        let mut upstream = Upstream::new(STALE_NS);
        assert_eq!(upstream.check(Nanos(5)), FeedState::Stale);
        assert!(upstream.on_publisher(PublisherChange::Came(1)));
        assert!(!upstream.on_publisher(PublisherChange::Speaks(1)));
        assert_eq!(upstream.judge(3, Nanos(10)), Place::First);
        assert_eq!(upstream.check(Nanos(10)), FeedState::Stale, "it has not said so");
        upstream.set_state(CHANNEL, FeedState::Current);
        assert_eq!(upstream.judge(4, Nanos(10)), Place::Next);
        assert_eq!(upstream.check(Nanos(10)), FeedState::Current);
        assert_eq!((upstream.joined(), upstream.next()), (3, Some(5)));
        upstream
    }

    #[test]
    fn silence_makes_it_stale_until_it_speaks_again() {
        let mut upstream = current();
        assert_eq!(upstream.check(Nanos(10 + STALE_NS)), FeedState::Current);
        assert_eq!(upstream.check(Nanos(11 + STALE_NS)), FeedState::Stale);
        assert_eq!(upstream.judge(4, Nanos(200)), Place::Repeated);
        assert_eq!(upstream.check(Nanos(200)), FeedState::Stale, "an echo is no sign of life");
        assert_eq!(upstream.judge(5, Nanos(300)), Place::Next);
        assert_eq!(upstream.check(Nanos(300)), FeedState::Current);
    }

    #[test]
    fn a_hole_voids_what_was_said() {
        let mut upstream = current();
        assert_eq!(upstream.judge(7, Nanos(11)), Place::AfterHole);
        assert_eq!(upstream.check(Nanos(11)), FeedState::Stale);
        assert_eq!(upstream.joined(), 7);
        for late in [5, 6, 7] {
            assert_eq!(upstream.judge(late, Nanos(11)), Place::Repeated);
        }
        upstream.set_state(CHANNEL, FeedState::Current);
        assert_eq!(upstream.check(Nanos(11)), FeedState::Current);
        let counts = *upstream.counts();
        assert_eq!((counts.gaps, counts.missing, counts.repeated), (1, 2, 3));
    }

    #[test]
    fn the_newest_publisher_counts_and_the_one_before_when_it_went() {
        let mut upstream = current();
        assert!(upstream.on_publisher(PublisherChange::Came(2)));
        assert_eq!(upstream.check(Nanos(10)), FeedState::Stale);
        assert_eq!(upstream.judge(5, Nanos(10)), Place::Foreign);
        upstream.on_publisher(PublisherChange::Speaks(2));
        assert_eq!(upstream.judge(1, Nanos(10)), Place::First);
        assert!(!upstream.on_publisher(PublisherChange::Went(1)), "it did not count any more");
        assert_eq!(upstream.next(), Some(2));
        assert!(upstream.on_publisher(PublisherChange::Came(1)), "out of reach, and back");
        upstream.on_publisher(PublisherChange::Speaks(2));
        assert_eq!(upstream.judge(2, Nanos(10)), Place::Foreign);
        assert!(upstream.on_publisher(PublisherChange::Went(1)));
        assert_eq!((upstream.current(), upstream.check(Nanos(10))), (None, FeedState::Stale));
        assert_eq!(upstream.judge(3, Nanos(10)), Place::First);
        assert_eq!(upstream.current(), Some(2));
        let counts = *upstream.counts();
        assert_eq!((counts.publisher_changes, counts.foreign, counts.gaps), (3, 2, 0));
    }

    #[test]
    fn it_is_as_good_as_the_worst_of_its_channels() {
        use FeedState::{Current, Ended, Stale};
        for (first, second, expected) in [
            (Current, Current, Current),
            (Current, Ended, Current),
            (Ended, Current, Current),
            (Ended, Ended, Ended),
            (Stale, Current, Stale),
            (Current, Stale, Stale),
            (Ended, Stale, Stale),
        ] {
            let mut upstream = current();
            upstream.set_state(CHANNEL, first);
            upstream.set_state(ChannelId(9), second);
            assert_eq!(upstream.check(Nanos(10)), expected, "{first:?} {second:?}");
            assert_eq!(upstream.state(), expected);
        }
    }

    #[test]
    fn any_number_of_channels_and_any_number_of_a_message_are_taken() {
        let mut upstream = current();
        for channel in 0..1_000 {
            upstream.set_state(ChannelId(channel), FeedState::Current);
        }
        assert_eq!(upstream.states.len(), CHANNELS_MAX);
        assert_eq!(upstream.judge(u64::MAX, Nanos(11)), Place::AfterHole);
        assert_eq!(upstream.next(), None, "there is no number behind it");
        assert_eq!(upstream.judge(0, Nanos(11)), Place::First);
    }
}
