//! How long the feed takes for each message, by type: a source that hands its messages on one at a time and takes the time.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::feed::itch50::TYPES;
use crate::feed::moldudp64::{self, HEADER_BYTES, Header, Messages, Packet, Session};
use crate::net::{Datagram, DatagramHandler, PacketSource, Polled};
use crate::runtime::Clock;
use crate::telemetry::empty_histogram;
use crate::telemetry::hlog::{Environment, LogWriter};
use crate::types::{ChannelId, Nanos};

/// What was measured: a histogram for each ITCH letter that came.
pub struct Stopwatch {
    clock: Clock,
    by_letter: Vec<Option<Histogram<u64>>>,
    /// The session each channel is in, and the number of its next message: copies by another line are not measured.
    next: Vec<(Option<Session>, u64)>,
    datagram: Vec<u8>,
}

impl fmt::Debug for Stopwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopwatch").finish_non_exhaustive()
    }
}

impl Stopwatch {
    /// Nothing was measured, on as many channels, which are numbered from 0.
    pub fn new(clock: Clock, channels: usize) -> Stopwatch {
        Stopwatch {
            clock,
            by_letter: vec![None; 256],
            next: vec![(None, 1); channels],
            datagram: Vec::with_capacity(65_536),
        }
    }

    /// Hands on the messages of a packet, each in a packet of its own.
    fn split<H: DatagramHandler>(
        &mut self,
        whole: Datagram<'_>,
        header: Header,
        messages: Messages<'_>,
        handler: &mut H,
    ) {
        let place = usize::try_from(whole.channel.0).unwrap_or(usize::MAX);
        for (sequence, message) in (header.sequence..).zip(messages) {
            let mut head = [0; HEADER_BYTES];
            Header { count: 1, sequence, ..header }.write(&mut head);
            let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
            self.datagram.clear();
            self.datagram.extend_from_slice(&head);
            self.datagram.extend_from_slice(&length.to_be_bytes());
            self.datagram.extend_from_slice(message);

            let start = self.clock.now();
            handler.on_datagram(Datagram { payload: &self.datagram, ..whole });
            let ns = self.clock.now().since(start);
            let letter = message.first().copied().unwrap_or(0);
            self.record(place, header.session, sequence, letter, ns);
        }
    }

    fn record(&mut self, place: usize, session: Session, sequence: u64, letter: u8, ns: u64) {
        let Some((known, next)) = self.next.get_mut(place) else { return };
        if *known != Some(session) {
            (*known, *next) = (Some(session), 1);
        }
        if sequence < *next {
            return;
        }
        *next = sequence + 1;
        let histogram = &mut self.by_letter[usize::from(letter)];
        histogram.get_or_insert_with(empty_histogram).saturating_record(ns);
    }

    /// Letter and times of each type that came, in the order of the specification.
    pub fn histograms(&self) -> impl Iterator<Item = (char, &Histogram<u64>)> {
        TYPES.iter().filter_map(|&(letter, _)| {
            let histogram = self.by_letter[usize::from(letter)].as_ref()?;
            Some((char::from(letter), histogram))
        })
    }

    /// Writes a log with a tag for each type: `itch_A` and so on.
    ///
    /// # Errors
    /// What writing gives.
    pub fn write(&self, to: impl Write, start: Nanos, length_ns: u64) -> io::Result<()> {
        let environment = Environment::here("replay");
        let mut log = LogWriter::begin(to, &environment, self.clock.utc(start))?;
        for (letter, histogram) in self.histograms() {
            let length = Duration::from_nanos(length_ns);
            log.write(&format!("itch_{letter}"), histogram, Duration::ZERO, length)?;
        }
        log.finish().map(|_| ())
    }
}

/// A source, measured if there is a stopwatch.
#[derive(Debug)]
pub struct Measured<S> {
    source: S,
    stopwatch: Option<Box<Stopwatch>>,
}

impl<S> Measured<S> {
    /// `source`, timed by `stopwatch`.
    pub fn new(source: S, stopwatch: Option<Stopwatch>) -> Measured<S> {
        Measured { source, stopwatch: stopwatch.map(Box::new) }
    }

    /// The source itself.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// What was measured.
    pub fn stopwatch(&self) -> Option<&Stopwatch> {
        self.stopwatch.as_deref()
    }
}

/// Takes datagrams from the source and hands on what is in them.
struct Splitter<'a, H> {
    stopwatch: &'a mut Stopwatch,
    handler: &'a mut H,
}

impl<H: DatagramHandler> DatagramHandler for Splitter<'_, H> {
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        match moldudp64::parse(datagram.payload) {
            Ok(Packet::Data(header, messages)) => {
                self.stopwatch.split(datagram, header, messages, self.handler);
            }
            Ok(Packet::Heartbeat(_) | Packet::EndOfSession(_)) | Err(_) => {
                self.handler.on_datagram(datagram);
            }
        }
    }

    fn on_burst_end(&mut self, count: u32) {
        self.handler.on_burst_end(count);
    }
}

impl<S: PacketSource> PacketSource for Measured<S> {
    fn subscribe(&mut self, group: SocketAddrV4, channel: ChannelId, line: u8) -> io::Result<()> {
        self.source.subscribe(group, channel, line)
    }

    #[inline]
    fn advance(&mut self, now: Nanos) {
        self.source.advance(now);
    }

    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        match &mut self.stopwatch {
            None => self.source.poll(budget, handler),
            Some(stopwatch) => self.source.poll(budget, &mut Splitter { stopwatch, handler }),
        }
    }

    fn drops(&self) -> u64 {
        self.source.drops()
    }
}
