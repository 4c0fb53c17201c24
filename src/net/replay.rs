//! A capture as a packet source: as fast as it is asked for, or on a schedule.

use std::io;
use std::net::SocketAddrV4;

use crate::net::capture::Capture;
use crate::net::source::{Datagram, DatagramHandler, PacketSource, Polled, RxClock, RxStamp};
use crate::types::{ChannelId, Nanos};

/// When the datagrams of a capture are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each as soon as it is asked for.
    Unpaced,
    /// At the distances at which they were captured, from the first [`PacketSource::advance`] on. Each time is computed
    /// from the start, so that lateness does not add up.
    Scheduled {
        /// So many at the start are handed out at once; the schedule begins with the next.
        datagrams_at_once: usize,
        /// How long the scheduled ones take together; `None`: as long as they did. Where the capture has no times, they
        /// are spread evenly.
        duration_ns: Option<u64>,
    },
}

/// A capture that is played.
#[derive(Debug)]
pub struct CaptureSource {
    capture: Capture,
    next: usize,
    /// Nanoseconds from the start, by datagram; empty if unpaced.
    due_ns: Vec<u64>,
    started: Option<Nanos>,
    now: Nanos,
    /// Channel and line by flow.
    routes: Vec<Option<(ChannelId, u8)>>,
    unrouted_count: u64,
}

impl CaptureSource {
    /// A source that plays `capture` from its start. Nothing is handed out until a destination is subscribed to.
    pub fn new(capture: Capture, pace: Pace) -> CaptureSource {
        let due_ns = match pace {
            Pace::Unpaced => Vec::new(),
            Pace::Scheduled { datagrams_at_once, duration_ns } => {
                schedule(&capture, datagrams_at_once, duration_ns)
            }
        };
        let routes = vec![None; capture.flows().len()];
        CaptureSource {
            capture,
            next: 0,
            due_ns,
            started: None,
            now: Nanos(0),
            routes,
            unrouted_count: 0,
        }
    }

    /// Subscribes to every destination in the capture as line 0 of `channel`.
    pub fn subscribe_all(&mut self, channel: ChannelId) {
        self.routes.fill(Some((channel, 0)));
    }

    /// The capture it plays.
    pub const fn capture(&self) -> &Capture {
        &self.capture
    }

    /// Datagrams handed out or passed over so far.
    pub const fn position(&self) -> usize {
        self.next
    }

    /// Datagrams for destinations nobody subscribed to, so far.
    pub const fn unrouted_count(&self) -> u64 {
        self.unrouted_count
    }

    /// Whether the next datagram is due.
    #[inline]
    fn is_due(&self) -> bool {
        match self.due_ns.get(self.next) {
            None => true,
            Some(&due_ns) => self.started.is_some_and(|started| self.now.since(started) >= due_ns),
        }
    }
}

impl PacketSource for CaptureSource {
    /// A destination that is not in the capture is no error: it is a line on which nothing comes.
    fn subscribe(&mut self, group: SocketAddrV4, channel: ChannelId, line: u8) -> io::Result<()> {
        for (&flow, route) in self.capture.flows().iter().zip(&mut self.routes) {
            if flow == group {
                *route = Some((channel, line));
            }
        }
        Ok(())
    }

    #[inline]
    fn advance(&mut self, now: Nanos) {
        self.started.get_or_insert(now);
        self.now = now;
    }

    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        let mut count = 0;
        while count < budget && self.is_due() {
            let Some(entry) = self.capture.entries().get(self.next) else { break };
            self.next += 1;
            let Some((channel, line)) = self.routes[usize::from(entry.flow)] else {
                self.unrouted_count += 1;
                continue;
            };
            handler.on_datagram(Datagram {
                channel,
                line,
                stamp: RxStamp { ns: entry.ns, clock: RxClock::Capture },
                payload: self.capture.payload(entry),
            });
            count += 1;
        }
        if count > 0 {
            handler.on_burst_end(count);
            return Ok(Polled::Got(count));
        }
        let is_over = self.next >= self.capture.len();
        Ok(if is_over { Polled::End } else { Polled::Idle })
    }

    fn drops(&self) -> u64 {
        0
    }
}

