//! How long the feed takes for each message, by type: a source that hands its messages on one at a time and takes the time.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::feed::iex::tp::{self, ProtocolId, Segment};
use crate::feed::iex::{deep, tops};
use crate::feed::itch50::TYPES;
use crate::feed::moldudp64::{self, Packet};
use crate::net::{Datagram, DatagramHandler, PacketSource, Polled};
use crate::runtime::Clock;
use crate::telemetry::empty_histogram;
use crate::telemetry::hlog::{Environment, LogWriter};
use crate::types::{ChannelId, Nanos};

/// Whose letter names a type of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Itch,
    Deep,
    Tops,
}

impl Of {
    /// Before the letter in a tag.
    const fn tag(self) -> &'static str {
        match self {
            Of::Itch => "itch",
            Of::Deep => "deep",
            Of::Tops => "tops",
        }
    }

    /// The letters there are, in the order of the specification.
    fn letters(self) -> Vec<u8> {
        match self {
            Of::Itch => TYPES.iter().map(|&(letter, _)| letter).collect(),
            Of::Deep => deep::types().map(|(letter, _)| letter).collect(),
            Of::Tops => tops::types().map(|(letter, _)| letter).collect(),
        }
    }
}

/// A session's name, or its number in the first bytes.
type SessionName = [u8; 10];

/// What was measured: a histogram for each type of message that came.
pub struct Stopwatch {
    clock: Clock,
    itch: Vec<Option<Histogram<u64>>>,
    deep: Vec<Option<Histogram<u64>>>,
    tops: Vec<Option<Histogram<u64>>>,
    /// The session each channel is in, and the number of its next message: copies by another line are not measured.
    next: Vec<(Option<SessionName>, u64)>,
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
            itch: vec![None; 256],
            deep: vec![None; 256],
            tops: vec![None; 256],
            next: vec![(None, 1); channels],
            datagram: Vec::with_capacity(65_536),
        }
    }

    /// Hands on the messages of a MoldUDP64 packet, each in a packet of its own.
    fn split<H: DatagramHandler>(
        &mut self,
        whole: Datagram<'_>,
        header: moldudp64::Header,
        messages: moldudp64::Messages<'_>,
        handler: &mut H,
    ) {
        for (sequence, message) in (header.sequence..).zip(messages) {
            let mut head = [0; moldudp64::HEADER_BYTES];
            moldudp64::Header { count: 1, sequence, ..header }.write(&mut head);
            self.wrap(&head, length(message).to_be_bytes(), message);
            let ns = self.hand_on(whole, handler);
            self.record(whole, Of::Itch, (header.session.0, sequence), message, ns);
        }
    }

    /// Hands on the messages of an IEX-TP segment, each in a segment of its own.
    fn split_segment<H: DatagramHandler>(
        &mut self,
        whole: Datagram<'_>,
        of: Of,
        header: tp::Header,
        messages: tp::Messages<'_>,
        handler: &mut H,
    ) {
        let mut session = [0; 10];
        session[..4].copy_from_slice(&header.session.0.to_le_bytes());
        let mut offset = header.offset;
        for (sequence, message) in (header.sequence..).zip(messages) {
            let mut head = [0; tp::HEADER_BYTES];
            let bytes = length(message).saturating_add(2);
            tp::Header { count: 1, sequence, offset, ..header }.write(bytes, &mut head);
            offset = offset.saturating_add(u64::from(bytes));
            self.wrap(&head, length(message).to_le_bytes(), message);
            let ns = self.hand_on(whole, handler);
            self.record(whole, of, (session, sequence), message, ns);
        }
    }

    /// Makes the datagram of one message.
    fn wrap(&mut self, head: &[u8], length: [u8; 2], message: &[u8]) {
        self.datagram.clear();
        self.datagram.extend_from_slice(head);
        self.datagram.extend_from_slice(&length);
        self.datagram.extend_from_slice(message);
    }

    /// Hands it on and returns how long that took.
    fn hand_on<H: DatagramHandler>(&mut self, whole: Datagram<'_>, handler: &mut H) -> u64 {
        let start = self.clock.now();
        handler.on_datagram(Datagram { payload: &self.datagram, ..whole });
        self.clock.now().since(start)
    }

    fn record(
        &mut self,
        whole: Datagram<'_>,
        of: Of,
        (session, sequence): (SessionName, u64),
        message: &[u8],
        ns: u64,
    ) {
        let place = usize::try_from(whole.channel.0).unwrap_or(usize::MAX);
        let Some((known, next)) = self.next.get_mut(place) else { return };
        if *known != Some(session) {
            (*known, *next) = (Some(session), 1);
        }
        if sequence < *next {
            return;
        }
        *next = sequence + 1;
        let by_letter = match of {
            Of::Itch => &mut self.itch,
            Of::Deep => &mut self.deep,
            Of::Tops => &mut self.tops,
        };
        let histogram = &mut by_letter[usize::from(message.first().copied().unwrap_or(0))];
        histogram.get_or_insert_with(empty_histogram).saturating_record(ns);
    }

    /// Tag and times of each type that came, in the order of the specifications: `itch_A`, `deep_8`, `tops_Q` and so on.
    pub fn histograms(&self) -> impl Iterator<Item = (String, &Histogram<u64>)> {
        let all = [(Of::Itch, &self.itch), (Of::Deep, &self.deep), (Of::Tops, &self.tops)];
        all.into_iter().flat_map(|(of, by_letter)| {
            of.letters().into_iter().filter_map(move |letter| {
                let histogram = by_letter[usize::from(letter)].as_ref()?;
                Some((format!("{}_{}", of.tag(), char::from(letter)), histogram))
            })
        })
    }

    /// Writes a log with a tag for each type.
    ///
    /// # Errors
    /// What writing gives.
    pub fn write(&self, to: impl Write, start: Nanos, length_ns: u64) -> io::Result<()> {
        let environment = Environment::here("replay");
        let mut log = LogWriter::begin(to, &environment, self.clock.utc(start))?;
        for (tag, histogram) in self.histograms() {
            log.write(&tag, histogram, Duration::ZERO, Duration::from_nanos(length_ns))?;
        }
        log.finish().map(|_| ())
    }
}

fn length(message: &[u8]) -> u16 {
    u16::try_from(message.len()).unwrap_or(u16::MAX)
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
        // As in telling the protocol: IEX-TP is asked first.
        if let Ok(Segment::Data(header, messages)) = tp::parse(datagram.payload) {
            let of = match header.protocol {
                ProtocolId::DEEP_1_0 => Of::Deep,
                ProtocolId::TOPS_1_6 => Of::Tops,
                _ => return self.handler.on_datagram(datagram),
            };
            return self.stopwatch.split_segment(datagram, of, header, messages, self.handler);
        }
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
