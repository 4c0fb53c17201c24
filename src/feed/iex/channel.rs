//! One IEX stream from datagram to book: segment, sequence, messages, levels.
//!
//! Both lines of a stream go into one [`IexChannel`]; what is of another stream or protocol is counted and left alone.

use crate::feed::arbiter::Join;
use crate::feed::channel::NoSink;
use crate::feed::iex::books::{Books, BooksConfig, BooksFull, Effect};
use crate::feed::iex::message::{IexError, Message, SystemEvent};
use crate::feed::iex::sequence::Sequence;
use crate::feed::iex::tp::{self, Messages, ProtocolId, Segment, StreamId, TpError};
use crate::feed::iex::{deep, tops};
use crate::types::{FeedState, Nanos, SessionPhase, Symbol};

/// Which of IEX's feeds a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// DEEP 1.0: depth of book.
    Deep,
    /// TOPS 1.6: top of book.
    Tops,
}

impl Feed {
    /// Its number in the header of a segment.
    #[inline]
    pub const fn protocol(self) -> ProtocolId {
        match self {
            Feed::Deep => ProtocolId::DEEP_1_0,
            Feed::Tops => ProtocolId::TOPS_1_6,
        }
    }

    /// Reads one of its messages.
    ///
    /// # Errors
    /// An [`IexError`] for bytes that are none.
    #[inline]
    pub fn decode(self, bytes: &[u8]) -> Result<Message, IexError> {
        match self {
            Feed::Deep => deep::decode(bytes),
            Feed::Tops => tops::decode(bytes),
        }
    }
}

/// What a channel needs to know of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IexSettings {
    /// What it carries.
    pub feed: Feed,
    /// Its stream; of DEEP and of TOPS there is only number 1.
    pub stream: StreamId,
    /// Where it may be joined.
    pub join: Join,
    /// Silence after which it is stale; IEX sends a heartbeat each second.
    pub stale_after_ns: u64,
    /// Room for its books.
    pub books: BooksConfig,
}

/// What a channel took in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IexCounts {
    /// Datagrams, the refused ones too.
    pub packets: u64,
    /// Those without messages, of either line.
    pub heartbeats: u64,
    /// Messages that were new.
    pub messages: u64,
    /// Those that are of a known type and well formed, by letter.
    pub by_type: [u64; 256],
    /// Datagrams refused as a whole.
    pub packet_errors: u64,
    /// Those of them that are of another version of the transport.
    pub unknown_versions: u64,
    /// Segments of another protocol or stream.
    pub foreign_packets: u64,
    /// Messages refused as malformed or of no known type.
    pub message_errors: u64,
    /// Those of them that are of no known type: IEX may add types without notice.
    pub unknown_types: u64,
}

impl Default for IexCounts {
    fn default() -> IexCounts {
        IexCounts {
            packets: 0,
            heartbeats: 0,
            messages: 0,
            by_type: [0; 256],
            packet_errors: 0,
            unknown_versions: 0,
            foreign_packets: 0,
            message_errors: 0,
            unknown_types: 0,
        }
    }
}

impl IexCounts {
    /// Datagrams that gave nothing: refused, or of another protocol or stream.
    pub const fn refused_packets(&self) -> u64 {
        self.packet_errors + self.foreign_packets
    }
}

/// Who wants to know what a channel's messages did.
pub trait IexSink {
    /// `message` was applied to `books`, with this outcome.
    fn on_message(
        &mut self,
        books: &Books,
        message: &Message,
        outcome: Result<Option<Effect>, BooksFull>,
    );

    /// All levels and statuses were forgotten: a new session begins.
    fn on_clear(&mut self, books: &Books);
}

impl IexSink for NoSink {
    #[inline]
    fn on_message(&mut self, _: &Books, _: &Message, _: Result<Option<Effect>, BooksFull>) {}

    #[inline]
    fn on_clear(&mut self, _: &Books) {}
}

/// A stream of DEEP or TOPS: its sequence and its books.
#[derive(Debug)]
pub struct IexChannel {
    feed: Feed,
    stream: StreamId,
    sequence: Sequence,
    books: Books,
    counts: IexCounts,
    phase: SessionPhase,
}