/// When each datagram is due, in nanoseconds from the start.
fn schedule(capture: &Capture, at_once: usize, duration_ns: Option<u64>) -> Vec<u64> {
    let entries = capture.entries();
    let at_once = at_once.min(entries.len());
    let paced = &entries[at_once..];
    let first = paced.first().map_or(0, |entry| entry.ns);
    let last = paced.iter().map(|entry| entry.ns).max().unwrap_or(0);
    let span = last.saturating_sub(first);
    let mut due_ns = vec![0; at_once];
    due_ns.extend(paced.iter().enumerate().map(|(index, entry)| {
        let since = entry.ns.saturating_sub(first);
        match duration_ns {
            None => since,
            Some(duration) if span > 0 => scaled(duration, since, span),
            Some(duration) => {
                let part = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
                scaled(duration, part(index), part(paced.len().saturating_sub(1)).max(1))
            }
        }
    }));
    due_ns
}

/// `duration` × `part` / `whole`, where `part` is at most `whole`.
fn scaled(duration: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(duration) * u128::from(part) / u128::from(whole);
    u64::try_from(product).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;

    use super::*;

    const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 5_000);

    struct Seen(Vec<u8>);

    impl DatagramHandler for Seen {
        fn on_datagram(&mut self, datagram: Datagram<'_>) {
            self.0.extend_from_slice(datagram.payload);
        }
    }

    fn source(times: &[u64], pace: Pace) -> CaptureSource {
        let mut capture = Capture::empty(Path::new("made"));
        for (place, &ns) in (0_u8..).zip(times) {
            assert!(capture.push(GROUP, ns, &[], &[place]));
        }
        let mut source = CaptureSource::new(capture, pace);
        source.subscribe(GROUP, ChannelId(1), 0).expect("subscribes");
        source
    }

    fn seen_at(source: &mut CaptureSource, now: u64) -> (Vec<u8>, Polled) {
        let mut seen = Seen(Vec::new());
        source.advance(Nanos(now));
        let polled = source.poll(100, &mut seen).expect("polls");
        (seen.0, polled)
    }

    #[test]
    fn unpaced_hands_out_all_there_is_within_the_budget() {
        let mut source = source(&[5, 6, 7], Pace::Unpaced);
        let mut seen = Seen(Vec::new());
        assert_eq!(source.poll(2, &mut seen).expect("polls"), Polled::Got(2));
        assert_eq!(source.poll(2, &mut seen).expect("polls"), Polled::Got(1));
        assert_eq!(source.poll(2, &mut seen).expect("polls"), Polled::End);
        assert_eq!(seen.0, [0, 1, 2]);
    }

    #[test]
    fn a_schedule_is_stretched_from_its_own_start() {
        let pace = Pace::Scheduled { datagrams_at_once: 1, duration_ns: Some(1_000) };
        let mut source = source(&[0, 100, 150, 200], pace);
        assert_eq!(seen_at(&mut source, 7_000), (vec![0, 1], Polled::Got(2)));
        assert_eq!(seen_at(&mut source, 7_499), (vec![], Polled::Idle));
        assert_eq!(seen_at(&mut source, 7_500), (vec![2], Polled::Got(1)));
        assert_eq!(seen_at(&mut source, 9_999), (vec![3], Polled::Got(1)));
        assert_eq!(seen_at(&mut source, 9_999), (vec![], Polled::End));
    }

    #[test]
    fn datagrams_without_times_are_spread_evenly() {
        let pace = Pace::Scheduled { datagrams_at_once: 0, duration_ns: Some(1_000) };
        let mut source = source(&[0, 0, 0], pace);
        assert_eq!(seen_at(&mut source, 0).0, [0]);
        assert_eq!(seen_at(&mut source, 500).0, [1]);
        assert_eq!(seen_at(&mut source, 1_000).0, [2]);
    }

    #[test]
    fn what_nobody_subscribed_to_is_counted_and_left_out() {
        let mut capture = Capture::empty(Path::new("made"));
        assert!(capture.push(GROUP, 0, &[], b"x"));
        let mut source = CaptureSource::new(capture, Pace::Unpaced);
        assert_eq!(seen_at(&mut source, 0), (vec![], Polled::End));
        assert_eq!(source.unrouted_count(), 1);
    }
}
