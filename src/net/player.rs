//! Recorded datagrams as a packet source: at once, at their own pace or a multiple of it, once or again and again.
//!
//! When a datagram is due is computed from the start of the first round, so lateness does not add up and what was recorded
//! as a burst comes as one.

use std::io;
use std::net::SocketAddrV4;

use crate::net::capture::Capture;
use crate::net::source::{Datagram, DatagramHandler, PacketSource, Polled, RxClock, RxStamp};
use crate::types::{ChannelId, Nanos};

/// A recorded datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded<'a> {
    /// Place of its destination among [`Recording::flows`].
    pub flow: u16,
    /// When it was captured, in nanoseconds of the recording's clock.
    pub ns: u64,
    /// Whether it comes before what is played at a pace, and is handed out as soon as it is asked for.
    pub is_at_once: bool,
    /// UDP payload.
    pub payload: &'a [u8],
}

/// Recorded datagrams, one after the other.
pub trait Recording {
    /// The destinations there are.
    fn flows(&self) -> &[SocketAddrV4];

    /// Goes to the next datagram; `false`: there is none.
    fn step(&mut self) -> bool;

    /// The datagram gone to last.
    ///
    /// # Panics
    /// Before the first [`Recording::step`] that found one, if it likes.
    fn datagram(&self) -> Recorded<'_>;

    /// Goes back to before the first datagram.
    fn rewind(&mut self);

    /// How far it is, and how far that is of: in units of its own.
    fn progress(&self) -> (u64, u64);
}

/// A capture in memory as a recording.
#[derive(Debug)]
pub struct CaptureRecording {
    capture: Capture,
    /// The datagram to go to next.
    next: usize,
}

impl CaptureRecording {
    /// Before the first datagram of `capture`.
    pub const fn new(capture: Capture) -> CaptureRecording {
        CaptureRecording { capture, next: 0 }
    }

    /// The capture.
    pub const fn capture(&self) -> &Capture {
        &self.capture
    }
}

impl Recording for CaptureRecording {
    fn flows(&self) -> &[SocketAddrV4] {
        self.capture.flows()
    }

    #[inline]
    fn step(&mut self) -> bool {
        let is_there = self.next < self.capture.len();
        self.next += usize::from(is_there);
        is_there
    }

    #[inline]
    fn datagram(&self) -> Recorded<'_> {
        let entry = &self.capture.entries()[self.next - 1];
        let payload = self.capture.payload(entry);
        Recorded { flow: entry.flow, ns: entry.ns, is_at_once: false, payload }
    }

    fn rewind(&mut self) {
        self.next = 0;
    }

    fn progress(&self) -> (u64, u64) {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        (number(self.next), number(self.capture.len()))
    }
}

/// How many times as fast as recorded, in thousandths: 1,000 is the recorded pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(u64);

impl Speed {
    /// As recorded.
    pub const RECORDED: Speed = Speed(1_000);

    /// `thousandths` / 1,000 times as fast; `None` for 0.
    pub const fn of_thousandths(thousandths: u64) -> Option<Speed> {
        if thousandths == 0 { None } else { Some(Speed(thousandths)) }
    }