impl IexChannel {
    /// A channel with books for `symbols`, in this order.
    ///
    /// # Panics
    /// As [`Books::new`].
    pub fn new(settings: &IexSettings, symbols: &[Symbol]) -> IexChannel {
        IexChannel {
            feed: settings.feed,
            stream: settings.stream,
            sequence: Sequence::new(settings.join, settings.stale_after_ns),
            books: Books::new(settings.books, symbols),
            counts: IexCounts::default(),
            phase: SessionPhase::Unknown,
        }
    }

    /// Takes a datagram of either line and tells `sink` what its messages did.
    #[inline]
    pub fn on_datagram(&mut self, payload: &[u8], now: Nanos, sink: &mut impl IexSink) {
        self.counts.packets += 1;
        let segment = match tp::parse(payload) {
            Ok(segment) => segment,
            Err(error) => return self.refuse_packet(error),
        };
        let header = segment.header();
        if header.protocol != self.feed.protocol() || header.stream != self.stream {
            self.counts.foreign_packets += 1;
            return;
        }
        let judgement = self.sequence.judge(&segment, now);
        if judgement.new_session {
            self.books.clear();
            self.phase = SessionPhase::Unknown;
            sink.on_clear(&self.books);
        }
        match (segment, judgement.skip) {
            (Segment::Heartbeat(_), _) => self.counts.heartbeats += 1,
            (Segment::Data(_, messages), Some(skip)) => self.apply(messages, skip, sink),
            (Segment::Data(..), None) => {}
        }
    }

    #[cold]
    fn refuse_packet(&mut self, error: TpError) {
        self.counts.packet_errors += 1;
        self.counts.unknown_versions += u64::from(matches!(error, TpError::UnknownVersion(_)));
    }

    #[inline]
    fn apply(&mut self, messages: Messages<'_>, skip: u16, sink: &mut impl IexSink) {
        for bytes in messages.skip(usize::from(skip)) {
            self.counts.messages += 1;
            let message = match self.feed.decode(bytes) {
                Ok(message) => message,
                Err(error) => {
                    self.refuse(error);
                    continue;
                }
            };
            if let Some(&letter) = bytes.first() {
                self.counts.by_type[usize::from(letter)] += 1;
            }
            if let Message::SystemEvent(m) = message {
                self.on_system_event(m);
            }
            let outcome = self.books.apply(&message);
            sink.on_message(&self.books, &message, outcome);
        }
    }

    #[cold]
    fn on_system_event(&mut self, m: SystemEvent) {
        // The market opens with another letter than at Nasdaq; all others are the same.
        let letter = if m.event == SystemEvent::START_OF_MARKET_HOURS { b'Q' } else { m.event };
        self.phase = SessionPhase::from_wire(letter).unwrap_or(SessionPhase::Unknown);
        if m.event == SystemEvent::END_OF_MESSAGES {
            self.sequence.mark_ended();
        }
    }

    /// A message of a type this build does not know is left out, as IEX asks its readers to; one that is malformed may have
    /// changed a book, so nothing of the stream can be relied on any more.
    #[cold]
    fn refuse(&mut self, error: IexError) {
        self.counts.message_errors += 1;
        match error {
            IexError::UnknownType(_) => self.counts.unknown_types += 1,
            IexError::Empty
            | IexError::ShortMessage { .. }
            | IexError::PriceOutOfRange(_)
            | IexError::TimeOutOfRange(_) => self.sequence.mark_broken(),
        }
    }

    /// Its state at `now`.
    #[inline]
    pub fn check(&mut self, now: Nanos) -> FeedState {
        self.sequence.check(now)
    }

    /// Its sequence.
    pub const fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    /// How far the exchange's day is, as it told last.
    pub const fn phase(&self) -> SessionPhase {
        self.phase
    }

    /// Its books.
    #[inline]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// What it took in.
    #[inline]
    pub const fn counts(&self) -> &IexCounts {
        &self.counts
    }
}