    /// How long `recorded_ns` take; saturates.
    #[inline]
    pub fn span_ns(self, recorded_ns: u64) -> u64 {
        if self == Speed::RECORDED {
            return recorded_ns;
        }
        let ns = u128::from(recorded_ns) * 1_000 / u128::from(self.0);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// A recording that is played.
#[derive(Debug)]
pub struct Player<R> {
    recording: R,
    speed: Option<Speed>,
    /// 0: for ever.
    rounds: u32,
    round: u32,
    of_round: u64,
    is_over: bool,
    /// When the datagram that was gone to is due; `None`: none was. Handed out at once if it is the start of time.
    due: Option<Nanos>,
    now: Nanos,
    /// When the first datagram that has a time was played.
    origin: Option<Nanos>,
    /// How long the rounds before this one took.
    offset_ns: u64,
    /// Times of this round's first and last datagram.
    first_ns: Option<u64>,
    last_ns: u64,
    /// Channel and line by flow.
    routes: Vec<Option<(ChannelId, u8)>>,
    unrouted_count: u64,
    handed_count: u64,
    late_ns_max: u64,
}

impl<R: Recording> Player<R> {
    /// Plays `recording` so many times, 0 for ever; without a speed as fast as it is asked for. Nothing is handed out until
    /// a destination is subscribed to.
    pub fn new(recording: R, speed: Option<Speed>, rounds: u32) -> Player<R> {
        Player {
            routes: vec![None; recording.flows().len()],
            recording,
            speed,
            rounds,
            round: 0,
            of_round: 0,
            is_over: false,
            due: None,
            now: Nanos(0),
            origin: None,
            offset_ns: 0,
            first_ns: None,
            last_ns: 0,
            unrouted_count: 0,
            handed_count: 0,
            late_ns_max: 0,
        }
    }

    /// The recording.
    pub const fn recording(&self) -> &R {
        &self.recording
    }

    /// When the next datagram is due, as far as that is known: after a [`PacketSource::poll`] that found nothing.
    pub const fn next_due(&self) -> Option<Nanos> {
        self.due
    }

    /// Rounds that are over.
    pub const fn round_count(&self) -> u32 {
        self.round
    }

    /// Datagrams handed out.
    pub const fn handed_count(&self) -> u64 {
        self.handed_count
    }

    /// The longest time between when a datagram was due and when it was handed out.
    pub const fn late_ns_max(&self) -> u64 {
        self.late_ns_max
    }

    /// Datagrams for destinations nobody subscribed to.
    pub const fn unrouted_count(&self) -> u64 {
        self.unrouted_count
    }

    /// When the datagram in hand, or the next one, is due; `None` at the end.
    #[inline]
    fn load(&mut self) -> Option<Nanos> {
        if self.due.is_some() {
            return self.due;
        }
        while !self.is_over {
            if self.recording.step() {
                self.of_round += 1;
                self.due = Some(self.schedule());
                return self.due;
            }
            self.end_round();
        }
        None
    }

    #[inline]
    fn schedule(&mut self) -> Nanos {
        let Some(speed) = self.speed else { return Nanos(0) };
        let Recorded { ns, is_at_once, .. } = self.recording.datagram();
        if is_at_once {
            return Nanos(0);
        }
        let origin = *self.origin.get_or_insert(self.now);
        let first_ns = *self.first_ns.get_or_insert(ns);
        self.last_ns = self.last_ns.max(ns);
        let since_ns = speed.span_ns(ns.saturating_sub(first_ns));
        origin.plus(self.offset_ns.saturating_add(since_ns))
    }

    #[cold]
    fn end_round(&mut self) {
        self.round = self.round.saturating_add(1);
        if self.of_round == 0 || (self.rounds != 0 && self.round >= self.rounds) {
            self.is_over = true;
            return;
        }
        if let (Some(speed), Some(first_ns)) = (self.speed, self.first_ns.take()) {
            let round_ns = speed.span_ns(self.last_ns.saturating_sub(first_ns));
            self.offset_ns = self.offset_ns.saturating_add(round_ns);
        }
        (self.of_round, self.last_ns) = (0, 0);
        self.recording.rewind();
    }
}

impl<R: Recording> PacketSource for Player<R> {
    /// A destination that is not in the recording is no error: it is a line on which nothing comes.
    fn subscribe(&mut self, group: SocketAddrV4, channel: ChannelId, line: u8) -> io::Result<()> {
        for (&flow, route) in self.recording.flows().iter().zip(&mut self.routes) {
            if flow == group {
                *route = Some((channel, line));
            }
        }
        Ok(())
    }

    #[inline]
    fn advance(&mut self, now: Nanos) {
        self.now = now;
    }

    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        let mut count = 0;
        for _ in 0..budget {
            let Some(due) = self.load().filter(|&due| due <= self.now) else { break };
            if due != Nanos(0) {
                self.late_ns_max = self.late_ns_max.max(self.now.since(due));
            }
            self.due = None;
            let Recorded { flow, ns, payload, .. } = self.recording.datagram();
            let Some((channel, line)) = self.routes[usize::from(flow)] else {
                self.unrouted_count += 1;
                continue;
            };
            let stamp = RxStamp { ns, clock: RxClock::Capture };
            handler.on_datagram(Datagram { channel, line, stamp, payload });
            count += 1;
        }
        if count > 0 {
            self.handed_count += u64::from(count);
            handler.on_burst_end(count);
            return Ok(Polled::Got(count));
        }
        Ok(if self.is_over { Polled::End } else { Polled::Idle })
    }

    fn drops(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;

    use super::*;

    const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 5_000);

    /// What was handed out, and when.
    #[derive(Default)]
    struct Seen(Vec<u64>);

    impl DatagramHandler for Seen {
        fn on_datagram(&mut self, datagram: Datagram<'_>) {
            self.0.push(datagram.stamp.ns);
        }
    }

    fn player(times: &[u64], speed: Option<Speed>, rounds: u32) -> Player<CaptureRecording> {
        let mut capture = Capture::empty(Path::new("made"));
        for &ns in times {
            assert!(capture.push(GROUP, ns, &[], b"x"));
        }
        let mut player = Player::new(CaptureRecording::new(capture), speed, rounds);
        player.subscribe(GROUP, ChannelId(1), 0).expect("subscribes");
        player
    }

    fn at(player: &mut Player<CaptureRecording>, now: u64) -> (Vec<u64>, Polled) {
        let mut seen = Seen::default();
        player.advance(Nanos(now));
        let polled = player.poll(1_000, &mut seen).expect("polls");
        (seen.0, polled)
    }

    fn speed(thousandths: u64) -> Option<Speed> {
        Speed::of_thousandths(thousandths)
    }

    #[test]
    fn unpaced_hands_out_all_rounds_within_the_budget() {
        let mut player = player(&[5, 6, 7], None, 2);
        let mut seen = Seen::default();
        for expected in [Polled::Got(4), Polled::Got(2), Polled::End, Polled::End] {
            assert_eq!(player.poll(4, &mut seen).expect("polls"), expected);
        }
        assert_eq!((seen.0, player.handed_count()), (vec![5, 6, 7, 5, 6, 7], 6));
        assert_eq!(player.round_count(), 2);
    }

    #[test]
    fn the_recorded_pace_counts_from_the_first_poll_and_bursts_stay_bursts() {
        let mut player = player(&[100, 100, 150, 90, 200], speed(1_000), 1);
        assert_eq!(at(&mut player, 7_000), (vec![100, 100], Polled::Got(2)));
        assert_eq!(at(&mut player, 7_049), (vec![], Polled::Idle));
        assert_eq!(player.next_due(), Some(Nanos(7_050)));
        assert_eq!(at(&mut player, 7_050), (vec![150, 90], Polled::Got(2)), "time went back");
        assert_eq!(player.late_ns_max(), 50, "the one whose time went back");
        assert_eq!(at(&mut player, 9_999), (vec![200], Polled::Got(1)));
        assert_eq!(player.late_ns_max(), 2_899);
        assert_eq!(at(&mut player, 9_999), (vec![], Polled::End));
    }

    #[test]
    fn every_speed_divides_the_distances() {
        for (thousandths, due) in [(500, 2_000), (1_000, 1_000), (2_500, 400), (3_000, 333)] {
            let mut player = player(&[0, 1_000], speed(thousandths), 1);
            assert_eq!(at(&mut player, 50).0, [0]);
            assert_eq!(at(&mut player, 50 + due - 1).0, [0; 0], "{thousandths}");
            assert_eq!(at(&mut player, 50 + due).0, [1_000], "{thousandths}");
        }
        assert_eq!(Speed::of_thousandths(0), None);
        assert_eq!(Speed(1).span_ns(u64::MAX), u64::MAX);
    }

    #[test]
    fn rounds_follow_each_other_on_one_schedule() {
        let mut player = player(&[10, 40], speed(1_000), 3);
        for (now, seen) in [
            (1_000, vec![10]),
            (1_029, vec![]),
            (1_030, vec![40, 10]),
            // Late by more than a round: what is due comes at once, and the schedule stays.
            (1_075, vec![40, 10]),
            (1_089, vec![]),
            (1_090, vec![40]),
        ] {
            assert_eq!(at(&mut player, now).0, seen, "at {now}");
        }
        assert_eq!(at(&mut player, 1_090).1, Polled::End);
    }

    #[test]
    fn rounds_for_ever_do_not_end_and_an_empty_recording_does() {
        let mut endless = player(&[1, 2], None, 0);
        for _ in 0..100 {
            assert_eq!(at(&mut endless, 0).1, Polled::Got(1_000));
        }
        assert_eq!(at(&mut player(&[], None, 0), 0).1, Polled::End);
    }

    #[test]
    fn a_million_datagrams_polled_late_and_unevenly_do_not_drift() {
        let mut capture = Capture::empty(Path::new("made"));
        let mut random = 12_345_u64;
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        let mut times = Vec::new();
        let mut ns = 1_580_371_200_000_000_000;
        for _ in 0..1_000_000 {
            ns += next(3) * next(2_000);
            assert!(capture.push(GROUP, ns, &[], b"x"));
            times.push(ns);
        }
        let mut player = Player::new(CaptureRecording::new(capture), speed(4_000), 1);
        player.subscribe(GROUP, ChannelId(1), 0).expect("subscribes");
        let due: Vec<u64> = times.iter().map(|ns| (ns - times[0]) / 4).collect();
        let start = 77;
        let (mut now, mut handed) = (start, 0);
        while handed < times.len() {
            let (seen, _) = at(&mut player, now);
            assert_eq!(seen, times[handed..handed + seen.len()]);
            handed += seen.len();
            // Exactly those that are due were handed out, but for the budget.
            let is_exact = handed == times.len() || due[handed] > now - start;
            assert!(is_exact || seen.len() == 1_000, "at {now} datagram {handed} was due");
            assert!(due[handed - 1] <= now - start);
            if is_exact {
                now += 1 + next(50_000);
            }
        }
    }

    #[test]
    fn what_nobody_subscribed_to_is_counted_and_left_out() {
        let mut capture = Capture::empty(Path::new("made"));
        assert!(capture.push(GROUP, 0, &[], b"x"));
        let mut player = Player::new(CaptureRecording::new(capture), None, 1);
        assert_eq!(at(&mut player, 0), (vec![], Polled::End));
        assert_eq!((player.unrouted_count(), player.handed_count()), (1, 0));
    }
}
